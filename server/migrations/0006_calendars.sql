-- Calendars that people keep elsewhere: what is connected, what is to be written there, and the feed one may subscribe to.

CREATE TABLE calendar_connections (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users (id),
    provider        text NOT NULL CHECK (provider IN ('google', 'microsoft', 'caldav')),
    account         text NOT NULL,                  -- whose, as the provider names it
    status          text NOT NULL CHECK (status IN ('active', 'broken', 'leaving')),
    credentials     bytea NOT NULL,                 -- sealed with a key derived from VISAVIS_SECRET_KEY
    cursor          text,                           -- what we have seen of it; null: nothing
    span_until      timestamptz,                    -- busy times are known up to here
    synced_at       timestamptz,
    due_at          timestamptz,                    -- when the worker looks at it; null: while it is being looked at
    lease_until     timestamptz,                    -- a worker is at it; one that died is relieved then
    attempts        integer NOT NULL DEFAULT 0,     -- that failed in a row
    error           text,
    channel_id      uuid UNIQUE,                    -- push
    channel_resource text,
    channel_expires_at timestamptz,
    channel_tried_at timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    UNIQUE (user_id, provider, account),
    CHECK (num_nulls(channel_id, channel_resource, channel_expires_at) IN (0, 3))
);
CREATE INDEX calendar_connections_due ON calendar_connections (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX calendar_connections_leased ON calendar_connections (lease_until) WHERE lease_until IS NOT NULL;

-- A session's event in a connected calendar: what is wanted there, and what is there as far as we know.
CREATE TABLE calendar_events (
    connection_id   uuid NOT NULL REFERENCES calendar_connections (id) ON DELETE CASCADE,
    session_id      uuid NOT NULL,
    wanted          integer NOT NULL,               -- the booking's revision
    present         boolean NOT NULL,               -- whether it is to be there
    done            boolean NOT NULL DEFAULT false,
    ref             text,
    etag            text,
    error           text,                           -- why it will not be tried again
    PRIMARY KEY (connection_id, session_id),
    CHECK (num_nulls(ref, etag) IN (0, 2))
);
CREATE INDEX calendar_events_to_do ON calendar_events (connection_id) WHERE NOT done;

-- On the way to the consent page and back; each is good once.
CREATE TABLE calendar_handshakes (
    state_hash      bytea PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users (id),
    provider        text NOT NULL,
    verifier        bytea NOT NULL,                 -- sealed
    expires_at      timestamptz NOT NULL
);
CREATE INDEX calendar_handshakes_expiring ON calendar_handshakes (expires_at);

-- The private feed: its address is derived from the generation, and a new generation revokes the old address.
CREATE TABLE calendar_feeds (
    user_id         uuid PRIMARY KEY REFERENCES users (id),
    generation      integer NOT NULL
);

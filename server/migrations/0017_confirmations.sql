-- Whether people come: what they were asked before a session and what they answered, by page, link or WhatsApp reply.

-- Steps are only added. Step 0 is the question; of the others the one that was said last counts.
CREATE TABLE confirmations (
    id              uuid PRIMARY KEY,
    session_id      uuid NOT NULL REFERENCES sessions (id),
    user_id         uuid NOT NULL REFERENCES users (id),
    revision        integer NOT NULL,               -- of the booking: a session that moved asks anew
    step            integer NOT NULL CHECK (step >= 0),
    answer          text CHECK (answer IN ('yes', 'no', 'move')),
    channel         text NOT NULL CHECK (channel ~ '^[a-z][a-z_]{1,29}$'),
    late            boolean NOT NULL DEFAULT false, -- after operators were told that an answer was missing
    said_at         timestamptz NOT NULL,           -- by the person's telephone, where it tells
    at              timestamptz NOT NULL,           -- when it reached us
    UNIQUE (session_id, revision, user_id, step),
    CHECK ((step = 0) = (answer IS NULL))
);

-- Operators are told once that somebody has not answered.
CREATE TABLE missing_confirmations (
    session_id      uuid NOT NULL REFERENCES sessions (id),
    revision        integer NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (session_id, revision)
);

ALTER TABLE provider_events
    ADD COLUMN said_at      timestamptz,            -- of a reply: by the person's telephone
    ADD COLUMN handed_at    timestamptz,            -- of a reply: when it became a fact, once its context was known
    ADD COLUMN result       text CHECK (result ~ '^[a-z][a-z_]{1,29}$'),    -- of a reply: what became of it
    ADD COLUMN session_id   uuid;                   -- of a reply: which session it turned out to be about
UPDATE provider_events SET handed_at = received_at WHERE kind = 'reply';    -- nobody waits for an answer to old ones
CREATE INDEX provider_events_waiting ON provider_events (received_at) WHERE kind = 'reply' AND handed_at IS NULL;
CREATE INDEX provider_events_result ON provider_events (result) WHERE kind = 'reply';
CREATE INDEX destinations_address ON destinations (channel, address) WHERE ended_at IS NULL AND verified_at IS NOT NULL;

-- A message in answer to a person's own: by WhatsApp it may then be free text.
ALTER TABLE notifications
    ADD COLUMN in_reply_to uuid REFERENCES provider_events (id) ON DELETE SET NULL,
    ADD COLUMN answers text;                        -- the provider's name of that message
CREATE INDEX notifications_reply ON notifications (in_reply_to) WHERE in_reply_to IS NOT NULL;

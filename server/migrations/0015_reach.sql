-- Where each person is reached: numbers and devices, what goes where, quiet hours, language; and messages that lapse.

ALTER TABLE users ADD COLUMN email_verified_at timestamptz;    -- when its owner followed the link in our mail

-- Numbers and devices of a person. The account's own mail address is not here.
CREATE TABLE destinations (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users (id),
    channel         text NOT NULL CHECK (channel ~ '^[a-z][a-z_]{1,29}$'),
    address         text NOT NULL CHECK (length(address) BETWEEN 1 AND 2000),
    label           text NOT NULL DEFAULT '' CHECK (length(label) <= 100),  -- of a device: what it called itself
    created_at      timestamptz NOT NULL,
    verified_at     timestamptz,                    -- nothing but a code goes there before
    ended_at        timestamptz,                    -- removed by its owner, or the provider says that it is no more
    ended_reason    text,
    code_hash       bytea,                          -- of the code that was sent there last
    code_sent_at    timestamptz,
    code_tries      integer NOT NULL DEFAULT 0,     -- wrong ones since
    CHECK ((code_hash IS NULL) = (code_sent_at IS NULL)),
    CHECK ((ended_at IS NULL) = (ended_reason IS NULL))
);
CREATE UNIQUE INDEX destinations_live ON destinations (user_id, channel, address) WHERE ended_at IS NULL;

-- What a person chose against the defaults (server/notifications/kinds.py).
CREATE TABLE notification_preferences (
    user_id         uuid NOT NULL REFERENCES users (id),
    kind            text NOT NULL,
    channel         text NOT NULL,
    wanted          boolean NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (user_id, kind, channel)
);

CREATE TABLE notification_settings (
    user_id         uuid PRIMARY KEY REFERENCES users (id),
    quiet_start     time,                           -- wall time in the person's zone; past midnight when start > end
    quiet_end       time,
    language        text NOT NULL DEFAULT 'en',     -- RFC 5646
    updated_at      timestamptz NOT NULL,
    CHECK ((quiet_start IS NULL) = (quiet_end IS NULL)),
    CHECK (quiet_start <> quiet_end)
);

ALTER TABLE notifications
    ADD COLUMN destination_id uuid REFERENCES destinations (id),    -- a device: a person may have several
    ADD COLUMN url text,                            -- where a click on it leads
    ADD COLUMN expires_at timestamptz,              -- from then on it is of no use and lapses
    ADD COLUMN read_at timestamptz;                 -- in_app: seen by its reader
ALTER TABLE notifications DROP CONSTRAINT notifications_status_check;
ALTER TABLE notifications ADD CONSTRAINT notifications_status_check
    CHECK (status IN ('pending', 'sending', 'sent', 'delivered', 'failed', 'retrying', 'dead', 'lapsed'));
ALTER TABLE notifications DROP CONSTRAINT notifications_once;
ALTER TABLE notifications ADD CONSTRAINT notifications_once
    UNIQUE NULLS NOT DISTINCT (dedup_key, kind, recipient_id, channel, destination_id);
CREATE INDEX notifications_expiring ON notifications (expires_at)
    WHERE status IN ('pending', 'retrying') AND expires_at IS NOT NULL;
CREATE INDEX notifications_in_app ON notifications (recipient_id, id) WHERE channel = 'in_app';
CREATE INDEX notifications_unread ON notifications (recipient_id) WHERE channel = 'in_app' AND read_at IS NULL;

-- Whoever has a page open hears of it at the commit (LISTEN visavis_inbox); nothing depends on being heard.
CREATE FUNCTION tell_inbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('visavis_inbox', NEW.recipient_id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER notifications_tell_inbox AFTER INSERT OR UPDATE OF read_at ON notifications
    FOR EACH ROW WHEN (NEW.channel = 'in_app') EXECUTE FUNCTION tell_inbox();

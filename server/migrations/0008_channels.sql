-- More ways to reach people than mail: other channels, and what providers say afterwards.

-- A channel is one line of a registry in the code, so the database checks the shape of its name only.
ALTER TABLE notifications DROP CONSTRAINT notifications_channel_check;
ALTER TABLE notifications ADD CONSTRAINT notifications_channel_check CHECK (channel ~ '^[a-z][a-z_]{1,29}$');
ALTER TABLE notifications DROP CONSTRAINT notifications_status_check;
ALTER TABLE notifications ADD CONSTRAINT notifications_status_check
    CHECK (status IN ('pending', 'sending', 'sent', 'delivered', 'failed', 'retrying', 'dead'));
ALTER TABLE notifications
    ADD COLUMN buttons             jsonb NOT NULL DEFAULT '[]',     -- [{title, payload}], where the channel has buttons
    ADD COLUMN unsubscribe_url     text,                            -- one click, in the mail's headers (RFC 8058)
    ADD COLUMN provider_message_id text,                            -- what the provider's receipts and replies refer to
    ADD COLUMN delivered_at        timestamptz,
    ADD COLUMN failed_at           timestamptz;                     -- the provider took it and could not deliver it
CREATE INDEX notifications_provider ON notifications (channel, provider_message_id) WHERE provider_message_id IS NOT NULL;

-- A team's channel has no person.
ALTER TABLE notifications ALTER COLUMN recipient_id DROP NOT NULL;
ALTER TABLE notifications DROP CONSTRAINT notifications_dedup_key_kind_recipient_id_channel_key;
ALTER TABLE notifications ADD CONSTRAINT notifications_once
    UNIQUE NULLS NOT DISTINCT (dedup_key, kind, recipient_id, channel);

-- What providers told us by webhook: receipts, replies, and what could not be read. Once each, in any order.
CREATE TABLE provider_events (
    id                  uuid PRIMARY KEY,
    channel             text NOT NULL,
    event_key           text NOT NULL,              -- the provider's message id, with its status for a receipt
    kind                text NOT NULL CHECK (kind IN ('sent', 'delivered', 'failed', 'reply', 'malformed')),
    provider_message_id text,                       -- of a receipt: our message; of a reply: theirs
    context_id          text,                       -- of a reply: the message it answers
    sender              text,
    body                text NOT NULL DEFAULT '',   -- a button's payload, a text, an error, or the unreadable body
    permanent           boolean NOT NULL DEFAULT true,  -- of a failure: trying again is of no use
    received_at         timestamptz NOT NULL,
    UNIQUE (channel, event_key)
);
CREATE INDEX provider_events_message ON provider_events (channel, provider_message_id);
CREATE INDEX provider_events_context ON provider_events (channel, context_id) WHERE context_id IS NOT NULL;

-- The account's address: the one that is to replace it, and when a link was last sent. And every code that left for a number.

ALTER TABLE users
    ADD COLUMN email_pending citext,                -- replaces email when its owner follows the link sent there
    ADD COLUMN email_link_sent_at timestamptz;
-- The demo's people have clicked.
UPDATE users SET email_verified_at = created_at WHERE email LIKE '%@demo.visavis.test';

-- Codes cost money and wake people, so they are counted: by person, and by number whoever asked for them.
CREATE TABLE destination_codes (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users (id),
    channel         text NOT NULL,
    address         text NOT NULL,
    sent_at         timestamptz NOT NULL
);
CREATE INDEX destination_codes_by_person ON destination_codes (user_id, sent_at);
CREATE INDEX destination_codes_by_number ON destination_codes (channel, address, sent_at);

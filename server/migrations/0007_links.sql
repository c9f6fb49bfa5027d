-- Links in mails act without a login, and each acts once.

CREATE TABLE used_links (
    id              uuid PRIMARY KEY,               -- the token's jti
    booking_id      uuid NOT NULL REFERENCES bookings (id),
    used_at         timestamptz NOT NULL
);

-- Bookings grow up: holds that run out, requests that expire, moves that are proposed and accepted, the terms of
-- cancellation as they were when it was booked, series, and seats of group sessions.

CREATE TABLE booking_terms (
    mentor_id           uuid PRIMARY KEY REFERENCES users (id),
    instant_approval    boolean NOT NULL,
    free_until_hours    integer NOT NULL CHECK (free_until_hours BETWEEN 0 AND 720),
    late_fee_percent    integer NOT NULL CHECK (late_fee_percent BETWEEN 0 AND 100),
    no_show_fee_percent integer NOT NULL CHECK (no_show_fee_percent BETWEEN 0 AND 100),
    updated_at          timestamptz NOT NULL
);

ALTER TABLE bookings
    DROP CONSTRAINT bookings_status_check,
    ADD CONSTRAINT bookings_status_check CHECK (
        status IN ('hold', 'requested', 'approved', 'rejected', 'expired', 'cancelled', 'held')),
    ADD COLUMN expires_at           timestamptz,    -- of a hold or a request
    ADD COLUMN proposed             tstzrange,      -- another time that one side asks the other for
    ADD COLUMN proposed_by          uuid REFERENCES users (id),
    ADD COLUMN proposed_reason      text,
    ADD COLUMN proposal_expires_at  timestamptz,
    ADD COLUMN free_until_hours     integer NOT NULL DEFAULT 0,     -- the mentor's terms when it was booked
    ADD COLUMN late_fee_percent     integer NOT NULL DEFAULT 0,
    ADD COLUMN no_show_fee_percent  integer NOT NULL DEFAULT 100,
    ADD COLUMN series_id            uuid,
    ADD COLUMN seat_group           uuid,           -- who share it share the mentor's time: a group session's seats
    ADD COLUMN seat                 smallint NOT NULL DEFAULT 1 CHECK (seat BETWEEN 1 AND 100);

UPDATE bookings SET seat_group = id;
UPDATE bookings SET expires_at = least(created_at + interval '48 hours', lower(during)) WHERE status = 'requested';

ALTER TABLE bookings
    ALTER COLUMN seat_group SET NOT NULL,
    ADD CHECK ((status IN ('hold', 'requested')) = (expires_at IS NOT NULL)),
    ADD CHECK (num_nulls(proposed, proposed_by, proposed_reason, proposal_expires_at) IN (0, 4)),
    ADD CHECK (proposed IS NULL OR status IN ('requested', 'approved')),
    DROP CONSTRAINT bookings_mentor_no_overlap,
    DROP CONSTRAINT bookings_mentee_no_overlap,
    ADD CONSTRAINT bookings_mentor_no_overlap EXCLUDE USING gist (mentor_id WITH =, seat_group WITH <>, during WITH &&)
        WHERE (status IN ('hold', 'requested', 'approved')),
    ADD CONSTRAINT bookings_mentee_no_overlap EXCLUDE USING gist (mentee_id WITH =, during WITH &&)
        WHERE (status IN ('hold', 'requested', 'approved'));
CREATE UNIQUE INDEX bookings_seats ON bookings (seat_group, seat) WHERE status IN ('hold', 'requested', 'approved');
CREATE INDEX bookings_expiring ON bookings (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX bookings_proposals ON bookings (proposal_expires_at) WHERE proposal_expires_at IS NOT NULL;
CREATE INDEX bookings_series ON bookings (series_id) WHERE series_id IS NOT NULL;

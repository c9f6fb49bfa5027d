-- Who waits for a mentor that has no time, and what they were offered.

CREATE TABLE waitlist (
    id              uuid PRIMARY KEY,
    mentor_id       uuid NOT NULL REFERENCES users (id),
    mentee_id       uuid NOT NULL REFERENCES users (id),
    earliest        timestamptz NOT NULL,
    latest          timestamptz NOT NULL CHECK (latest > earliest),
    status          text NOT NULL CHECK (status IN ('waiting', 'offered', 'taken', 'passed', 'left')),
    booking_id      uuid REFERENCES bookings (id),  -- the hold that was offered last
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CHECK (status NOT IN ('offered', 'taken') OR booking_id IS NOT NULL)
);
CREATE INDEX waitlist_line ON waitlist (mentor_id, created_at, id) WHERE status = 'waiting';
CREATE UNIQUE INDEX waitlist_once ON waitlist (mentor_id, mentee_id) WHERE status IN ('waiting', 'offered');
CREATE INDEX waitlist_offers ON waitlist (booking_id) WHERE status = 'offered';

-- One room for several sessions: the seats of a group session, and sessions that an administrator merged; the log of
-- merges; and what the conflict board was told to forget.

ALTER TABLE sessions
    ADD COLUMN room_id uuid REFERENCES sessions (id),   -- whose room it meets in; NULL: its own
    ADD CHECK (room_id <> id);
CREATE INDEX sessions_room ON sessions (room_id) WHERE room_id IS NOT NULL;
CREATE INDEX bookings_group ON bookings (seat_group);

-- Where a message of a merged session was said first: it goes back there when the merge is undone.
ALTER TABLE chat_messages ADD COLUMN said_in uuid REFERENCES sessions (id);

-- One row per session and merge, and one more when it is undone.
CREATE TABLE session_merge_log (
    merge_id    uuid NOT NULL,
    session_id  uuid NOT NULL REFERENCES sessions (id),
    step        text NOT NULL CHECK (step IN ('merged', 'unmerged')),
    room_id     uuid NOT NULL REFERENCES sessions (id),     -- the session it was merged into
    actor_id    uuid NOT NULL REFERENCES users (id),
    reason      text NOT NULL,
    before      jsonb NOT NULL,                             -- start, end, room_id, seat_group, seat
    after       jsonb NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (merge_id, session_id, step)
);
CREATE INDEX session_merge_log_session ON session_merge_log (session_id);
CREATE TRIGGER session_merge_log_immutable BEFORE UPDATE OR DELETE ON session_merge_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A collision that somebody has looked at and lets be. ``cause`` names what collides: another cause is news again.
CREATE TABLE conflict_dismissals (
    booking_id  uuid NOT NULL REFERENCES bookings (id),
    kind        text NOT NULL,
    cause       text NOT NULL,
    actor_id    uuid NOT NULL REFERENCES users (id),
    reason      text NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (booking_id, kind, cause)
);

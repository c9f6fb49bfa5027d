-- The outbox in the order of its facts, the meeting log by month, exports, reports, and what administrators did about jobs.

-- A backlog is drained in the order of its ids; with an index on the due time every batch would sort what is left.
DROP INDEX facts_pending;
CREATE INDEX facts_pending ON facts (id) WHERE handled_at IS NULL;

-- ---------------------------------------------------------------- the meeting log

-- A projection of facts, a partition for each month of the instant (UTC). The database refuses nothing for want of a
-- partition: what falls outside of those there are lands in session_events_default, which the job `partitions` drains.
CREATE TABLE session_events (
    fact_id         bigint NOT NULL,                -- what it was written from; facts are forgotten earlier, so no key
    at              timestamptz NOT NULL,
    part            smallint NOT NULL DEFAULT 0,    -- of a fact that tells several things
    session_id      uuid NOT NULL,
    kind            text NOT NULL CHECK (kind ~ '^[a-z][a-z_]{1,39}$'),
    user_id         uuid,
    peer_id         text,
    detail          jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (fact_id, at, part)
) PARTITION BY RANGE (at);
CREATE INDEX session_events_session ON session_events (session_id, at);
CREATE TABLE session_events_default PARTITION OF session_events DEFAULT;

-- Partitions taken out of the log, until they are dropped.
CREATE TABLE detached_partitions (
    name            text PRIMARY KEY,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    detached_at     timestamptz NOT NULL,
    dropped_at      timestamptz
);

-- ---------------------------------------------------------------- transaction export

-- One file per business day, never changed. ``day`` is the day of the export, not of its transfers: one that was
-- committed after the export of its day is in the next.
CREATE TABLE transaction_exports (
    day             date PRIMARY KEY,
    zone            text NOT NULL,
    ends_at         timestamptz NOT NULL,           -- transfers dated before this instant
    transfers       integer NOT NULL,
    tokens          bigint NOT NULL,                -- debits = credits
    body            text NOT NULL,
    sha256          text NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE TABLE exported_transfers (
    transfer_id     uuid PRIMARY KEY REFERENCES transfers (id),     -- in exactly one export
    day             date NOT NULL REFERENCES transaction_exports (day),
    line            integer NOT NULL,
    UNIQUE (day, line)
);
CREATE INDEX transfers_created ON transfers (created_at, id);
CREATE TRIGGER transaction_exports_immutable BEFORE UPDATE OR DELETE ON transaction_exports
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER exported_transfers_immutable BEFORE UPDATE OR DELETE ON exported_transfers
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- ---------------------------------------------------------------- mentee journey

CREATE TABLE journey_reports (
    month           date PRIMARY KEY CHECK (extract(day FROM month) = 1),
    zone            text NOT NULL,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL CHECK (ends_at > starts_at),
    created_at      timestamptz NOT NULL
);
CREATE TABLE journey_lines (
    month           date NOT NULL REFERENCES journey_reports (month),
    mentee_id       uuid NOT NULL REFERENCES users (id),
    name            text NOT NULL,
    booked          integer NOT NULL,
    held            integer NOT NULL,
    missed          integer NOT NULL,               -- by the mentee
    missed_by_mentor integer NOT NULL,
    cancelled       integer NOT NULL,
    seconds         integer NOT NULL,               -- of sessions held
    tokens          bigint NOT NULL,                -- paid
    mentors         text[] NOT NULL,
    next_session_at timestamptz,                    -- as it stood when the report was written
    PRIMARY KEY (month, mentee_id)
);
CREATE INDEX journey_lines_name ON journey_lines (month, name, mentee_id);

-- ---------------------------------------------------------------- what administrators did

CREATE TABLE job_audit (
    id              uuid PRIMARY KEY,
    actor_id        uuid NOT NULL REFERENCES users (id),
    verb            text NOT NULL CHECK (verb IN ('pause', 'resume', 'run', 'replay', 'discard')),
    subject         text NOT NULL,                  -- job:payroll, fact:17, message:<id>, kind:facts/booking_approved
    reason          text NOT NULL DEFAULT '',
    before          jsonb NOT NULL DEFAULT '{}',    -- of what was discarded
    at              timestamptz NOT NULL
);
CREATE INDEX job_audit_at ON job_audit (at DESC, id DESC);
CREATE TRIGGER job_audit_immutable BEFORE UPDATE OR DELETE ON job_audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Run now: the worker takes it up.
CREATE TABLE job_requests (
    job             text PRIMARY KEY,
    requested_at    timestamptz NOT NULL,
    requested_by    uuid NOT NULL REFERENCES users (id)
);

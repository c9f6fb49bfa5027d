-- Job runs that tell lateness, missed and skipped ticks; jobs an admin has paused; reminders as rows.

ALTER TABLE job_runs DROP CONSTRAINT job_runs_result_check;
ALTER TABLE job_runs ADD CONSTRAINT job_runs_result_check CHECK (result IN ('ok', 'failed', 'skipped'));
ALTER TABLE job_runs
    ADD COLUMN by_hand boolean NOT NULL DEFAULT false,      -- at an instant somebody chose: no tick of the schedule
    ADD COLUMN attempts integer NOT NULL DEFAULT 1,
    ADD COLUMN missed_ticks integer NOT NULL DEFAULT 0,     -- earlier ticks that this run makes up for, or skips
    ADD COLUMN lateness_seconds double precision NOT NULL GENERATED ALWAYS AS
        (greatest(0, extract(epoch FROM started_at - scheduled_for))::double precision) STORED;
CREATE INDEX job_runs_open ON job_runs (job, scheduled_for) WHERE result IS DISTINCT FROM 'ok';

CREATE TABLE job_pauses (
    job             text PRIMARY KEY,
    paused_at       timestamptz NOT NULL,
    paused_by       uuid NOT NULL REFERENCES users (id)
);

CREATE TABLE reminders (
    id              uuid PRIMARY KEY,
    session_id      uuid NOT NULL REFERENCES sessions (id),
    revision        integer NOT NULL,               -- of the booking: a moved session has new reminders
    lead_seconds    integer NOT NULL CHECK (lead_seconds > 0),
    due_at          timestamptz NOT NULL,
    status          text NOT NULL CHECK (status IN ('planned', 'sent', 'missed', 'cancelled')),
    settled_at      timestamptz,
    UNIQUE (session_id, revision, lead_seconds),
    CHECK ((status = 'planned') = (settled_at IS NULL))
);
CREATE INDEX reminders_planned ON reminders (due_at, id) WHERE status = 'planned';

CREATE INDEX fact_reactions_dead ON fact_reactions (done_at) WHERE error IS NOT NULL;

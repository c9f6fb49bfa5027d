-- Dead messages are counted by every scrape and by the board, which is polled: not by looking at every message.
CREATE INDEX notifications_dead ON notifications (kind, channel) WHERE status = 'dead';
CREATE INDEX job_runs_started ON job_runs (job, started_at DESC, scheduled_for DESC);

-- The next message to be sent, in order: fresh ones are due since the epoch, and their ids rise with time.
DROP INDEX notifications_due;
CREATE INDEX notifications_due ON notifications (next_attempt_at, id) WHERE status IN ('pending', 'retrying', 'sending');

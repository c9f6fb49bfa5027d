-- Whose absence is whose: our own outages, who came no further than the door, and every step of a session's verdict.

-- One row per web process that carries media. It says every 5 s that people could meet in its rooms.
CREATE TABLE server_beats (
    process_id      uuid PRIMARY KEY,
    started_at      timestamptz NOT NULL,
    beat_at         timestamptz NOT NULL,
    stopped_at      timestamptz                     -- it went as it was told to
);
CREATE INDEX server_beats_latest ON server_beats (beat_at);

-- When nobody could be expected in a room, for a reason of ours; null: it goes on.
CREATE TABLE outages (
    id              uuid PRIMARY KEY,
    began_at        timestamptz NOT NULL,
    ended_at        timestamptz,
    cause           text NOT NULL CHECK (cause IN ('server_gap', 'server_lost', 'media_down', 'declared')),
    note            text NOT NULL DEFAULT '',
    declared_by     uuid REFERENCES users (id),
    recorded_at     timestamptz NOT NULL,
    CHECK (ended_at >= began_at),
    CHECK ((cause = 'declared') = (declared_by IS NOT NULL))
);
CREATE UNIQUE INDEX outages_open ON outages ((true)) WHERE ended_at IS NULL;
CREATE INDEX outages_when ON outages (began_at);

-- A socket in a room, with or without media behind it: the waiting room. It is no presence.
CREATE TABLE room_visits (
    session_id      uuid NOT NULL REFERENCES sessions (id),
    connection_id   text NOT NULL,
    user_id         uuid NOT NULL REFERENCES users (id),
    came_at         timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,           -- noted every 5 s while the socket is open
    PRIMARY KEY (session_id, connection_id),
    CHECK (last_seen_at >= came_at)
);

-- Every step of a verdict: the first is the system's, later ones are an administrator's. sessions.outcome is the last.
CREATE TABLE verdicts (
    session_id      uuid NOT NULL REFERENCES sessions (id),
    seq             integer NOT NULL CHECK (seq >= 1),
    outcome         text NOT NULL CHECK (outcome IN ('completed', 'mentor_no_show', 'mentee_no_show', 'both_absent', 'cancelled')),
    decided_by      text NOT NULL CHECK (decided_by IN ('system', 'admin')),
    admin_id        uuid REFERENCES users (id),
    reason          text NOT NULL,
    inputs          jsonb NOT NULL,                 -- what was known: presence and outages, as they stood
    at              timestamptz NOT NULL,
    PRIMARY KEY (session_id, seq),
    CHECK ((decided_by = 'admin') = (admin_id IS NOT NULL))
);
INSERT INTO verdicts (session_id, seq, outcome, decided_by, reason, inputs, at)
    SELECT id, 1, outcome, 'system', 'Decided before the steps of verdicts were kept.', '{}', settled_at
    FROM sessions WHERE status = 'settled';
CREATE TRIGGER verdicts_immutable BEFORE UPDATE OR DELETE ON verdicts FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A person who thinks that a verdict is wrong may say so once.
CREATE TABLE verdict_reviews (
    id              uuid PRIMARY KEY,
    session_id      uuid NOT NULL REFERENCES sessions (id),
    asked_by        uuid NOT NULL REFERENCES users (id),
    reason          text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    asked_at        timestamptz NOT NULL,
    answer          text CHECK (answer IN ('amended', 'upheld')),
    answer_note     text,
    answered_by     uuid REFERENCES users (id),
    answered_at     timestamptz,
    UNIQUE (session_id, asked_by),
    CHECK (num_nulls(answer, answer_note, answered_by, answered_at) IN (0, 4))
);
CREATE INDEX verdict_reviews_open ON verdict_reviews (asked_at, id) WHERE answered_at IS NULL;

-- A correction takes an earning back, also one that was paid out: the mentor's account may then be below zero, and the
-- next payslip brings it up again. A payslip that was issued stays as it is.
ALTER TABLE transfers DROP CONSTRAINT transfers_kind_check;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind_check
    CHECK (kind IN ('grant', 'hold', 'release', 'earning', 'fee', 'payout', 'reversal'));
ALTER TABLE accounts DROP CONSTRAINT accounts_no_overdraft;
ALTER TABLE accounts ADD CONSTRAINT accounts_no_overdraft CHECK (balance >= 0 OR kind IN ('issuance', 'earnings'));
ALTER TABLE payslip_lines DROP CONSTRAINT payslip_lines_amount_check;
ALTER TABLE payslip_lines ADD CONSTRAINT payslip_lines_amount_check CHECK (amount <> 0);

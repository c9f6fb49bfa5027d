-- The foundation: people, availability, bookings, ledger, sessions, attendance, chat, facts, notifications, payroll, jobs.
-- Rules of the house: instants are timestamptz in UTC, written by the application's clock (no now() defaults in the domain);
-- money is an integer number of tokens; enumerations are text with a CHECK, so that a migration can widen them in one step.

CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE EXTENSION IF NOT EXISTS citext;

-- ---------------------------------------------------------------- people

CREATE TABLE users (
    id              uuid PRIMARY KEY,
    email           citext NOT NULL UNIQUE,
    password_hash   text NOT NULL,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    role            text NOT NULL CHECK (role IN ('mentee', 'mentor', 'admin')),
    timezone        text NOT NULL,
    created_at      timestamptz NOT NULL,
    disabled_at     timestamptz
);

CREATE TABLE mentor_profiles (
    user_id         uuid PRIMARY KEY REFERENCES users (id),
    headline        text NOT NULL DEFAULT '',
    bio             text NOT NULL DEFAULT '',
    topics          text[] NOT NULL DEFAULT '{}',
    languages       text[] NOT NULL DEFAULT '{}',
    price_tokens    integer NOT NULL DEFAULT 10 CHECK (price_tokens BETWEEN 0 AND 100000),
    published       boolean NOT NULL DEFAULT true
);

-- One row per refresh token ever issued; presenting a used one revokes its whole family (RFC 9700 section 4.14).
CREATE TABLE refresh_tokens (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users (id),
    family          uuid NOT NULL,
    token_hash      bytea NOT NULL UNIQUE,
    issued_at       timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz,
    revoked_at      timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);

-- ---------------------------------------------------------------- availability (wall time + IANA zone; instants are computed)

CREATE TABLE availability (
    mentor_id               uuid PRIMARY KEY REFERENCES users (id),
    timezone                text NOT NULL,
    slot_minutes            integer NOT NULL CHECK (slot_minutes BETWEEN 5 AND 480),
    buffer_before_minutes   integer NOT NULL CHECK (buffer_before_minutes BETWEEN 0 AND 240),
    buffer_after_minutes    integer NOT NULL CHECK (buffer_after_minutes BETWEEN 0 AND 240),
    min_notice_minutes      integer NOT NULL CHECK (min_notice_minutes BETWEEN 0 AND 43200),
    booking_window_days     integer NOT NULL CHECK (booking_window_days BETWEEN 1 AND 365),
    max_per_day             integer CHECK (max_per_day BETWEEN 1 AND 96),
    updated_at              timestamptz NOT NULL
);

CREATE TABLE availability_windows (
    mentor_id       uuid NOT NULL REFERENCES availability (mentor_id) ON DELETE CASCADE,
    weekday         smallint NOT NULL CHECK (weekday BETWEEN 0 AND 6),
    start_minute    smallint NOT NULL CHECK (start_minute BETWEEN 0 AND 1439),
    end_minute      smallint NOT NULL CHECK (end_minute BETWEEN 1 AND 1440),
    CHECK (end_minute > start_minute),
    PRIMARY KEY (mentor_id, weekday, start_minute)
);

-- A date with a row here ignores the weekly windows; an empty array is a day off.
CREATE TABLE availability_overrides (
    mentor_id       uuid NOT NULL REFERENCES availability (mentor_id) ON DELETE CASCADE,
    on_date         date NOT NULL,
    windows         jsonb NOT NULL,
    PRIMARY KEY (mentor_id, on_date)
);

-- ---------------------------------------------------------------- ledger: accounts and immutable transfers

-- balance = credits - debits, kept by the trigger below; only issuance (the source of tokens) may go below zero.
CREATE TABLE accounts (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('wallet', 'held', 'earnings', 'fees', 'payouts', 'issuance')),
    owner_id        uuid REFERENCES users (id),
    balance         bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    UNIQUE NULLS NOT DISTINCT (kind, owner_id),
    CONSTRAINT accounts_no_overdraft CHECK (balance >= 0 OR kind = 'issuance')
);

CREATE TABLE transfers (
    id              uuid PRIMARY KEY,
    key             text NOT NULL UNIQUE,          -- idempotency: what this transfer is for, e.g. hold:<booking_id>
    kind            text NOT NULL CHECK (kind IN ('grant', 'hold', 'release', 'earning', 'fee', 'payout')),
    debit_account   uuid NOT NULL REFERENCES accounts (id),
    credit_account  uuid NOT NULL REFERENCES accounts (id),
    amount          bigint NOT NULL CHECK (amount > 0),
    session_id      uuid,
    memo            text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    CHECK (debit_account <> credit_account)
);
CREATE INDEX transfers_session ON transfers (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX transfers_debit ON transfers (debit_account, created_at);
CREATE INDEX transfers_credit ON transfers (credit_account, created_at);

CREATE FUNCTION transfers_post() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Lock both rows in id order first, so that opposite transfers cannot deadlock. NO KEY: the foreign keys of two
    -- transfers on one account have taken KEY SHARE on it already, which a plain FOR UPDATE would wait for.
    PERFORM 1 FROM accounts WHERE id IN (NEW.debit_account, NEW.credit_account) ORDER BY id FOR NO KEY UPDATE;
    UPDATE accounts SET balance = balance - NEW.amount WHERE id = NEW.debit_account;
    UPDATE accounts SET balance = balance + NEW.amount WHERE id = NEW.credit_account;
    RETURN NULL;
END $$;
CREATE TRIGGER transfers_post AFTER INSERT ON transfers FOR EACH ROW EXECUTE FUNCTION transfers_post();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are immutable: add a new one instead', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER transfers_immutable BEFORE UPDATE OR DELETE ON transfers FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- ---------------------------------------------------------------- bookings

CREATE TABLE bookings (
    id                  uuid PRIMARY KEY,
    session_id          uuid NOT NULL UNIQUE,       -- minted here; every later row of the story carries it
    mentor_id           uuid NOT NULL REFERENCES users (id),
    mentee_id           uuid NOT NULL REFERENCES users (id),
    during              tstzrange NOT NULL,
    status              text NOT NULL CHECK (status IN ('requested', 'approved', 'rejected', 'cancelled', 'held')),
    price_tokens        integer NOT NULL CHECK (price_tokens >= 0),
    topic               text NOT NULL DEFAULT '',
    note                text NOT NULL DEFAULT '',
    is_reschedule       boolean NOT NULL DEFAULT false,
    reschedule_reason   text,
    cancelation_reason  text,
    cancelled_by        uuid REFERENCES users (id),
    revision            integer NOT NULL DEFAULT 0,  -- iTIP SEQUENCE: rises with every change of time or state
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    CHECK (mentor_id <> mentee_id),
    CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)),
    CONSTRAINT bookings_mentor_no_overlap EXCLUDE USING gist (mentor_id WITH =, during WITH &&)
        WHERE (status IN ('requested', 'approved')),
    CONSTRAINT bookings_mentee_no_overlap EXCLUDE USING gist (mentee_id WITH =, during WITH &&)
        WHERE (status IN ('requested', 'approved'))
);
CREATE INDEX bookings_mentor ON bookings (mentor_id, lower(during));
CREATE INDEX bookings_mentee ON bookings (mentee_id, lower(during));

-- ---------------------------------------------------------------- sessions (published at approval)

CREATE TABLE sessions (
    id              uuid PRIMARY KEY REFERENCES bookings (session_id),
    mentor_id       uuid NOT NULL REFERENCES users (id),
    mentee_id       uuid NOT NULL REFERENCES users (id),
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL CHECK (ends_at > starts_at),
    status          text NOT NULL CHECK (status IN ('scheduled', 'settled', 'cancelled')),
    outcome         text CHECK (outcome IN ('completed', 'mentor_no_show', 'mentee_no_show', 'both_absent', 'cancelled')),
    settled_at      timestamptz,
    last_chat_seq   bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    CHECK ((status = 'scheduled') = (outcome IS NULL)),
    CHECK ((outcome IS NULL) = (settled_at IS NULL))
);
CREATE INDEX sessions_open ON sessions (ends_at) WHERE status = 'scheduled';
CREATE INDEX sessions_upcoming ON sessions (starts_at) WHERE status = 'scheduled';

CREATE TABLE chat_messages (
    session_id      uuid NOT NULL REFERENCES sessions (id),
    seq             bigint NOT NULL,                -- 1, 2, 3 ... per session, without gaps
    user_id         uuid NOT NULL REFERENCES users (id),
    client_id       text NOT NULL CHECK (length(client_id) BETWEEN 1 AND 64),
    body            text NOT NULL CHECK (length(body) BETWEEN 1 AND 4000),
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (session_id, seq),
    UNIQUE (session_id, user_id, client_id)         -- a resent message is stored once
);

-- ---------------------------------------------------------------- attendance: what the SFU saw

CREATE TABLE presence_intervals (
    id              uuid PRIMARY KEY,
    session_id      uuid NOT NULL REFERENCES sessions (id),
    user_id         uuid NOT NULL REFERENCES users (id),
    peer_id         text NOT NULL,
    joined_at       timestamptz NOT NULL,           -- the SFU's own times
    last_seen_at    timestamptz NOT NULL,           -- heartbeat: closes the interval if the process dies
    left_at         timestamptz CHECK (left_at >= joined_at),
    left_reason     text,
    media_seconds   double precision NOT NULL DEFAULT 0,
    talk_seconds    double precision NOT NULL DEFAULT 0,
    CHECK (last_seen_at >= joined_at),
    CHECK ((left_at IS NULL) = (left_reason IS NULL)),
    UNIQUE (session_id, peer_id, joined_at)
);
CREATE INDEX presence_open ON presence_intervals (last_seen_at) WHERE left_at IS NULL;

-- ---------------------------------------------------------------- facts: the transactional outbox

CREATE TABLE facts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL,
    session_id      uuid,
    at              timestamptz NOT NULL,
    data            jsonb NOT NULL,
    handled_at      timestamptz,                    -- every reaction of it is done or dead
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL
);
CREATE INDEX facts_pending ON facts (next_attempt_at) WHERE handled_at IS NULL;
CREATE INDEX facts_session ON facts (session_id, id) WHERE session_id IS NOT NULL;

CREATE TABLE fact_reactions (
    fact_id         bigint NOT NULL REFERENCES facts (id) ON DELETE CASCADE,
    reaction        text NOT NULL,
    done_at         timestamptz NOT NULL,
    error           text,                           -- set: given up, a dead letter
    PRIMARY KEY (fact_id, reaction)
);

-- ---------------------------------------------------------------- notifications

CREATE TABLE notifications (
    id              uuid PRIMARY KEY,
    dedup_key       text NOT NULL,                  -- session or fact this is about
    session_id      uuid,
    kind            text NOT NULL,
    channel         text NOT NULL CHECK (channel IN ('email')),
    recipient_id    uuid NOT NULL REFERENCES users (id),
    role            text NOT NULL,
    address         text NOT NULL,
    subject         text NOT NULL,
    body            text NOT NULL,
    calendar        text,                           -- an ICS attachment (RFC 5545), with METHOD
    status          text NOT NULL CHECK (status IN ('pending', 'sending', 'sent', 'retrying', 'dead')),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    sending_since   timestamptz,
    sent_at         timestamptz,
    error           text,
    created_at      timestamptz NOT NULL,
    UNIQUE (dedup_key, kind, recipient_id, channel)
);
CREATE INDEX notifications_due ON notifications (next_attempt_at) WHERE status IN ('pending', 'retrying', 'sending');
CREATE INDEX notifications_session ON notifications (session_id) WHERE session_id IS NOT NULL;

-- The development inbox: what would have left, had a provider been configured. Demo mode only.
CREATE TABLE dev_inbox (
    id              uuid PRIMARY KEY REFERENCES notifications (id),
    created_at      timestamptz NOT NULL
);

-- ---------------------------------------------------------------- payroll

CREATE TABLE payroll_periods (
    id              uuid PRIMARY KEY,
    label           text NOT NULL UNIQUE,           -- the closing month, e.g. 2026-11
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL CHECK (ends_at > starts_at),
    closed_at       timestamptz NOT NULL
);

CREATE TABLE payslips (
    id              uuid PRIMARY KEY,
    period_id       uuid NOT NULL REFERENCES payroll_periods (id),
    mentor_id       uuid NOT NULL REFERENCES users (id),
    total_tokens    bigint NOT NULL CHECK (total_tokens > 0),
    created_at      timestamptz NOT NULL,
    UNIQUE (period_id, mentor_id)
);

CREATE TABLE payslip_lines (
    payslip_id      uuid NOT NULL REFERENCES payslips (id),
    transfer_id     uuid NOT NULL UNIQUE REFERENCES transfers (id),   -- an earning is paid once
    session_id      uuid NOT NULL,
    amount          bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (payslip_id, transfer_id)
);
CREATE INDEX payslip_lines_session ON payslip_lines (session_id);

-- ---------------------------------------------------------------- jobs and HTTP idempotency

CREATE TABLE job_runs (
    id              uuid PRIMARY KEY,
    job             text NOT NULL,
    scheduled_for   timestamptz NOT NULL,
    started_at      timestamptz NOT NULL,
    heartbeat_at    timestamptz NOT NULL,
    finished_at     timestamptz,
    result          text CHECK (result IN ('ok', 'failed')),
    rows_touched    integer NOT NULL DEFAULT 0,
    error           text,
    UNIQUE (job, scheduled_for)
);

CREATE TABLE idempotency_keys (
    user_id         uuid NOT NULL REFERENCES users (id),
    key             text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    route           text NOT NULL,
    request_hash    bytea NOT NULL,
    status          integer,
    response        jsonb,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (user_id, key)
);

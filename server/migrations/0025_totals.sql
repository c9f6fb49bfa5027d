-- What is counted and has no row any more: removed by retention after 100 days, or overwritten by another run of the
-- same tick. Counters of /metrics never fall.

CREATE TABLE job_totals (
    job             text NOT NULL,
    result          text NOT NULL,
    runs            bigint NOT NULL CHECK (runs > 0),
    took            interval NOT NULL,              -- exact to the microsecond, as the runs' own times are
    PRIMARY KEY (job, result)
);

CREATE TABLE reply_totals (
    result          text PRIMARY KEY,
    replies         bigint NOT NULL CHECK (replies > 0)
);

-- What retention removed of what is counted: counters of /metrics never fall, although rows go after 100 days.

CREATE TABLE job_totals (
    job             text NOT NULL,
    result          text NOT NULL,
    runs            bigint NOT NULL CHECK (runs > 0),
    took            interval NOT NULL,              -- exact to the microsecond, as the runs' own times are
    PRIMARY KEY (job, result)
);

CREATE TABLE reply_totals (
    result          text PRIMARY KEY,               -- as told: 'waiting' when nothing had become of it
    replies         bigint NOT NULL CHECK (replies > 0)
);

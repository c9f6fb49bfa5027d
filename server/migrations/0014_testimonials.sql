-- What mentees say of the sessions they came to, and what administrators made of it.

CREATE TABLE testimonials (
    session_id      uuid PRIMARY KEY REFERENCES sessions (id),     -- one per session
    mentor_id       uuid NOT NULL REFERENCES users (id),
    mentee_id       uuid NOT NULL REFERENCES users (id),
    stars           smallint NOT NULL CHECK (stars BETWEEN 1 AND 5),
    text            text NOT NULL CHECK (char_length(text) BETWEEN 1 AND 1000),
    status          text NOT NULL CHECK (status IN ('submitted', 'published', 'rejected', 'withdrawn')),
    reason          text NOT NULL DEFAULT '',                       -- why it was rejected
    revision        integer NOT NULL,                               -- rises with every change: who decides names what was read
    written_at      timestamptz NOT NULL,                           -- this text
    decided_at      timestamptz,
    decided_by      uuid REFERENCES users (id),
    CHECK ((status IN ('published', 'rejected')) = (decided_at IS NOT NULL)),
    CHECK ((decided_at IS NULL) = (decided_by IS NULL)),
    CHECK ((status = 'rejected') = (reason <> ''))
);
CREATE INDEX testimonials_queue ON testimonials (written_at, session_id) WHERE status = 'submitted';
CREATE INDEX testimonials_decided ON testimonials (decided_at DESC, session_id DESC) WHERE decided_at IS NOT NULL;
CREATE INDEX testimonials_shown ON testimonials (mentor_id, written_at DESC, session_id DESC) WHERE status = 'published';

-- Repeated no-shows: every step that followed from them, for ever. What holds now is read off these rows.

CREATE TABLE conduct_steps (
    id              uuid PRIMARY KEY,
    seq             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    person_id       uuid NOT NULL REFERENCES users (id),
    kind            text NOT NULL
        CHECK (kind IN ('warned', 'restricted', 'lifted', 'appealed', 'appeal_accepted', 'appeal_rejected')),
    session_id      uuid NOT NULL REFERENCES sessions (id),     -- the no-show that brought it about
    sessions        uuid[] NOT NULL DEFAULT '{}',               -- all that were counted, of a warning or restriction
    until           timestamptz,                                -- of a restriction
    about           uuid REFERENCES conduct_steps (id),         -- the restriction that is lifted, appealed ...
    actor_id        uuid REFERENCES users (id),                 -- null: by itself
    words           text NOT NULL DEFAULT '' CHECK (char_length(words) <= 1000),
    at              timestamptz NOT NULL,
    CHECK ((kind = 'restricted') = (until IS NOT NULL)),
    CHECK ((kind IN ('warned', 'restricted')) = (about IS NULL)),
    UNIQUE (about, kind)
);
CREATE UNIQUE INDEX conduct_steps_once ON conduct_steps (person_id, session_id, kind) WHERE about IS NULL;
CREATE INDEX conduct_steps_person ON conduct_steps (person_id, seq);
CREATE INDEX conduct_steps_until ON conduct_steps (until DESC, id) WHERE kind = 'restricted';
CREATE TRIGGER conduct_steps_immutable BEFORE UPDATE OR DELETE ON conduct_steps FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Who did not come, to count them.
CREATE INDEX sessions_missed_by_mentor ON sessions (mentor_id, starts_at) WHERE outcome = 'mentor_no_show';
CREATE INDEX sessions_missed_by_mentee ON sessions (mentee_id, starts_at) WHERE outcome = 'mentee_no_show';

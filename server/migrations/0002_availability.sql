-- Availability grows up: windows over midnight, several lengths, limits by week and month, holidays, travel, absences, seats;
-- busy times of external calendars; and a version per mentor that rises with everything that could change her open slots.

ALTER TABLE availability
    ADD COLUMN lengths_minutes          integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN start_increment_minutes  integer CHECK (start_increment_minutes BETWEEN 5 AND 480),
    ADD COLUMN max_minutes_per_day      integer CHECK (max_minutes_per_day BETWEEN 5 AND 1440),
    ADD COLUMN max_per_week             integer CHECK (max_per_week BETWEEN 1 AND 672),
    ADD COLUMN max_minutes_per_week     integer CHECK (max_minutes_per_week BETWEEN 5 AND 10080),
    ADD COLUMN max_per_month            integer CHECK (max_per_month BETWEEN 1 AND 2976),
    ADD COLUMN max_minutes_per_month    integer CHECK (max_minutes_per_month BETWEEN 5 AND 44640),
    ADD COLUMN capacity                 integer NOT NULL DEFAULT 1 CHECK (capacity BETWEEN 1 AND 100),
    ADD COLUMN holiday_country          text,
    ADD COLUMN holiday_subdivision      text,
    ADD COLUMN travel                   jsonb NOT NULL DEFAULT '[]',  -- [[first date, last date, zone]]
    ADD COLUMN absences                 jsonb NOT NULL DEFAULT '[]',  -- [[wall start, wall end, reason]]
    ADD CHECK (holiday_country IS NOT NULL OR holiday_subdivision IS NULL);

ALTER TABLE availability_windows
    DROP CONSTRAINT availability_windows_end_minute_check,
    ADD CONSTRAINT availability_windows_end_minute_check CHECK (end_minute BETWEEN 1 AND 2880),
    ADD CHECK (end_minute <= start_minute + 1440);

-- What somebody's other calendars say. Each source replaces its own rows as it learns of changes.
CREATE TABLE external_busy (
    user_id         uuid NOT NULL REFERENCES users (id),
    source          text NOT NULL,                  -- which connected calendar
    external_id     text NOT NULL,
    during          tstzrange NOT NULL CHECK (NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)),
    title           text NOT NULL DEFAULT '',
    PRIMARY KEY (user_id, source, external_id)
);
CREATE INDEX external_busy_times ON external_busy USING gist (user_id, during);

-- Rises in the transaction that changes anything a mentor's open slots are computed from: cached answers carry it.
CREATE TABLE calendar_versions (
    mentor_id       uuid PRIMARY KEY REFERENCES users (id),
    version         bigint NOT NULL
);

CREATE FUNCTION calendar_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed record := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    INSERT INTO calendar_versions (mentor_id, version) VALUES (
        CASE WHEN TG_TABLE_NAME = 'external_busy' THEN (to_jsonb(changed) ->> 'user_id')::uuid
             ELSE (to_jsonb(changed) ->> 'mentor_id')::uuid END, 1)
    ON CONFLICT (mentor_id) DO UPDATE SET version = calendar_versions.version + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER availability_changed AFTER INSERT OR UPDATE OR DELETE ON availability
    FOR EACH ROW EXECUTE FUNCTION calendar_changed();
CREATE TRIGGER bookings_changed AFTER INSERT OR DELETE OR UPDATE OF status, during ON bookings
    FOR EACH ROW EXECUTE FUNCTION calendar_changed();
CREATE TRIGGER external_busy_changed AFTER INSERT OR UPDATE OR DELETE ON external_busy
    FOR EACH ROW EXECUTE FUNCTION calendar_changed();

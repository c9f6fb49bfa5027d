-- Browsers that get push messages are destinations of channel `push`, whose address is the subscription as JSON.

-- A browser belongs to whoever switched it on last: its endpoint is live once, whoever asks for it at the same moment.
CREATE UNIQUE INDEX destinations_endpoint ON destinations
    ((CASE WHEN address LIKE '{%' THEN address::jsonb ->> 'endpoint' ELSE address END))
    WHERE channel = 'push' AND ended_at IS NULL;

-- What the store says to PostgreSQL. A line "-- name: x" starts the statement x.
-- Parameters have a type wherever the server would have to guess it. Arrays come as
-- text, because that is what every driver can send.
--
-- A Spend compares digests in SQL, not in constant time. They are keyed hashes of
-- codes, so what the time tells about one helps nobody to find a code.

-- name: get
SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
FROM otp_challenge
WHERE id = $1::text;

-- name: put
INSERT INTO otp_challenge AS o
  (id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at)
VALUES
  ($1::text, $2::bytea, $3::bytea, $4::bigint, $5::bigint, $6::bigint, $7::bigint, $8::bigint,
   $9::bigint, $10::bigint, $11::bigint)
ON CONFLICT (id) DO UPDATE SET
  digests = excluded.digests, sealed = excluded.sealed, state = excluded.state,
  attempts = excluded.attempts, max_attempts = excluded.max_attempts,
  sends = excluded.sends, max_sends = excluded.max_sends,
  created_at = excluded.created_at, sent_at = excluded.sent_at, expires_at = excluded.expires_at
WHERE NOT (o.state = 1 AND o.attempts < o.max_attempts AND o.expires_at > $12::bigint)
RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at;

-- name: spend
UPDATE otp_challenge SET
  attempts = attempts + 1,
  state = CASE WHEN EXISTS (
    SELECT FROM generate_series(1, length(digests) - 31, 32) AS d, generate_series(1, length($3::bytea) - 31, 32) AS c
    WHERE substr(digests, d, 32) = substr($3::bytea, c, 32)
  ) THEN 2 ELSE 1 END
WHERE id = $1::text AND state = 1 AND attempts < max_attempts AND expires_at > $2::bigint
RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at;

-- name: reissue
UPDATE otp_challenge SET
  sends = sends + 1,
  sent_at = $2::bigint,
  digests = CASE WHEN length($3::bytea) = 0 THEN digests ELSE
    substr(digests || $3::bytea, 1 + greatest(0, length(digests) + length($3::bytea) - 32 * $4::integer)) END
WHERE id = $1::text AND state = 1 AND attempts < max_attempts AND expires_at > $2::bigint AND sends < max_sends
RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at;

-- name: cancel
UPDATE otp_challenge SET state = 3
WHERE id = $1::text AND state = 1 AND attempts < max_attempts AND expires_at > $2::bigint
RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at;

-- The next three change meters, and a record with them, if no meter has changed since
-- it was read: $1 names, $2 what they were (NULL: no such row), $3 what they shall be
-- (NULL: as they are), $4 until when. They say whether they did, and what the meters
-- were when the statement began. A row that somebody else inserts meanwhile fails the
-- statement as a duplicate, and it is tried again.

-- name: take
WITH want AS MATERIALIZED (
  SELECT * FROM unnest($1::text::text[], $2::text::bytea[], $3::text::bytea[], $4::text::bigint[])
    WITH ORDINALITY AS w(name, was, becomes, until, place)
), seen AS MATERIALIZED (
  SELECT w.place, w.was, m.meter FROM want w LEFT JOIN otp_meter m ON m.name = w.name
), held AS MATERIALIZED (
  SELECT m.name FROM want w JOIN otp_meter m ON m.name = w.name AND m.meter = w.was
  ORDER BY m.name FOR UPDATE OF m
), same AS MATERIALIZED (
  SELECT 1 AS yes
  WHERE NOT EXISTS (SELECT FROM seen WHERE was IS NULL AND meter IS NOT NULL)
    AND (SELECT count(*) FROM held) = (SELECT count(was) FROM want)
), inserted AS (
  INSERT INTO otp_meter (name, meter, until)
  SELECT w.name, w.becomes, w.until FROM same, want w WHERE w.was IS NULL AND w.becomes IS NOT NULL ORDER BY w.name
), updated AS (
  UPDATE otp_meter AS m SET meter = w.becomes, until = w.until
  FROM same, want w WHERE m.name = w.name AND w.was IS NOT NULL AND w.becomes IS NOT NULL
)
SELECT EXISTS (SELECT FROM same),
  array_to_string(ARRAY(SELECT coalesce(encode(meter, 'hex'), '-') FROM seen ORDER BY place), ',');

-- name: put_charged
WITH want AS MATERIALIZED (
  SELECT * FROM unnest($1::text::text[], $2::text::bytea[], $3::text::bytea[], $4::text::bigint[])
    WITH ORDINALITY AS w(name, was, becomes, until, place)
), seen AS MATERIALIZED (
  SELECT w.place, w.was, m.meter FROM want w LEFT JOIN otp_meter m ON m.name = w.name
), held AS MATERIALIZED (
  SELECT m.name FROM want w JOIN otp_meter m ON m.name = w.name AND m.meter = w.was
  ORDER BY m.name FOR UPDATE OF m
), same AS MATERIALIZED (
  SELECT 1 AS yes
  WHERE NOT EXISTS (SELECT FROM seen WHERE was IS NULL AND meter IS NOT NULL)
    AND (SELECT count(*) FROM held) = (SELECT count(was) FROM want)
), changed AS (
  INSERT INTO otp_challenge AS o
    (id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at)
  SELECT
    $5::text, $6::bytea, $7::bytea, $8::bigint, $9::bigint, $10::bigint, $11::bigint, $12::bigint,
    $13::bigint, $14::bigint, $15::bigint
  FROM same
  ON CONFLICT (id) DO UPDATE SET
    digests = excluded.digests, sealed = excluded.sealed, state = excluded.state,
    attempts = excluded.attempts, max_attempts = excluded.max_attempts,
    sends = excluded.sends, max_sends = excluded.max_sends,
    created_at = excluded.created_at, sent_at = excluded.sent_at, expires_at = excluded.expires_at
  WHERE NOT (o.state = 1 AND o.attempts < o.max_attempts AND o.expires_at > $16::bigint)
  RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
), inserted AS (
  INSERT INTO otp_meter (name, meter, until)
  SELECT w.name, w.becomes, w.until FROM changed, want w WHERE w.was IS NULL AND w.becomes IS NOT NULL ORDER BY w.name
), updated AS (
  UPDATE otp_meter AS m SET meter = w.becomes, until = w.until
  FROM changed, want w WHERE m.name = w.name AND w.was IS NOT NULL AND w.becomes IS NOT NULL
), record AS (
  SELECT * FROM changed
  UNION ALL
  SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
  FROM otp_challenge WHERE id = $5::text AND NOT EXISTS (SELECT FROM changed)
)
SELECT EXISTS (SELECT FROM changed),
  array_to_string(ARRAY(SELECT coalesce(encode(meter, 'hex'), '-') FROM seen ORDER BY place), ','),
  record.*
FROM (SELECT 1) AS always LEFT JOIN record ON true;

-- name: reissue_charged
WITH want AS MATERIALIZED (
  SELECT * FROM unnest($1::text::text[], $2::text::bytea[], $3::text::bytea[], $4::text::bigint[])
    WITH ORDINALITY AS w(name, was, becomes, until, place)
), seen AS MATERIALIZED (
  SELECT w.place, w.was, m.meter FROM want w LEFT JOIN otp_meter m ON m.name = w.name
), held AS MATERIALIZED (
  SELECT m.name FROM want w JOIN otp_meter m ON m.name = w.name AND m.meter = w.was
  ORDER BY m.name FOR UPDATE OF m
), same AS MATERIALIZED (
  SELECT 1 AS yes
  WHERE NOT EXISTS (SELECT FROM seen WHERE was IS NULL AND meter IS NOT NULL)
    AND (SELECT count(*) FROM held) = (SELECT count(was) FROM want)
), changed AS (
  UPDATE otp_challenge SET
    sends = sends + 1,
    sent_at = $6::bigint,
    digests = CASE WHEN length($7::bytea) = 0 THEN digests ELSE
      substr(digests || $7::bytea, 1 + greatest(0, length(digests) + length($7::bytea) - 32 * $8::integer)) END
  FROM same
  WHERE id = $5::text AND state = 1 AND attempts < max_attempts AND expires_at > $6::bigint AND sends < max_sends
  RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
), inserted AS (
  INSERT INTO otp_meter (name, meter, until)
  SELECT w.name, w.becomes, w.until FROM changed, want w WHERE w.was IS NULL AND w.becomes IS NOT NULL ORDER BY w.name
), updated AS (
  UPDATE otp_meter AS m SET meter = w.becomes, until = w.until
  FROM changed, want w WHERE m.name = w.name AND w.was IS NOT NULL AND w.becomes IS NOT NULL
), record AS (
  SELECT * FROM changed
  UNION ALL
  SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
  FROM otp_challenge WHERE id = $5::text AND NOT EXISTS (SELECT FROM changed)
)
SELECT EXISTS (SELECT FROM changed),
  array_to_string(ARRAY(SELECT coalesce(encode(meter, 'hex'), '-') FROM seen ORDER BY place), ','),
  record.*
FROM (SELECT 1) AS always LEFT JOIN record ON true;

-- name: look
SELECT false,
  array_to_string(ARRAY(
    SELECT coalesce(encode(m.meter, 'hex'), '-')
    FROM unnest($1::text::text[]) WITH ORDINALITY AS w(name, place) LEFT JOIN otp_meter m ON m.name = w.name
    ORDER BY w.place), ','),
  r.id, r.digests, r.sealed, r.state, r.attempts, r.max_attempts, r.sends, r.max_sends, r.created_at, r.sent_at, r.expires_at
FROM (SELECT 1) AS always LEFT JOIN otp_challenge r ON r.id = $2::text;

-- The next two hold meters for the rest of a transaction, in the order of their
-- names so that nobody waits in a circle.

-- name: new_meters
INSERT INTO otp_meter (name, meter, until)
SELECT name, '', 0 FROM unnest($1::text::text[]) AS w(name) ORDER BY name COLLATE "C"
ON CONFLICT DO NOTHING;

-- name: lock_meters
SELECT name, meter FROM otp_meter WHERE name = ANY ($1::text::text[]) ORDER BY name FOR UPDATE;

-- name: advance
INSERT INTO otp_counter AS o (name, counter) VALUES ($1::text, $2::bytea)
ON CONFLICT (name) DO UPDATE SET counter = excluded.counter WHERE o.counter < excluded.counter;

-- name: prune_challenges
DELETE FROM otp_challenge WHERE expires_at <= $1::bigint AND id IN (
  SELECT id FROM otp_challenge WHERE expires_at <= $1::bigint LIMIT $2::bigint FOR UPDATE SKIP LOCKED);

-- name: prune_meters
DELETE FROM otp_meter WHERE until <= $1::bigint AND name IN (
  SELECT name FROM otp_meter
  WHERE until_hour <= $1::bigint / 3600000000 AND until <= $1::bigint LIMIT $2::bigint FOR UPDATE SKIP LOCKED);

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
-- it was read: $1 names in order, $2 what they were (NULL: no such row), $3 what they shall be
-- (NULL: as they are), $4 until when. They say whether they did, and if not what the meters
-- were when the statement began. A row that somebody else inserts meanwhile fails the
-- statement as a duplicate, and it is tried again. Where no row is to be inserted, they are
-- said without the part "inserted": it takes time even if it does nothing.
--
-- Meters are looked up one by one, and updated as conflicts, so that the server cannot but
-- use the index. A join has two ways, and the plan that is chosen while the table is
-- new, to read all of it, would be kept for a minute in which the table may grow.
--
-- Arrays are (SELECT $1), so that the server does not see how long they are. If it did it would
-- think that a plan for this length is worth making each time, which takes longer than
-- all the rest.

-- name: take
WITH meters AS MATERIALIZED (
  SELECT w.*, (SELECT m.meter FROM otp_meter m WHERE m.name = w.name) AS meter, h.name IS NOT NULL AS held
  FROM unnest((SELECT $1::text)::text[], (SELECT $2::text)::bytea[], (SELECT $3::text)::bytea[], (SELECT $4::text)::bigint[])
    WITH ORDINALITY AS w(name, was, becomes, until, place)
  LEFT JOIN LATERAL (
    SELECT m.name FROM otp_meter m WHERE m.name = w.name AND m.meter = w.was FOR NO KEY UPDATE
  ) AS h ON true
), same AS MATERIALIZED (
  SELECT 1 AS yes
  WHERE NOT EXISTS (SELECT FROM meters WHERE CASE WHEN was IS NULL THEN meter IS NOT NULL ELSE NOT held END)
), inserted AS (
  INSERT INTO otp_meter (name, meter, until)
  SELECT w.name, w.becomes, w.until FROM same, meters w WHERE w.was IS NULL AND w.becomes IS NOT NULL ORDER BY w.place
), updated AS (
  INSERT INTO otp_meter (name, meter, until)
  SELECT w.name, w.becomes, w.until FROM same, meters w WHERE w.was IS NOT NULL AND w.becomes IS NOT NULL ORDER BY w.place
  ON CONFLICT (name) DO UPDATE SET meter = excluded.meter, until = excluded.until
)
SELECT EXISTS (SELECT FROM same),
  CASE WHEN EXISTS (SELECT FROM same) THEN '' ELSE
    array_to_string(ARRAY(SELECT coalesce(encode(meter, 'hex'), '-') FROM meters ORDER BY place), ',') END;

-- name: put_charged
WITH meters AS MATERIALIZED (
  SELECT w.*, (SELECT m.meter FROM otp_meter m WHERE m.name = w.name) AS meter, h.name IS NOT NULL AS held
  FROM unnest((SELECT $1::text)::text[], (SELECT $2::text)::bytea[], (SELECT $3::text)::bytea[], (SELECT $4::text)::bigint[])
    WITH ORDINALITY AS w(name, was, becomes, until, place)
  LEFT JOIN LATERAL (
    SELECT m.name FROM otp_meter m WHERE m.name = w.name AND m.meter = w.was FOR NO KEY UPDATE
  ) AS h ON true
), same AS MATERIALIZED (
  SELECT 1 AS yes
  WHERE NOT EXISTS (SELECT FROM meters WHERE CASE WHEN was IS NULL THEN meter IS NOT NULL ELSE NOT held END)
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
  SELECT w.name, w.becomes, w.until FROM changed, meters w WHERE w.was IS NULL AND w.becomes IS NOT NULL ORDER BY w.place
), updated AS (
  INSERT INTO otp_meter (name, meter, until)
  SELECT w.name, w.becomes, w.until FROM changed, meters w WHERE w.was IS NOT NULL AND w.becomes IS NOT NULL ORDER BY w.place
  ON CONFLICT (name) DO UPDATE SET meter = excluded.meter, until = excluded.until
), record AS (
  SELECT * FROM changed
  UNION ALL
  SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
  FROM otp_challenge WHERE id = $5::text AND NOT EXISTS (SELECT FROM changed)
)
SELECT EXISTS (SELECT FROM changed),
  CASE WHEN EXISTS (SELECT FROM changed) THEN '' ELSE
    array_to_string(ARRAY(SELECT coalesce(encode(meter, 'hex'), '-') FROM meters ORDER BY place), ',') END,
  record.*
FROM (SELECT 1) AS always LEFT JOIN record ON true;

-- name: reissue_charged
WITH meters AS MATERIALIZED (
  SELECT w.*, (SELECT m.meter FROM otp_meter m WHERE m.name = w.name) AS meter, h.name IS NOT NULL AS held
  FROM unnest((SELECT $1::text)::text[], (SELECT $2::text)::bytea[], (SELECT $3::text)::bytea[], (SELECT $4::text)::bigint[])
    WITH ORDINALITY AS w(name, was, becomes, until, place)
  LEFT JOIN LATERAL (
    SELECT m.name FROM otp_meter m WHERE m.name = w.name AND m.meter = w.was FOR NO KEY UPDATE
  ) AS h ON true
), same AS MATERIALIZED (
  SELECT 1 AS yes
  WHERE NOT EXISTS (SELECT FROM meters WHERE CASE WHEN was IS NULL THEN meter IS NOT NULL ELSE NOT held END)
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
  SELECT w.name, w.becomes, w.until FROM changed, meters w WHERE w.was IS NULL AND w.becomes IS NOT NULL ORDER BY w.place
), updated AS (
  INSERT INTO otp_meter (name, meter, until)
  SELECT w.name, w.becomes, w.until FROM changed, meters w WHERE w.was IS NOT NULL AND w.becomes IS NOT NULL ORDER BY w.place
  ON CONFLICT (name) DO UPDATE SET meter = excluded.meter, until = excluded.until
), record AS (
  SELECT * FROM changed
  UNION ALL
  SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
  FROM otp_challenge WHERE id = $5::text AND NOT EXISTS (SELECT FROM changed)
)
SELECT EXISTS (SELECT FROM changed),
  CASE WHEN EXISTS (SELECT FROM changed) THEN '' ELSE
    array_to_string(ARRAY(SELECT coalesce(encode(meter, 'hex'), '-') FROM meters ORDER BY place), ',') END,
  record.*
FROM (SELECT 1) AS always LEFT JOIN record ON true;

-- name: look
SELECT false,
  array_to_string(ARRAY(
    SELECT coalesce(encode((SELECT m.meter FROM otp_meter m WHERE m.name = w.name), 'hex'), '-')
    FROM unnest((SELECT $1::text)::text[]) WITH ORDINALITY AS w(name, place) ORDER BY w.place), ','),
  r.id, r.digests, r.sealed, r.state, r.attempts, r.max_attempts, r.sends, r.max_sends, r.created_at, r.sent_at, r.expires_at
FROM (SELECT 1) AS always LEFT JOIN otp_challenge r ON r.id = $2::text;

-- The next two hold meters for the rest of a transaction, in the order of their
-- names so that nobody waits in a circle.

-- name: new_meters
INSERT INTO otp_meter (name, meter, until)
SELECT name, '', 0 FROM unnest((SELECT $1::text)::text[]) AS w(name) ORDER BY name COLLATE "C"
ON CONFLICT DO NOTHING;

-- name: lock_meters
SELECT m.name, m.meter
FROM unnest((SELECT $1::text)::text[]) AS w(name)
CROSS JOIN LATERAL (SELECT m.name, m.meter FROM otp_meter m WHERE m.name = w.name FOR NO KEY UPDATE) AS m;

-- name: advance
INSERT INTO otp_counter AS o (name, counter) VALUES ($1::text, $2::bytea)
ON CONFLICT (name) DO UPDATE SET counter = excluded.counter WHERE o.counter < excluded.counter;

-- ARRAY is worked out once. IN may be worked out for each row, with other rows each time,
-- so that more than the limit is deleted. Rows that are held here stay as they were found.

-- name: prune_challenges
DELETE FROM otp_challenge WHERE id = ANY (ARRAY(
  SELECT id FROM otp_challenge WHERE expires_at <= $1::bigint ORDER BY expires_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED));

-- name: prune_meters
DELETE FROM otp_meter WHERE name = ANY (ARRAY(
  SELECT name FROM otp_meter
  WHERE until_hour <= $1::bigint / 3600000000 AND until <= $1::bigint
  ORDER BY until_hour LIMIT $2::bigint FOR UPDATE SKIP LOCKED));

-- Policies. The newest row of a key counts, but what was made as a default never
-- counts more than what somebody wrote.

-- name: policies
SELECT p.tenant, p.channel, p.code_usage, p.policy::text, p.changed_by, p.changed_at
FROM otp_policy p
WHERE NOT EXISTS (
  SELECT 1 FROM otp_policy q
  WHERE q.tenant = p.tenant AND q.channel = p.channel AND q.code_usage = p.code_usage
    AND CASE q.changed_by WHEN 'defaults' THEN 0 ELSE q.id END > CASE p.changed_by WHEN 'defaults' THEN 0 ELSE p.id END)
ORDER BY p.id;

-- name: policy_history
SELECT tenant, channel, code_usage, policy::text, changed_by, changed_at
FROM otp_policy
WHERE tenant = $1::text AND channel = $2::text AND code_usage = $3::text
ORDER BY id;

-- name: set_policy
INSERT INTO otp_policy (tenant, channel, code_usage, policy, changed_by)
VALUES ($1::text, $2::text, $3::text, $4::text::jsonb, $5::text);

-- name: add_policy
INSERT INTO otp_policy (tenant, channel, code_usage, policy, changed_by)
SELECT $1::text, $2::text, $3::text, $4::text::jsonb, $5::text
WHERE NOT EXISTS (SELECT 1 FROM otp_policy WHERE tenant = $1::text AND channel = $2::text AND code_usage = $3::text);

-- The audit trail.

-- name: log
INSERT INTO otp_audit
  (at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope)
VALUES
  ($1::bigint, $2::text, $3::text, $4::text, $5::bigint, $6::bigint, $7::bigint, $8::bigint,
   $9::text, $10::text, $11::text, $12::text);

-- A statement that changes a record does this too if there is an audit, with {{1}} for
-- the first parameter after its own.

-- name: logged
INSERT INTO otp_audit
  (at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope)
SELECT
  {{1}}::bigint, {{2}}::text,
  CASE WHEN {{2}}::text <> 'spend' THEN 'applied' WHEN state = 2 THEN 'verified' ELSE 'mismatch' END,
  id, created_at, state, attempts, sends, {{3}}::text, {{4}}::text, {{5}}::text, {{6}}::text
FROM changed;

-- name: audit_challenge
SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
FROM otp_audit
WHERE challenge = $1::text AND seq > $2::bigint
ORDER BY seq LIMIT $3::bigint;

-- name: audit_subject
SELECT a.*
FROM (SELECT DISTINCT challenge, created_at FROM otp_audit WHERE subject = $1::text AND subject <> '') AS c
CROSS JOIN LATERAL (
  SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
  FROM otp_audit WHERE challenge = c.challenge AND created_at = c.created_at AND seq > $2::bigint
  OFFSET 0
) AS a
ORDER BY a.seq LIMIT $3::bigint;

-- name: audit_recipient
SELECT a.*
FROM (SELECT DISTINCT challenge, created_at FROM otp_audit WHERE recipient = $1::text AND recipient <> '') AS c
CROSS JOIN LATERAL (
  SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
  FROM otp_audit WHERE challenge = c.challenge AND created_at = c.created_at AND seq > $2::bigint
  OFFSET 0
) AS a
ORDER BY a.seq LIMIT $3::bigint;

-- name: prune_audit
DELETE FROM otp_audit WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM otp_audit WHERE at <= $1::bigint ORDER BY at LIMIT $2::bigint FOR UPDATE SKIP LOCKED));

-- Credentials. A value is replaced if it is still the one that was read.

-- name: credentials
SELECT value FROM otp_credential WHERE name = $1::text;

-- name: new_credentials
INSERT INTO otp_credential (value, until, name) VALUES ($1::bytea, $2::bigint, $3::text) ON CONFLICT DO NOTHING;

-- name: swap_credentials
UPDATE otp_credential SET value = $1::bytea, until = $2::bigint WHERE name = $3::text AND value = $4::bytea;

-- name: drop_credentials
DELETE FROM otp_credential WHERE name = $1::text AND value = $2::bytea;

-- name: list_credentials
SELECT name FROM otp_credential WHERE name > $1::text ORDER BY name LIMIT $2::bigint;

-- name: prune_credentials
DELETE FROM otp_credential WHERE name = ANY (ARRAY(
  SELECT name FROM otp_credential WHERE until <= $1::bigint ORDER BY until LIMIT $2::bigint FOR UPDATE SKIP LOCKED));

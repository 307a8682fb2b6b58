-- What the store says to SQLite. A line "-- name: x" starts the statement x. What
-- stands between double braces is repeated for each value of a list.
--
-- A Spend compares digests in SQL, not in constant time. They are keyed hashes of
-- codes, so what the time tells about one helps nobody to find a code.

-- name: get
SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
FROM otp_challenge
WHERE id = ?1;

-- name: put
INSERT INTO otp_challenge
  (id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at)
VALUES
  (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (id) DO UPDATE SET
  digests = excluded.digests, sealed = excluded.sealed, state = excluded.state,
  attempts = excluded.attempts, max_attempts = excluded.max_attempts,
  sends = excluded.sends, max_sends = excluded.max_sends,
  created_at = excluded.created_at, sent_at = excluded.sent_at, expires_at = excluded.expires_at
WHERE NOT (state = 1 AND attempts < max_attempts AND expires_at > ?12)
RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at;

-- name: spend
UPDATE otp_challenge SET
  attempts = attempts + 1,
  state = CASE WHEN EXISTS (
    WITH RECURSIVE c(at) AS (SELECT 1 UNION ALL SELECT at + 32 FROM c WHERE at + 63 <= length(?3))
    SELECT 1 FROM c WHERE length(substr(?3, at, 32)) = 32 AND substr(?3, at, 32) IN (
      substr(digests, 1, 32), substr(digests, 33, 32), substr(digests, 65, 32), substr(digests, 97, 32),
      substr(digests, 129, 32), substr(digests, 161, 32), substr(digests, 193, 32), substr(digests, 225, 32),
      substr(digests, 257, 32), substr(digests, 289, 32), substr(digests, 321, 32), substr(digests, 353, 32),
      substr(digests, 385, 32), substr(digests, 417, 32), substr(digests, 449, 32), substr(digests, 481, 32))
  ) THEN 2 ELSE 1 END
WHERE id = ?1 AND state = 1 AND attempts < max_attempts AND expires_at > ?2
RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at;

-- name: reissue
UPDATE otp_challenge SET
  sends = sends + 1,
  sent_at = ?2,
  digests = CASE WHEN length(?3) = 0 THEN digests ELSE
    substr(CAST(digests || ?3 AS BLOB), 1 + max(0, length(digests) + length(?3) - 32 * ?4)) END
WHERE id = ?1 AND state = 1 AND attempts < max_attempts AND expires_at > ?2 AND sends < max_sends
RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at;

-- name: cancel
UPDATE otp_challenge SET state = 3
WHERE id = ?1 AND state = 1 AND attempts < max_attempts AND expires_at > ?2
RETURNING id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at;

-- The next six are said between BEGIN IMMEDIATE and COMMIT, to what was read there.

-- name: hold
SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
FROM otp_challenge
WHERE id = ?1;

-- name: insert
INSERT INTO otp_challenge
  (id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at)
VALUES
  (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: replace
UPDATE otp_challenge SET
  digests = ?, sealed = ?, state = ?, attempts = ?, max_attempts = ?, sends = ?, max_sends = ?,
  created_at = ?, sent_at = ?, expires_at = ?
WHERE id = ?;

-- name: rewrite
UPDATE otp_challenge SET sends = ?, sent_at = ?, digests = ? WHERE id = ?;

-- name: lock_meters
SELECT name, meter FROM otp_meter WHERE name IN ({{?}});

-- name: save_meters
INSERT INTO otp_meter (name, meter, until) VALUES {{(?, ?, ?)}}
ON CONFLICT (name) DO UPDATE SET meter = excluded.meter, until = excluded.until;

-- name: advance
INSERT INTO otp_counter (name, counter) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET counter = excluded.counter WHERE counter < excluded.counter;

-- name: prune_challenges
DELETE FROM otp_challenge WHERE rowid IN (
  SELECT rowid FROM otp_challenge WHERE expires_at <= ?1 LIMIT ?2);

-- name: prune_meters
DELETE FROM otp_meter WHERE name IN (
  SELECT name FROM otp_meter WHERE until <= ?1 LIMIT ?2);

-- Policies. The newest row of a key counts, but what was made as a default never
-- counts more than what somebody wrote.

-- name: policies
SELECT p.tenant, p.channel, p.code_usage, p.policy, p.changed_by, p.changed_at
FROM otp_policy p
WHERE NOT EXISTS (
  SELECT 1 FROM otp_policy q
  WHERE q.tenant = p.tenant AND q.channel = p.channel AND q.code_usage = p.code_usage
    AND CASE q.changed_by WHEN 'defaults' THEN 0 ELSE q.id END > CASE p.changed_by WHEN 'defaults' THEN 0 ELSE p.id END)
ORDER BY p.id;

-- name: policy_history
SELECT tenant, channel, code_usage, policy, changed_by, changed_at
FROM otp_policy
WHERE tenant = ?1 AND channel = ?2 AND code_usage = ?3
ORDER BY id;

-- name: set_policy
INSERT INTO otp_policy (tenant, channel, code_usage, policy, changed_by)
VALUES (?1, ?2, ?3, ?4, ?5);

-- name: add_policy
INSERT INTO otp_policy (tenant, channel, code_usage, policy, changed_by)
SELECT ?1, ?2, ?3, ?4, ?5
WHERE NOT EXISTS (SELECT 1 FROM otp_policy WHERE tenant = ?1 AND channel = ?2 AND code_usage = ?3);

-- The audit trail.

-- name: log
INSERT INTO otp_audit
  (at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope)
VALUES
  (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12);

-- name: audit_challenge
SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
FROM otp_audit
WHERE challenge = ?1 AND seq > ?2
ORDER BY seq LIMIT ?3;

-- name: audit_subject
SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
FROM otp_audit
WHERE (challenge, created_at) IN (SELECT challenge, created_at FROM otp_audit WHERE subject = ?1 AND subject <> '')
  AND seq > ?2
ORDER BY seq LIMIT ?3;

-- name: audit_recipient
SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
FROM otp_audit
WHERE (challenge, created_at) IN (SELECT challenge, created_at FROM otp_audit WHERE recipient = ?1 AND recipient <> '')
  AND seq > ?2
ORDER BY seq LIMIT ?3;

-- name: prune_audit
DELETE FROM otp_audit WHERE seq IN (
  SELECT seq FROM otp_audit WHERE at <= ?1 LIMIT ?2);

-- Credentials. A value is replaced if it is still the one that was read.

-- name: credentials
SELECT value FROM otp_credential WHERE name = ?1;

-- name: new_credentials
INSERT INTO otp_credential (value, until, name) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING;

-- name: swap_credentials
UPDATE otp_credential SET value = ?1, until = ?2 WHERE name = ?3 AND value = ?4;

-- name: drop_credentials
DELETE FROM otp_credential WHERE name = ?1 AND value = ?2;

-- name: list_credentials
SELECT name FROM otp_credential WHERE name > ?1 ORDER BY name LIMIT ?2;

-- name: prune_credentials
DELETE FROM otp_credential WHERE name IN (
  SELECT name FROM otp_credential WHERE until <= ?1 LIMIT ?2);

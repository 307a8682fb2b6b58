-- What the store says to MySQL and MariaDB, neither of which can return the row that
-- an UPDATE changed. A line "-- name: x" starts the statement x. What stands
-- between double braces is repeated for each value of a list.
--
-- A Spend compares digests in SQL, not in constant time. They are keyed hashes of
-- codes, so what the time tells about one helps nobody to find a code.

-- name: get
SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at, epoch
FROM otp_challenge
WHERE id = ?;

-- The outcome travels as the "last insert id" of the reply, so that it is this
-- statement's own and needs no transaction: the epoch, the attempts before and, in
-- the lowest bit, whether a digest was equal. It is worked out first, before
-- attempts has its new value.

-- name: spend
UPDATE otp_challenge SET
  state = 1 + (LAST_INSERT_ID((epoch % 1048576) * 8589934592 + attempts * 2 + CASE WHEN TRUE IN ({{? IN (
      SUBSTRING(digests, 1, 32), SUBSTRING(digests, 33, 32), SUBSTRING(digests, 65, 32), SUBSTRING(digests, 97, 32),
      SUBSTRING(digests, 129, 32), SUBSTRING(digests, 161, 32), SUBSTRING(digests, 193, 32), SUBSTRING(digests, 225, 32),
      SUBSTRING(digests, 257, 32), SUBSTRING(digests, 289, 32), SUBSTRING(digests, 321, 32), SUBSTRING(digests, 353, 32),
      SUBSTRING(digests, 385, 32), SUBSTRING(digests, 417, 32), SUBSTRING(digests, 449, 32), SUBSTRING(digests, 481, 32)
    )}}) THEN 1 ELSE 0 END) & 1),
  attempts = attempts + 1
WHERE id = ? AND state = 1 AND attempts < max_attempts AND expires_at > ?;

-- The rest runs in transactions that hold the row.

-- name: hold
SELECT id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at
FROM otp_challenge
WHERE id = ?
FOR UPDATE;

-- name: insert
INSERT INTO otp_challenge
  (id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at)
VALUES
  (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: replace
UPDATE otp_challenge SET
  digests = ?, sealed = ?, state = ?, attempts = ?, max_attempts = ?, sends = ?, max_sends = ?,
  created_at = ?, sent_at = ?, expires_at = ?, epoch = (epoch + 1) % 1048576
WHERE id = ?;

-- name: rewrite
UPDATE otp_challenge SET sends = ?, sent_at = ?, digests = ? WHERE id = ?;

-- name: cancel
UPDATE otp_challenge SET state = 3 WHERE id = ?;

-- name: new_meters
INSERT INTO otp_meter (name, meter, until) VALUES {{(?, '', 0)}}
ON DUPLICATE KEY UPDATE name = otp_meter.name;

-- name: lock_meters
SELECT name, meter FROM otp_meter WHERE name IN ({{?}}) ORDER BY name FOR UPDATE;

-- name: save_meters
INSERT INTO otp_meter (name, meter, until) VALUES {{(?, ?, ?)}}
ON DUPLICATE KEY UPDATE meter = VALUES(meter), until = VALUES(until);

-- name: raise_counter
UPDATE otp_counter SET counter = ? WHERE name = ? AND counter < ?;

-- name: new_counter
INSERT IGNORE INTO otp_counter (name, counter) VALUES (?, ?);

-- name: prune_challenges
DELETE FROM otp_challenge WHERE expires_at <= ? ORDER BY expires_at LIMIT ?;

-- name: prune_meters
DELETE FROM otp_meter WHERE until <= ? ORDER BY until LIMIT ?;

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
WHERE tenant = ? AND channel = ? AND code_usage = ?
ORDER BY id;

-- name: set_policy
INSERT INTO otp_policy (tenant, channel, code_usage, policy, changed_by)
VALUES (?, ?, ?, ?, ?);

-- name: add_policy
INSERT INTO otp_policy (tenant, channel, code_usage, policy, changed_by)
SELECT n.tenant, n.channel, n.code_usage, n.policy, n.changed_by
FROM (SELECT ? AS tenant, ? AS channel, ? AS code_usage, ? AS policy, ? AS changed_by) AS n
WHERE NOT EXISTS (
  SELECT 1 FROM otp_policy q WHERE q.tenant = n.tenant AND q.channel = n.channel AND q.code_usage = n.code_usage);

-- The audit trail.

-- name: log
INSERT INTO otp_audit
  (at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope)
VALUES
  (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: audit_challenge
SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
FROM otp_audit
WHERE challenge = ? AND seq > ?
ORDER BY seq LIMIT ?;

-- name: audit_subject
SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
FROM otp_audit
WHERE (challenge, created_at) IN (SELECT challenge, created_at FROM otp_audit WHERE subject = ?)
  AND seq > ?
ORDER BY seq LIMIT ?;

-- name: audit_recipient
SELECT seq, at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope
FROM otp_audit
WHERE (challenge, created_at) IN (SELECT challenge, created_at FROM otp_audit WHERE recipient = ?)
  AND seq > ?
ORDER BY seq LIMIT ?;

-- name: prune_audit
DELETE FROM otp_audit WHERE at <= ? ORDER BY at LIMIT ?;

-- Credentials. A value is replaced if it is still the one that was read.

-- name: credentials
SELECT value FROM otp_credential WHERE name = ?;

-- name: new_credentials
INSERT IGNORE INTO otp_credential (value, until, name) VALUES (?, ?, ?);

-- name: swap_credentials
UPDATE otp_credential SET value = ?, until = ?, swaps = swaps + 1 WHERE name = ? AND value = ?;

-- name: drop_credentials
DELETE FROM otp_credential WHERE name = ? AND value = ?;

-- name: list_credentials
SELECT name FROM otp_credential WHERE name > ? ORDER BY name LIMIT ?;

-- name: prune_credentials
DELETE FROM otp_credential WHERE until <= ? ORDER BY until LIMIT ?;

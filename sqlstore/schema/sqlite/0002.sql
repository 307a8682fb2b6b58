-- Policies and the audit trail.

-- Rows of policies are added, never changed or removed: the newest row of a tenant,
-- channel and usage is the policy, and the others are its history. An empty tenant,
-- channel or usage matches every one. The policy null takes away the one before it.
CREATE TABLE otp_policy (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant     TEXT COLLATE BINARY NOT NULL DEFAULT '',
  channel    TEXT COLLATE BINARY NOT NULL DEFAULT '',
  code_usage TEXT COLLATE BINARY NOT NULL DEFAULT '',
  policy     TEXT    NOT NULL CHECK (json_valid(policy)),
  changed_by TEXT    NOT NULL,
  changed_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000)
);

CREATE INDEX otp_policy_key ON otp_policy (tenant, channel, code_usage, id);

-- A challenge is named by its id and when it was made: a reference is used again.
CREATE TABLE otp_audit (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL,
  operation  TEXT    NOT NULL,
  outcome    TEXT    NOT NULL,
  challenge  TEXT COLLATE BINARY NOT NULL,
  created_at INTEGER NOT NULL,
  state      INTEGER NOT NULL,
  attempts   INTEGER NOT NULL,
  sends      INTEGER NOT NULL,
  subject    TEXT COLLATE BINARY NOT NULL,
  recipient  TEXT COLLATE BINARY NOT NULL,
  client     TEXT COLLATE BINARY NOT NULL,
  scope      TEXT    NOT NULL
);

CREATE INDEX otp_audit_at ON otp_audit (at);

CREATE INDEX otp_audit_challenge ON otp_audit (challenge);

-- Most rows are about attempts, which name neither.
CREATE INDEX otp_audit_subject ON otp_audit (subject) WHERE subject <> '';

CREATE INDEX otp_audit_recipient ON otp_audit (recipient) WHERE recipient <> '';

-- Policies and the audit trail.

-- Rows of policies are added, never changed or removed: the newest row of a tenant,
-- channel and usage is the policy, and the others are its history. An empty tenant,
-- channel or usage matches every one. The policy null takes away the one before it.
CREATE TABLE otp_policy (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant     text COLLATE "C" NOT NULL DEFAULT '',
  channel    text COLLATE "C" NOT NULL DEFAULT '',
  code_usage text COLLATE "C" NOT NULL DEFAULT '',
  policy     jsonb  NOT NULL,
  changed_by text   NOT NULL,
  changed_at bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
);

CREATE INDEX otp_policy_key ON otp_policy (tenant, channel, code_usage, id);

-- A challenge is named by its id and when it was made: a reference is used again.
CREATE TABLE otp_audit (
  seq        bigint GENERATED ALWAYS AS IDENTITY,
  at         bigint   NOT NULL,
  operation  text     NOT NULL,
  outcome    text     NOT NULL,
  challenge  text COLLATE "C" NOT NULL,
  created_at bigint   NOT NULL,
  state      smallint NOT NULL,
  attempts   integer  NOT NULL,
  sends      integer  NOT NULL,
  subject    text COLLATE "C" NOT NULL,
  recipient  text COLLATE "C" NOT NULL,
  client     text COLLATE "C" NOT NULL,
  scope      text     NOT NULL,
  PRIMARY KEY (at, seq)
);

CREATE INDEX otp_audit_challenge ON otp_audit (challenge);

-- Most rows are about attempts, which name neither.
CREATE INDEX otp_audit_subject ON otp_audit (subject) WHERE subject <> '';

CREATE INDEX otp_audit_recipient ON otp_audit (recipient) WHERE recipient <> '';

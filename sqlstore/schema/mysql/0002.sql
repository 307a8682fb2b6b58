-- Policies and the audit trail.

-- Rows of policies are added, never changed or removed: the newest row of a tenant,
-- channel and usage is the policy, and the others are its history. An empty tenant,
-- channel or usage matches every one. The policy null takes away the one before it.
CREATE TABLE IF NOT EXISTS otp_policy (
  id         BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant     VARBINARY(64)  NOT NULL DEFAULT '',
  channel    VARBINARY(64)  NOT NULL DEFAULT '',
  code_usage VARBINARY(64)  NOT NULL DEFAULT '',
  policy     JSON           NOT NULL,
  changed_by VARBINARY(128) NOT NULL,
  changed_at BIGINT         NOT NULL DEFAULT (TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))),
  KEY otp_policy_key (tenant, channel, code_usage, id)
) ENGINE = InnoDB;

-- A challenge is named by its id and when it was made: a reference is used again.
CREATE TABLE IF NOT EXISTS otp_audit (
  seq        BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
  at         BIGINT         NOT NULL,
  operation  VARBINARY(16)  NOT NULL,
  outcome    VARBINARY(32)  NOT NULL,
  challenge  VARBINARY(128) NOT NULL,
  created_at BIGINT         NOT NULL,
  state      TINYINT        NOT NULL,
  attempts   INT            NOT NULL,
  sends      INT            NOT NULL,
  subject    VARBINARY(128) NOT NULL,
  recipient  VARBINARY(128) NOT NULL,
  client     VARBINARY(128) NOT NULL,
  scope      VARBINARY(64)  NOT NULL,
  KEY otp_audit_at (at),
  KEY otp_audit_challenge (challenge),
  KEY otp_audit_subject (subject),
  KEY otp_audit_recipient (recipient)
) ENGINE = InnoDB;

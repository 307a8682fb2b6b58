-- Credentials: one encrypted value for each subject and factor. Without until it is kept
-- for good.

CREATE TABLE otp_credential (
  name  TEXT COLLATE BINARY PRIMARY KEY,
  value BLOB NOT NULL,
  until INTEGER
);

CREATE INDEX otp_credential_until ON otp_credential (until) WHERE until IS NOT NULL;

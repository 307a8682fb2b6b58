-- Credentials: one encrypted value for each subject and factor. Without until it is kept
-- for good.

CREATE TABLE otp_credential (
  name  text COLLATE "C" PRIMARY KEY,
  value bytea  NOT NULL,
  until bigint
) WITH (fillfactor = 70);

CREATE INDEX otp_credential_until ON otp_credential (until) WHERE until IS NOT NULL;

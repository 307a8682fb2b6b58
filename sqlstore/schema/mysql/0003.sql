-- Credentials: one encrypted value for each subject and factor. Without until it is kept
-- for good. Swaps are counted, because the server does not count a row as changed that
-- gets the values it has.

CREATE TABLE IF NOT EXISTS otp_credential (
  name  VARBINARY(128)  NOT NULL PRIMARY KEY,
  value VARBINARY(8192) NOT NULL,
  until BIGINT,
  swaps BIGINT          NOT NULL DEFAULT 0,
  KEY otp_credential_until (until)
) ENGINE = InnoDB;

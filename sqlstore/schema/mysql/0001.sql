-- The first version. Statements end with a semicolon at the end of a line. The server
-- commits each of them, so all can be repeated.
-- Ids and names compare byte by byte, trailing spaces included. Times are
-- microseconds since 1970. An epoch counts how often a dead record was replaced.

CREATE TABLE IF NOT EXISTS otp_challenge (
  id           VARBINARY(128)  NOT NULL PRIMARY KEY,
  digests      VARBINARY(512)  NOT NULL,
  sealed       VARBINARY(4096) NOT NULL,
  state        TINYINT         NOT NULL,
  attempts     INT             NOT NULL,
  max_attempts INT             NOT NULL,
  sends        INT             NOT NULL,
  max_sends    INT             NOT NULL,
  created_at   BIGINT          NOT NULL,
  sent_at      BIGINT          NOT NULL,
  expires_at   BIGINT          NOT NULL,
  epoch        INT             NOT NULL DEFAULT 0,
  KEY otp_challenge_expires (expires_at)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS otp_meter (
  name  VARBINARY(128) NOT NULL PRIMARY KEY,
  meter MEDIUMBLOB     NOT NULL,
  until BIGINT         NOT NULL,
  KEY otp_meter_until (until)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS otp_counter (
  name    VARBINARY(128) NOT NULL PRIMARY KEY,
  counter BINARY(8)      NOT NULL
) ENGINE = InnoDB;

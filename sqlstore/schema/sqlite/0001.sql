-- The first version. Statements end with a semicolon at the end of a line.
-- Ids and names compare byte by byte. Times are microseconds since 1970.

CREATE TABLE otp_challenge (
  id           TEXT COLLATE BINARY PRIMARY KEY NOT NULL,
  digests      BLOB    NOT NULL,
  sealed       BLOB    NOT NULL,
  state        INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  sends        INTEGER NOT NULL,
  max_sends    INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  sent_at      INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL
);

CREATE INDEX otp_challenge_expires ON otp_challenge (expires_at);

CREATE TABLE otp_meter (
  name  TEXT COLLATE BINARY PRIMARY KEY NOT NULL,
  meter BLOB    NOT NULL,
  until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX otp_meter_until ON otp_meter (until);

CREATE TABLE otp_counter (
  name    TEXT COLLATE BINARY PRIMARY KEY NOT NULL,
  counter BLOB NOT NULL -- eight bytes, the highest first
) WITHOUT ROWID;

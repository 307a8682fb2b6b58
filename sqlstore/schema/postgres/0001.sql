-- The first version. Statements end with a semicolon at the end of a line.
-- Ids and names compare byte by byte, whatever the database's collation. Times are
-- microseconds since 1970. Rows are updated in place of old ones where pages have
-- room (HOT), so they leave some.

CREATE TABLE otp_challenge (
  id           text COLLATE "C" PRIMARY KEY,
  digests      bytea    NOT NULL,
  sealed       bytea    NOT NULL,
  state        smallint NOT NULL,
  attempts     integer  NOT NULL,
  max_attempts integer  NOT NULL,
  sends        integer  NOT NULL,
  max_sends    integer  NOT NULL,
  created_at   bigint   NOT NULL,
  sent_at      bigint   NOT NULL,
  expires_at   bigint   NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX otp_challenge_expires ON otp_challenge (expires_at);

-- The hour has the index, not the time: it changes seldom, and an update that
-- changes no indexed column need not touch the indexes.
CREATE TABLE otp_meter (
  name       text COLLATE "C" PRIMARY KEY,
  meter      bytea  NOT NULL,
  until      bigint NOT NULL,
  until_hour bigint NOT NULL GENERATED ALWAYS AS (until / 3600000000) STORED
) WITH (fillfactor = 50);

CREATE INDEX otp_meter_until ON otp_meter (until_hour);

CREATE TABLE otp_counter (
  name    text COLLATE "C" PRIMARY KEY,
  counter bytea NOT NULL -- eight bytes, the highest first
) WITH (fillfactor = 70);

-- A record is one string, with big-endian numbers:
--
--    1  4  MaxAttempts
--    5  4  MaxSends
--    9  8  CreatedAt
--   17  8  ExpiresAt
--   25  2  the length of Sealed, and Sealed
--       1  how many changes were made to a record that stood here before, and for each
--          the last 17 bytes
--
-- and then its changes, oldest first, each of them what the rest of the record became:
--
--    the digests, 32 bytes each; their number (1), State (1), Attempts (4), Sends (4),
--    SentAt (8), the charge that was refused in silence (1) and until when (8), and the
--    operation that made the change (8)
--
-- So the last change is what the record is now, and a change is appended, with nothing
-- else written. The earlier ones answer clients that ask again because the first answer
-- did not reach them.
--
-- A number of Lua is a double, which is exact up to 2^53. Times that are compared are
-- microseconds since 1970 and below that until the year 2255; the other times are not
-- looked at.

-- An answer is the record, or the last 17 bytes of one: a client knows its change by its
-- operation. An operation of zeros stands for a charge that was refused, any other for a
-- record that was not live.

local NONE = '\0\0\0\0\0\0\0\0\0' -- no charge was refused
local NOBODY = '\0\0\0\0\0\0\0\0' -- the operation of nobody
local MOST = 16384                  -- bytes of changes, far more than a challenge of a service has

local function change(digests, state, attempts, sends, sent, refused, op)
  return digests .. struct.pack('>BBI4I4', #digests / 32, state, attempts, sends) .. sent .. refused .. op
end

-- append adds a change to record v, whose changes begin after head, and returns the answer.
-- Of very many changes it forgets the older half.
local function append(v, head, c)
  if #v - head + #c > MOST then
    local from = #v
    while #v - from < MOST / 2 do from = from - 35 - 32 * string.byte(v, from - 34) end
    v = string.sub(v, 1, head) .. string.sub(v, from + 1) .. c
    redis.call('SET', KEYS[1], v, 'KEEPTTL')
    return v
  end
  redis.call('APPEND', KEYS[1], c)
  return v .. c
end

-- A meter is one string, with big-endian numbers: what otp.Meter holds, and what it
-- decides. A model test compares the two.
--
--    1  8  the longest window ever charged
--    9  8  the total of limits without a window
--   17  8  when that was last charged
--   25  1  the number of operations that changed it last, and the operations, 8 bytes each
--      16  for each entry, oldest first: its time (8) and its cost (8)
--
-- All times are microseconds, and all sums are below 2^53, where the doubles of Lua are
-- exact: a limit is at most 2^50.

local OPERATIONS = 128 -- that a meter remembers

local function meter(v)
  if not v then return {keep = 0, total = 0, last = 0, ops = '', log = ''} end
  local keep, total, last, n = struct.unpack('>I8I8I8B', v)
  local log = 26 + 8 * n
  return {keep = keep, total = total, last = last, ops = string.sub(v, 26, log - 1), log = string.sub(v, log)}
end

local function encode(m)
  return struct.pack('>I8I8I8B', m.keep, m.total, m.last, #m.ops / 8) .. m.ops .. m.log
end

-- remember keeps an operation, so that its repetition changes nothing.
local function remember(m, op)
  m.ops = string.sub(m.ops .. op, -8 * OPERATIONS)
end

-- remembers reports whether an operation has changed the meter that v is. Nothing else in
-- it is like eight random bytes.
local function remembers(key, v, op)
  if not string.find(v, op, 26, true) then return false end
  redis.call('APPEND', key, '') -- so that WAIT has something to wait for
  return true
end

-- An argument of charges has for each its number (1), the key it is for (1), whether it is
-- silent (1), can never be made (1), has windows (1), how many limits it has (1), its cost,
-- its time, that time rounded up, its longest window, what it adds to the total (8 each),
-- then N and Per of each limit (8 each).
local CHARGE = '>BBBBBBI8I8I8I8I8'

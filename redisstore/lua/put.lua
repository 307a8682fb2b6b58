-- KEYS: the record, then meters. ARGV: operation (8), now (8), how many milliseconds the
-- record is kept (8), and State, Attempts, Sends (9) and SentAt (8); the record up to its
-- changes; the digests; charges.
local EARLIER = 64 -- changes of the record that stood here before
local values = redis.call('MGET', unpack(KEYS))
local op, now, ttl, state, attempts, sends, sent = struct.unpack('>c8I8I8BI4I4c8', ARGV[1])
local old, earlier = values[1], ''
if old then
  local max, expires, sealed = struct.unpack('>I4xxxxxxxxxxxxI8I2', old)
  local again = string.find(old, op, 28 + sealed, true)
  if again then
    redis.call('APPEND', KEYS[1], '') -- so that WAIT has something to wait for
    return string.sub(old, again - 9, again + 7)
  end
  local was, spent = struct.unpack('>BI4', old, #old - 33)
  if was == 1 and spent < max and now < expires then return old end

  -- Who changed the old record may ask again.
  local head, at = 27 + sealed + 17 * string.byte(old, 27 + sealed), #old
  while at > head and #earlier < 17 * EARLIER do
    earlier = string.sub(old, at - 16, at) .. earlier
    at = at - 35 - 32 * string.byte(old, at - 34)
  end
  earlier = string.sub(string.sub(old, 28 + sealed, head) .. earlier, -17 * EARLIER)
end

local digests, refused, meters = ARGV[3], NONE, {}
if ARGV[4] then
  local refusal, silent
  meters, refusal, silent = charge(values, ARGV[4])
  if refusal and not silent then
    return (old and string.sub(old, 1, #old - 17) or '') .. refusal .. NOBODY
  end
  if refusal then digests, refused = '', refusal end
end
redis.call('SET', KEYS[1], ARGV[2] .. string.char(#earlier / 17) .. earlier .. change(digests, state, attempts, sends, sent, refused, op),
  'PX', string.format('%.0f', ttl))
for i, m in pairs(meters) do write(KEYS[i], m, now) end
return refused .. op

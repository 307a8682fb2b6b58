-- Only a live record is changed. KEYS[1] is the record, and ARGV[1] begins with operation
-- (8) and now (8).
local v = redis.call('GET', KEYS[1])
if not v then return false end
local op, now = struct.unpack('>c8I8', ARGV[1])
local maxattempts, maxsends, expires, sealed = struct.unpack('>I4I4xxxxxxxxI8I2', v)
local head = 27 + sealed + 17 * string.byte(v, 27 + sealed)
local again = string.find(v, op, 28 + sealed, true)
if again then
  redis.call('APPEND', KEYS[1], '') -- so that WAIT has something to wait for
  if again <= head then return redis.error_reply('ERR the record that this has changed is gone') end
  return string.sub(v, 1, again + 7)
end
local n, state, attempts, sends, sent = struct.unpack('>BBI4I4c8', v, #v - 34)
if state ~= 1 or attempts >= maxattempts or now >= expires then return v end
local digests = string.sub(v, #v - 34 - 32 * n, #v - 35)

-- KEYS: the counter. ARGV: operation (8); counter (8).
-- A counter has 64 bits, more than a number of Lua: it is compared by halves. Behind it
-- stand the last 16 operations.
local v = redis.call('GET', KEYS[1]) or ''
if string.find(v, ARGV[1], 9, true) then
  redis.call('APPEND', KEYS[1], '') -- so that WAIT has something to wait for
  return '\1'
end
if v ~= '' then
  local high, low = struct.unpack('>I4I4', v)
  local newhigh, newlow = struct.unpack('>I4I4', ARGV[2])
  if newhigh < high or newhigh == high and newlow <= low then return '\0' end
end
redis.call('SET', KEYS[1], ARGV[2] .. string.sub(string.sub(v, 9) .. ARGV[1], -128))
return '\1'

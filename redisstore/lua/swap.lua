-- KEYS: the credentials. ARGV: operation (8); what they are to be, and what they shall be,
-- either of which may be empty; after how many milliseconds they may be forgotten, empty if
-- never. Before a value stand the last 16 operations that changed it (128).
local v = redis.call('GET', KEYS[1]) or string.rep('\0', 128)
local ops = string.sub(v, 1, 128)
if string.find(ops, ARGV[1], 1, true) then
  redis.call('APPEND', KEYS[1], '') -- so that WAIT has something to wait for
  return '\1'
end
if string.sub(v, 129) ~= ARGV[2] then return '\0' end
v = string.sub(ops, 9) .. ARGV[1] .. ARGV[3]
if ARGV[4] == '' then
  redis.call('SET', KEYS[1], v)
else
  redis.call('SET', KEYS[1], v, 'PX', ARGV[4])
end
return '\1'

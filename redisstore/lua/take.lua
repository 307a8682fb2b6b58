-- KEYS: a meter. ARGV: operation (8) and now (8); charges, all silent or all not.
-- The answer is that of a record without the record.
local op, now = struct.unpack('>c8I8', ARGV[1])
local done = string.rep('\0', 9) .. op
local v = redis.call('GET', KEYS[1])
if v and remembers(KEYS[1], v, op) then return done end
local meters, refused = charge({v}, ARGV[2])
if refused then return refused .. string.rep('\0', 8) end
remember(meters[1], op)
write(KEYS[1], meters[1], now)
return done

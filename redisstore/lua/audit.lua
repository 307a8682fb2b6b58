-- KEYS: the stream. ARGV: operation (8); how many entries are kept; for how many
-- milliseconds; fields and values.
-- What a client asks for again is among the last that were written, unless many others were
-- quicker.
for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 64)) do
  if entry[2][2] == ARGV[1] then return entry[1] end
end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'op', ARGV[1], unpack(ARGV, 4))
local oldest = tonumber(string.match(id, '^%d+')) - tonumber(ARGV[3])
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(oldest, 0)))
return id

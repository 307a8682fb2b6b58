-- KEYS: the record, then meters. ARGV: operation, now and how many digests stay (4); the
-- new digests; charges.
if sends >= maxsends then return v end
local added, refused, meters = ARGV[2], NONE, {}
if ARGV[3] then
  local refusal, silent
  meters, refusal, silent = charge(redis.call('MGET', unpack(KEYS)), ARGV[3])
  if refusal and not silent then
    return string.sub(v, 1, #v - 17) .. refusal .. NOBODY
  end
  if refusal then added, refused = '', refusal end
end
if added ~= '' then
  digests = digests .. added
  local keep = 32 * struct.unpack('>I4', ARGV[1], 17)
  digests = string.sub(digests, #digests + 1 - math.min(#digests, keep))
end
for i, m in pairs(meters) do write(KEYS[i], m, now) end
return append(v, head, change(digests, 1, attempts, sends + 1, string.sub(ARGV[1], 9, 16), refused, op))

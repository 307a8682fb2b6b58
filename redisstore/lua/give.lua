-- KEYS: meters. ARGV: for each of them what is taken off its total (8), and the time (8) and
-- cost (8) of each charge that its log gives back; last the operation (8).
local RETRY = '120000' -- milliseconds within which a client asks again
local op, values = ARGV[#ARGV], redis.call('MGET', unpack(KEYS))
for i, v in ipairs(values) do
  if v and remembers(KEYS[i], v, op) then return '\1' end
end

-- without returns a log without entries, or with less of them. What has left its window
-- stays gone.
local function without(log, entries)
  if log == entries then return '' end -- nearly always
  for i = 1, #entries, 16 do
    local at, cost = struct.unpack('>I8I8', entries, i)
    for p = #log - 15, 1, -16 do
      local before, there = struct.unpack('>I8I8', log, p)
      if before < at then break end
      if before == at then
        local left = there > cost and struct.pack('>I8I8', at, there - cost) or ''
        log = string.sub(log, 1, p - 1) .. left .. string.sub(log, p + 16)
        break
      end
    end
  end
  return log
end

-- That it was done is remembered by one of them. Whatever remembers something is kept for
-- that even if it is empty.
local remembered = false
for i, v in ipairs(values) do
  if v then -- what is not there is full already
    local total, n = struct.unpack('>xxxxxxxxI8xxxxxxxxB', v)
    total = math.max(0, total - struct.unpack('>I8', ARGV[i]))
    local log = without(string.sub(v, 26 + 8 * n), string.sub(ARGV[i], 9))
    if total > 0 or log ~= '' then
      local m = meter(v)
      m.total, m.log = total, log
      if total == 0 then m.last = 0 end
      if not remembered then remember(m, op) end
      redis.call('SET', KEYS[i], encode(m), 'KEEPTTL')
    else
      local m = {keep = 0, total = 0, last = 0, ops = string.sub(v, 26, 25 + 8 * n), log = ''}
      if not remembered then remember(m, op) end
      if m.ops == '' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], encode(m), 'PX', RETRY) end
    end
    remembered = true
  end
end
return '\1'

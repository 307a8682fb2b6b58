-- KEYS: meters. ARGV: operation (8); charges.
local RETRY = 120 * 1000 -- milliseconds within which a client asks again
local op, arg, values, meters = ARGV[1], ARGV[2], redis.call('MGET', unpack(KEYS)), {}
for i, v in ipairs(values) do
  if v then -- what is not there is full already
    meters[i] = meter(v)
    if remembers(KEYS[i], meters[i], op) then return '\1' end
  end
end

-- without returns a log without an entry, or with less of it. What has left its window
-- stays gone.
local function without(log, at, cost)
  for p = #log - 15, 1, -16 do
    local before, there = struct.unpack('>I8I8', log, p)
    if before < at then break end
    if before == at then
      local left = there > cost and struct.pack('>I8I8', at, there - cost) or ''
      return string.sub(log, 1, p - 1) .. left .. string.sub(log, p + 16)
    end
  end
  return log
end

local p = 1
while p <= #arg do
  local _, key, windows, n, cost, at, total
  _, key, _, _, windows, n, cost, _, at, _, total, p = struct.unpack(CHARGE, arg, p)
  p = p + 16 * n
  local m = meters[key]
  if m then
    m.total = math.max(0, m.total - total)
    if m.total == 0 then m.last = 0 end
    if windows == 1 then m.log = without(m.log, at, cost) end
  end
end

-- That it was done is remembered by one of them, which is kept for that even if it is empty.
local remembered = false
for i = 1, #KEYS do
  local m = meters[i]
  if m then
    local empty = m.total == 0 and m.log == ''
    if empty then m.keep = 0 end -- as if it were new
    if empty and remembered then
      redis.call('DEL', KEYS[i])
    else
      if not remembered then remember(m, op) end
      remembered = true
      if empty then
        redis.call('SET', KEYS[i], encode(m), 'PX', RETRY)
      else
        redis.call('SET', KEYS[i], encode(m), 'KEEPTTL')
      end
    end
  end
end
return '\1'

-- Charges are made on meters: see meter.lua.
local SKEW = 60 * 1000000           -- how far clocks may be apart
local IDLE = 366 * 86400 * 1000000  -- how long a total is remembered
local SLACK = 3600 * 1000           -- milliseconds that a key is kept longer than it counts

-- horizon is how long an entry is kept: beyond its window, since another process whose
-- clock is behind still has to see it.
local function horizon(m) return m.keep + math.min(m.keep, SKEW) end

-- refusal is nil if m has room for cost, else after how long it will, or 0. The limits are
-- n at p.
local function refusal(m, arg, p, n, cost, now)
  local log, never, retry = m.log
  for i = p, p + 16 * (n - 1), 16 do
    local most, per = struct.unpack('>I8I8', arg, i)
    local used = cost
    if per == 0 then used = used + m.total end
    if used > most then
      never = true
    elseif per > 0 then
      for j = #log - 15, 1, -16 do
        local at, there = struct.unpack('>I8I8', log, j)
        if at <= now - per then break end
        used = used + there
        if used > most then
          retry = math.max(retry or 0, at + per - now)
          break
        end
      end
    end
  end
  return never and 0 or retry
end

-- insert adds an entry to a log. Nearly always it is the newest.
local function insert(log, at, cost)
  local p = #log + 1
  local rest = p
  while p > 1 do
    local before, there = struct.unpack('>I8I8', log, p - 16)
    if before < at then break end
    p = p - 16
    if before == at then
      cost = cost + there
      break
    end
    rest = p
  end
  return string.sub(log, 1, p - 1) .. struct.pack('>I8I8', at, cost) .. string.sub(log, rest)
end

-- take makes the charges that are silent, or those that are not, until one refuses.
local function take(meters, values, arg, which)
  local p = 1
  while p <= #arg do
    local number, key, silent, never, windows, n, cost, now, at, keep, total
    number, key, silent, never, windows, n, cost, now, at, keep, total, p = struct.unpack(CHARGE, arg, p)
    if silent == which then
      local m = meters[key]
      if not m then
        m = meter(values[key])
        meters[key] = m
      end
      local retry = never == 1 and 0 or refusal(m, arg, p, n, cost, now)
      if retry then return struct.pack('>BI8', number, retry) end
      if keep > m.keep then m.keep = keep end
      if total > 0 then
        m.total = m.total + total
        m.last = math.max(m.last, now)
      end
      local log = m.log
      if log ~= '' then
        local gone, i = now - horizon(m), 1
        while i <= #log and struct.unpack('>I8', log, i) <= gone do i = i + 16 end
        log = string.sub(log, i)
      end
      if windows == 1 then log = insert(log, at, cost) end
      m.log = log
    end
    p = p + 16 * n
  end
end

-- charge makes the charges on the meters that values are, and writes nothing yet. If one
-- refuses it returns which and after how long it will not, packed as a change has it. If
-- that was a silent one, the others are made.
local function charge(values, arg)
  local meters = {}
  local refused = take(meters, values, arg, 0)
  if refused then return meters, refused, false end
  refused = take(meters, values, arg, 1)
  if not refused then return meters end
  meters = {}
  take(meters, values, arg, 0)
  return meters, refused, true
end

-- write stores a meter that was charged. It is forgotten when nothing in it can refuse
-- any more, and an hour later: clocks differ.
local function write(key, m, now)
  local ends = now
  if m.log ~= '' then ends = math.max(ends, struct.unpack('>I8', m.log, #m.log - 15) + horizon(m)) end
  if m.total > 0 then ends = math.max(ends, m.last + IDLE) end
  redis.call('SET', key, encode(m), 'PX', string.format('%.0f', math.ceil((ends - now) / 1000) + SLACK))
end

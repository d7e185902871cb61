#!lua flags=no-writes
-- Tells how each limit of a request stands, and writes nothing: what reserve.lua would find now, limit by limit.
--
-- KEYS, ARGV   as in reserve.lua; the record (KEYS[1]) is not looked at
--
-- Reply:       P now(double), then per limit: room (1 byte: 1 when the request has room), left and wait (doubles):
--              left before the request, in units of the limit, of a token bucket in µs of its burst; wait as in reserve.lua

local input, output, micro, _, width, _, groups = read('<ddddddB', ARGV[1])
local cost = {1, input, output, input + output, 1, micro}
local today = floor(now / width)
local plan, at, field, log = ARGV[2], 1, 3, 2 + groups
local found = {}

for s = 2, groups + 1 do
  local scope, limits, fields, holds
  scope, limits, fields, holds, at = read('<BBBB', plan, at)
  local hash = KEYS[s]
  local v = call('HMGET', hash, 'm', 'lost', unpack(ARGV, field, field + fields - 1))
  local expires, swept, n, h = 0, today, 0, 0
  if v[1] then expires, swept, n, h = read('<dddd', v[1]) end
  swept = min(swept, today)

  if holds > 0 and swept < today then
    if n > 0 then
      -- As if the next call had cleared what expired: at most 64 buckets.
      local names = {}
      for b = swept + 1, min(today, swept + 64) do names[#names + 1] = 'b' .. b end
      local gone = call('HMGET', hash, unpack(names))
      for i = 1, #names do
        if gone[i] then
          local requests, money = read('<dd', gone[i])
          n, h = n - requests, h - money
        end
      end
    else
      h = 0
    end
  end

  local value = 3
  for _ = 1, limits do
    local kind, unit, a, b, c, d
    kind, unit, a, b, c, d, at = read('<BBdddd', plan, at)
    local want, state, left, wait = cost[unit], v[value]
    if kind == 1 then
      local tat = state and max(read('<d', state), now) or now
      local long = refill(want, a, b, c)
      left = d - (tat - now)
      if left < long then wait = long > d and NEVER or long - left end
    elseif kind == 2 or kind == 6 then
      local start, stop = window(b, now)
      local used = 0
      if state then
        local since, count = read('<dd', state)
        if since == start then used = count end
      end
      left = a - used - (kind == 6 and h or 0)
      if left < want and c == 0 then wait = want > a and NEVER or (used + want > a and stop - now or 0) end
    elseif kind == 5 then
      left = a - n
      if left < 1 then wait = 0 end
      value = value - 1 -- it has no field
    elseif kind == 3 then
      local start = now - now % b
      local used, before = counted(state, start, b)
      local ticks = floor(b / c)
      left = a - used - floor(before * floor((b - (now - start)) / c) / ticks)
      if left < want then
        if want > a then
          wait = NEVER
        else
          local free, shift, weighed = a - used - want, 0, before
          if free < 0 then free, shift, weighed = a - want, b, min(used, CEILING) end
          local most = weighed == 0 and ticks or floor(((free + 1) * ticks - 1) / weighed)
          wait = max(1, max(0, b - (most + 1) * c + 1) + shift - (now - start))
        end
      end
    else
      -- A hash without its log, or a log without its hash, counts nothing: reserve.lua says why.
      local sum, key = state and read('<d', state) or 0, KEYS[log]
      if sum > 0 and call('EXISTS', key) == 0 then sum = 0 end
      local old = state and call('ZRANGEBYSCORE', key, '-inf', now - b, 'LIMIT', 0, 512) or {}
      for i = 1, #old do sum = sum - read('>I3', old[i], 17) end
      left = a - sum
      if left < want then
        wait = NEVER
        if want <= a then
          local need, entries, last = want - left, call('ZRANGE', key, #old, #old + 127, 'WITHSCORES'), now
          for i = 1, #entries, 2 do
            need, last = need - read('>I3', entries[i], 17), entries[i + 1]
            if need <= 0 then break end
          end
          wait = max(1, last + b - now)
        end
      end
      log = log + 1
    end
    found[#found + 1] = write('<Bdd', wait and 0 or 1, max(0, left), wait or 0)
    value = value + 1
  end
  field = field + value - 3
end

return 'P' .. write('<d', now) .. table.concat(found)

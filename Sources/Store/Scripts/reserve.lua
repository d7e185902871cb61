#!lua
-- Checks all limits of a request on its path org → team → key (and feature) and writes all of them, or none.
--
-- KEYS[1]            the record of the request id
-- KEYS[2 … 1+g]      the hash of each scope that has limits, in the order of the plan
-- KEYS[2+g …]        the log of each sliding-window limit, in the order of the plan
-- ARGV[1]            head, big-endian: input tokens (3 bytes), output tokens (3), micro-USD (6), hold in ms (4),
--                    bucket width in µs (6), life of the record in ms (4), g (1), request id (16)
-- ARGV[2]            plan: per scope: scope, limits, fields, holds (1 byte each; holds ≠ 0: its requests and money are held),
--                    then per limit: kind, unit, fields (1 byte each), four integers (7 bytes each; Policy/Limits/LimitRule.swift)
-- ARGV[3 …]          names of the counter fields, in the order of the plan
--
-- Reply, big-endian: G now(7) { left(7) per limit }                              granted
--                    D now(7) limit(1) left(7) wait(7): µs, 0 on release, 2^52 never   denied; nothing was written
--                    R now(7) reserved at(7) input(3) output(3) micro-USD(6)     reserved before, not settled; nothing was written
--                    S the same, with the real use                               settled before; nothing was written
--                    left and now are in units of the limit and µs; left of a token bucket is µs of its burst
-- Record: R or S, reserved at(7), input(3), output(3), micro-USD(6), bucket(6), mask of the scopes that hold(1).
-- An absent record: the id is new. What had expired before the call is cleared even when the call is denied.

local record = call('GET', KEYS[1])
if record then return string.sub(record, 1, 1) .. write('>I7', now) .. string.sub(record, 2, 20) end

local input, output, micro, hold, width, life, groups, id = read('>I3I3I6I4I6I4Bc16', ARGV[1])
local cost = {1, input, output, input + output, 1, micro}
local bucket = floor((now + hold * 1000) / width) + 1
local today = floor(now / width)
local requests_held, money_held = 'n' .. bucket, 'h' .. bucket

-- Clears what expired since bucket `swept`, at most SWEEP buckets; stored at once, for it is true whatever is decided.
local function sweep(key, swept, n, h)
  if n == 0 then return today, 0, 0 end
  local last, names, gone, lost = min(today, swept + SWEEP), {}, {}, 0
  for b = swept + 1, last do
    names[#names + 1] = 'n' .. b
    names[#names + 1] = 'h' .. b
  end
  local found = call('HMGET', key, unpack(names))
  for i = 1, #names, 2 do
    if found[i] then
      n, h, lost = n - found[i], h - found[i + 1], lost + found[i]
      gone[#gone + 1] = names[i]
      gone[#gone + 1] = names[i + 1]
    end
  end
  if lost > 0 then
    call('HDEL', key, unpack(gone))
    call('HINCRBY', key, 'lost', lost)
  end
  call('HSET', key, 's', last, 'n', n, 'h', h)
  return last, n, h
end

-- Clears the expired entries of a log (weight: the last 3 bytes of a member) and returns the sum that is left.
local function clear(key, hash, field, sum, before)
  local old = call('ZRANGEBYSCORE', key, '-inf', before, 'LIMIT', 0, LOG_SWEEP)
  if #old == 0 then return sum end
  for i = 1, #old do sum = sum - read('>I3', old[i], 17) end
  call('ZREMRANGEBYRANK', key, 0, #old - 1)
  call('HSET', hash, field, sum)
  return sum
end

-- µs until `need` units have left a log.
local function leaves(key, need, period)
  local old = call('ZRANGE', key, 0, LOG_WALK - 1, 'WITHSCORES')
  local at = now
  for i = 1, #old, 2 do
    need, at = need - read('>I3', old[i], 17), old[i + 1]
    if need <= 0 then break end
  end
  return max(1, at + period - now)
end

-- µs until a sliding counter has room for `cost`; `left`: room beside it in this window without the older one.
local function counter_wait(period, tick, start, count, before, amount, cost)
  local ticks, shift = floor(period / tick), 0
  local room = amount - count - cost
  if room < 0 then
    shift, room, before = period, amount - cost, min(count, 68719476736)
  end
  local most = before == 0 and ticks or floor(((room + 1) * ticks - 1) / before)
  return max(1, max(0, period - (most + 1) * tick + 1) + shift - (now - start))
end

local plan, at, field, log = ARGV[2], 1, 3, 2 + groups
local index, worst, worst_wait, worst_left = 0, 0, -1, 0
local left, hashes, logs, mask = {}, {}, {}, 0

for s = 2, groups + 1 do
  local scope, limits, fields, holds
  scope, limits, fields, holds, at = read('>BBBB', plan, at)
  local hash = KEYS[s]
  local v = call('HMGET', hash, 'x', 's', 'n', 'h', requests_held, money_held, unpack(ARGV, field, field + fields - 1))
  local out, till, n, h = {hash}, 0, 0, 0
  if holds > 0 then
    local swept = min(v[2] or today, today)
    n, h = (v[3] or 0) + 0, (v[4] or 0) + 0
    if swept < today then swept, n, h = sweep(hash, swept, n, h) end
    mask = mask + 2 ^ scope
    out = {hash, 's', swept, 'n', n + 1, 'h', h + micro,
      requests_held, (v[5] or 0) + 1, money_held, (v[6] or 0) + micro}
    till = bucket * width
  end
  local value = 7
  for i = 1, limits do
    local kind, unit, count, a, b, c, d
    kind, unit, count, a, b, c, d, at = read('>BBBI7I7I7I7', plan, at)
    local want, room, wait, till_here, new1, new2, new3 = cost[unit]
    if kind == 1 then
      local tat = max((v[value] or 0) + 0, now)
      local time = refill(want, a, b, c)
      room, new1 = d - (tat - now) - time, tat + time
      if room < 0 then
        wait, room = time > d and NEVER or -room, room + time
      end
      till_here = new1
    elseif kind == 2 or kind == 6 then
      local start, stop = window(b, now)
      local used = (v[value] or 0) + 0 == start and (v[value + 1] or 0) + 0 or 0
      local held = kind == 6 and h or 0
      room = a - used - held - want
      if room < 0 then
        wait = want > a and NEVER or (used + want > a and stop - now or 0)
        room = room + want
      end
      new1, new2, till_here = start, kind == 6 and used or used + want, stop
    elseif kind == 3 then
      local start, used, before = counter(b, (v[value] or 0) + 0, (v[value + 1] or 0) + 0, (v[value + 2] or 0) + 0)
      before = min(before, 68719476736)
      local share = floor(before * floor((b - (now - start)) / c) / floor(b / c))
      room = a - used - share - want
      if room < 0 then
        wait = want > a and NEVER or counter_wait(b, c, start, used, before, a, want)
        room = room + want
      end
      new1, new2, new3, till_here = start, used + want, before, start + 2 * b
    elseif kind == 4 then
      local sum = clear(KEYS[log], hash, ARGV[field + value - 7], (v[value] or 0) + 0, now - b)
      room = a - sum - want
      if room < 0 then
        wait = want > a and NEVER or leaves(KEYS[log], -room, b)
        room = room + want
      end
      new1, till_here = sum + want, now + b
      if want > 0 then logs[#logs + 1] = {KEYS[log], want, floor(b / 1000) + 60000} end
      log = log + 1
    else
      room = a - n - 1
      if room < 0 then wait, room = 0, room + 1 end
      till_here = 0
    end
    index = index + 1
    room = max(0, room)
    left[index] = room
    if wait and wait > worst_wait then worst, worst_wait, worst_left = index, wait, room end
    local name, size = field + value - 7, #out
    if count > 0 then out[size + 1], out[size + 2] = ARGV[name], new1 end
    if count > 1 then out[size + 3], out[size + 4] = ARGV[name + 1], new2 end
    if count > 2 then out[size + 5], out[size + 6] = ARGV[name + 2], new3 end
    value = value + count
    till = max(till, till_here)
  end
  field = field + fields
  if floor(till / 1000) > (v[1] or 0) + 0 then
    -- A minute more than needed, so that the next calls need not move it.
    out.expires = floor(till / 1000) + 60000
    out[#out + 1] = 'x'
    out[#out + 1] = out.expires
  end
  hashes[s - 1] = out
end

if worst_wait >= 0 then return write('>c1I7BI7I7', 'D', now, worst - 1, worst_left, worst_wait) end

for s = 1, groups do
  local out = hashes[s]
  call('HSET', unpack(out))
  if out.expires then call('PEXPIREAT', out[1], out.expires) end
end
for i = 1, #logs do
  call('ZADD', logs[i][1], now, id .. write('>I3', logs[i][2]))
  call('PEXPIRE', logs[i][1], logs[i][3])
end
call('SET', KEYS[1], write('>c1I7I3I3I6I6B', 'R', now, input, output, micro, bucket, mask), 'PX', life)
return write('>c1I7' .. string.rep('I7', index), 'G', now, unpack(left))

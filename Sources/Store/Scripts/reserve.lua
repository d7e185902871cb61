#!lua
-- Checks all limits of a request on its path org → team → key (and feature) and writes all of them, or none.
-- Extends a reservation in the same way: then the use is the new total, and only what it adds is checked and charged.
--
-- KEYS[1]            the record of the request id
-- KEYS[2 … 1+g]      the hash of each scope that has limits, in the order of the plan
-- KEYS[2+g …]        the log of each sliding-window limit, in the order of the plan
-- ARGV[1]            head: six doubles (input tokens, output tokens, micro-USD, hold in µs, bucket width in µs, life of the
--                    record in ms), g (1 byte), request id (16 bytes), claim (4 bytes: which try of the id this is);
--                    one byte more: extend
--                    (then hold and bucket width are those of the reservation, and the width says where sweeping stands);
--                    a double more: a block for so many requests, which parts of settle.lua use up
-- ARGV[2]            plan: per scope: scope, limits, fields, holds (1 byte each; holds ≠ 0: requests and money are held),
--                    then per limit: kind, unit (1 byte each), four doubles (Policy/Limits/LimitRule.swift)
-- ARGV[3 …]          names of the counter fields, in the order of the plan; none for concurrency
--
-- Reply, doubles:    G now { left }                      granted; left of each limit after it
--                    D now left wait limit(1)            denied by this limit (from 0); wait in µs, 0 on release, 2^52 never
--                    R now record[2…20]                  reserved before, not settled; nothing was written
--                    S the same, with the real use       settled before, or this try was released; nothing was written
--                    left is in units of the limit; of a token bucket, µs of its burst
--                    extending: G now, D as above, S as above, U now when this try's reservation is not known
-- Record, big-endian: R, reserved at(7), input(3), output(3), micro-USD(6), claim(4), bucket(6), mask of the scopes that hold(1).
--                    Of a block: B, the same of what is left of it, requests left(3), number of its last part(4).
--                    Settled: S (the last part of a block: C), up to the claim: 24 bytes, which share one allocation with Redis'
--                    object. Released: F, the same; another try may reserve the id, and the released one cannot come late.
-- An absent record: the id is new. What had expired before the call is cleared even when the call is denied.

local input, output, micro, hold, width, life, groups, id, claim = read('<ddddddBc16c4', ARGV[1])
local record, extends = call('GET', KEYS[1]), #ARGV[1] == 70
if record then
  local kind, is_mine = string.sub(record, 1, 1), string.sub(record, 21, 24) == claim
  if kind == 'F' and (extends or not is_mine) or extends and kind == 'R' and not is_mine then
    record = nil -- of another try: a released one leaves the id free, and a running one is not extended from here
  elseif not extends or kind ~= 'R' then
    return (kind == 'F' and 'S' or kind) .. write('<d', now) .. string.sub(record, 2, 20)
  end
end

local reserved, bucket, mask = now, floor((now + hold) / width) + 1, 0
-- A token bucket counts a block as if all of it were spent at the end of its life: a fortieth of the bucket's burst, at most 2 s.
-- Then nothing is spent too early.
local places, ahead = 1, 0
if #ARGV[1] == 77 then places, ahead = read('<d', ARGV[1], 70), 2000000 end
local cost, estimate = {places, input, output, input + output, places, micro}, nil
if extends then
  if not record then return 'U' .. write('<d', now) end
  local old_input, old_output, old_micro, _
  reserved, old_input, old_output, old_micro, _, bucket, mask = read('>I7I3I3I6c4I6B', record, 2)
  input, output, micro = max(input, old_input), max(output, old_output), max(micro, old_micro)
  estimate, places = {1, old_input, old_output, old_input + old_output, 1, old_micro}, 0
  cost = {0, input - old_input, output - old_output, input + output - estimate[4], 0, micro - old_micro}
end
local added = cost[6]
local today = floor(now / width)
local held = 'b' .. bucket
local plan, at, field, log = ARGV[2], 1, 3, 2 + groups
local index, worst, worst_wait, worst_left = 0, 0, -1, 0
-- Tables are made as large as they mostly become: growing one step by step took a tenth of the script's time.
local left, hashes, sizes, ends, logs = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {false, false, false, false}, {0, 0, 0, 0}, nil, nil

for s = 2, groups + 1 do
  local scope, limits, fields, holds
  scope, limits, fields, holds, at = read('<BBBB', plan, at)
  local hash = KEYS[s]
  local v = call('HMGET', hash, 'm', held, unpack(ARGV, field, field + fields - 1))
  local expires, swept, n, h = 0, today, 0, 0
  if v[1] then expires, swept, n, h = read('<dddd', v[1]) end
  local out, size, till = {hash, 'm', false, false, false, false, false, false, false}, 3, 0
  swept = min(swept, today)

  if holds > 0 then
    if swept < today and n > 0 then
      -- Clear what expired, at most 64 buckets a call; stored at once, for it is true whatever is decided.
      local last, names, gone, lost = min(today, swept + 64), {}, {}, 0
      for b = swept + 1, last do names[#names + 1] = 'b' .. b end
      local found = call('HMGET', hash, unpack(names))
      for i = 1, #names do
        if found[i] then
          local requests, money = read('<dd', found[i])
          n, h, lost = n - requests, h - money, lost + requests
          gone[#gone + 1] = names[i]
        end
      end
      swept = last
      if lost > 0 then
        call('HDEL', hash, unpack(gone))
        call('HINCRBY', hash, 'lost', lost)
      end
      if lost > 0 or last < today then call('HSET', hash, 'm', write('<dddd', expires, swept, n, h)) end
    elseif swept < today then
      swept, h = today, 0
    end
    local requests, money = 0, 0
    if v[2] then requests, money = read('<dd', v[2]) end
    if not extends then
      mask = mask + 2 ^ scope
      out[4], out[5], size = held, write('<dd', requests + places, money + micro), 5
    elseif v[2] and bucket > swept and floor(mask / 2 ^ scope) % 2 == 1 then
      out[4], out[5], size = held, write('<dd', requests, money + added), 5
    else
      holds = 0 -- the hold had expired, or the limit is younger than the reservation: there is nothing to add to
    end
    till = bucket * width
  end

  local value = 3
  for _ = 1, limits do
    local kind, unit, a, b, c, d
    kind, unit, a, b, c, d, at = read('<BBdddd', plan, at)
    local want, state, room, wait, fresh = cost[unit], v[value]
    if extends and want == 0 then
      room = 0 -- nothing is asked of it
      if kind == 5 then value = value - 1 elseif kind == 4 then log = log + 1 end
    elseif kind == 1 then
      local from, tat = now, 0
      if ahead > 0 then from = now + min(ahead, floor(d / 40)) end
      if state then tat = read('<d', state) end
      if tat < from then tat = from end
      local long = refill(want, a, b, c)
      tat = tat + long
      room = d - (tat - now)
      if room < 0 then
        wait, room = long > d and NEVER or -room, room + long
      end
      fresh = write('<d', tat)
      if tat > till then till = tat end
    elseif kind == 2 or kind == 6 then
      local used, start, stop, since = 0
      if state then since, used = read('<dd', state) end
      if kind == 6 and b == 0 and since and since <= now and now < since + SHORT then
        start = since -- surely the same month; its end was looked to when the count began
      else
        start, stop = window(b, now)
        if since ~= start then used = 0 end
      end
      room = a - used - want
      if kind == 6 then
        room = room - h
        if since ~= start then fresh = write('<dd', start, 0) end
      else
        fresh = write('<dd', start, used + want)
      end
      if room < 0 and c == 0 then -- c = 1: a soft budget, which never refuses
        if not stop then start, stop = window(b, now) end
        wait = want > a and NEVER or (used + want > a and stop - now or 0)
        room = room + want
      end
      if stop and stop > till then till = stop end
    elseif kind == 5 then
      room = a - n - want
      if room < 0 then wait, room = 0, room + want end
      value = value - 1 -- it has no field
    elseif kind == 3 then
      local start = now - now % b
      local used, before = counted(state, start, b)
      local ticks = floor(b / c)
      local share = floor(before * floor((b - (now - start)) / c) / ticks)
      room = a - used - share - want
      if room < 0 then
        if want > a then
          wait = NEVER
        else
          local free, shift, weighed = a - used - want, 0, before
          if free < 0 then free, shift, weighed = a - want, b, min(used, CEILING) end
          local most = weighed == 0 and ticks or floor(((free + 1) * ticks - 1) / weighed)
          wait = max(1, max(0, b - (most + 1) * c + 1) + shift - (now - start))
        end
        room = room + want
      end
      fresh = write('<ddd', start, used + want, before)
      till = max(till, start + 2 * b)
    else
      -- Sliding log: clear at most 512 expired entries (weight: the last 3 bytes of a member), at once.
      local sum, key = state and read('<d', state) or 0, KEYS[log]
      -- Hash and log end at their own times, each after its content is inert: what is left of the other is inert, too.
      if not state then call('UNLINK', key) elseif sum > 0 and call('EXISTS', key) == 0 then sum = 0 end
      local old = call('ZRANGEBYSCORE', key, '-inf', now - b, 'LIMIT', 0, 512)
      if #old > 0 then
        for i = 1, #old do sum = sum - read('>I3', old[i], 17) end
        call('ZREMRANGEBYRANK', key, 0, #old - 1)
        call('HSET', hash, ARGV[field + value - 3], write('<d', sum))
      end
      room = a - sum - want
      if room < 0 then
        wait = NEVER
        if want <= a then
          -- When enough has left, looking through at most 128 entries.
          local need, entries, last = -room, call('ZRANGE', key, 0, 127, 'WITHSCORES'), now
          for i = 1, #entries, 2 do
            need, last = need - read('>I3', entries[i], 17), entries[i + 1]
            if need <= 0 then break end
          end
          wait = max(1, last + b - now)
        end
        room = room + want
      end
      fresh = write('<d', sum + want)
      if want > 0 then
        logs = logs or {}
        logs[#logs + 1] = {key, want, floor(b / 1000) + 60000, extends and estimate[unit]}
      end
      log = log + 1
      till = max(till, now + b)
    end
    index = index + 1
    if room < 0 then room = 0 end
    left[index] = room
    if wait and wait > worst_wait then worst, worst_wait, worst_left = index, wait, room end
    if fresh then
      out[size + 1], out[size + 2], size = ARGV[field + value - 3], fresh, size + 2
    end
    value = value + 1
  end
  field = field + value - 3
  -- A minute more than needed, so that the next calls need not move it; a second at least, so that nothing ends that still counts.
  till = (till - till % 1000) / 1000
  if till + 1000 > expires then
    expires = till + 60000
    ends = ends or {}
    ends[s] = expires
  end
  out[3] = holds > 0 and write('<dddd', expires, swept, n + places, h + added) or write('<dddd', expires, swept, n, h)
  if size > 3 or not extends then hashes[s - 1], sizes[s - 1] = out, size end
end

if worst_wait >= 0 then return write('<c1dddB', 'D', now, worst_left, worst_wait, worst - 1) end

for s = 1, groups do
  local out = hashes[s]
  if out then
    call('HSET', unpack(out, 1, sizes[s]))
    if ends and ends[s + 1] then call('PEXPIREAT', out[1], ends[s + 1]) end
  end
end
for i = 1, logs and #logs or 0 do
  local key, weight, lasts, old = unpack(logs[i])
  local at = now
  -- One entry a request, as long as it counts.
  if old and old > 0 and call('ZREM', key, id .. write('>I3', old)) == 1 then at, weight = reserved, old + weight end
  -- Entries of one id and weight would be one member: the second takes the first along.
  while call('ZADD', key, 'NX', at, id .. write('>I3', weight)) == 0 do
    call('ZREM', key, id .. write('>I3', weight))
    weight = weight + weight
  end
  call('PEXPIRE', key, lasts)
end
local kept = write('>I7I3I3I6c4I6B', reserved, input, output, micro, claim, bucket, mask)
call('SET', KEYS[1], #ARGV[1] == 77 and 'B' .. kept .. write('>I3I4', places, 0) or 'R' .. kept, 'PX', life)
if extends then return 'G' .. write('<d', now) end
return write('<c1d' .. string.rep('d', index), 'G', now, unpack(left, 1, index))

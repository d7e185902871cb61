#!lua flags=allow-oom
-- Ends a reservation with what was really used: gives its hold back and corrects every limit. Once for each id.
-- Or ends a part of a block (reserve.lua): many requests at once, in parts that are numbered, each once.
-- Allowed when Redis' memory is full: what was used must be booked.
--
-- KEYS, ARGV[2 …]    as in reserve.lua; for the end of one request without limits on requests and concurrency, which it cannot change
-- ARGV[1]            head as in reserve.lua with the real use, but instead of hold and bucket width how long (ms) and how many
--                    ledger records are kept; then how it ended (1 byte): 1 it ran; 0 it runs on a block, and only this reservation
--                    ends; 2 nothing was sent upstream; 3 it was sent, but nothing came of it: with 2 and 3 the id is released,
--                    and another try may reserve it; odd: a request is counted; how long sums of an hour are kept (ms, double). Of a part, eight doubles more: its number, requests to count,
--                    what of the block it ends: requests, input, output, micro-USD; 1 for the last part, which ends all that is
--                    left; how many requests are recorded
-- behind the fields  of a part, for each of its requests: the end of its record's key (22 bytes), input(3), output(3), micro-USD(6);
--                    for each attempt that a provider may bill: its ledger record without the time (Policy/Ledger/LedgerBytes.swift),
--                    its field in the sums of the hour; then the last two KEYS are the org's ledger (stream) and what its keys of
--                    sums begin with: the hour since 1970 follows, as Redis' clock says
--
-- Reply:             code now(double) record[2…20]: reserved at(7), input(3), output(3), micro-USD(6), big-endian
--                    S settled now   L settled now, but its hold had expired before   R settled before; nothing was written
--                    U no record of this try: only the money was booked; reserved at = now
--                    Of a part: R when this one or a later one was settled before; the caller sends one at a time.
--                    With U the parts behind it go on from nothing, and the requests are recorded all the same
-- Tries:             an end that names another claim than the record's ends nothing that is not its own. One that ran beside another
--                    is booked as unknown, once: it is recorded beside it, under the claim and the id.
-- Ledger:            stream entries with one field, d: settled at(7) and the record; trimmed by age or by number in turn, to a node
--                    Sums of a field: seven doubles: attempts, input, cached, cache-write, output, reasoning tokens, micro-USD
--                    Beside them `#team`: how many rows the team has beyond the 1,000 that all teams share
-- Corrections: a token bucket moves by the difference, never below now; a fixed window and a sliding counter are corrected in the
-- window of the reservation, and an overrun of an older one is charged to the present one; a log entry takes the real weight.

local input, output, micro, keep, most, life, groups, id, claim, ending = read('<ddddddBc16c4B', ARGV[1])
local place, is_part = KEYS[1], #ARGV[1] > 78
local record = call('GET', place)
if record and not is_part and string.sub(record, 21, 24) ~= claim then
  if string.sub(record, 1, 1) == 'F' then
    record = nil
  elseif ending == 1 then
    place = string.sub(place, 1, -23) .. string.format('%08x', (read('>I4', claim))) .. string.sub(place, -22)
    record = call('GET', place)
  else
    return 'R' .. write('<d', now) .. string.sub(record, 2, 20)
  end
end
local kind = record and string.sub(record, 1, 1)
if kind == 'S' or kind == 'C' or kind == 'F' then return 'R' .. write('<d', now) .. string.sub(record, 2, 20) end

local requests = ending % 2
local reserved, old_input, old_output, old_micro, bucket, mask, _ = now, 0, 0, 0, 0, 0
if record then reserved, old_input, old_output, old_micro, _, bucket, mask = read('>I7I3I3I6c4I6B', record, 2) end
local places, recorded, fresh = 1, 0, nil
if is_part then
  -- What is left of the block is recorded anew; what this part ends of it is corrected below like a reservation.
  local left, last, number, i, o, m, is_last = 0, 0
  number, requests, places, i, o, m, is_last, recorded = read('<dddddddd', ARGV[1], 79)
  if kind == 'B' then left, last = read('>I3I4', record, 32) end
  if number <= last then return 'R' .. write('<d', now) .. string.sub(record, 2, 20) end
  if is_last == 1 or places >= left then
    -- With its last request all of its estimate ends: money without a request would be held by nobody.
    places, i, o, m = left, old_input, old_output, old_micro
  else
    i, o, m = min(i, old_input), min(o, old_output), min(m, old_micro)
  end
  if is_last == 0 then
    fresh = write('>c1I7I3I3I6c4I6BI3I4', 'B', reserved, old_input - i, old_output - o, old_micro - m, claim, bucket,
      mask, left - places, number)
  end
  old_input, old_output, old_micro = i, o, m
end
local use = {requests, input, output, input + output, 1, micro}
local estimate = {places, old_input, old_output, old_input + old_output, 1, old_micro}
local held = 'b' .. bucket
local plan, at, field, log = ARGV[2], 1, 3, 2 + groups
local late = false

for s = 2, groups + 1 do
  local scope, limits, fields, holds
  scope, limits, fields, holds, at = read('<BBBB', plan, at)
  local hash = KEYS[s]
  local v = call('HMGET', hash, 'm', held, unpack(ARGV, field, field + fields - 1))
  local expires, swept, n, h = 0, 0, 0, 0
  if v[1] then expires, swept, n, h = read('<dddd', v[1]) end
  local out, size, till, touched = {hash, 'm', false, false, false, false, false}, 3, 0, false

  if floor(mask / 2 ^ scope) % 2 == 1 then
    if v[2] then
      local here, money = read('<dd', v[2])
      n, h, touched = n - places, h - old_micro, true
      if here > places then
        out[4], out[5], size = held, write('<dd', here - places, money - old_micro), 5
      else
        call('HDEL', hash, held) -- an empty bucket would stay for ever when nobody comes to sweep it
      end
    elseif places + old_micro > 0 then
      late = true -- swept: expired, and counted as lost
    end
  end

  local value = 3
  for _ = 1, limits do
    local kind, unit, a, b, c, d
    kind, unit, a, b, c, d, at = read('<BBdddd', plan, at)
    local old, new, state, fresh = estimate[unit], use[unit], v[value]
    if kind == 6 then
      if new > 0 then
        local used, start, stop, since = 0
        if state then since, used = read('<dd', state) end
        if b == 0 and since and since <= now and now < since + SHORT then
          start = since -- as in reserve.lua
        else
          start, stop = window(b, now)
          if since ~= start then used = 0 end
          if stop > till then till = stop end
        end
        fresh = write('<dd', start, used + new)
      end
    elseif kind == 5 then
      value = value - 1 -- it has no field
    elseif record and old ~= new then
      if kind == 1 then
        local tat = 0
        if state then tat = read('<d', state) end
        if tat < now then tat = now end
        local back = refill(old, a, b, c) - refill(new, a, b, c)
        -- What a block gives back counts where more than half of the burst is used: a bucket that was empty since has refilled for it.
        if is_part and back > 0 then back = min(back, max(0, tat - now - floor(d / 2))) end
        tat = tat - back
        if tat < now then tat = now end
        fresh = write('<d', tat)
        if tat > till then till = tat end
      elseif kind == 2 then
        local start, stop = window(b, now)
        local used, change = 0, new - old
        if state then
          local since, count = read('<dd', state)
          if since == start then used = count end
        end
        if window(b, reserved) ~= start then change = max(0, change) end
        fresh = write('<dd', start, max(0, used + change))
        till = max(till, stop)
      elseif kind == 3 then
        local start, used, before = now - now % b, 0, 0
        if state then
          local since, count, older = read('<ddd', state)
          if since == start then
            used, before = count, older
          elseif since == start - b then
            before = count
          end
        end
        local change, origin = new - old, reserved - reserved % b
        if origin == start then
          used = max(0, used + change)
        elseif origin == start - b then
          before = max(0, before + change)
        else
          used = used + max(0, change)
        end
        fresh = write('<ddd', start, used, before)
        till = max(till, start + 2 * b)
      else
        local sum, key = state and read('<d', state) or 0, KEYS[log]
        if not state then call('UNLINK', key) elseif sum > 0 and call('EXISTS', key) == 0 then sum = 0 end
        local weight, when = new, reserved
        if old > 0 and call('ZREM', key, id .. write('>I3', old)) == 1 then
          sum = sum + new - old
        else
          weight, when = max(0, new - old), now
          sum = sum + weight
        end
        while weight > 0 and call('ZADD', key, 'NX', when, id .. write('>I3', weight)) == 0 do
          call('ZREM', key, id .. write('>I3', weight)) -- as in reserve.lua
          weight = weight + weight
        end
        call('PEXPIRE', key, floor(b / 1000) + 60000) -- also after ZREM: an emptied log lost its lifetime
        fresh = write('<d', sum)
        till = max(till, now + b)
      end
    end
    if kind == 4 then log = log + 1 end
    if fresh then
      out[size + 1], out[size + 2], size = ARGV[field + value - 3], fresh, size + 2
    end
    value = value + 1
  end
  field = field + fields
  till = (till - till % 1000) / 1000
  local extends = till > 0 and till + 1000 > expires
  if extends then expires = till + 60000 end
  if touched or size > 3 then
    out[3] = write('<dddd', expires, swept, n, h)
    call('HSET', unpack(out, 1, size))
    if extends then call('PEXPIREAT', hash, expires) end
  end
end

local kept = write('>I7I3I3I6', reserved, input, output, micro)
call('SET', place, fresh or (is_part and 'C' or ending > 1 and 'F' or 'S') .. kept .. claim, 'PX', life)
if is_part then
  -- Each request is remembered under its own id, too; no other end will name it.
  local prefix, stamp, rest = string.sub(KEYS[1], 1, -23), 'S' .. write('>I7', reserved), write('>I4', 0)
  for i = field, field + recorded - 1 do
    call('SET', prefix .. string.sub(ARGV[i], 1, 22), stamp .. string.sub(ARGV[i], 23) .. rest, 'PX', life)
  end
  field = field + recorded
end

if ARGV[field] then
  local stream, hour, stamp = KEYS[#KEYS - 1], floor(now / 3600000000), write('>I7', now)
  local sums, known, row = KEYS[#KEYS] .. hour, nil, nil
  local opens, n, p, q, r, s, t, u = false
  for i = field, #ARGV, 2 do
    local bytes, name = ARGV[i], ARGV[i + 1]
    if name ~= known then
      if known then call('HSET', sums, row, write('<ddddddd', n, p, q, r, s, t, u)) end
      known, row = name, name
      local state = call('HGET', sums, name)
      n, p, q, r, s, t, u = 0, 0, 0, 0, 0, 0, 0
      opens = opens or not state
      if not state and call('HLEN', sums) >= 1000 then
        -- Clients name features, so there is a bound. Beyond it each team still has 100 rows, so that the features of one team do not
        -- hide those of the others; beyond these its features share a row.
        local extra = '#' .. string.match(name, '^[^/]*')
        local own = tonumber(call('HGET', sums, extra) or 0)
        if own < 100 then
          call('HSET', sums, extra, own + 1)
        else
          row = string.gsub(name, '/[^/]*/', '/*/', 1)
          state = call('HGET', sums, row)
        end
      end
      if state then n, p, q, r, s, t, u = read('<ddddddd', state) end
    end
    local a, b, c, d, e, f = read('>I3I3I3I3I3I6', bytes, 17)
    n, p, q, r, s, t, u = n + 1, p + a, q + b, r + c, s + d, t + e, u + f
    if now % 2 == 0 then
      call('XADD', stream, 'MAXLEN', '~', most, '*', 'd', stamp .. bytes)
    else
      call('XADD', stream, 'MINID', '~', floor(now / 1000) - keep, '*', 'd', stamp .. bytes)
    end
  end
  call('HSET', sums, row, write('<ddddddd', n, p, q, r, s, t, u))
  if opens then -- at least once an hour
    call('PEXPIREAT', sums, (hour + 1) * 3600000 + read('<d', ARGV[1], 71))
    call('PEXPIREAT', stream, floor(now / 1000) + keep + 7200000)
  end
end
return (record and (late and 'L' or 'S') or 'U') .. write('<d', now) .. kept

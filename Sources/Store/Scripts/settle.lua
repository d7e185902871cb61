#!lua flags=allow-oom
-- Ends a reservation with what was really used: gives its hold back and corrects every limit. Once for each id.
-- Allowed when Redis' memory is full: what was used must be booked.
--
-- KEYS, ARGV[2 …]    as in reserve.lua
-- ARGV[1]            head as in reserve.lua with the real use, then: requests to count (1): 0 when nothing was sent upstream
--                    (its hold and bucket width are not read)
--
-- Reply, big-endian: code, now(7), reserved at(7), input(3), output(3), micro-USD(6):
--                    S settled now   L settled now, but its hold had expired before   R settled before, as recorded; nothing was written
--                    U no record under this id: only the money was booked; reserved at = now
-- Corrections: a token bucket moves by the difference, never below now; a fixed window and a sliding counter are corrected in the
-- window of the reservation, and an overrun of an older one is charged to the present one; a log entry takes the real weight.

local record = call('GET', KEYS[1])
if record and string.sub(record, 1, 1) == 'S' then
  return 'R' .. write('>I7', now) .. string.sub(record, 2, 20)
end

local input, output, micro, _, _, life, groups, id, requests = read('>I3I3I6I4I6I4Bc16B', ARGV[1])
local use = {requests, input, output, input + output, 1, micro}
local reserved, old_input, old_output, old_micro, bucket, mask = now, 0, 0, 0, 0, 0
if record then reserved, old_input, old_output, old_micro, bucket, mask = read('>I7I3I3I6I6B', record, 2) end
local estimate = {1, old_input, old_output, old_input + old_output, 1, old_micro}
local requests_held, money_held = 'n' .. bucket, 'h' .. bucket

local plan, at, field, log = ARGV[2], 1, 3, 2 + groups
local late = false

for s = 2, groups + 1 do
  local scope, limits, fields, holds
  scope, limits, fields, holds, at = read('>BBBB', plan, at)
  local hash = KEYS[s]
  local v = call('HMGET', hash, 'x', 'n', 'h', requests_held, money_held, unpack(ARGV, field, field + fields - 1))
  local out, till = {hash}, 0
  if floor(mask / 2 ^ scope) % 2 == 1 then
    local here = (v[4] or 0) + 0
    if here > 0 then
      out = {hash, 'n', v[2] - 1, 'h', v[3] - old_micro}
      if here > 1 then
        out[6], out[7], out[8], out[9] = requests_held, here - 1, money_held, v[5] - old_micro
      else
        call('HDEL', hash, requests_held, money_held)
      end
    else
      late = true
    end
  end
  local value = 6
  for i = 1, limits do
    local kind, unit, count, a, b, c, d
    kind, unit, count, a, b, c, d, at = read('>BBBI7I7I7I7', plan, at)
    local name, old, new, size = field + value - 6, estimate[unit], use[unit], #out
    if kind == 6 then
      local start, stop = window(b, now)
      local used = (v[value] or 0) + 0 == start and (v[value + 1] or 0) + 0 or 0
      if new > 0 then
        out[size + 1], out[size + 2], out[size + 3], out[size + 4] = ARGV[name], start, ARGV[name + 1], used + new
        till = max(till, stop)
      end
    elseif record and old ~= new then
      if kind == 1 then
        local tat = max((v[value] or 0) + 0, now)
        local moved = max(now, tat + refill(new, a, b, c) - refill(old, a, b, c))
        out[size + 1], out[size + 2] = ARGV[name], moved
        till = max(till, moved)
      elseif kind == 2 then
        local start, stop = window(b, now)
        local used = (v[value] or 0) + 0 == start and (v[value + 1] or 0) + 0 or 0
        local change = new - old
        if window(b, reserved) ~= start then change = max(0, change) end
        out[size + 1], out[size + 2], out[size + 3], out[size + 4] =
          ARGV[name], start, ARGV[name + 1], max(0, used + change)
        till = max(till, stop)
      elseif kind == 3 then
        local start, used, before =
          counter(b, (v[value] or 0) + 0, (v[value + 1] or 0) + 0, (v[value + 2] or 0) + 0)
        local change, origin = new - old, window(b, reserved)
        if origin == start then used = max(0, used + change)
        elseif origin == start - b then before = max(0, before + change)
        else used = used + max(0, change) end
        out[size + 1], out[size + 2], out[size + 3], out[size + 4], out[size + 5], out[size + 6] =
          ARGV[name], start, ARGV[name + 1], used, ARGV[name + 2], before
        till = max(till, start + 2 * b)
      elseif kind == 4 then
        local sum, key = (v[value] or 0) + 0, KEYS[log]
        if old > 0 and call('ZREM', key, id .. write('>I3', old)) == 1 then
          sum = sum + new - old
          if new > 0 then call('ZADD', key, reserved, id .. write('>I3', new)) end
        elseif new > old then
          sum = sum + new - old
          call('ZADD', key, now, id .. write('>I3', new - old))
        end
        call('PEXPIRE', key, floor(b / 1000) + 60000) -- also after ZREM: an emptied log lost its lifetime
        out[size + 1], out[size + 2] = ARGV[name], sum
        till = max(till, now + b)
      end
    end
    if kind == 4 then log = log + 1 end
    value = value + count
  end
  field = field + fields
  local expires = floor(till / 1000) > (v[1] or 0) + 0 and floor(till / 1000) + 60000
  if expires then
    out[#out + 1] = 'x'
    out[#out + 1] = expires
  end
  if #out > 1 then call('HSET', unpack(out)) end
  if expires then call('PEXPIREAT', hash, expires) end
end

local kept = write('>I7I3I3I6', reserved, input, output, micro)
call('SET', KEYS[1], 'S' .. kept .. write('>I6B', bucket, mask), 'PX', life)
return (record and (late and 'L' or 'S') or 'U') .. write('>I7', now) .. kept

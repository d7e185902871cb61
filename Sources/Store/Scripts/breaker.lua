#!lua
-- The circuit breaker of a target, shared by all nodes. Policy/Breaker/BreakerModel.swift takes the same steps in Swift; keep the two side by side.
--
-- KEYS[1]     the record: 14 little-endian doubles, all integers below 2^53; absent: all zero
-- KEYS[2]     counts the changes of all records but those that only count attempts or renew a lease
-- ARGV[1]     what is asked: 0 read, 1 report, 2 admit a probe, 3 a probe ended, 4 an operator's order, 5 renew a probe's lease, 6 release it
-- ARGV[2..6]  1: epoch, node, successes, failures, 1 when the node's window tripped; 3: epoch, 1 when it went well; 4: order, µs; 5, 6: epoch
-- ARGV[7]     jitter in thousandths      ARGV[8..12]  open, openLimit, lease, window, relapse in µs
--
-- Reply: verdict (1 byte), now and the record (15 doubles). 0 read, 3 stale and 5 no probe have written nothing.
local floor, max, min = math.floor, math.max, math.min
local a = {}
for i = 1, 12 do a[i] = tonumber(ARGV[i]) end
local OPEN, OPEN_LIMIT, LEASE, WINDOW, RELAPSE = a[8], a[9], a[10], a[11], a[12]
local FORMAT = '<dddddddddddddd'
local time = redis.call('TIME') -- once: within one script the clock may move
local now = time[1] * 1000000 + time[2]

local state, epoch, until_, lease, step, good, recovered, order, orderUntil, start, passed, failed, node, tripped = 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
local stored = redis.call('GET', KEYS[1])
if stored then
  state, epoch, until_, lease, step, good, recovered, order, orderUntil, start, passed, failed, node, tripped =
    struct.unpack(FORMAT, stored)
end

-- A new epoch: never one that was used before, even if the record was lost meanwhile.
local function begin() epoch = max(epoch + 1, floor(now / 1000)) end

local function open(at)
  step = min(at, 16)
  local long = min(OPEN_LIMIT, OPEN * 2 ^ step)
  state, until_, lease, good = 1, now + long - floor(long * a[7] / 1000), 0, 0
  begin()
  return 2
end

local function report()
  if a[2] ~= epoch or state ~= 0 then return 3 end
  if now - start >= WINDOW then start, passed, failed = now, 0, 0 end
  passed, failed = passed + a[4], failed + a[5]
  if a[6] == 0 then return 1 end
  local second = node ~= 0 and node ~= a[3] and now - tripped < WINDOW
  node, tripped = a[3], now
  if not second and (passed + failed < 20 or failed < passed) then return 1 end
  return open(recovered > 0 and now - recovered < RELAPSE and step + 1 or 0)
end

local function admit()
  if now < orderUntil and order ~= 0 or state == 0 then return 5 end
  if state == 1 then
    if now < until_ then return 5 end
    good = 0
  else
    if now < lease then return 5 end
    -- Whoever had the lease never said how it went: the row of good probes is broken.
    if lease > 0 then good = 0 end
  end
  state, lease = 2, now + LEASE
  begin()
  return 4
end

-- Is it about the probe that is under way?
local function probing() return a[2] == epoch and state == 2 and lease > 0 end

local function probed()
  if not probing() then return 3 end
  if a[3] == 0 then return open(step + 1) end
  good, lease = good + 1, 0
  if good < 3 then return 6 end
  state, recovered, start, passed, failed, node = 0, now, now, 0, 0, 0
  begin()
  return 7
end

local function force()
  order, orderUntil = a[2], a[2] == 0 and 0 or now + min(a[3], 86400000000)
  return 8
end

local function renew()
  if not probing() then return 3 end
  lease = now + LEASE
  return 9
end

local function release()
  if not probing() then return 3 end
  lease = 0
  return 10
end

local verdict = 0
if a[1] == 1 then verdict = report()
elseif a[1] == 2 then verdict = admit()
elseif a[1] == 3 then verdict = probed()
elseif a[1] == 4 then verdict = force()
elseif a[1] == 5 then verdict = renew()
elseif a[1] == 6 then verdict = release() end

local record = struct.pack(FORMAT, state, epoch, until_, lease, step, good, recovered, order, orderUntil, start, passed, failed,
  node, tripped)
if verdict ~= 0 and verdict ~= 3 and verdict ~= 5 then
  -- Two hours without news make a target healthy; an order is kept to its end, and two hours more.
  redis.call('SET', KEYS[1], record, 'PX', 7200000 + floor(max(0, orderUntil - now) / 1000))
  -- Who believes that a renewed lease is over asks, and learns that it is not.
  if verdict ~= 1 and verdict ~= 9 then redis.call('INCR', KEYS[2]) end
end
return struct.pack('<Bd', verdict, now) .. record

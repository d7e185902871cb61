#!lua
-- The lease of the leading coordinator and its term. Policy/Coordination/LeaseModel.swift takes the same steps in Swift; keep the two side by side.
--
-- KEYS[1]   hash: n name, i incarnation, p place, u end of the lease (µs since 1970), e epoch; absent: nobody ever led
-- ARGV[1]   the wish: 0 give back, 1 hold, 2 hold, also from an earlier process of the same name
-- ARGV[2]   name     ARGV[3]  incarnation     ARGV[4]  place     ARGV[5]  length in µs     ARGV[6]  highest epoch seen
-- ARGV[7]   the latest epoch that the caller's clock allows: a later one, told or kept, is a mistake; so is one a day after Redis' clock
--
-- Reply: 1 when the lease is the caller's now, else 0; epoch, time left, now (µs) as decimal text; name and place of the holder.
local key, wish, seen = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[6])
local time = redis.call('TIME') -- once: within one script the clock may move
local now = time[1] * 1000000 + time[2]
local found = redis.call('HMGET', key, 'n', 'i', 'p', 'u', 'e')
local name, incarnation, place = found[1] or '', found[2] or '0', found[3] or ''
local ends, epoch = tonumber(found[4] or 0), tonumber(found[5] or 0)

-- Counters are never printed by tostring: it rounds above 10^14.
local function text(number) return string.format('%.0f', number) end

local function reply(mine)
  return { mine, text(epoch), text(math.max(0, ends - now)), text(now), name, place }
end

local same = name == ARGV[2] and incarnation == ARGV[3]
if wish == 0 then
  if same then
    ends = 0
    redis.call('HSET', key, 'u', '0')
  end
  return reply(0)
end
if not (same or ends <= now or wish == 2 and name == ARGV[2]) then return reply(0) end
local clock = math.floor(now / 1000)
local latest = math.max(tonumber(ARGV[7]), clock + 86400000)
if seen > latest then seen = 0 end
local wrong = epoch > latest
if wrong then epoch = 0 end
if not same or wrong then
  epoch = math.max(epoch + 1, clock, seen + 1)
elseif seen > epoch then
  epoch = seen + 1
end
name, incarnation, place, ends = ARGV[2], ARGV[3], ARGV[4], now + tonumber(ARGV[5])
redis.call('HSET', key, 'n', name, 'i', incarnation, 'p', place, 'u', text(ends), 'e', text(epoch))
return reply(1)

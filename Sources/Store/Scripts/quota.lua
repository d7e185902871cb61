-- What reserve.lua and settle.lua share; placed behind the first line of each when the scripts are assembled.
-- All arithmetic is on integers below 2^53. Policy/Quota/QuotaModel.swift takes the same steps in Swift; keep the two side by side.
--
-- The hash of a scope (q:{org}, q:{org}:t:…, q:{org}:k:…, q:{org}:f:…), all values decimal integers:
--   x     when the key expires, ms since 1970       n, h      requests under way, micro-USD held
--   s     last swept bucket                         n<b>, h<b> the part of them that expires in bucket b
--   lost  holds that expired without settlement     other fields: the counters that the plan names
-- An absent key or field is zero: nothing used, nothing held.
local call, read, write = redis.call, struct.unpack, struct.pack
local floor, max, min = math.floor, math.max, math.min
local SPAN = 31622400000000   -- 366 days in µs: the longest debt of one call
local NEVER = 4503599627370496 -- 2^52: the call is larger than the limit
local SWEEP = 64              -- buckets swept by one call
local LOG_SWEEP, LOG_WALK = 512, 128 -- log entries cleared, and looked through for the time to retry, by one call
local DAY = 86400000000

local time = call('TIME') -- once: within one script the clock may move
local now = time[1] * 1000000 + time[2]

-- The calendar month around `at`, by days since 0000-03-01.
-- calendar begin
local function month(at)
  local shifted = floor(at / DAY) + 719468
  local era = floor(shifted / 146097)
  local day = shifted - era * 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  local of_year = day - (365 * year + floor(year / 4) - floor(year / 100))
  local index = floor((5 * of_year + 2) / 153)
  local first = floor((153 * index + 2) / 5)
  local following = floor((153 * (index + 1) + 2) / 5)
  if index == 11 then
    local y = year + 1
    following = (y % 4 == 0 and (y % 100 ~= 0 or y % 400 == 0)) and 366 or 365
  end
  local start = (floor(at / DAY) - (of_year - first)) * DAY
  return start, start + (following - first) * DAY
end
-- calendar end

-- The fixed window of `period` µs (0: calendar month) around `at`.
local function window(period, at)
  if period == 0 then return month(at) end
  local start = at - at % period
  return start, start + period
end

-- How long `cost` units take to refill, µs, rounded up.
local function refill(cost, whole, rest, divisor)
  local time = cost * whole
  if time >= SPAN then return SPAN end
  return min(SPAN, time + floor((cost * rest + divisor - 1) / divisor))
end

-- A sliding counter at `now`: start of its window, count in it, count in the one before.
local function counter(period, start, count, before)
  local current = now - now % period
  if start == current then return current, count, before end
  if start == current - period then return current, 0, count end
  return current, 0, 0
end

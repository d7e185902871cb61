-- What reserve.lua and settle.lua share; placed behind the first line of each when the scripts are assembled.
-- All arithmetic is on integers below 2^53. Policy/Quota/QuotaModel.swift takes the same steps in Swift; keep the two side by side.
--
-- The hash of a scope (q:{org}, q:{org}:t:…, q:{org}:k:…, q:{org}:f:…):
--   m       expires (ms since 1970), last swept bucket, requests under way, micro-USD held
--   b<n>    the part of the two that expires in bucket n: requests, micro-USD
--   lost    holds that expired without settlement (decimal)
--   others  the counters that the plan names: one to three numbers each
-- Numbers are packed as little-endian doubles: exact up to 2^53, and read and written without printing or parsing, which
-- took a sixth of the time of a script. An absent key or field is zero: nothing used, nothing held.
-- Helpers that are rarely needed stand where they are needed: each function made here costs every call 0.1 µs.
local call, read, write = redis.call, struct.unpack, struct.pack
local floor, max, min = math.floor, math.max, math.min
local SPAN = 31622400000000    -- 366 days in µs: the longest debt of one call
local NEVER = 4503599627370496 -- 2^52: the call is larger than the limit
local CEILING = 68719476736    -- 2^36: the most that a sliding counter takes its older window for
local DAY = 86400000000
local SHORT = 28 * DAY         -- the shortest month

local time = call('TIME') -- once: within one script the clock may move
local now = time[1] * 1000000 + time[2]

-- window begin
-- The fixed window of `period` µs around `at`; a period of 0 is the calendar month, by days since 0000-03-01.
local function window(period, at)
  if period > 0 then
    local start = at - at % period
    return start, start + period
  end
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
-- window end

-- What a sliding counter counted in the window of `width` µs that began at `start`, and in the one before it.
local function counted(state, start, width)
  if not state then return 0, 0 end
  local since, count, older = read('<ddd', state)
  if since == start then return count, min(older, CEILING) end
  if since == start - width then return 0, min(count, CEILING) end
  return 0, 0
end

-- How long `cost` units take to refill, µs, rounded up. Without the functions of `math`: a call costs more than what it computes.
local function refill(cost, whole, rest, divisor)
  local long = cost * whole
  if rest > 0 and long < SPAN then
    local more = cost * rest + divisor - 1
    long = long + (more - more % divisor) / divisor
  end
  return long < SPAN and long or SPAN
end

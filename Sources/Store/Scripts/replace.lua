#!lua
-- Writes, replaces or removes one field of a hash if nobody changed it in between, and gives the hash another version.
--
-- KEYS[1]   the hash; an absent one has no fields     KEYS[2]  its version, decimal text; absent: nobody ever wrote it
-- ARGV[1]   field    ARGV[2]   the value that the caller read; '': there was none    ARGV[3]   the new value; absent: the field goes
--
-- Reply: 1 done, 0 the field holds something else, and nothing was written; the version before and now. A version is the time of the change
-- in µs, at least one more than the one before: also a hash that was brought back from a copy has another than those that it had later.
local found, before = redis.call('HGET', KEYS[1], ARGV[1]), redis.call('GET', KEYS[2]) or ''
if (found or '') ~= ARGV[2] then return { 0, before, before } end
if ARGV[3] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
local time = redis.call('TIME')
local version = string.format('%.0f', math.max(time[1] * 1000000 + time[2], (tonumber(before) or 0) + 1))
redis.call('SET', KEYS[2], version)
return { 1, before, version }

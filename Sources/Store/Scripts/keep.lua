#!lua
-- Writes what coordinators keep for each other, if the caller's term is the last one: a leader of the past changes nothing.
--
-- KEYS[1]   the lease's hash (lead.lua)     KEYS[2]   the hash that is written
-- ARGV[1]   the caller's epoch     ARGV[2]  how many fields are written
-- ARGV[3…]  field and value of each; behind them the fields that are removed
--
-- Reply: 1 written, 0 another term has begun, or Redis forgot the lease; nothing was written.
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then return 0 end
local last = 2 + 2 * tonumber(ARGV[2])
for place = 3, last, 2 do redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 1]) end
for place = last + 1, #ARGV do redis.call('HDEL', KEYS[2], ARGV[place]) end
return 1

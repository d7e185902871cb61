#!lua
-- Replaces or removes one field of a hash if nobody changed it in between.
--
-- KEYS[1]   the hash; an absent one has no fields
-- ARGV[1]   field    ARGV[2]   the value that the caller read    ARGV[3]   the new value; absent: the field goes
--
-- Reply: 1 done, 0 the field is absent or holds something else; nothing was written.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1

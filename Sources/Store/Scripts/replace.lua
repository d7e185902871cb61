#!lua
-- Replaces one field of a hash if nobody changed it in between.
--
-- KEYS[1]   the hash; an absent one has no fields
-- ARGV[1]   field    ARGV[2]   the value that the caller read    ARGV[3]   the new value
--
-- Reply: 1 replaced, 0 the field is absent or holds something else; nothing was written.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1

-- Collects what those who asked the server before know and it does not, while its gate is closed.
--
-- KEYS: records, meta, pages given back, records given back
-- ARGV: which gate; what it is about; then for
--   pages:   position and page, again and again
--   which:   job and revision, again and again: which of these records are newer than what is there?
--   records: job, revision and record, again and again
--   done:    who teaches; the largest position seen; which data that was. Answers when the last write came
--   open:    all who are to be heard: when they are, nobody need be waited for
local records, meta, pages, restored = unpack(KEYS)
local epoch, born, server, open, last = unpack(redis.call('HMGET', meta, 'epoch', 'born', 'server', 'open', 'last'))
-- What was given to a gate that was lost with its data does not count for the next.
if not open or epoch .. ' ' .. born .. ' ' .. server ~= ARGV[1] then return 'late' end

-- Where a record has its revision: see grant.lua.
local REVISION = 9

local function revision(packed)
  local good, record = pcall(cmsgpack.unpack, packed or '')
  return good and type(record) == 'table' and record[REVISION] or 0
end

local kind = ARGV[2]
if kind == 'pages' then
  for i = 3, #ARGV, 2 do
    -- One that comes from whoever was answered has the large records, too.
    if redis.call('HSTRLEN', pages, ARGV[i]) < #ARGV[i + 1] then redis.call('HSET', pages, ARGV[i], ARGV[i + 1]) end
  end
elseif kind == 'which' then
  local wanted = {}
  for i = 3, #ARGV, 2 do
    if revision(redis.call('HGET', records, ARGV[i])) < tonumber(ARGV[i + 1]) then wanted[#wanted + 1] = ARGV[i] end
  end
  return wanted
elseif kind == 'records' then
  for i = 3, #ARGV, 3 do
    if revision(redis.call('HGET', restored, ARGV[i])) < tonumber(ARGV[i + 1]) then
      redis.call('HSET', restored, ARGV[i], ARGV[i + 2])
    end
  end
elseif kind == 'done' then
  redis.call('HSET', pages, 'by:' .. ARGV[3], '')
  local top = tonumber(redis.call('HGET', meta, 'top') or 0)
  redis.call('HSET', meta, 'top', string.format('%.0f', math.max(top, tonumber(ARGV[4]))))
  if ARGV[5] ~= '' then redis.call('HSET', meta, 'past', ARGV[5]) end
  return last
elseif kind == 'open' then
  for i = 3, #ARGV do
    if redis.call('HEXISTS', pages, 'by:' .. ARGV[i]) == 0 then return 'wait' end
  end
  redis.call('HSET', meta, 'open', '0')
end
return 'done'

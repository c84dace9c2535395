-- What a batch is about, and what it may read and write: all reads first, then all writes, one for
-- each structure, so that a server without memory to spare refuses all of it. The keys are the same
-- whatever the batch.
--
-- KEYS: records, mutexes, entries, entries by time, entries by job, feed, meta, pages given back, records given back
-- ARGV: now in microseconds or '' for the server's clock; channel; what the asker knows of the
-- data: which it is, its epoch, its position; about all that was rehearsed (rehearsal.rs): how many there
-- are, as of when the first and the last, how many events, what is told of all their records, their
-- events, and how much of that belongs to which; then each of them: its job, the record that it was
-- rehearsed with, the record that comes of it, the line of history, what the events add to it, and the
-- instant by which it is found if it is new; then each other operation: its job, and itself, packed

local REHEARSED, OLDEST, NEWEST, COUNT, TELLS, EVENTS, SIZES, FIRST, EACH = 6, 7, 8, 9, 10, 11, 12, 13, 6
local BEFORE, AFTER, LINE, ADDS, DUE = 1, 2, 3, 4, 5
local rehearsed = tonumber(ARGV[REHEARSED])
local plain = FIRST + EACH * rehearsed
-- A rehearsal that is older is worth nothing: somebody's clock may have been set meanwhile.
local LATELY = 250000

local LAYOUT = '1'
-- How many events the feed remembers.
local FEED = 100000
-- A record that is larger is not told to everybody: who needs it asks.
local NEWS = 16384
-- What is told of more than that goes by itself.
local SHORT = 2000
-- A clock that steps back by less stands still instead; one that steps back by more is followed.
local STEADY = 60000000

local ARGV, string, cmsgpack = ARGV, string, cmsgpack
local records, mutexes, entries, by_time, by_job, feed, meta = unpack(KEYS)

local function number(n)
  return string.format('%.0f', n)
end

-- Which data it is, who served it last, until when nothing is granted, until when nobody's run is taken over, and which data
-- somebody has known here before.
local layout, high, position, server_before, born, epoch, open, calm, past = unpack(redis.call('HMGET', meta,
  'layout', 'high', 'position', 'server', 'born', 'epoch', 'open', 'calm', 'past'))
if layout and layout ~= LAYOUT then return redis.error_reply('LAYOUT ' .. layout) end
high, position, calm = tonumber(high or 0), tonumber(position or 0), tonumber(calm or 0)

local now
if ARGV[1] ~= '' then
  now = math.max(tonumber(ARGV[1]), high)
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  if now < high and high - now < STEADY then now = high end
end

-- Who it is: another after a failover and after a restart. '' where we may not know.
local server = ''
do
  local info = redis.pcall('INFO', 'replication')
  local at = type(info) == 'string' and string.find(info, 'master_replid:', 1, true)
  if at then server = string.sub(info, at + 14, at + 53) end
end

-- ---- what changes ------------------------------------------------------------------------------

-- The records that were read, each job's, and the mutexes; whose is garbled: written by another program, or a newer version.
local names, jobs, known, garbled = {}, {}, {}, nil
-- Lines of history by their ids, which of them changed, and what the new ones are found by.
local lines, dirty, times, places, new = {}, {}, {}, {}, 0
-- Adds events to a line of history. With an instant, which is not '', they may be its first, found by it and the place.
local function add_to_line(id, job, at, place, packed)
  local text = lines[id]
  if text == '' and at ~= '' then
    text = cmsgpack.pack(job)
    times[new + 1], times[new + 2], places[new + 1], places[new + 2] = at, id, '0', place
    new = new + 2
  end
  -- A line that was pruned does not begin again in its middle.
  if text ~= '' then lines[id], dirty[id] = text .. packed, true end
end

-- Events, and how many.
local feed_text, told = {}, 0
-- Calls to be added to the feed that were lost.
local redone = {}
-- Until when nothing is granted, if so.
local closed
-- The first two are about all of them, and come last.
local answers, size = { '', '' }, 2

-- What a batch is about, and what it may read and write: all reads first, then all writes, one for
-- each structure, so that a server without memory to spare refuses all of it. The keys are the same
-- whatever the batch.
--
-- KEYS: records, mutexes, entries, entries by time, entries by job, feed, meta, pages given back, records given back
-- ARGV: now in microseconds or '' for the server's clock; channel; what the asker knows of the
-- data: which it is, its epoch, its position; for each operation as many as follow here: its job; the
-- operation, packed, or '' if it was rehearsed (rehearsal.rs), and then the record that it was rehearsed
-- with; the record that comes of it; the events; what they add to which line of history; when, the
-- new revision, how many events, whether they invite, and the instant that a new line is found by

local FIRST, EACH = 6, 8
local OP, BEFORE, AFTER, EVENTS, LINE, LINE_ID, FACTS = 1, 2, 3, 4, 5, 6, 7
-- A rehearsal that is older is worth nothing: somebody's clock may have been set meanwhile.
local LATELY = 250000

local LAYOUT = '1'
-- How many events the feed remembers.
local FEED = 100000
-- A record that is larger is not told to everybody: who needs it asks.
local NEWS = 16384
-- A clock that steps back by less stands still instead; one that steps back by more is followed.
local STEADY = 60000000

local records, mutexes, entries, by_time, by_job, feed, meta = unpack(KEYS)

local FAR = 253402300799000000
-- Events.
local E = { registered = 1, passed = 2, queued = 3, claimed = 4, published = 5, started = 6,
            released = 7, ended = 8, fenced = 9, cancel_asked = 10, paused = 11, resumed = 12,
            declined = 13, overdue = 14, recovered = 15, slow = 16, restored = 17 }

local function plus(at, by)
  return math.min(at + by, FAR)
end

-- Where the run with this claim stands, if the claim is its newest.
local function newest(record, key)
  for i, open in ipairs(record[OPEN]) do
    if open[RUN] == key[1] and open[FENCE] == key[2] then return i end
  end
end

-- Adds an event to a step `s`, which is one operation on its way: job, record `r`, mutex `m`, now, events.
local function tell(s, kind, ...)
  s.changed = true
  s.events[#s.events + 1] = { s.now, kind, ... }
end

local function number(n)
  return string.format('%.0f', n)
end

local data = {}
do
  local names = { 'layout', 'high', 'position', 'server', 'born', 'epoch', 'open', 'calm', 'past' }
  for i, value in ipairs(redis.call('HMGET', meta, unpack(names))) do data[names[i]] = value end
end
if data.layout and data.layout ~= LAYOUT then
  return redis.error_reply('LAYOUT ' .. data.layout)
end
local high, position = tonumber(data.high or 0), tonumber(data.position or 0)

local now
if ARGV[1] ~= '' then
  now = math.max(tonumber(ARGV[1]), high)
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  if now < high and high - now < STEADY then now = high end
end

-- ---- reads -------------------------------------------------------------------------------------

local names, jobs = {}, {}
-- Reads the records of these jobs that were not read before.
local function read(wanted)
  local fresh, count = {}, 0
  for _, name in ipairs(wanted) do
    if jobs[name] == nil then
      jobs[name], count = false, count + 1
      fresh[count] = name
    end
  end
  if count == 0 then return end
  local before = #names
  for i, packed in ipairs(redis.call('HMGET', records, unpack(fresh))) do
    names[before + i] = fresh[i]
    -- All that it may come to hold, so that it need not grow.
    jobs[fresh[i]] = { packed = packed or '', record = nil, revision = nil, changed = nil, invites = false }
  end
end

do
  local asked, count = {}, 0
  for at = FIRST, #ARGV, EACH do
    count = count + 1
    asked[count] = ARGV[at]
  end
  read(asked)
end

-- Written by another program, or a newer version: whose it is.
local garbled
local function unpack_list(packed, size, name)
  local good, list = pcall(cmsgpack.unpack, packed)
  if good and type(list) == 'table' and #list >= size then return list end
  garbled = name
end

-- What an older version wrote ends earlier.
local function fill_up(record)
  for i = 10, 11 do record[i] = record[i] or false end
  for _, run in ipairs(record[OPEN]) do
    for i = 14, 15 do run[i] = run[i] or false end
  end
end

local function record_of(name)
  local job = jobs[name]
  if not job.record then
    job.record = job.packed == '' and { false, '', 0, {}, {}, false, '', '', 0, false, false }
      or unpack_list(job.packed, 9, name)
    if job.record then fill_up(job.record) end
  end
  return job.record
end

local known = {}
local function mutex_of(name)
  if not name then return { 0, false } end
  if not known[name] then
    local packed = redis.call('HGET', mutexes, name)
    known[name] = { packed = packed or '', mutex = packed and unpack_list(packed, 2, name) or { 0, false } }
  end
  return known[name].mutex
end

local lines, fresh = {}, {}
do
  local ids, count = {}, 0
  for at = FIRST, #ARGV, EACH do
    if ARGV[at + LINE_ID] ~= '' then
      count = count + 1
      ids[count] = ARGV[at + LINE_ID]
    end
  end
  for i, text in ipairs(count > 0 and redis.call('HMGET', entries, unpack(ids)) or {}) do
    lines[ids[i]] = { text = text or '', changed = false }
  end
end

local function line_of(id)
  if not lines[id] then lines[id] = { text = redis.call('HGET', entries, id) or '' } end
  return lines[id]
end

-- ---- each operation ----------------------------------------------------------------------------

-- The mutex that an operation needs to see: a claim says so, others mean that of their run.
local function mutex_named(kind, record, op)
  if kind == 'claim' then return op[8] end
  local run_id
  if kind == 'published' or kind == 'start' or kind == 'renew' or kind == 'settle' or kind == 'release' then
    run_id = op[3][1]
  elseif kind == 'reap' or kind == 'evict' or kind == 'cancel' then
    run_id = op[3]
  end
  for _, run in ipairs(run_id and record[OPEN] or {}) do
    if run[RUN] == run_id then return run[MUTEX] end
  end
end

-- The line of history that an event belongs to: its id, and if it may be the first of that line
-- the instant and the kind it is found by.
local function line_named(job, event)
  local kind = event[2]
  if kind == E.passed then return '@' .. job .. '@' .. number(event[3]), event[3], 'p' end
  if kind == E.queued or kind == E.claimed or kind == E.declined then return event[3], event[4], 'r' end
  if kind == E.published or kind == E.started or kind == E.released or kind == E.ended then return event[3] end
end

-- Adds events to a line of history. With an instant and a kind they may be its first.
local function add_to_line(id, job, at, class, packed)
  local line = line_of(id)
  if line.text == '' and at then
    line.text = cmsgpack.pack(job)
    fresh[#fresh + 1] = { id, at, job .. '\0' .. class .. struct.pack('>I8', at + 62167219200000000) .. id }
  end
  -- A line that was pruned does not begin again in its middle.
  if line.text ~= '' then
    line.text = line.text .. packed
    line.changed = true
  end
end

-- Adds an event to the line that it belongs to.
local function write_down(job, event, packed)
  local id, at, class = line_named(job, event)
  if id then add_to_line(id, job, at, class, packed) end
end

local feed_text, told = {}, 0
local function keep(job, event)
  local packed = cmsgpack.pack(event)
  local text = cmsgpack.pack(job) .. packed
  told = told + 1
  feed_text[#feed_text + 1] = text
  write_down(job, event, packed)
  return text
end

-- What a batch is about, and what it may read and write: all reads first, then all writes, one for
-- each structure, so that a server without memory to spare refuses all of it. The keys are the same
-- whatever the batch.
--
-- KEYS: records, mutexes, entries, entries by time, entries by job, feed, meta, pages given back, records given back
-- ARGV: now in microseconds or '' for the server's clock; channel; what the asker knows of the
-- data: which it is, its epoch, its position; operations, packed

local LAYOUT = '1'
-- How many events the feed remembers.
local FEED = 100000
-- A record that is larger is not told to everybody: who needs it asks.
local NEWS = 16384
-- A clock that steps back by less stands still instead; one that steps back by more is followed.
local STEADY = 60000000

local records, mutexes, entries, by_time, by_job, feed, meta = unpack(KEYS)

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

local ops = {}
for i = 6, #ARGV do ops[i - 5] = cmsgpack.unpack(ARGV[i]) end

local names, jobs = {}, {}
-- Reads the records of these jobs that were not read before.
local function read(wanted)
  local fresh = {}
  for _, name in ipairs(wanted) do
    if not jobs[name] then
      jobs[name] = {}
      names[#names + 1], fresh[#fresh + 1] = name, name
    end
  end
  if #fresh == 0 then return end
  for i, packed in ipairs(redis.call('HMGET', records, unpack(fresh))) do
    jobs[fresh[i]].packed = packed or ''
  end
end

local asked = {}
for i, op in ipairs(ops) do asked[i] = op[2] end
read(asked)

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

-- Adds an event to the line of history that it belongs to.
local function write_down(job, event, packed)
  local id, at, class = line_named(job, event)
  if id then
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
end

local feed_text, told = {}, 0
local function keep(job, event)
  local packed = cmsgpack.pack(event)
  told = told + 1
  feed_text[told] = cmsgpack.pack(job) .. packed
  write_down(job, event, packed)
  return feed_text[told]
end


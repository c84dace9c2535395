-- What operations need that were not rehearsed: records, mutexes and lines of history, read when they are asked for, and events.
-- With grant.lua, redo.lua and carry.lua it is the body of a function (lane.rs), made only where there are such operations, or
-- something was lost: each call would make all its functions anew.

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
    jobs[fresh[i]] = { packed = packed or '', record = nil, changed = nil, invites = false }
  end
end

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

local function mutex_of(name)
  if not name then return { 0, false } end
  if not known[name] then
    local packed = redis.call('HGET', mutexes, name)
    known[name] = { packed = packed or '', mutex = packed and unpack_list(packed, 2, name) or { 0, false } }
  end
  return known[name].mutex
end

local function line_of(id)
  if not lines[id] then lines[id] = redis.call('HGET', entries, id) or '' end
  return lines[id]
end

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

-- Adds an event to the line that it belongs to.
local function write_down(job, event, packed)
  local id, at, class = line_named(job, event)
  if not id then return end
  line_of(id)
  local place = at and job .. '\0' .. class .. struct.pack('>I8', at + 62167219200000000) .. id
  add_to_line(id, job, at and number(at) or '', place, packed)
end

local function keep(job, event)
  local packed = cmsgpack.pack(event)
  local text = cmsgpack.pack(job) .. packed
  told = told + 1
  feed_text[#feed_text + 1] = text
  write_down(job, event, packed)
  return text
end

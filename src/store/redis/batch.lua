-- Answers a batch of operations in one atomic step: all reads first, then all writes, one for
-- each structure, so that a server without memory to spare refuses all of it. The keys are the same
-- whatever the batch.
--
-- KEYS: records, mutexes, entries, entries by time, entries by job, feed, meta
-- ARGV: now in microseconds or '' for the server's clock; channel; operations, packed

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

local layout, high, position = unpack(redis.call('HMGET', meta, 'layout', 'high', 'position'))
if layout and layout ~= LAYOUT then
  return redis.error_reply('LAYOUT ' .. layout)
end
high, position = tonumber(high or 0), tonumber(position or 0)

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
for i = 3, #ARGV do ops[i - 2] = cmsgpack.unpack(ARGV[i]) end

local names, jobs = {}, {}
for _, op in ipairs(ops) do
  if not jobs[op[2]] then
    jobs[op[2]] = {}
    names[#names + 1] = op[2]
  end
end
for i, packed in ipairs(redis.call('HMGET', records, unpack(names))) do
  jobs[names[i]].packed = packed or ''
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

local feed_text, told = {}, 0
local function keep(job, event)
  local packed = cmsgpack.pack(event)
  told = told + 1
  feed_text[told] = cmsgpack.pack(job) .. packed
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
  return packed
end

local answers = { number(now) }
local function answer(reply, record, mutex, events)
  local n = #answers
  answers[n + 1], answers[n + 2], answers[n + 3], answers[n + 4] = reply, record, mutex, events
end

-- What may give others something to do: `What::invites`.
local INVITES = { [E.queued] = true, [E.released] = true, [E.ended] = true,
                  [E.cancel_asked] = true, [E.paused] = true, [E.resumed] = true }
local KINDS = { 'register', 'claim', 'decide', 'published', 'start', 'renew', 'settle', 'release',
                'reap', 'evict', 'trigger', 'cancel', 'pause', 'resume', 'overdue', 'slow' }

for _, op in ipairs(ops) do
  local name, kind = op[2], KINDS[op[1]]
  local job = jobs[name]
  if kind then
    local record = record_of(name)
    local mutex = record and mutex_named(kind, record, op)
    local s = { job = name, r = record, m = mutex_of(mutex), now = now, events = {} }
    if garbled then return redis.error_reply('GARBLED ' .. garbled) end
    local reply = G[kind](s, unpack(op, 3))
    local packed = cmsgpack.pack(reply)
    local events = {}
    for i, event in ipairs(s.events) do
      events[i] = keep(name, event)
      if INVITES[event[2]] then job.invites = true end
    end
    if s.changed then
      record[REVISION] = math.max(record[REVISION] + 1, now)
      job.packed, job.changed = cmsgpack.pack(record), true
    end
    if s.m_changed and mutex then
      known[mutex].packed, known[mutex].changed = cmsgpack.pack(s.m), true
    end
    answer(packed, job.packed, mutex and known[mutex].packed or '', table.concat(events))
  else
    if op[3] then mutex_of(op[3]) end
    answer('', job.packed, op[3] and known[op[3]].packed or '', '')
  end
end

-- ---- writes ------------------------------------------------------------------------------------

-- Lua passes a few thousand arguments at once, not more.
local function call_with_all(command, key, args)
  for from = 1, #args, 2000 do
    redis.call(command, key, unpack(args, from, math.min(from + 1999, #args)))
  end
end

local changed, news = {}, {}
for _, name in ipairs(names) do
  if jobs[name].changed then
    local job = jobs[name]
    changed[#changed + 1], changed[#changed + 2] = name, job.packed
    local n = #news
    local told = #job.packed <= NEWS and job.packed or ''
    news[n + 1], news[n + 2], news[n + 3], news[n + 4] = name, job.record[REVISION], told, job.invites or false
  end
end
call_with_all('HSET', records, changed)

local locks = {}
for name, lock in pairs(known) do
  if lock.changed then locks[#locks + 1], locks[#locks + 2] = name, lock.packed end
end
call_with_all('HSET', mutexes, locks)

if told > 0 then
  local texts, times, places = {}, {}, {}
  for id, line in pairs(lines) do
    if line.changed then texts[#texts + 1], texts[#texts + 2] = id, line.text end
  end
  for _, line in ipairs(fresh) do
    times[#times + 1], times[#times + 2] = number(line[2]), line[1]
    places[#places + 1], places[#places + 2] = 0, line[3]
  end
  call_with_all('HSET', entries, texts)
  call_with_all('ZADD', by_time, times)
  call_with_all('ZADD', by_job, places)
  local function add(at)
    local oldest = number(math.max(at - FEED, 0)) .. '-0'
    return redis.pcall('XADD', feed, 'MINID', '~', oldest, number(at) .. '-0', 'n', told, 'e', table.concat(feed_text))
  end
  position = position + told
  if type(add(position)) == 'table' then
    -- The counter is gone, but the feed knows how far it was.
    local about = redis.call('XINFO', 'STREAM', feed)
    for i = 1, #about, 2 do
      if about[i] == 'last-generated-id' then position = tonumber(string.match(about[i + 1], '^%d+')) + told end
    end
    add(position)
  end
end

if #changed > 0 or told > 0 then
  redis.call('HSET', meta, 'layout', LAYOUT, 'high', number(now), 'position', number(position))
  -- Whoever may not publish does without: hints are a convenience.
  redis.pcall('PUBLISH', ARGV[2], cmsgpack.pack(position, told, news))
end
return answers

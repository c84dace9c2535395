-- Answers a batch of operations in one atomic step.

-- The first is about all of them, and comes last.
local answers, size = { '' }, 1
local function answer(reply, record, mutex, events)
  answers[size + 1], answers[size + 2], answers[size + 3], answers[size + 4] = reply, record, mutex, events
  size = size + 4
end

-- What may give others something to do: `What::invites`.
local INVITES = { [E.queued] = true, [E.released] = true, [E.ended] = true,
                  [E.cancel_asked] = true, [E.paused] = true, [E.resumed] = true }
local KINDS = { 'register', 'claim', 'decide', 'published', 'start', 'renew', 'settle', 'release',
                'reap', 'evict', 'trigger', 'cancel', 'pause', 'resume', 'overdue', 'slow' }

-- What the asker has worked out by the same rules holds if the record is still the one that it knew, and nothing is held back.
-- As of when it did, a moment ago, nothing else came in between. Otherwise it is given the record, and asks again.
local TAKEN = 'taken'
local calm = tonumber(data.calm or 0)
local function take_rehearsal(name, first)
  local job, before = jobs[name], ARGV[first + BEFORE]
  if job.packed ~= before or closed or now < calm then return answer('', job.packed, '', '') end
  local at, revision, count, invites, due = cmsgpack.unpack(ARGV[first + FACTS])
  if at > now or now - at > LATELY then return answer('', job.packed, '', '') end
  job.packed, job.record, job.revision, job.changed = ARGV[first + AFTER], nil, revision, true
  job.invites = job.invites or invites
  if count > 0 then
    told = told + count
    feed_text[#feed_text + 1] = ARGV[first + EVENTS]
  end
  if ARGV[first + LINE_ID] ~= '' then add_to_line(ARGV[first + LINE_ID], name, due, 'r', ARGV[first + LINE]) end
  answer(TAKEN, '', '', '')
end

-- The rules are made when they are first needed: each call would make their functions anew.
local G
local function carry_out(op)
  local name, kind = op[2], KINDS[op[1]]
  local job = jobs[name]
  if not kind then
    if op[3] then mutex_of(op[3]) end
    return answer('', job.packed, op[3] and known[op[3]].packed or '', '')
  end
  G = G or granting()
  local record = record_of(name)
  local mutex = record and mutex_named(kind, record, op)
  local s = { job = name, r = record, m = mutex_of(mutex), now = now, events = {} }
  if garbled then return end
  if kind == 'register' and job.packed == '' and op[4] and not closed then putting_back().restore(s, op[4]) end
  local reply = held_back(kind, s, op) or G[kind](s, unpack(op, 3))
  local packed = cmsgpack.pack(reply)
  local events = {}
  for i, event in ipairs(s.events) do
    events[i] = keep(name, event)
    if INVITES[event[2]] then job.invites = true end
  end
  -- Whoever was refused has changed nothing, but nobody's rehearsal is to come after that as of before.
  if s.changed or (#s.events > 0 and job.packed ~= '') then
    record = s.r
    record[REVISION] = math.max(record[REVISION] + 1, now)
    job.packed, job.changed = cmsgpack.pack(record), true
  end
  if s.m_changed and mutex then
    known[mutex].packed, known[mutex].changed = cmsgpack.pack(s.m), true
  end
  answer(packed, job.packed, mutex and known[mutex].packed or '', table.concat(events))
end

for first = FIRST, #ARGV, EACH do
  if ARGV[first + OP] == '' then
    take_rehearsal(ARGV[first], first)
  else
    carry_out(cmsgpack.unpack(ARGV[first + OP]))
    if garbled then return redis.error_reply('GARBLED ' .. garbled) end
  end
end

-- ---- writes ------------------------------------------------------------------------------------

-- Lua passes a few thousand arguments at once, not more.
local function call_with_all(command, key, args)
  for from = 1, #args, 2000 do
    redis.call(command, key, unpack(args, from, math.min(from + 1999, #args)))
  end
end

local changed, news, count = {}, {}, 0
for _, name in ipairs(names) do
  local job = jobs[name]
  if job.changed then
    changed[2 * count + 1], changed[2 * count + 2] = name, job.packed
    local n = 4 * count
    local told = #job.packed <= NEWS and job.packed or ''
    local revision = job.record and job.record[REVISION] or job.revision
    news[n + 1], news[n + 2], news[n + 3], news[n + 4] = name, revision, told, job.invites
    count = count + 1
  end
end
call_with_all('HSET', records, changed)

local locks = {}
for name, lock in pairs(known) do
  if lock.changed then locks[#locks + 1], locks[#locks + 2] = name, lock.packed end
end
call_with_all('HSET', mutexes, locks)

local texts, times, places = {}, {}, {}
count = 0
for id, line in pairs(lines) do
  if line.changed then
    texts[count + 1], texts[count + 2] = id, line.text
    count = count + 2
  end
end
for i, line in ipairs(fresh) do
  times[2 * i - 1], times[2 * i] = number(line[2]), line[1]
  places[2 * i - 1], places[2 * i] = 0, line[3]
end
call_with_all('HSET', entries, texts)
call_with_all('ZADD', by_time, times)
call_with_all('ZADD', by_job, places)

local function add(at, count, text)
  local oldest = number(math.max(at - FEED, 0)) .. '-0'
  return redis.pcall('XADD', feed, 'MINID', '~', oldest, number(at) .. '-0', 'n', count, 'e', text)
end
for _, page in ipairs(redone) do add(unpack(page)) end
local text = table.concat(feed_text)
if told > 0 then
  position = position + told
  if type(add(position, told, text)) == 'table' then
    -- The counter is gone, but the feed knows how far it was.
    local about = redis.call('XINFO', 'STREAM', feed)
    for i = 1, #about, 2 do
      if about[i] == 'last-generated-id' then position = tonumber(string.match(about[i + 1], '^%d+')) + told end
    end
    add(position, told, text)
  end
end

local writes = #changed > 0 or told > 0 or redone.changed
if writes then
  redis.call('HSET', meta, 'layout', LAYOUT, 'high', number(now), 'position', number(position),
    'server', server, 'born', data.born, 'epoch', data.epoch)
  if redone.renewals then redis.call('HSET', KEYS[8], unpack(redone.renewals)) end
  if redone.used and #redone.used > 0 then
    redis.call('HDEL', redone.from, unpack(redone.used))
    for name, count in pairs(redone.counts) do redis.call('HINCRBY', meta, name, count) end
  end
  if redone.opened then
    local teachers = 0
    for _, field in ipairs(redis.call('HKEYS', KEYS[8])) do
      if string.sub(field, 1, 3) == 'by:' then teachers = teachers + 1 end
    end
    redis.call('HSET', meta, 'calm', data.calm, 'by', teachers)
    redis.call('HDEL', meta, 'open', 'top')
    redis.call('DEL', KEYS[8], KEYS[9])
  end
  -- Whoever may not publish does without: hints are a convenience.
  redis.pcall('PUBLISH', ARGV[2], cmsgpack.pack(position, told, news, text))
end
-- Data that nobody has written yet is no data.
local born = (writes or not data.new) and data.born or ''
answers[1] = cmsgpack.pack(now, position, told, born, tonumber(data.epoch), closed or 0, server)
return answers

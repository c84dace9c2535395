-- Answers a batch of operations in one atomic step.

-- What carries out operations, made when it is first needed.
local made
local function carried()
  made = made or carrying()
  return made
end

-- Whether who asks has seen more of the data, or other data.
local asked_born, asked_epoch, own_epoch = ARGV[3], tonumber(ARGV[4]), tonumber(epoch or 0)
local is_behind = asked_born ~= '' and asked_born ~= past and (asked_born ~= born or asked_epoch > own_epoch
  or asked_epoch == own_epoch and tonumber(ARGV[5]) > position)
local is_other = server_before and server_before ~= '' and server ~= '' and server_before ~= server
if is_other or (is_behind and not open) then carried().close_gate() end
local is_new = not born
born, epoch = born or server .. number(now), epoch or '1'

closed = open and tonumber(open)
if closed and now >= closed then carried().open_gate() end
if garbled then return redis.error_reply('GARBLED ' .. garbled) end

-- ---- what was rehearsed ------------------------------------------------------------------------

-- What the asker has worked out by the same rules holds if the record is still the one that it knew, and nothing is held back.
-- As of when it did, a moment ago, nothing else came in between. Otherwise it is given the record, and asks again.
local taken, refused, changed, before = {}, {}, {}, 0
-- What is told of those that were taken: of the records, of the events, and how many these are.
local their_news, their_text, their_count = '', '', 0
if rehearsed > 0 then
  local is_good = not closed and now >= calm and tonumber(ARGV[NEWEST]) <= now and now - tonumber(ARGV[OLDEST]) <= LATELY
  local asked, ids, which, count = {}, {}, {}, 0
  for i = 1, rehearsed do asked[i] = ARGV[FIRST + EACH * (i - 1)] end
  local found, at = redis.call('HMGET', records, unpack(asked)), FIRST
  for i = 1, rehearsed do
    local name = asked[i]
    local packed = taken[name] or jobs[name] and jobs[name].packed or found[i] or ''
    if is_good and packed == ARGV[at + BEFORE] then
      local after, line = ARGV[at + AFTER], ARGV[at + LINE]
      taken[name], changed[before + 1], changed[before + 2] = after, name, after
      before = before + 2
      if line ~= '' then
        count = count + 1
        ids[count], which[count] = string.sub(line, -16), at
      end
    else
      refused[#refused + 1] = i
      size = size + 1
      answers[size] = packed
    end
    at = at + EACH
  end
  local texts = count > 0 and redis.call('HMGET', entries, unpack(ids)) or {}
  for i = 1, count do
    local id, at = ids[i], which[i]
    lines[id] = lines[id] or texts[i] or ''
    add_to_line(id, ARGV[at], ARGV[at + DUE], ARGV[at + LINE], ARGV[at + ADDS])
  end

  their_news, their_text, their_count = ARGV[TELLS], ARGV[EVENTS], tonumber(ARGV[COUNT])
  if #refused > 0 then
    answers[2] = cmsgpack.pack(refused)
    local sizes, some_news, some_text = cmsgpack.unpack(ARGV[SIZES]), {}, {}
    local next, at, from = 1, 1, 1
    for i = 1, rehearsed do
      local to, till = at + sizes[3 * i - 2], from + sizes[3 * i - 1]
      if refused[next] == i then
        next, their_count = next + 1, their_count - sizes[3 * i]
      else
        some_news[#some_news + 1] = string.sub(their_news, at, to - 1)
        some_text[#some_text + 1] = string.sub(their_text, from, till - 1)
      end
      at, from = to, till
    end
    their_news, their_text = table.concat(some_news), table.concat(some_text)
  end
end

-- ---- what was not ------------------------------------------------------------------------------

if plain < #ARGV then
  local asked = {}
  for at = plain, #ARGV, 2 do
    if ARGV[at + 1] ~= '' then asked[#asked + 1] = ARGV[at] end
  end
  if #asked > 0 then carried().read(asked) end
  for name, packed in pairs(taken) do
    if jobs[name] then jobs[name].packed, jobs[name].record = packed, nil end
  end
  for at = plain, #ARGV, 2 do
    if ARGV[at + 1] == '' then
      -- Asked is only how it stands.
      for i = size + 1, size + 4 do answers[i] = '' end
      size = size + 4
    else
      carried().carry_out(cmsgpack.unpack(ARGV[at + 1]))
      if garbled then return redis.error_reply('GARBLED ' .. garbled) end
    end
  end
end

-- ---- writes ------------------------------------------------------------------------------------

-- Lua passes a few thousand arguments at once, not more.
local function call_with_all(command, key, args)
  for from = 1, #args, 2000 do
    redis.call(command, key, unpack(args, from, math.min(from + 1999, #args)))
  end
end

local news, count = {}, 0
for _, name in ipairs(names) do
  local job = jobs[name]
  if job.changed then
    changed[before + 2 * count + 1], changed[before + 2 * count + 2] = name, job.packed
    local n = 4 * count
    local told = #job.packed <= NEWS and job.packed or ''
    news[n + 1], news[n + 2], news[n + 3], news[n + 4] = name, job.record[REVISION], told, job.invites
    count = count + 1
  end
end
call_with_all('HSET', records, changed)

local locks = {}
for name, lock in pairs(known) do
  if lock.changed then locks[#locks + 1], locks[#locks + 2] = name, lock.packed end
end
call_with_all('HSET', mutexes, locks)

local texts = {}
count = 0
for id in pairs(dirty) do
  texts[count + 1], texts[count + 2] = id, lines[id]
  count = count + 2
end
call_with_all('HSET', entries, texts)
call_with_all('ZADD', by_time, times)
call_with_all('ZADD', by_job, places)

local function add(at, count, text)
  -- Not each time: what is too old goes by many at once.
  if math.floor(at / 1000) == math.floor((at - count) / 1000) then
    return redis.pcall('XADD', feed, number(at) .. '-0', 'n', count, 'e', text)
  end
  local oldest = number(math.max(at - FEED, 0)) .. '-0'
  return redis.pcall('XADD', feed, 'MINID', '~', oldest, number(at) .. '-0', 'n', count, 'e', text)
end
for _, page in ipairs(redone) do add(unpack(page)) end
local own_text = table.concat(feed_text)
local text = their_text .. own_text
told = told + their_count
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
  redis.call('HSET', meta, 'high', number(now), 'position', number(position))
  if is_new or server ~= server_before or not layout then
    redis.call('HSET', meta, 'layout', LAYOUT, 'server', server, 'born', born, 'epoch', epoch)
  end
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
    redis.call('HSET', meta, 'calm', number(calm), 'by', teachers)
    redis.call('HDEL', meta, 'open', 'top')
    redis.call('DEL', KEYS[8], KEYS[9])
  end
  -- Whoever may not publish does without: hints are a convenience. Long texts are slow to put together here, so that they
  -- follow one by one.
  local their = rehearsed - #refused
  if their == 0 then
    redis.pcall('PUBLISH', ARGV[2], cmsgpack.pack(position, told, news, text))
  elseif #their_news <= SHORT then
    redis.pcall('PUBLISH', ARGV[2], cmsgpack.pack('+', position, told, their, news, own_text, their_news, their_text))
  else
    redis.pcall('PUBLISH', ARGV[2], cmsgpack.pack('+', position, told, their, news, own_text))
    redis.pcall('PUBLISH', ARGV[2], their_news)
    redis.pcall('PUBLISH', ARGV[2], their_text)
  end
end
-- Data that nobody has written yet is no data.
if is_new and not writes then born = '' end
answers[1] = cmsgpack.pack(now, position, told, born, tonumber(epoch), closed or 0, server)
return answers

-- What a server has lost, those who asked it give back. A server that is not the one that answered
-- before, or that knows less than who asks, grants nothing for a while (the gate); what was told
-- before and is missing now is collected beside it (teach.lua), and put in its place in the order in
-- which it happened.

-- How long the gate stays closed unless everybody is heard before; then, how long nobody's run is
-- taken over: its holder renews its lease first, by what may be another clock.
local GRACE, CALM = 7000000, 3000000
-- Pages and records put back in one call.
local PAGES, RECORDS = 200, 500

-- Until when runs were renewed while the gate is closed.
local renewed = {}

local function renewal(run)
  return 'until:' .. number(run[FENCE]) .. run[RUN]
end

local function close_gate()
  epoch = number(math.max(tonumber(epoch or 0), tonumber(ARGV[4])) + 1)
  open, born, calm = number(now + GRACE), born or server .. number(now), 0
  redis.call('DEL', KEYS[8], KEYS[9])
  redis.call('HDEL', meta, 'calm', 'pages', 'records', 'unknown')
  redis.call('HSET', meta, 'layout', LAYOUT, 'high', number(high), 'position', number(position), 'server', server,
    'born', born, 'epoch', epoch, 'open', open, 'closed', number(now), 'last', number(high))
end

-- ---- putting back ------------------------------------------------------------------------------

-- What of a record is more than how long its leases last.
local function substance(record)
  local open = {}
  for i, run in ipairs(record[OPEN]) do
    open[i] = { run[RUN], run[PHASE], run[ATTEMPT], run[FENCE], run[CANCEL], run[STARTED_AT] }
  end
  return cmsgpack.pack(record[CURSOR], record[SEEN], record[TOP], open, record[PAUSED], record[SUCCESS],
    record[ASKED], record[SETTLED], record[SUCCEEDED_AT], record[OVERDUE])
end

local function hold_mutexes_of(name, record)
  for _, run in ipairs(record[OPEN]) do
    if run[MUTEX] and run[PHASE] ~= WAITING then
      local mutex = mutex_of(run[MUTEX])
      if not mutex[2] or mutex[2][3] <= run[FENCE] then
        mutex[1] = math.max(mutex[1], run[FENCE])
        mutex[2] = { name, run[RUN], run[FENCE], run[HOLDER], run[UNTIL] }
        known[run[MUTEX]].packed, known[run[MUTEX]].changed = cmsgpack.pack(mutex), true
      end
    end
  end
end

-- Gives a job its record as it was told, if that is newer. Answers with the one before.
local function put_record(name, packed)
  read({ name })
  local own = record_of(name)
  local told = unpack_list(packed, 9, name)
  if not own or not told or own[REVISION] >= told[REVISION] then return end
  fill_up(told)
  for _, run in ipairs(told[OPEN]) do
    run[UNTIL] = math.max(run[UNTIL], renewed[renewal(run)] or run[UNTIL])
  end
  local job = jobs[name]
  job.record, job.packed, job.changed, job.invites = told, cmsgpack.pack(told), true, true
  high = math.max(high, told[REVISION])
  hold_mutexes_of(name, told)
  return own, told
end

-- A record that is more than the events tell of: of what lies between, nobody knows.
local function tell_of_restored(name, own, told)
  local function say(...) keep(name, { now, ... }) end
  say(E.restored, own[CURSOR], told[CURSOR])
  for _, run in ipairs(told[OPEN]) do
    if line_of(run[RUN]) == '' then
      say(E.queued, run[RUN], run[AT], run[TRIGGER])
      if run[FENCE] > 0 then
        say(E.claimed, run[RUN], run[AT], run[TRIGGER], run[ATTEMPT], run[FENCE], run[HOLDER])
      end
      if run[PHASE] == PUBLISHED then say(E.published, run[RUN], run[FENCE]) end
      if run[PHASE] == RUNNING then say(E.started, run[RUN], run[ATTEMPT], run[FENCE], run[HOLDER]) end
    end
  end
end

-- One call as it was told: its position, how many events, the records after it, its events.
local function put_page(page)
  local place, count, news, text = cmsgpack.unpack(page)
  if place <= position then return end
  local from = 0
  while from >= 0 and from < #text do
    local name, event
    from, name, event = cmsgpack.unpack_limit(text, 2, from)
    write_down(name, event, cmsgpack.pack(event))
  end
  for i = 1, #news, 4 do
    if news[i + 2] ~= '' then put_record(news[i], news[i + 2]) end
  end
  redone[#redone + 1] = { place, count, text }
  position = place
end

-- A mutex whose holder is known to be done is free.
local function free_mutexes()
  local held = redis.call('HKEYS', mutexes)
  for _, name in ipairs(held) do
    local mutex = mutex_of(name)
    local by = mutex and mutex[2]
    if by then
      read({ by[1] })
      local record, holds = record_of(by[1]), false
      for _, run in ipairs(record and record[OPEN] or {}) do
        if run[RUN] == by[2] and run[FENCE] == by[3] and run[PHASE] ~= WAITING then holds = true end
      end
      if record and not holds then
        mutex[2] = false
        known[name].packed, known[name].changed = cmsgpack.pack(mutex), true
      end
    end
  end
end

-- Puts back some of what was collected. Whether that was all.
local function put_back()
  local places = {}
  for _, field in ipairs(redis.call('HKEYS', KEYS[8])) do
    if string.sub(field, 1, 6) == 'until:' then
      renewed[field] = tonumber(redis.call('HGET', KEYS[8], field))
    else
      places[#places + 1] = tonumber(field)
    end
  end
  table.sort(places)
  local done = {}
  for i = 1, math.min(#places, PAGES) do
    done[i] = number(places[i])
    put_page(redis.call('HGET', KEYS[8], done[i]))
  end
  local restored, unknown = 0, 0
  if #places == 0 then
    local names_back = redis.call('HKEYS', KEYS[9])
    for i = 1, math.min(#names_back, RECORDS) do
      local name = names_back[i]
      done[i] = name
      local own, back = put_record(name, redis.call('HGET', KEYS[9], name))
      if own then
        restored = restored + 1
        if substance(own) ~= substance(back) then
          unknown = unknown + 1
          tell_of_restored(name, own, back)
        end
      end
    end
  end
  redone.changed = true
  redone.used, redone.from = done, #places > 0 and KEYS[8] or KEYS[9]
  redone.counts = { pages = #redone, records = restored, unknown = unknown }
  return #done == 0
end

-- A record that is gone although the server is the same: somebody removed it.
local function restore(s, packed)
  local own, told = put_record(s.job, packed)
  if own then
    s.r, s.changed = told, true
    tell(s, E.restored, false, told[CURSOR])
  end
end

-- Opens the gate if all that was collected is back in its place.
local function open_gate()
  -- What comes back is never told as earlier than it was.
  if put_back() then
    free_mutexes()
    position = math.max(position, tonumber(redis.call('HGET', meta, 'top') or 0))
    redone.opened, closed = true, nil
    calm = now + CALM
  else
    closed = now + 1
  end
  if now < high and high - now < STEADY then now = high end
end

-- What is not granted now. A holder keeps its run all the same, and if it is the only thing that it does.
local function held_back(kind, s, op)
  if closed then
    local i = kind == 'renew' and newest(s.r, op[3])
    local run = i and s.r[OPEN][i]
    if run and run[PHASE] ~= WAITING and run[TOKEN] == op[3][3] then
      run[UNTIL] = plus(now, op[4])
      redone.renewals = redone.renewals or {}
      local n = #redone.renewals
      redone.renewals[n + 1], redone.renewals[n + 2] = renewal(run), number(run[UNTIL])
      jobs[s.job].packed, jobs[s.job].changed = cmsgpack.pack(s.r), true
      return { KEPT, run[UNTIL], run[CANCEL] }
    end
    return { HELD_BACK, closed }
  end
  if now >= calm then return end
  if kind == 'reap' or (kind == 'claim' and op[9][1] == 2) then return { HELD_BACK, calm } end
  local lock = kind == 'claim' and s.m[2]
  if lock and lock[5] <= now then return { HELD_BACK, calm } end
end

-- What the store grants: the port of `record::apply`, function for function, in the same order.
-- Held equal to it by tests/redis.rs, which asks both the same. Change neither alone.
--
-- Records are lists (see pack.rs). `false` stands for what is absent, times are microseconds.
-- All of this is the body of a function (lane.rs): it is made only where something was not rehearsed.

local SPECS, PAUSES, REMEMBERED, FEW = 4, 16, 100, 16
-- So long before an occurrence is due it may be bid for: `Bid::AHEAD`.
local AHEAD = 500000
local ALLOW_LIMIT, QUEUE_LIMIT = 100, 1000

-- A record.
local CURSOR, SEEN, TOP, OPEN, PAUSED, SUCCESS, ASKED, SETTLED, REVISION = 1, 2, 3, 4, 5, 6, 7, 8, 9
local SUCCEEDED_AT, OVERDUE = 10, 11
-- An open run.
local RUN, AT, TRIGGER, ARGS, OPENED, PHASE, ATTEMPT = 1, 2, 3, 4, 5, 6, 7
local FENCE, TOKEN, HOLDER, UNTIL, CANCEL, MUTEX, STARTED_AT, SLOW = 8, 9, 10, 11, 12, 13, 14, 15
local WAITING, CLAIMED, PUBLISHED, RUNNING = 1, 2, 3, 4
-- How an attempt ended.
local SUCCEEDED, CANCELLED, LOST, EXPIRED = 1, 4, 6, 7
-- What becomes of an occurrence.
local QUEUED, SKIPPED_OVERLAP, SKIPPED_PAUSED = 1, 2, 3
-- Overlap policies.
local SKIP, QUEUE_ONE, QUEUE_ALL, REPLACE, ALLOW = 1, 2, 3, 4, 5
-- Replies.
local WON, DONE, KEPT, FENCED, CALLED_OFF, STALE, EARLY = 1, 2, 3, 4, 5, 6, 7
local MOVED, BUSY, MUTEX_HELD, IS_PAUSED, FULL, NOT_FOUND, HELD_BACK = 8, 9, 10, 11, 12, 13, 14
-- An operation answers with a reply as `Reply` has it, but for an open run of the job it names the
-- run's place in the record, which goes with the answer.
local G = {}

-- A ring is a string of items of one size, the oldest first.
local function has(ring, item)
  local from = 1
  while true do
    local at = string.find(ring, item, from, true)
    if not at then return false end
    if (at - 1) % #item == 0 then return true end
    from = at + 1
  end
end

local function remember(ring, item, most)
  if #ring >= most * #item then ring = string.sub(ring, #item + 1) end
  return ring .. item
end

local function fence_bytes(fence)
  return struct.pack('>I8', fence)
end

local function ended(outcome, message)
  return { outcome, false, false, message }
end

-- Whether others report how the run ends.
local function is_theirs(run)
  return run[TOKEN] and string.sub(run[TOKEN], 1, 7) == 'result-'
end

-- How it ended if its time is over while it was running.
local function lost(run)
  return ended(LOST, is_theirs(run) and 'no result came in time' or 'its holder did not renew the lease')
end

local function waiting(run, at, trigger, args, opened)
  return { run, at, trigger, args, opened, WAITING, 1, 0, false, '', opened, false, false, false, false }
end

local function is_queued(run)
  return run[PHASE] == WAITING and run[FENCE] == 0
end

local function is_held(run, now)
  return run[PHASE] ~= WAITING and run[UNTIL] > now
end

local function paused(s)
  local last = s.r[PAUSED][#s.r[PAUSED]]
  if last and last[1] <= s.now and (not last[2] or s.now < last[2]) then return last end
end

local function place_of(s, run)
  for i, open in ipairs(s.r[OPEN]) do
    if open[RUN] == run then return i end
  end
end

-- The run for whose end the open run has to wait, mutexes aside.
local function keeps_out(s, run, allow)
  local open, place = s.r[OPEN], place_of(s, run)
  local queued, begun = is_queued(open[place]), 0
  for i, other in ipairs(open) do
    if i ~= place and not is_queued(other) then
      begun = begun + 1
      if allow then
        if begun == ALLOW_LIMIT then return other end
      elseif queued or i < place or is_held(other, s.now) then
        return other
      end
    end
  end
end

local function mutex_keeps_out(s, run)
  local held = s.m[2]
  if held and held[2] ~= run and held[5] > s.now then return held end
end

local function hold_mutex(s, run)
  if run[MUTEX] and not mutex_keeps_out(s, run[RUN]) then
    s.m[1] = math.max(s.m[1], run[FENCE])
    s.m[2] = { s.job, run[RUN], run[FENCE], run[HOLDER], run[UNTIL] }
    s.m_changed = true
  end
end

local function free_mutex(s, run)
  if s.m[2] and s.m[2][2] == run then
    s.m[2] = false
    s.m_changed = true
  end
end

local function close(s, i, how)
  local run = table.remove(s.r[OPEN], i)
  free_mutex(s, run[RUN])
  tell(s, E.ended, run[RUN], run[ATTEMPT], run[FENCE], how, false)
  if how[1] ~= SUCCEEDED then return end
  if not s.r[SUCCESS] or s.r[SUCCESS] < run[AT] then s.r[SUCCESS] = run[AT] end
  s.r[SUCCEEDED_AT] = s.now
  if s.r[OVERDUE] then
    tell(s, E.recovered, s.r[OVERDUE])
    s.r[OVERDUE] = false
  end
end

-- Refuses a holder whose time is over. The record is as it was, only the event is new.
local function fence_off(s, key, tried, how)
  s.events[#s.events + 1] = { s.now, E.fenced, key[1], key[2], tried, how }
  return { FENCED }
end

-- Whether a run with this id was asked for before: no two open runs have one id.
local function was_asked(s, run)
  return has(s.r[ASKED], run) or place_of(s, run) ~= nil
end

-- Refuses a request that stands for an occurrence itself, while its schedule may still start it, or when a run may have
-- started since the asker looked.
local function refuse_identity(s, at, expect)
  if not expect then return end
  if at > (s.r[CURSOR] or s.now) then return { EARLY, at } end
  if expect ~= s.r[TOP] then return { MOVED } end
end

local function enqueue(s, run)
  tell(s, E.queued, run[RUN], run[AT], run[TRIGGER])
  table.insert(s.r[OPEN], run)
end

local function pass(s, passes)
  for _, p in ipairs(passes) do
    if p[4] == QUEUED then
      enqueue(s, waiting(p[5], p[1], '', '', s.now))
    else
      tell(s, E.passed, p[1], p[2], p[3], p[4])
    end
  end
end

local function refuse_decision(s, expect, passes, last, due, ahead)
  local cursor = s.r[CURSOR]
  if not cursor then return { MOVED } end
  if last <= cursor then return { STALE } end
  if due > s.now + ahead then return { EARLY, due } end
  -- Only who knew the cursor has seen every occurrence since: none can slip through between.
  local edge = expect
  for _, p in ipairs(passes) do
    if not (p[1] > edge and p[2] >= p[1] and p[3] > 0) then return { MOVED } end
    edge = p[2]
  end
  if expect ~= cursor then return { MOVED } end
end

-- Whether other runs of the job forbid this one.
local function refuse_company(s, bid, in_the_way)
  if in_the_way and not (bid.allow and #s.r[OPEN] < ALLOW_LIMIT) then
    return { BUSY, place_of(s, in_the_way[RUN]) }
  end
end

-- The run's code begins, now or when it is due.
local function begin(s, run, ttl)
  run[PHASE], run[UNTIL] = RUNNING, plus(s.now, ttl)
  -- Granted a moment before it is due, its code begins when it is.
  run[STARTED_AT] = math.max(s.now, run[OPENED])
  hold_mutex(s, run)
  s.changed = true
  s.events[#s.events + 1] = { run[STARTED_AT], E.started, run[RUN], run[ATTEMPT], run[FENCE], run[HOLDER] }
end

local function grant(s, i, bid)
  local fence = math.max(math.max(s.r[TOP], s.m[1]) + 1, s.now)
  s.r[TOP] = fence
  local run = s.r[OPEN][i]
  run[PHASE], run[FENCE], run[TOKEN], run[HOLDER] = CLAIMED, fence, bid.token, bid.holder
  run[UNTIL], run[MUTEX] = math.max(plus(s.now, bid.ttl), run[OPENED]), bid.mutex
  run[STARTED_AT], run[SLOW] = false, false
  tell(s, E.claimed, run[RUN], run[AT], run[TRIGGER], run[ATTEMPT], fence, run[HOLDER])
  if bid.start then begin(s, run, bid.start) else hold_mutex(s, run) end
  return { WON, i }
end

local function claim_next(s, bid, expect, passes, at, due, run)
  -- Before it is due nobody knows what will be in its way then, but that nothing is in its way may be known.
  local alone = #s.r[OPEN] == 0 and #passes == 0 and not bid.mutex
  local refusal = refuse_decision(s, expect, passes, at, due, alone and AHEAD or 0)
  if refusal then return refusal end
  if #passes > 0 and passes[#passes][2] >= at then return { MOVED } end
  -- Whoever waits goes first, unless runs may stand side by side.
  refusal = refuse_company(s, bid, s.r[OPEN][1])
  if refusal then return refusal end
  local held = mutex_keeps_out(s, run)
  if held then return { MUTEX_HELD, held } end
  pass(s, passes)
  s.r[CURSOR] = at
  table.insert(s.r[OPEN], waiting(run, at, '', '', math.max(s.now, due)))
  return grant(s, #s.r[OPEN], bid)
end

local function claim_open(s, bid, run_id, fence)
  local i = newest(s.r, { run_id, fence })
  if not i then return { MOVED } end
  local run = s.r[OPEN][i]
  if run[UNTIL] > s.now then return { BUSY, i } end
  -- It may have started. That is for `reap` to record, not for a claim to repeat.
  if run[PHASE] == RUNNING and bid.at_most_once then return { MOVED } end
  local other = keeps_out(s, run_id, bid.allow)
  if other then return { BUSY, place_of(s, other[RUN]) } end
  local held = mutex_keeps_out(s, run_id)
  if held then return { MUTEX_HELD, held } end
  if run[CANCEL] then
    close(s, i, ended(CANCELLED, 'cancelled while its holder was gone'))
    return { MOVED }
  end
  if run[PHASE] == RUNNING then
    local attempt = run[ATTEMPT]
    run[ATTEMPT] = attempt + 1
    local how = lost(run)
    tell(s, E.ended, run_id, attempt, run[FENCE], how, { attempt + 1, s.now })
  end
  return grant(s, i, bid)
end

local function claim_request(s, bid, run_id, at, trigger, args, expect)
  if was_asked(s, run_id) then return { STALE } end
  local unfit = refuse_identity(s, at or s.now, expect)
  if unfit then return unfit end
  local active
  for _, run in ipairs(s.r[OPEN]) do
    if not is_queued(run) then active = run break end
  end
  local refusal = refuse_company(s, bid, active)
  if refusal then return refusal end
  local held = mutex_keeps_out(s, run_id)
  if held then return { MUTEX_HELD, held } end
  s.r[ASKED] = remember(s.r[ASKED], run_id, REMEMBERED)
  table.insert(s.r[OPEN], waiting(run_id, at or s.now, trigger, args, s.now))
  return grant(s, #s.r[OPEN], bid)
end

function G.register(s, spec)
  for i = 1, #s.r[SEEN], 16 do
    if string.sub(s.r[SEEN], i, i + 7) == spec then return { DONE } end
  end
  s.r[CURSOR] = s.r[CURSOR] or s.now
  s.r[SEEN] = remember(s.r[SEEN], spec .. struct.pack('>i8', s.now), SPECS)
  tell(s, E.registered)
  return { DONE }
end

function G.claim(s, token, holder, ttl, allow, at_most_once, mutex, target, start)
  -- Asked again, it is answered again.
  local granted = start and RUNNING or CLAIMED
  for i, run in ipairs(s.r[OPEN]) do
    if run[PHASE] == granted and run[TOKEN] == token then return { WON, i } end
  end
  local pause = paused(s)
  if pause then return { IS_PAUSED, pause } end
  local bid = { token = token, holder = holder, ttl = ttl, allow = allow, at_most_once = at_most_once, mutex = mutex,
                start = start }
  local claim = ({ claim_next, claim_open, claim_request })[target[1]]
  return claim(s, bid, unpack(target, 2))
end

function G.decide(s, expect, passes, due)
  if #passes == 0 then return { DONE } end
  local through = passes[#passes][2]
  local refusal = refuse_decision(s, expect, passes, through, due, 0)
  if refusal then return refusal end
  pass(s, passes)
  s.r[CURSOR] = through
  return { DONE }
end

function G.published(s, key, ttl)
  local i = newest(s.r, key)
  if not i then return { FENCED } end
  local run = s.r[OPEN][i]
  if run[PHASE] == CLAIMED and run[TOKEN] == key[3] and run[CANCEL] then
    close(s, i, ended(CANCELLED, 'cancelled before it started'))
    return { CALLED_OFF }
  end
  if run[PHASE] == CLAIMED and run[TOKEN] == key[3] then
    run[PHASE], run[UNTIL] = PUBLISHED, plus(s.now, ttl)
    hold_mutex(s, run)
    tell(s, E.published, key[1], key[2])
    return { DONE }
  end
  if run[PHASE] == PUBLISHED and run[TOKEN] == key[3] then
    run[UNTIL] = plus(s.now, ttl)
    s.changed = true
    hold_mutex(s, run)
    return { DONE }
  end
  -- A quick worker has started it before the publisher could say so.
  if run[PHASE] == PUBLISHED or run[PHASE] == RUNNING then return { DONE } end
  return { FENCED }
end

function G.start(s, key, holder, ttl)
  local i = newest(s.r, key)
  if not i then return fence_off(s, key, 'start', false) end
  local run = s.r[OPEN][i]
  local pause = paused(s)
  -- What was asked for before the job was paused is asked for again afterwards; so is what was paused before it was due.
  local early = run[PHASE] == CLAIMED and run[TOKEN] == key[3] and pause and pause[1] < run[OPENED]
  if pause and (run[PHASE] == PUBLISHED or early) then
    run[PHASE], run[UNTIL] = WAITING, math.max(s.now, run[OPENED])
    free_mutex(s, key[1])
    tell(s, E.released, key[1], key[2])
    return { FENCED }
  end
  local may = false
  if run[PHASE] == RUNNING and run[TOKEN] == key[3] then
    return { KEPT, run[UNTIL], run[CANCEL] }
  elseif run[PHASE] == CLAIMED then
    may = run[TOKEN] == key[3] and run[UNTIL] > s.now
  elseif run[PHASE] == PUBLISHED then
    -- After its time another job may have taken the mutex.
    may = not run[MUTEX] or not mutex_keeps_out(s, key[1])
  end
  if not may then return fence_off(s, key, 'start', false) end
  if run[CANCEL] then
    close(s, i, ended(CANCELLED, 'cancelled before it started'))
    return { CALLED_OFF }
  end
  run[TOKEN], run[HOLDER] = key[3], holder
  begin(s, run, ttl)
  return { KEPT, run[UNTIL], false }
end

function G.renew(s, key, ttl)
  local i = newest(s.r, key)
  local run = i and s.r[OPEN][i]
  if not run or run[PHASE] == WAITING or run[TOKEN] ~= key[3] then return { FENCED } end
  -- The lease had lapsed; nobody took the run, but another job took the mutex.
  if run[MUTEX] and mutex_keeps_out(s, key[1]) then return { FENCED } end
  run[UNTIL] = plus(s.now, ttl)
  s.changed = true
  hold_mutex(s, run)
  return { KEPT, run[UNTIL], run[CANCEL] }
end

function G.settle(s, key, how, follow)
  if has(s.r[SETTLED], fence_bytes(key[2])) then return { DONE } end
  local i = newest(s.r, key)
  local run = i and s.r[OPEN][i]
  local holds = run and run[PHASE] ~= WAITING and run[TOKEN] == key[3]
  if not holds then return fence_off(s, key, 'settle', how) end
  s.r[SETTLED] = remember(s.r[SETTLED], fence_bytes(key[2]), REMEMBERED)
  if #s.r[OPEN] == 1 then
    local surplus = math.min(math.max(#s.r[SETTLED] / 8 - FEW, 0), 2)
    s.r[SETTLED] = string.sub(s.r[SETTLED], surplus * 8 + 1)
  end
  if not follow or run[CANCEL] then
    close(s, i, how)
  else
    local attempt, at = run[ATTEMPT], plus(s.now, follow[2])
    run[PHASE], run[ATTEMPT], run[UNTIL] = WAITING, follow[1], at
    free_mutex(s, run[RUN])
    tell(s, E.ended, run[RUN], attempt, run[FENCE], how, { follow[1], at })
  end
  return { DONE }
end

function G.release(s, key)
  local i = newest(s.r, key)
  local run = i and s.r[OPEN][i]
  if not run or run[TOKEN] ~= key[3] then return { FENCED } end
  -- Its holder knows what no record tells: that the code never began.
  if run[PHASE] ~= WAITING then
    run[PHASE], run[UNTIL], run[STARTED_AT] = WAITING, math.max(s.now, run[OPENED]), false
    free_mutex(s, key[1])
    tell(s, E.released, key[1], key[2])
    return { DONE }
  end
  return { DONE }
end

function G.reap(s, run_id, fence, phase)
  local i = newest(s.r, { run_id, fence })
  local run = i and s.r[OPEN][i]
  if not run or run[PHASE] ~= phase then return { MOVED } end
  if run[UNTIL] > s.now then return { BUSY, i } end
  if run[CANCEL] then
    close(s, i, ended(CANCELLED, 'cancelled while its holder was gone'))
  elseif phase == RUNNING then
    close(s, i, lost(run))
  else
    close(s, i, ended(EXPIRED, 'nobody started it in time'))
  end
  return { DONE }
end

function G.evict(s, run_id, fence, by)
  local i = place_of(s, run_id)
  -- Over by now, by force or by itself: nobody holds it.
  if not i then return { DONE } end
  local run = s.r[OPEN][i]
  if run[FENCE] ~= fence or run[PHASE] == WAITING then return { MOVED } end
  close(s, i, ended(LOST, 'released by force by ' .. by))
  return { DONE }
end

function G.cancel(s, run_id, by)
  local i = place_of(s, run_id)
  if not i then return { NOT_FOUND } end
  local run = s.r[OPEN][i]
  -- A request that nobody has begun is as good as not sent, and what others do for us we cannot stop.
  if run[PHASE] == WAITING or run[PHASE] == PUBLISHED or is_theirs(run) then
    close(s, i, ended(CANCELLED, 'cancelled by ' .. by .. ' while it waited'))
  elseif not run[CANCEL] then
    run[CANCEL] = true
    tell(s, E.cancel_asked, run_id, by)
  end
  return { DONE }
end

local function trigger_run(s, run_id, at, trigger, args, overlap, expect)
  if was_asked(s, run_id) then return { DONE } end
  local unfit = refuse_identity(s, at or s.now, expect)
  if unfit then return unfit end
  local pause = paused(s)
  if pause then return { IS_PAUSED, pause } end
  local first, queued = s.r[OPEN][1], 0
  for _, run in ipairs(s.r[OPEN]) do
    if is_queued(run) then queued = queued + 1 end
  end
  if first then
    if overlap == SKIP or (overlap == QUEUE_ONE and queued > 0) then return { BUSY, 1 } end
    if (overlap == QUEUE_ALL or overlap == ALLOW) and queued >= QUEUE_LIMIT then return { FULL } end
    if overlap == REPLACE then
      local open = {}
      for i, run in ipairs(s.r[OPEN]) do open[i] = run[RUN] end
      for _, other in ipairs(open) do G.cancel(s, other, 'a newer request') end
    end
  end
  s.r[ASKED] = remember(s.r[ASKED], run_id, REMEMBERED)
  enqueue(s, waiting(run_id, at or s.now, trigger, args, s.now))
  return { DONE }
end

function G.trigger(s, run_id, at, trigger, args, overlap, expect, on_record)
  local reply = trigger_run(s, run_id, at, trigger, args, overlap, expect)
  local fate = ({ [BUSY] = SKIPPED_OVERLAP, [FULL] = SKIPPED_OVERLAP, [IS_PAUSED] = SKIPPED_PAUSED })[reply[1]]
  if on_record and fate then
    -- It is refused for good: that is the end of that run.
    s.r[ASKED] = remember(s.r[ASKED], run_id, REMEMBERED)
    tell(s, E.declined, run_id, at or s.now, trigger, fate)
  end
  return reply
end

function G.overdue(s, expect, due)
  if due > s.now then return { EARLY, due } end
  if s.r[SUCCEEDED_AT] ~= expect then return { MOVED } end
  -- What was told before this deadline was told of an earlier one.
  if not s.r[OVERDUE] or s.r[OVERDUE] < due then
    s.r[OVERDUE] = s.now
    tell(s, E.overdue, due, expect)
  end
  return { DONE }
end

function G.slow(s, run_id, fence)
  local i = newest(s.r, { run_id, fence })
  local run = i and s.r[OPEN][i]
  if not run or run[PHASE] ~= RUNNING then return { MOVED } end
  if run[STARTED_AT] and not run[SLOW] then
    run[SLOW] = true
    tell(s, E.slow, run_id, run[ATTEMPT], fence, run[STARTED_AT])
  end
  return { DONE }
end

function G.pause(s, til, reason, by)
  -- Pausing a paused job changes its end and reason, not its beginning.
  local known, pauses = paused(s), s.r[PAUSED]
  local pause = { known and known[1] or s.now, til, reason, by }
  if known and known[2] == til and known[3] == reason and known[4] == by then return { DONE } end
  if known then table.remove(pauses) end
  -- What lies before the cursor is decided and needs no explanation any more.
  local kept, cursor = {}, s.r[CURSOR]
  for _, old in ipairs(pauses) do
    if not old[2] or not cursor or old[2] > cursor then kept[#kept + 1] = old end
  end
  if #kept >= PAUSES then table.remove(kept, 1) end
  kept[#kept + 1] = pause
  s.r[PAUSED] = kept
  tell(s, E.paused, til, reason, by)
  return { DONE }
end

function G.resume(s, catch_up, by)
  local pause = paused(s)
  if not pause then return { DONE } end
  if catch_up then
    table.remove(s.r[PAUSED])
  else
    pause[2] = s.now
  end
  tell(s, E.resumed, catch_up, by)
  return { DONE }
end

return G

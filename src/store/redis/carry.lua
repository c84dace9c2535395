-- Carries out one operation.

local function answer(reply, record, mutex, events)
  answers[size + 1], answers[size + 2], answers[size + 3], answers[size + 4] = reply, record, mutex, events
  size = size + 4
end

-- What may give others something to do: `What::invites`.
local INVITES = { [E.queued] = true, [E.released] = true, [E.ended] = true,
                  [E.cancel_asked] = true, [E.paused] = true, [E.resumed] = true }
local KINDS = { 'register', 'claim', 'decide', 'published', 'start', 'renew', 'settle', 'release',
                'reap', 'evict', 'trigger', 'cancel', 'pause', 'resume', 'overdue', 'slow' }

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
  if kind == 'register' and job.packed == '' and op[4] and not closed then restore(s, op[4]) end
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

return { read = read, carry_out = carry_out, close_gate = close_gate, open_gate = open_gate }

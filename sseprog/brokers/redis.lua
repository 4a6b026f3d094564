-- What each write does to a job, as sseprog/_record.py says it: a test compares the two.
--
-- KEYS[1] is the job, a hash; KEYS[2] its log, a stream, where event n is entry n-1, since 0-0 is
-- no id. One call carries all that a batch wants of one job: what fails stops what follows it.
-- Every value is text, '' stands for None, and times are milliseconds by this server's clock.
--
--   write, lease, ttl, retention, replay, unheld, suffix, then for each write twelve values:
--       what, kind, data, epoch, token, owner, writer, number, seq or seen, spare, release, resume
--     answers, for each write, {said, epoch, seq, attempt, cancel, stalled}
--   read, epoch, after, newest
--     answers nothing, or {epoch, seq, owner, leased for, stalled, entries, kind, data}
--   note, job id
--     adds to KEYS[1], the jobs made last

local key, log = KEYS[1], KEYS[2]
local call = redis.call

local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function text(number)
  return string.format('%.0f', number)
end

local function flag(truth)
  return truth and '1' or ''
end

if ARGV[1] == 'note' then
  call('ZADD', key, text(clock[1] * 1000000 + clock[2]), ARGV[2])
  return call('ZREMRANGEBYRANK', key, 0, -1001)
end

if ARGV[1] == 'read' then
  local found = call('HMGET', key, 'epoch', 'seq', 'owner', 'leased_until', 'stalled', 'ended')
  if not found[1] then
    return false
  end
  local entries, kind, data
  if ARGV[4] == '1' then
    entries = call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  elseif ARGV[2] == found[1] then
    entries = call('XRANGE', log, text(ARGV[3] + 1), '+')
  else
    entries = call('XRANGE', log, '-', '+')
  end
  if found[6] == '1' and #entries == 0 then
    local last = call('HMGET', key, 'kind', 'data')
    kind, data = last[1], last[2]
  end
  local due = tonumber(found[4] or '')
  return {
    found[1], found[2], found[3], due and text(due - now) or '', found[5] or '', entries,
    kind or false, data or false,
  }
end

local lease, ttl, retention = tonumber(ARGV[2]) or 0, tonumber(ARGV[3]), tonumber(ARGV[4])
local replay, unheld, suffix = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
-- Since Redis 7, which is the first to tell its number, only those who listen get a message.
local publish = redis.REDIS_VERSION_NUM and 'SPUBLISH' or 'PUBLISH'

local FIELDS = {
  'epoch', 'seq', 'ended', 'token', 'leased_until', 'stalled', 'cancel', 'attempt', 'writer',
  'number',
}
local stored = call('HMGET', key, unpack(FIELDS))
local job
if stored[1] then
  job = {
    epoch = stored[1],
    seq = tonumber(stored[2]),
    ended = stored[3] == '1',
    token = stored[4] or '',
    leased_until = tonumber(stored[5] or ''),
    stalled = stored[6] == '1',
    cancel = stored[7] == '1',
    attempt = tonumber(stored[8]),
    writer = stored[9] or '',
    number = tonumber(stored[10]),
  }
end

local function keep(step)
  local held = job.token ~= '' and lease > 0
  job.leased_until = held and now + lease or nil
  step.kept = true
  if not ttl then
    step.expires = nil
  elseif job.ended then
    step.expires = now + ttl
  elseif held then
    step.expires = job.leased_until + lease + ttl
  else
    step.expires = now + unheld + ttl
  end
end

local function add(step, write, restarts)
  job.seq = job.seq + 1
  step.line, step.restarts = write, restarts
  if write.terminal then
    job.ended, job.token, job.stalled = true, '', false
  end
  keep(step)
  step.said = 'ok'
end

local does = {}

function does.create(step, write)
  if job and job.epoch == write.epoch then -- a repetition
    step.said = 'ok'
  elseif job and not job.ended then
    step.said = 'taken'
  else
    job = {
      epoch = write.epoch, seq = -1, ended = false, token = '', stalled = false, cancel = false,
      attempt = 0, writer = '', number = -1,
    }
    step.owner = write.owner
    add(step, write, true)
  end
end

function does.begin(step, write)
  if job.token == write.token or job.writer == write.token then -- a repetition
    step.said = 'ok'
    return
  elseif job.ended and (job.cancel or not write.resume) then
    step.said = 'ended'
    return
  end
  local again = write.resume and (job.ended or job.attempt > 0)
  job.token, job.writer, job.number = write.token, write.token, 0
  job.stalled = false
  if again or job.attempt == 0 then
    job.attempt = job.attempt + 1
  end
  if again then
    job.epoch, job.seq, job.ended = write.epoch, -1, false
    add(step, write, true)
  else
    keep(step)
    step.said = 'ok'
  end
end

function does.append(step, write)
  if job.writer == write.writer and write.number <= job.number then -- a repetition
    step.said = 'ok'
  elseif job.ended then
    step.said = 'ended'
  elseif job.token ~= write.token then
    step.said = 'taken'
  else
    local restarts = job.seq < write.seq
    if job.epoch ~= write.epoch then
      restarts = write.epoch ~= '' and job.epoch ~= write.spare
    end
    if restarts then
      job.epoch, job.seq = write.spare, math.max(job.seq, write.seq)
    end
    job.writer, job.number, job.stalled = write.writer, write.number, false
    if write.release then
      job.token = ''
    end
    add(step, write, restarts)
  end
end

function does.renew(step, write)
  if job.ended then
    step.said = 'ended'
  elseif job.token ~= write.token then
    step.said = 'taken'
  else
    keep(step)
    step.said = 'ok'
  end
end

function does.cancel(step, write)
  if job.ended then
    step.said = 'ended'
  elseif job.token ~= '' and not (job.leased_until and now > job.leased_until) then
    job.cancel = true
    step.said, step.asks = 'asked', true
  else
    job.cancel = true
    add(step, write)
  end
end

function does.expire(step, write)
  local due = job.leased_until
  if job.ended or job.token == '' or not due
    or job.epoch ~= write.epoch or job.seq ~= write.seq
    or (job.stalled and not write.terminal)
    or now <= due + (write.terminal and lease or 0)
  then
    step.said = 'no'
  else
    add(step, write)
    job.stalled = not write.terminal
    job.leased_until = job.stalled and due or nil
  end
end

function does.rebase(step, write)
  if job.epoch ~= write.epoch or job.seq >= write.seq or (job.ended and not write.terminal)
    or (not job.ended and job.attempt == 0)
  then
    step.said = 'no'
  else
    job.epoch, job.seq = write.spare, write.seq
    add(step, write, true)
  end
end

local function texts()
  return {
    job.epoch, text(job.seq), flag(job.ended), job.token,
    job.leased_until and text(job.leased_until) or '', flag(job.stalled), flag(job.cancel),
    text(job.attempt), job.writer, text(job.number),
  }
end

local function expire(step)
  if not step.expires then
    call('PERSIST', key)
    call('PERSIST', log)
  else
    call('PEXPIREAT', key, text(step.expires))
    call('PEXPIREAT', log, text(step.expires))
  end
  if job.ended then
    call('PEXPIREAT', log, text(math.min(step.expires or math.huge, now + replay)))
  end
end

-- HSET comes first: a server that has no memory left refuses it, before anything has changed.
local function carry_out(step)
  local was_ended, changed, new = stored[3] == '1', {}, texts()
  for at, name in ipairs(FIELDS) do
    if new[at] ~= (stored[at] or '') then
      changed[#changed + 1], changed[#changed + 2] = name, new[at]
    end
  end
  if step.line and job.ended then
    changed[#changed + 1], changed[#changed + 2] = 'kind', step.line.kind
    changed[#changed + 1], changed[#changed + 2] = 'data', step.line.data
  end
  if step.owner and step.owner ~= '' then
    changed[#changed + 1], changed[#changed + 2] = 'owner', string.sub(step.owner, 2)
  end
  if #changed > 0 then
    call('HSET', key, unpack(changed))
  end
  stored = new
  if step.owner == '' then
    call('HDEL', key, 'owner')
  end
  if step.restarts then
    call('DEL', log)
    if was_ended and not job.ended then
      call('HDEL', key, 'kind', 'data')
    end
  end
  local line = step.line
  if line then
    local id = text(job.seq) .. '-1'
    if retention then
      call('XADD', log, 'MAXLEN', '=', text(retention), id, line.kind, line.data)
    else
      call('XADD', log, id, line.kind, line.data)
    end
  end
  if step.kept then
    expire(step)
  end
  if line then
    local news = job.epoch .. ' ' .. text(job.seq) .. ' ' .. line.kind .. ' ' .. line.data
    call(publish, key .. ':events' .. suffix, news)
  end
  if step.asks then
    call(publish, key .. ':cancel' .. suffix, '')
  end
end

local answers = {}
for at = 8, #ARGV, 12 do
  local what, kind = ARGV[at], ARGV[at + 1]
  local write = {
    kind = kind,
    terminal = kind == 'c' or kind == 'e',
    data = ARGV[at + 2],
    epoch = ARGV[at + 3],
    token = ARGV[at + 4],
    owner = ARGV[at + 5],
    writer = ARGV[at + 6],
    number = tonumber(ARGV[at + 7]),
    seq = tonumber(ARGV[at + 8]),
    spare = ARGV[at + 9],
    release = ARGV[at + 10] == '1',
    resume = ARGV[at + 11] == '1',
  }
  local step = {}
  if job or what == 'create' then
    does[what](step, write)
    carry_out(step)
    answers[#answers + 1] = {
      step.said, job.epoch, job.seq, job.attempt, job.cancel and 1 or 0, job.stalled and 1 or 0,
    }
  else
    answers[#answers + 1] = { 'unknown', '', -1, 0, 0, 0 }
  end
end
return answers

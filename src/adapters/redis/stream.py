"""How a reply's log is kept in Redis: one stream, and a channel of the same name.

The event numbered `seq` of the owner with `epoch` is the entry `<epoch>-<seq + 1>` with one field: `entry`, the JSON
array [seq, event, data]. The same bytes are published on the channel by the script that adds the entry, so that whoever
subscribes first and reads then misses nothing.

An owner begins with an entry that no watcher is shown, `<epoch>-<its first number>`. A stream only takes ids
above its last one, so from then on nothing of an older epoch can be added. And every entry says which one it comes
after: so a log that lost its end (a flush, a restart from an old snapshot) is not continued as if nothing had happened,
and what is sent twice is there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import orjson

from application.ports.runtime import LogEntry

WRITTEN, LOST, FENCED = 1, 0, -1
"""What APPEND answers, and OPEN where the log is another's."""

_TOP = """
local function parts(id)
  local epoch, number = string.match(id, '(%d+)-(%d+)')
  return tonumber(epoch), tonumber(number)
end
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
"""

OPEN = (
    _TOP
    + """
-- ARGV: epoch, first number, ms that the log lives. Answers the next number and the id on top.
local epoch, next = tonumber(ARGV[1]), tonumber(ARGV[2])
-- The server's run tells whether it was restarted since the last owner began, and may know an old state.
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
local top_epoch, top_number, events = 0, 0, 0
if top then
  top_epoch, top_number = parts(top[1])
  if top_epoch > epoch then return -1 end
  local began = redis.call('XRANGE', KEYS[1], top_epoch .. '-0', '+', 'COUNT', 1)[1]
  if top[2][1] == 'entry' or top[2][4] == '1' then events = 1 end
  if events == 1 and epoch > top_epoch and began[2][2] == run then
    next = top_number
  else
    next = math.max(next, top_number)
  end
end
local id = top and top[1]
if epoch > top_epoch or next > top_number then
  id = string.format('%d-%d', epoch, next)
  redis.call('XADD', KEYS[1], id, 'opened', run, 'events', events)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {next, id}
"""
)

APPEND = (
    _TOP
    + """
-- ARGV: the id that this comes after, its own, the entry; for a terminal event the ms to keep the log, else ''.
if not top or top[1] ~= ARGV[1] then
  if top then
    local epoch, number = parts(ARGV[2])
    local top_epoch, top_number = parts(top[1])
    if top_epoch > epoch then return -1 end
    if top_epoch == epoch and top_number >= number then return 1 end
  end
  if ARGV[4] == '' then return 0 end
end
redis.call('XADD', KEYS[1], ARGV[2], 'entry', ARGV[3])
if ARGV[4] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
redis.call('PUBLISH', KEYS[1], ARGV[3])
return 1
"""
)

BURIED = 10**15
"""An epoch above all others. A log that was purged holds one entry of it, so that nobody can write it again."""

BURY = """
-- KEYS: logs. ARGV: the epoch above all others, ms that it stands. Answers how many logs were there.
local found = 0
for _, key in ipairs(KEYS) do
  local top = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  if top and top[1] ~= ARGV[1] .. '-1' then
    found = found + 1
    redis.call('DEL', key)
    redis.call('XADD', key, ARGV[1] .. '-1', 'opened', '', 'events', 0)
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return found
"""


def key_of(prefix: str, reply_id: UUID) -> bytes:
    """The stream and the channel; in a cluster the braces say where they are."""
    return f"{prefix}log:{{{reply_id}}}".encode()


def id_of(epoch: int, seq: int) -> bytes:
    """The id of an event's entry."""
    return b"%d-%d" % (epoch, seq + 1)


def encoded(entry: LogEntry) -> bytes:
    """An entry as it is stored and published."""
    return orjson.dumps((entry.seq, entry.event, entry.data))


def decoded(payload: bytes) -> LogEntry:
    """What `encoded` made."""
    return LogEntry(*orjson.loads(payload))


def events(found: Sequence[tuple[bytes, Mapping[bytes, bytes] | Sequence[bytes]]], after: int = -1) -> list[LogEntry]:
    """The events numbered above `after` among entries, in their order, as Redis gives them or as redis-py does."""
    return [
        decoded(fields[b"entry"] if isinstance(fields, Mapping) else fields[1])
        for id_, fields in found
        if b"entry" in fields and int(id_[id_.index(b"-") + 1 :]) > after + 1
    ]

"""What runs inside the server, so that looking and acting are one step. Each script touches one stream.

An entry's id is `<first seq>-0`; its fields, always in this order, are `n` (how many events), `m` (the append's mark),
`c` (1 if it closed the log) and `b` (the segment). One that closes a log of which something was lost has `p` as well:
the mark of the append that it follows, which is not there any more.

Scripts that begin with `#!lua` say what they may do, so that a server that is full, read-only or without its
replicas refuses one before it has done anything, and still lets logs be read and dropped.
"""

from __future__ import annotations

import hashlib
from typing import Final

from attrs import field, frozen

from app.runlog.redis.names import WRITER_CHARS


@frozen
class Script:
    """A script, and what the server calls it."""

    source: bytes
    sha: str = field(init=False)

    @sha.default
    def _sha(self) -> str:
        return hashlib.sha1(self.source).hexdigest()  # noqa: S324 - the server's own naming


_LAST: Final = """
local function last_of(range)
  local entry = range[1]
  if not entry then return 0, false, '', 0 end
  local first = tonumber(string.match(entry[1], '^%d+'))
  return first + tonumber(entry[2][2]) - 1, entry[2][6] == '1', entry[2][4], first
end
local tail, closed, mark = last_of(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1))
"""

APPEND: Final = Script(
    b"#!lua\n%b"
    % f"""{_LAST}
local first, count, closing, mine, prev, held = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1'
local lifetime, channel, writers, run, body = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
if tail >= first then
  local there = redis.call('XRANGE', KEYS[1], ARGV[1] .. '-0', ARGV[1] .. '-0')[1]
  if there and there[2][4] == mine then return {{0, tail, 0}} end
end
if closed or tail >= first then return {{1, tail, closed and 1 or 0}} end
local entry = {{'n', count, 'm', mine, 'c', closing, 'b', body}}
if tail < first - 1 then
  if not held then return {{1, tail, 0}} end
  if closing == '0' then return {{2, tail, 0}} end
  redis.call('DEL', KEYS[1])
  entry[9], entry[10] = 'p', prev
  mark = prev
elseif prev ~= '' and prev ~= mark then
  return {{1, tail, 0}}
end
redis.call('XADD', KEYS[1], ARGV[1] .. '-0', unpack(entry))
redis.call('PEXPIRE', KEYS[1], lifetime)
local word = table.concat({{run, ARGV[1], count, closing, mark == '' and '-' or mark, mine}}, ' ') .. '\\n' .. body
redis.call('PUBLISH', channel, word)
local before, now = string.sub(mark, 1, {WRITER_CHARS}), string.sub(mine, 1, {WRITER_CHARS})
if before ~= '' and before ~= now then redis.call('PUBLISH', writers .. before, word) end
return {{0, tail, 0}}
""".encode()
)
"""Append, conditionally: `{0}` done, now or before; `{1}` fenced; `{2}` what the writer had appended is gone."""

DROP: Final = Script(
    b"#!lua flags=allow-oom\n%b"
    % f"""{_LAST}
redis.call('DEL', KEYS[1])
local word = ARGV[3] .. ' 0 0 0 - -\\n'
redis.call('PUBLISH', ARGV[1], word)
if mark ~= '' then redis.call('PUBLISH', ARGV[2] .. string.sub(mark, 1, {WRITER_CHARS}), word) end
return 0
""".encode()
)
"""Forget a log and tell whoever follows or writes it."""

LOOK: Final = Script(
    b"#!lua flags=no-writes\n%b"
    % f"""{_LAST}
local at, seen = tonumber(ARGV[1]), ARGV[2]
local known = at == 0 or (at == tail and seen == mark)
if not known and tail > at then
  local there, _, its = last_of(redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', 1))
  known = there == at and its == seen
  if not known then
    local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
    known = tonumber(string.match(oldest[1], '^%d+')) == at + 1 and oldest[2][10] == seen
  end
end
return {{tail, closed and 1 or 0, mark, known and 1 or 0}}
""".encode()
)
"""Where a log stands, and whether it goes on from the append that ended at this seq with this mark."""

PAGE: Final = Script(
    b"#!lua flags=no-writes\n%b"
    % f"""{_LAST}
local after, limit, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local found, size = {{}}, 0
if tail == 0 then return {{0, 0, 1, found}} end
if after < 0 or after > tail then
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  return {{tail, closed and 1 or 0, tonumber(string.match(oldest[1], '^%d+')), found}}
end
local from = redis.call('XREVRANGE', KEYS[1], string.format('%.0f', after + 1), '-', 'COUNT', 1)[1]
from = from and from[1] or '-'
local reached = after
while reached < math.min(tail, after + limit) and size < most do
  local range = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 16)
  for _, entry in ipairs(range) do
    local first = tonumber(string.match(entry[1], '^%d+'))
    reached = math.max(reached, first + tonumber(entry[2][2]) - 1)
    if reached > after then
      found[#found + 1] = first
      found[#found + 1] = entry[2][8]
      size = size + #entry[2][8]
    end
    if reached >= after + limit or size >= most then break end
  end
  if #range == 0 then break end
  from = '(' .. range[#range][1]
end
return {{tail, closed and 1 or 0, 1, found}}
""".encode()
)
"""Entries that hold what comes after a seq, or the first seq there is if the position is outside the log."""

ALL: Final = (APPEND, DROP, LOOK, PAGE)

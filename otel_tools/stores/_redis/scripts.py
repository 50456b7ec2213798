"""The Lua scripts of a rate limit. Redis runs each as one atomic step, by its own clock.

The state of a limit is one key. All limits of a prefix are in one slot of a cluster, so that a call can take from
several of them at once. The value is the theoretical arrival time (TAT, see `otel_tools.stores._gcra`) in
nanoseconds since the epoch, as decimal text. Lua's numbers are doubles, which cannot hold it exactly, so the scripts
split it into seconds and nanoseconds; differences of up to 104 days are exact.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CANCEL", "RESERVE", "Script"]


class Script:
    """A Lua script. It is sent by its digest, and in full if the server does not know it."""

    __slots__ = ("_digest", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run the script on a ``redis.Redis`` and return its reply."""
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - an optional dependency

        try:
            return client.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self._text, len(keys), *keys, *arguments)

    async def arun(self, client: Any, keys: Sequence[str], arguments: Sequence[object]) -> Any:
        """Run the script on a ``redis.asyncio.Redis`` and return its reply."""
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - an optional dependency

        try:
            return await client.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await client.eval(self._text, len(keys), *keys, *arguments)


_FORMAT_TAT: Final = """
local function format_tat(seconds, nanoseconds)
    local rest = math.fmod(nanoseconds, 1e9)
    if rest < 0 then rest = rest + 1e9 end
    return string.format('%d%09d', seconds + (nanoseconds - rest) / 1e9, rest)
end
"""

RESERVE: Final = Script(
    _FORMAT_TAT
    + """
local time = redis.call('TIME')
local seconds, nanoseconds = tonumber(time[1]), tonumber(time[2]) * 1000
local aheads, longest, index = {}, 0, 1
for limit, key in ipairs(KEYS) do
    local tat = redis.call('GET', key)
    local ahead = 0
    if tat then
        ahead = (tonumber(string.sub(tat, 1, -10)) - seconds) * 1e9 + tonumber(string.sub(tat, -9)) - nanoseconds
        ahead = math.max(0, ahead)
    end
    aheads[limit] = ahead
    local wait = ahead - tonumber(ARGV[2 * limit + 1])
    if wait > longest then longest, index = wait, limit end
end
local max_wait = tonumber(ARGV[1])
if max_wait >= 0 and longest > max_wait then
    return {0, longest, index}
end
local reply = {1, longest, index}
for limit, key in ipairs(KEYS) do
    if longest == 0 or limit == index then
        local ahead = aheads[limit] + tonumber(ARGV[2 * limit])
        local tat = format_tat(seconds, nanoseconds + ahead)
        redis.call('SET', key, tat, 'PX', string.format('%d', math.ceil(ahead / 1e6) + 1000))
        table.insert(reply, tat)
    end
end
return reply
"""
)
"""Reserves a token. Keys: those of the limits. Arguments: max_wait, then interval and tolerance of each, in ns.

A negative max_wait stands for any time. Where no limit has to be waited for, a token is taken from each; otherwise one
is reserved from the limit with the longest wait, and none from the others. The reply is 1 if so, else 0; that wait in
nanoseconds; the number of the limit, from 1; and each TAT that was written. A key expires one second after its bucket
is full again.
"""

CANCEL: Final = Script(
    _FORMAT_TAT
    + """
local tat = redis.call('GET', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if not tat or left <= 0 then return end
for index = 1, #ARGV, 2 do
    redis.call('HSET', KEYS[2], ARGV[index], ARGV[index + 1])
end
local before = tat
local interval = redis.call('HGET', KEYS[2], tat)
while interval do
    redis.call('HDEL', KEYS[2], tat)
    tat = format_tat(tonumber(string.sub(tat, 1, -10)), tonumber(string.sub(tat, -9)) - tonumber(interval))
    interval = redis.call('HGET', KEYS[2], tat)
end
if tat ~= before then
    redis.call('SET', KEYS[1], tat, 'PX', left)
end
redis.call('PEXPIRE', KEYS[2], left)
"""
)
"""Cancels reservations. Keys: that of the limit, and that of its cancelled reservations. Arguments: TAT and interval of
each reservation, in nanoseconds.

The callers behind a reservation sleep until their own times, so only the last one can be undone at once. The others are
remembered, and undone when all those behind them are cancelled too, whoever cancels them.
"""

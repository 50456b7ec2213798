"""The Lua scripts of a rate limit. Redis runs each as one atomic step, by its own clock.

The state of a limit is one key. Its value is the theoretical arrival time (TAT, see `otel_tools.stores._gcra`) in
nanoseconds since the epoch, as decimal text. Lua's numbers are doubles, which cannot hold it exactly, so the scripts
split it into seconds and nanoseconds; differences of up to 104 days are exact.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

__all__ = ["CANCEL", "RESERVE", "Script"]


class Script:
    """A Lua script with one key. It is sent by its digest, and in full if the server does not know it."""

    __slots__ = ("_digest", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, key: str, *arguments: object) -> Any:
        """Run the script on a ``redis.Redis`` and return its reply."""
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - an optional dependency

        try:
            return client.evalsha(self._digest, 1, key, *arguments)
        except NoScriptError:
            return client.eval(self._text, 1, key, *arguments)

    async def arun(self, client: Any, key: str, *arguments: object) -> Any:
        """Run the script on a ``redis.asyncio.Redis`` and return its reply."""
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - an optional dependency

        try:
            return await client.evalsha(self._digest, 1, key, *arguments)
        except NoScriptError:
            return await client.eval(self._text, 1, key, *arguments)


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
local interval, tolerance, max_wait = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = redis.call('GET', KEYS[1])
local ahead = 0
if tat then
    ahead = (tonumber(string.sub(tat, 1, -10)) - seconds) * 1e9 + tonumber(string.sub(tat, -9)) - nanoseconds
    ahead = math.max(0, ahead)
end
local wait = math.max(0, ahead - tolerance)
if max_wait >= 0 and wait > max_wait then
    return {0, wait, '0'}
end
ahead = ahead + interval
tat = format_tat(seconds, nanoseconds + ahead)
redis.call('SET', KEYS[1], tat, 'PX', string.format('%d', math.ceil(ahead / 1e6) + 1000))
return {1, wait, tat}
"""
)
"""Reserves a token. Key: that of the limit. Arguments: interval, tolerance and max_wait in nanoseconds.

A negative max_wait stands for any time. The reply is 1 if a token is reserved, else 0; the wait in nanoseconds; and the
TAT that the reservation wrote. The key expires one second after the bucket is full again.
"""

CANCEL: Final = Script(
    _FORMAT_TAT
    + """
local tat = redis.call('GET', KEYS[1])
local before = tat
for index = 2, #ARGV do
    if tat == ARGV[index] then
        tat = format_tat(tonumber(string.sub(tat, 1, -10)), tonumber(string.sub(tat, -9)) - tonumber(ARGV[1]))
    end
end
if tat ~= before then
    redis.call('SET', KEYS[1], tat, 'PX', math.max(1, redis.call('PTTL', KEYS[1])))
end
"""
)
"""Cancels reservations. Key: that of the limit. Arguments: interval in nanoseconds, then the TATs, the latest first.

A reservation that is not the last one is left unchanged: the caller behind it sleeps until its own time.
"""

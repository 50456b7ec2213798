"""What Redis does for a rate limit, each in one step of its own and on its own clock.

A bucket is one key, and its value one number: the theoretical arrival time (see `otel_tools.stores._gcra`) in
nanoseconds since the epoch. Lua's numbers are doubles, too short for that, so scripts take it apart into seconds and
the rest; differences of up to 104 days are exact.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

__all__ = ["GIVE_BACK", "RESERVE", "Script"]


class Script:
    """A Lua script about one key, sent by its digest where the server knows it already."""

    __slots__ = ("_digest", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, key: str, *arguments: object) -> Any:
        """Run it by blocking."""
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - only who has a client has redis-py

        try:
            return client.evalsha(self._digest, 1, key, *arguments)
        except NoScriptError:
            return client.eval(self._text, 1, key, *arguments)

    async def arun(self, client: Any, key: str, *arguments: object) -> Any:
        """Run it by awaiting."""
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - as above

        try:
            return await client.evalsha(self._digest, 1, key, *arguments)
        except NoScriptError:
            return await client.eval(self._text, 1, key, *arguments)


_PLACE: Final = """
local function place(seconds, nanoseconds)
    local rest = math.fmod(nanoseconds, 1e9)
    if rest < 0 then rest = rest + 1e9 end
    return string.format('%d%09d', seconds + (nanoseconds - rest) / 1e9, rest)
end
"""

RESERVE: Final = Script(
    _PLACE
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
tat = place(seconds, nanoseconds + ahead)
redis.call('SET', KEYS[1], tat, 'PX', string.format('%d', math.ceil(ahead / 1e6) + 1000))
return {1, wait, tat}
"""
)
"""Takes the key of a bucket, the interval, the tolerance and the longest wait (negative: without end), in nanoseconds.

Gives whether a token is reserved, the wait in nanoseconds, and the place: the theoretical arrival time that it made.
The key goes by itself when the bucket is full again.
"""

GIVE_BACK: Final = Script(
    _PLACE
    + """
local tat = redis.call('GET', KEYS[1])
local before = tat
for index = 2, #ARGV do
    if tat == ARGV[index] then
        tat = place(tonumber(string.sub(tat, 1, -10)), tonumber(string.sub(tat, -9)) - tonumber(ARGV[1]))
    end
end
if tat ~= before then
    redis.call('SET', KEYS[1], tat, 'PX', math.max(1, redis.call('PTTL', KEYS[1])))
end
"""
)
"""Takes the key of a bucket, the interval, and places that are no longer wanted, the last first. A place that is not
the last of all is left as it is: somebody sleeps behind it."""

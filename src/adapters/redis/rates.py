"""Rates of all processes, in Redis.

Of each key there is a sorted set: the ids of the spends that were granted, by the time of the server in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from adapters.redis.server import RedisServer
from application.ports.runtime import Quota, RateLimiterUnavailable
from domain.rate_limits import Rate

_SPEND = """
-- ARGV: the spend's id, then each key's limit and window in seconds.
-- Answers of each key whether it has room, how many are left, and in how many microseconds there are more.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local granted, counts = true, {}
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i]), ARGV[2 * i + 1] * 1000000
  -- A script that has written may go on writing: so a Redis at its maxmemory counts all the same.
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  -- Spends from the future were made before the server's clock was set back: they count for a window from now.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', now), '+inf')) do
    redis.call('ZADD', key, now, id)
  end
  counts[i] = redis.call('ZCARD', key)
  granted = granted and counts[i] < limit
end
local answers = {}
for i, key in ipairs(KEYS) do
  local limit, window = tonumber(ARGV[2 * i]), ARGV[2 * i + 1] * 1000000
  local has_room = counts[i] < limit
  if granted then
    redis.call('ZADD', key, now, ARGV[1])
    redis.call('PEXPIRE', key, window / 1000 + 1000)
    counts[i] = counts[i] + 1
  end
  local over = math.max(counts[i] - limit, 0)  -- Above 0 when the limit was higher before.
  local oldest = redis.call('ZRANGE', key, over, over, 'WITHSCORES')[2]
  answers[i] = {
    has_room and 1 or 0, math.max(limit - counts[i], 0), oldest and tonumber(oldest) + window - now or 0
  }
end
return answers
"""


class RedisRateLimiter:
    """See application.ports.runtime.RateLimiter. One script a spend; the time is the server's."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._script = server.client.register_script(_SPEND)

    def spend(self, spend_id: UUID, rates: Mapping[str, Rate]) -> Mapping[str, Quota]:
        bounds = [bound for rate in rates.values() for bound in (rate.limit, rate.window)]
        with self._server.reaching(RateLimiterUnavailable):
            answers: Any = self._script(keys=[self._key(key) for key in rates], args=[spend_id.bytes, *bounds])
        return {
            key: Quota(bool(has_room), remaining, microseconds / 1_000_000)
            for key, (has_room, remaining, microseconds) in zip(rates, answers, strict=True)
        }

    def refund(self, spend_id: UUID, keys: Iterable[str]) -> None:
        with self._server.reaching(RateLimiterUnavailable), self._server.client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.zrem(self._key(key), spend_id.bytes)
            pipe.execute()

    def _key(self, key: str) -> str:
        return f"{self._server.prefix}rate:{key}"

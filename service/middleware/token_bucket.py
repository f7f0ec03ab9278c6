"""The rate limit of API keys: a token bucket for each."""

import time
from collections.abc import Callable


class TokenBuckets:
    """A bucket of tokens for each API key. It is full at first and is filled at a constant rate up to its capacity.

    rate: tokens per second. capacity: of one bucket, at least 1. clock: seconds, monotonic.
    """

    def __init__(self, *, rate: float, capacity: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._capacity, self._clock = rate, max(1.0, capacity), clock
        self._buckets: dict[str, tuple[float, float]] = {}  # by key id: the tokens that were left, and when

    def take(self, key_id: str) -> float:
        """Take a token and return 0.0; from an empty bucket take none and return the seconds until it has one."""
        now = self._clock()
        tokens, then = self._buckets.get(key_id, (self._capacity, now))
        tokens = min(self._capacity, tokens + (now - then) * self._rate)
        if tokens < 1:
            return (1 - tokens) / self._rate
        self._buckets[key_id] = (tokens - 1, now)
        return 0.0

"""The token bucket, by a clock that the test sets."""

from service.middleware.token_bucket import TokenBuckets


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self):
        return self.now


class TestTake:
    def test_burst_then_rate(self):
        """A full bucket holds a burst; after that, tokens come at the rate."""
        clock = Clock()
        buckets = TokenBuckets(rate=2, capacity=4, clock=clock)
        assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 0, 0.5]
        clock.now += 0.5
        assert [buckets.take("a") for _ in range(2)] == [0, 0.5]

    def test_bucket_is_filled_to_its_capacity(self):
        """A bucket that is not used for long holds no more than its capacity."""
        clock = Clock()
        buckets = TokenBuckets(rate=2, capacity=3, clock=clock)
        buckets.take("a")
        clock.now += 1000
        assert [buckets.take("a") > 0 for _ in range(4)] == [False, False, False, True]

    def test_keys_have_their_own_buckets(self):
        """An empty bucket of one key does not refuse another."""
        buckets = TokenBuckets(rate=0.1, capacity=1, clock=Clock())
        assert [buckets.take("a"), buckets.take("a"), buckets.take("b")] == [0, 10, 0]

    def test_capacity_below_one(self):
        """A bucket holds one token at least, or no request could ever pass."""
        buckets = TokenBuckets(rate=0.1, capacity=0.2, clock=Clock())
        assert [buckets.take("a"), buckets.take("a")] == [0, 10]

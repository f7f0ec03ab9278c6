"""The pace of a training, by a clock that the test advances."""

import pytest

from worker.run.pace import Pace


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


class TestPace:
    def test_before_the_first_step_is_unknown(self, clock):
        """Before the first step nothing is known."""
        pace = Pace(steps_done=40, steps_total=100, batch_size=20, clock=clock)
        clock.now += 3
        assert (pace.images_per_second(), pace.seconds_left()) == (None, None)

    def test_counts_the_steps_of_this_attempt(self, clock):
        """A resumed training's pace is that of its own steps."""
        pace = Pace(steps_done=40, steps_total=100, batch_size=20, clock=clock)
        for step in (41, 42, 43, 44):
            clock.now += 0.5
            pace.advance(step)
        assert pace.images_per_second() == 40.0
        assert pace.seconds_left() == 0.5 * 56

    def test_images_a_second_are_of_the_last_seconds(self, clock):
        """If steps become slower, images a second follow within seconds, and the seconds left more slowly."""
        pace = Pace(steps_done=0, steps_total=100, batch_size=10, clock=clock)
        for seconds, steps in ((0.1, 50), (1.0, 10)):
            for _ in range(steps):
                clock.now += seconds
                pace.advance(pace._step + 1)
        assert pace.images_per_second() == pytest.approx(10.0)
        assert pace.seconds_left() == pytest.approx(15 / 60 * 40)

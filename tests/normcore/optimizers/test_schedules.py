"""Learning rate schedules compared with torch's."""

import pytest
import torch
from torch.optim import lr_scheduler

from normcore.optimizers.schedules import constant, cosine, step_decay, warmed_up

STEPS = 40
PEERS = {
    "constant": (constant(0.3), lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1)),
    "step": (step_decay(0.3, every=7, factor=0.2), lambda optimizer: lr_scheduler.StepLR(optimizer, 7, 0.2)),
    "cosine": (cosine(0.3, steps=STEPS), lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS)),
    "warm-up": (
        warmed_up(constant(0.3), steps=10),
        lambda optimizer: lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=9),
    ),
}


class TestSchedules:
    @pytest.mark.parametrize(("schedule", "peer"), PEERS.values(), ids=PEERS)
    def test_schedule_equals_torchs(self, schedule, peer):
        """Each schedule equals torch's scheduler at every step."""
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
        torchs = peer(optimizer)
        for step in range(STEPS):
            assert schedule(step) == pytest.approx(torchs.get_last_lr()[0], rel=1e-12)
            optimizer.step()
            torchs.step()

    def test_schedule_starts_after_its_warm_up(self):
        """The schedule after a warm-up starts at its own first rate."""
        schedule = warmed_up(cosine(0.3, steps=30), steps=10)
        assert [schedule(step) for step in (0, 4, 9)] == pytest.approx([0.03, 0.15, 0.3])
        assert [schedule(10 + step) for step in range(31)] == [cosine(0.3, steps=30)(step) for step in range(31)]

    def test_cosine_ends_at_zero(self):
        """The cosine schedule reaches 0 and stays there."""
        assert cosine(0.3, steps=30)(30) == cosine(0.3, steps=30)(31) == 0

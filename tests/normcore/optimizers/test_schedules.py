"""Learning rates beside torch's schedulers."""

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


@pytest.mark.parametrize(("schedule", "peer"), PEERS.values(), ids=PEERS)
def test_it_is_torchs_at_every_step(schedule, peer):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    torchs = peer(optimizer)
    for step in range(STEPS):
        assert schedule(step) == pytest.approx(torchs.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        torchs.step()


def test_what_follows_a_warm_up_begins_at_its_own_beginning():
    schedule = warmed_up(cosine(0.3, steps=30), steps=10)
    assert [schedule(step) for step in (0, 4, 9)] == pytest.approx([0.03, 0.15, 0.3])
    assert [schedule(10 + step) for step in range(31)] == [cosine(0.3, steps=30)(step) for step in range(31)]


def test_a_cosine_ends_at_nothing_and_stays_there():
    assert cosine(0.3, steps=30)(30) == cosine(0.3, steps=30)(31) == 0

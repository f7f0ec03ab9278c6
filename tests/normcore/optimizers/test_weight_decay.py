"""Weight decay of both kinds beside torch's, and of those parameters alone that are named."""

import pytest
import torch

from normcore import SGD, Adam, WeightDecay
from normcore.optimizers.schedules import constant
from tests.normcore.averages import randn
from tests.normcore.optimizers.optimizing import take_step

RATE = 0.05
PEERS = {
    "adam, coupled": (Adam, True, lambda w: torch.optim.Adam([w], lr=0.01, eps=1e-9, weight_decay=RATE)),
    "adam, decoupled": (Adam, False, lambda w: torch.optim.AdamW([w], lr=0.01, eps=1e-9, weight_decay=RATE)),
    "sgd, coupled": (SGD, True, lambda w: torch.optim.SGD([w], lr=0.01, momentum=0.9, weight_decay=RATE)),
}


@pytest.mark.parametrize(("optimizer", "coupled", "peer"), PEERS.values(), ids=PEERS)
def test_it_is_torchs_at_every_one_of_twenty_steps(optimizer, coupled, peer):
    w = randn(5, 3)
    theirs = w.clone().requires_grad_()
    ours = optimizer({"w": w}, learning_rate=constant(0.01), weight_decay=WeightDecay(RATE, coupled, {"w"}))
    torchs = peer(theirs)
    for _ in range(20):
        theirs.grad = randn(5, 3)
        take_step(ours, {"w": theirs.grad.clone()})
        torchs.step()
        torch.testing.assert_close(w, theirs.detach(), rtol=1e-12, atol=1e-14)


def test_decoupled_from_sgd_a_weight_without_a_gradient_shrinks_by_the_same_share_at_every_step():
    w = torch.ones((), dtype=torch.float64)
    optimizer = SGD({"w": w}, learning_rate=constant(0.1), weight_decay=WeightDecay(0.5, names={"w"}))
    for _ in range(3):
        take_step(optimizer, {"w": torch.zeros((), dtype=torch.float64)})
    assert w.item() == pytest.approx(0.95**3, rel=1e-14)


@pytest.mark.parametrize("optimizer", [Adam, SGD])
@pytest.mark.parametrize("coupled", [False, True])
def test_what_is_not_named_does_not_decay_and_no_gradient_is_changed(optimizer, coupled):
    w, lam, zero = torch.ones(3), torch.ones(3), torch.zeros(3)
    decay = WeightDecay(0.5, coupled, {"w"})
    take_step(
        optimizer({"w": w, "lam": lam}, learning_rate=constant(0.1), weight_decay=decay), {"w": zero, "lam": zero}
    )
    assert (w < 1).all()
    assert torch.equal(lam, torch.ones(3))
    assert torch.equal(zero, torch.zeros(3))

"""Weight decay of both kinds compared with torch's, and which parameters decay."""

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


class TestWeightDecay:
    @pytest.mark.parametrize(("optimizer", "coupled", "peer"), PEERS.values(), ids=PEERS)
    def test_twenty_steps_equal_torchs(self, optimizer, coupled, peer):
        """Twenty steps with weight decay equal torch's, coupled and decoupled."""
        w = randn(5, 3)
        theirs = w.clone().requires_grad_()
        ours = optimizer({"w": w}, learning_rate=constant(0.01), weight_decay=WeightDecay(RATE, coupled, {"w"}))
        torchs = peer(theirs)
        for _ in range(20):
            theirs.grad = randn(5, 3)
            take_step(ours, {"w": theirs.grad.clone()})
            torchs.step()
            torch.testing.assert_close(w, theirs.detach(), rtol=1e-12, atol=1e-14)

    def test_decoupled_decay_shrinks_by_a_fixed_share(self):
        """Decoupled decay shrinks a weight without a gradient by the same fraction at every step."""
        w = torch.ones((), dtype=torch.float64)
        optimizer = SGD({"w": w}, learning_rate=constant(0.1), weight_decay=WeightDecay(0.5, names={"w"}))
        for _ in range(3):
            take_step(optimizer, {"w": torch.zeros((), dtype=torch.float64)})
        assert w.item() == pytest.approx(0.95**3, rel=1e-14)

    @pytest.mark.parametrize("optimizer", [Adam, SGD])
    @pytest.mark.parametrize("coupled", [False, True])
    def test_unnamed_parameters_do_not_decay(self, optimizer, coupled):
        """Parameters that are not named do not decay, and no gradient is changed."""
        w, lam, zero = torch.ones(3), torch.ones(3), torch.zeros(3)
        decay = WeightDecay(0.5, coupled, {"w"})
        take_step(
            optimizer({"w": w, "lam": lam}, learning_rate=constant(0.1), weight_decay=decay), {"w": zero, "lam": zero}
        )
        assert (w < 1).all()
        assert torch.equal(lam, torch.ones(3))
        assert torch.equal(zero, torch.zeros(3))

"""The statistics by index in the batch of the 2018 notebook, and their use at test time."""

import pytest
import torch

from normcore import InstanceNorm, LayerNorm
from tests.normcore.averages import EPS, exactly, randn, slots

# A new slotted normalization is one row: the layer with four slots for N 2 H W, and the axes it averages.
SLOTTED = {
    "layer": (lambda: LayerNorm(EPS, slots(4, 1, 1, 1)), (1, 2, 3)),
    "instance": (lambda: InstanceNorm(EPS, slots(4, 2, 1, 1)), (2, 3)),
}


@pytest.fixture(params=SLOTTED.values(), ids=SLOTTED)
def slotted(request):
    make, axes = request.param
    return make(), axes


class TestTraining:
    def test_slots_average_the_images_of_their_index(self, slotted):
        """Each slot averages the statistics of the images at its index."""
        layer, axes = slotted
        first, second = randn(4, 2, 3, 3), 2 * randn(4, 2, 3, 3) + 1
        layer.forward(first)
        layer.forward(second)
        exactly(layer.slots.mean, 0.09 * first.mean(axes, keepdim=True) + 0.1 * second.mean(axes, keepdim=True))
        var = [x.var(axes, correction=0, keepdim=True) for x in (first, second)]
        exactly(layer.slots.var, 0.09 * var[0] + 0.1 * var[1])

    def test_short_batch_updates_the_first_slots_alone(self, slotted):
        """A batch smaller than the slots updates only the first slots."""
        layer, axes = slotted
        layer.forward(randn(4, 2, 3, 3))
        before = {name: buffer.clone() for name, buffer in layer.buffers().items()}
        short = randn(3, 2, 3, 3)

        layer.forward(short)

        for name, buffer in layer.buffers().items():
            assert torch.equal(buffer[3:], before[name][3:])
            assert not torch.isclose(buffer[:3], before[name][:3]).any()
        exactly(layer.slots.mean[:3], 0.9 * before["running_mean"][:3] + 0.1 * short.mean(axes, keepdim=True))

    def test_slots_are_not_used_in_training(self, slotted):
        """In training an image is normalized by its own statistics."""
        layer, axes = slotted
        layer.forward(randn(4, 2, 3, 3))
        out, _ = layer.forward(5 * randn(4, 2, 3, 3) + 3)
        assert out.mean(axes).abs().max() < 1e-12


class TestTestTime:
    def test_image_is_normalized_by_its_slot(self, slotted):
        """At test time an image is normalized by its slot and not by itself."""
        layer, _ = slotted
        layer.forward(randn(4, 2, 3, 3))
        image = randn(1, 2, 3, 3)
        out = layer.for_inference().forward(image.expand(4, 2, 3, 3))[0]
        exactly(out, (image - layer.slots.mean) / (layer.slots.var + EPS).sqrt())
        assert not torch.allclose(out[0], out[3])
        assert torch.equal(layer.for_inference().forward(image.expand(2, 2, 3, 3))[0], out[:2])

    def test_more_images_than_slots_are_refused(self, slotted):
        """More images than slots raise ValueError, in training and at test time."""
        layer, _ = slotted
        for use in (layer.for_inference().forward, layer.forward):
            with pytest.raises(ValueError, match="5 images do not fit 4 slots"):
                use(randn(5, 2, 3, 3))

    def test_one_slot_does_not_broadcast(self):
        """One slot holds one image and is not broadcast over a batch."""
        layer = LayerNorm(EPS, slots(1, 1, 1, 1))
        layer.forward(randn(1, 2, 3, 3))
        with pytest.raises(ValueError, match="2 images do not fit 1 slot"):
            layer.for_inference().forward(randn(2, 2, 3, 3))

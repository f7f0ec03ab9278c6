"""The numbers study.md derives of the notebook's gradients, on the study's own network at its own size."""

import pytest
import torch

from service.experiments.spec import ExperimentSpec
from worker.building import build_network


@pytest.fixture(autouse=True)
def in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def passed_and_weight_gradients(**fields):
    spec = ExperimentSpec(**fields)
    network = build_network(spec, torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((20, 3, 96, 96), generator=generator)
    labels = torch.randint(10, (20,), generator=generator)
    passed = {}
    _, _, gradients = network.gradients(images, labels, lambda place, dout, dx, own: passed.update({place: dx}))
    places = [place for place, layer in enumerate(spec.resolved_network()) if layer.kind == "convolution"]
    return [passed[place] for place in places], [gradients[f"{place}.weight"] for place in places]


@pytest.mark.parametrize("normalization", ["none", "batch", "layer", "instance"])
def test_at_twenty_images_the_original_input_gradients_are_36_times_and_its_weight_gradients_1_8_times_the_true(
    normalization,
):
    true = passed_and_weight_gradients(normalization=normalization)
    original = passed_and_weight_gradients(
        normalization=normalization, pool_gradient="copied", filter_gradient="divided_by_batch"
    )
    for ours, theirs, factor in ((original[0], true[0], 36), (original[1], true[1], 36 / 20)):
        for layer in range(6):
            assert theirs[layer].norm() > 0
            assert (ours[layer] - factor * theirs[layer]).norm() < 1e-10 * factor * theirs[layer].norm()


def test_the_original_protocol_starts_layers_alike_in_shape_with_the_same_weights():
    network = build_network(ExperimentSpec(protocol="original"), torch.device("cpu"))
    weights = [layer.weight for layer in network.layers if hasattr(layer, "weight")]
    assert all(torch.equal(weights[1], weight) for weight in weights[2:5])
    standard = build_network(ExperimentSpec(), torch.device("cpu"))
    weights = [layer.weight for layer in standard.layers if hasattr(layer, "weight")]
    assert not torch.equal(weights[1], weights[2])

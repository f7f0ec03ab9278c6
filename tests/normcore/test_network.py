"""Layers in a row: caches, the probe, names, the search for the first NaN, and the study's sizes."""

from itertools import pairwise

import pytest
import torch

from normcore import BatchNorm, BoxCox, Convolution, GlobalAveragePool, Network, ReLU, cross_entropy
from tests.normcore.averages import running
from tests.normcore.study_network import NORMALIZATIONS, batch_of, places_of, study_network


def small():
    weights = torch.randn(2, 3, 3, 3, dtype=torch.float64), torch.randn(10, 2, 3, 3, dtype=torch.float64)
    lam = torch.tensor(2.0, dtype=torch.float64)
    norm = BatchNorm(running(1, 2, 1, 1))
    return Network([Convolution(weights[0]), ReLU(), BoxCox(lam), norm, Convolution(weights[1]), GlobalAveragePool()])


def test_backward_empties_the_caches():
    network = small()
    x, _ = batch_of(2, 8)
    logits, caches = network.forward(x)
    assert len(caches) == 6
    network.backward(logits, caches, images=lambda: x)
    assert caches == []


def test_the_probe_sees_every_layer_once_in_reverse_and_each_passed_gradient_twice():
    network, seen = study_network("batch"), []
    x, labels = batch_of(3, 16)

    _, logits, gradients = network.gradients(x, labels, lambda place, passed: seen.append((place, passed)))

    assert [place for place, _ in seen] == list(reversed(range(18)))
    assert torch.equal(seen[0][1].dout, cross_entropy(logits, labels)[1])
    for (_, later), (_, earlier) in pairwise(seen):
        assert later.dx is earlier.dout
    assert seen[-1][1].dx.shape == x.shape
    named = {f"{place}.{name}": own for place, passed in seen for name, own in passed.gradients.items()}
    assert named.keys() == gradients.keys()
    assert all(own is gradients[name] for name, own in named.items())


def test_a_probe_changes_no_gradient():
    network = study_network("layer")
    x, labels = batch_of(3, 16)
    _, _, alone = network.gradients(x, labels)
    _, _, seen = network.gradients(x, labels, lambda *call: None)
    assert all(torch.equal(alone[name], seen[name]) for name in alone)


def test_parameters_buffers_and_gradients_are_named_by_place():
    network = small()
    assert list(network.parameters()) == ["0.weight", "2.lam", "4.weight"]
    assert list(network.buffers()) == ["3.running_mean", "3.running_var"]
    assert list(network.gradients(*batch_of(2, 8))[2]) == ["0.weight", "2.lam", "4.weight"]


def test_parameters_and_buffers_are_the_layers_own_tensors_and_not_copies():
    network = small()
    assert network.parameters()["0.weight"] is network.layers[0].weight
    assert network.buffers()["3.running_mean"] is network.layers[3].running.mean


@pytest.mark.parametrize("planted", [0, 2, 4])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_the_first_nonfinite_layer_is_the_planted_one(planted, poison):
    network = small()
    next(iter(network.layers[planted].parameters().values())).fill_(poison)
    assert network.first_nonfinite(batch_of(2, 8)[0] + 1) == planted


def test_a_healthy_network_has_no_nonfinite_layer():
    assert small().first_nonfinite(batch_of(2, 8)[0]) is None


def test_infer_changes_no_parameter_and_no_buffer():
    network = study_network("batch")
    x, _ = batch_of(3, 16)
    network.forward(x)
    before = {name: tensor.clone() for name, tensor in {**network.parameters(), **network.buffers()}.items()}
    assert torch.equal(network.infer(x), network.infer(x))
    after = {**network.parameters(), **network.buffers()}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_every_variant_has_the_same_11088_weights_and_box_cox_a_lambda_a_layer(normalization):
    network = study_network(normalization)
    sizes = {name: parameter.numel() for name, parameter in network.parameters().items()}
    weights = [size for name, size in sizes.items() if name.endswith(".weight")]
    assert weights == [432, 2304, 2304, 2304, 2304, 1440]
    assert sum(weights) == 11_088
    assert sum(sizes.values()) == 11_088 + (5 if normalization == "box_cox" else 0)


def test_the_studys_maps_are_48_24_12_6_6_6_wide_and_its_scores_ten():
    network, sizes = study_network("batch"), {}
    x, labels = batch_of(2, 96)
    _, logits, _ = network.gradients(x, labels, lambda place, seen: sizes.update({place: seen.dout.shape[-1]}))
    assert [sizes[place] for place in places_of(network, Convolution)] == [48, 24, 12, 6, 6, 6]
    assert logits.shape == (2, 10)

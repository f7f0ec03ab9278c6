"""A network: caches, the probe, names, the search for the first NaN, and the study's sizes."""

from itertools import pairwise

import pytest
import torch

from normcore import BatchNorm, BoxCox, Convolution, GlobalAveragePool, Network, ReLU, cross_entropy
from normcore.layers.layer import parameters_of
from tests.normcore.averages import running
from tests.normcore.study_network import NORMALIZATIONS, batch_of, indices_of, study_network


def small():
    weights = torch.randn(2, 3, 3, 3, dtype=torch.float64), torch.randn(10, 2, 3, 3, dtype=torch.float64)
    lam = torch.tensor(2.0, dtype=torch.float64)
    norm = BatchNorm(running(1, 2, 1, 1))
    return Network([Convolution(weights[0]), ReLU(), BoxCox(lam), norm, Convolution(weights[1]), GlobalAveragePool()])


class TestBackward:
    def test_backward_empties_the_caches(self):
        """Backward removes every cache from the list it was given."""
        network = small()
        x, _ = batch_of(2, 8)
        logits, caches = network.forward(x)
        assert len(caches) == 6
        network.backward(logits, caches, images=lambda: x)
        assert caches == []

    def test_probe_observes_every_layer_in_reverse(self):
        """The probe observes each layer once, last first; a layer's dx is the dout of the one before it."""
        network, calls = study_network("batch"), []
        x, labels = batch_of(3, 16)

        _, logits, gradients = network.gradients(
            x, labels, lambda index, layer_gradients: calls.append((index, layer_gradients))
        )

        assert [index for index, _ in calls] == list(reversed(range(18)))
        assert torch.equal(calls[0][1].dout, cross_entropy(logits, labels)[1])
        for (_, later), (_, earlier) in pairwise(calls):
            assert later.dx is earlier.dout
        assert calls[-1][1].dx.shape == x.shape
        named = {
            f"{index}.{name}": own
            for index, layer_gradients in calls
            for name, own in layer_gradients.gradients.items()
        }
        assert named.keys() == gradients.keys()
        assert all(own is gradients[name] for name, own in named.items())

    def test_probe_changes_no_gradient(self):
        """The gradients are the same with and without a probe."""
        network = study_network("layer")
        x, labels = batch_of(3, 16)
        _, _, unobserved = network.gradients(x, labels)
        _, _, observed = network.gradients(x, labels, lambda *call: None)
        assert all(torch.equal(unobserved[name], observed[name]) for name in unobserved)


class TestParametersAndBuffers:
    def test_names_hold_the_layers_index(self):
        """Parameters, buffers and gradients are named by the layer's index and their own name."""
        network = small()
        assert list(network.parameters()) == ["0.weight", "2.lam", "4.weight"]
        assert list(network.buffers()) == ["3.running_mean", "3.running_var"]
        assert list(network.gradients(*batch_of(2, 8))[2]) == ["0.weight", "2.lam", "4.weight"]

    def test_are_the_layers_own_tensors(self):
        """Parameters and buffers are the layers' own tensors and not copies."""
        network = small()
        assert network.parameters()["0.weight"] is network.layers[0].weight
        assert network.buffers()["3.running_mean"] is network.layers[3].running.mean


class TestFirstNonfinite:
    @pytest.mark.parametrize("planted", [0, 2, 4])
    @pytest.mark.parametrize("poison", [torch.nan, torch.inf])
    def test_finds_the_planted_layer(self, planted, poison):
        """The first layer with a NaN or an infinity in its output is found."""
        network = small()
        next(iter(parameters_of(network.layers[planted]).values())).fill_(poison)
        assert network.first_nonfinite(batch_of(2, 8)[0] + 1) == planted

    def test_is_none_in_a_healthy_network(self):
        """A network whose outputs are finite has no such layer."""
        assert small().first_nonfinite(batch_of(2, 8)[0]) is None


class TestForInference:
    def test_forward_changes_no_parameter_and_no_buffer(self):
        """The forward pass of test time changes no parameter and no buffer."""
        network = study_network("batch")
        x, _ = batch_of(3, 16)
        network.forward(x)
        before = {name: tensor.clone() for name, tensor in {**network.parameters(), **network.buffers()}.items()}
        inference = network.for_inference()
        assert torch.equal(inference.logits(x), inference.logits(x))
        after = {**network.parameters(), **network.buffers()}
        assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


class TestStudyNetwork:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_every_variant_has_11088_weights(self, normalization):
        """Every variant has the same 11,088 weights, and Box-Cox one λ more for each layer."""
        network = study_network(normalization)
        sizes = {name: parameter.numel() for name, parameter in network.parameters().items()}
        weights = [size for name, size in sizes.items() if name.endswith(".weight")]
        assert weights == [432, 2304, 2304, 2304, 2304, 1440]
        assert sum(weights) == 11_088
        assert sum(sizes.values()) == 11_088 + (5 if normalization == "box_cox" else 0)

    def test_maps_are_48_24_12_6_6_6_wide_and_logits_ten(self):
        """The study's maps have these widths on images of 96×96, and there are ten logits."""
        network, sizes = study_network("batch"), {}
        x, labels = batch_of(2, 96)
        _, logits, _ = network.gradients(
            x, labels, lambda index, layer_gradients: sizes.update({index: layer_gradients.dout.shape[-1]})
        )
        assert [sizes[index] for index in indices_of(network, Convolution)] == [48, 24, 12, 6, 6, 6]
        assert logits.shape == (2, 10)

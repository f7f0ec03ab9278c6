"""The factors between the notebook's gradients and the true ones, in the study's network at its own size."""

import pytest
import torch

from normcore import Convolution
from normlab.spec.experiment import ExperimentSpec
from tests.normcore.study_network import NORMALIZATIONS, batch_of, indices_of, study_network
from worker.training.build_network import build_network


class TestGradientFactors:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_both_deviations_give_factors_36_and_1_8(
        self,
        normalization,
    ):
        """At 20 images the notebook's input gradients are 36 and its weight gradients 1.8 times the true ones."""
        true = study_gradients(study_network(normalization))
        original = study_gradients(study_network(normalization, pool_gradient="copied", divide_by_batch=True))
        assert_times(36, original[0], true[0])
        assert_times(36 / 20, original[1], true[1])

    def test_copied_mean_alone_gives_factor_36(self):
        """The pooling gradient without 1/36 makes both gradients 36 times the true ones."""
        true, copied = (
            study_gradients(study_network("batch")),
            study_gradients(study_network("batch", pool_gradient="copied")),
        )
        assert_times(36, copied[0], true[0])
        assert_times(36, copied[1], true[1])

    def test_second_division_alone_gives_a_twentieth(self):
        """The second division by N changes the weight gradients alone, to a twentieth."""
        true, divided = (
            study_gradients(study_network("batch")),
            study_gradients(study_network("batch", divide_by_batch=True)),
        )
        assert_times(1, divided[0], true[0])
        assert_times(1 / 20, divided[1], true[1])

    def test_built_spec_has_the_same_factors(self):
        """A network built from a spec has the same factors."""
        fields = {"normalization": "batch"}
        true = study_gradients(build_network(ExperimentSpec(**fields), torch.device("cpu"), torch.float64))
        fields |= {"pool_gradient": "copied", "filter_gradient": "divided_by_batch"}
        original = study_gradients(build_network(ExperimentSpec(**fields), torch.device("cpu"), torch.float64))
        assert_times(36, original[0], true[0])
        assert_times(36 / 20, original[1], true[1])


class TestInitialWeights:
    def test_layers_of_one_shape_start_alike(self):
        """In the original protocol layers of one shape start with the same weights, in the standard one they do not."""
        network = build_network(ExperimentSpec(protocol="original"), torch.device("cpu"))
        weights = [layer.weight for layer in network.layers if hasattr(layer, "weight")]
        assert all(torch.equal(weights[1], weight) for weight in weights[2:5])
        standard = build_network(ExperimentSpec(), torch.device("cpu"))
        weights = [layer.weight for layer in standard.layers if hasattr(layer, "weight")]
        assert not torch.equal(weights[1], weights[2])


def study_gradients(network):
    """dL/dx and dL/dW of the six convolutions, on twenty images of 96×96."""
    dx = {}
    x, labels = batch_of(20, 96)
    _, _, gradients = network.gradients(
        x, labels, lambda index, layer_gradients: dx.update({index: layer_gradients.dx})
    )
    indices = indices_of(network, Convolution)
    assert len(indices) == 6
    return [dx[index] for index in indices], [gradients[f"{index}.weight"] for index in indices]


def assert_times(factor, ours, true):
    for mine, theirs in zip(ours, true, strict=True):
        assert theirs.norm() > 0
        assert (mine - factor * theirs).norm() < 1e-10 * factor * theirs.norm()

"""The numbers study.md derives of the notebook's gradients, on the study's own network at its own size."""

import pytest
import torch

from normcore import Convolution
from normlab.spec.experiment import ExperimentSpec
from tests.normcore.study_network import NORMALIZATIONS, batch_of, places_of, study_network
from worker.training.build_network import build_network


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_at_twenty_images_the_original_input_gradients_are_36_times_and_its_weight_gradients_1_8_times_the_true(
    normalization,
):
    true = study_gradients(study_network(normalization))
    original = study_gradients(study_network(normalization, pool_gradient="copied", divide_by_batch=True))
    assert_times(36, original[0], true[0])
    assert_times(36 / 20, original[1], true[1])


def test_the_copied_mean_alone_makes_both_gradients_36_times_the_true():
    true, copied = (
        study_gradients(study_network("batch")),
        study_gradients(study_network("batch", pool_gradient="copied")),
    )
    assert_times(36, copied[0], true[0])
    assert_times(36, copied[1], true[1])


def test_the_second_division_alone_leaves_what_is_passed_back_and_makes_weight_gradients_a_twentieth():
    true, divided = (
        study_gradients(study_network("batch")),
        study_gradients(study_network("batch", divide_by_batch=True)),
    )
    assert_times(1, divided[0], true[0])
    assert_times(1 / 20, divided[1], true[1])


def test_the_built_spec_of_the_original_protocol_has_these_factors_too():
    fields = {"normalization": "batch"}
    true = study_gradients(build_network(ExperimentSpec(**fields), torch.device("cpu"), torch.float64))
    fields |= {"pool_gradient": "copied", "filter_gradient": "divided_by_batch"}
    original = study_gradients(build_network(ExperimentSpec(**fields), torch.device("cpu"), torch.float64))
    assert_times(36, original[0], true[0])
    assert_times(36 / 20, original[1], true[1])


def test_the_original_protocol_starts_layers_alike_in_shape_with_the_same_weights():
    network = build_network(ExperimentSpec(protocol="original"), torch.device("cpu"))
    weights = [layer.weight for layer in network.layers if hasattr(layer, "weight")]
    assert all(torch.equal(weights[1], weight) for weight in weights[2:5])
    standard = build_network(ExperimentSpec(), torch.device("cpu"))
    weights = [layer.weight for layer in standard.layers if hasattr(layer, "weight")]
    assert not torch.equal(weights[1], weights[2])


def study_gradients(network):
    """dL/dx and dL/dW of the six convolutions, on twenty images of 96×96."""
    passed = {}
    x, labels = batch_of(20, 96)
    _, _, gradients = network.gradients(x, labels, lambda place, seen: passed.update({place: seen.dx}))
    places = places_of(network, Convolution)
    assert len(places) == 6
    return [passed[place] for place in places], [gradients[f"{place}.weight"] for place in places]


def assert_times(factor, ours, true):
    for mine, theirs in zip(ours, true, strict=True):
        assert theirs.norm() > 0
        assert (mine - factor * theirs).norm() < 1e-10 * factor * theirs.norm()

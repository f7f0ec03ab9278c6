"""Normalizations over a single value are refused, at the post or by the worker that knows the number of images."""

import pytest
from pydantic import ValidationError

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.single_values import check_statistics, smallest_batch
from normlab.spec.variants import VARIANTS

DIGITS = {"dataset": "digits", "image_size": 8}  # the study's third convolution outputs 16×1×1
ONE_CHANNEL = [
    {"kind": "convolution", "channels": 1, "stride": 8},
    {"kind": "normalization"},
    {"kind": "linear", "features": 10},
]
ONE_WEIGHT = [
    {"kind": "convolution", "channels": 3, "groups": 3, "kernel_size": 1}, {"kind": "normalization"},
    {"kind": "linear", "features": 10},
]  # fmt: skip
REFUSED = {
    "instance": ({"normalization": "instance"}, "network", "layer 3: instance normalization of 16×1×1 normalizes"),
    "filter_response": ({"normalization": "filter_response"}, "network", "filter_response normalization of 16×1×1"),
    "group": ({"normalization": "group", "group_count": 16}, "network", "layer 3: group normalization of 16×1×1"),
    "layer": ({"normalization": "layer", "network": ONE_CHANNEL}, "network", "layer 1: layer normalization of 1×1×1"),
    "rms": ({"normalization": "rms", "network": ONE_CHANNEL}, "network", "its output is the value's sign"),
    "weights": (
        {"normalization": "weight_standardization", "network": ONE_WEIGHT}, "network", "standardizes a single weight",
    ),
    "last batch": (
        {"normalization": "batch", "train_size": 21}, "batch_size", "batch normalization of 16×1×1 has a batch of one",
    ),
    "batches of one": ({"normalization": "range", "batch_size": 1}, "batch_size", "range normalization of 16×1×1 has"),
}  # fmt: skip
ACCEPTED = {
    "layer": {"normalization": "layer"},
    "groups of two": {"normalization": "group", "group_count": 8},
    "last batch of two": {"normalization": "batch", "train_size": 22},
    "batches of one on larger maps": {"normalization": "batch", "batch_size": 1, "image_size": 32},
    "instance on larger maps": {"normalization": "instance", "image_size": 32},
    "no statistics": {"normalization": "yeo_johnson"},
    "a folder whose size is not known": {"normalization": "batch", "dataset": "folder", "folder": "photos"},
}


class TestRefusal:
    @pytest.mark.parametrize(("fields", "field", "message"), REFUSED.values(), ids=REFUSED)
    def test_names_layer_and_shape(self, fields, field, message):
        """A normalization over a single value is refused with its layer and the shape of its input."""
        with pytest.raises(ValidationError) as refusal:
            ExperimentSpec.model_validate(DIGITS | fields)
        (error,) = refusal.value.errors()
        assert error["loc"] == (field,)
        assert message in error["msg"]

    @pytest.mark.parametrize("fields", ACCEPTED.values(), ids=ACCEPTED)
    def test_is_of_single_values_alone(self, fields):
        """A normalization over two or more values, or over a number that is not known yet, is accepted."""
        ExperimentSpec.model_validate(DIGITS | fields)

    def test_stored_spec_of_an_older_release_is_shown(self):
        """The shapes of a stored spec that is refused today can be read."""
        spec = ExperimentSpec.model_validate(DIGITS | {"normalization": "layer"}).model_dump(mode="json")
        stored = ExperimentSpec.stored(spec | {"normalization": "instance"})
        assert stored.layer_shapes()[-1].output_shape == (10,)
        with pytest.raises(ValueError, match="16×1×1"):
            check_statistics(stored.layer_shapes(), None)


class TestSmallestBatch:
    @pytest.mark.parametrize(
        ("images", "size", "smallest"), [(40, 20, 20), (41, 20, 1), (7, 20, 7), (None, 20, None), (None, 1, 1)]
    )
    def test_is_the_last_one_of_an_epoch(self, images, size, smallest):
        """The last batch holds the rest of the images, and it is never dropped."""
        assert smallest_batch(images, size) == smallest


def test_every_normalization_of_activations_names_its_statistics():
    """Every variant that divides by a statistic says which values the statistic is of."""
    without = {name for name, variant in VARIANTS.items() if not variant.statistics_over}
    assert without == {"none", "box_cox", "yeo_johnson", "dynamic_tanh", "weight_standardization"}

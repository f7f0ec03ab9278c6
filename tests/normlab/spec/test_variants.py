"""The registry of variants: its rows, and what the spec and the shapes read of them."""

from typing import get_args

import pytest

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.variants import VARIANTS, Normalization

LEARNED = {"box_cox": 5, "yeo_johnson": 5 * 16, "dynamic_tanh": 5, "filter_response": 5 * 16}
EVERY_VARIANT = pytest.mark.parametrize("variant", get_args(Normalization))


class TestRegistry:
    def test_type_has_the_names_of_the_rows(self):
        """The type that a spec's normalization has names every row once, in the order of the rows."""
        assert get_args(Normalization) == tuple(VARIANTS)

    def test_every_variant_has_its_own_title_and_colour(self):
        """No two variants look alike in a figure."""
        rows = VARIANTS.values()
        assert len({row.title for row in rows}) == len({row.colour for row in rows}) == len(rows)

    @EVERY_VARIANT
    def test_options_are_fields_of_the_spec(self, variant):
        """Each option of a variant is a field of the spec."""
        for option in VARIANTS[variant].options:
            assert option in ExperimentSpec.model_fields

    @EVERY_VARIANT
    def test_documentation_describes_every_variant(self, variant):
        """The description of the field `normalization` has a line for each variant."""
        assert (
            f"- `{variant}`: {VARIANTS[variant].description}"
            in ExperimentSpec.model_fields["normalization"].description
        )


class TestParameters:
    @EVERY_VARIANT
    def test_every_variant_has_the_same_11088_weights(self, variant):
        """All variants have the same 11,088 weights, and beside them what the variant itself learns."""
        layers = ExperimentSpec(normalization=variant).layer_shapes()
        assert sum(layer.parameters for layer in layers) == 11_088 + LEARNED.get(variant, 0)

    @EVERY_VARIANT
    def test_affine_adds_a_scale_and_shift_per_channel(self, variant):
        """With affine, a scale and a shift per channel follow each normalization that is a layer."""
        plain, affine = (ExperimentSpec(normalization=variant, affine=value).layer_shapes() for value in (False, True))
        difference = sum(layer.parameters for layer in affine) - sum(layer.parameters for layer in plain)
        assert difference == (0 if variant in ("none", "weight_standardization") else 5 * 2 * 16)

    def test_weight_standardization_is_no_layer(self):
        """Weight standardization marks the convolutions before it, and adds no layer."""
        layers = ExperimentSpec(normalization="weight_standardization").layer_shapes()
        assert [layer.standardized for layer in layers if layer.kind == "convolution"] == [True] * 5 + [False]
        assert {layer.kind for layer in layers} == {"convolution", "relu", "global_average_pool"}

    def test_thresholded_linear_unit_follows_filter_response(self):
        """Filter response normalization is followed by a thresholded linear unit, after its scale and shift."""
        layers = ExperimentSpec(normalization="filter_response", affine=True).layer_shapes()
        assert [layer.kind for layer in layers[2:5]] == ["normalization", "affine", "thresholded_linear"]

"""A width that is `classes`: the number of classes of the data set, known at once or when the images are read."""

import json

import pytest
from pydantic import ValidationError

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import total_parameters

FOLDER = {"dataset": "folder", "folder": "photos"}
LINEAR = [{"kind": "linear", "features": "classes"}]
IN_GROUPS = [{"kind": "convolution", "channels": "classes", "groups": 3}, {"kind": "global_average_pool"}]
NORMALIZED = [
    {"kind": "convolution", "channels": "classes"}, {"kind": "normalization"}, {"kind": "global_average_pool"},
    {"kind": "linear", "features": "classes"},
]  # fmt: skip


def spec_of(**fields):
    return ExperimentSpec.model_validate(FOLDER | fields)


class TestNamedDataset:
    def test_has_its_number_at_once(self):
        """A data set whose classes are known has their number in the spec."""
        assert ExperimentSpec().network[-3].channels == 10
        spec = ExperimentSpec.model_validate({"dataset": "digits", "network": LINEAR})
        assert spec.network[0].features == 10
        assert spec.layer_shapes()[0].parameters == 3 * 32 * 32 * 10 + 10


class TestFolder:
    def test_is_symbolic_until_its_classes_are_known(self):
        """The default network of a folder ends in `classes`, in the spec and in the shapes."""
        spec = spec_of()
        assert spec.network[-3].channels == "classes"
        shapes = [json.loads(layer.model_dump_json()) for layer in spec.layer_shapes()]
        assert [layer["output_shape"] for layer in shapes[-3:]] == [["classes", 6, 6]] * 2 + [["classes"]]
        assert [layer["parameters"] for layer in shapes[-3:]] == [None, 0, 0]
        assert total_parameters(spec.layer_shapes()) is None
        assert ExperimentSpec.model_validate_json(spec.model_dump_json()) == spec

    @pytest.mark.parametrize("network", [None, LINEAR, NORMALIZED], ids=["default", "linear", "normalized"])
    def test_has_the_number_of_its_classes_once_they_are_known(self, network):
        """With three classes, the layers are those of a network that has the number 3."""
        fields = {"affine": True} | ({} if network is None else {"network": network})
        fields |= {} if network is LINEAR else {"normalization": "yeo_johnson"}
        symbolic, stored = spec_of(**fields), spec_of(**fields).model_dump(mode="json")
        numbered = json.loads(json.dumps(stored).replace('"classes"', "3"))
        assert symbolic.with_classes(3) == ExperimentSpec.model_validate(numbered)
        assert ExperimentSpec.stored(stored, 3).layer_shapes() == ExperimentSpec.stored(numbered).layer_shapes()
        assert ExperimentSpec.stored(stored) == symbolic
        assert total_parameters(symbolic.with_classes(3).layer_shapes()) > 0

    def test_that_does_not_fit_is_refused_once_they_are_known(self):
        """Whether groups divide the classes is decided when their number is known."""
        spec = spec_of(network=IN_GROUPS)
        assert spec.layer_shapes()[0].output_shape == (0, 96, 96)
        assert spec.with_classes(6).layer_shapes()[0].output_shape == (6, 96, 96)
        with pytest.raises(ValueError, match=r"network\[0\]: groups=3 must divide both 3 input and 4 output channels"):
            spec.with_classes(4).layer_shapes()


class TestRefusal:
    @pytest.mark.parametrize(
        ("width", "message"),
        [
            ("class", "valid integer, or `classes`"),
            ("3", "valid integer, or `classes`"),
            (0, "greater than or equal to 1"),
            (4097, "less than or equal to 4096"),
            (1.5, "valid integer"),
            (True, "valid integer"),
            (None, "valid integer"),
        ],
    )
    def test_other_width_is_refused_with_one_error(self, width, message):
        """The error of a wrong width speaks of a number, not of two types."""
        with pytest.raises(ValidationError) as refusal:
            spec_of(network=[{"kind": "convolution", "channels": width}])
        (error,) = [error for error in refusal.value.errors() if error["loc"] != ("network",)]
        assert error["loc"] == ("network", 0, "convolution", "channels")
        assert message in error["msg"]

    @pytest.mark.parametrize("field", [{"test_fraction": 0.3}, {"skip_damaged": True}, {"background": "#000000"}])
    def test_fields_of_a_folder_are_refused_elsewhere(self, field):
        """A field that only a folder reads is refused with any other data set."""
        assert spec_of(**field)
        with pytest.raises(ValidationError, match="expected only with dataset `folder`"):
            ExperimentSpec.model_validate({"dataset": "digits"} | field)

"""The spec: the article's defaults, the two protocols, stored specs, and what is refused."""

import json

import pytest
from pydantic import ValidationError

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.protocols import PROTOCOLS
from tests.factories import MIXED, RESIDUAL

NETWORKS = pytest.mark.parametrize(
    "network", [{}, {"network": MIXED}, {"network": RESIDUAL}], ids=["study", "mixed", "residual"]
)


class TestDefaults:
    def test_empty_spec_is_the_articles_baseline(self):
        """An empty spec trains the article's network without normalization, with the article's settings."""
        spec = ExperimentSpec()
        assert (spec.dataset, spec.image_size, spec.normalization, spec.protocol) == ("stl10", 96, "none", "standard")
        assert (spec.epochs, spec.batch_size, spec.learning_rate) == (150, 20, 0.0008)
        assert (spec.adam_beta1, spec.adam_beta2, spec.adam_eps) == (0.9, 0.999, 1e-9)
        assert (spec.norm_eps, spec.norm_momentum, spec.box_cox_lambda, spec.init_std) == (1e-8, 0.9, 2.0, 0.05)
        layers = [layer for layer in spec.layer_shapes() if layer.kind == "convolution"]
        assert [layer.output_shape for layer in layers] == [
            (16, 48, 48), (16, 24, 24), (16, 12, 12), (16, 6, 6), (16, 6, 6), (10, 6, 6),
        ]  # fmt: skip
        assert [layer.kind for layer in spec.layer_shapes()[-3:]] == ["convolution", "relu", "global_average_pool"]

    @pytest.mark.parametrize("part", PROTOCOLS["original"])
    def test_protocol_decides_the_default_of_each_part(self, part):
        """The original protocol changes the default of each of its fields, and each can also be set alone."""
        standard, original = PROTOCOLS["standard"][part], PROTOCOLS["original"][part]
        assert standard != original
        assert getattr(ExperimentSpec(), part) == standard
        assert getattr(ExperimentSpec(protocol="original"), part) == original
        assert getattr(ExperimentSpec.model_validate({part: original}), part) == original
        assert getattr(ExperimentSpec.model_validate({"protocol": "original", part: standard}), part) == standard

    def test_complete_spec_validates_to_itself(self):
        """A spec whose defaults are filled in is the same spec when it is validated again."""
        spec = ExperimentSpec(dataset="digits", normalization="batch", protocol="original", shuffle=True, tags=["x"])
        assert ExperimentSpec.model_validate_json(spec.model_dump_json()) == spec


class TestDescription:
    @pytest.mark.parametrize("name", ExperimentSpec.model_fields)
    def test_field_is_described_in_whole_sentences(self, name):
        """Every field has a description that begins with a capital letter and ends with a full stop."""
        description = ExperimentSpec.model_fields[name].description
        assert description[0].isupper()
        assert description.endswith(".")

    @pytest.mark.parametrize("name", ExperimentSpec.model_fields)
    def test_every_allowed_value_is_explained(self, name):
        """The description of a field with a list of allowed values has an item for each of them."""
        schema = ExperimentSpec.model_json_schema()["properties"][name]
        values = schema.get("enum") or schema.get("items", {}).get("enum") or []
        assert [value for value in values if f"- `{value}`: " not in schema["description"]] == []


class TestStored:
    @NETWORKS
    def test_stored_spec_loads_as_it_was(self, network):
        """A spec that went through the database's JSON is equal to the original, with the same shapes."""
        spec = ExperimentSpec.model_validate(
            {"dataset": "digits", "affine": True, "protocol": "original", "tags": ["x"]} | network
        )
        loaded = ExperimentSpec.stored(json.loads(json.dumps(spec.model_dump(mode="json"))))
        assert loaded == spec
        assert loaded.layer_shapes() == spec.layer_shapes()
        assert loaded.model_dump_json() == spec.model_dump_json()

    def test_stored_spec_is_not_validated(self):
        """A spec of an older release loads: an absent field has its default, an unknown one is left out."""
        fields = ExperimentSpec(dataset="digits").model_dump(mode="json")
        del fields["memory"]
        loaded = ExperimentSpec.stored(
            fields | {"name": "\uffff", "momentum": 0.9, "capture_quantities": ["weight"] * 9}
        )
        assert loaded.memory == "standard"
        assert (loaded.name, loaded.capture_quantities) == ("\uffff", ("weight",) * 9)
        assert "momentum" not in loaded.model_dump()


REFUSED = {
    "an unknown field": ("epoch", {"epoch": 3}, "Extra inputs"),
    "no epochs": ("epochs", {"epochs": 0}, "greater than or equal to 1"),
    "an unknown data set": ("dataset", {"dataset": "imagenet"}, "digits"),
    "a rate that is no number": ("learning_rate", {"learning_rate": float("nan")}, "finite"),
    "a normalization that no layer is": (
        "network",
        {"normalization": "batch", "network": MIXED},
        "normalization is batch, but no layer uses it",
    ),
    "an unknown variant": ("normalization", {"normalization": "sphere"}, "box_cox"),
    "too many images": (
        "train_size", {"dataset": "digits", "train_size": 9_999}, "at most 1438: digits has 1438 train images",
    ),
    "a folder without its name": ("folder", {"dataset": "folder"}, "expected a folder with dataset `folder`"),
    "a folder of another data set": ("folder", {"folder": "x"}, "and none with any other dataset"),
    "an unknown quantity": ("capture_quantities.0", {"capture_quantities": ["bias"]}, "weight_gradient"),
    "an unknown device": ("device", {"device": "tpu"}, "pattern"),
    "steps after the updates": (
        "capture_unit", {"protocol": "original", "capture_unit": "step"}, "`after_updates` captures once an epoch",
    ),
    "a capture after the last step": (
        "capture_unit", {"dataset": "digits", "epochs": 2, "capture_unit": "step", "capture_every": 145},
        "a capture_every of at most 144, the number of training steps; got 145",
    ),
    "a folder out of the data directory": ("folder", {"dataset": "folder", "folder": "a/../../etc"}, "below the data"),
    "a folder from the root": ("folder", {"dataset": "folder", "folder": "/etc"}, "below the data"),
    "a number in quotes": ("epochs", {"epochs": "5"}, "valid integer"),
    "a truth value for a number": ("seed", {"seed": True}, "valid integer"),
    "a word for a truth value": ("shuffle", {"shuffle": "yes"}, "valid boolean"),
    "a number in quotes, in a layer": (
        "network.0.convolution.channels", {"network": [{"kind": "convolution", "channels": "10"}]}, "valid integer",
    ),
    "a warm-up without an end": (
        "warmup_epochs", {"epochs": 5, "warmup_epochs": 5}, "fewer than `epochs`, which is 5",
    ),
    "no layers": ("network", {"network": []}, "at least 1"),
}  # fmt: skip


class TestRefusal:
    @pytest.mark.parametrize(("field", "data", "message"), REFUSED.values(), ids=REFUSED)
    def test_invalid_spec_is_refused(self, field, data, message):
        """An invalid spec is refused with an error that names the field and what was expected."""
        with pytest.raises(ValidationError) as refusal:
            ExperimentSpec.model_validate(data)
        error = refusal.value.errors()[0]
        assert ".".join(map(str, error["loc"])) == field
        assert message in error["msg"]

"""The check of a spec's network, also beside other invalid fields: every fault that can be known is an error."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from normlab.spec.datasets import DATASETS
from normlab.spec.layers import LayerSpec, NormalizationSpec, with_classes
from normlab.spec.network_faults import NetworkFaults
from normlab.spec.shapes import Defaults, layer_shapes

DECIDING = ("normalization", "activation", "affine", "group_count")  # fields that the shapes depend on


def checked_network(network: tuple[LayerSpec, ...], spec: Mapping[str, Any]) -> tuple[LayerSpec, ...]:
    """Return the network, with the number of classes if the data set has a known one. Check that its layers fit.

    spec: the valid ones among the fields that were validated before. Without the size of the images nothing is checked,
    and what depends on another missing field is not.

    Raises: ValidationError with an error for each fault, at the layer's index.
    """
    classes = DATASETS[spec["dataset"]].classes if "dataset" in spec else None
    if "image_size" in spec:
        _check_layers(network, spec, classes)
    return network if classes is None else with_classes(network, classes)


def require_use(network: tuple[LayerSpec, ...], normalization: str) -> None:
    """Raise ValueError if the spec names a normalization and no layer of its network is that default one.

    Lists and figures would name an experiment by a normalization that it does not have.
    """
    if normalization != "none" and not any(
        isinstance(layer, NormalizationSpec) and layer.variant is None for layer in network
    ):
        raise ValueError(
            f'normalization is {normalization}, but no layer uses it: add {{"kind": "normalization"}} to the network, '
            "or leave normalization out"
        )


def _check_layers(network: tuple[LayerSpec, ...], spec: Mapping[str, Any], classes: int | None) -> None:
    # The defaults, and one group, cause no fault that the missing value would not.
    assumed = {"group_count": 1} | {name: spec[name] for name in DECIDING if name in spec}
    try:
        layer_shapes(network, image_size=spec["image_size"], classes=classes, defaults=Defaults(**assumed))
    except NetworkFaults as error:
        errors = [_error(network, *fault) for fault in error.faults]
        raise ValidationError.from_exception_data("network", errors) from None


def _error(network: tuple[LayerSpec, ...], index: int | None, message: str) -> InitErrorDetails:
    kind = PydanticCustomError("value_error", "{message}", {"message": message})
    if index is None:
        return InitErrorDetails(type=kind, loc=(), input=network)
    return InitErrorDetails(type=kind, loc=(index,), input=network[index])

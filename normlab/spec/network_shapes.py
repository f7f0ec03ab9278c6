"""The shapes of a spec's network, from the fields that they depend on."""

from collections.abc import Mapping
from typing import Any

from normlab.spec.datasets import DATASETS
from normlab.spec.layer_shape import LayerShape
from normlab.spec.layers import LayerSpec
from normlab.spec.shapes import Defaults, layer_shapes

DEPENDS_ON = frozenset({"dataset", "image_size", "normalization", "activation", "affine", "group_count"})


def network_shapes(network: tuple[LayerSpec, ...], spec: Mapping[str, Any]) -> tuple[LayerShape, ...]:
    """Return every layer of the network as it is built. spec: fields of a spec, with those of DEPENDS_ON.

    Raises: ValueError naming the layer if one does not fit.
    """
    defaults = Defaults(spec["normalization"], spec["activation"], spec["affine"], spec["group_count"])
    classes = DATASETS[spec["dataset"]].classes
    return layer_shapes(network, image_size=spec["image_size"], classes=classes, defaults=defaults)

"""The fields that decide when layers are captured, and which quantities."""

from typing import Annotated, Literal

from pydantic import Field

from normlab.spec.quantities import QUANTITIES, QuantityName

CaptureEvery = Annotated[
    int,
    Field(
        ge=1,
        le=1_000_000_000,
        description="Layers are captured once every n epochs or training steps; n is this number, and capture_unit "
        "says which of the two. By epochs, these are the epochs 0, n, 2n, … and always the last one. By steps, these "
        "are the steps n, 2n, …, counted from 1 over the whole training; n must not be more than there are.",
    ),
]
CaptureUnit = Annotated[
    Literal["epoch", "step"],
    Field(
        description="The unit of capture_every.\n\n"
        "- `epoch`: layers are captured at the end of an epoch.\n"
        "- `step`: layers are captured at training steps, which may be several times per epoch."
    ),
]
CaptureQuantities = Annotated[
    tuple[QuantityName, ...],
    Field(
        strict=False,
        max_length=len(QUANTITIES),
        description="The quantities whose histograms and statistics are captured for every layer that has them. "
        "Default: all.\n\n"
        + "\n".join(f"- `{quantity.name}`: {quantity.meaning}." for quantity in QUANTITIES.values()),
    ),
]

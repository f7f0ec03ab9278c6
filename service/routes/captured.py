"""Why records are empty: a 404 that names the layers, quantities or epochs that an experiment has."""

from collections.abc import Sequence

from fastapi import HTTPException
from sqlalchemy.orm import Session

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.quantities import QUANTITIES
from normlab.store import records
from normlab.store.models import Experiment

WEIGHTED = ("convolution", "linear")


def layers_by_quantity(experiment: Experiment) -> dict[str, list[int]]:
    """Return the numbers of the layers that have each captured quantity. A quantity without a layer is left out."""
    spec = ExperimentSpec.stored(experiment.spec)
    shapes = spec.layer_shapes()
    normalized = sorted({shape.layer for shape in shapes if shape.kind == "normalization"})
    weighted = [shape.layer for shape in shapes if shape.kind in WEIGHTED]
    layers = {
        name: normalized if quantity.layers == "normalization" else weighted
        for name, quantity in QUANTITIES.items()
        if name in spec.capture_quantities
    }
    return {name: numbers for name, numbers in layers.items() if numbers}


def refuse_absent(
    session: Session, experiment: Experiment, quantities: Sequence[str], layer: int | None, epoch: int | None
) -> None:
    """Raises HTTPException 404 if the experiment does not have the quantity, or the layer, or was not captured then.

    Does nothing if it has them and has no records yet.
    """
    layers = layers_by_quantity(experiment)
    subject = f"experiment {experiment.id}"
    if absent := [name for name in quantities if name not in layers]:
        raise HTTPException(404, f"{subject} captures no {absent[0]}; it captures {', '.join(layers) or 'nothing'}")
    numbers = sorted({number for name in quantities or layers for number in layers[name]})
    if layer is not None and layer not in numbers:
        what = f"layer {layer}" if not quantities else f"{quantities[0]} in layer {layer}"
        raise HTTPException(
            404, f"{subject} captures no {what}; it captures layers {', '.join(map(str, numbers)) or 'none'}"
        )
    if epoch is not None:
        names = list(quantities or layers)
        steps = records.captured_steps(session, experiment.id, names[0]) if names else []
        raise not_captured_at(epoch, [captured for captured, _ in steps])


def not_captured_at(epoch: int | None, captured: Sequence[int]) -> HTTPException:
    """Return the 404 for an epoch, or any (None), without a capture. captured: the epochs of the captures."""
    epochs = [str(each) for each in sorted(set(captured))]
    listed = ", ".join(epochs if len(epochs) <= 20 else [*epochs[:10], "…", *epochs[-10:]]) or "none yet"
    subject = "any epoch" if epoch is None else f"epoch {epoch}"
    return HTTPException(404, f"the layers were not captured at {subject}; they were at {listed}")

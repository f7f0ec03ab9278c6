"""How large an experiment is, before it is queued: from its shapes alone, so roughly."""

import math
from dataclasses import dataclass

from service.experiments.spec import ExperimentSpec

BYTES = 4  # of a float32


@dataclass(frozen=True)
class Estimate:
    """parameters: how many are trained. activation_bytes: of every layer's output for one batch, all held at once."""

    parameters: int
    activation_bytes: int


def estimate(spec: ExperimentSpec) -> Estimate:
    """The estimate of a validated spec."""
    layers = spec.resolved_network()
    outputs = sum(math.prod(layer.output_shape) for layer in layers) + math.prod(layers[0].input_shape)
    return Estimate(
        parameters=sum(layer.parameters for layer in layers),
        activation_bytes=BYTES * spec.batch_size * outputs,
    )

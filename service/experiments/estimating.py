"""How large an experiment is, before it is queued: from its shapes alone, so roughly."""

import math
from dataclasses import dataclass

from service.experiments.datasets import DATASETS
from service.experiments.spec import ExperimentSpec

BYTES = 4  # of a float32
MOST_STEPS = 2**31 - 1  # of one training: what the database counts them in


@dataclass(frozen=True)
class Estimate:
    """parameters: how many are trained. activation_bytes: of every layer's output for one batch, all held at once.
    steps: of the training, 0 where only the files can tell how many images there are.
    """

    parameters: int
    activation_bytes: int
    steps: int


def estimate(spec: ExperimentSpec) -> Estimate:
    """The estimate of a validated spec."""
    layers = spec.resolved_network()
    outputs = sum(math.prod(layer.output_shape) for layer in layers) + math.prod(layers[0].input_shape)
    images = spec.train_size or DATASETS[spec.dataset].train or 0
    return Estimate(
        steps=spec.epochs * math.ceil(images / spec.batch_size),
        parameters=sum(layer.parameters for layer in layers),
        activation_bytes=BYTES * spec.batch_size * outputs,
    )

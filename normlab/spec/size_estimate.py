"""A rough estimate of an experiment's size, from its shapes alone, before it is queued."""

import math
from dataclasses import dataclass

from normlab.spec.datasets import DATASETS
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape

BYTES = 4  # of a float32
MAX_STEPS = 2**31 - 1  # of one training: the database counts them in 32 bits
TEST_BATCH = 500  # images at once in the test pass; only slot statistics depend on the batch, and have batch_size


@dataclass(frozen=True)
class Estimate:
    """The estimated size of an experiment.

    checkpoint_bytes: of the parameters, the optimizer's averages of each, and the slot statistics. activation_bytes:
    of the outputs of all layers for one training batch, or, if that is more, of the largest input and output of a layer
    for one test batch. steps: of the training; 0 if only the files can tell how many images there are.
    """

    checkpoint_bytes: int
    activation_bytes: int
    steps: int


def estimate(spec: ExperimentSpec) -> Estimate:
    """Return the estimate of a validated spec. Layers whose width is the unknown number of classes are not counted."""
    layers = spec.layer_shapes()
    outputs = sum(math.prod(layer.output_shape) for layer in layers) + math.prod(layers[0].input_shape)
    copies = {"adam": 3, "sgd": 2}[spec.optimizer]  # the parameters, and the optimizer's averages of the same size
    stored = sum(copies * (layer.parameters or 0) + _slots(spec, layer) for layer in layers)
    largest = max(math.prod(layer.input_shape) + math.prod(layer.output_shape) for layer in layers)
    test_batch = spec.batch_size if spec.test_statistics == "slot" else TEST_BATCH
    test_batch = min(test_batch, spec.test_size or DATASETS[spec.dataset].test or test_batch)
    return Estimate(
        steps=spec.steps or 0,
        checkpoint_bytes=BYTES * stored,
        activation_bytes=BYTES * max(spec.batch_size * outputs, test_batch * largest),
    )


def _slots(spec: ExperimentSpec, layer: LayerShape) -> int:
    """Return how many numbers a normalization keeps per slot of the batch. Other statistics are few and not counted."""
    if spec.test_statistics != "slot" or layer.variant not in ("layer", "instance"):
        return 0
    return 2 * spec.batch_size * (layer.input_shape[0] if layer.variant == "instance" else 1)

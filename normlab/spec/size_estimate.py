"""How large an experiment is, before it is queued: from its shapes alone, so roughly."""

import math
from dataclasses import dataclass

from normlab.spec.datasets import DATASETS
from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape

BYTES = 4  # of a float32
MAX_STEPS = 2**31 - 1  # of one training: what the database counts them in
TEST_BATCH = 500  # images at once in the test pass; no statistics depend on it but the original's slots, which follow


@dataclass(frozen=True)
class Estimate:
    """checkpoint_bytes: of the parameters, the optimizer's averages of each, and statistics kept by place in the batch.
    activation_bytes: of every layer's output for one batch, all held at once; or of a layer's input and output for one
    batch of the test pass, where that is more. steps: of the training, 0 where only the files can tell how many images
    there are.
    """

    checkpoint_bytes: int
    activation_bytes: int
    steps: int


def estimate(spec: ExperimentSpec) -> Estimate:
    """The estimate of a validated spec."""
    layers = spec.layer_shapes()
    outputs = sum(math.prod(layer.output_shape) for layer in layers) + math.prod(layers[0].input_shape)
    copies = {"adam": 3, "sgd": 2}[spec.optimizer]  # of the parameters' size: they, and their averages
    stored = sum(copies * layer.parameters + _slots(spec, layer) for layer in layers)
    images = spec.train_size or DATASETS[spec.dataset].train or 0
    largest = max(math.prod(layer.input_shape) + math.prod(layer.output_shape) for layer in layers)
    tested = spec.batch_size if spec.test_statistics == "slot" else TEST_BATCH
    tested = min(tested, spec.test_size or DATASETS[spec.dataset].test or tested)
    return Estimate(
        steps=spec.epochs * math.ceil(images / spec.batch_size),
        checkpoint_bytes=BYTES * stored,
        activation_bytes=BYTES * max(spec.batch_size * outputs, tested * largest),
    )


def _slots(spec: ExperimentSpec, layer: LayerShape) -> int:
    """How many numbers a normalization keeps by place in the batch; others keep a few a channel, next to nothing."""
    if spec.test_statistics != "slot" or layer.variant not in ("layer", "instance"):
        return 0
    return 2 * spec.batch_size * (layer.input_shape[0] if layer.variant == "instance" else 1)

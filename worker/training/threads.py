"""How many threads a training uses on the CPU, by the spec and by how many threads its worker may use.

The last bits of a result depend on it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from normlab.spec.layer_shape import LayerShape
from worker.training.nominal_time import step_seconds

# All cores, or OMP_NUM_THREADS if it is set: what torch uses before anything changes it.
MAX_THREADS = torch.get_num_threads()
# Two threads exchange work several times in each layer. In a step that is shorter than this for each of them, they wait
# for each other longer than they compute, and on shared cores they wait for the other processes too.
SECONDS_PER_THREAD = 0.05


def use_threads(layers: Sequence[LayerShape], batch_size: int, began_with: Mapping[str, Any] | None) -> int:
    """Let torch use as many threads as the training's steps are worth, and return their number.

    began_with: what the training began with, if it did. It keeps its number, unless this process may use fewer.
    """
    wanted = int(step_seconds(layers, batch_size) / SECONDS_PER_THREAD) if began_with is None else began_with["threads"]
    threads = min(MAX_THREADS, max(1, wanted))
    torch.set_num_threads(threads)
    return threads

"""Which engine an experiment trains with: the one it names, or the one that is measured to be fastest."""

import logging
import time
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

from torch import Tensor

from normcore.engines.compiled import Compiled
from normcore.engines.cuda_graph import CudaGraph
from normcore.engines.eager import Eager
from normcore.engines.engine import Engine, EngineUnavailable, preserved
from normcore.step import Step

log = logging.getLogger(__name__)

EngineName = Literal["eager", "compiled", "cuda_graph"]

WORTH_COMPILING_SECONDS = 60.0  # of eager training: a compilation takes 10 to 20 and saves a third of it or more
TRIES = 5  # steps measured, of which the median counts


class Choice(NamedTuple):
    """The engine, its name, and why it is the one."""

    engine: Engine
    name: EngineName
    reason: str


def choose(
    step: Step, wanted: EngineName | Literal["auto"], *, indices: Tensor, steps_left: int, looked: Collection[int]
) -> Choice:
    """An engine ready to run batches of the indices' length. Training is left as it was.

    indices: of a whole batch; looked: the places that probes will want to see; steps_left: how many will be run.
    """
    makers: dict[EngineName, Callable[[], Engine]] = {
        "eager": lambda: Eager(step),
        "compiled": lambda: Compiled(step, looked),
        "cuda_graph": lambda: CudaGraph(step, indices),
    }
    if wanted == "auto":
        return _fastest(step, makers, indices, steps_left)
    try:
        engine = makers[wanted]()
        with preserved(step):
            engine(indices)
    except EngineUnavailable as unavailable:
        return Choice(Eager(step), "eager", f"{wanted} was asked for, but {unavailable}")
    except Exception as error:
        log.warning("the engine %s failed; eager goes on", wanted, exc_info=True)
        return Choice(Eager(step), "eager", f"{wanted} was asked for, but failed: {_short(error)}")
    return Choice(engine, wanted, "asked for")


def _fastest(step: Step, makers: dict[EngineName, Callable[[], Engine]], indices: Tensor, steps_left: int) -> Choice:
    best = Choice(Eager(step), "eager", "")
    seconds = least = _seconds_a_step(best.engine, step, indices)
    said = [f"eager {1e3 * seconds:.2f} ms a step"]
    candidates: list[EngineName] = ["cuda_graph"] if indices.device.type == "cuda" else []
    if steps_left * seconds > WORTH_COMPILING_SECONDS:
        candidates.append("compiled")
    else:
        said.append(f"compiled not tried: {steps_left} steps would not repay it")
    for name in candidates:
        try:
            engine = makers[name]()
            seconds = _seconds_a_step(engine, step, indices)
        except EngineUnavailable as unavailable:
            said.append(f"{name} not at hand: {unavailable}")
            continue
        except Exception as error:
            log.warning("the engine %s failed while it was measured", name, exc_info=True)
            said.append(f"{name} failed: {_short(error)}")
            continue
        said.append(f"{name} {1e3 * seconds:.2f} ms")
        if seconds < least:
            best, least = Choice(engine, name, ""), seconds
    return best._replace(reason="measured: " + ", ".join(said))


def _seconds_a_step(engine: Engine, step: Step, indices: Tensor) -> float:
    """The median of a few, after one that makes everything ready."""
    taken = []
    with preserved(step):
        for _ in range(1 + TRIES):
            began = time.perf_counter()
            float(engine(indices).loss)  # waits for the device
            taken.append(time.perf_counter() - began)
    return sorted(taken[1:])[TRIES // 2]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"

"""Which engine an experiment trains with: the one it names, or the one that is measured to be fastest."""

import logging
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from typing import Literal, NamedTuple

from torch import Tensor

from normcore.engines.compiled import Compiled
from normcore.engines.cuda_graph import CudaGraph
from normcore.engines.eager import Eager
from normcore.engines.engine import Engine, EngineUnavailable, preserved
from normcore.step import TrainingStep

log = logging.getLogger(__name__)

EngineName = Literal["eager", "compiled", "cuda_graph"]

WORTH_COMPILING_SECONDS = 60.0  # of eager training: a compilation takes 10 to 20 and saves a third of it or more
TRIES, STEPS = 7, 3  # each engine's turns, of so many steps; the first turn only makes ready


class EngineChoice(NamedTuple):
    """The engine, its name, and why it is the one."""

    engine: Engine
    name: EngineName
    reason: str


def choose(
    step: TrainingStep,
    wanted: EngineName | Literal["auto"],
    *,
    indices: Tensor,
    steps_left: int,
    captured: Collection[int],
) -> EngineChoice:
    """An engine ready to run batches of the indices' length. Training is left as it was.

    indices: of a whole batch; captured: the places that probes will want to see; steps_left: how many will be run.
    """
    makers: dict[EngineName, Callable[[], Engine]] = {
        "eager": lambda: Eager(step),
        "compiled": lambda: Compiled(step, captured),
        "cuda_graph": lambda: CudaGraph(step, indices),
    }
    if wanted == "auto":
        return _fastest(step, makers, indices, steps_left)
    try:
        engine = makers[wanted]()
        with preserved(step):
            engine(indices)
    except EngineUnavailable as unavailable:
        return EngineChoice(Eager(step), "eager", f"{wanted} was asked for, but {unavailable}")
    except Exception as error:
        log.warning("the engine %s failed; eager goes on", wanted, exc_info=True)
        return EngineChoice(Eager(step), "eager", f"{wanted} was asked for, but failed: {_short(error)}")
    return EngineChoice(engine, wanted, "asked for")


def _fastest(
    step: TrainingStep, makers: dict[EngineName, Callable[[], Engine]], indices: Tensor, steps_left: int
) -> EngineChoice:
    engines: dict[EngineName, Engine] = {"eager": makers["eager"]()}
    seconds = _seconds_a_step(engines, step, indices)["eager"]
    candidates: list[EngineName] = ["cuda_graph"] if indices.device.type == "cuda" else []
    said = []
    if steps_left * seconds > WORTH_COMPILING_SECONDS:
        candidates.append("compiled")
    else:
        said.append(f"compiled not tried: {steps_left} steps of {1e3 * seconds:.2f} ms would not repay it")
    for name in candidates:
        try:
            engine = makers[name]()
            with preserved(step):
                engine(indices)
            engines[name] = engine
        except EngineUnavailable as unavailable:
            said.append(f"{name} not at hand: {unavailable}")
        except Exception as error:
            log.warning("the engine %s failed while it was made ready", name, exc_info=True)
            said.append(f"{name} failed: {_short(error)}")
    measured: dict[EngineName, float] = {"eager": seconds}
    if len(engines) > 1:
        measured = _seconds_a_step(engines, step, indices)
    best: EngineName = min(measured, key=measured.__getitem__)
    said = [f"{name} {1e3 * each:.2f} ms a step" for name, each in measured.items()] + said
    return EngineChoice(engines[best], best, "measured: " + "; ".join(said))


def _seconds_a_step(
    engines: Mapping[EngineName, Engine], step: TrainingStep, indices: Tensor
) -> dict[EngineName, float]:
    """Of each the median of some tries, taken by turns, so that what else the machine does falls on all alike."""
    taken: dict[EngineName, list[float]] = {name: [] for name in engines}
    with preserved(step):
        for _ in range(1 + TRIES):
            for name, engine in engines.items():
                began = time.perf_counter()
                for _ in range(STEPS):
                    loss = engine(indices).loss
                float(loss)  # waits for the device
                taken[name].append((time.perf_counter() - began) / STEPS)
    return {name: statistics.median(tries[1:]) for name, tries in taken.items()}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"

"""The choice of an engine: the requested one, or the fastest by measurement."""

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

# Compile only if the rest of the training takes longer than this eagerly. A compilation takes 10 to 20 seconds and
# saves a third of the training's time or more.
WORTH_COMPILING_SECONDS = 60.0
ROUNDS, STEPS = 7, 3  # of a measurement: 7 timed rounds of 3 steps with each engine, after one warm-up round


class EngineChoice(NamedTuple):
    """The engine, its name, and why it was chosen."""

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
    """Return an engine that is ready for batches of the indices' length. The training itself is not changed.

    An engine that is unavailable, or fails in its first steps, is replaced by another one, and the reason says so.

    Args:
        step: The training step.
        wanted: The engine's name, or "auto" for the fastest by measurement.
        indices: Indices of a full batch, N int64.
        steps_left: How many steps the training still has.
        captured: The indices of the layers that probes observe.
    """
    factories: dict[EngineName, Callable[[], Engine]] = {
        "eager": lambda: Eager(step),
        "compiled": lambda: Compiled(step, captured),
        "cuda_graph": lambda: CudaGraph(step, indices),
    }
    if wanted == "auto":
        return _fastest(step, factories, indices, steps_left)
    try:
        engine = _prepared(step, factories[wanted], indices)
    except EngineUnavailable as unavailable:
        return EngineChoice(Eager(step), "eager", f"{wanted} was requested, but {unavailable}")
    except Exception as error:
        log.warning("the engine %s failed; training continues with eager", wanted, exc_info=True)
        return EngineChoice(Eager(step), "eager", f"{wanted} was requested, but failed: {_short(error)}")
    return EngineChoice(engine, wanted, "requested")


def _fastest(
    step: TrainingStep, factories: dict[EngineName, Callable[[], Engine]], indices: Tensor, steps_left: int
) -> EngineChoice:
    engines: dict[EngineName, Engine] = {"eager": factories["eager"]()}
    measured = _seconds_per_step(engines, step, indices)
    eager_seconds = measured["eager"]
    candidates: list[EngineName] = ["cuda_graph"] if indices.device.type == "cuda" else []
    reasons = []
    if steps_left * eager_seconds > WORTH_COMPILING_SECONDS:
        candidates.append("compiled")
    else:
        few = f"{steps_left} steps of {1e3 * eager_seconds:.2f} ms"
        reasons.append(f"compiled not tried: {few} are too few to repay the compilation")
    for name in candidates:
        try:
            compared = engines | {name: _prepared(step, factories[name], indices)}
            # A candidate may fail after its first step, or need memory that the other engines hold.
            measured, engines = _seconds_per_step(compared, step, indices), compared
        except EngineUnavailable as unavailable:
            reasons.append(f"{name} unavailable: {unavailable}")
        except Exception as error:
            log.warning("the engine %s failed while it was prepared or measured", name, exc_info=True)
            reasons.append(f"{name} failed: {_short(error)}")
    best: EngineName = min(measured, key=measured.__getitem__)
    reasons = [f"{name} {1e3 * seconds:.2f} ms per step" for name, seconds in measured.items()] + reasons
    return EngineChoice(engines[best], best, "measured: " + "; ".join(reasons))


def _prepared(step: TrainingStep, factory: Callable[[], Engine], indices: Tensor) -> Engine:
    """Return the engine after a first step, in which it compiles or records."""
    engine = factory()
    with preserved(step):
        engine(indices)
    return engine


def _seconds_per_step(
    engines: Mapping[EngineName, Engine], step: TrainingStep, indices: Tensor
) -> dict[EngineName, float]:
    """Return each engine's median. The engines alternate, so that other load on the machine affects all alike."""
    seconds: dict[EngineName, list[float]] = {name: [] for name in engines}
    with preserved(step):
        for _ in range(1 + ROUNDS):
            for name, engine in engines.items():
                began = time.perf_counter()
                for _ in range(STEPS):
                    loss = engine(indices).loss
                float(loss)  # waits for the device
                seconds[name].append((time.perf_counter() - began) / STEPS)
    return {name: statistics.median(rounds[1:]) for name, rounds in seconds.items()}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"

"""The choice of an engine: the requested one, or by a rule that reads the device and the length of the training."""

import logging
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from normcore.engines.compiled import Compiled
from normcore.engines.cuda_graph import CudaGraph
from normcore.engines.eager import Eager
from normcore.engines.engine import Engine, EngineUnavailable, preserved
from normcore.step import TrainingStep

log = logging.getLogger(__name__)

EngineName = Literal["eager", "compiled", "cuda_graph"]

# A compilation takes 10 to 20 seconds on an idle core, and saves up to two thirds of the time of the eager steps.
WORTH_COMPILING_SECONDS = 60.0


class EngineChoice(NamedTuple):
    """The engine, its name, and why it was chosen.

    fell_back: whether the eager engine runs because the chosen one could not.
    """

    engine: Engine
    name: EngineName
    reason: str
    fell_back: bool = False


def choose(
    step: TrainingStep,
    wanted: EngineName | Literal["auto"],
    *,
    indices: Tensor,
    eager_seconds: float,
    captured: Collection[int],
) -> EngineChoice:
    """Return an engine that is ready for batches of the indices' length. The training itself is not changed.

    An engine that is unavailable, or fails in its first step, is replaced by the eager one, and the reason says so.

    Args:
        step: The training step.
        wanted: The engine's name, or "auto" for the one of `rule`.
        indices: Indices of a full batch, N int64.
        eager_seconds: How long the whole training would take eagerly on one core, by an estimate that is the same for
            every training of a spec.
        captured: The indices of the layers that probes observe.
    """
    factories: dict[EngineName, Callable[[], Engine]] = {
        "eager": lambda: Eager(step),
        "compiled": lambda: Compiled(step, captured),
        "cuda_graph": lambda: CudaGraph(step, indices),
    }
    name, reason = rule(step.images.device, eager_seconds) if wanted == "auto" else (wanted, "requested")
    try:
        engine = _prepared(step, factories[name], indices)
    except EngineUnavailable as unavailable:
        # That a machine lacks a compiler is part of its kind. The rule then has one result there too.
        return EngineChoice(Eager(step), "eager", f"{name} was {_chosen(wanted)}, but {unavailable}", wanted != "auto")
    except Exception as error:
        log.warning("the engine %s failed; training continues with eager", name, exc_info=True)
        reason = f"{name} was {_chosen(wanted)}, but failed: {_short(error)}"
        return EngineChoice(Eager(step), "eager", reason, fell_back=True)
    return EngineChoice(engine, name, reason)


def rule(device: torch.device, eager_seconds: float) -> tuple[EngineName, str]:
    """Return the engine of "auto", and the rule in words.

    Nothing is timed, so that trainings of one spec on one kind of machine run on one engine and end with the same bits.
    """
    if device.type == "cuda":
        return "cuda_graph", "auto is cuda_graph on an NVIDIA GPU"
    if device.type != "cpu":
        return "eager", f"auto is eager on {device.type}"
    estimate = f"the eager steps are estimated at {eager_seconds:,.1f} s on one core"
    if eager_seconds > WORTH_COMPILING_SECONDS:
        return "compiled", f"auto is compiled above {WORTH_COMPILING_SECONDS:g} s: {estimate}"
    return "eager", f"auto is eager up to {WORTH_COMPILING_SECONDS:g} s: {estimate}"


def _prepared(step: TrainingStep, factory: Callable[[], Engine], indices: Tensor) -> Engine:
    """Return the engine after a first step, in which it compiles or records."""
    engine = factory()
    with preserved(step):
        engine(indices)
    return engine


def _chosen(wanted: str) -> str:
    return "chosen by auto" if wanted == "auto" else "requested"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"

"""Engines: the ways to run a whole training step. All run the same step; their results differ in the last bits."""

from normcore.engines.choosing import EngineChoice, EngineName, choose
from normcore.engines.compiled import Compiled
from normcore.engines.cuda_graph import CudaGraph
from normcore.engines.eager import Eager
from normcore.engines.engine import Engine, EngineUnavailable

__all__ = ["Compiled", "CudaGraph", "Eager", "Engine", "EngineChoice", "EngineName", "EngineUnavailable", "choose"]

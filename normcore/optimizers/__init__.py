"""Optimizers, their learning rate schedules and weight decay."""

from normcore.optimizers.adam import Adam
from normcore.optimizers.optimizer import Optimizer
from normcore.optimizers.sgd import SGD
from normcore.optimizers.weight_decay import WeightDecay

__all__ = ["SGD", "Adam", "Optimizer", "WeightDecay"]

"""The gradient check: the steps that train, beside a reference built from torch's own functions and autograd.

This is the only place in the worker that uses autograd. Training itself does not.
"""

from worker.training.gradient_check.check import WrongGradient, check_gradients

__all__ = ["WrongGradient", "check_gradients"]

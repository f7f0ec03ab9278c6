"""Running and slot statistics at their start, in float64, and the tolerance of the tests that compare them."""

import torch

from normcore import RunningStatistics, SlotStatistics

EPS = 1e-8


def running(*shape, var=0.0):
    return RunningStatistics(*averages(*shape, var=var), 0.9)


def slots(*shape, var=0.0):
    return SlotStatistics(*averages(*shape, var=var), 0.9)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def exactly(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


def averages(*shape, var=0.0):
    mean = torch.zeros(shape, dtype=torch.float64)
    return mean, torch.full_like(mean, var)

"""A step of an optimizer without a network: its two parts, one after the other."""

import torch


def take_step(optimizer, gradients):
    like = next(iter(optimizer.parameters.values()))
    optimizer.move(gradients, torch.tensor(optimizer.coefficients(), dtype=like.dtype))

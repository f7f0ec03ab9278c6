"""One step of an optimizer without a network."""

import torch


def take_step(optimizer, gradients):
    like = next(iter(optimizer.parameters.values()))
    optimizer.update(gradients, torch.tensor(optimizer.next_coefficients(), dtype=like.dtype))

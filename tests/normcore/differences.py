"""Finite differences, and the relative error of a gradient."""

import torch


def central_differences(loss, tensor, h):
    """dloss/dtensor, one entry at a time; the tensor is changed in place and restored."""
    slopes, entries = torch.empty_like(tensor), tensor.view(-1)
    for index in range(tensor.numel()):
        value = entries[index].item()
        entries[index] = value + h
        above = loss()
        entries[index] = value - h
        slopes.view(-1)[index] = (above - loss()) / (2 * h)
        entries[index] = value
    return slopes


def relative_error(ours, theirs):
    distance = (ours - theirs).norm().item()
    return distance / theirs.norm().item() if distance else 0.0  # two exact zeros agree

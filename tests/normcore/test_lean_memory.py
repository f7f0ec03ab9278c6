"""Lean memory: inputs that are made again instead of kept, to the bit."""

import gc

import pytest
import torch
from torch.utils._pytree import tree_leaves

from normcore import Network
from tests.normcore.study_network import NORMALIZATIONS, batch_of, study_network
from tests.normcore.test_residual import residual


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_every_gradient_is_the_same_to_the_bit_and_half_the_memory_is_held(normalization):
    standard = study_network(normalization, init_std=0.2)
    lean = Network(study_network(normalization, init_std=0.2).layers, recompute=True)
    x, labels = batch_of(4, 96)
    passed, held = {}, {}
    for name, network in (("standard", standard), ("recompute", lean)):
        seen = passed[name] = {}
        held[name] = bytes_held(network, x)
        loss, logits, gradients = network.gradients(
            x, labels, lambda place, own, seen=seen: seen.update({place: own.dx})
        )
        passed[name] |= gradients | {"loss": loss, "logits": logits}
    assert all(torch.equal(passed["recompute"][name], tensor) for name, tensor in passed["standard"].items())
    assert held["recompute"] < (0.65 if normalization == "box_cox" else 0.45) * held["standard"]


def test_an_input_from_a_sum_is_kept():
    standard, x = residual(), batch_of(4, 9)
    lean = Network(residual().layers, residual().inputs, recompute=True)
    ours, theirs = lean.gradients(*x)[2], standard.gradients(*x)[2]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def bytes_held(network, x):
    """Of what the forward pass leaves in the caches, each piece of memory once; the parameters not counted."""
    _, caches = network.forward(x)
    gc.collect()
    leaves = [leaf for leaf in tree_leaves(caches) if isinstance(leaf, torch.Tensor)]
    pieces = {leaf.untyped_storage().data_ptr(): leaf.untyped_storage().nbytes() for leaf in leaves}
    for parameter in network.parameters().values():
        pieces.pop(parameter.untyped_storage().data_ptr(), None)
    return sum(pieces.values())

"""Recomputation: inputs that are computed again, bit for bit, instead of kept."""

import gc

import pytest
import torch
from torch.utils._pytree import tree_leaves

from normcore import Network
from tests.normcore.study_network import NORMALIZATIONS, batch_of, study_network
from tests.normcore.test_residual import residual


class TestRecompute:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_gradients_are_bit_identical_in_half_the_memory(self, normalization):
        """Dropped inputs are computed again bit for bit, and the caches take about half the memory."""
        standard = study_network(normalization, init_std=0.2)
        recomputing = Network(study_network(normalization, init_std=0.2).layers, recompute=True)
        x, labels = batch_of(4, 96)
        results, sizes = {}, {}
        for name, network in (("standard", standard), ("recompute", recomputing)):
            dx = results[name] = {}
            sizes[name] = cached_bytes(network, x)
            loss, logits, gradients = network.gradients(
                x, labels, lambda index, layer_gradients, dx=dx: dx.update({index: layer_gradients.dx})
            )
            results[name] |= gradients | {"loss": loss, "logits": logits}
        assert all(torch.equal(results["recompute"][name], tensor) for name, tensor in results["standard"].items())
        assert sizes["recompute"] < (0.65 if normalization == "box_cox" else 0.45) * sizes["standard"]

    @pytest.mark.parametrize("normalization", ["batch", "layer"])
    def test_network_of_test_time_recomputes_too(self, normalization):
        """The network of test time drops inputs if the training network does."""
        standard = study_network(normalization)
        recomputing = Network(standard.layers, recompute=True)
        x, _ = batch_of(4, 96)
        sizes = [cached_bytes(network.for_inference(), x) for network in (recomputing, standard)]
        assert sizes[0] < 0.45 * sizes[1]

    def test_input_from_a_sum_is_kept(self):
        """A convolution after a sum keeps its input, because the sum has no cache to compute it from."""
        standard, x = residual(), batch_of(4, 9)
        recomputing = Network(residual().layers, residual().inputs, recompute=True)
        ours, theirs = recomputing.gradients(*x)[2], standard.gradients(*x)[2]
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def cached_bytes(network, x):
    """The size of the tensors in the caches, each storage once, without the parameters."""
    _, caches = network.forward(x)
    gc.collect()
    leaves = [leaf for leaf in tree_leaves(caches) if isinstance(leaf, torch.Tensor)]
    storages = {leaf.untyped_storage().data_ptr(): leaf.untyped_storage().nbytes() for leaf in leaves}
    for parameter in network.parameters().values():
        storages.pop(parameter.untyped_storage().data_ptr(), None)
    return sum(storages.values())

"""The shapes in normcore's annotations: the tests check them, and normcore runs without them."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from normcore import BatchNorm, Convolution, LayerNorm
from tests.normcore.averages import EPS, randn, running
from tests.normcore.conftest import LAYERS

ROOT = Path(__file__).parents[2]


class TestChecks:
    def test_too_few_axes_are_refused(self):
        """A layer of images refuses a tensor of two axes."""
        with pytest.raises(TypeCheckError, match="forward"):
            LayerNorm().forward(randn(3, 4))

    def test_five_axes_are_refused_by_a_convolution(self):
        """A convolution refuses axes in front of the batch."""
        with pytest.raises(TypeCheckError, match="forward"):
            Convolution(randn(2, 3, 3, 3)).forward(randn(1, 2, 3, 8, 8))

    def test_result_of_another_shape_is_refused(self):
        """A backward pass whose dx has another shape than dout is refused: here by broadcasting."""
        layer = BatchNorm(running(1, 3, 1, 1), EPS)
        _, cache = layer.forward(randn(4, 3, 2, 2))
        with pytest.raises(TypeCheckError, match="backward"):
            layer.backward(randn(1, 3, 2, 2), cache)

    def test_integers_are_refused(self):
        """A layer refuses integers."""
        with pytest.raises(TypeCheckError, match="forward"):
            LayerNorm().forward(torch.ones(2, 3, 4, 4, dtype=torch.int64))

    def test_loss_of_mismatched_labels_is_refused(self, checked_cross_entropy):
        """The loss refuses labels of another number of images than the logits, and takes the right number."""
        checked_cross_entropy(randn(3, 10), torch.arange(3))
        with pytest.raises(TypeCheckError, match="labels"):
            checked_cross_entropy(randn(3, 10), torch.arange(2))

    @pytest.mark.parametrize("layer", LAYERS)
    def test_every_layer_has_shapes_in_both_directions(self, layer):
        """Every layer annotates the shapes of x, out, dout and dx."""
        for name, argument in (("forward", ("x", "xs")), ("backward", ("dout",))):
            signature = inspect.signature(inspect.unwrap(getattr(layer, name)))
            (tensor,) = [each for each in signature.parameters.values() if each.name in argument]
            result = signature.return_annotation.__args__[0]
            assert all(hasattr(annotation, "dim_str") for annotation in (tensor.annotation, result)), name


class TestWithoutJaxtyping:
    def test_annotations_are_the_tensor_type(self):
        """Where jaxtyping is not installed, the annotations are torch's Tensor, and the layers run."""
        code = """
import sys
sys.modules["jaxtyping"] = None  # importing it raises ImportError
import torch, normcore
assert normcore.ReLU.forward.__annotations__["x"] is torch.Tensor
out, cache = normcore.LayerNorm().forward(torch.randn(2, 3, 4, 4))
print(normcore.LayerNorm().backward(out, cache)[0].shape)
"""
        ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip() == "torch.Size([2, 3, 4, 4])"

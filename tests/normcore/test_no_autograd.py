"""The sources of the training path: none uses autograd, and normcore needs only torch and numpy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from normcore import BatchNorm
from tests.normcore.study_network import NORMALIZATIONS, batch_of, indices_of, study_network

ROOT = Path(__file__).parents[2]
BANNED = {
    "autograd", "enable_grad", "set_grad_enabled", "requires_grad", "requires_grad_", "grad", "grad_fn", "retain_grad",
    "Parameter", "vjp", "jvp", "jacrev",
}  # fmt: skip


def autograd_in(source):
    """The expressions of a source that use autograd or torch's layers."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if uses_autograd(node)]


def uses_autograd(node):
    match node:
        case ast.Name(id=name) | ast.keyword(arg=name) if name in BANNED:
            return True
        case ast.Attribute(attr=name) if name in BANNED:
            return True
        case ast.Call(func=ast.Attribute(attr="backward"), args=[]):
            return True  # ours takes the output's gradient; a backward without arguments is autograd's
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id="torch"), attr="nn"), attr=name):
            return name != "functional"
        case ast.Import(names=names):
            return any(is_hidden_torch(alias.name) for alias in names)
        case ast.ImportFrom(module=module, names=names):
            return any(alias.name in BANNED or is_hidden_torch(f"{module}.{alias.name}") for alias in names)
    return False


def is_hidden_torch(module):
    """Whether an import brings in torch.nn, torch.optim or torch.autograd, torch.nn.functional excepted."""
    hidden = (module + ".").startswith(("torch.nn.", "torch.optim.", "torch.autograd.", "torch.func."))
    return hidden and not (module + ".").startswith("torch.nn.functional.")


def sources():
    """All sources but the gradient check, which compares the others with autograd."""
    paths = [path for package in ("normcore", "worker") for path in sorted(ROOT.joinpath(package).rglob("*.py"))]
    return [path for path in paths if ROOT / "worker" / "training" / "gradient_check" not in path.parents]


class TestSources:
    @pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
    def test_training_path_uses_no_autograd(self, path):
        """No source of the training path uses autograd or torch's layers."""
        assert autograd_in(path.read_text()) == []

    def test_reader_reads_the_sources_that_train(self):
        """The sources that train are among those that are read."""
        names = {str(path.relative_to(ROOT)) for path in sources()}
        assert {
            "normcore/layers/convolution.py",
            "normcore/network.py",
            "worker/training/training.py",
            "worker/training/build_network.py",
        } <= names

    @pytest.mark.parametrize(
        "line",
        [
            "loss.backward()",
            "loss.backward(retain_graph=True)",
            "network(x).sum().backward()",
            "x = torch.zeros(3, requires_grad=True)",
            "x.requires_grad_()",
            "x.requires_grad = True",
            "torch.autograd.grad(loss, x)",
            "class Square(torch.autograd.Function): pass",
            "with torch.enable_grad(): pass",
            "torch.set_grad_enabled(True)",
            "from torch import autograd",
            "from torch.autograd import grad",
            "import torch.autograd as a",
            "step(weight.grad)",
            "layer = torch.nn.Conv2d(3, 16, 3)",
            "from torch import nn",
            "import torch.nn as nn",
            "from torch.nn import Module",
            "import torch.optim",
            "from torch.func import vmap",
        ],
    )
    def test_reader_finds_autograd(self, line):
        """The reader of sources finds each way to use autograd."""
        assert autograd_in(f"def train():\n    {line}\n")

    @pytest.mark.parametrize(
        "line",
        [
            "dx, gradients = layer.backward(dout, cache)",
            "import torch.nn.functional as F",
            "from torch.nn import functional",
            "torch.nn.functional.conv2d(x, weight)",
            "'''Not by loss.backward() and not by autograd.'''",
            "import torch",
            "from torch import Tensor",
        ],
    )
    def test_reader_accepts_what_is_ours(self, line):
        """The reader of sources accepts what is not autograd."""
        assert autograd_in(line) == []

    def test_normcore_imports_torch_and_numpy_alone(self):
        """normcore imports only torch, numpy and the standard library, and jaxtyping and triton if they are there."""
        everywhere = {*sys.stdlib_module_names, "torch", "numpy", "normcore"}
        for path in sorted(ROOT.joinpath("normcore").rglob("*.py")):
            # Triton comes with torch's CUDA builds. annotations.py works without jaxtyping.
            allowed = everywhere | {"cuda.py": {"triton"}, "annotations.py": {"jaxtyping"}}.get(path.name, set())
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) else []
                assert {name.split(".")[0] for name in names} <= allowed, path.name


class TestWithoutAutograd:
    @pytest.mark.parametrize("normalization", NORMALIZATIONS)
    def test_gradients_are_the_same_in_inference_mode(self, normalization):
        """Gradients are the same where autograd cannot run."""
        x, labels = batch_of(2, 16)
        _, _, wanted = study_network(normalization).gradients(x, labels)
        with torch.inference_mode():
            _, _, gradients = study_network(normalization).gradients(x, labels)
        assert all(torch.equal(gradients[name], wanted[name]) for name in wanted)

    def test_running_statistics_carry_no_graph(self):
        """No buffer and no parameter requires a gradient after a step."""
        network = study_network("batch")
        network.gradients(*batch_of(2, 16))
        assert len(indices_of(network, BatchNorm)) == 5
        assert not any(tensor.requires_grad for tensor in (*network.buffers().values(), *network.parameters().values()))

    @pytest.mark.slow
    def test_normcore_works_alone(self):
        """normcore works where our other packages and theirs cannot be imported."""
        code = """
import sys
absent = ("jaxtyping", "beartype", "scipy", "normlab", "service", "worker", "migrations", "pydantic", "sqlalchemy",
          "matplotlib", "torchvision", "PIL")
for name in absent:
    sys.modules[name] = None  # importing it raises ImportError
import torch, normcore
layer = normcore.Convolution(torch.ones(1, 1, 3, 3))
print(layer.forward(torch.ones(1, 1, 3, 3))[0].sum().item())
"""
        ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip() == "49.0"

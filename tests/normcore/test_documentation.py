"""The examples in normcore's docstrings and on its page run, and the docstrings explain every argument."""

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
import runpy
from pathlib import Path

import pytest
import torch

import normcore
from tests.normcore.conftest import LAYERS

PAGE = Path(__file__).parents[2] / "docs" / "normcore.md"
MODULES = [
    module.name
    for module in pkgutil.walk_packages(normcore.__path__, "normcore.")
    if module.name != "normcore.histograms.cuda"  # needs Triton, and has no examples
]


def examples(name):
    """Run a module's examples, in which torch and everything of normcore are imported."""
    return doctest.testmod(importlib.import_module(name), extraglobs=vars(normcore) | {"torch": torch})


class TestExamples:
    @pytest.mark.parametrize("name", ["normcore", *MODULES])
    def test_docstrings_examples_run(self, name):
        """Every example in a docstring gives the output that it shows."""
        assert examples(name).failed == 0

    def test_there_are_examples(self):
        """The package and several layers have an example."""
        counts = {name: examples(name).attempted for name in ["normcore", *MODULES]}
        assert counts["normcore"] >= 4
        assert sum(count > 0 for count in counts.values()) >= 6

    def test_page_runs(self, tmp_path):
        """The blocks of Python in docs/normcore.md run one after another."""
        blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
        assert len(blocks) >= 7
        tmp_path.joinpath("page.py").write_text("\n".join(blocks))
        runpy.run_path(str(tmp_path / "page.py"))


class TestDocstrings:
    @pytest.mark.parametrize("layer", LAYERS)
    def test_every_argument_is_explained(self, layer):
        """A layer's docstring has a line for each argument, in their order."""
        arguments = re.findall(r"^ {4}(\w+): ", inspect.getdoc(layer), re.MULTILINE)
        assert arguments == [field.name for field in dataclasses.fields(layer)]

    @pytest.mark.parametrize("layer", LAYERS)
    def test_both_formulas_and_the_shapes_are_given(self, layer):
        """A layer's docstring has its own forward and backward formula and its shapes."""
        text = inspect.getdoc(layer)
        assert re.search(r"^Forward:  ", text, re.MULTILINE)
        assert re.search(r"^Backward: .*d\w+.* = ", text, re.MULTILINE)
        assert re.search(r"^Shapes: ", text, re.MULTILINE)

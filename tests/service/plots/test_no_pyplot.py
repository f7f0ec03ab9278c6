"""The service's sources: pyplot, whose state is global and which threads would share, is not in them."""

import ast
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[3] / "service"


def pyplot_in(source):
    """What a source imports of pyplot, as it is written there."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if imports_pyplot(node)]


def imports_pyplot(node):
    match node:
        case ast.Import(names=names):
            return any(alias.name.split(".")[:2] in (["matplotlib", "pyplot"], ["pylab"]) for alias in names)
        case ast.ImportFrom(module=module, names=names):
            return "pyplot" in f"{module}".split(".") or any(alias.name in ("pyplot", "pylab") for alias in names)
    return False


@pytest.mark.parametrize("path", sorted(SERVICE.rglob("*.py")), ids=lambda path: str(path.relative_to(SERVICE)))
def test_nothing_in_the_service_imports_pyplot(path):
    assert pyplot_in(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import matplotlib.pyplot as plt",
        "from matplotlib import pyplot",
        "from matplotlib.pyplot import figure",
        "import pylab",
    ],
)
def test_an_import_of_pyplot_would_be_found(source):
    assert pyplot_in(source) == [source]

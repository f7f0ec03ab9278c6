"""The service's sources do not import pyplot, because threads would share its global state."""

import ast
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[3] / "service"


def pyplot_in(source):
    """Return the imports of pyplot in a source, as they are written there."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if imports_pyplot(node)]


def imports_pyplot(node):
    match node:
        case ast.Import(names=names):
            return any(alias.name.split(".")[:2] in (["matplotlib", "pyplot"], ["pylab"]) for alias in names)
        case ast.ImportFrom(module=module, names=names):
            return "pyplot" in f"{module}".split(".") or any(alias.name in ("pyplot", "pylab") for alias in names)
    return False


class TestSources:
    @pytest.mark.parametrize("path", sorted(SERVICE.rglob("*.py")), ids=lambda path: str(path.relative_to(SERVICE)))
    def test_service_does_not_import_pyplot(self, path):
        """No file of the service imports pyplot."""
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
    def test_every_import_of_pyplot_is_found(self, source):
        """The search finds each way in which pyplot can be imported."""
        assert pyplot_in(source) == [source]

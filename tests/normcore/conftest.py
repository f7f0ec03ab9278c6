"""Shape checks: in these tests every annotated function of normcore checks the shapes of its arguments and results.

jaxtyping's import hook would do the same if normcore were always imported after it. Other tests import normcore first,
and some of them compile whole steps, which the checks would break. So the checks are put around the functions when a
module of this folder begins, and taken off when it ends.
"""

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
from beartype import beartype
from jaxtyping import jaxtyped

import normcore.layers
from normcore import cross_entropy


def layers():
    """Every class in the files of normcore/layers that has a backward pass; a new file needs no entry here."""
    files = pkgutil.iter_modules(normcore.layers.__path__, "normcore.layers.")
    classes = [each for file in files for each in vars(importlib.import_module(file.name)).values()]
    return sorted({each for each in classes if dataclasses.is_dataclass(each) and hasattr(each, "backward")}, key=repr)


LAYERS = layers()


@pytest.fixture(scope="module", autouse=True)
def checked_shapes():
    """Check the shapes of every method that a layer's class defines."""
    checked = jaxtyped(typechecker=beartype)
    with pytest.MonkeyPatch.context() as patch:
        for layer in LAYERS:
            for name, method in vars(layer).items():
                if inspect.isfunction(method) and not name.startswith("__"):
                    patch.setattr(layer, name, checked(method))
        yield


@pytest.fixture
def checked_cross_entropy():
    """cross_entropy with its shapes checked. A function has no class on which every caller looks it up."""
    return jaxtyped(cross_entropy, typechecker=beartype)

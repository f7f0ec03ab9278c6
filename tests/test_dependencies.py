"""The dependencies in pyproject.toml: each import is declared, and each extra is enough for its program."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"normcore", "normlab", "service", "worker", "migrations", "tests", "benchmarks"}
DISTRIBUTIONS = packages_distributions()
# normcore runs without these: CUDA builds of torch bring triton, and [test] brings jaxtyping.
OPTIONAL = {"triton", "jaxtyping"}
REQUIRED_BY_ANOTHER = {"pydantic-core": "pydantic"}  # pydantic requires one exact version of it
# The extras that declare the imports of each folder.
FOLDERS = {
    "normlab/spec": [],
    "normlab/image_folder": [],
    "normlab/process": ["store"],
    "normlab/store": ["store"],
    "migrations": ["store"],
    "normcore": ["worker"],
    "worker": ["worker"],
    "service": ["service"],
    "tests": ["all", "test"],
    "benchmarks": ["all", "bench"],
}
DEMO = ROOT / "service" / "demo.py"  # a client of the service, declared in [all]


class TestDeclaredImports:
    @pytest.mark.parametrize("folder", FOLDERS)
    def test_imports_of_a_folder(self, folder):
        """Every distribution that a folder imports is declared in its extras."""
        files = [path for path in (ROOT / folder).rglob("*.py") if path != DEMO]
        assert files
        assert _imported(files) - _declared(FOLDERS[folder]) == set()

    def test_imports_of_the_demo(self):
        """Every distribution that the demo imports is declared in [all]."""
        assert _imported([DEMO]) - _declared(["all"]) == set()

    def test_every_folder_of_code_is_listed(self):
        """Every folder with Python files in it is compared with an extra."""
        tops = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"tests"}
        tops |= {f"normlab/{path.parent.name}" for path in ROOT.glob("normlab/*/__init__.py")}
        assert tops - {"normlab"} == set(FOLDERS)

    @pytest.mark.parametrize("extra", [None, "store", "service"])
    def test_only_training_needs_torch(self, extra):
        """Neither the spec nor the service requires torch, directly or through another distribution."""
        assert not _closure([extra] if extra else []) & {"torch", "torchvision", "triton"}
        assert "torch" in _closure(["worker"])


@pytest.mark.slow
class TestEnoughForItsProgram:
    @pytest.mark.parametrize(
        ("extras", "modules"),
        [
            ([], ["normlab.spec.experiment"]),
            (["store"], ["migrations.__main__"]),
            (["service"], ["service.__main__", "service.server", "service.key_commands", "service.backup"]),
            (["worker"], ["worker.__main__", "worker.run.child", "worker.run.experiment", "worker.training.training"]),
        ],
        ids=["alone", "store", "service", "worker"],
    )
    def test_imports_with_an_extra_alone(self, extras, modules):
        """A program can be imported where only its extra and what that requires are installed."""
        installed = _closure(extras)
        absent = sorted(name for name, of in DISTRIBUTIONS.items() if not _names(of) & installed and name not in OURS)
        assert "pytest" in absent
        program = f"import sys\nsys.modules |= dict.fromkeys({absent})\nimport {', '.join(modules)}"
        ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr


def _imported(files):
    """The distributions that these files import."""
    modules = {name.partition(".")[0] for file in files for name in _modules(ast.parse(file.read_text()))}
    distributions = set()
    for module in modules - set(sys.stdlib_module_names) - OURS:
        (distribution,) = _names(DISTRIBUTIONS[module])
        distributions.add(REQUIRED_BY_ANOTHER.get(distribution, distribution))
    return distributions - OPTIONAL


def _modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module


def _declared(extras):
    """The distributions that pyproject.toml names for these extras."""
    return {canonicalize_name(line.name) for line in _lines(extras)}


def _lines(extras):
    """The lines of pyproject.toml for these extras, and for the extras that they name."""
    yield from map(Requirement, PROJECT["dependencies"])
    for extra in extras:
        for line in map(Requirement, PROJECT["optional-dependencies"][extra]):
            if line.name == PROJECT["name"]:
                yield from _lines(sorted(line.extras))
            else:
                yield line


def _closure(extras):
    """The distributions that these extras install here: those they name, and those that these require."""
    closure = set()
    waiting = [(line, "") for line in _lines(extras)]
    while waiting:
        line, requiring_extra = waiting.pop()
        if line.marker is not None and not line.marker.evaluate({"extra": requiring_extra}):
            continue
        name = canonicalize_name(line.name)
        for extra in {"", *line.extras} - {extra for seen, extra in closure if seen == name}:
            closure.add((name, extra))
            waiting += [(Requirement(required), extra) for required in requires(name) or []]
    return {name for name, _ in closure}


def _names(distributions):
    return {canonicalize_name(name) for name in distributions}

"""The content token: what figures are drawn from, as one hash. It is known before a figure is drawn.

It changes with every write to the experiments shown and with every change of the software that draws. So an address
that carries the current token can be cached for ever.
"""

from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from normlab.store.models import Experiment
from service.http.etags import digest_of

PACKAGES = ("normlab", "matplotlib", "pillow", "numpy")


def content_token(experiments: Sequence[Experiment]) -> str:
    """Return the token of figures that show these experiments, in this order."""
    return digest_of(repr((SOFTWARE, [(each.id, each.revision) for each in experiments])).encode())


def _sources(folder: Traversable) -> list[tuple[str, str]]:
    """Return the name and the hash of every module below a folder, in a fixed order."""
    modules = []
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            modules += _sources(entry)
        elif entry.name.endswith(".py"):
            modules.append((entry.name, digest_of(entry.read_bytes())))
    return modules


def _software() -> str:
    """Return a hash of the versions and of our sources: a version stays the same while its code is changed."""
    versions = [version(package) for package in PACKAGES]
    return digest_of(repr((versions, [_sources(files(package)) for package in ("normlab", "service")])).encode())


SOFTWARE = _software()

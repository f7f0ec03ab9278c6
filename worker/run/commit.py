"""The commit of the source that runs, for the provenance."""

import subprocess
from functools import cache
from pathlib import Path

import worker

WRITTEN = "commit.txt"  # in the package of the worker; a build that leaves .git out writes it
TIMEOUT_SECONDS = 10.0


@cache  # the source is imported once, so a later commit does not change what runs
def product_commit() -> str | None:
    """Return the commit, with -dirty after it if files were changed, or None if nothing tells it. Never raises."""
    package = Path(worker.__file__).parent
    return commit_of(package.parent, package / WRITTEN)


def commit_of(checkout: Path, written: Path) -> str | None:
    """Return the commit of a checkout, else what the build has written."""
    try:
        if not (checkout / ".git").exists():  # a .git further up is of a project that normlab is installed in
            return written.read_text().strip() or None
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=checkout, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None

"""Memory that a step frees stays with the process, so that the next step gets it without asking the system."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import resource, sys, torch
from worker.run.malloc import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for round in range(30):
    if round == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(12_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc's malloc")
def test_large_tensors_reuse_the_memory_of_freed_ones():
    """Without the settings of malloc, each large tensor causes a page fault for each of its pages."""
    faults = {}
    for mode in ("kept", "by default"):
        program = [sys.executable, "-c", PROGRAM, mode]
        faults[mode] = int(subprocess.run(program, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert faults["kept"] < faults["by default"] / 20

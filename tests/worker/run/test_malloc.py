"""What a step frees, the next one gets again without asking the system."""

import subprocess
import sys

import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc's malloc")
def test_a_large_tensor_made_again_takes_no_new_pages_from_the_system():
    faults = {}
    for how in ("kept", "by default"):
        program = [sys.executable, "-c", PROGRAM, how]
        faults[how] = int(subprocess.run(program, check=True, capture_output=True, text=True, timeout=120).stdout)
    assert faults["kept"] < faults["by default"] / 20

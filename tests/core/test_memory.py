import platform
import subprocess
import sys

import pytest

# In a process of its own, whose heap nothing else has filled. 40 MB is above what glibc ever
# keeps by itself.
SCRIPT = """
import resource
import numpy as np
from sentinode.core import large_memory_kept


def faults(times=8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(40 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


outside = faults()
with large_memory_kept():
    faults(1)
    within = faults()
print(outside, within, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_pieces_are_taken_from_the_system_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    # Pages may be huge ones, so that only ratios are sure.
    outside, within, afterwards = map(int, done.stdout.split())
    assert within < 0.2 * outside
    assert afterwards > 0.5 * outside

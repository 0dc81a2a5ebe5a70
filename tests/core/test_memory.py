import platform
import resource

import numpy as np
import pytest

from sentinode.core import large_memory_kept

PIECE = 40 << 20  # above what glibc ever keeps by itself


def faults(times: int = 8) -> int:
    """Count the pages that the system hands out while large pieces come and go."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(PIECE, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_pieces_are_taken_from_the_system_once() -> None:
    pages = PIECE // resource.getpagesize()
    # Pages may be huge ones, so that only the ratio is sure.
    outside = faults()
    with large_memory_kept():
        faults(1)
        within = faults()
    assert within < 0.2 * outside
    assert within < pages
    assert faults() > 0.5 * outside  # and all is as before

"""What the C library does with freed memory."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["keep_freed_memory", "large_memory_kept"]

KEPT = 24 << 20
# Of malloc.h, with glibc's defaults.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
DEFAULTS = {MMAP_MAX: 65536, TOP_PAD: 128 << 10, TRIM_THRESHOLD: 64 << 20}


def keep_freed_memory() -> None:
    """Let the C library keep freed memory of this process, up to about 48 MB.

    glibc gives back to the system what is free above twice the largest piece it has seen freed,
    and takes it again a moment later, page by page. Arrays of a few hundred kilobytes that come
    and go then cost more than what is computed in them. One large piece, freed at once, moves
    that limit (``man mallopt``, M_TRIM_THRESHOLD). Other C libraries are not affected.
    """
    np.empty(KEPT, np.uint8)


@contextmanager
def large_memory_kept() -> Iterator[None]:
    """Let the C library keep what is freed, pieces of any size, for as long as the block lasts.

    A piece above 32 MB, as the values between a network's layers are, glibc takes from the system
    and gives back each time, and the system clears every page of it anew: a quarter of the time
    of training in float32. Kept, it costs nothing; the process holds its peak until the end of the
    block. Other C libraries are not affected.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    for key, value in {MMAP_MAX: 0, TOP_PAD: 64 << 20, TRIM_THRESHOLD: 2**31 - 1}.items():
        library.mallopt(key, value)
    try:
        yield
    finally:
        for key, value in DEFAULTS.items():
            library.mallopt(key, value)
        library.malloc_trim(0)

"""What the C library does with freed memory."""

from __future__ import annotations

import numpy as np

__all__ = ["keep_freed_memory"]

KEPT = 24 << 20


def keep_freed_memory() -> None:
    """Let the C library keep freed memory of this process, up to about 48 MB.

    glibc gives back to the system what is free above twice the largest piece it has seen freed,
    and takes it again a moment later, page by page. Arrays of a few hundred kilobytes that come
    and go then cost more than what is computed in them. One large piece, freed at once, moves
    that limit (``man mallopt``, M_TRIM_THRESHOLD). Other C libraries are not affected.
    """
    np.empty(KEPT, np.uint8)

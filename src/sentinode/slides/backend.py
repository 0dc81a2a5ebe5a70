"""What a kind of slide file must give: levels, scale, and pixels of a level."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from sentinode.types import UInt8Array

__all__ = ["GLASS", "Backend", "blank"]

GLASS = 255
"""What is seen where nothing was scanned."""


class Backend(ABC):
    """One open file.

    Attributes:
        vendor: Name of the format, as OpenSlide calls it.
        sizes: Width and height in px of each level, the finest first.
        downsamples: By which a level is coarser than level 0.
        mpp: µm/px of level 0 in x and y, None where the file does not say.
        hint: What the file says about its scale instead.
        identity: A hash that the format itself brings, else empty.
    """

    vendor: str
    sizes: tuple[tuple[int, int], ...]
    downsamples: tuple[float, ...]
    mpp: tuple[float, float] | None
    hint: str = ""
    identity: str = ""

    @abstractmethod
    def read(self, level: int, x: int, y: int, width: int, height: int) -> UInt8Array:
        """Return uint8 (height, width, 3), RGB, of pixels of that level; outside is glass.

        Raises:
            OSError: The file cannot be read there.
            ValueError: What was read cannot be decoded.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def blank(width: int, height: int) -> UInt8Array:
    """Return glass, uint8 (height, width, 3)."""
    return np.full((height, width, 3), GLASS, np.uint8)

"""A patch seen under all eight orientations: test-time augmentation of the square's symmetry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np
from numpy.typing import NDArray

from sentinode.predict.runtimes import Runtime
from sentinode.types import UInt8Array

__all__ = ["Orientations"]

AGREEING = 1e-3
"""A spread of logits that is rounding."""


@final
class Orientations(Runtime):
    """The mean logit over the eight orientations of each patch.

    Args:
        runtime: What computes one orientation.

    Attributes:
        widest: Largest spread of a patch's eight logits seen so far, None before any. A network
            that takes all orientations for the same has a spread of rounding, and nothing to gain.
    """

    orientations = 8

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.name, self.device = runtime.name, runtime.device
        self.precision = runtime.precision
        self.widest: float | None = None

    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`Runtime.logits`."""
        each = np.stack([self._runtime.logits(turned) for turned in _turned(patches)])
        self.widest = max(self.widest or 0.0, float(np.ptp(each, axis=0).max()))
        mean: NDArray[np.float32] = each.mean(0, dtype=np.float64).astype(np.float32)
        return mean

    def remarks(self) -> list[str]:
        """Say it where the eight orientations of every patch agreed."""
        if self.widest is None or self.widest > AGREEING:
            return []
        return [
            f"d4 was of no use: the eight orientations of a patch differ by {self.widest:.1g} at "
            "most, so that one of them does, in an eighth of the time"
        ]


def _turned(patches: UInt8Array) -> Iterator[UInt8Array]:
    for flipped in (patches, patches[:, :, ::-1]):
        for turns in range(4):
            yield np.ascontiguousarray(np.rot90(flipped, turns, axes=(1, 2)))

"""A patch seen several times: test-time augmentation by symmetry, angle and shade."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sentinode.config import PredictConfig
from sentinode.predict.runtimes import Runtime
from sentinode.stain import optical_density, to_rgb
from sentinode.types import UInt8Array

__all__ = ["Angles", "Orientations", "Shades", "seen"]

AGREEING = 1e-3
"""A spread of logits that is rounding."""

WHITE = 256.0
"""Grey level of unhindered light."""

PALER, DARKER = 0.6, 0.2
"""What the optical density is multiplied by in one shade, and what is added to it in another."""


def seen(runtime: Runtime, config: PredictConfig) -> Runtime:
    """Return what computes a patch's logit from as many views of it as is asked for."""
    each = Orientations(runtime) if config.d4 else runtime
    each = Angles(each, config.angles) if config.angles > 1 else each
    return Shades(each) if config.shades else each


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


@final
class Angles(Runtime):
    """The mean logit over several angles, evenly within a right angle, the rim mirrored.

    Args:
        runtime: What computes one angle.
        count: Number of angles; 2 are 0 and 45 degrees.
    """

    def __init__(self, runtime: Runtime, count: int) -> None:
        self._runtime, self._degrees = runtime, [90 * k / count for k in range(count)]
        self.name, self.device = runtime.name, runtime.device
        self.precision = runtime.precision
        self.orientations = count * runtime.orientations

    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`Runtime.logits`."""
        each = np.stack([self._runtime.logits(_rotated(patches, a)) for a in self._degrees])
        mean: NDArray[np.float32] = each.mean(0, dtype=np.float64).astype(np.float32)
        return mean

    def remarks(self) -> list[str]:
        """As :meth:`Runtime.remarks`."""
        return self._runtime.remarks()


@final
class Shades(Runtime):
    """The mean logit over three shades of each patch: as it is, paler, and darker.

    Args:
        runtime: What computes one shade.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.name, self.device = runtime.name, runtime.device
        self.precision = runtime.precision
        self.shades = 3
        self.orientations = self.shades * runtime.orientations

    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`Runtime.logits`."""
        each = np.stack([self._runtime.logits(shade) for shade in _shades(patches)])
        mean: NDArray[np.float32] = each.mean(0, dtype=np.float64).astype(np.float32)
        return mean

    def remarks(self) -> list[str]:
        """As :meth:`Runtime.remarks`."""
        return self._runtime.remarks()


def _shades(patches: UInt8Array) -> Iterator[UInt8Array]:
    yield patches
    density = optical_density(patches, WHITE)
    yield to_rgb(PALER * density, WHITE)
    yield to_rgb(density + DARKER, WHITE)


def _rotated(patches: UInt8Array, degrees: float) -> UInt8Array:
    if not degrees:
        return patches
    size = patches.shape[1]
    rim = size // 4 + 1  # a turned square reaches 0.21 of its side beyond its own border
    wide = np.pad(patches, ((0, 0), (rim, rim), (rim, rim), (0, 0)), "symmetric")
    whole = [Image.fromarray(patch).rotate(degrees, Image.Resampling.BILINEAR) for patch in wide]
    return np.stack([np.asarray(image)[rim : rim + size, rim : rim + size] for image in whole])

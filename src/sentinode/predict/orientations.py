"""A patch seen several times: test-time augmentation by symmetry, angle and shade."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sentinode.config import PredictConfig
from sentinode.predict.runtimes import Runtime
from sentinode.stain import optical_density, to_rgb
from sentinode.types import UInt8Array

__all__ = ["Angles", "Orientations", "Shades", "darker", "paler", "seen"]

AGREEING = 1e-3
"""A spread of logits that is rounding."""

WHITE = 256.0
"""Grey level of unhindered light."""

PALER, DARKER = 0.6, 0.2
"""What the optical density is multiplied by in one shade, and what is added to it in another."""


def seen(runtime: Runtime, config: PredictConfig) -> Runtime:
    """Return what computes a patch's logit from as many views of it as is asked for."""
    each: Runtime = Orientations(runtime) if config.d4 else runtime
    each = Angles(each, config.angles) if config.angles > 1 else each
    return Shades(each) if config.shades else each


class _Views(Runtime):
    """The mean logit over several views of each patch.

    Args:
        runtime: What computes one view.
        count: Number of views.
    """

    def __init__(self, runtime: Runtime, count: int) -> None:
        self._runtime = runtime
        self.name, self.device = runtime.name, runtime.device
        self.precision = runtime.precision
        self.orientations = count * runtime.orientations

    def logits(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`Runtime.logits`."""
        mean: NDArray[np.float32] = self.each(patches).mean(0, dtype=np.float64).astype(np.float32)
        return mean

    def each(self, patches: UInt8Array) -> NDArray[np.float32]:
        """Return the logits of every view, (count, B)."""
        return np.stack([self._runtime.logits(view) for view in self.views(patches)])

    @abstractmethod
    def views(self, patches: UInt8Array) -> Iterable[UInt8Array]:
        """Return the patches under every view."""

    def remarks(self) -> list[str]:
        """As :meth:`Runtime.remarks`."""
        return self._runtime.remarks()


@final
class Orientations(_Views):
    """The mean logit over the eight orientations of each patch.

    Args:
        runtime: What computes one orientation.

    Attributes:
        widest: Largest spread of a patch's eight logits seen so far, None before any. A network
            that takes all orientations for the same has a spread of rounding, and nothing to gain.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime, 8)
        self.widest: float | None = None

    def each(self, patches: UInt8Array) -> NDArray[np.float32]:
        """As :meth:`_Views.each`; their spread is kept."""
        each = super().each(patches)
        self.widest = max(self.widest or 0.0, float(np.ptp(each, axis=0).max()))
        return each

    def views(self, patches: UInt8Array) -> Iterator[UInt8Array]:
        """Flip and turn them."""
        for flipped in (patches, patches[:, :, ::-1]):
            for turns in range(4):
                yield np.ascontiguousarray(np.rot90(flipped, turns, axes=(1, 2)))

    def remarks(self) -> list[str]:
        """Say it where the eight orientations of every patch agreed."""
        if self.widest is None or self.widest > AGREEING:
            return []
        return [
            f"d4 was of no use: the eight orientations of a patch differ by {self.widest:.1g} at "
            "most, so that one of them does, in an eighth of the time"
        ]


@final
class Angles(_Views):
    """The mean logit over several angles, evenly within a right angle, the rim mirrored.

    Args:
        runtime: What computes one angle.
        count: Number of angles; 2 are 0 and 45 degrees.
    """

    def __init__(self, runtime: Runtime, count: int) -> None:
        super().__init__(runtime, count)
        self._degrees = [90 * k / count for k in range(count)]

    def views(self, patches: UInt8Array) -> Iterator[UInt8Array]:
        """Turn them."""
        return (_rotated(patches, degrees) for degrees in self._degrees)


@final
class Shades(_Views):
    """The mean logit over three shades of each patch: as it is, paler, and darker.

    Args:
        runtime: What computes one shade.
    """

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime, 3)
        self.shades = 3

    def views(self, patches: UInt8Array) -> Iterable[UInt8Array]:
        """Change their optical density."""
        return patches, paler(patches), darker(patches)


def paler(patches: Any) -> Any:
    """Return uint8 patches (N, H, W, 3), RGB, on any device, at 0.6 of their optical density."""
    return to_rgb(PALER * optical_density(patches, WHITE), WHITE)


def darker(patches: Any) -> Any:
    """Return uint8 patches (N, H, W, 3), RGB, on any device, 0.2 denser everywhere."""
    return to_rgb(optical_density(patches, WHITE) + DARKER, WHITE)


def _rotated(patches: UInt8Array, degrees: float) -> UInt8Array:
    if not degrees:
        return patches
    size = patches.shape[1]
    rim = size // 4 + 1  # a turned square reaches 0.21 of its side beyond its own border
    wide = np.pad(patches, ((0, 0), (rim, rim), (rim, rim), (0, 0)), "symmetric")
    whole = [Image.fromarray(patch).rotate(degrees, Image.Resampling.BILINEAR) for patch in wide]
    return np.stack([np.asarray(image)[rim : rim + size, rim : rim + size] for image in whole])

"""Where the positions of a layer lie on the patch, and what of the patch they can see."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sentinode.explain.hooks import outputs_of
from sentinode.metrics import FloatArray
from sentinode.models import Network
from sentinode.types import Preprocess

__all__ = ["Field", "effective_side", "fields_of", "place"]

AT_ONCE = 16
MOST_COARSE = 4  # positions a side


@final
@dataclass(frozen=True)
class Field:
    """The receptive field of a layer's positions, along one side; the other is alike.

    Attributes:
        positions: Number of positions along a side.
        size: Side in px of what the middle position can see, cut off at the patch's edges.
        jump: Distance in px between what neighbouring positions see.
        first: Centre in px of what the first position sees; the middle of the first pixel is 0.5.
        side: Side of the patch in px.
    """

    positions: int
    size: float
    jump: float
    first: float
    side: int

    @property
    def covered(self) -> float:
        """Share of the patch's side that the positions span, each as wide as their distance.

        0 where there are too few of them for a map.
        """
        enough = self.positions >= MOST_COARSE
        return min(1.0, self.positions * self.jump / self.side) if enough else 0.0

    @property
    def centres(self) -> FloatArray:
        """float64 (positions,), in px."""
        return self.first + self.jump * np.arange(self.positions, dtype=np.float64)


def fields_of(network: Network, preprocess: Preprocess, layers: Sequence[str]) -> dict[str, Field]:
    """Measure which rows of the patch each position of some layers depends on.

    One row of the patch at a time is made not-a-number; wherever a layer's output is then no
    number either, that row is seen. This needs no knowledge of the layers between, and no weight
    that happens to be zero hides anything. Computed in float64, where PyTorch multiplies plainly:
    the tricks of faster convolutions would carry the mark to neighbours.

    Args:
        network: On any device; left as it is.
        preprocess: Of the network.
        layers: Names of layers that give float (N, C, h, w).
    """
    probed = copy.deepcopy(network).cpu().double().eval()
    seen = _rows_seen(probed, preprocess, list(layers))
    return {name: _field(rows) for name, rows in seen.items()}


def _field(seen: NDArray[np.bool_]) -> Field:
    side, n = seen.shape
    low = seen.argmax(0).astype(np.float64)
    high = side - seen[::-1].argmax(0).astype(np.float64)
    middle = n // 2
    centre = (low + high) / 2
    # at the edges what is seen is cut off, so that distances are taken where it is whole
    whole = np.flatnonzero((low > 0) & (high < side))
    if len(whole) > 1:
        jump = float((low[whole[-1]] - low[whole[0]]) / (whole[-1] - whole[0]))
        at = whole[len(whole) // 2]
        first = float(centre[at] - jump * at)
    else:
        jump, first = _from_edges(low, high, side)
    return Field(n, float(high[middle] - low[middle]), jump, first, side)


def _from_edges(low: FloatArray, high: FloatArray, side: int) -> tuple[float, float]:
    """Return distance and first centre where no two positions see a whole field."""
    n = len(low)
    moving = (np.diff(low) + np.diff(high)) > 0
    if n > 1 and moving.all():  # each end moves as long as it is inside the patch
        steps = np.maximum(np.diff(low), np.diff(high))
        jump = float(np.median(steps))
    else:  # every position sees all: they share the patch evenly
        jump = side / n
    return jump, side / 2 - jump * (n - 1) / 2


def _rows_seen(
    network: Network, preprocess: Preprocess, layers: list[str]
) -> dict[str, NDArray[np.bool_]]:
    """Return bool (side, positions) for each layer: does a position see a row."""
    side, channels = preprocess.size, preprocess.n_channels
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    with torch.no_grad(), outputs_of(network, layers) as held:
        for start in range(0, side, AT_ONCE):
            rows = range(start, min(side, start + AT_ONCE))
            patches = torch.zeros(len(rows), channels, side, side, dtype=torch.float64)
            for i, row in enumerate(rows):
                patches[i, :, row] = torch.nan
            network(patches)
            for name in layers:
                found[name].append(held[name].isnan().any(1).any(2))
    return {name: torch.cat(parts).numpy() for name, parts in found.items()}


def place(maps: Tensor, field: Field) -> FloatArray:
    """Put values of a layer's positions where these positions lie on the patch.

    Between the centres of what neighbouring positions see, values are interpolated linearly; the
    outermost value holds to the edge, since nothing else sees what lies there. Merely stretching
    a map over the patch, as is common, misplaces the maps of a network without padding, whose
    positions all lie near the middle.

    Args:
        maps: float (N, h, w).
        field: Of the layer.

    Returns:
        float64 (N, side, side).
    """
    weights = _interpolation(field)
    values = maps.detach().cpu().double().numpy()
    placed: FloatArray = weights @ values @ weights.T
    return placed


def _interpolation(field: Field) -> FloatArray:
    """Return float64 (side, positions): the tent of each position at each pixel."""
    pixels = np.arange(field.side) + 0.5
    centres = field.centres
    reach = np.abs(pixels[:, None] - centres) / field.jump
    tents = np.maximum(0.0, 1 - reach)
    tents[pixels < centres[0], 0] = 1.0
    tents[pixels > centres[-1], -1] = 1.0
    return tents


def effective_side(gradients: FloatArray, share: float) -> float:
    """Return the side in px of the smallest centred square with a share of the gradient.

    The effective receptive field of Luo et al. (NeurIPS 2016), as one number.

    Args:
        gradients: float64 (H, H), of absolute gradients, summed over channels and patches.
        share: In 0..1.
    """
    side = len(gradients)
    inner = np.arange(side % 2, side + 1, 2)
    sums = np.array(
        [
            gradients[(side - w) // 2 : (side + w) // 2, (side - w) // 2 : (side + w) // 2].sum()
            for w in inner
        ]
    )
    reached = int(np.argmax(sums >= share * sums[-1] * (1 - 1e-12)))
    return float(np.interp(share * sums[-1], sums[: reached + 1], inner[: reached + 1]))

"""Patches drawn from a slide and labelled by the rule of the centre."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from sentinode.phantom.slide import Slide

__all__ = ["CENTRE", "PATCH", "Cut", "draw_patches", "label_of"]

PATCH = 96  # px
CENTRE = 32  # px, the square in the middle that decides
TISSUE_NEEDED = 0.5  # share of a patch
TUMOUR_SHARE = 0.62  # of a slide's patches, where it has tumour: half of all over the cohort
RIM_SHARE = 0.25  # of the normal patches of such a slide: tumour near, but not in the centre


@final
@dataclass(frozen=True)
class Cut:
    """One patch's place on its slide: top left corner in px, and its label."""

    x: int
    y: int
    label: int


def label_of(mask: NDArray[np.bool_]) -> int:
    """Return 1 where any pixel of the centre 32x32 of a patch's mask (96, 96) is tumour.

    This is the rule of PatchCamelyon (Veeling et al., 2018).
    """
    low = (PATCH - CENTRE) // 2
    return int(mask[low : low + CENTRE, low : low + CENTRE].any())


def draw_patches(slide: Slide, count: int, seed: int) -> list[Cut]:
    """Draw places of patches: tumour, its surroundings, and tissue far from it.

    Args:
        slide: Where from.
        count: How many.
        seed: Of the draw.

    Returns:
        ``count`` cuts at different places, in an order that tells nothing.
    """
    rng = np.random.default_rng((seed, 1))
    centre = _touched(slide.mask, CENTRE)
    rim = _touched(slide.mask, PATCH) & ~centre
    enough = _mean(slide.tissue, PATCH) >= TISSUE_NEEDED
    tumour, rim, far = centre & enough, rim & enough, enough & ~centre & ~rim
    positives = round(count * TUMOUR_SHARE) if tumour.any() else 0
    near = round((count - positives) * RIM_SHARE) if rim.any() else 0
    wanted = ((tumour, positives), (rim, near), (far | rim, count - positives - near))
    taken: set[tuple[int, int]] = set()
    for places, share in wanted:
        taken |= _draw(rng, places, share, taken)
    low = (PATCH - CENTRE) // 2
    cuts = [
        Cut(x, y, int(slide.mask[y + low : y + low + CENTRE, x + low : x + low + CENTRE].any()))
        for y, x in sorted(taken)
    ]
    return [cuts[i] for i in rng.permutation(len(cuts))]


def _touched(mask: NDArray[np.bool_], window: int) -> NDArray[np.bool_]:
    """Tell for each top left corner of a patch whether the window in its middle meets the mask."""
    low = (PATCH - window) // 2
    counts = _box_sum(mask, window)
    size = mask.shape[0] - PATCH + 1
    return counts[low : low + size, low : low + size] > 0


def _mean(mask: NDArray[np.bool_], window: int) -> NDArray[np.float64]:
    return _box_sum(mask, window) / window**2


def _box_sum(mask: NDArray[np.bool_], window: int) -> NDArray[np.int32]:
    """Sum over every window; entry (y, x) is about the window whose top left corner it is."""
    total = np.pad(mask.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32), ((1, 0), (1, 0)))
    w = window
    sums: NDArray[np.int32] = total[w:, w:] - total[:-w, w:] - total[w:, :-w] + total[:-w, :-w]
    return sums


def _draw(
    rng: np.random.Generator,
    places: NDArray[np.bool_],
    count: int,
    taken: set[tuple[int, int]],
) -> set[tuple[int, int]]:
    at = np.flatnonzero(places)
    if not count or not len(at):
        return set()
    drawn: set[tuple[int, int]] = set()
    for flat in rng.choice(at, min(len(at), 4 * count + 16), replace=False):
        place = (int(flat // places.shape[1]), int(flat % places.shape[1]))
        if place not in taken:
            drawn.add(place)
        if len(drawn) == count:
            break
    return drawn

"""Foci of tumour on a slide: which belong together, how large they are, and FROC over them.

After CAMELYON16 (Ehteshami Bejnordi et al., JAMA 2017, and its evaluation script): tumour less
than 75 µm apart is one focus; foci with a major axis below 275 µm are isolated tumour cells, which
count neither for nor against; a detection within a focus finds it, one in no focus is false; the
score is the mean sensitivity at 1/4, 1/2, 1, 2, 4 and 8 false detections a slide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import pdist

from sentinode.errors import InputError
from sentinode.metrics.arrays import BoolArray, FloatArray

__all__ = [
    "FROC_AT",
    "Detections",
    "Froc",
    "focus_class",
    "focus_diameters",
    "froc",
    "join_foci",
    "match_detections",
]

GAP_MM = 0.075
ISOLATED_MM = 0.275
FROC_AT = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
ITC_MM, MICRO_MM = 0.2, 2.0
COARSE_MM = 0.035  # above it a px is too wide for px alone to tell what is a gap apart
TOUCHING = 1.5  # half px: what joins px that meet at a corner, and no others
EVERYWHERE = np.ones((3, 3), bool)
Labels = NDArray[np.int32]


def join_foci(mask: BoolArray, mm_per_px: float, gap_mm: float = GAP_MM) -> tuple[Labels, int]:
    """Number the foci of a mask, those less than a gap apart together.

    Args:
        mask: (H, W), tumour.
        mm_per_px: Its scale.
        gap_mm: The gap.

    Returns:
        int32 (H, W), 0 outside of the mask, and the number of foci.
    """
    labels = _regions(mask, mm_per_px, gap_mm)
    return np.where(mask, labels, 0).astype(np.int32), int(labels.max(initial=0))


def _regions(mask: BoolArray, mm_per_px: float, gap_mm: float) -> Labels:
    """Return the areas that foci take up, the gaps and holes within them too."""
    reach = gap_mm / mm_per_px / 2
    margin = int(np.ceil(reach)) + 1
    around = np.pad(mask, margin)
    joined = _by_midpoints if mm_per_px > COARSE_MM else _by_px
    inner: Labels = joined(around, reach)[margin:-margin, margin:-margin].astype(np.int32)
    return inner


def _by_px(around: BoolArray, reach: float) -> Labels:
    """Number what is within half the gap, in px, of a mask."""
    # half a px from the centre of a tumour px to its border, which matters on coarse maps
    near = ndimage.distance_transform_edt(~around) < reach + 0.5 if around.any() else around
    filled = ndimage.binary_fill_holes(near | around)
    labels: Labels = ndimage.label(filled, structure=EVERYWHERE)[0]
    return labels


def _by_midpoints(around: BoolArray, reach: float) -> Labels:
    """Do it with points between the px too, so that the middle of each gap is looked at."""
    fine = np.zeros([2 * side - 1 for side in around.shape], bool)
    fine[::2, ::2] = around
    limit = max(2 * reach + 1, TOUCHING)
    near = ndimage.distance_transform_edt(~fine) < limit if fine.any() else fine
    # by sides only, since a step across a corner could pass by the middle; gaps go round corners
    labels: Labels = ndimage.label(ndimage.binary_fill_holes(near, structure=EVERYWHERE))[0]
    return labels[::2, ::2]


def focus_diameters(labels: Labels, count: int, mm_per_px: float) -> FloatArray:
    """Return the longest diameter of each focus in mm, float64 (count,).

    Measured between the centres of the px farthest apart: without bias where a px belongs to a
    focus when its centre does, and about one px too long where it does as soon as it is touched.
    A focus of one px has its side.

    Args:
        labels: int32 (H, W), as of :func:`join_foci`.
        count: Number of foci.
        mm_per_px: Scale of the labels.
    """
    sizes = np.zeros(count)
    for number, box in enumerate(ndimage.find_objects(labels, count)):
        if box is None:
            continue
        inside = labels[box] == number + 1
        rows = np.flatnonzero(inside.any(1))
        first = inside[rows].argmax(1)
        last = inside.shape[1] - 1 - inside[rows, ::-1].argmax(1)
        ends = np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)])
        sizes[number] = max(1.0, pdist(ends.astype(float)).max(initial=0.0)) * mm_per_px
    return sizes


def focus_class(diameter_mm: float) -> str:
    """Return the class of the TNM (8th edition) by size alone, as pathologists name it."""
    if diameter_mm <= 0:
        return "none"
    if diameter_mm <= ITC_MM:
        return "isolated tumour cells"
    return "micrometastasis" if diameter_mm <= MICRO_MM else "macrometastasis"


@final
@dataclass(frozen=True)
class Detections:
    """One slide's detections against its foci.

    Attributes:
        hits: float64 (F,): the highest probability of a detection within each focus that counts,
            -1 where there is none.
        false: float64 (D,): probabilities of the detections in no focus.
    """

    hits: FloatArray
    false: FloatArray


def match_detections(
    mask: BoolArray, mm_per_px: float, places: NDArray[Any], probabilities: FloatArray
) -> Detections:
    """Match detections with the foci of a mask.

    Args:
        mask: (H, W), true tumour.
        mm_per_px: Its scale.
        places: (D, 2): row and column of each detection in px of the mask.
        probabilities: float64 (D,), in 0..1.
    """
    labels = _regions(mask, mm_per_px, GAP_MM)
    count = int(labels.max(initial=0))
    counts = _major_axes(labels, count) * mm_per_px >= ISOLATED_MM
    at = np.asarray(places).reshape(-1, 2).round().astype(int)
    at = at.clip(0, np.array(labels.shape) - 1)
    found = labels[at[:, 0], at[:, 1]]
    hits = np.full(count, -1.0)
    np.maximum.at(hits, found[found > 0] - 1, probabilities[found > 0])
    return Detections(hits[counts], probabilities[found == 0])


def _major_axes(labels: Labels, count: int) -> FloatArray:
    """Return the major axis of the ellipse with each focus's second moments, in px."""
    axes = np.zeros(count)
    for number, box in enumerate(ndimage.find_objects(labels, count)):
        at = np.argwhere(labels[box] == number + 1).astype(float)
        moments = np.cov(at.T, bias=True) if len(at) > 1 else np.zeros((2, 2))
        axes[number] = 4 * np.sqrt(np.linalg.eigvalsh(moments + np.eye(2) / 12)[-1])
    return axes


@final
@dataclass(frozen=True)
class Froc:
    """Sensitivity for foci against false detections a slide.

    Attributes:
        false_per_slide: float64 (K,), rising.
        sensitivity: float64 (K,).
        at: Sensitivity at each of ``FROC_AT``.
        score: Their mean.
        foci: How many count.
    """

    false_per_slide: FloatArray
    sensitivity: FloatArray
    at: tuple[float, ...]
    score: float
    foci: int


def froc(slides: Sequence[Detections]) -> Froc:
    """Compute FROC over slides.

    Raises:
        InputError: No slide has a focus that counts.
    """
    hits = np.concatenate([one.hits for one in slides]) if slides else np.empty(0)
    if not len(hits):
        raise InputError("expected at least one focus larger than isolated tumour cells, got none")
    false = np.sort(np.concatenate([one.false for one in slides]))
    found = np.sort(hits[hits >= 0])
    levels = np.unique(np.concatenate([found, false]))[::-1]
    above = [len(v) - np.searchsorted(v, levels) for v in (false, found)]
    rate = np.concatenate([[0.0], above[0] / len(slides)])
    share = np.concatenate([[0.0], above[1] / len(hits)])
    at = tuple(float(v) for v in np.interp(FROC_AT, rate, share))
    return Froc(rate, share, at, float(np.mean(at)), len(hits))

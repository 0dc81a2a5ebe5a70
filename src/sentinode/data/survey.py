"""What one annotated slide has to offer: every place of a patch, its tissue and its label."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd

from sentinode.data.lattice import Lattice, label, tissue_share
from sentinode.errors import InputError
from sentinode.slides import NoTumour, Reading, Slide, Truth, find_tissue, open_truth, stem_of
from sentinode.types import Mpp

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import ExtractConfig

__all__ = ["Job", "check", "survey"]

COARSER = 1.25  # by which a slide may be coarser than the patches wanted: more would show no nuclei


@final
@dataclass(frozen=True)
class Job:
    """One slide and what is known of it.

    Attributes:
        slide: The slide's file.
        annotation: Its annotation; None where it holds no tumour.
        reading: How the annotation is to be understood.
        mpp: µm/px of level 0, which counts where the file does not say it.

    Raises:
        InputError: ``mpp`` is not finite.
    """

    slide: Path
    annotation: Path | None
    reading: Reading
    mpp: Mpp | None

    def __post_init__(self) -> None:
        """Refuse what is no scale."""
        if self.mpp is not None and not math.isfinite(self.mpp):
            raise InputError(f"--mpp takes µm/px of the finest level, as in 0.25, got {self.mpp}")

    @property
    def name(self) -> str:
        """The slide's id."""
        return stem_of(self.slide)

    @contextmanager
    def open(self) -> Iterator[tuple[Slide, Truth]]:
        """Open the slide and its truth; errors as of `Slide` and `open_truth`."""
        with Slide(self.slide, self.mpp) as slide:
            size = slide.dimensions
            known = self.annotation
            with NoTumour() if known is None else open_truth(known, size, self.reading) as truth:
                yield slide, truth


def check(job: Job, config: ExtractConfig) -> str | None:
    """Return why a slide cannot be used, None where it can, without a look at its tissue."""
    try:
        with job.open() as (slide, _):
            _lattice(slide, config)
    except InputError as error:
        return str(error)
    return None


def survey(config: ExtractConfig, job: Job) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Find all places of patches with enough tissue on a slide.

    Args:
        config: Size, scale and stride of patches, and the tissue they need.
        job: The slide.

    Returns:
        Columns ``x``, ``y`` (int64, px of level 0, of the upper left corner), ``label`` (int8) and
        ``tissue`` (float32), by rows of the slide, and facts of the slide as JSON values;
        ``problem`` among them where it cannot be used.
    """
    empty = pd.DataFrame({"x": [], "y": [], "label": [], "tissue": []}).astype(
        {"x": "int64", "y": "int64", "label": "int8", "tissue": "float32"}
    )
    try:
        with job.open() as (slide, truth):
            return _survey(slide, truth, config)
    except InputError as error:
        return empty, {"problem": str(error)}


def _survey(
    slide: Slide, truth: Truth, config: ExtractConfig
) -> tuple[pd.DataFrame, dict[str, Any]]:
    lattice = _lattice(slide, config)
    tissue = find_tissue(slide)
    share = tissue_share(lattice, tissue.mask, tissue.mpp / slide.mpp)
    enough = share >= config.min_tissue
    if not enough.any():
        raise InputError(
            f"{slide.path} has no tissue for a patch: no place with {config.min_tissue:.0%} of it "
            "(extract.min_tissue)"
        )
    tumour, unknown = label(lattice, truth, enough)
    rows, columns = np.nonzero(enough & ~unknown)
    frame = pd.DataFrame(
        {
            "x": lattice.x[columns],
            "y": lattice.y[rows],
            "label": tumour[rows, columns].astype(np.int8),
            "tissue": share[rows, columns],
        }
    )
    width, height = slide.dimensions
    facts = {
        "width": width,
        "height": height,
        "mpp": round(slide.mpp, 6),
        "tissue_mm2": round(tissue.area_mm2, 4),
        "notices": list(truth.notices),
    }
    return frame, facts


def _lattice(slide: Slide, config: ExtractConfig) -> Lattice:
    if slide.mpp > config.mpp * COARSER:
        raise InputError(
            f"{slide.path} has {slide.mpp:.3g} µm/px, coarser than the patches' {config.mpp:.3g}; "
            "give --set extract.mpp=... as coarse as it"
        )
    lattice = Lattice.over(slide.dimensions, slide.mpp, config)
    if not len(lattice.x) or not len(lattice.y):
        width, height = slide.dimensions
        side = config.size * lattice.scale
        raise InputError(
            f"{slide.path} has {width}x{height} px, a patch of {config.size} px at "
            f"{config.mpp:.3g} µm/px takes {side:.0f}"
        )
    return lattice

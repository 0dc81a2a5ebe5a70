"""The main line: from a packed set to its figures, its page and its ``explore.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from sentinode.config import AuditConfig
from sentinode.core import Provenance, atomic_path, provenance, write_text
from sentinode.data import AUDIT_FILE, EXTRACT_FILE, SPLIT_FILE
from sentinode.errors import InputError
from sentinode.explore.colour import statistics_of
from sentinode.explore.counting import (
    columns_of,
    copies_of,
    kinds_of,
    labels_of,
    problems_of,
    rules_of,
    slides_of,
)
from sentinode.explore.facts import Exploration, Slides, Stains
from sentinode.explore.page import explore_page
from sentinode.explore.pixels import Pixels, drawn, read_pixels, sample_size
from sentinode.explore.stains import stains_of
from sentinode.explore.strips import extreme_strips, limit_strips, sample_strips
from sentinode.tables import PackedSet, Split

__all__ = ["SUBSET", "Explored", "explore", "write_exploration"]

SUBSET = 20_000
"""Largest random subset where none is asked for; else a tenth of the usable patches."""

RESERVED = ("meta.json", AUDIT_FILE, SPLIT_FILE, EXTRACT_FILE)


@final
@dataclass(frozen=True)
class Explored:
    """An exploration, and the arrays that its page draws.

    Attributes:
        facts: All figures.
        pixels: What the pixels of the sample tell.
    """

    facts: Exploration
    pixels: Pixels


def explore(
    packed: PackedSet, limits: AuditConfig, *, subset: int | None = None, seed: int = 42
) -> Explored:
    """Look at a packed set; the split and the audit beside it are taken where they are there.

    Args:
        packed: The set.
        limits: Where near-black and near-white begin.
        subset: Patches of the random subset whose labels are counted; None takes a tenth of the
            usable ones, 20,000 at most.
        seed: Of all that is drawn.

    Raises:
        InputError: No patch of the set is usable, or the subset is larger than what is usable.
    """
    frame, usable = packed.manifest.frame, packed.manifest.usable
    rows = np.flatnonzero(usable)
    if not len(rows):
        raise InputError(f"{packed.folder}: none of its {len(frame):,} patches is usable")
    chosen = _subset(rows, subset, seed)
    split, said = _split(packed)
    sample = drawn(rows, sample_size(packed.meta.size), seed)
    pixels = read_pixels(packed, sample, kinds_of(frame)[sample])
    audited = (packed.folder / AUDIT_FILE).is_file()
    slides, stains = slides_of(frame), stains_of(packed, limits, seed)
    facts = Exploration(
        patches=len(frame),
        unique_ids=int(frame["id"].nunique()),
        usable=len(rows),
        size=packed.meta.size,
        mpp=packed.meta.mpp,
        source=packed.meta.kind,
        audited=audited,
        warnings=(*_warnings(audited, slides, stains), *said),
        columns=columns_of(frame),
        labels=labels_of(frame, usable, split, chosen),
        sampled=len(sample),
        statistics=statistics_of(frame, usable, pixels),
        intensities=pixels.intensity_histogram(),
        densities=pixels.density_histogram(),
        mean_patches=pixels.mean_patches(),
        slides=slides,
        stains=stains,
        strips=(
            *sample_strips(frame, usable, seed),
            *limit_strips(frame, limits),
            *extreme_strips(frame, usable),
        ),
        copies=copies_of(frame, audited),
        problems=problems_of(frame),
        remarks=rules_of(frame, "remarks"),
        excluded=rules_of(frame, "excluded"),
        provenance=_made(packed, limits, split, len(chosen), seed),
    )
    return Explored(facts, pixels)


def write_exploration(explored: Explored, packed: PackedSet, out: Path) -> Path:
    """Write the page and, beside it under the same name, its figures as JSON.

    Args:
        explored: Of :func:`explore`.
        packed: The set, for the pictures.
        out: The page, ending in ``.html``.

    Returns:
        The JSON file.

    Raises:
        InputError: The name ends otherwise, or cannot be written.
        DiskFullError: The disk is full.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out expects a file name ending in .html, got {out.name}")
    figures = out.with_suffix(".json")
    if figures.name in RESERVED:
        raise InputError(f"{figures.name} is a file of a packed set; choose another name for --out")
    page = explore_page(explored.facts, explored.pixels, packed)
    with atomic_path(figures) as temporary:
        temporary.write_text(explored.facts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_text(out, page)
    return figures


def _subset(rows: NDArray[np.int64], subset: int | None, seed: int) -> NDArray[np.int64]:
    wanted = min(SUBSET, max(1, len(rows) // 10)) if subset is None else subset
    if not 0 < wanted <= len(rows):
        raise InputError(
            f"--subset expects 1 to {len(rows):,}, the number of usable patches, got {wanted:,}"
        )
    return drawn(rows, wanted, seed)


def _split(packed: PackedSet) -> tuple[Split | None, tuple[str, ...]]:
    """Return the set's split where it has a current one, and what to say where it has not."""
    path = packed.folder / SPLIT_FILE
    if not path.is_file():
        return None, ("The set is not split yet, so that no training fold is shown.",)
    split = Split.read(path)
    if split.manifest_hash != packed.manifest.hash:
        return None, (
            "The split was made before the set was packed or audited again; "
            "it is not shown: split the set again.",
        )
    return split, ()


def _made(
    packed: PackedSet, limits: AuditConfig, split: Split | None, subset: int, seed: int
) -> Provenance:
    used = {"near_black_max", "near_white_min", "blur_sharpness"}
    inputs = {"set": packed.meta.content_hash, "manifest": packed.manifest.hash}
    return provenance(
        "explore",
        config=limits.model_dump(mode="json", include=used) | {"subset": subset},
        inputs=inputs | ({"split": split.hash} if split is not None else {}),
        seeds={"explore": seed},
    )


def _warnings(audited: bool, slides: Slides, stains: Stains) -> list[str]:
    said = []
    if not audited:
        said.append("The set is not audited yet: of copies only those with equal pixels are known.")
    if not slides.count:
        said.append(
            "Slides are unknown: patches of one slide may stand in several folds, "
            "and stain is shown by random groups of patches."
        )
    apart = [row.name for row in stains.rows if row.outlying and stains.by == "slide"]
    if apart:
        named = ", ".join(apart[:6]) + (f" and {len(apart) - 6} more" if len(apart) > 6 else "")
        said.append(f"The stain of {len(apart)} of {len(stains.rows)} slides lies apart: {named}.")
    return said

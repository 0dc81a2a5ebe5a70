"""A cohort of synthetic slides in Kaggle's layout, with slide map, masks and truth."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
from PIL import Image

from sentinode.config import PhantomConfig
from sentinode.core import (
    Progress,
    atomic_path,
    folder_lock,
    make_folder,
    need_disk,
    provenance,
    read_json,
    spread,
    write_json,
)
from sentinode.errors import InputError
from sentinode.phantom.annotations import write_annotations
from sentinode.phantom.patches import PATCH, draw_patches
from sentinode.phantom.slide import MPP, SIDE, make_slide
from sentinode.slides import write_pyramid
from sentinode.types import RESEARCH_USE_ONLY, UInt8Array

__all__ = ["CohortSummary", "write_cohort"]

RECORD = "phantom.json"
SOFTWARE = "sentinode phantom"
TEST_SLIDES = 0.15  # share of the slides whose patches come without labels
TEST_PATCHES = 0.4  # and of their patches, so that a tenth or less of all patches is unlabelled
BROKEN_EVERY = 400  # one near-black and one near-white patch in so many
BYTES_PER_PATCH = 40_000


@final
@dataclass(frozen=True)
class CohortSummary:
    """What was written.

    Attributes:
        folder: Where.
        train: Labelled patches, of which ``positive`` are tumour.
        positive: See ``train``.
        test: Patches without labels, from slides of their own.
        slides: Slides in all.
    """

    folder: Path
    train: int
    positive: int
    test: int
    slides: int


@final
@dataclass(frozen=True)
class _Part:
    """What one slide gives: its number, patches, and whether it is written whole."""

    index: int
    patches: int
    fold: str
    whole: bool


def write_cohort(out: Path, config: PhantomConfig) -> CohortSummary:
    """Render a cohort; started again it goes on, and a finished one is kept.

    Args:
        out: Folder in Kaggle's layout: ``train/``, ``test/``, ``train_labels.csv``,
            ``sample_submission.csv``; besides, ``slide_map.csv`` (id, wsi, x, y), ``truth.csv``
            (labels of ``test/``), ``masks/``, ``slides/`` and ``phantom.json``; of slides written
            whole the tumour's outlines in ``annotations/``, as annotation programs have them.
        config: Number of slides and patches, seed.

    Raises:
        InputError: ``out`` holds another cohort, or there are more slides than patches.
        DiskFullError: There is no room.
    """
    if config.patches < config.slides:
        raise InputError(f"{config.slides} slides need as many patches, got {config.patches}")
    need_disk(out, config.patches * BYTES_PER_PATCH, "the cohort")
    made = provenance(
        "phantom", config=config.fingerprint(), seeds={"phantom": config.seed}
    ).model_dump(mode="json")
    with folder_lock(out):
        record = out / RECORD
        if record.is_file() and not _same(read_json(record).get("provenance"), made):
            raise InputError(f"{out} holds another cohort; choose another --out")
        if not record.is_file():
            _render(out, config, made)
        return _summary(out)


def _render(out: Path, config: PhantomConfig, made: dict[str, Any]) -> None:
    work = out / ".slides"
    stamp = work / "made.json"
    if not stamp.is_file() or not _same(read_json(stamp), made):
        if any(out.glob("train/*")) or (out / "train_labels.csv").exists():
            raise InputError(f"{out} holds other data; choose another --out")
        for name in ("train", "test", "masks", "slides", "annotations"):
            make_folder(out / name)
        write_json(stamp, made)
    parts = _parts(config)
    tables = {part: work / f"{part.index:04d}.parquet" for part in parts}
    missing = [part for part in parts if not tables[part].is_file()]
    done = sum(p.patches for p in parts) - sum(p.patches for p in missing)
    with Progress("phantom", sum(p.patches for p in parts), done=done) as progress:
        for part, table in spread(_render_slide, (out, config.seed), missing, config.workers):
            with atomic_path(tables[part]) as temporary:
                table.to_parquet(temporary, index=False)
            progress.advance(part.patches)
    table = pd.concat([pd.read_parquet(tables[part]) for part in parts], ignore_index=True)
    _write_tables(out, table)
    for stray in [
        *out.glob("*/.*.partial.*"),
        *out.glob("annotations/*/.*.partial.*"),
    ]:  # of a worker that was killed
        stray.unlink()
    write_json(
        out / RECORD,
        {
            "notice": RESEARCH_USE_ONLY,
            "said": "Synthetic. Figures from it say how the program works, not how well it finds "
            "cancer.",
            "mpp": MPP,
            "slide_side_px": SIDE,
            "patches": len(table),
            "broken": table["id"][table["broken"]].tolist(),
            "provenance": made,
        },
    )
    shutil.rmtree(work)


def _same(there: object, made: dict[str, Any]) -> bool:
    """Tell whether a cohort was made with these settings; versions may have moved on since."""
    return isinstance(there, dict) and there.get("config_hash") == made["config_hash"]


def _parts(config: PhantomConfig) -> list[_Part]:
    """Share the patches out; the first slides, the very first with tumour, are for the test."""
    tests = max(1, round(config.slides * TEST_SLIDES)) if config.slides > 2 else 0
    weights = np.ones(config.slides)
    if tests:
        weights[:tests] = TEST_PATCHES
    ends = np.round(np.cumsum(weights) / weights.sum() * config.patches).astype(int)
    counts = np.diff(ends, prepend=0)
    return [
        _Part(
            index=i,
            patches=int(count),
            fold="test" if i < tests else "train",
            whole=i < config.whole_slides,
        )
        for i, count in enumerate(counts)
    ]


def _render_slide(shared: tuple[Path, int], part: _Part) -> pd.DataFrame:
    out, seed = shared
    slide = make_slide(seed, part.index)
    rng = np.random.default_rng((seed, part.index, 2))
    rows = []
    for number, cut in enumerate(draw_patches(slide, part.patches, seed * 100_003 + part.index)):
        here = np.s_[cut.y : cut.y + PATCH, cut.x : cut.x + PATCH]
        patch, broken = slide.image[here], bool(rng.random() < 2 / BROKEN_EVERY)
        if broken:
            patch = _broken(rng)
        name = hashlib.sha1(f"{seed}.{part.index}.{number}".encode()).hexdigest()
        _save(out / part.fold / f"{name}.tif", patch)
        _save(out / "masks" / f"{name}.png", slide.mask[here].astype(np.uint8) * 255)
        rows.append((name, slide.name, cut.x, cut.y, cut.label, part.fold, broken))
    if part.whole:
        write_pyramid(out / "slides" / f"{slide.name}.tif", slide.image, MPP, SOFTWARE)
        mask = slide.mask.astype(np.uint8) * 255
        write_pyramid(out / "slides" / f"{slide.name}_mask.tif", mask, MPP, SOFTWARE)
        write_annotations(out / "annotations", slide.name, slide.mask)
    return pd.DataFrame(rows, columns=["id", "wsi", "x", "y", "label", "fold", "broken"])


def _broken(rng: np.random.Generator) -> UInt8Array:
    """Return a patch whose light failed: near-black or near-white."""
    low, high = ((0, 8), (247, 256))[int(rng.integers(2))]
    return rng.integers(low, high, (PATCH, PATCH, 3), dtype=np.uint8)


def _save(path: Path, pixels: UInt8Array) -> None:
    """Write an image under its name at once; many of them, so without waiting for the disk."""
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    Image.fromarray(pixels).save(temporary)
    temporary.replace(path)


def _write_tables(out: Path, table: pd.DataFrame) -> None:
    table = table.sort_values("id", kind="stable")
    train, test = table[table["fold"] == "train"], table[table["fold"] == "test"]
    for name, frame in {
        "train_labels.csv": train[["id", "label"]],
        "truth.csv": test[["id", "label"]],
        "sample_submission.csv": test[["id"]].assign(label=0),
        "slide_map.csv": table[["id", "wsi", "x", "y"]],
    }.items():
        with atomic_path(out / name) as temporary:
            frame.to_csv(temporary, index=False, lineterminator="\n")


def _summary(out: Path) -> CohortSummary:
    labels = pd.read_csv(out / "train_labels.csv")["label"]
    slides = pd.read_csv(out / "slide_map.csv")["wsi"].nunique()
    tests = len(pd.read_csv(out / "truth.csv"))
    return CohortSummary(out, len(labels), int(labels.sum()), tests, slides)

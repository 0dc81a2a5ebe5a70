"""Small annotated slides: phantoms written whole, with their truth in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from sentinode.cli.main import app
from sentinode.config import ExtractConfig, PackConfig
from sentinode.data import Extraction, Job, extract
from sentinode.phantom import MPP, make_slide
from sentinode.phantom.annotations import write_annotations
from sentinode.slides import Reading, pair, slide_files, write_pyramid

SIDE = 448
EVERY = ExtractConfig(tumour_share=None, per_slide=None, stride=48, workers=1)
NAMES = ("images.npy", "manifest.parquet", "meta.json", "extract.json")


def cohort(folder: Path, count: int = 4, side: int = SIDE) -> Path:
    """Write slides below ``slides/`` and annotations below ``annotations/``; the last is normal."""
    for index in range(count):
        slide = make_slide(9, index, side)
        write_pyramid(folder / "slides" / f"{slide.name}.tif", slide.image, MPP)
        write_annotations(folder / "annotations", slide.name, slide.mask)
    return folder


def masks_of(folder: Path) -> dict[str, np.ndarray]:
    """Where tumour is, by slide."""
    files = sorted((folder / "annotations" / "mask").glob("*.png"))
    return {file.stem: np.asarray(Image.open(file)) > 0 for file in files}


def jobs(folder: Path, kind: str = "asap") -> list[Job]:
    """The cohort's slides with their annotations in one format."""
    slides = slide_files([folder / "slides"])
    known, _ = pair(slides, sorted((folder / "annotations" / kind).iterdir()))
    return [Job(slide, known.get(slide), Reading(), None) for slide in slides]


def cut(folder: Path, out: Path, config: ExtractConfig = EVERY, **more: object) -> Extraction:
    """Cut the cohort's patches by one process."""
    return extract(jobs(folder), out, config, PackConfig(workers=1), **more)  # type: ignore[arg-type]


def say(*arguments: object) -> tuple[str, Exception | None]:
    """What `sentinode extract` says, and what it ends with."""
    done = CliRunner().invoke(app, ["extract", *map(str, arguments)])
    return done.output, done.exception  # type: ignore[return-value]

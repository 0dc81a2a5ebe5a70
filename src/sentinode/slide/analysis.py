"""One slide from its file to all its outputs."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from sentinode.config import SlideConfig
from sentinode.core import Progress, folder_lock, hash_file, hash_json, make_folder, provenance
from sentinode.errors import InputError
from sentinode.models import Run, choose_compute, resolve_run
from sentinode.predict.dense import Dense
from sentinode.slide.foci import find_foci, slide_score
from sentinode.slide.inferring import Times, infer
from sentinode.slide.overlay import shrunk, write_overlay
from sentinode.slide.summary import SlideSummary, finished
from sentinode.slide.tables import write_csv, write_tiles, write_tumour
from sentinode.slides import Grid, Slide, Tissue, check_name, find_tissue, stem_of, write_map
from sentinode.types import Mpp, PatchPx

__all__ = ["Analyst", "Job", "Outcome"]

LOCKS = ".locks"


@final
@dataclass(frozen=True)
class Job:
    """What is to be done with every slide.

    Attributes:
        run: Run folder or name of weights.
        out: Folder of all slides' folders.
        mpp: µm/px of level 0 of slides that do not say it; None refuses these.
        config: Settings.
        threads: Of the network; 0 takes what PyTorch takes.
    """

    run: str
    out: Path
    mpp: float | None
    config: SlideConfig
    threads: int = 0


@final
@dataclass(frozen=True)
class Outcome:
    """What became of a slide.

    Attributes:
        slide: Name.
        status: ``done``, ``kept`` (finished before), ``no tissue``, or ``failed``.
        reason: Why, of a failed one.
        summary: What ``summary.json`` says, else None.
        seconds: Wall time.
        times: What it went to.
    """

    slide: str
    status: str
    reason: str = ""
    summary: SlideSummary | None = None
    seconds: float = 0.0
    times: Times = field(default_factory=Times)


@final
class Analyst:
    """A network that takes slide after slide.

    Args:
        job: What is to be done.

    Attributes:
        identity: Hash of the weights and the calibration: equal ones, equal probabilities.

    Raises:
        MissingInputError: There is no such run.
        CheckpointError: It is damaged.
        InputError: The stride does not suit the network, or the device is not there.
    """

    def __init__(self, job: Job) -> None:
        self.job, config = job, job.config
        self._run: Run = resolve_run(job.run)
        compute = choose_compute(config.device, config.precision, job.threads)
        self.dense = Dense(self._run, config.stride, compute, config.tile, config.batch_size)
        self._calibration = self._run.calibration()
        curve = self._calibration.curve() if self._calibration else None
        self.identity = hash_json({"weights": self._run.weights_hash, "calibration": curve})

    def take(self, path: Path) -> Outcome:
        """Analyse a slide, or keep it where that was done before.

        Raises:
            MissingInputError: There is no such file.
            InputError: The slide cannot be used, or its name.
            BusyError: Another process is at it.
            DiskFullError: There is no room.
        """
        check_name(path)
        start, name, times = time.perf_counter(), stem_of(path), Times()
        given = None if self.job.mpp is None else Mpp(self.job.mpp)
        with folder_lock(self.job.out / LOCKS / name), Slide(path, given) as slide:
            folder = self.job.out / name
            key = self._key(slide)
            summary = finished(folder, key)
            status = "kept"
            if summary is None:
                summary = self._analyse(slide, name, key, times)
                status = "done"
        if not summary.positions:
            status = "no tissue"
        return Outcome(name, status, "", summary, time.perf_counter() - start, times)

    def _key(self, slide: Slide) -> str:
        """Return the hash of all that shapes the result."""
        return hash_json(
            {
                "slide": slide.fingerprint,
                "mpp": slide.mpp,
                "run": self.identity,
                "precision": self.dense.compute.precision,
                "config": self.job.config.fingerprint(),
            }
        )

    def _analyse(self, slide: Slide, name: str, key: str, times: Times) -> SlideSummary:
        preprocess, config = self._run.spec.preprocess, self.job.config
        grid = Grid.of(slide, Mpp(preprocess.mpp), PatchPx(preprocess.size), PatchPx(config.stride))
        start = time.perf_counter()
        tissue = find_tissue(slide)
        wanted = grid.share(tissue.mask, tissue.mpp) >= config.tissue_share
        times.masking = time.perf_counter() - start
        with Progress(name, int(wanted.sum()), unit="positions") as progress:
            logits = infer(
                slide,
                grid,
                wanted,
                self.dense,
                tile=config.tile,
                readers=config.readers,
                times=times,
                done=progress.advance,
            )
        probability = self._probability(logits)
        start = time.perf_counter()
        partial = self._fresh(name)
        try:
            self._write(partial, slide, name, grid, tissue, probability)
            summary = self._summarise(slide, name, key, grid, tissue, probability, partial)
            summary.write(partial)
            _put(partial, self.job.out / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)  # there no longer, where all went well
        times.writing = time.perf_counter() - start
        return summary

    def _probability(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        calibrated = self._calibration.apply(logits) if self._calibration else expit(logits)
        # where there is no tissue a calibration by knots would give its first
        found: NDArray[np.float32] = np.where(np.isnan(logits), np.nan, calibrated)
        return found.astype(np.float32)

    def _fresh(self, name: str) -> Path:
        """Return an empty folder to write into; those of killed processes go.

        Only this slide's own: ``S1.HE`` may be written by another process while ``S1`` is done.
        """
        own = re.compile(re.escape(f".{name}.") + r"\d+(\.old)?\.partial")
        for stray in self.job.out.iterdir():
            if own.fullmatch(stray.name):
                shutil.rmtree(stray, ignore_errors=True)
        folder = self.job.out / f".{name}.{os.getpid()}.partial"
        make_folder(folder)
        return folder

    def _write(
        self,
        folder: Path,
        slide: Slide,
        name: str,
        grid: Grid,
        tissue: Tissue,
        probability: NDArray[np.float32],
    ) -> None:
        config, size = self.job.config, slide.dimensions
        um_per_cell = grid.stride * grid.mpp
        write_map(folder / "map.ome.tif", probability, um_per_cell, "probability of tumour")
        write_csv(folder / "tiles.csv", probability, grid, size)
        if config.tiles:
            write_tiles(folder / "tiles.geojson", probability, grid, size, config.threshold)
        write_tumour(folder / "tumour.geojson", probability, grid, size, config.threshold)
        picture, mpp = tissue.picture, tissue.mpp
        if max(picture.shape) < config.overlay_px // 2:
            picture, mpp = slide.thumbnail(config.overlay_px)
        small, at = shrunk(picture, mpp, config.overlay_px)
        write_overlay(
            folder / "overlay.png", small, at, probability, grid.cell_mm, config.threshold, name
        )

    def _summarise(
        self,
        slide: Slide,
        name: str,
        key: str,
        grid: Grid,
        tissue: Tissue,
        probability: NDArray[np.float32],
        folder: Path,
    ) -> SlideSummary:
        config = self.job.config
        foci = find_foci(probability, config.threshold, grid.cell_mm)
        above = np.nan_to_num(probability, nan=-1.0) >= config.threshold
        made = provenance(
            "slide",
            config=config.fingerprint(),
            inputs={"weights": self._run.weights_hash, "slide": slide.fingerprint},
        )
        facts: dict[str, Any] = {
            "slide": name,
            "vendor": slide.vendor,
            "width": slide.dimensions[0],
            "height": slide.dimensions[1],
            "mpp": slide.mpp,
            "mpp_given": slide.mpp_given,
            "read_mpp": grid.mpp,
            "stride": grid.stride,
            "positions": int((~np.isnan(probability)).sum()),
            "tissue_area_mm2": tissue.area_mm2,
            "tumour_area_mm2": float(above.sum() * grid.cell_mm**2),
            "threshold": config.threshold,
            "score": slide_score(probability),
            "size_class": foci[0].size_class if foci else "none",
            "largest_focus_mm": foci[0].diameter_mm if foci else 0.0,
            "foci": [self._focus(one.facts(), grid) for one in foci],
            "model": self._run.spec.name,
            "run_densely": not self.dense.said,
            "precision": self.dense.compute.precision,
            "calibration": self._calibration.summary() if self._calibration else None,
            "files": {path.name: hash_file(path) for path in sorted(folder.iterdir())},
            "key": key,
            "provenance": made,
        }
        return SlideSummary(**facts)

    def _focus(self, facts: dict[str, Any], grid: Grid) -> dict[str, Any]:
        """Give a focus's highest position in px of level 0."""
        x, y = grid.corner(facts.pop("row"), facts.pop("column"))
        half = round(grid.stride * grid.scale / 2)
        return facts | {"x": int(x + half), "y": int(y + half)}


def _put(partial: Path, folder: Path) -> None:
    """Give a finished folder its name, in place of what an earlier run left there.

    Raises:
        InputError: The name is none of a folder beside it.
    """
    if folder.parent != partial.parent:
        raise InputError(f"{folder} does not lie in {partial.parent}; rename the slide")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old.partial")
    if folder.exists():
        folder.replace(old)
    partial.replace(folder)
    shutil.rmtree(old, ignore_errors=True)

"""From what slides have to offer to the patches taken, the judge's false positives among them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.core import Progress
from sentinode.data.choosing import draw_order, hardest, quotas
from sentinode.data.packing import pack
from sentinode.data.slidesource import SlideSource
from sentinode.data.survey import Job
from sentinode.tables import PackedSet, read_parquet, write_parquet

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import ExtractConfig, PackConfig

__all__ = ["Choice", "Judge", "Looked", "source_of"]


@final
@dataclass(frozen=True)
class Judge:
    """A network that looks for its own false positives.

    Attributes:
        identity: Hash of all that shapes its probabilities.
        probabilities: Takes a packed set, gives the probability of tumour by patch id; what cannot
            be used is left out.
    """

    identity: str
    probabilities: Callable[[PackedSet], Mapping[str, float]]


@final
@dataclass(frozen=True)
class Looked:
    """A slide that was looked at: its places and facts, as of `survey`."""

    job: Job
    places: pd.DataFrame
    facts: dict[str, Any]

    def of(self, label: int) -> pd.DataFrame:
        """Return its places of one label."""
        return self.places[self.places["label"] == label]


@final
@dataclass(frozen=True)
class Choice:
    """Chooses patches of slides.

    Attributes:
        work: Folder for what the judge said, which an interruption does not lose.
        config: Number and balance.
        packing: How patches are packed for the judge.
        judge: None for patches drawn by chance alone.
    """

    work: Path
    config: ExtractConfig
    packing: PackConfig
    judge: Judge | None

    def of(self, looked: Sequence[Looked]) -> tuple[pd.DataFrame, dict[str, dict[str, int]]]:
        """Return the chosen places by slide and rows of it, and what each slide gave.

        The table has ``slide``, ``x``, ``y``, ``label``, ``tissue``, and ``probability`` where
        the judge was wrong.
        """
        counts = [(len(slide.of(1)), len(slide.of(0))) for slide in looked]
        shares = quotas([c[0] for c in counts], [c[1] for c in counts], self.config)
        parts, taken = [], {}
        with Progress("choose", len(looked), unit="slides") as bar:
            for slide, (tumour, normal), count in zip(looked, shares, counts, strict=True):
                without, hard = self._normal(slide, normal)
                part = pd.concat([self._tumour(slide, tumour), without])
                parts.append(part.sort_values(["y", "x"]).assign(slide=slide.job.name))
                taken[slide.job.name] = {
                    "tumour_places": count[0], "normal_places": count[1],
                    "tumour": tumour, "normal": normal, "hard": hard,
                }  # fmt: skip
                bar.advance()
        return pd.concat(parts, ignore_index=True), taken

    def _tumour(self, slide: Looked, count: int) -> pd.DataFrame:
        places = slide.of(1).assign(probability=np.nan)
        order = draw_order(f"{slide.job.name} tumour", len(places), self.config.seed)
        return places.iloc[order[:count]]

    def _normal(self, slide: Looked, count: int) -> tuple[pd.DataFrame, int]:
        """Return the chosen places without tumour, and how many the judge was wrong about."""
        places = slide.of(0)
        order = draw_order(f"{slide.job.name} normal", len(places), self.config.seed)
        pool = np.empty(0)
        if self.judge is not None and count:
            pool = self._judged(self.judge, slide.job, places.iloc[order[: self.config.hard_pool]])
        chosen, hard = hardest(order, pool, count, self.config)
        found = np.full(len(places), np.nan)
        found[order[: len(pool)]] = pool
        probability = np.where(np.arange(len(chosen)) < hard, found[chosen], np.nan)
        return places.iloc[chosen].assign(probability=probability), hard

    def _judged(self, judge: Judge, job: Job, places: pd.DataFrame) -> NDArray[np.float64]:
        """Ask the judge about places of one slide, once: (N,), NaN where it cannot tell."""
        folder = self.work / f"judged-{job.name}"
        file = folder.with_name(f"{folder.name}.parquet")
        if not file.is_file():
            source = source_of([job], places.assign(slide=job.name), self.config)
            found = judge.probabilities(pack(source, folder, self.packing))
            source.close()
            told = source.table["id"].map(dict(found)).astype("float64")
            write_parquet(file, pd.DataFrame({"probability": told}), {})
        shutil.rmtree(folder, ignore_errors=True)
        known: NDArray[np.float64] = read_parquet(file, "probabilities")[0][
            "probability"
        ].to_numpy()
        return known


def source_of(jobs: Sequence[Job], table: pd.DataFrame, config: ExtractConfig) -> SlideSource:
    """Return patches at places of slides as a source."""
    table = table.assign(slide=table["slide"].astype("string")).reset_index(drop=True)
    return SlideSource(
        {job.name: job.slide for job in jobs},
        table[["slide", "x", "y", "label"]],
        config.size,
        config.mpp,
        {job.name: job.mpp for job in jobs},
    )

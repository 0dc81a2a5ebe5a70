"""Many slides, one after the other or on a cluster; a broken one stops none of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pandas as pd

from sentinode.core import atomic_path, make_folder
from sentinode.errors import BusyError, CheckpointError, DiskFullError, InputError, SentinodeError
from sentinode.slide.analysis import Analyst, Job, Outcome
from sentinode.slides import slide_files, stem_of

__all__ = ["Cohort", "analyse_cohort", "shard_of"]

TABLE = "slides.csv"


@final
@dataclass(frozen=True)
class Cohort:
    """What became of all slides, in the order of their names.

    Attributes:
        outcomes: One for each slide.
        table: The file that says so.
    """

    outcomes: tuple[Outcome, ...]
    table: Path

    @property
    def failed(self) -> int:
        """How many slides could not be analysed."""
        return sum(one.status == "failed" for one in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 where all slides were analysed, 1 where some were not, 2 where none was."""
        if not self.failed:
            return 0
        return 1 if self.failed < len(self.outcomes) else 2


def analyse_cohort(
    job: Job,
    paths: Sequence[Path],
    *,
    shard: tuple[int, int] = (1, 1),
    workers: int = 0,
    scheduler: str | None = None,
    said: Callable[[str], None] = lambda line: None,
) -> Cohort:
    """Analyse slides; what an earlier run finished with the same settings is kept.

    Args:
        job: What is to be done with each.
        paths: Slides and folders of slides.
        shard: Number and count of equal parts, from 1; this call does one of them.
        workers: Processes on this machine; 0 does the work in this one.
        scheduler: Address of a Dask scheduler whose workers do it instead.
        said: Is given a line for each slide as it is finished, and one where the network does not
            run densely.

    Raises:
        MissingInputError: There is nothing at a path, or no such run.
        InputError: There is no slide, or the settings do not suit the network.
        CheckpointError: The run is damaged.
        DiskFullError: There is no room for what is to be written.
        MissingExtraError: Dask is asked for and not installed.
    """
    number, count = shard
    mine = slide_files(paths)[number - 1 :: count]
    analyst = Analyst(job)  # a run that cannot be used stops before any slide
    if analyst.dense.said:
        said(analyst.dense.said)
    make_folder(job.out)
    if workers or scheduler:
        from sentinode.slide.cluster import on_cluster

        outcomes = on_cluster(job, analyst.identity, mine, workers, scheduler)
    else:
        outcomes = (taken(analyst, path) for path in mine)
    found = tuple(sorted(_saying(outcomes, said), key=lambda one: one.slide))
    name = TABLE if count == 1 else f"slides-{number}-of-{count}.csv"
    _write_table(job.out / name, found)
    return Cohort(found, job.out / name)


def taken(analyst: Analyst, path: Path) -> Outcome:
    """Analyse a slide; what is wrong with it alone becomes a failed outcome.

    Raises:
        DiskFullError: No other slide would fare better.
        CheckpointError: The same.
    """
    try:
        return analyst.take(path)
    except (DiskFullError, CheckpointError):
        raise
    except BusyError:
        return Outcome(stem_of(path), "failed", "another process is at this slide")
    except SentinodeError as error:
        return Outcome(stem_of(path), "failed", " ".join(str(error).split()))
    except OSError as error:  # a share that went away, a file without permission
        return Outcome(stem_of(path), "failed", f"{path}: {error}")


def _saying(outcomes: Iterable[Outcome], said: Callable[[str], None]) -> Iterator[Outcome]:
    for one in outcomes:
        said(f"{one.slide}: {_in_words(one)}")
        yield one


def _in_words(one: Outcome) -> str:
    if one.summary is None:
        return f"{one.status}: {one.reason}"
    if one.status == "no tissue":
        return f"no tissue found, {one.seconds:.1f} s"
    s = one.summary
    return (
        f"{one.status}, score {s.score:.3f}, tumour {s.tumour_area_mm2:.2f} of "
        f"{s.tissue_area_mm2:.1f} mm2, largest focus {s.largest_focus_mm:.2f} mm "
        f"({s.size_class}), {one.seconds:.1f} s"
    )


COLUMNS = (
    *("slide", "status", "reason", "score", "tissue_mm2", "tumour_mm2", "largest_focus_mm"),
    *("size_class", "positions", "seconds", "reading_s", "masking_s", "inferring_s", "writing_s"),
)


def _write_table(path: Path, outcomes: Sequence[Outcome]) -> None:
    rows = []
    for one in outcomes:
        s, t = one.summary, one.times
        rows.append(
            {
                "slide": one.slide,
                "status": one.status,
                "reason": one.reason,
                "score": s and s.score,
                "tissue_mm2": s and s.tissue_area_mm2,
                "tumour_mm2": s and s.tumour_area_mm2,
                "largest_focus_mm": s and s.largest_focus_mm,
                "size_class": s and s.size_class,
                "positions": s and s.positions,
                "seconds": round(one.seconds, 2),
                "reading_s": round(t.reading, 2),
                "masking_s": round(t.masking, 2),
                "inferring_s": round(t.inferring, 2),
                "writing_s": round(t.writing, 2),
            }
        )
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(
            temporary, index=False, lineterminator="\n"
        )


def shard_of(text: str) -> tuple[int, int]:
    """Read ``I/N`` as number and count.

    Raises:
        InputError: It is no such pair, or I is not in 1..N.
    """
    first, slash, second = text.partition("/")
    if slash and first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second):
        return int(first), int(second)
    raise InputError(
        f"--shard takes I/N with I from 1 to N, as in 3/8 for the third of eight parts, got {text}"
    )

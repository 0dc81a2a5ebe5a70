"""From annotated slides to a packed set, in steps that an interruption does not lose."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import pandas as pd

from sentinode.core import (
    Progress,
    atomic_path,
    folder_lock,
    hash_json,
    make_folder,
    provenance,
    read_json,
    spread,
    write_json,
)
from sentinode.data.mining import Choice, Judge, Looked, source_of
from sentinode.data.packing import pack
from sentinode.data.slidesource import SlideSource
from sentinode.data.survey import Job, check, survey
from sentinode.errors import InputError, SentinodeError
from sentinode.slides import is_mask
from sentinode.tables import PackedSet, read_parquet, write_parquet
from sentinode.types import RESEARCH_USE_ONLY

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import ExtractConfig, PackConfig

__all__ = ["EXTRACT_FILE", "HARD_FILE", "Extraction", "extract"]

EXTRACT_FILE = "extract.json"
HARD_FILE = "hard_negatives.csv"


@final
@dataclass(frozen=True)
class Extraction:
    """What was made.

    Attributes:
        packed: The set.
        record: What ``extract.json`` says.
    """

    packed: PackedSet
    record: dict[str, Any]


def extract(
    jobs: Sequence[Job],
    out: Path,
    config: ExtractConfig,
    packing: PackConfig,
    judge: Judge | None = None,
    keep_going: bool = False,
) -> Extraction:
    """Cut patches from annotated slides into a packed set.

    A set that is there already is kept where slides, annotations and settings are the same.
    Interrupted and started again, it goes on.

    Args:
        jobs: Slides with different names.
        out: The set's folder; beside its usual files ``extract.json`` tells what each slide gave,
            and ``hard_negatives.csv`` which patches the judge was wrong about.
        config: Size, scale, number and balance of the patches.
        packing: How they are packed.
        judge: Finds hard negatives; none for patches drawn by chance alone.
        keep_going: Leave out slides that cannot be used, with their reason, in place of stopping.

    Raises:
        InputError: A slide cannot be used and ``keep_going`` is not given, or none can, or there
            is no place for a patch on any; or packing would change the patches' size.
        DiskFullError: There is no room.
        BusyError: Another process writes to ``out``.
    """
    _check_resize(config, packing)
    stamp = _stamp(jobs, config, judge)
    kept = _kept(out, stamp)
    if kept is not None:
        return kept
    usable, problems = _checked(jobs, config, keep_going)
    work = out / ".extract"
    with folder_lock(work):
        _begin(work, stamp)
        (out / EXTRACT_FILE).unlink(missing_ok=True)  # or it would vouch for what is packed now
        looked = _surveys(usable, work, config)
        problems |= {s.job.name: s.facts["problem"] for s in looked if "problem" in s.facts}
        _stop_at(problems, len(jobs), keep_going)
        looked = [s for s in looked if s.job.name not in problems]
        table, taken = Choice(work, config, packing, judge).of(looked)
        source = source_of([s.job for s in looked], table, config)
        packed = pack(source, out, packing)
        source.close()
        record = _record(looked, taken, problems, config, stamp)
        _write(out, record, table[table["probability"].notna()], judge)
    shutil.rmtree(work)
    return Extraction(packed, record)


def _check_resize(config: ExtractConfig, packing: PackConfig) -> None:
    if packing.resize not in (None, config.size):
        raise InputError(
            f"pack.resize = {packing.resize} would change the scale of patches cut at "
            f"{config.mpp:.3g} µm/px; give --set extract.size and --set extract.mpp instead"
        )


def _stamp(jobs: Sequence[Job], config: ExtractConfig, judge: Judge | None) -> str:
    def state(path: Path | None) -> list[int] | None:
        return None if path is None else [path.stat().st_size, path.stat().st_mtime_ns]

    def unknown(job: Job) -> bool | str:
        mask = job.annotation is not None and is_mask(job.annotation)
        return "zeros" if mask and job.reading.only_annotated else job.reading.only_annotated

    return hash_json(
        {
            "slides": [
                [j.name, state(j.slide), state(j.annotation), j.mpp, dict(j.reading.classes),
                 list(j.reading.mask_values), unknown(j)]
                for j in jobs
            ],
            "config": config.fingerprint(),
            "judge": judge.identity if judge else None,
        }
    )  # fmt: skip


def _kept(out: Path, stamp: str) -> Extraction | None:
    try:
        record = read_json(out / EXTRACT_FILE)
        packed = PackedSet.open(out)
        if record["stamp"] == stamp and packed.meta.kind == SlideSource.kind:
            return Extraction(packed, record)
    except (SentinodeError, KeyError, TypeError):
        return None
    return None


def _checked(
    jobs: Sequence[Job], config: ExtractConfig, keep_going: bool
) -> tuple[list[Job], dict[str, str]]:
    """Tell before the work begins which slides cannot be used."""
    found = {job.name: check(job, config) for job in jobs}
    problems = {name: problem for name, problem in found.items() if problem is not None}
    _stop_at(problems, len(jobs), keep_going)
    return [job for job in jobs if job.name not in problems], problems


def _stop_at(problems: dict[str, str], count: int, keep_going: bool) -> None:
    if not problems or (keep_going and len(problems) < count):
        return
    first, *others = problems
    more = f"; {len(others)} more cannot be used either: {', '.join(others)}" if others else ""
    way = "" if keep_going or count == len(problems) else " (--keep-going leaves them out)"
    raise InputError(problems[first] + more + way)


def _begin(work: Path, stamp: str) -> None:
    """Keep what an interrupted extraction of the same slides left, and nothing else."""
    journal = work / "journal.json"
    if journal.is_file() and read_json(journal) == {"stamp": stamp}:
        return
    for old in work.iterdir():
        if old.is_dir():  # patches that a judge was looking at
            shutil.rmtree(old)
        elif old.name != ".lock":
            old.unlink()
    write_json(journal, {"stamp": stamp})


def _surveys(jobs: Sequence[Job], work: Path, config: ExtractConfig) -> list[Looked]:
    """Survey all slides, each once; the order is that of the jobs."""
    files = [work / f"survey-{job.name}.parquet" for job in jobs]
    missing = [i for i, file in enumerate(files) if not file.is_file()]
    shared = (config, list(jobs))
    with Progress("look at slides", len(jobs), unit="slides", done=len(jobs) - len(missing)) as bar:
        for i, (frame, facts) in spread(_survey_one, shared, missing, config.workers):
            write_parquet(files[i], frame, facts)
            bar.advance()
    return [
        Looked(job, *read_parquet(file, "places of a slide"))
        for job, file in zip(jobs, files, strict=True)
    ]


def _survey_one(
    shared: tuple[ExtractConfig, list[Job]], number: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    config, jobs = shared
    return survey(config, jobs[number])


def _record(
    looked: Sequence[Looked],
    taken: dict[str, dict[str, int]],
    problems: dict[str, str],
    config: ExtractConfig,
    stamp: str,
) -> dict[str, Any]:
    slides = {
        s.job.name: {
            **s.facts,
            **taken[s.job.name],
            "file": s.job.slide.name,
            "annotation": s.job.annotation.name if s.job.annotation else None,
        }
        for s in looked
    }
    made = provenance("extract", config=config.fingerprint(), seeds={"extract": config.seed})
    return {
        "notice": RESEARCH_USE_ONLY,
        "stamp": stamp,
        "slides": slides,
        "left_out": problems,
        "provenance": made.model_dump(mode="json"),
    }


def _write(out: Path, record: dict[str, Any], hard: pd.DataFrame, judge: Judge | None) -> None:
    make_folder(out)
    (out / HARD_FILE).unlink(missing_ok=True)
    if judge is not None:
        hard = hard.sort_values("probability", ascending=False, kind="stable")
        with atomic_path(out / HARD_FILE) as temporary:
            columns = ["slide", "x", "y", "probability"]
            hard[columns].to_csv(temporary, index=False, lineterminator="\n", float_format="%.6f")
    write_json(out / EXTRACT_FILE, record)

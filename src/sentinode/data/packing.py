"""From a source to one packed set on disk, in one pass that an interruption does not lose."""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sentinode.core import (
    Progress,
    Workers,
    anonymous_memory,
    atomic_path,
    folder_lock,
    hash_bytes,
    hash_json,
    make_folder,
    need_disk,
    provenance,
    read_json,
    write_json,
)
from sentinode.data.chunks import Chunk, Task, readers
from sentinode.data.decode import PatchProblem
from sentinode.data.source import Source
from sentinode.errors import InputError, SentinodeError
from sentinode.tables import (
    COARSE_FILE,
    COARSE_SIDE,
    IMAGES_FILE,
    SET_FORMAT,
    Manifest,
    PackedSet,
    SetMeta,
)

if TYPE_CHECKING:  # a worker process does without
    from sentinode.config import PackConfig

__all__ = ["pack"]

CHUNK = 1024
SAMPLED_FOR_SIZE = 32
JOURNAL = "journal.json"
STALE = ("meta.json", "audit.json", "split.json", "extract.json", "hard_negatives.csv")
"""Files of a set that a new packing makes untrue."""


def pack(source: Source, out: Path, config: PackConfig) -> PackedSet:
    """Read every patch of a source once and write the packed set.

    Each patch that cannot be used keeps its row, with a reason in the manifest's column
    ``problem`` and zeros for its image. A set that is there already is kept where it was made
    from the same source with the same settings, and replaced otherwise. Interrupted and started
    again, packing goes on; the bytes of the set are the same however many workers took part.

    Args:
        source: What to read.
        out: The set's folder.
        config: Settings.

    Raises:
        InputError: The source is empty or none of its patches can be read.
        DiskFullError: There is no room; chunks that were finished are kept.
        BusyError: Another process writes to ``out``.
    """
    if not len(source):
        raise InputError("the source holds no patches")
    hired = readers(len(source), math.ceil(len(source) / CHUNK), config.workers)
    with folder_lock(out), hired:
        if not (out / "meta.json").is_file():
            hired.start()
        made_from = {"source": source.fingerprint()}
        kept = _kept(out, made_from, config)
        if kept is not None:
            return kept
        work = out / ".pack"
        _begin(work, made_from, config)
        source.prepare(work)
        size = config.resize or _size_of(source)
        _make_room(work, len(source), size)
        frame = _read_all(Task(source, work, size, config.resize is not None), work, hired)
        if not frame["problem"].isna().any():
            raise InputError(f"no patch can be used; the first: {frame['problem'].iloc[0]}")
        return _finish(out, work, source, size, frame, made_from, config)


def _kept(out: Path, made_from: dict[str, str], config: PackConfig) -> PackedSet | None:
    try:
        there = PackedSet.open(out)
    except SentinodeError:
        return None
    made = there.meta.provenance
    same = made.inputs == made_from and made.config == config.fingerprint()
    return there if same else None


def _shapes_of(source: Source) -> Counter[tuple[int, ...]]:
    """Count the shapes of a sample of patches spread over the source."""
    usable = np.flatnonzero(source.table["problem"].isna())
    picks = np.unique(np.linspace(0, len(usable), SAMPLED_FOR_SIZE, endpoint=False).astype(int))
    shapes: Counter[tuple[int, ...]] = Counter()
    reason = "no label or no image"
    for row in usable[picks[picks < len(usable)]].tolist():
        try:
            shapes[source.read(row).shape] += 1
        except PatchProblem as problem:
            reason = f"{source.table['path'].iloc[row]}: {problem}"
    if not shapes:
        raise InputError(f"none of the patches tried can be read; {reason}")
    return shapes


def _size_of(source: Source) -> int:
    """Return the commonest side of the patches."""
    height, width, _ = _shapes_of(source).most_common(1)[0][0]
    if height != width:
        raise InputError(
            f"patches are {width}x{height} px, expected squares; "
            "give --set pack.resize=96 to make them so"
        )
    return int(height)


def _mpp_of(source: Source, resize: int | None) -> float | None:
    """Return the scale of the packed patches, None where it is not known of all of them."""
    if source.mpp is None or resize is None:
        return source.mpp
    shapes = _shapes_of(source)
    height, width, _ = next(iter(shapes))
    return source.mpp * height / resize if len(shapes) == 1 and height == width else None


def _begin(work: Path, made_from: dict[str, str], config: PackConfig) -> None:
    """Keep what an interrupted packing of the same source left, and nothing else."""
    state = {"hash": hash_json({**made_from, "config": config.fingerprint(), "chunk": CHUNK})}
    journal = work / JOURNAL
    if journal.is_file() and read_json(journal) == state:
        for cut_short in work.glob(".*.partial*"):  # by kill -9: large where files are unpacked
            cut_short.unlink()
        return
    shutil.rmtree(work, ignore_errors=True)
    make_folder(work)
    write_json(journal, state)


def _make_room(work: Path, count: int, size: int) -> None:
    """Lay out the arrays at their full size, before a patch is read."""
    arrays = ((IMAGES_FILE, size), (COARSE_FILE, COARSE_SIDE))
    if not all((work / name).is_file() for name, _ in arrays):
        for read in work.glob("chunk-*.parquet"):  # into an array that is no longer here
            read.unlink()
    for name, side in arrays:
        if (work / name).is_file():
            continue
        need_disk(work, count * side * side * 3, "the packed set")
        with atomic_path(work / name) as temporary:
            mapped = np.lib.format.open_memmap(
                temporary, mode="w+", dtype=np.uint8, shape=(count, side, side, 3)
            )
            del mapped
            if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
                with temporary.open("r+b") as handle:
                    # a sparse file on a disk that fills later would end the process silently
                    os.posix_fallocate(handle.fileno(), 0, temporary.stat().st_size)


def _read_all(task: Task, work: Path, hired: Workers[Task, Chunk, pd.DataFrame]) -> pd.DataFrame:
    chunks = [
        Chunk(first, min(first + CHUNK, len(task.source)))
        for first in range(0, len(task.source), CHUNK)
    ]
    files = {c: work / f"chunk-{c.first:08d}.parquet" for c in chunks}
    missing = [c for c in chunks if not files[c].is_file()]
    done = len(task.source) - sum(c.stop - c.first for c in missing)
    aside = 0
    with Progress("pack", len(task.source), done=done) as progress:
        progress.say(f"pack: {len(task.source) * task.size**2 * 3 / 1e9:.2f} GB of disk are taken")
        for chunk, frame in hired.spread(task, missing):
            with atomic_path(files[chunk]) as temporary:
                frame.to_parquet(temporary, index=False)
            aside += int(frame["problem"].notna().sum())
            facts = {"memory": f"{anonymous_memory() / 1e9:.2f} GB"}
            progress.advance(len(frame), **facts, **({"aside": f"{aside:,}"} if aside else {}))
    return pd.concat([pd.read_parquet(f) for f in files.values()], ignore_index=True)


def _finish(
    out: Path,
    work: Path,
    source: Source,
    size: int,
    found: pd.DataFrame,
    made_from: dict[str, str],
    config: PackConfig,
) -> PackedSet:
    made = provenance("pack", config=config.fingerprint(), inputs=made_from)
    known = source.table.drop(columns="problem")
    manifest = Manifest.make(pd.concat([known, found], axis=1), made.model_dump(mode="json"))
    rows = manifest.frame[["id", "label", "sha256"]].astype("string").fillna("")
    meta = SetMeta(
        format=SET_FORMAT,
        kind=source.kind,
        count=len(manifest),
        size=size,
        mpp=_mpp_of(source, config.resize),
        content_hash=hash_bytes("\n".join(_lines(rows)).encode()),
        provenance=made,
    )
    for name in STALE:
        (out / name).unlink(missing_ok=True)
    manifest.write(out / "manifest.parquet")
    for name in (IMAGES_FILE, COARSE_FILE):
        (work / name).replace(out / name)
    write_json(out / "meta.json", meta.model_dump(mode="json"))
    shutil.rmtree(work)
    return PackedSet.open(out)


def _lines(rows: pd.DataFrame) -> Iterator[str]:
    for values in rows.itertuples(index=False):
        yield "\t".join(values)

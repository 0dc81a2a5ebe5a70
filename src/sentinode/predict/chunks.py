"""Patches through a network in chunks, each kept on disk once it is done."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from sentinode.core import (
    Progress,
    atomic_path,
    hash_json,
    large_memory_kept,
    make_folder,
    write_json,
)
from sentinode.predict.reading import Reading, ahead
from sentinode.predict.runtimes import Runtime

__all__ = ["CHUNK", "Chunk", "Work", "compute"]

CHUNK = 2048
"""About so many patches are lost at most when the work is interrupted."""
KEY_FILE = "key.json"


@final
@dataclass(frozen=True)
class Chunk:
    """What came of the patches of one chunk, or of all.

    Attributes:
        kept: int64 (K,), rows that could be used.
        logits: float32 (K,).
        left_out: Why others could not, by id.
        digests: SHA-256 over id and pixels of each patch kept, one after the other; empty where
            the set has a hash of its own.
    """

    kept: NDArray[np.int64]
    logits: NDArray[np.float32]
    left_out: dict[str, str]
    digests: bytes

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        left_out = np.array(json.dumps(self.left_out))
        digests = np.frombuffer(self.digests, np.uint8)
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.savez(handle, kept=self.kept, logits=self.logits, left_out=left_out, digests=digests)

    @classmethod
    def read(cls, path: Path) -> Chunk | None:
        """Read it back; None where it is not there or not whole."""
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
                left_out = json.loads(str(file["left_out"]))
                return cls(file["kept"], file["logits"], left_out, file["digests"].tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


@final
class Work:
    """A folder for finished chunks of one job; those of another job are thrown away.

    Args:
        folder: Where they lie.
        key: All that shapes the logits; plain JSON.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        stated, mine = folder / KEY_FILE, hash_json(key)
        kept = stated.is_file() and mine in stated.read_text(encoding="utf-8", errors="replace")
        if not kept:
            make_folder(folder)
            for other in folder.glob("*.npz"):
                other.unlink()
            write_json(stated, mine)

    def path(self, number: int) -> Path:
        """Return where chunk ``number`` belongs."""
        return self.folder / f"{number:06d}.npz"


def compute(reading: Reading, runtime: Runtime, batch_size: int, work: Work | None) -> Chunk:
    """Compute the logits of patches; reading, computing and writing go on side by side.

    Args:
        reading: The patches.
        runtime: What computes.
        batch_size: Patches at once.
        work: Where finished chunks are kept and looked for.

    Raises:
        InputError: A batch does not fit in memory.
        DiskFullError: A chunk cannot be written.
    """
    size = max(1, CHUNK // batch_size) * batch_size
    parts = [reading.rows[i : i + size] for i in range(0, len(reading.rows), size)]
    found = [Chunk.read(work.path(n)) if work else None for n in range(len(parts))]
    chunks = {n: chunk for n, chunk in enumerate(found) if chunk is not None}
    todo = [n for n in range(len(parts)) if n not in chunks]
    before = sum(len(parts[n]) for n in chunks)
    progress = Progress("predict", len(reading.rows), done=before)
    with large_memory_kept(), progress, _writer() as write:
        if before:
            progress.say(f"{before:,} patches were predicted before; going on from there")
        for number, chunk in _computed(reading, runtime, parts, todo, batch_size, progress):
            chunks[number] = chunk
            if work is not None:
                write(chunk, work.path(number))
        for line in runtime.remarks():
            progress.say(line)
    return _joined([chunks[n] for n in range(len(parts))])


def _computed(
    reading: Reading,
    runtime: Runtime,
    parts: list[NDArray[np.int64]],
    todo: list[int],
    batch_size: int,
    progress: Progress,
) -> Iterator[tuple[int, Chunk]]:
    tasks = [
        (number, start, parts[number][start : start + batch_size])
        for number in todo
        for start in range(0, len(parts[number]), batch_size)
    ]
    made: list[Chunk] = []
    for (number, start, rows), batch in ahead(lambda task: reading.read(task[2]), tasks):
        logits = runtime.logits(batch.patches) if len(batch.rows) else np.empty(0, np.float32)
        made.append(Chunk(batch.rows, logits, batch.left_out, batch.digests))
        progress.advance(len(rows))
        if start + batch_size >= len(parts[number]):
            yield number, _joined(made)
            made = []


def _joined(chunks: list[Chunk]) -> Chunk:
    left_out = {name: why for chunk in chunks for name, why in chunk.left_out.items()}
    return Chunk(
        np.concatenate([chunk.kept for chunk in chunks]),
        np.concatenate([chunk.logits for chunk in chunks]),
        left_out,
        b"".join(chunk.digests for chunk in chunks),
    )


@contextmanager
def _writer() -> Iterator[Any]:
    """Give a function that writes a chunk beside the work, one at a time."""
    with ThreadPoolExecutor(1, thread_name_prefix="writing") as pool:
        waiting: list[Future[None]] = []

        def write(chunk: Chunk, path: Path) -> None:
            for earlier in waiting:
                earlier.result()
            waiting[:] = [pool.submit(chunk.write, path)]

        yield write
        for last in waiting:
            last.result()

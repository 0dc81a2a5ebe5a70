"""Which stages of a run are finished, so that starting it again redoes none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from pydantic import BaseModel, ConfigDict, ValidationError

from sentinode import __version__
from sentinode.core import Watch, hash_file, hash_json, read_json, write_json
from sentinode.errors import SentinodeError

__all__ = ["Ledger", "StageRecord"]

HASHED_UP_TO_BYTES = 256 * 2**20


class StageRecord(BaseModel):
    """A finished stage.

    Attributes:
        fingerprint: Hash of the settings and of the inputs that shaped its result.
        outputs: State of each file it left, by its path below the run's folder.
        seconds: Wall time.
        peak_bytes: Peak resident memory of the process and its children.
        peak_anonymous_bytes: The same without the pages of memory-mapped files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    outputs: dict[str, str]
    seconds: float
    peak_bytes: int
    peak_anonymous_bytes: int


@final
class Ledger:
    """The stages of one folder, in ``stages.json``.

    Args:
        folder: The run's folder.
        say: Called with one line for each stage that is kept or finished.

    Attributes:
        records: Every stage that was ever finished there, by name.
        visited: Those that this job kept or finished, in its order.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._path = folder / "stages.json"
        self.records = self._read()
        self.visited: dict[str, StageRecord] = {}

    def stage(
        self,
        name: str,
        depends_on: Mapping[str, Any],
        outputs: Sequence[Path],
        work: Callable[[], object],
    ) -> None:
        """Do a stage, unless it was done with the same settings and inputs and its files stand.

        Args:
            name: Name of the stage.
            depends_on: Settings and hashes of inputs, as JSON values.
            outputs: The files that the stage leaves.
            work: Does it.
        """
        fingerprint = hash_json({"sentinode": __version__, **depends_on})
        record = self.records.get(name)
        if record and record.fingerprint == fingerprint and self._stands(record, outputs):
            self.visited[name] = record
            self._say(f"{name}: done before, kept")
            return
        with Watch() as watch:
            work()
        self.visited[name] = self.records[name] = StageRecord(
            fingerprint=fingerprint,
            outputs={p.relative_to(self._folder).as_posix(): _state(p) for p in outputs},
            seconds=round(watch.seconds, 2),
            peak_bytes=watch.peak_bytes,
            peak_anonymous_bytes=watch.peak_anonymous_bytes,
        )
        write_json(self._path, {k: r.model_dump() for k, r in self.records.items()})
        self._say(f"{name}: {watch.seconds:.1f} s, peak memory {watch.peak_bytes / 2**20:,.0f} MiB")

    def _stands(self, record: StageRecord, outputs: Sequence[Path]) -> bool:
        return all(
            path.is_file()
            and record.outputs.get(path.relative_to(self._folder).as_posix()) == _state(path)
            for path in outputs
        )

    def _read(self) -> dict[str, StageRecord]:
        if not self._path.is_file():
            return {}
        try:
            return {k: StageRecord.model_validate(v) for k, v in read_json(self._path).items()}
        except (SentinodeError, ValidationError, AttributeError):
            self._say(f"{self._path.name} cannot be read: every stage is looked at again")
            return {}


def _state(path: Path) -> str:
    """Hash of a file's content; of its size alone where hashing would take long."""
    size = path.stat().st_size
    return f"{size} bytes" if size > HASHED_UP_TO_BYTES else hash_file(path)

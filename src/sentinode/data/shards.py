"""WebDataset: tar files in which KEY.png stands beside KEY.cls or KEY.json."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd

from sentinode.data.decode import SUFFIXES, PatchProblem, decode
from sentinode.data.labels import CLASS_NAMES, FOLD_NAMES, binary
from sentinode.data.source import Source, fingerprint, typed_items
from sentinode.errors import InputError
from sentinode.types import UInt8Array

__all__ = ["TarSource"]

KEPT = ("slide", "patient", "centre", "x", "y")
LARGEST_LABEL = 1_000_000  # bytes; a .cls or .json beyond it is something else


@final
class TarSource(Source):
    """Patches inside uncompressed tar files, read at their offset.

    Args:
        root: Folder of the shards.
        files: The shards in order; ``train-000000.tar`` gives the fold.
    """

    kind = "webdataset"

    def __init__(self, root: Path, files: list[Path]) -> None:
        self._files = files
        rows = [row for number, file in enumerate(files) for row in _index(number, file)]
        if not rows:
            raise InputError(
                f"{root}: the tar files hold no images ({', '.join(sorted(SUFFIXES))})"
            )
        found = pd.DataFrame(rows)
        self._place = found[["file", "offset", "size"]].to_numpy(np.int64)
        table = found.drop(columns=["file", "offset", "size"])
        if "label" in table and table["label"].notna().any():
            named = table["label"].map(lambda v: CLASS_NAMES.get(str(v).strip().lower(), v))
            checked = binary(named, root)
            table["label"] = checked["label"]
            table["problem"] = checked["problem"].mask(named.isna(), "no label: no .cls, no .json")
        self.table = typed_items(table, root)

    def read(self, row: int) -> UInt8Array:
        """Read one patch; see :meth:`Source.read`."""
        number, offset, size = map(int, self._place[row])
        try:
            with self._files[number].open("rb", buffering=0) as shard:
                shard.seek(offset)
                data = shard.read(size)
        except OSError as error:
            raise PatchProblem(f"unreadable: {error.strerror}") from error
        return decode(data)

    def fingerprint(self) -> str:
        """Hash of the table and of the shards' sizes and times."""
        return fingerprint(self.table, self._files)


def _index(number: int, file: Path) -> list[dict[str, Any]]:
    """List the images of one shard with what stands beside them."""
    images: dict[str, dict[str, Any]] = {}
    beside: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(file, "r:") as shard:
            for member in shard:
                if not member.isfile():
                    continue
                key, _, ending = member.name.partition(".")
                if "/" in ending:  # a point in the name of a folder
                    folder, _, name = member.name.rpartition("/")
                    stem, _, ending = name.partition(".")
                    key = f"{folder}/{stem}"
                if f".{ending.lower()}" in SUFFIXES:
                    place = {"file": number, "offset": member.offset_data, "size": member.size}
                    images[key] = {"path": f"{file.name}#{member.name}", **place}
                elif ending in ("cls", "json") and member.size < LARGEST_LABEL:
                    content = shard.extractfile(member)
                    text = content.read().decode("utf-8") if content else ""
                    beside.setdefault(key, {}).update(_said(ending, text, file, member.name))
    except (tarfile.TarError, EOFError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file}: expected an uncompressed tar file, {error}") from error
    word = re.match(r"[a-zA-Z]+", file.name)
    fold = FOLD_NAMES.get(word[0].lower()) if word else None
    return [
        {"id": f"{file.stem}/{key}", "source_fold": fold, "label": None}
        | image
        | beside.get(key, {})
        for key, image in images.items()
    ]


def _said(ending: str, text: str, file: Path, name: str) -> dict[str, Any]:
    if ending == "cls":
        return {"label": text.strip()}
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}: {name} is no JSON, {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{file}: {name}: expected an object with label, got {text[:40]!r}")
    return {key: values[key] for key in ("label", *KEPT) if key in values}

"""WebDataset: tar files in which KEY.png stands beside KEY.cls or KEY.json."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd

from sentinode.data.decode import SUFFIXES, PatchProblem, decode
from sentinode.data.labels import binary, known_columns, named_classes
from sentinode.data.shards import folds_of
from sentinode.data.source import Source, fingerprint, typed_items
from sentinode.errors import InputError
from sentinode.types import UInt8Array

__all__ = ["TarSource"]

LARGEST_LABEL = 1_000_000  # bytes; a .cls or .json beyond it is something else
_SAID = {
    "label", "slide", "wsi", "patient", "centre", "center", "x", "y", "coord_x", "coord_y",
}  # fmt: skip
_BLOCK = 512  # bytes of a tar's header, and of the zeros at its end


@final
class TarSource(Source):
    """Patches inside uncompressed tar files, read at their offset.

    Args:
        root: Folder of the shards.
        files: The shards in order; ``train-000000.tar`` gives the fold where all have one.

    Raises:
        InputError: A shard is damaged or cut short, holds two images under one key, or none holds
            an image; more than half of the labels are not 0 or 1.
    """

    kind = "webdataset"

    def __init__(self, root: Path, files: list[Path]) -> None:
        self._files = files
        parts = []
        for number, (file, fold) in enumerate(zip(files, folds_of(root, files), strict=True)):
            part = _index(file, file.relative_to(root).as_posix())
            parts.append(part.assign(file=number, source_fold=fold))
        found = pd.concat(parts, ignore_index=True)
        if not (found["offset"] >= 0).any():
            raise InputError(
                f"{root}: the tar files hold no images ({', '.join(sorted(SUFFIXES))})"
            )
        self._place = found[["file", "offset", "size"]].to_numpy(np.int64)
        table = found[["id", "path", "source_fold"]].join(known_columns(found, root))
        table["problem"] = pd.Series(pd.NA, table.index, dtype="string")
        if "label" in found:
            table[["label", "problem"]] = binary(named_classes(found["label"]), root)
            table["problem"] = table["problem"].mask(
                found["label"].isna(), "no label: no .cls and no .json with label beside it"
            )
        table["problem"] = table["problem"].mask(found["offset"] < 0, "no image for its label")
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


def _index(file: Path, name: str) -> pd.DataFrame:
    """List the samples of one shard: where the image is, and what stands beside it."""
    samples: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(file, "r:") as shard:
            while (member := shard.next()) is not None:
                shard.members.clear()  # type: ignore[attr-defined]  # or it keeps every header
                _note(samples, shard, member, file)
            end = shard.offset
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{file}: expected an uncompressed tar file, {error}") from error
    with file.open("rb") as stream:
        stream.seek(end)
        if stream.read(_BLOCK) != bytes(_BLOCK):  # tarfile ends there without a word
            raise InputError(
                f"{file} is damaged or cut short after {end:,} bytes: expected a further file or "
                "the mark of its end; fetch it again"
            )
    stem = name.removesuffix(file.suffix)
    frame = pd.DataFrame.from_records(list(samples.values()), columns=_columns(samples))
    frame["id"] = [f"{stem}/{key}" for key in samples]
    missing = pd.Series([f"{name}#{key}" for key in samples], frame.index, dtype="string")
    frame["path"] = (name + "#" + frame["member"].astype("string")).fillna(missing)
    frame["offset"] = frame["offset"].fillna(-1).astype(np.int64)
    frame["size"] = frame["size"].fillna(0).astype(np.int64)
    return frame


def _columns(samples: dict[str, dict[str, Any]]) -> list[str]:
    given = {name for sample in samples.values() for name in sample}
    return ["member", "offset", "size", *sorted(given - {"member", "offset", "size"})]


def _note(
    samples: dict[str, dict[str, Any]], shard: tarfile.TarFile, member: tarfile.TarInfo, file: Path
) -> None:
    folder, _, name = member.name.removeprefix("./").rpartition("/")
    stem, _, ending = name.partition(".")
    if not member.isfile() or not stem:
        return
    key, ending = f"{folder}/{stem}" if folder else stem, ending.lower()
    if f".{ending}" in SUFFIXES:
        sample = samples.setdefault(key, {})
        if "member" in sample:
            raise InputError(
                f"{file}: {sample['member']} and {member.name} have one key; remove one"
            )
        sample |= {"member": member.name, "offset": member.offset_data, "size": member.size}
    elif ending in ("cls", "json") and member.size < LARGEST_LABEL:
        content = shard.extractfile(member)
        text = content.read() if content else b""
        samples.setdefault(key, {}).update(_said(ending, text, f"{file}: {member.name}"))


def _said(ending: str, content: bytes, where: str) -> dict[str, str]:
    try:
        if ending == "cls":
            return {"label": content.decode().strip()}
        values = json.loads(content)
    except (ValueError, RecursionError) as error:  # of the text or of its JSON
        raise InputError(f"{where}: expected a label in plain text or JSON, {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected an object with label, got {str(values)[:40]!r}")
    said = {key: values[key] for key in _SAID & set(values) if values[key] is not None}
    wrong = [key for key, value in said.items() if not isinstance(value, str | int | float)]
    if wrong:
        raise InputError(f"{where}: {wrong[0]} is {said[wrong[0]]!r}, expected one value")
    return {key: str(value) for key, value in said.items()}

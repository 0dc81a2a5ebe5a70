"""Parquet shards with the images inside, as the Hugging Face hub stores a set."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentinode.data.decode import PatchProblem, decode
from sentinode.data.labels import CLASS_NAMES, FOLD_NAMES, binary
from sentinode.data.source import Source, fingerprint, typed_items
from sentinode.errors import InputError
from sentinode.types import UInt8Array

__all__ = ["HubSource", "has_images", "shards_below"]

IMAGE, LABEL = ("image", "img"), ("label", "labels")
KEPT = ("slide", "patient", "centre", "x", "y")


def shards_below(folder: Path) -> list[Path]:
    """Return the Parquet shards of a folder, or of ``data/`` in it."""
    return [
        p
        for place in (folder, folder / "data")
        if place.is_dir()
        for p in sorted(place.glob("*.parquet"))
    ]


def has_images(path: Path) -> bool:
    """Tell whether a Parquet file has a column of images.

    Raises:
        InputError: It is no Parquet file.
    """
    return _column(_schema(path), IMAGE) is not None


@final
class HubSource(Source):
    """Patches inside Parquet shards, read by row group.

    Args:
        root: Folder of the shards.
        files: The shards, in order; ``train-00000-of-00003.parquet`` gives the fold.
    """

    kind = "parquet-images"

    def __init__(self, root: Path, files: list[Path]) -> None:
        self._files = files
        tables, groups, at = [], [], []
        for number, file in enumerate(files):
            table, sizes = _table(root, file)
            tables.append(table)
            for group, size in enumerate(sizes):
                groups += [(number, group)] * size
                at.append(np.arange(size))
        self.table = typed_items(pd.concat(tables, ignore_index=True), root)
        self._group = np.array(groups, np.int64).reshape(-1, 2)
        self._at = np.concatenate(at) if at else np.zeros(0, np.int64)
        self._column_of = [_column(_schema(f), IMAGE) for f in files]
        self._loaded: tuple[tuple[int, int], Any] | None = None

    def read(self, row: int) -> UInt8Array:
        """Read one patch; its row group stays until another one is asked for."""
        number, group = map(int, self._group[row])
        loaded = self._loaded  # one name, since threads may read at once
        if loaded is None or loaded[0] != (number, group):
            self._loaded = loaded = None  # before the next one is read: a group can be large
            try:
                with pq.ParquetFile(self._files[number]) as file:
                    read = file.read_row_group(group, columns=[self._column_of[number]])
            except (OSError, pa.ArrowException) as error:
                raise PatchProblem(f"unreadable: {str(error).splitlines()[0]}") from error
            self._loaded = loaded = ((number, group), read.column(0))
        value = loaded[1][int(self._at[row])].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            raise PatchProblem("unreadable: the image's bytes are missing")
        return decode(content)

    def fingerprint(self) -> str:
        """Hash of the table and of the shards' sizes and times."""
        return fingerprint(self.table, self._files)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_loaded": None}


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path} is damaged: expected Parquet, {first}") from error


def _column(schema: pa.Schema, names: tuple[str, ...]) -> str | None:
    for name in names:
        if name in schema.names:
            kind = schema.field(name).type
            held = names is LABEL or pa.types.is_struct(kind) or pa.types.is_binary(kind)
            if held or pa.types.is_large_binary(kind):
                return name
    return None


def _table(root: Path, file: Path) -> tuple[pd.DataFrame, list[int]]:
    """Read all but the images of a shard, and the sizes of its row groups."""
    schema = _schema(file)
    image, label = _column(schema, IMAGE), _column(schema, LABEL)
    if image is None:
        raise InputError(f"{file}: expected a column image, got {', '.join(schema.names)}")
    wanted = [n for n in (label, "id", *KEPT) if n in schema.names]
    with pq.ParquetFile(file) as opened:
        count = opened.metadata.num_rows
        sizes = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
        read = (
            opened.read(columns=wanted).to_pandas() if wanted else pd.DataFrame(index=range(count))
        )
    table = read[[n for n in KEPT if n in read]].copy()
    name = file.relative_to(root).with_suffix("").as_posix()
    table["id"] = read["id"] if "id" in read else [f"{name}/{i:06d}" for i in range(count)]
    table["path"] = [f"{file.relative_to(root).as_posix()}#{i}" for i in range(count)]
    if label is not None:
        values = _named(read[label], schema, label)
        table[["label", "problem"]] = binary(values, file)
        table["problem"] = table["problem"].mask(values.isna())
    word = re.match(r"[a-zA-Z]+", file.name)
    return table.assign(source_fold=FOLD_NAMES.get(word[0].lower()) if word else None), sizes


def _named(values: pd.Series[Any], schema: pa.Schema, label: str) -> pd.Series[Any]:
    """Turn the numbers of a ClassLabel, or names of classes, into labels where names are known.

    The hub orders classes by name, so that a number alone may mean the other class.
    """
    if pd.api.types.is_string_dtype(values):
        return values.str.lower().map(CLASS_NAMES).fillna(values)
    note = (schema.metadata or {}).get(b"huggingface")
    feature = json.loads(note).get("info", {}).get("features", {}).get(label, {}) if note else {}
    names = feature.get("names") if isinstance(feature, dict) else None
    known = [CLASS_NAMES.get(str(n).lower()) for n in names or ()]
    if not known or None in known:
        return values
    return values.map(dict(enumerate(known)))

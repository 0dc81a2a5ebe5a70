"""Parquet shards with the images inside, as the Hugging Face hub stores a set."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Lock
from typing import Any, final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentinode.data.decode import PatchProblem, decode
from sentinode.data.labels import binary, frame_of, known_columns, named_classes
from sentinode.data.shards import folds_of
from sentinode.data.source import Source, fingerprint, typed_items
from sentinode.errors import InputError
from sentinode.types import UInt8Array

__all__ = ["HubSource", "has_images"]

IMAGE, LABEL = ("image", "img"), ("label", "labels")
_KNOWN = ("slide", "wsi", "patient", "centre", "center", "x", "y", "coord_x", "coord_y")


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
        files: The shards, in order; ``train-00000-of-00003.parquet`` gives the fold where all have
            one.

    Raises:
        InputError: A shard is damaged or has no images, its classes have names that are not known,
            or more than half of its labels are not 0 or 1.
    """

    kind = "parquet-images"

    def __init__(self, root: Path, files: list[Path]) -> None:
        self._files = files
        tables, groups, at = [], [], []
        for number, (file, fold) in enumerate(zip(files, folds_of(root, files), strict=True)):
            table, sizes = _table(root, file)
            tables.append(table.assign(source_fold=fold))
            for group, size in enumerate(sizes):
                groups += [(number, group)] * size
                at.append(np.arange(size))
        self.table = typed_items(pd.concat(tables, ignore_index=True), root)
        self._group = np.array(groups, np.int64).reshape(-1, 2)
        self._at = np.concatenate(at) if at else np.zeros(0, np.int64)
        self._column_of = [_column(_schema(f), IMAGE) for f in files]
        self._loaded: tuple[tuple[int, int], Any] | None = None
        self._lock = Lock()

    def read(self, row: int) -> UInt8Array:
        """Read one patch; its row group stays until another one is asked for."""
        number, group = map(int, self._group[row])
        with self._lock:  # of many threads one loads, or as many groups lie in memory
            if self._loaded is None or self._loaded[0] != (number, group):
                self._loaded = None  # before the next one is read: a group can be large
                self._loaded = ((number, group), self._load(number, group))
            loaded = self._loaded
        value = loaded[1][int(self._at[row])].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            raise PatchProblem("unreadable: the image's bytes are missing")
        return decode(content)

    def _load(self, number: int, group: int) -> Any:
        try:
            with pq.ParquetFile(self._files[number]) as file:
                return file.read_row_group(group, columns=[self._column_of[number]]).column(0)
        except (OSError, pa.ArrowException) as error:
            raise PatchProblem(f"unreadable: {str(error).splitlines()[0]}") from error

    def fingerprint(self) -> str:
        """Hash of the table and of the shards' sizes and times."""
        return fingerprint(self.table, self._files)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_loaded", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_loaded": None, "_lock": Lock()}


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
    wanted = [n for n in (label, "id", *_KNOWN) if n in schema.names]
    try:
        with pq.ParquetFile(file) as opened:
            groups = [opened.metadata.row_group(i) for i in range(opened.num_row_groups)]
            sizes = [group.num_rows for group in groups]
            # with no columns the table would have no rows either
            read = frame_of(opened.read(columns=wanted)) if wanted else pd.DataFrame()
    except (OSError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{file} is damaged: expected Parquet, {first}") from error
    read = read.reindex(range(sum(sizes)))
    table = known_columns(read, file)
    name = file.relative_to(root).as_posix()
    table["id"] = [f"{name.removesuffix(file.suffix)}/{i:06d}" for i in range(len(read))]
    if "id" in read:
        table["id"] = read["id"].astype("string").fillna(table["id"].astype("string"))
    table["path"] = [f"{name}#{i}" for i in range(len(read))]
    if label is not None:
        values = _named(read[label], _class_names(schema, label), file)
        table[["label", "problem"]] = binary(values, file)
        table["problem"] = table["problem"].mask(values.isna())
    return table, sizes


def _class_names(schema: pa.Schema, label: str) -> list[str]:
    """Return the names of a ClassLabel from the hub's note about a file's columns."""
    try:
        note = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return [str(name) for name in note["info"]["features"][label]["names"]]
    except (ValueError, KeyError, TypeError):  # there need not be a note, nor names in it
        return []


def _named(values: pd.Series[Any], names: list[str], file: Path) -> pd.Series[Any]:
    """Turn the numbers of a ClassLabel, or names of classes, into 0 and 1.

    The number of a class is its place among the names, so that 0 may well be tumour. A label of
    -1 is what the hub writes where none is known.
    """
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return named_classes(values)
    values = values.mask(values == -1)
    if not names:
        return values
    labels = named_classes(pd.Series(names, dtype="string"))
    if not labels.isin(["0", "1"]).any():
        raise InputError(
            f"{file}: its classes are called {', '.join(names)}; expected names as normal and "
            "tumor, or 0 and 1"
        )
    called = values.map(dict(enumerate(labels))).astype("string")
    return called.fillna(values.astype("string"))

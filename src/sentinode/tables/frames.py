"""Parquet with typed columns and a JSON note of what made it."""

from __future__ import annotations

import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentinode.core import atomic_path
from sentinode.errors import InputError, MissingInputError

__all__ = ["UNREADABLE", "check_is_file", "read_parquet", "typed", "write_parquet"]

UNREADABLE = (
    *(ValueError, OSError, EOFError, ImportError, RuntimeError),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
)
"""What reading a CSV raises, compressed or not, where it is damaged."""

_NOTE = b"sentinode"


def typed(frame: pd.DataFrame, dtypes: Mapping[str, str], what: str) -> pd.DataFrame:
    """Return the columns of ``dtypes`` in that order and of those dtypes; missing ones are null.

    Raises:
        InputError: A value does not fit its column's dtype.
    """
    columns: dict[str, Any] = {}
    for name, dtype in dtypes.items():
        try:
            columns[name] = (
                frame[name].astype(cast(Any, dtype))
                if name in frame
                else pd.Series([None] * len(frame), index=frame.index, dtype=dtype)
            )
        except (ValueError, TypeError) as error:
            raise InputError(f"{what}: column {name!r} expected {dtype}: {error}") from error
    return pd.DataFrame(columns).reset_index(drop=True)


def write_parquet(path: Path, frame: pd.DataFrame, note: Mapping[str, Any]) -> None:
    """Write a table with a note in its schema, whole or not at all, the same bytes each time."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = dict(table.schema.metadata or {})
    metadata[_NOTE] = json.dumps(note, sort_keys=True, allow_nan=False).encode()
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def check_is_file(path: Path, what: str) -> None:
    """Refuse a path where no table can be.

    Raises:
        MissingInputError: There is nothing.
        InputError: It is a folder, as a packed set is.
    """
    if path.is_dir():
        inside = path / f"{what}.parquet"
        hint = f"; take {inside}" if inside.is_file() else ""
        raise InputError(f"expected a file of {what}, got the folder {path}{hint}")
    if not path.is_file():
        raise MissingInputError(f"no {what} at {path}")


def read_parquet(path: Path, what: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a table and its note.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is a folder, no Parquet file, cut short, or its note is none.
    """
    check_is_file(path, what)
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is damaged: expected {what} as Parquet, {error}") from error
    try:
        note = json.loads((table.schema.metadata or {}).get(_NOTE, b"{}"))
    except (ValueError, RecursionError):
        note = None
    if not isinstance(note, dict):
        raise InputError(
            f"{path} is damaged: expected a JSON object as its metadata {_NOTE.decode()!r}"
        )
    return table.to_pandas(), note

"""A table or a list that names a file, and perhaps a label and a slide, for each patch."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentinode.data.labels import (
    FOLD_NAMES,
    bare,
    binary,
    frame_of,
    known_columns,
    read_table,
)
from sentinode.data.source import FileSource, Source
from sentinode.errors import InputError

__all__ = ["TABLE_NAMES", "open_list", "open_table"]

TABLE_NAMES = ("patches.csv", "patches.parquet")
_COLUMNS = {"path", "label", "id", "split", "slide", "wsi", "patient", "centre", "center"} | {
    "x", "y", "coord_x", "coord_y",
}  # fmt: skip


def open_table(path: Path) -> Source:
    """Open a table with the column path, one line a patch.

    It may have the columns label, id, slide (or wsi), patient, centre, x, y (level-0 px) and split
    (train, valid, test) too. Paths start at the table's folder. A file that is not there puts its
    patch aside.

    Raises:
        InputError: A column does not fit, an id stands twice, or none of the files is there.
    """
    frame = read_table(path, ("path",)) if path.suffix.lower() == ".csv" else _parquet(path)
    if not len(frame):
        raise InputError(f"{path}: no patches, only a header")
    if frame["path"].isna().any():
        line = int(frame["path"].isna().to_numpy().argmax()) + 2
        raise InputError(f"{path}: line {line} has no path")
    return _of_files(frame, path)


def _of_files(frame: pd.DataFrame, path: Path) -> Source:
    files = _below(frame["path"], path.parent)
    table = known_columns(frame, path)
    table["path"] = files
    table["id"] = bare(files)
    if "id" in frame:
        table["id"] = frame["id"].fillna(table["id"])
    if "label" in frame:
        table[["label", "problem"]] = binary(frame["label"], path)
        # a patch without a label can still be predicted; it is no finding of packing
        table["problem"] = table["problem"].mask(frame["label"].isna())
    else:
        table["problem"] = pd.Series(pd.NA, frame.index, dtype="string")
    if "split" in frame:
        table["source_fold"] = _folds(frame["split"], path)
    start = f"{path.parent}/"
    there = pd.Series([os.path.isfile(start + f) for f in files], index=frame.index)  # noqa: PTH113
    if not there.any():
        raise InputError(
            f"{path}: none of its {len(frame):,} files is there, as {files.iloc[0]!r}; paths start "
            f"at {path.parent}"
        )
    table["problem"] = table["problem"].mask(~there, "missing: there is no such file")
    return FileSource("table", path.parent, table)


def open_list(path: Path) -> Source:
    """Open a text file with the path of one image a line, from the file's folder on.

    Errors as of :func:`open_table`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected text in UTF-8 with a path a line, {error}") from error
    named = [line.strip() for line in lines if line.strip()]
    if not named:
        raise InputError(f"{path}: no paths in it, expected one a line")
    return _of_files(pd.DataFrame({"path": pd.Series(named, dtype="string")}), path)


def _parquet(path: Path) -> pd.DataFrame:
    try:
        names = pq.read_schema(path).names
        if "path" not in names:
            raise InputError(
                f"{path}: expected the column path (or image, as the Hugging Face hub has it), "
                f"got {','.join(names)}"
            )
        table = pq.read_table(path, columns=[n for n in names if n in _COLUMNS])
        return frame_of(table).astype("string")
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is damaged: expected Parquet, {error}") from error


def _below(paths: pd.Series[str], root: Path) -> pd.Series[str]:
    """Return paths from ``root`` on, with ``/`` between folders, whoever wrote them."""
    text = paths.str.replace("\\", "/").str.replace(r"^(?:\./+)+", "", regex=True)
    if text.str.startswith("/").any():  # a set must not hold the paths of one machine
        text = text.map(lambda p: _from(root, p) if p.startswith("/") else p)
        text = text.astype("string").str.replace(os.sep, "/")
    return text


def _from(root: Path, path: str) -> str:
    """Return the way from a folder, perhaps reached through a link, to an absolute path."""
    below = os.path.relpath(path, root)
    if not below.startswith(os.pardir):
        return below
    real = os.path.realpath(root)
    if real == os.path.abspath(root):  # noqa: PTH100
        return below
    # from a link's end `..` leads elsewhere; a file that is a link itself keeps its name
    folder, name = os.path.split(path)
    return os.path.relpath(os.path.join(os.path.realpath(folder), name), real)  # noqa: PTH118


def _folds(values: pd.Series[str], path: Path) -> pd.Series[str]:
    folds = values.str.lower().map(FOLD_NAMES).astype("string")
    unknown = values[folds.isna() & values.notna()]
    if len(unknown):
        raise InputError(
            f"{path}: split {unknown.iloc[0]!r} is not known; expected train, valid or test"
        )
    return folds

"""A CSV or Parquet table that names a file, and perhaps a label and a slide, for each patch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from sentinode.data.folders import FOLD_NAMES
from sentinode.data.labels import binary, read_table
from sentinode.data.source import FileSource, Source
from sentinode.errors import InputError

__all__ = ["TABLE_NAMES", "open_table"]

TABLE_NAMES = ("patches.csv", "patches.parquet")
KEPT = ("slide", "patient", "centre", "x", "y")


def open_table(path: Path) -> Source:
    """Open a table with the column path, one line a patch.

    It may have the columns label, id, slide, patient, centre, x, y (level-0 px) and split (train,
    valid, test) too. Paths start at the table's folder. A file that is not there puts its patch
    aside.

    Raises:
        InputError: A column does not fit, an id stands twice, or none of the files is there.
    """
    frame = read_table(path, ("path",)) if path.suffix.lower() == ".csv" else _parquet(path)
    if not len(frame):
        raise InputError(f"{path}: no patches, only a header")
    if frame["path"].isna().any():
        line = int(frame["path"].isna().to_numpy().argmax()) + 2
        raise InputError(f"{path}: line {line} has no path")
    files = frame["path"].str.replace("\\", "/")
    table = pd.DataFrame({"path": files, "problem": pd.Series(pd.NA, frame.index, dtype="string")})
    table["id"] = frame["id"] if "id" in frame else files.str.replace(r"\.\w+$", "", regex=True)
    if "label" in frame:
        table[["label", "problem"]] = binary(frame["label"], path)
        # a patch without a label can still be predicted; it is no finding of packing
        table["problem"] = table["problem"].mask(frame["label"].isna())
    for name in KEPT:
        if name in frame:
            table[name] = _whole(frame[name], name, path) if name in "xy" else frame[name]
    if "split" in frame:
        table["source_fold"] = _folds(frame["split"], path)
    there = pd.Series([(path.parent / name).is_file() for name in files], index=frame.index)
    if not there.any():
        raise InputError(
            f"{path}: none of its {len(frame):,} files is there, as {files.iloc[0]!r}; paths start "
            f"at {path.parent}"
        )
    table["problem"] = table["problem"].mask(~there, "missing: there is no such file")
    return FileSource("table", path.parent, table)


def _parquet(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is damaged: expected Parquet, {error}") from error
    if "path" not in frame:
        raise InputError(
            f"{path}: expected the column path (or image, as the Hugging Face hub has it), "
            f"got {','.join(map(str, frame.columns))}"
        )
    return frame.astype("string")


def _whole(values: pd.Series[str], name: str, path: Path) -> pd.Series[int]:
    try:
        return pd.to_numeric(values).astype("Int64")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: column {name}: expected whole numbers, {error}") from error


def _folds(values: pd.Series[str], path: Path) -> pd.Series[str]:
    folds = values.str.lower().map(FOLD_NAMES).astype("string")
    unknown = values[folds.isna() & values.notna()]
    if len(unknown):
        raise InputError(
            f"{path}: split {unknown.iloc[0]!r} is not known; expected train, valid or test"
        )
    return folds

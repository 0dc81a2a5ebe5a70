"""Tables of labels and slides as people write them."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sentinode.data.decode import SUFFIXES
from sentinode.errors import InputError, MissingInputError
from sentinode.types import FOLD_NAMES

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "CLASS_NAMES",
    "FOLD_NAMES",
    "bare",
    "binary",
    "frame_of",
    "known_columns",
    "named_classes",
    "read_labels",
    "read_slide_map",
    "read_table",
]

CLASS_NAMES = {
    "0": 0, "normal": 0, "negative": 0, "neg": 0, "benign": 0, "healthy": 0,
    "no_tumor": 0, "no_tumour": 0, "non_tumor": 0, "non_tumour": 0, "nontumor": 0,
    "1": 1, "tumor": 1, "tumour": 1, "positive": 1, "pos": 1, "cancer": 1,
    "metastasis": 1, "metastatic": 1, "malignant": 1,
}  # fmt: skip
_COLUMNS = {"wsi": "slide", "coord_x": "x", "coord_y": "y", "center": "centre"}
"""Other names that a column of a source's table goes by."""

LARGEST_WHOLE = 2**53
"""From here on floating-point numbers no longer have every whole one."""

READING: dict[str, Any] = {
    "dtype": "string",
    "encoding": "utf-8-sig",
    "skipinitialspace": True,
}
_TRUTH = {"false": "0", "true": "1"}


def read_table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV as text, forgiving a byte-order mark, CRLF, spaces and quotes.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is no CSV, or a needed column is missing or stands twice.
    """
    try:
        frame: pd.DataFrame = pd.read_csv(path, **READING)
        head = pd.read_csv(path, **READING, header=None, nrows=1)  # where no name is changed
    except FileNotFoundError as error:
        raise MissingInputError(f"no file {path}") from error
    except (ValueError, OSError, EOFError, zlib.error) as error:  # of the text, or its gzip
        raise InputError(f"{path}: expected a CSV with a header, {error}") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    names = head.iloc[0].dropna().str.strip()
    if names.duplicated().any():
        twice = names[names.duplicated()].iloc[0]
        raise InputError(f"{path}: column {twice!r} stands twice; keep one of them")
    missing = [name for name in needed if name not in frame]
    if missing:
        raise InputError(
            f"{path}: expected the columns {','.join(needed)}, "
            f"got {','.join(map(str, frame.columns))}"
        )
    for name in frame:
        frame[name] = frame[name].str.strip()
    return frame


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table's columns as pandas wrote them, its rows numbered anew.

    What pandas had as the index would else be one again: a column less, or other numbers.
    """
    metadata = dict(table.schema.metadata or {})
    try:
        note = json.loads(metadata[b"pandas"]) | {"index_columns": []}
    except (KeyError, ValueError, TypeError):  # not written by pandas
        metadata.pop(b"pandas", None)
    else:
        metadata[b"pandas"] = json.dumps(note).encode()
    frame: pd.DataFrame = table.replace_schema_metadata(metadata).to_pandas()
    return frame


def read_labels(path: Path) -> pd.DataFrame:
    """Read ``id,label``.

    Returns:
        Index id; columns label (Int8, null where it is not 0 or 1) and problem (why not, or
        null). An id given twice with the same label stands once.

    Raises:
        InputError: Fewer than half of the labels are 0 or 1, an id is missing, or one has both.
    """
    frame = read_table(path, ("id", "label"))
    frame["id"] = bare(frame["id"])
    if frame["id"].isna().any():
        line = int(frame["id"].isna().to_numpy().argmax()) + 2
        raise InputError(f"{path}: line {line} has no id")
    if not len(frame):
        raise InputError(f"{path}: no labels, only a header")
    rows = frame[["id"]].join(binary(frame["label"], path)).drop_duplicates()
    twice = rows["id"][rows["id"].duplicated()]
    if len(twice):
        raise InputError(
            f"{path}: id {twice.iloc[0]!r} stands twice with different labels; keep one of them"
        )
    return rows.set_index("id")


def binary(values: pd.Series[Any], where: Path) -> pd.DataFrame:
    """Read a column of labels as people write them: 0, 1, 0.0, 1.0, or true and false.

    Returns:
        Columns label (Int8, null where it is none of these) and problem (why, or null), with the
        index of ``values``.

    Raises:
        InputError: Fewer than half of the values given are such labels.
    """
    text = values.astype("string").str.strip().str.lower()
    number = pd.to_numeric(text.replace(_TRUTH), errors="coerce")
    label = number.where(number.isin([0, 1])).astype("Int8")
    wrong = text.notna() & label.isna()
    if wrong.sum() * 2 > text.notna().sum():
        raise InputError(
            f"{where}: {int(wrong.sum()):,} of {int(text.notna().sum()):,} labels are not 0 or 1, "
            f"as {values[wrong].iloc[0]!r}"
        )
    said = "label '" + text.fillna("") + "' is not 0 or 1"
    problem = said.where(wrong).mask(text.isna(), "no label is given")
    return pd.DataFrame({"label": label, "problem": problem})


def named_classes(names: pd.Series[Any]) -> pd.Series[Any]:
    """Turn names of classes, as in "Tumor", into 0 and 1; what is no such name stays."""
    plain = names.astype("string").str.strip().str.lower().str.replace(r"[-\s]+", "_", regex=True)
    numbers = plain.map({name: str(label) for name, label in CLASS_NAMES.items()})
    return numbers.astype("string").fillna(names.astype("string"))


def known_columns(frame: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Return what a table says of slides and places.

    Args:
        frame: Any table; the slide may be called ``wsi``, and a place ``coord_x``, ``coord_y``.
        where: Its file, for the error.

    Returns:
        Those of the columns slide, patient, centre (string), x, y (Int64) that it has.

    Raises:
        InputError: A coordinate is no whole number.
    """
    other = {old: new for old, new in _COLUMNS.items() if new not in frame}
    renamed = frame.rename(columns=other)
    columns: dict[str, pd.Series[Any]] = {}
    for name in ("slide", "patient", "centre"):
        if name in renamed:
            columns[name] = renamed[name].astype("string")
    for name in ("x", "y"):
        if name in renamed:
            try:
                columns[name] = _whole(pd.to_numeric(renamed[name].astype("string")))
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"{where}: column {name}: expected whole numbers, {error}"
                ) from error
    return pd.DataFrame(columns, index=frame.index)


def _whole(numbers: pd.Series[Any]) -> pd.Series[Any]:
    plain = numbers.to_numpy(float, na_value=0.0)
    # `astype` alone cuts fractions off, and has another number for one that does not fit
    broken = (plain != np.trunc(plain)) | ~(np.abs(plain) < LARGEST_WHOLE)
    if broken.any():
        raise ValueError(f"got {numbers[broken].iloc[0]}")
    return numbers.astype("Int64")


def read_slide_map(path: Path) -> pd.DataFrame:
    """Read ``id,wsi`` (or ``id,slide``) and, where they are there, ``x,y,patient,centre``.

    Returns:
        Index id, without suffix and with ``/`` between folders; columns slide (string) and those
        of x, y (Int64), patient, centre it has.

    Raises:
        InputError: An id has two slides, or a coordinate is no whole number.
    """
    frame = read_table(path, ("id",))
    if not {"wsi", "slide"} & set(frame):
        raise InputError(f"{path}: expected the columns id,wsi, got {','.join(frame.columns)}")
    known = known_columns(frame, path)
    known.index = pd.Index(bare(frame["id"]).str.replace("\\", "/").str.removeprefix("./"))
    known = known[known.index.notna()].reset_index().drop_duplicates().set_index("id")
    twice = known.index[known.index.duplicated()]
    if len(twice):
        raise InputError(f"{path}: id {twice[0]!r} stands more than once; keep one line")
    if not len(known):
        raise InputError(f"{path}: no ids, only a header")
    return known


def bare(ids: pd.Series[str]) -> pd.Series[str]:
    """Return ids without an image suffix, as in ``abc.tif``."""
    endings = "|".join(s.removeprefix(".") for s in sorted(SUFFIXES))
    return ids.str.replace(rf"\.(?:{endings})$", "", regex=True, case=False)

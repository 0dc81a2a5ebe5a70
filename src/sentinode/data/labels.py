"""Tables of labels and slides as people write them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sentinode.data.decode import SUFFIXES
from sentinode.errors import InputError, MissingInputError

__all__ = ["read_labels", "read_slide_map", "read_table"]

_LABELS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}


def read_table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV as text, forgiving a byte-order mark, CRLF, spaces and quotes.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is no CSV, or a needed column is missing.
    """
    try:
        frame = pd.read_csv(path, dtype="string", encoding="utf-8-sig", skipinitialspace=True)
    except FileNotFoundError as error:
        raise MissingInputError(f"no file {path}") from error
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: expected a CSV with a header, {error}") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    missing = [name for name in needed if name not in frame]
    if missing:
        raise InputError(
            f"{path}: expected the columns {','.join(needed)}, "
            f"got {','.join(map(str, frame.columns))}"
        )
    for name in frame:
        frame[name] = frame[name].str.strip()
    return frame


def read_labels(path: Path) -> pd.Series[int]:
    """Read ``id,label``.

    Returns:
        Label 0 or 1 by id; an id given twice with the same label stands once.

    Raises:
        InputError: A label is not 0 or 1, or an id has both.
    """
    frame = read_table(path, ("id", "label"))
    frame["id"] = bare(frame["id"])
    label = frame["label"].map(_LABELS)
    wrong = frame[label.isna() | frame["id"].isna()]
    if len(wrong):
        row = wrong.iloc[0]
        raise InputError(
            f"{path}: id {row['id']!r} has the label {row['label']!r}, expected 0 or 1"
        )
    rows = pd.DataFrame({"id": frame["id"], "label": label.astype(int)}).drop_duplicates()
    twice = rows["id"][rows["id"].duplicated()]
    if len(twice):
        raise InputError(
            f"{path}: id {twice.iloc[0]!r} stands twice with different labels; keep one of them"
        )
    if not len(rows):
        raise InputError(f"{path}: no labels, only a header")
    return rows.set_index("id")["label"]


def read_slide_map(path: Path) -> pd.DataFrame:
    """Read ``id,wsi`` and, where they are there, ``x,y,patient,centre``.

    Returns:
        Index id; columns slide (string) and those of x, y (Int64), patient, centre it has.

    Raises:
        InputError: An id has two slides, or a coordinate is no whole number.
    """
    frame = read_table(path, ("id", "wsi")).rename(columns={"wsi": "slide"})
    frame["id"] = bare(frame["id"])
    frame = frame.dropna(subset=["id"]).drop_duplicates()
    twice = frame["id"][frame["id"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: id {twice.iloc[0]!r} stands more than once; keep one line")
    for name in ("x", "y"):
        if name in frame:
            try:
                frame[name] = pd.to_numeric(frame[name]).astype("Int64")
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"{path}: column {name}: expected whole numbers, {error}"
                ) from error
    kept = [n for n in ("slide", "patient", "centre", "x", "y") if n in frame]
    return frame.set_index("id")[kept]


def bare(ids: pd.Series[str]) -> pd.Series[str]:
    """Return ids without an image suffix, as in ``abc.tif``."""
    endings = "|".join(s.removeprefix(".") for s in sorted(SUFFIXES))
    return ids.str.replace(rf"\.(?:{endings})$", "", regex=True, case=False)

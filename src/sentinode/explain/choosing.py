"""Which patches are explained: a named list of them, or by what the network said."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from sentinode.core import unknown_name
from sentinode.data.statistics import measure
from sentinode.errors import InputError, MissingInputError
from sentinode.metrics import FloatArray
from sentinode.types import UInt8Array

__all__ = ["PICKS", "Pick", "diverse", "list_names", "pick_rows", "read_list", "rows_of_list"]

Pick = Literal["certain", "uncertain", "wrong", "diverse"]
PICKS: tuple[Pick, ...] = get_args(Pick)

_LISTS = Path(str(files("sentinode"))) / "explain" / "lists"


def list_names() -> tuple[str, ...]:
    """Return the names of the lists of examples that come with the package."""
    return tuple(sorted(f.stem for f in _LISTS.glob("*.csv")))


def read_list(name: str) -> pd.DataFrame:
    """Read a list of examples.

    Args:
        name: A CSV with the column ``id`` and perhaps ``label``, a text file with one id a line,
            or the name of a list that comes with the package.

    Returns:
        Columns id (string) and label (Int8, null where it is not said).

    Raises:
        MissingInputError: There is no such file or list.
        InputError: It holds no ids, a row without one, or an id twice.
    """
    path = Path(name) if Path(name).exists() or name not in list_names() else _LISTS / f"{name}.csv"
    if not path.is_file():
        raise MissingInputError(
            f"no list of examples {name}; expected a file with one id a line, a CSV with the "
            f"column id, or one of: {', '.join(list_names())}"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        cut = [[cell.strip() for cell in row] for row in csv.reader(lines, skipinitialspace=True)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected text with one id a line") from error
    rows = [row for row in cut if any(row)]
    header = [cell.lower() for cell in rows[0]] if rows else []
    if "id" in header:
        rows = rows[1:]
    ids = _column(rows, header.index("id") if "id" in header else 0)
    if "" in ids:
        without = ",".join(rows[ids.index("")])
        raise InputError(f"{path}: the row {without!r} has no id; expected one in each")
    labels = _column(rows, header.index("label") if "label" in header else None)
    table = pd.DataFrame({"id": pd.array(ids, "string"), "label": _labels(labels, path)})
    if not len(table) or table["id"].duplicated().any():
        twice = table["id"][table["id"].duplicated()]
        what = f"the id {twice.iloc[0]!r} twice" if len(twice) else "no ids"
        raise InputError(f"{path} holds {what}; expected one id a line")
    return table


def _column(rows: list[list[str]], at: int | None) -> list[str]:
    """Return a cell of each row, empty where a row ends before it or there is no such column."""
    return [row[at] if at is not None and at < len(row) else "" for row in rows]


def _labels(values: list[str], path: Path) -> pd.Series[int]:
    values = ["" if v == "NA" else v for v in values]  # as R writes what is missing
    wrong = [v for v in values if v not in ("", "0", "1")]
    if wrong:
        raise InputError(f"{path}: label {wrong[0]!r}, expected 0 or 1")
    return pd.Series([int(v) if v else None for v in values], dtype="Int8")


def rows_of_list(
    listed: pd.DataFrame, table: pd.DataFrame, images: UInt8Array
) -> tuple[list[int], str]:
    """Find the patches of a list; for those that are absent take diverse ones of their label.

    Args:
        listed: As of :func:`read_list`.
        table: Columns id and label, row by row as ``images``.
        images: uint8 (N, H, W, 3).

    Returns:
        Rows in the order of the list, and what is to be said of it.
    """
    row_of = dict(zip(table["id"].astype(str), range(len(table)), strict=True))
    rows = [row_of.get(name) for name in listed["id"].astype(str)]
    absent = [i for i, row in enumerate(rows) if row is None]
    if not absent:
        return [row for row in rows if row is not None], f"all {len(listed)} examples of the list"
    labels = table["label"].astype("Int8")
    for _, group in listed.iloc[absent].groupby("label", dropna=False):
        label = group["label"].iloc[0]
        same = np.arange(len(table))
        if not pd.isna(label):
            same = same[(labels == label).fillna(value=False).to_numpy(bool)]
        free = np.setdiff1d(same, [row for row in rows if row is not None])
        for place, k in zip(group.index, diverse(images[free], len(group)), strict=False):
            rows[place] = int(free[k])
    found = [row for row in rows if row is not None]
    if not found:
        raise InputError(
            f"none of the {len(listed)} examples of the list is among the {len(table):,} patches, "
            "and none of these has a label to stand in by; give ids that are there"
        )
    said = (
        f"{len(listed) - len(absent)} of the {len(listed)} examples of the list are in the set; in "
        f"place of the others {len(found) - len(listed) + len(absent)} diverse patches of the same "
        "label, by clustering"
    )
    return found, said


def pick_rows(
    kind: Pick, table: pd.DataFrame, images: UInt8Array, count: int, threshold: float
) -> list[int]:
    """Return up to ``count`` rows: the most or least certain, the wrong, or diverse ones.

    Wrong ones come with the surest first. Patches without a label are never wrong.

    Args:
        kind: Which.
        table: Columns probability and label.
        images: uint8 (N, H, W, 3), row by row as the table.
        count: How many at most.
        threshold: A patch at or above it is called tumour.

    Raises:
        InputError: There is no such kind.
    """
    if kind not in PICKS:
        raise InputError(unknown_name("pick", kind, PICKS))
    if kind == "diverse":
        return diverse(images, count)
    sure = np.abs(table["probability"].to_numpy(float) - threshold)
    rows = np.arange(len(table))
    if kind == "wrong":
        called = table["probability"].to_numpy(float) >= threshold
        label = table["label"].to_numpy(float, na_value=np.nan)
        rows = rows[~np.isnan(label) & ((label == 1) != called)]
    order = np.argsort(sure[rows] if kind == "uncertain" else -sure[rows], kind="stable")
    return [int(row) for row in rows[order][:count]]


def diverse(images: UInt8Array, count: int, seed: int = 42) -> list[int]:
    """Return rows of patches unlike each other: the one nearest each centre of k-means clusters.

    Clustered are colour, contrast, sharpness, share of tissue and the means of 8x8 fields, each
    scaled to unit variance; the fields together count as much as the rest.

    Args:
        images: uint8 (N, H, W, 3).
        count: Number of clusters.
        seed: Of the clustering.
    """
    if len(images) <= count:
        return list(range(len(images)))
    features = _features(images)
    found = KMeans(count, n_init=4, random_state=seed).fit(features)
    distance = found.transform(features)
    return sorted({int(distance[:, k].argmin()) for k in range(count)})


def _features(images: UInt8Array) -> FloatArray:
    measured, looks = [], []
    for start in range(0, len(images), 64):
        numbers, look = measure(np.ascontiguousarray(images[start : start + 64]))
        names = [n for n in sorted(numbers) if n != "sha256"]
        measured.append(np.column_stack([np.asarray(numbers[n], float) for n in names]))
        looks.append(look.reshape(len(look), -1).astype(float))
    parts = [np.concatenate(measured), np.concatenate(looks)]
    # each of the two kinds counts alike, however many columns it has
    scaled = [(v - v.mean(0)) / np.maximum(v.std(0), 1e-9) / np.sqrt(v.shape[1]) for v in parts]
    return np.asarray(np.hstack(scaled), np.float64)

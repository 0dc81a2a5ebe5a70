"""Joining a table of slides to the patches of any source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.data.labels import bare, read_slide_map
from sentinode.data.source import Source
from sentinode.errors import InputError

__all__ = ["join_slides"]

FEW = 3  # examples in a message


def join_slides(source: Source, path: Path) -> None:
    """Write what a slide map knows of the patches into the source's table.

    An id of one side belongs to an id of the other where both are the same, or where the shorter
    one is the end of the longer one from a folder's name on: ``abc`` and ``train/abc.tif`` are
    one patch. Patches that the map does not name stay as they are.

    Args:
        source: Any source; its table is changed.
        path: CSV with id,wsi and perhaps x, y, patient, centre.

    Raises:
        InputError: The map is damaged, names none of the patches, or names one twice.
    """
    known, table = read_slide_map(path), source.table
    at = _lines(bare(table["id"]), pd.Series(known.index, dtype="string"), path)
    if (at < 0).all():
        raise InputError(
            f"{path}: none of its {len(known):,} ids is one of the {len(table):,} patches; "
            f"it has {_some(known.index)}, the patches are called {_some(table['id'])}"
        )
    for name in known:
        values = pd.Series(known[name].array.take(at, allow_fill=True), table.index)
        table[name] = values.astype(table[name].dtype).where(at >= 0, table[name])


def _some(ids: pd.Index[str] | pd.Series[str]) -> str:
    return ", ".join(repr(i) for i in list(ids[:FEW]))


def _lines(ids: pd.Series[str], names: pd.Series[str], where: Path) -> NDArray[np.int64]:
    """Return the map's line for each patch, -1 where there is none: int64 (N,)."""
    found = pd.Index(names).get_indexer(pd.Index(ids)).astype(np.int64)
    free = np.ones(len(names), bool)
    free[found[found >= 0]] = False
    depth, depths = ids.str.count("/").to_numpy(int), names.str.count("/").to_numpy(int)
    for folders in range(min(depth.max(), depths.max()), -1, -1):
        rows, lines = np.flatnonzero(found < 0), np.flatnonzero(free)
        for short, long in ((depth[rows] == folders, depths[lines] > folders),
                            (depth[rows] > folders, depths[lines] == folders)):  # fmt: skip
            left = pd.DataFrame({"row": rows[short], "end": _end(ids.iloc[rows[short]], folders)})
            right = pd.DataFrame(
                {"line": lines[long], "end": _end(names.iloc[lines[long]], folders)}
            )
            pairs = left.merge(right, on="end")
            for column, what in (("row", ids), ("line", names)):
                twice = pairs[column][pairs[column].duplicated()]
                if len(twice):
                    raise InputError(
                        f"{where}: {what.iloc[int(twice.iloc[0])]!r} fits more than once; "
                        f"give ids with their folders, as {ids.iloc[0]!r}"
                    )
            found[pairs["row"]] = pairs["line"]
            free[pairs["line"]] = False
    return found


def _end(ids: pd.Series[str], folders: int) -> list[str]:
    return ["/".join(i.split("/")[-1 - folders :]) for i in ids.tolist()]

"""Patches that are the same tissue: equal pixels, turned and flipped ones, and compressed ones.

Equal pixels are found by their hash. Turned ones have the same statistics to the last bit, so
that only those few need their eight orientations hashed. Compressed ones have nearly the same
coarse look, whichever way they lie: candidates are neighbours in a space of its orbit means, and
each is confirmed or refuted by the correlation of its fine detail, which two different pieces of
tissue do not share.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentinode.core import Progress, hash_bytes
from sentinode.data.statistics import luma
from sentinode.tables import COARSE_SIDE, PackedSet

__all__ = ["PAIR_COLUMNS", "copies_within", "groups_of", "orientations", "shared_patches"]

UNTURNED = ["min", "max", "mean_r", "mean_g", "mean_b", "std_r", "std_g", "std_b"]
"""Statistics that turning and flipping leave exactly as they are."""

PAIR_COLUMNS = ["row", "other", "kind", "turned", "similarity"]

LEAST_TISSUE = 0.01
"""Below this share of tissue two patches have too little detail to be known again by."""

LOOK_RADIUS = 2.5
"""Root mean square distance, in grey levels, within which coarse looks are candidates. Measured
on real patches: JPEG of quality 75 moves a look by 0.6 (median) and 1.9 (most), of 30 by 0.9 and
2.2."""

SAME_DETAIL = 0.6
"""Correlation of fine detail from which two patches are the same tissue. Measured on real ones:
at most 0.2 between different patches that look alike, at least 0.97 after JPEG of quality 75 and
0.63 after 30."""

QUERIES = 4096
WINDOW = 7  # px; detail is what a mean over this window leaves


def orientations(patch: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield a patch (H, W, 3) in its eight orientations, as it lies first."""
    for flipped in (patch, patch[:, ::-1]):
        for turns in range(4):
            yield np.rot90(flipped, turns)


ORIENTATIONS = (
    "as it lies", "turned 90", "turned 180", "turned 270",
    "flipped", "flipped, turned 90", "flipped, turned 180", "flipped, turned 270",
)  # fmt: skip


def copies_within(packed: PackedSet) -> pd.DataFrame:
    """Find the patches of one set that are the same tissue.

    Args:
        packed: The set.

    Returns:
        One row a pair, ``row`` the first of its kind: columns :data:`PAIR_COLUMNS`; kind is
        "exact", "turned" or "compressed", ``turned`` how the other lies against the first, and
        ``similarity`` the correlation of their detail (1 for equal pixels). Of many copies of one
        tissue there are as many pairs as join them, not each with each.
    """
    frame = packed.manifest.frame
    readable = frame[frame["problem"].isna()]
    same = _chained(readable.index.to_numpy(), readable["sha256"].to_numpy(object), "exact")
    alone = readable[~readable["sha256"].duplicated()]
    alike = alone.index[alone.duplicated(UNTURNED, keep=False)].to_numpy()
    turned = _chained(alike, _turned_hashes(packed, alike), "turned")
    first = np.setdiff1d(alone.index.to_numpy(), turned["other"].to_numpy(np.int64))
    rows = _with_detail(packed, first)
    near = _confirmed(packed, rows, packed, rows)
    return pd.concat([same, turned, near[near["row"] < near["other"]]], ignore_index=True)


def shared_patches(packed: PackedSet, other: PackedSet) -> pd.DataFrame:
    """Find the patches that two sets share.

    Args:
        packed: A set; column ``row`` counts its patches.
        other: Another one, with patches of the same size; column ``other`` counts its patches.

    Returns:
        One row a pair, as of :func:`copies_within`.
    """
    ours, theirs = _readable(packed), _readable(other)
    exact = ours.merge(theirs, on="sha256", suffixes=("", "_other"))
    same = pd.DataFrame({"row": exact["at"], "other": exact["at_other"]}).assign(
        kind="exact", turned=ORIENTATIONS[0], similarity=1.0
    )
    near = _confirmed(
        packed,
        _with_detail(packed, ours["at"].to_numpy()),
        other,
        _with_detail(other, theirs["at"].to_numpy()),
    )
    near = near[near["kind"] != "exact"]
    both = pd.concat([same, near], ignore_index=True)
    return both.sort_values(["row", "other"], ignore_index=True)[PAIR_COLUMNS]


def groups_of(pairs: pd.DataFrame, count: int) -> NDArray[np.int64]:
    """Join pairs to groups.

    Args:
        pairs: Of :func:`copies_within`.
        count: Patches in the set.

    Returns:
        int64 (count,): the first row of each patch's group, its own where it is alone.
    """
    from scipy.sparse import coo_array  # late, here and below: half a second that packing saves
    from scipy.sparse.csgraph import connected_components

    rows, others = pairs["row"].to_numpy(np.int64), pairs["other"].to_numpy(np.int64)
    links = coo_array((np.ones(len(pairs), bool), (rows, others)), shape=(count, count))
    _, label = connected_components(links, directed=False)
    _, first = np.unique(label, return_index=True)
    group: NDArray[np.int64] = first[label].astype(np.int64)
    return group


def _readable(packed: PackedSet) -> pd.DataFrame:
    frame = packed.manifest.frame
    found = frame["sha256"][frame["problem"].isna()]
    return pd.DataFrame({"sha256": found.astype(object), "at": found.index})


def _chained(rows: NDArray[np.int64], keys: NDArray[np.object_], kind: str) -> pd.DataFrame:
    """Pair every row whose key stood before with the first that has it."""
    table = pd.DataFrame({"other": rows, "key": keys})
    table["row"] = table.groupby("key")["other"].transform("min")
    pairs = table[table["row"] != table["other"]].assign(kind=kind, similarity=1.0)
    pairs["turned"] = ORIENTATIONS[0] if kind == "exact" else "turned or flipped"
    return pairs[PAIR_COLUMNS]


def _turned_hashes(packed: PackedSet, rows: NDArray[np.int64]) -> NDArray[np.object_]:
    keys = [min(hash_bytes(t.tobytes()) for t in orientations(packed.images[row])) for row in rows]
    return np.array(keys, object)


def _with_detail(packed: PackedSet, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    tissue = packed.manifest.frame["tissue"].to_numpy(float, na_value=0.0)
    return rows[tissue[rows] >= LEAST_TISSUE]


def _confirmed(
    packed: PackedSet, rows: NDArray[np.int64], other: PackedSet, theirs: NDArray[np.int64]
) -> pd.DataFrame:
    """Pair patches whose coarse looks are near and whose details agree.

    Those of one set that other pairs join already are not compared: of a thousand copies that
    would be half a million pairs.
    """
    from scipy.spatial import cKDTree

    looks, tree = _looks(packed, rows), cKDTree(_looks(other, theirs))
    ours, others = _Details(packed), _Details(other)
    within = packed is other
    found: list[tuple[int, int, str, str, float]] = []
    joined: dict[int, int] = {}
    with Progress("compare", len(rows)) as progress:
        for start in range(0, len(rows), QUERIES):
            block = looks[start : start + QUERIES]
            for at, near in enumerate(tree.query_ball_point(block, LOOK_RADIUS, workers=-1)):
                row = int(rows[start + at])
                for candidate in theirs[sorted(near)].tolist():
                    if within and (
                        row >= candidate or _root(joined, row) == _root(joined, candidate)
                    ):
                        continue
                    kind, turned, similarity = ours.compare(row, others, candidate)
                    if similarity >= SAME_DETAIL:
                        found.append((row, candidate, kind, turned, similarity))
                        if within:
                            joined[_root(joined, candidate)] = _root(joined, row)
            progress.advance(len(block))
    return pd.DataFrame(found, columns=PAIR_COLUMNS).astype({"row": int, "other": int})


def _root(joined: dict[int, int], row: int) -> int:
    """Return the row that stands for all that ``row`` is joined to, and shorten the way to it."""
    while (above := joined.get(row, row)) != row:
        joined[row] = joined.get(above, above)
        row = above
    return row


def _looks(packed: PackedSet, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the coarse look of patches, the same however they lie: float64 (M, 30)."""
    coarse = packed.coarse[rows].reshape(len(rows), COARSE_SIDE**2, 3)
    orbits = np.einsum("npc,pk->nkc", coarse, _orbit_means(), optimize=True)
    looks: NDArray[np.float64] = orbits.reshape(len(rows), 30) / np.sqrt(30)
    return looks


@cache
def _orbit_means() -> NDArray[np.float64]:
    """Return the matrix (64, 10) that averages the fields which turning and flipping exchange."""
    places = np.arange(COARSE_SIDE**2).reshape(COARSE_SIDE, COARSE_SIDE)
    orbit = np.min(list(orientations(places[..., None])), axis=0).ravel()
    names = np.unique(orbit)
    member = (orbit[:, None] == names).astype(float)
    means: NDArray[np.float64] = member / member.sum(0)
    return means


@final
class _Details:
    """Fine detail of patches, kept while the same row is asked for again."""

    def __init__(self, packed: PackedSet) -> None:
        self.images = packed.images
        self._row = -1
        self._turned: NDArray[np.float32]

    def of(self, row: int) -> NDArray[np.float32]:
        """Return the normalised detail of a patch: float32 (H, W), zeros where it has none."""
        from scipy.ndimage import uniform_filter

        grey = luma(self.images[row].transpose(2, 0, 1)).astype(np.float32)
        detail = grey - uniform_filter(grey, WINDOW)
        detail -= detail.mean()
        length = float(np.linalg.norm(detail))
        normal: NDArray[np.float32] = detail / length if length > 0 else detail
        return normal

    def compare(self, row: int, others: _Details, candidate: int) -> tuple[str, str, float]:
        """Return kind, orientation and correlation of a pair."""
        if row != self._row:
            self._row = row
            turned = [t.ravel() for t in orientations(self.of(row)[..., None])]
            self._turned = np.stack(turned)
        correlation = self._turned @ others.of(candidate).ravel()
        best = int(correlation.argmax())
        value = float(correlation[best])
        if value < SAME_DETAIL:
            return "other", ORIENTATIONS[best], value
        here = list(orientations(self.images[row]))[best]
        if not np.array_equal(here, others.images[candidate]):
            return "compressed", ORIENTATIONS[best], value
        return ("exact" if best == 0 else "turned"), ORIENTATIONS[best], 1.0

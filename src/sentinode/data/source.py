"""What a source of patches is: a table of them and a way to read each."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast, final

import pandas as pd

from sentinode.data.decode import read_patch
from sentinode.errors import InputError
from sentinode.tables import MANIFEST_DTYPES
from sentinode.types import UInt8Array

__all__ = ["ITEM_COLUMNS", "FileSource", "Source", "fingerprint", "typed_items"]

ITEM_COLUMNS = (
    "id",
    "path",
    "label",
    "slide",
    "patient",
    "centre",
    "x",
    "y",
    "source_fold",
    "problem",
)
"""Columns of a source's table: those of the manifest that are known before a patch is read."""


class Source(ABC):
    """A set of patches as somebody keeps it.

    Attributes:
        kind: Kind of the source, as in "kaggle".
        table: One row per patch in a fixed order; columns :data:`ITEM_COLUMNS` with the dtypes of
            the manifest. A patch known beforehand to be unusable says why in ``problem``.
        mpp: µm/px where the source says it, else None.
    """

    kind: str
    table: pd.DataFrame
    mpp: float | None = None

    @abstractmethod
    def read(self, row: int) -> UInt8Array:
        """Return patch ``row`` as uint8 (H, W, 3), RGB.

        Raises:
            PatchProblem: It cannot be used; the message says why.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash that changes when the table or a file behind it changes."""

    def prepare(self, work: Path) -> None:  # noqa: B027 - most sources have nothing to prepare
        """Unpack into ``work`` what cannot be read in place; call it before the first `read`.

        What an earlier call left in ``work`` is used again. Afterwards the source reads from
        there, in this process and in those it is sent to, so that ``work`` has to stay until the
        last patch is read.

        Args:
            work: An existing folder with room, on the set's disk.

        Raises:
            InputError: What is to be unpacked is damaged.
            DiskFullError: There is no room.
        """

    def __len__(self) -> int:
        return len(self.table)


@final
class FileSource(Source):
    """Patches in one image file each.

    Args:
        kind: Kind of the source.
        root: Folder that the column ``path`` starts from.
        table: Columns of :data:`ITEM_COLUMNS`; missing ones are null.
        mpp: µm/px where it is known.
    """

    def __init__(
        self, kind: str, root: Path, table: pd.DataFrame, mpp: float | None = None
    ) -> None:
        self.kind, self.root, self.mpp = kind, root, mpp
        typed = typed_items(table, root)
        self.table = typed.sort_values("path", kind="stable", ignore_index=True)
        self._names: list[str] | None = None

    def read(self, row: int) -> UInt8Array:
        """Read the file of one patch; see :meth:`Source.read`."""
        if self._names is None:  # a list: to ask the table costs more than to read the file
            self._names = self.table["path"].tolist()
        return read_patch(f"{self.root}/{self._names[row]}")

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_names": None}

    def fingerprint(self) -> str:
        """Hash of the table and of every file's size and time of change."""
        return fingerprint(self.table, [f"{self.root}/{p}" for p in self.table["path"].tolist()])


def typed_items(table: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Give a table the columns :data:`ITEM_COLUMNS` and their dtypes; missing ones are null.

    Raises:
        InputError: Two patches have one id.
    """
    columns = {n: table.get(n, pd.Series(pd.NA, table.index)) for n in ITEM_COLUMNS}
    typed = {n: c.astype(cast(Any, MANIFEST_DTYPES[n])) for n, c in columns.items()}
    items = pd.DataFrame(typed)
    twice = items["id"][items["id"].duplicated()]
    if len(twice):
        raise InputError(
            f"{where}: two patches have the id {twice.iloc[0]!r}; rename or remove one"
        )
    return items


def fingerprint(table: pd.DataFrame, files: Iterable[Path | str]) -> str:
    """Return the hash of a table and of the size and time of change of files."""
    digest = hashlib.sha256()
    for name in table:
        column: list[str] = table[name].astype("string").fillna("").tolist()
        digest.update("\n".join([str(name), *column]).encode())
    for file in files:
        try:
            state = os.stat(file)  # noqa: PTH116 - of text, many times
        except (OSError, ValueError):  # ValueError: of a name with a zero byte
            digest.update(b"?")
            continue
        digest.update(f"{state.st_size}.{state.st_mtime_ns}".encode())
    return digest.hexdigest()

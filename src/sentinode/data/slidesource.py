"""Patches of slides as a source: cut when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import pandas as pd

from sentinode.core import hash_json
from sentinode.data.decode import PatchProblem
from sentinode.data.source import Source, fingerprint, typed_items
from sentinode.errors import InputError
from sentinode.slides import Slide
from sentinode.types import Level0Px, Mpp, PatchPx, UInt8Array

__all__ = ["SlideSource"]

OPEN = 2  # slides at once; rows of one slide follow each other


@final
class SlideSource(Source):
    """Patches at places of slides.

    Several threads may read where all patches are of one slide.

    Args:
        slides: File by slide id.
        table: Columns ``slide``, ``x``, ``y`` (px of level 0, upper left corner), ``label``.
        size: Side of a patch in px.
        mpp: µm/px of a patch.
        slide_mpp: µm/px of level 0 by slide id, which counts where the file does not say it.
    """

    kind = "slides"

    def __init__(
        self,
        slides: Mapping[str, Path],
        table: pd.DataFrame,
        size: int,
        mpp: float,
        slide_mpp: Mapping[str, Mpp | None],
    ) -> None:
        self.mpp = mpp
        self._files, self._size, self._given = dict(slides), size, dict(slide_mpp)
        place = table["slide"] + "_" + table["x"].astype(str) + "_" + table["y"].astype(str)
        paths = table["slide"].map({name: path.name for name, path in self._files.items()})
        self.table = typed_items(table.assign(id=place, path=paths), Path())
        self._rows: list[tuple[str, int, int]] | None = None
        self._open: dict[str, Slide] = {}

    def read(self, row: int) -> UInt8Array:
        """Cut one patch; see :meth:`Source.read`."""
        if self._rows is None:
            columns = (self.table[name].tolist() for name in ("slide", "x", "y"))
            self._rows = list(zip(*columns, strict=True))
        name, x, y = self._rows[row]
        side = PatchPx(self._size)
        try:
            return self._slide(name).read(
                Level0Px(x), Level0Px(y), side, side, Mpp(float(self.mpp or 0))
            )
        except InputError as error:
            raise PatchProblem(f"unreadable: {error}") from error

    def fingerprint(self) -> str:
        """Hash of the places and of the slides' sizes and times."""
        files = [self._files[name] for name in sorted(self._files)]
        return hash_json({"places": fingerprint(self.table, files), "size": self._size,
                          "mpp": self.mpp, "given": self._given})  # fmt: skip

    def close(self) -> None:
        """Close all slides."""
        while self._open:
            self._open.popitem()[1].close()

    def _slide(self, name: str) -> Slide:
        if name not in self._open:
            self._open[name] = Slide(self._files[name], self._given.get(name))
            if len(self._open) > OPEN:
                self._open.pop(next(iter(self._open))).close()
        return self._open[name]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}, "_rows": None}

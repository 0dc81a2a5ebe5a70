"""What somebody drew on a slide: outlines with a class each, and what the classes mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self, final

import numpy as np
from numpy.typing import NDArray

from sentinode.core import nearest
from sentinode.errors import InputError
from sentinode.slides.fill import Box, Points, bounds_of, fill, winding

__all__ = ["CLASSES", "Meaning", "NoTumour", "Outlines", "Shape", "Truth", "meanings"]

Meaning = Literal["tumour", "normal", "ignore"]
"""``normal`` cuts out of tumour, whatever it lies in; of ``ignore`` nothing is known."""

CLASSES: Mapping[str, Meaning] = {
    "_0": "tumour",  # CAMELYON16
    "_1": "tumour",
    "_2": "normal",
    "tumor": "tumour",
    "tumour": "tumour",
    "metastasis": "tumour",
    "metastases": "tumour",  # CAMELYON17
    "positive": "tumour",  # NCRF
    "negative": "normal",
    "exclusion": "normal",  # CAMELYON16
    "normal": "normal",  # CAMELYON17
    "other": "normal",  # QuPath
    "ignore*": "ignore",
    "ignore": "ignore",
}
"""What class names mean that are in use, in small letters."""

LOOKED_AT = 512  # px of the coarse look by which an outline is found to cross itself


class Truth(ABC):
    """Where tumour is on one slide; a context manager.

    Attributes:
        notices: What a user should know of it, one sentence each.
    """

    notices: tuple[str, ...] = ()

    @abstractmethod
    def bounds(self) -> Box | None:
        """Return a box that holds all tumour, None where there is none."""

    @abstractmethod
    def tumour(self, window: Box) -> NDArray[np.bool_]:
        """Return bool (height, width): pixels of level 0 that are tumour.

        Raises:
            InputError: The file behind it is damaged there.
        """

    def unknown(self, window: Box) -> NDArray[np.bool_] | None:
        """Return bool (height, width): pixels of which nothing is known; None for no pixel."""
        return None

    def close(self) -> None:  # noqa: B027 - most hold no file open
        """Close the file behind it."""

    def __enter__(self) -> Self:
        """Give it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


@final
class NoTumour(Truth):
    """A slide that is normal all over, as somebody said."""

    def bounds(self) -> Box | None:
        """Return None."""
        return None

    def tumour(self, window: Box) -> NDArray[np.bool_]:
        """Return False everywhere."""
        return np.zeros((window.height, window.width), bool)


@final
@dataclass(frozen=True)
class Shape:
    """One outline as a file has it.

    Attributes:
        name: What it is called there, for messages.
        group: Its class as the file has it.
        rings: Outline, then holes.
    """

    name: str
    group: str
    rings: tuple[Points, ...]


@final
class Outlines(Truth):
    """Tumour within outlines, without what other outlines call normal.

    Args:
        shapes: All that was drawn, with what it means.
        only_annotated: Nothing is known of what no outline encloses; else it is normal.
        notices: Of the reading.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[Meaning, Shape]],
        only_annotated: bool = False,
        notices: Sequence[str] = (),
    ) -> None:
        sound, said = _sound(shapes)
        self._of = {m: [s for n, s in sound if n == m] for m in ("tumour", "normal", "ignore")}
        self._only_annotated = only_annotated
        self.notices = (*notices, *said)

    def bounds(self) -> Box | None:
        """Return the box about all tumour outlines."""
        shapes = self._of["tumour"]
        return bounds_of(s.rings[0] for s in shapes) if shapes else None

    def extent(self) -> Box | None:
        """Return the box about all outlines of any meaning, None where there are none."""
        rings = [s.rings[0] for shapes in self._of.values() for s in shapes]
        return bounds_of(rings) if rings else None

    def tumour(self, window: Box) -> NDArray[np.bool_]:
        """Tell where tumour is; see :meth:`Truth.tumour`."""
        inside = self._within("tumour", window)
        return inside & ~self._within("normal", window) if inside.any() else inside

    def unknown(self, window: Box) -> NDArray[np.bool_] | None:
        """Tell of which pixels nothing is known; see :meth:`Truth.unknown`."""
        if not self._only_annotated and not self._of["ignore"]:
            return None
        unknown = self._within("ignore", window)
        if self._only_annotated:
            unknown |= ~(self._within("tumour", window) | self._within("normal", window))
        return unknown

    def _within(self, meaning: Meaning, window: Box) -> NDArray[np.bool_]:
        inside = np.zeros((window.height, window.width), bool)
        for shape in self._of[meaning]:
            part = window.common(bounds_of(shape.rings[:1]))
            if part is not None:
                top, left = part.y - window.y, part.x - window.x
                inside[top : top + part.height, left : left + part.width] |= fill(shape.rings, part)
        return inside


def meanings(
    shapes: Iterable[Shape], given: Mapping[str, Meaning], where: str
) -> list[tuple[Meaning, Shape]]:
    """Tell what each outline means, by its class.

    Args:
        shapes: Outlines.
        given: Meaning by class name, before :data:`CLASSES`; capitals do not matter. Of a name
            ``Tumor: Positive`` the whole is looked for first, then what stands before the colon.
        where: For the message.

    Raises:
        InputError: A class is not known; the message says how to tell what it means.
    """
    known = {**CLASSES, **{name.casefold(): meaning for name, meaning in given.items()}}
    shapes = list(shapes)
    found = [_meaning(shape.group, known) for shape in shapes]
    strange = sorted({s.group for s, m in zip(shapes, found, strict=True) if m is None})
    if strange:
        near = nearest(strange[0].casefold(), known)
        hint = f" (nearest known: {near!r})" if near else ""
        names = ", ".join(repr(name) for name in strange)
        raise InputError(
            f"{where}: it is not known what the class {names} means{hint}; say so with "
            f"--class {strange[0]!r}=MEANING, where MEANING is tumour, normal or ignore"
        )
    return [(m, s) for s, m in zip(shapes, found, strict=True) if m is not None]


def _meaning(group: str, known: Mapping[str, Meaning]) -> Meaning | None:
    whole = group.strip().casefold()
    return known.get(whole) or known.get(whole.partition(":")[0].strip())


def _sound(
    shapes: Iterable[tuple[Meaning, Shape]],
) -> tuple[list[tuple[Meaning, Shape]], list[str]]:
    """Leave out what encloses nothing, and tell of what crosses itself."""
    kept: list[tuple[Meaning, Shape]] = []
    notices: list[str] = []
    for meaning, shape in shapes:
        outline = shape.rings[0]
        distinct = len(np.unique(outline, axis=0))
        if distinct < 3 or not np.ptp(outline, axis=0).all():
            notices.append(f"{shape.name} encloses nothing ({distinct} points) and was left out")
            continue
        if _crosses_itself(outline):
            notices.append(f"{shape.name} crosses itself; all that it encloses is taken")
        kept.append((meaning, shape))
    return kept, notices


def _crosses_itself(ring: Points) -> bool:
    """Tell by a coarse look: a plain ring winds once about a point, and in one direction."""
    low, size = ring.min(0), np.ptp(ring, axis=0).max()
    turns = winding((ring - low) / size * LOOKED_AT, Box(0, 0, LOOKED_AT, LOOKED_AT))
    return int(np.ptp(turns)) > 1

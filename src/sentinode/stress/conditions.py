"""The changes that a network is put under, by family and strength."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from sentinode.core import hash_json
from sentinode.stain import StainTarget
from sentinode.stress.changes import (
    blurred,
    brighter,
    gamma,
    jpeg,
    noisy,
    restained,
    stronger,
    turned,
    white_balanced,
)
from sentinode.types import UInt8Array

__all__ = ["CLEAN", "FAMILIES", "Condition", "Family", "conditions"]

Change = Callable[[UInt8Array, NDArray[np.int64]], UInt8Array]
CLEAN = "as they are"
ORIENTATIONS = ("0°", "90°", "180°", "270°", "mirror", "m. 90°", "m. 180°", "m. 270°")


@final
@dataclass(frozen=True)
class Family:
    """Changes of one kind at several strengths.

    Attributes:
        name: In file names and tables.
        title: For who reads.
        axis: What a strength is, with its unit.
        strengths: From one end to the other, without the neutral one.
        neutral: The strength that changes nothing, None where there is none.
    """

    name: str
    title: str
    axis: str
    strengths: tuple[float, ...]
    neutral: float | None

    def said(self, strength: float | None) -> str:
        """Return a strength in words; None is the patches as they are."""
        if strength is None:
            return CLEAN
        if self.name == "orientation":
            return ORIENTATIONS[int(strength)]
        if self.name in ("stain", "target"):
            return f"{strength:g} of the way"
        return f"{self.axis.partition(',')[0]} {strength:g}"


WAY = (0.5, 1.0, 1.5)
FAMILIES = {
    family.name: family
    for family in (
        Family("stain", "Stains of this set", "share of the way", WAY, 0.0),
        Family("target", "Stains of the targets", "share of the way", WAY, 0.0),
        Family("haematoxylin", "Haematoxylin", "factor", (0.5, 0.7, 1.4, 2.0), 1.0),
        Family("eosin", "Eosin", "factor", (0.5, 0.7, 1.4, 2.0), 1.0),
        Family("brightness", "Brightness", "factor", (0.6, 0.8, 1.2, 1.4), 1.0),
        Family("gamma", "Tone curve", "gamma", (0.6, 0.8, 1.25, 1.6), 1.0),
        Family("white-balance", "White balance", "warmth", (-0.2, -0.1, 0.1, 0.2), 0.0),
        Family("blur", "Blur", "sigma, px", (0.5, 1.0, 2.0, 3.0), 0.0),
        Family("noise", "Noise", "sigma, grey levels", (5.0, 10.0, 20.0, 40.0), 0.0),
        Family("jpeg", "JPEG", "quality", (90.0, 70.0, 50.0, 30.0, 10.0), None),
        Family("orientation", "Orientation", "", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0), 0.0),
    )
}


@final
@dataclass(frozen=True)
class Condition:
    """One change at one strength.

    Attributes:
        family: Key of :data:`FAMILIES`, or ``clean``.
        strength: Of the change, None for the patches as they are.
        target: Whose stain they are moved toward, None for other families.
        settings: All that shapes it, as JSON values.
        change: The change itself.
    """

    family: str
    strength: float | None
    target: str | None
    settings: Mapping[str, Any]
    change: Change

    @property
    def file_name(self) -> str:
        """Name of what is kept of it, another one for other settings."""
        parts = [self.family, self.target or "", "" if self.strength is None else self.strength]
        words = re.sub(r"[^\w.-]", "_", "-".join(str(part) for part in parts if part != ""))
        return f"{words}-{hash_json(self.settings)[:12]}.npy"


def conditions(
    stains: Mapping[str, StainTarget], targets: Mapping[str, StainTarget], seed: int
) -> list[Condition]:
    """Return the patches as they are and then every change, family by family.

    Args:
        stains: Stains found among the set's own patches or slides, by name.
        targets: Stains of other images, by name.
        seed: Of the noise.
    """
    made = [_condition("clean", None, {}, lambda images, rows: images)]
    for name, family in FAMILIES.items():
        others = {"stain": stains, "target": targets}.get(name)
        for target, other in ({None: None} if others is None else others).items():
            for strength in family.strengths:
                more = _settings(name, other, seed)
                change = _change(name, strength, other, seed)
                made.append(_condition(name, strength, more, change, target))
    return made


def _condition(
    family: str,
    strength: float | None,
    more: Mapping[str, Any],
    change: Change,
    target: str | None = None,
) -> Condition:
    settings = {"family": family, "strength": strength, "target": target, **more}
    return Condition(family, strength, target, settings, change)


def _settings(family: str, other: StainTarget | None, seed: int) -> dict[str, Any]:
    if other is not None:
        return {"to": other.model_dump(mode="json")}
    return {"seed": seed} if family == "noise" else {}


def _change(family: str, strength: float, other: StainTarget | None, seed: int) -> Change:
    if other is not None:
        return lambda images, rows: restained(images, strength, other)
    if family in ("haematoxylin", "eosin"):
        stain = ("haematoxylin", "eosin").index(family)
        return lambda images, rows: stronger(images, strength, stain)
    if family == "noise":
        return lambda images, rows: noisy(images, strength, seed, rows)
    plain = {
        "brightness": brighter,
        "gamma": gamma,
        "white-balance": white_balanced,
        "blur": blurred,
        "jpeg": jpeg,
        "orientation": turned,
    }[family]
    return lambda images, rows: plain(images, strength)

"""Names: short ones that tell folders apart, and unknown ones, answered with the nearest known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sentinode.errors import InputError

__all__ = ["folder_names", "nearest", "unknown_name"]


def folder_names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart.

    A last ``run`` is left out, and ``seed-42`` keeps the name of the folder above it.

    Raises:
        InputError: One is given twice.
    """
    whole = [folder.resolve() for folder in folders]
    for place, folder in zip(whole, folders, strict=True):
        if whole.count(place) > 1:
            raise InputError(f"{folder} is given twice; give each run once")
    for parts in ([_telling(place) for place in whole], [list(place.parts) for place in whole]):
        for length in range(1, max(map(len, parts), default=1) + 1):
            names = ["/".join(p[-length:]) for p in parts]
            if len(set(names)) == len(names):
                return names
    raise AssertionError("different paths have different parts")


def _telling(place: Path) -> list[str]:
    parts = list(place.parts)
    if parts[-1] == "run" and len(parts) > 2:
        parts.pop()
    if re.fullmatch(r"seed-\d+", parts[-1]) and len(parts) > 2:
        parts[-2:] = ["/".join(parts[-2:])]
    return parts


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``name``, or None where nothing is like it."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown name: what came, the nearest, and all there are."""
    choices = sorted(known)
    near = nearest(name, choices)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(choices)})"

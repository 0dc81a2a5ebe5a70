"""Unknown names: never guessed, always answered with the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest", "unknown_name"]


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

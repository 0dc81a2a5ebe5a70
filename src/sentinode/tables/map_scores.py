"""Scores of what networks looked at, as they lie in ``map_scores.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from sentinode.core import read_json
from sentinode.errors import InputError

__all__ = ["MapScore", "read_map_scores"]


@final
@dataclass(frozen=True)
class MapScore:
    """One score of one network's maps.

    Attributes:
        place: Where the patches are from, as in "regions".
        method: How the maps were drawn, as in "gradcam".
        score: Short name of the score.
        said: What it is, in words.
        value: The mean over patches.
        low: Lower end of its interval, None where there is none.
        high: Upper end.
    """

    place: str
    method: str
    score: str
    said: str
    value: float
    low: float | None
    high: float | None


def read_map_scores(path: Path) -> dict[str, tuple[MapScore, ...]]:
    """Read the scores of every network in a file, by the SHA-256 of its weights.

    Raises:
        MissingInputError: There is no such file.
        InputError: It is damaged, or no file of scores.
    """
    content = read_json(path)
    try:
        weights = content["provenance"]["inputs"]
        found: dict[str, list[MapScore]] = {str(digest): [] for digest in weights.values()}
        for row in content["rows"]:
            if row.get("value") is not None:
                found[weights[row["run"]]].append(_score(row, content["scores"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} is no file of map scores, as `sentinode score-maps` writes it: {error!r}"
        ) from error
    return {digest: tuple(scores) for digest, scores in found.items()}


def _score(row: dict[str, Any], said: dict[str, str]) -> MapScore:
    low, high = (None if row.get(end) is None else float(row[end]) for end in ("low", "high"))
    return MapScore(
        place=str(row["place"]),
        method=str(row["method"]),
        score=str(row["score"]),
        said=str(said[row["score"]]),
        value=float(row["value"]),
        low=low,
        high=high,
    )

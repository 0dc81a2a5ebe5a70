"""What is written of a slide, and by what it is known to be done."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sentinode.core import Provenance, hash_file, read_json, write_json
from sentinode.errors import InputError
from sentinode.types import RESEARCH_USE_ONLY

__all__ = ["SUMMARY_FILE", "SlideSummary", "finished"]

SUMMARY_FILE = "summary.json"
RESEARCH_OUTPUT = (
    "research output: areas, foci and their classes are measured on the map of a network, by size "
    "alone, and are no diagnosis"
)


class SlideSummary(BaseModel):
    """One slide in figures; written last, so that a folder with it is whole.

    Attributes:
        format: Version of the layout.
        notice: What it may be used for.
        marked: That it is a research output, and why.
        slide: Name.
        vendor: Format of its file.
        width: Of level 0 in px.
        height: Of level 0 in px.
        mpp: µm/px of level 0.
        mpp_given: Whether it was given, for the file does not say it.
        read_mpp: µm/px at which the network saw it.
        stride: Px between positions at that scale.
        positions: With tissue.
        tissue_area_mm2: Of the mask.
        tumour_area_mm2: Of the squares at or above the threshold.
        threshold: Of probability.
        score: Highest probability that 2x2 neighbouring positions reach.
        size_class: Of the largest focus.
        largest_focus_mm: Its longest diameter, 0 without one.
        foci: All of them, the largest first.
        model: Name of the network.
        run_densely: Whether it ran densely.
        precision: Of its arithmetic.
        calibration: What was put upon its logits.
        files: SHA-256 of each other file by name.
        key: Hash of the slide and of all that shaped the result.
        provenance: What made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    notice: str = RESEARCH_USE_ONLY
    marked: str = RESEARCH_OUTPUT
    slide: str
    vendor: str
    width: int
    height: int
    mpp: float
    mpp_given: bool
    read_mpp: float
    stride: int
    positions: int
    tissue_area_mm2: float
    tumour_area_mm2: float
    threshold: float
    score: float
    size_class: str
    largest_focus_mm: float
    foci: tuple[dict[str, Any], ...]
    model: str
    run_densely: bool
    precision: str
    calibration: dict[str, float | int | str] | None
    files: dict[str, str]
    key: str
    provenance: Provenance

    def write(self, folder: Path) -> None:
        """Write ``summary.json``, whole or not at all."""
        write_json(folder / SUMMARY_FILE, self.model_dump(mode="json"))


def finished(folder: Path, key: str) -> SlideSummary | None:
    """Return a slide's summary where it is finished with this key and its files are as written."""
    path = folder / SUMMARY_FILE
    if not path.is_file():
        return None
    try:
        summary = SlideSummary.model_validate(read_json(path))
    except (InputError, ValidationError):
        return None  # of another version or damaged: it is made again
    if summary.key != key:
        return None
    whole = all(
        (folder / name).is_file() and hash_file(folder / name) == expected
        for name, expected in summary.files.items()
    )
    return summary if whole else None

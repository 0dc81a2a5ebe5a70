"""How slides are read, computed and written."""

from __future__ import annotations

from pydantic import Field

from sentinode.config.section import SPEED, Device, Fraction, Precision, Section

__all__ = ["SlideConfig"]


class SlideConfig(Section):
    """From a slide to a map of probabilities."""

    stride: int = Field(
        32,
        ge=2,
        le=96,
        multiple_of=2,
        description="Pixels between neighbouring positions, at the network's scale.",
    )
    device: Device = "auto"
    precision: Precision = Field(
        "auto", description="Of the network's arithmetic; auto as in train."
    )
    threshold: Fraction = Field(
        0.5, description="Probability from which a position counts as tumour."
    )
    tissue_share: Fraction = Field(
        0.1, description="A position is computed where this share of its square is tissue."
    )
    overlay_px: int = Field(
        1600, ge=200, le=8000, description="Longer side of the picture with the map on it."
    )
    tiles: bool = Field(
        True, description="Write every position as a tile for QuPath, which large slides may spare."
    )
    tile: int = Field(
        24,
        ge=1,
        le=256,
        description="Positions of a tile in each direction; a GPU takes more.",
        json_schema_extra=SPEED,
    )
    batch_size: int = Field(
        32,
        ge=1,
        description="Patches at once, for networks that cannot run densely.",
        json_schema_extra=SPEED,
    )
    readers: int = Field(
        2, ge=1, le=64, description="Threads that read ahead.", json_schema_extra=SPEED
    )

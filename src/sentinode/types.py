"""Types that every package may use: units, folds and the preprocessing of a network."""

from __future__ import annotations

from typing import Literal, NewType, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "FOLDS",
    "FOLD_NAMES",
    "PATCHES_DTYPE",
    "PRETRAINED",
    "RESEARCH_USE_ONLY",
    "Fold",
    "Level0Px",
    "Mpp",
    "PatchPx",
    "Preprocess",
    "UInt8Array",
]

Mpp = NewType("Mpp", float)
"""Micrometres per pixel."""
Level0Px = NewType("Level0Px", int)
"""A coordinate or length in pixels of a slide's level 0."""
PatchPx = NewType("PatchPx", int)
"""A coordinate or length in pixels of a patch, at the network's own mpp."""

Fold = Literal["train", "valid", "test", "unlabelled"]
"""What a patch is for. ``valid`` chooses (early stopping, threshold), ``test`` is reported."""
FOLDS: tuple[Fold, ...] = ("train", "valid", "test", "unlabelled")
FOLD_NAMES: dict[str, str] = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
"""What others call the folds, in lower case."""

UInt8Array = NDArray[np.uint8]
PATCHES_DTYPE = np.uint8

PRETRAINED = "pretrain"
"""The stage whose runs are for starting from: no label was shown to them."""

RESEARCH_USE_ONLY = (
    "Research use only. Not a medical device. Not for diagnosis or patient management."
)


class Preprocess(BaseModel):
    """What happens to a patch before the network sees it; embedded in every checkpoint.

    A network's input is ``(uint8 / 255 - mean) / std`` per channel. ``gray`` is the luma of
    ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B), rounded to uint8 as OpenCV does.

    Attributes:
        size: Side of the square patch in px.
        mpp: Scale the network was trained at in µm/px.
        channels: ``rgb`` (3 input channels) or ``gray`` (1).
        mean: Subtracted from each channel, in 0..1.
        std: Each channel is divided by it, greater than 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(96, ge=8, le=4096)
    mpp: float = Field(0.97, gt=0)
    channels: Literal["rgb", "gray"] = "rgb"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @field_validator("std")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(s > 0 for s in value):
            raise ValueError(f"std must be greater than 0 in every channel, got {value}")
        return value

    @model_validator(mode="after")
    def _one_per_channel(self) -> Self:
        if not len(self.mean) == len(self.std) == self.n_channels:
            raise ValueError(
                f"{self.channels} needs {self.n_channels} value(s) of mean and std, "
                f"got {len(self.mean)} and {len(self.std)}"
            )
        return self

    @property
    def n_channels(self) -> int:
        """Number of channels of the network's input."""
        return 3 if self.channels == "rgb" else 1

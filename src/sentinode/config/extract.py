"""How patches are cut from annotated slides."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sentinode.config.section import SPEED, Fraction, Section, Seed

__all__ = ["ExtractConfig"]


class ExtractConfig(Section):
    """Cutting patches from annotated slides."""

    size: int = Field(96, ge=8, le=4096, description="Side of a patch in px.")
    mpp: float = Field(0.97, gt=0, description="Scale of the patches in µm/px.")
    centre: int = Field(
        32,
        ge=1,
        description="Side in px of the square in the middle that decides: a patch is tumour where "
        "any pixel of it is.",
    )
    stride: int = Field(
        32,
        ge=1,
        description="Distance in px between places looked at; above the side of the centre, small "
        "foci can fall between them.",
    )
    min_tissue: float = Field(
        0.5, ge=0, le=1, description="A patch needs at least this share of tissue."
    )
    outside: Literal["normal", "unknown"] = Field(
        "normal",
        description="What tissue is that no outline encloses, or where a mask image is 0: normal, "
        "as where all tumour was outlined, or unknown, so that no patch is taken there.",
    )
    per_slide: int | None = Field(
        1000, ge=1, description="At most so many patches of each class from one slide."
    )
    tumour_share: Fraction | None = Field(
        0.5, description="Share of tumour among all patches; none takes what there is."
    )
    hard_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of a slide's normal patches that may be the run's worst false "
        "positives, with --hard-negatives.",
    )
    hard_above: Fraction = Field(
        0.5, description="A normal patch is a false positive from this probability on."
    )
    hard_pool: int = Field(
        4000, ge=1, description="Normal patches of a slide that the run looks at, drawn by chance."
    )
    seed: Seed = Field(42, description="Seed of all draws.")
    workers: int = Field(
        0,
        ge=0,
        description="Processes that look at slides; 0 takes all cores.",
        json_schema_extra=SPEED,
    )

    @model_validator(mode="after")
    def _centred(self) -> Self:
        if self.centre > self.size or (self.size - self.centre) % 2:
            raise ValueError(
                f"centre = {self.centre} does not lie in the middle of size = {self.size}"
            )
        return self

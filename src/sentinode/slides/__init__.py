"""Slides: reading regions at a scale, whatever the scanner's file, and what was drawn on them."""

from sentinode.slides.annotation import Meaning, NoTumour, Truth
from sentinode.slides.fill import Box
from sentinode.slides.outline import Polygon, outline, write_asap, write_geojson, write_ncrf
from sentinode.slides.reader import Level, Slide
from sentinode.slides.truth import (
    Reading,
    annotation_files,
    open_truth,
    pair,
    slide_files,
    stem_of,
)

__all__ = [
    "Box",
    "Level",
    "Meaning",
    "NoTumour",
    "Polygon",
    "Reading",
    "Slide",
    "Truth",
    "annotation_files",
    "open_truth",
    "outline",
    "pair",
    "slide_files",
    "stem_of",
    "write_asap",
    "write_geojson",
    "write_ncrf",
]

"""Slides: reading regions at a scale, whatever the scanner's file, and what was drawn on them."""

from sentinode.slides.annotation import Meaning, NoTumour, Truth
from sentinode.slides.fill import Box
from sentinode.slides.grid import Grid
from sentinode.slides.outline import Polygon, outline, write_asap, write_geojson, write_ncrf
from sentinode.slides.pyramid import write_map, write_pyramid
from sentinode.slides.reader import Level, Slide
from sentinode.slides.tissue import Tissue, find_tissue, tissue_mask
from sentinode.slides.truth import (
    Reading,
    annotation_files,
    check_name,
    is_mask,
    open_truth,
    pair,
    slide_files,
    stem_of,
)

__all__ = [
    "Box",
    "Grid",
    "Level",
    "Meaning",
    "NoTumour",
    "Polygon",
    "Reading",
    "Slide",
    "Tissue",
    "Truth",
    "annotation_files",
    "check_name",
    "find_tissue",
    "is_mask",
    "open_truth",
    "outline",
    "pair",
    "slide_files",
    "stem_of",
    "tissue_mask",
    "write_asap",
    "write_geojson",
    "write_map",
    "write_ncrf",
    "write_pyramid",
]

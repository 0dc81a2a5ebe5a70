"""Synthetic lymph-node slides with known truth: for tests and for trying things offline."""

from sentinode.phantom.cohort import CohortSummary, write_cohort
from sentinode.phantom.patches import Cut, draw_patches, label_of
from sentinode.phantom.pyramid import write_pyramid
from sentinode.phantom.slide import MPP, SIDE, Slide, make_slide

__all__ = [
    "MPP",
    "SIDE",
    "CohortSummary",
    "Cut",
    "Slide",
    "draw_patches",
    "label_of",
    "make_slide",
    "write_cohort",
    "write_pyramid",
]

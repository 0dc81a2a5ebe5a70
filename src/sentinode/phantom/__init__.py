"""Synthetic lymph-node slides with known truth: for tests and for trying things offline."""

from sentinode.phantom.cohort import CohortSummary, write_cohort
from sentinode.phantom.patches import Cut, draw_patches, label_of
from sentinode.phantom.section import Section, make_section, write_section
from sentinode.phantom.slide import MPP, SIDE, Slide, make_slide

__all__ = [
    "MPP",
    "SIDE",
    "CohortSummary",
    "Cut",
    "Section",
    "Slide",
    "draw_patches",
    "label_of",
    "make_section",
    "make_slide",
    "write_cohort",
    "write_section",
]

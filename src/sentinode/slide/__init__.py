"""A slide to a map of probabilities, with tables and pictures of it; one or a cohort."""

from sentinode.slide.analysis import Analyst, Job, Outcome
from sentinode.slide.cohort import Cohort, analyse_cohort, shard_of
from sentinode.slide.foci import Focus, find_foci, peaks, slide_score
from sentinode.slide.overlay import write_overlay
from sentinode.slide.summary import SUMMARY_FILE, SlideSummary
from sentinode.slide.tables import write_csv, write_tiles, write_tumour

__all__ = [
    "SUMMARY_FILE",
    "Analyst",
    "Cohort",
    "Focus",
    "Job",
    "Outcome",
    "SlideSummary",
    "analyse_cohort",
    "find_foci",
    "peaks",
    "shard_of",
    "slide_score",
    "write_csv",
    "write_overlay",
    "write_tiles",
    "write_tumour",
]

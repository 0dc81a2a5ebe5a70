"""Runs side by side: which of their differences are real, and which are noise."""

from sentinode.compare.candidates import Candidate, find_candidates, predicted
from sentinode.compare.common import Common, common_patches
from sentinode.compare.comparing import compare
from sentinode.compare.learning import learning_curve
from sentinode.compare.published import published_experiments, published_of
from sentinode.compare.result import Comparison, Difference, GroupRow, RunRow
from sentinode.compare.writing import comparison_markdown, comparison_page, write_comparison

__all__ = [
    "Candidate",
    "Common",
    "Comparison",
    "Difference",
    "GroupRow",
    "RunRow",
    "common_patches",
    "compare",
    "comparison_markdown",
    "comparison_page",
    "find_candidates",
    "learning_curve",
    "predicted",
    "published_experiments",
    "published_of",
    "write_comparison",
]

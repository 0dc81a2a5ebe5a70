"""Tuning: keys of the configuration chosen by trials, on validation patches."""

from sentinode.tune.results import BEST_FILE, PAGE_FILE, TRIALS_FILE, TuneResult, TuneTrial
from sentinode.tune.space import Space, parse_space, read_space
from sentinode.tune.tuning import tune

__all__ = [
    "BEST_FILE",
    "PAGE_FILE",
    "TRIALS_FILE",
    "Space",
    "TuneResult",
    "TuneTrial",
    "parse_space",
    "read_space",
    "tune",
]

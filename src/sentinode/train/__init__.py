"""Training: from a packed set and its split to a run folder."""

from sentinode.train.norms import norms_of, renew_norms
from sentinode.train.plan import make_plan
from sentinode.train.pretraining import pretrain
from sentinode.train.ranks import first_process, processes
from sentinode.train.seeds import mean_and_deviation, train_seeds
from sentinode.train.teaching import weights_behind
from sentinode.train.training import CONFIG_FILE, train

__all__ = [
    "CONFIG_FILE",
    "first_process",
    "make_plan",
    "mean_and_deviation",
    "norms_of",
    "pretrain",
    "processes",
    "renew_norms",
    "train",
    "train_seeds",
    "weights_behind",
]

"""Training: from a packed set and its split to a run folder."""

from sentinode.train.training import CONFIG_FILE, train

__all__ = ["CONFIG_FILE", "train"]

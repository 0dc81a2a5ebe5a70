"""Results for other programs."""

from sentinode.export.kaggle import submission

__all__ = ["submission"]

"""Results for other programs."""

from sentinode.export.submission import submission

__all__ = ["submission"]

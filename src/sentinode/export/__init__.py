"""A run for other runtimes and programs, and results for other programs."""

from sentinode.export.exporting import PRECISIONS, Exported, export_run, plans
from sentinode.export.kaggle import submission

__all__ = ["PRECISIONS", "Exported", "export_run", "plans", "submission"]

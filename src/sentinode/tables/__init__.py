"""What lies on disk between stages: packed set, manifest, split, predictions, history."""

from sentinode.tables.history import HISTORY_COLUMNS, read_history, write_history
from sentinode.tables.manifest import MANIFEST_DTYPES, Manifest
from sentinode.tables.packed import PackedSet, SetMeta
from sentinode.tables.predictions import PREDICTION_DTYPES, Predictions
from sentinode.tables.split import Split

__all__ = [
    "HISTORY_COLUMNS",
    "MANIFEST_DTYPES",
    "PREDICTION_DTYPES",
    "Manifest",
    "PackedSet",
    "Predictions",
    "SetMeta",
    "Split",
    "read_history",
    "write_history",
]

"""What lies on disk between stages: packed set, manifest, split, predictions, history, report."""

from sentinode.tables.calibration import CALIBRATION_FILE, Calibration, CalibrationMethod
from sentinode.tables.frames import read_parquet, write_parquet
from sentinode.tables.history import (
    HISTORY_COLUMNS,
    HistoryFacts,
    history_facts,
    read_history,
    write_history,
)
from sentinode.tables.manifest import MANIFEST_DTYPES, Manifest
from sentinode.tables.map_scores import MapScore, read_map_scores
from sentinode.tables.packed import (
    COARSE_FILE,
    COARSE_SIDE,
    IMAGES_FILE,
    SET_FORMAT,
    PackedSet,
    SetMeta,
)
from sentinode.tables.predictions import PREDICTION_DTYPES, Predictions, note_beside
from sentinode.tables.reliance import (
    Abstention,
    Answered,
    Bin,
    Conformal,
    ConformalRow,
    Decision,
    Figure,
    PrevalenceRow,
    StainLook,
    Uncalibrated,
)
from sentinode.tables.report import (
    Confusion,
    Curve,
    Example,
    ExampleKind,
    GroupRow,
    Histogram,
    LeftOut,
    OperatingPoint,
    Report,
    Rows,
    Training,
    Unit,
)
from sentinode.tables.split import Split

__all__ = [
    "CALIBRATION_FILE",
    "COARSE_FILE",
    "COARSE_SIDE",
    "HISTORY_COLUMNS",
    "IMAGES_FILE",
    "MANIFEST_DTYPES",
    "PREDICTION_DTYPES",
    "SET_FORMAT",
    "Abstention",
    "Answered",
    "Bin",
    "Calibration",
    "CalibrationMethod",
    "Conformal",
    "ConformalRow",
    "Confusion",
    "Curve",
    "Decision",
    "Example",
    "ExampleKind",
    "Figure",
    "GroupRow",
    "Histogram",
    "HistoryFacts",
    "LeftOut",
    "Manifest",
    "MapScore",
    "OperatingPoint",
    "PackedSet",
    "Predictions",
    "PrevalenceRow",
    "Report",
    "Rows",
    "SetMeta",
    "Split",
    "StainLook",
    "Training",
    "Uncalibrated",
    "Unit",
    "history_facts",
    "note_beside",
    "read_history",
    "read_map_scores",
    "read_parquet",
    "write_history",
    "write_parquet",
]

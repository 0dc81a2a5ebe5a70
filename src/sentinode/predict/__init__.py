"""Prediction: from a trained network and patches to probabilities; opens without PyTorch."""

from sentinode.predict.arrays import Predictor
from sentinode.predict.ensemble import ensemble
from sentinode.predict.exported import (
    EXPORT_FILE,
    EXPORTS_FOLDER,
    Check,
    Export,
    ExportFormat,
    ExportPrecision,
    ExportRecord,
    exports_in,
)
from sentinode.predict.files import predict_file
from sentinode.predict.forward import forward
from sentinode.predict.patches import check_fits, predict, predict_set, set_logits, set_rows
from sentinode.predict.runtimes import (
    INPUT,
    OUTPUT,
    OnnxRuntime,
    OpenVinoRuntime,
    Runtime,
    TorchRuntime,
    openvino,
    runtime_of,
    silence,
)

__all__ = [
    "EXPORTS_FOLDER",
    "EXPORT_FILE",
    "INPUT",
    "OUTPUT",
    "Check",
    "Export",
    "ExportFormat",
    "ExportPrecision",
    "ExportRecord",
    "OnnxRuntime",
    "OpenVinoRuntime",
    "Predictor",
    "Runtime",
    "TorchRuntime",
    "check_fits",
    "ensemble",
    "exports_in",
    "forward",
    "openvino",
    "predict",
    "predict_file",
    "predict_set",
    "runtime_of",
    "set_logits",
    "set_rows",
    "silence",
]

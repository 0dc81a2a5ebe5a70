"""The card of an export: what it is, for whoever finds the folder."""

from __future__ import annotations

from sentinode.predict import ExportRecord

__all__ = ["CARD_FILE", "card"]

CARD_FILE = "README.md"

_USE = {
    "onnx": "sentinode predict FOLDER INPUT --out predictions.csv",
    "openvino": "sentinode predict FOLDER INPUT --out predictions.csv",
    "torchscript": 'torch.jit.load("model.pt")(patches)',
    "wsinfer": "wsinfer run --config config.json --model-path torchscript_model.pt ...",
}


def card(record: ExportRecord) -> str:
    """Return the card as Markdown."""
    pre = record.preprocess
    lines = [
        f"# {record.name}, {record.kind}, {record.precision}",
        "",
        f"> **{record.notice}**",
        "",
        "Probability of metastatic tumour in the centre (32×32 px of 96×96) of a patch of an "
        "H&E-stained lymph node.",
        "",
        "| | |",
        "| --- | --- |",
        f"| input | {record.input_dtype}, {record.input_layout}, {record.channel_order}, "
        f"{pre.size}×{pre.size} px at {pre.mpp:g} µm/px; nothing subtracted or divided before |",
        f"| output | {record.output} |",
        f"| classes | {record.classes[0]}, {record.classes[1]} |",
        f"| calibration | {_calibration(record)} |",
        f"| weights | SHA-256 {record.weights_sha256} |",
        f"| licence | {record.licence} |",
        f"| checked | {_check(record)} |",
    ]
    if record.int8_calibration:
        lines.append(f"| int8 | ranges measured on {record.int8_calibration} training patches |")
    return "\n".join([*lines, "", "```", _USE[record.kind], "```", ""])


def _calibration(record: ExportRecord) -> str:
    if record.calibration is None:
        return "none: the probability is the sigmoid of the logit"
    named = ", ".join(f"{name} {value}" for name, value in record.calibration.items())
    where = "inside the model" if record.calibration_inside else "applied by sentinode, outside"
    return f"{named}; {where}"


def _check(record: ExportRecord) -> str:
    check = record.check
    if check is None:
        return "no: it was written without patches to check on"
    said = (
        f"on {check.patches:,} patches ({', '.join(check.folds) or 'no split'}): ROC AUC "
        f"{check.auc_of_export:.4f}, PyTorch in float32 {check.auc:.4f}; a probability differs by "
        f"{check.largest_probability_difference:.2g} at most"
    )
    return said if check.passed else f"{said}; not passed: {check.reason}"

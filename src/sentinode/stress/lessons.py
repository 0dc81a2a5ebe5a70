"""What a stress test teaches, a sentence for each family of changes."""

from __future__ import annotations

from collections.abc import Sequence

from sentinode.stress.conditions import FAMILIES
from sentinode.stress.report import Measured

__all__ = ["lessons_of"]


def lessons_of(measured: Sequence[Measured]) -> tuple[str, ...]:
    """Say for each family where the ROC AUC falls most, the family that falls most first."""
    clean = measured[0]
    found = []
    for name, family in FAMILIES.items():
        of = [m for m in measured if m.family == name and m.figures["auc_change"].value is not None]
        if of:
            worst = min(of, key=_change)
            found.append((_change(worst), f"{family.title}: {_lesson(clean, worst, of)}"))
    return tuple(said for _, said in sorted(found))


def _change(measured: Measured) -> float:
    return measured.figures["auc_change"].value or 0.0


def _lesson(clean: Measured, worst: Measured, of: Sequence[Measured]) -> str:
    change = worst.figures["auc_change"]
    auc = (clean.figures["roc_auc"].value or 0.0, worst.figures["roc_auc"].value or 0.0)
    error = (clean.figures["ece_width"].value or 0.0, worst.figures["ece_width"].value or 0.0)
    toward = f" toward {worst.target}" if worst.target else ""
    between = ""
    if change.low is not None and change.high is not None:
        between = f" ({_signed(change.low)} to {_signed(change.high)})"
        if change.low <= 0 <= change.high:
            between += ", which chance can explain"
    calibration = max(of, key=lambda m: m.figures["ece_width"].value or 0.0)
    more = ""
    if calibration is not worst:
        named = f" toward {calibration.target}" if calibration.target else ""
        more = (
            f" Calibration error is largest at {calibration.said}{named}: "
            f"{calibration.figures['ece_width'].value or 0.0:.3f}."
        )
    return (
        f"ROC AUC {auc[0]:.3f} becomes {auc[1]:.3f} at {worst.said}{toward}, a change of "
        f"{_signed(_change(worst))}{between}; calibration error {error[0]:.3f} becomes "
        f"{error[1]:.3f}.{more}"
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")

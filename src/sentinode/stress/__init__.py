"""How a network bears other stains, scanners and files: what it keeps and what it loses."""

from sentinode.stress.page import write_stress
from sentinode.stress.report import Measured, Stressed, StressReport, stress_table
from sentinode.stress.stressing import stress
from sentinode.stress.targets import read_targets

__all__ = [
    "Measured",
    "StressReport",
    "Stressed",
    "read_targets",
    "stress",
    "stress_table",
    "write_stress",
]

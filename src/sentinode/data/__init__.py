"""Sources, the packed set, its audit and its split; `data.loader` alone needs PyTorch."""

from sentinode.data.auditing import (
    AUDIT_FILE,
    PAIRS_FILE,
    AuditSummary,
    Finding,
    audit,
    compare_sets,
)
from sentinode.data.decode import PatchProblem
from sentinode.data.packing import pack
from sentinode.data.restain import RestainedSource, stain_target
from sentinode.data.source import Source
from sentinode.data.sources import open_source
from sentinode.data.splitting import SPLIT_FILE, propose, split

__all__ = [
    "AUDIT_FILE",
    "PAIRS_FILE",
    "SPLIT_FILE",
    "AuditSummary",
    "Finding",
    "PatchProblem",
    "RestainedSource",
    "Source",
    "audit",
    "compare_sets",
    "open_source",
    "pack",
    "propose",
    "split",
    "stain_target",
]

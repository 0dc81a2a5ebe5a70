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
from sentinode.data.extraction import EXTRACT_FILE, HARD_FILE, Extraction, extract
from sentinode.data.mining import Judge
from sentinode.data.packing import pack
from sentinode.data.restain import RestainedSource, stain_target
from sentinode.data.source import Source
from sentinode.data.sources import open_source
from sentinode.data.splitting import SPLIT_FILE, propose, split
from sentinode.data.survey import Job

__all__ = [
    "AUDIT_FILE",
    "EXTRACT_FILE",
    "HARD_FILE",
    "PAIRS_FILE",
    "SPLIT_FILE",
    "AuditSummary",
    "Extraction",
    "Finding",
    "Job",
    "Judge",
    "PatchProblem",
    "RestainedSource",
    "Source",
    "audit",
    "compare_sets",
    "extract",
    "open_source",
    "pack",
    "propose",
    "split",
    "stain_target",
]

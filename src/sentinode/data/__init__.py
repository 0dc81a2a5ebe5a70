"""Sources, the packed set, its audit and its split; `data.loader` alone needs PyTorch."""

from sentinode.data.auditing import AUDIT_FILE, AuditSummary, Finding, audit
from sentinode.data.decode import PatchProblem
from sentinode.data.packing import pack
from sentinode.data.sources import Source, open_source
from sentinode.data.splitting import SPLIT_FILE, split

__all__ = [
    "AUDIT_FILE",
    "SPLIT_FILE",
    "AuditSummary",
    "Finding",
    "PatchProblem",
    "Source",
    "audit",
    "open_source",
    "pack",
    "split",
]

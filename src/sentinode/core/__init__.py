"""Atomic files, provenance, progress and optional imports: what every stage stands on."""

from sentinode.core.extras import require
from sentinode.core.files import (
    atomic_path,
    folder_lock,
    hash_bytes,
    hash_file,
    hash_json,
    leftovers,
    make_folder,
    need_disk,
    read_json,
    write_json,
    write_text,
)
from sentinode.core.memory import keep_freed_memory, large_memory_kept
from sentinode.core.names import folder_names, nearest, unknown_name
from sentinode.core.progress import Progress
from sentinode.core.provenance import Provenance, processor_name, provenance
from sentinode.core.shipped import run_folder, weight_names
from sentinode.core.validation import first_fault, first_line
from sentinode.core.watch import Watch, anonymous_memory
from sentinode.core.workers import Workers, cores, spread

__all__ = [
    "Progress",
    "Provenance",
    "Watch",
    "Workers",
    "anonymous_memory",
    "atomic_path",
    "cores",
    "first_fault",
    "first_line",
    "folder_lock",
    "folder_names",
    "hash_bytes",
    "hash_file",
    "hash_json",
    "keep_freed_memory",
    "large_memory_kept",
    "leftovers",
    "make_folder",
    "nearest",
    "need_disk",
    "processor_name",
    "provenance",
    "read_json",
    "require",
    "run_folder",
    "spread",
    "unknown_name",
    "weight_names",
    "write_json",
    "write_text",
]

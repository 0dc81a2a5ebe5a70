"""Which DICOM series a file belongs to: a slide is a series of several files."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["series_of"]

HEAD = 1 << 16  # bytes in which the series is told
SERIES = re.compile(
    # StudyInstanceUID, and SeriesInstanceUID right behind it: only so it is the file's own
    rb"\x20\x00\x0d\x00(?:UI..|....)[0-9.]{1,64}\x00?"
    rb"\x20\x00\x0e\x00(?:UI..|....)([0-9.]{1,64})",
    re.DOTALL,
)


def series_of(path: Path) -> bytes | None:
    """Return the SeriesInstanceUID of a DICOM file, None where it tells none."""
    try:
        with path.open("rb") as handle:
            head = handle.read(HEAD)
    except OSError:
        return None
    found = SERIES.search(head) if head[128:132] == b"DICM" else None
    return found[1] if found else None

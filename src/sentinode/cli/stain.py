"""`sentinode stain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sentinode.cli.options import ConfigFile, Overrides, config_of

if TYPE_CHECKING:
    from sentinode.stain import StainTarget
    from sentinode.tables import PackedSet

SHOWN = 12


def stain_command(
    folder: Annotated[Path, typer.Argument(metavar="SET", help="A packed set.")],
    target: Annotated[
        Path, typer.Option(help="Image, or packed set, whose colours the patches shall have.")
    ],
    method: Annotated[str, typer.Option(help="macenko, vahadane or reinhard.")] = "macenko",
    out: Annotated[Path | None, typer.Option(help="Packed set to write.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="PNG to write: patches before and after.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Bring patches to the colours of a target: as a new packed set, or as a picture to judge."""
    from sentinode.core import unknown_name
    from sentinode.data import RestainedSource, pack, stain_target
    from sentinode.errors import InputError
    from sentinode.stain.target import NORMALISERS
    from sentinode.tables import PackedSet

    settings = config_of(config, overrides).pack
    if method not in NORMALISERS:
        raise InputError(unknown_name("method", method, NORMALISERS))
    if out is None and sheet is None:
        raise InputError("nothing to write; give --out SET, --sheet FILE.png, or both")
    if out is not None and out.resolve() == folder.resolve():
        raise InputError("--out is the set itself; the new colours need a folder of their own")
    packed = PackedSet.open(folder)
    look = stain_target(target, method)
    if look.vectors is not None:
        for name, vector in zip(("haematoxylin", "eosin"), look.vectors, strict=True):
            typer.echo(f"{name:13} {' '.join(f'{v:.3f}' for v in vector)}  (optical density RGB)")
    if sheet is not None:
        _write_sheet(packed, look, sheet)
        typer.echo(f"wrote {sheet}: above as they are, below in the target's colours")
    if out is not None:
        made = pack(RestainedSource(packed, look), out, settings)
        typer.echo(f"wrote {out}: {len(made.manifest):,} patches; next: sentinode audit {out}")


def _write_sheet(packed: PackedSet, look: StainTarget, path: Path) -> None:
    import numpy as np
    from PIL import Image

    from sentinode.core import atomic_path
    from sentinode.errors import InputError
    from sentinode.stain import normalise

    if path.suffix.lower() != ".png":
        raise InputError(f"--sheet expects a file name ending in .png, got {path.name}")
    rows = np.flatnonzero(packed.manifest.usable)
    if not len(rows):
        raise InputError(f"{packed.folder}: none of its patches is usable, nothing to show")
    picks = rows[np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))]
    before = np.asarray(packed.images[picks])
    after = normalise(before, look)
    lines = [np.concatenate(list(line), axis=1) for line in (before, after)]
    gap = np.full((4, lines[0].shape[1], 3), 255, np.uint8)
    picture = Image.fromarray(np.concatenate([lines[0], gap, lines[1]]))
    with atomic_path(path) as temporary:
        picture.save(temporary)

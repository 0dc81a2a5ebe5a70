"""`sentinode extract`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentinode.cli.options import RUN_HELP, ConfigFile, Overrides, config_of

if TYPE_CHECKING:
    from sentinode.config import Config
    from sentinode.data import Job, Judge
    from sentinode.slides import Meaning, Reading


def extract_command(
    slides: Annotated[
        list[Path],
        typer.Argument(metavar="SLIDES...", help="Slides, or folders of them."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="SET", help="Packed set to write.")],
    annotations: Annotated[
        list[Path] | None,
        typer.Option(
            help="Files or folders: ASAP's XML, NCRF's JSON, QuPath's GeoJSON, or mask images, "
            "named as their slides. May be repeated."
        ),
    ] = None,
    normal: Annotated[
        bool, typer.Option("--normal", help="Slides without annotation hold no tumour.")
    ] = False,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="NAME=MEANING",
            help="What a class of outlines means: tumour, normal or ignore. May be repeated.",
        ),
    ] = None,
    mask_values: Annotated[
        str | None, typer.Option(help="Values of mask images that mean tumour, as in 2 or 128-255.")
    ] = None,
    mpp: Annotated[
        float | None, typer.Option(help="µm/px of the finest level of slides that do not say it.")
    ] = None,
    hard_negatives: Annotated[
        str | None, typer.Option(metavar="RUN", help=f"Take false positives of it. {RUN_HELP}")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave out slides that cannot be used.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Cut patches from annotated slides into a packed set, by the rule of the centre."""
    from sentinode.data import extract

    settings = config_of(config, overrides)
    reading = _reading(classes or [], mask_values, settings.extract.outside == "unknown")
    jobs, strays = _jobs(slides, annotations or [], normal, reading, mpp)
    if strays:
        typer.echo(
            f"passed over {len(strays):,} annotation(s) of none of these slides: {strays[0]}"
        )
    judge = _judge(hard_negatives, settings) if hard_negatives is not None else None
    made = extract(jobs, out, settings.extract, settings.pack, judge, keep_going)
    _tell(made.record, out)
    frame = made.packed.manifest.frame
    tumour, aside = int((frame["label"] == 1).sum()), int(frame["problem"].notna().sum())
    typer.echo(
        f"cut {len(frame):,} patches ({tumour:,} tumour) of {frame['slide'].nunique():,} slides "
        f"at {made.packed.meta.mpp:.3g} µm/px into {out}"
    )
    if aside:
        typer.echo(f"put aside {aside:,} that cannot be read, with their reason in the manifest")
    typer.echo(f"next: sentinode audit {out}; sentinode split {out}")


def _reading(classes: Sequence[str], mask_values: str | None, only_annotated: bool) -> Reading:
    from sentinode.core import unknown_name
    from sentinode.errors import InputError
    from sentinode.slides import Reading

    known: dict[str, Meaning] = {"tumour": "tumour", "normal": "normal", "ignore": "ignore"}
    given: dict[str, Meaning] = {}
    for entry in classes:
        name, equals, meaning = entry.rpartition("=")
        if not equals or not name.strip():
            raise InputError(f"--class expects NAME=MEANING, as in Stroma=normal; got {entry!r}")
        if meaning not in known:
            raise InputError(unknown_name("meaning", meaning, known))
        given[name.strip()] = known[meaning]
    return Reading(given, _values(mask_values), only_annotated)


def _values(text: str | None) -> tuple[int, ...]:
    from sentinode.errors import InputError

    values: list[int] = []
    for part in text.split(",") if text else []:
        low, _, high = part.partition("-")
        try:
            some = range(int(low), int(high or low) + 1)
            if not some:
                raise ValueError
            values += some
        except ValueError as error:
            raise InputError(
                f"--mask-values expects whole numbers, as in 2 or 1,3 or 128-255; got {text!r}"
            ) from error
    return tuple(values)


def _jobs(
    slides: Sequence[Path],
    annotations: Sequence[Path],
    normal: bool,
    reading: Reading,
    mpp: float | None,
) -> tuple[list[Job], list[Path]]:
    """Pair slides with their annotations; errors where one is left without the other."""
    from sentinode.data import Job
    from sentinode.errors import InputError
    from sentinode.slides import annotation_files, pair, slide_files
    from sentinode.types import Mpp

    found = slide_files(slides)
    known, strays = pair(found, annotation_files(annotations))
    bare = [slide for slide in found if slide not in known]
    if bare and not normal:
        others = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        hint = f"; {strays[0]} is of none of the slides" if strays else ""
        raise InputError(
            f"{bare[0]}{others}: no annotation of that name{hint}; give it with --annotations, or "
            "--normal if slides without one hold no tumour"
        )
    if bare and strays:
        raise InputError(
            f"{strays[0]} is of none of the slides, and {bare[0]} has no annotation: it might be "
            "taken for normal by mistake; name the file as its slide, or leave it out"
        )
    scale = None if mpp is None else Mpp(mpp)
    return [Job(slide, known.get(slide), reading, scale) for slide in found], strays


def _judge(name: str, settings: Config) -> Judge:
    from sentinode.core import hash_json
    from sentinode.data import Judge
    from sentinode.errors import InputError
    from sentinode.models import resolve_run
    from sentinode.predict import Predictor, predict_set

    run, wanted = resolve_run(name), settings.extract
    size, mpp = run.spec.preprocess.size, run.spec.preprocess.mpp
    if size != wanted.size or abs(mpp / wanted.mpp - 1) > 0.1:
        raise InputError(
            f"{name} takes patches of {size} px at {mpp:.3g} µm/px, these are to be {wanted.size} "
            f"px at {wanted.mpp:.3g}; give --set extract.size={size} --set extract.mpp={mpp:.3g}"
        )

    def probabilities(packed: Any) -> dict[str, float]:
        frame = predict_set(run, packed, settings).frame
        return dict(zip(frame["id"], frame["probability"].astype(float), strict=True))

    predictor = Predictor(run, settings.predict)
    curve = predictor.calibration.curve() if predictor.calibration else None
    identity = hash_json({"made_by": predictor.made_by, "calibration": curve})
    return Judge(identity, probabilities)


def _tell(record: dict[str, Any], out: Path) -> None:
    """Print a line for each slide, and what is to be known of it."""
    names = [*record["slides"], *record["left_out"], "slide"]
    width = max(len(name) for name in names)
    typer.echo(f"{'slide':{width}}  tissue mm²  tumour taken/places  normal taken/places   hard")
    for name, facts in record["slides"].items():
        tumour = f"{facts['tumour']:,}/{facts['tumour_places']:,}"
        normal = f"{facts['normal']:,}/{facts['normal_places']:,}"
        typer.echo(
            f"{name:{width}}  {facts['tissue_mm2']:10.2f}  {tumour:>19}  {normal:>19}  "
            f"{facts['hard']:5,}"
        )
    for name, facts in record["slides"].items():
        for notice in facts["notices"]:
            typer.echo(f"{name}: {notice}")
    for name, problem in record["left_out"].items():
        typer.echo(f"left out {name}: {problem}")
    typer.echo(f"told of each slide: {out / 'extract.json'}")

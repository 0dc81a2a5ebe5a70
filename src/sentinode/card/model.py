"""The card's sections about the network and its training."""

from __future__ import annotations

from sentinode.card.blocks import Bullets, Section, Table, Text, gap
from sentinode.card.known import Known
from sentinode.card.said import number, settings_said
from sentinode.card.words import ETHICS, EXCLUDED, INTENDED, LABEL, RECOMMENDED
from sentinode.models import descriptive_name

__all__ = ["details", "ethics", "files", "training", "uses"]


def details(known: Known) -> Section:
    """What the network is."""
    run, summary, preprocess = known.run, known.summary, known.run.spec.preprocess
    optimizer = known.config.get("train", {}).get("optimizer", run.origin)
    exact = "yes" if run.spec.dense_exact else "no"
    rows = (
        ("Name", run.spec.name),
        ("Kind", descriptive_name(run.spec, optimizer)),
        (
            "Size",
            f"{summary.parameters:,} parameters ({summary.trainable:,} trainable), "
            f"{summary.flop / 1e9:.3f} GFLOP a patch",
        ),
        (
            "Input",
            f"{preprocess.size}×{preprocess.size} px, {preprocess.channels}, at "
            f"{preprocess.mpp:g} µm/px; (value / 255 − {_each(preprocess.mean)}) / "
            f"{_each(preprocess.std)}",
        ),
        ("Output", LABEL),
        ("Over larger regions", f"gives exactly what it gives the patch alone: {exact}"),
        ("Last features with a place", run.spec.explain_layer),
        ("Licence of the weights", run.spec.licence),
        ("Made with", f"sentinode {run.record.provenance.sentinode}"),
    )
    return Section("Model details", (Table(("", ""), rows),))


def _each(values: tuple[float, ...]) -> str:
    same = len(set(values)) == 1
    return f"{values[0]:g}" if same else "[" + ", ".join(f"{v:g}" for v in values) + "]"


def uses() -> tuple[Section, ...]:
    """What it is for, and what not."""
    return (
        Section("Intended use", (Bullets(INTENDED),)),
        Section("Excluded uses", (Bullets(EXCLUDED),)),
    )


def training(known: Known) -> Section:
    """What it learnt from, and how."""
    record = known.run.record
    data = (
        ("Patches", _patches(known)),
        ("Source", _source(known)),
        ("Set, SHA-256", record.provenance.inputs.get("set", gap("not recorded"))),
        ("Split, SHA-256", record.provenance.inputs.get("split", gap("not recorded"))),
    )
    who = ("Who the patients were", gap("age, sex, hospital and treatment are not recorded"))
    if members := known.run.members:
        how = f"{len(members)} networks, whose mean logit it gives; SHA-256 of their weights: "
        made = Table(("", ""), (*data, ("Made of", how + ", ".join(members)), who))
        return Section("Training data and procedure", (made,))
    if record.best_epoch is None:
        why = gap("its weights were imported; whoever trained them knows what they learnt from")
        return Section("Training data and procedure", (Text(why),))
    augment = known.config.get("augment", {})
    rows = (
        *data,
        ("Training", f"{known.run.facts().said()}; ended by {record.stopped}"),
        ("Settings", settings_said(known.config.get("train", {}))),
        ("Changes of patches", settings_said(augment) if augment else "none"),
        ("At the kept epoch", _kept(record.metrics)),
        ("Machine", f"{record.provenance.processor}, {settings_said(record.compute)}"),
        ("Time", f"{record.timing['seconds']:,.0f} s" if "seconds" in record.timing else gap("")),
        who,
    )
    return Section("Training data and procedure", (Table(("", ""), rows),))


def _patches(known: Known) -> str:
    learnt = known.run.trained_on()
    if learnt is None:
        return gap("their number is not recorded")
    chose = known.run.record.patches.get("valid")
    return f"{learnt:,} to learn from" + ("" if chose is None else f", {chose:,} to choose by")


def _source(known: Known) -> str:
    meta = known.report.origins.get("set") if known.report is not None else None
    if not meta or not known.same_set:
        return gap("the set is known by its hash only; give a report of the same set")
    mpp = "scale not recorded" if meta["mpp"] is None else f"{meta['mpp']:g} µm/px"
    return f"a packed set of {meta['count']:,} patches, read as {meta['kind']}, {mpp}"


def _kept(metrics: dict[str, float]) -> str:
    names = {
        "loss": "training loss",
        "accuracy": "accuracy",
        "auc": "ROC AUC",
        "valid_loss": "validation loss",
        "valid_accuracy": "accuracy",
        "valid_auc": "ROC AUC",
    }
    found = [f"{said} {number(metrics[name])}" for name, said in names.items() if name in metrics]
    return ", ".join(found) or gap("not recorded")


def ethics() -> tuple[Section, ...]:
    """What to think of before using it."""
    return (
        Section("Ethical considerations", (Bullets(ETHICS),)),
        Section("Recommendations", (Bullets(RECOMMENDED),)),
    )


def files(known: Known) -> Section:
    """What the card was filled from."""
    record = known.run.record
    rows = [(f"run: {name}", digest) for name, digest in sorted(record.files.items())]
    if known.report is not None:
        inputs = known.report.provenance.inputs
        rows += [(f"report: {role}", digest) for role, digest in sorted(inputs.items())]
    versions = ", ".join(f"{n} {v}" for n, v in sorted(record.provenance.packages.items()))
    rows.append(
        (
            "joined with" if known.run.members else "trained with",
            f"python {record.provenance.python}, {versions}",
        )
    )
    return Section("What this card was filled from", (Table(("File", "SHA-256"), tuple(rows)),))

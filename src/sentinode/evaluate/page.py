"""The report as a page: numbers made readable, figures drawn, patches fetched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from sentinode.evaluate.sections import (
    abstention_section,
    calibration_section,
    conformal_section,
    group_section,
    prevalence_section,
)
from sentinode.evaluate.wording import asked_share, said_interval, said_value
from sentinode.plots import (
    decision_figure,
    histogram_figure,
    patch_uris,
    pr_figure,
    reliability_figure,
    render,
    roc_figure,
    training_figure,
)
from sentinode.tables import (
    Example,
    Figure,
    OperatingPoint,
    PackedSet,
    Report,
    history_facts,
)

__all__ = ["TITLES", "headline_lines", "report_page"]

TITLES = {
    "roc_auc": "ROC AUC",
    "roc_auc_delong": "ROC AUC, DeLong's interval",
    "pr_auc": "PR AUC (average precision)",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "mcc": "MCC (Matthews)",
    "brier": "Brier score",
    "log_loss": "Log-loss",
    "ece_width": "Calibration error, equal width",
    "ece_mass": "Calibration error, equal mass",
    "calibration_slope": "Calibration slope (ideal 1)",
    "calibration_intercept": "Calibration intercept (ideal 0)",
    "calibration_in_the_large": "Calibration in the large (ideal 0)",
}
KINDS = {
    "missed": "Missed: tumour called normal, most certain first",
    "false_alarm": "False alarms: normal called tumour, most certain first",
    "unsure": "Least certain: nearest to the threshold",
    "right_tumour": "Right: tumour called tumour, most certain first",
    "right_normal": "Right: normal called normal, most certain first",
}
ROLES = {"spec": "network", "config": "configuration of the run"}
CENTRE = 32
REASONS_SHOWN = 30
IDS_SHOWN = 4
LINES_SHOWN = 250
LONGEST = 300


def report_page(report: Report, packed: PackedSet | None = None) -> str:
    """Return the report as one self-contained HTML page.

    Args:
        report: The report.
        packed: The set it was made with, for the pictures of the examples.
    """
    chosen = report.at["chosen"]
    return render(
        "report.html",
        report=report,
        chosen=chosen,
        centre=CENTRE,
        cards=_cards(report, chosen),
        points=_points(report),
        at_rows=[_at_row(name, _points(report)) for name in chosen.figures],
        overall_rows=[
            {"name": TITLES[name], "figure": _figure(figure), "note": figure.note or ""}
            for name, figure in report.overall.items()
        ],
        confusions=[_confusion(point) for point in _points(report)],
        curves=_curves(report),
        training=_training(report),
        training_said=_training_said(report),
        has_images=packed is not None and bool(report.examples),
        kinds=_kinds(report, packed),
        groups=[group_section(kind, table, report) for kind, table in report.groups.items()],
        calibration=calibration_section(report),
        prevalence=prevalence_section(report),
        abstention=abstention_section(report),
        conformal=conformal_section(report),
        left_out=[
            {"reason": row.reason, "count": f"{row.count:,}", "ids": row.ids[:IDS_SHOWN]}
            for row in report.left_out[:REASONS_SHOWN]
        ],
        made=_made(report),
        origins=[
            {
                "title": f"Recorded with the {ROLES.get(role, role)}",
                "rows": _flat(note)[:LINES_SHOWN],
            }
            for role, note in report.origins.items()
        ],
    )


def headline_lines(report: Report) -> list[str]:
    """Return what a terminal shows of a report: its standing and the headline figures."""
    chosen = report.at["chosen"]
    figures = {"ROC AUC": report.overall["roc_auc"]}
    figures |= {name: chosen.figures[name] for name in ("accuracy", "sensitivity", "specificity")}
    lines = [report.headline]
    for name, figure in figures.items():
        interval = said_interval(figure)
        said = (
            f"{interval}, {asked_share(report.confidence)} over {report.unit}"
            if interval
            else figure.note
        )
        lines.append(f"{name:12} {said_value(figure)}" + (f" ({said})" if said else ""))
    return [*lines, f"{'threshold':12} {chosen.said}"]


def _figure(figure: Figure) -> dict[str, str]:
    return {
        "value": said_value(figure),
        "interval": said_interval(figure),
    }


def _at_row(name: str, points: list[OperatingPoint]) -> dict[str, Any]:
    figures = [point.figures[name] for point in points]
    return {
        "name": TITLES[name],
        "figures": [_figure(figure) for figure in figures],
        "notes": "; ".join(dict.fromkeys(figure.note for figure in figures if figure.note)),
    }


def _cards(report: Report, chosen: OperatingPoint) -> list[dict[str, str]]:
    figures = {name: report.overall[name] for name in ("roc_auc", "pr_auc")} | {
        name: chosen.figures[name]
        for name in ("accuracy", "sensitivity", "specificity", "precision", "f1")
    }
    names = TITLES | {"pr_auc": "PR AUC"}
    return [
        {
            "name": names[name],
            "value": said_value(figure),
            "interval": said_interval(figure) or figure.note or "",
        }
        for name, figure in figures.items()
    ]


def _points(report: Report) -> list[OperatingPoint]:
    chosen, half = report.at["chosen"], report.at["half"]
    return [half] if chosen.threshold == half.threshold else [chosen, half]


def _confusion(point: OperatingPoint) -> dict[str, Any]:
    confusion = point.confusion
    counts = confusion.model_dump()
    cells = {
        name: {"count": f"{counts[name]:,}", "share": "" if share is None else f"{share:.1%}"}
        for name, share in confusion.shares.items()
    }
    said = f"{confusion.misses:,} misses to {confusion.false_alarms:,} false alarms"
    if confusion.misses_per_false_alarm is not None:
        said += f", {confusion.misses_per_false_alarm:.2f} to 1"
    title = f"At {point.threshold:.3f}; shares are of the patches of that label."
    return {"title": title, "said": f"{said}.", **cells}


def _curves(report: Report) -> list[dict[str, Any]]:
    rows, figures = report.rows, []
    auc, average = report.overall["roc_auc"].value, report.overall["pr_auc"].value
    if "roc" in report.curves and auc is not None:
        svg = roc_figure(report.curves["roc"], auc, report.at)
        figures.append((svg, "ROC curve. The dashed line is chance."))
    if "pr" in report.curves and average is not None:
        share = rows.tumour / rows.reported
        svg = pr_figure(report.curves["pr"], average, share, report.at)
        figures.append(
            (
                svg,
                f"Precision and sensitivity. The dashed line is chance, the share of tumour among "
                f"the reported patches ({share:.1%}); where tumour is rarer, precision is lower.",
            )
        )
    svg = reliability_figure(
        report.reliability["width"], report.reliability["mass"], report.confidence
    )
    figures.append((svg, "Reliability. Intervals take the patches of a bin as independent."))
    if report.decision is not None:
        svg = decision_figure(report.decision, report.confidence)
        figures.append(
            (
                svg,
                "Decision curve: hits less false alarms, these weighted by the odds of the "
                "threshold, per patch reported. The higher curve does more good at a threshold.",
            )
        )
    svg = histogram_figure(report.histogram, report.at["chosen"].threshold)
    figures.append((svg, "Probabilities by class, each class summing to 1."))
    return [{"svg": Markup(svg), "caption": caption} for svg, caption in figures]


def _training(report: Report) -> list[Markup]:
    if report.training is None:
        return []
    quantities = {"loss": "Loss", "accuracy": "Accuracy", "auc": "ROC AUC"}
    return [
        Markup(training_figure(report.training, key, label)) for key, label in quantities.items()
    ]


def _training_said(report: Report) -> str:
    if report.training is None:
        return ""
    columns = report.training.columns
    epochs = [value or 0.0 for value in columns["epoch"]]
    facts = history_facts(
        epochs, columns["loss"], columns["valid_loss"], report.training.best_epoch
    )
    return (
        f"{facts.said()}. Training figures are means over an epoch with dropout on, "
        "validation figures are taken at its end."
    )


def _kinds(report: Report, packed: PackedSet | None) -> list[dict[str, Any]]:
    if not report.examples:
        return []
    rows = sorted({e.row for e in report.examples if e.row is not None})
    uris = patch_uris(packed.images[row] for row in rows) if packed is not None else []
    pictures = dict(zip(rows, uris, strict=False))
    side = packed.meta.size if packed is not None else 0
    return [
        {
            "title": title,
            "patches": [_patch(e, pictures, side) for e in report.examples if e.kind == kind],
        }
        for kind, title in KINDS.items()
    ]


def _patch(example: Example, pictures: Mapping[int, str], side: int) -> dict[str, Any]:
    label = "tumour" if example.label else "normal"
    return {
        "id": example.id,
        "label": label,
        "probability": f"{example.probability:.3f}",
        "slide": example.slide,
        "uri": "" if example.row is None else pictures.get(example.row, ""),
        "side": side,
        "inset": f"{max(0.0, 50 * (1 - CENTRE / side)):.3f}" if side else "",
        "alt": f"Patch {example.id}: {label}, probability {example.probability:.3f}",
    }


def _made(report: Report) -> list[tuple[str, str]]:
    made = report.provenance
    versions = {"sentinode": made.sentinode, "python": made.python, **made.packages}
    return [
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Machine", " · ".join(part for part in (made.platform, made.processor) if part)),
        ("Seeds", _joined(_seeds(report))),
        ("Configuration", _joined(made.config)),
        ("Hash of the configuration", made.config_hash),
        *((f"SHA-256 of {role}", digest) for role, digest in made.inputs.items()),
    ]


def _seeds(report: Report) -> dict[str, Any]:
    """Return every seed that this stage or one before it recorded, by its role."""
    seeds: dict[str, Any] = dict(report.provenance.seeds)
    for note in report.origins.values():
        made = note.get("provenance")
        found = made.get("seeds") if isinstance(made, Mapping) else None
        seeds |= found if isinstance(found, Mapping) else {}
    return seeds


def _joined(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _flat(note: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in note.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{name}.")
        else:
            text = str(value)
            rows.append((name, text if len(text) <= LONGEST else f"{text[:LONGEST]}…"))
    return rows

"""The card's sections about what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sentinode.card.blocks import Block, Bullets, Picture, Section, Table, Text, gap
from sentinode.card.known import Known
from sentinode.card.said import figure_said, number
from sentinode.plots import reliability_figure, roc_figure
from sentinode.tables import Figure, MapScore, OperatingPoint, Report

__all__ = ["calibration", "evaluation", "factors", "figures", "maps", "metrics", "stress"]

NO_REPORT = "no report was given; evaluate the run's predictions and give --report REPORT.json"
OVERALL = {
    "roc_auc": "ROC AUC",
    "roc_auc_delong": "ROC AUC, DeLong's interval",
    "pr_auc": "PR AUC (average precision)",
    "brier": "Brier score",
    "log_loss": "Log-loss",
}
AT = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "mcc": "MCC",
}
PREVALENCES = (0.01, 0.05, 0.4)
GROUPS_SHOWN = 5


def factors(known: Known) -> Section:
    """What its figures may depend on, and for which of it they were taken apart."""
    rows: list[tuple[str, str]] = []
    report = known.report
    for kind, said in (("slide", "Slide"), ("centre", "Hospital")):
        table = report.groups.get(kind) if report is not None else None
        rows.append((said, report.worst[kind] if report and table else gap("not known")))
    stressed = "see Robustness" if known.stress is not None else gap("not measured")
    rows += [
        ("Stain, scanner, blur, compression", stressed),
        ("Sex, age, ethnicity, treatment", gap("not recorded in the data")),
        ("Size of the metastasis, tumour type", gap("not recorded in the data")),
    ]
    return Section("Factors", (Table(("Factor", "What was found"), tuple(rows)),))


def metrics(known: Known) -> Section:
    """How it was judged."""
    report = known.report
    if report is None:
        return Section("Metrics", (Text(gap(NO_REPORT)),))
    items = (
        "The figure that counts is the ROC AUC of probabilities; it depends on neither threshold "
        "nor prevalence.",
        f"Threshold: {report.at['chosen'].said}",
        f"Intervals of {report.confidence:.0%}. {report.unit_said}",
    )
    return Section("Metrics", (Bullets(items),))


def evaluation(known: Known) -> Section:
    """What it was judged on."""
    report = known.report
    if report is None:
        return Section("Evaluation data", (Text(gap(NO_REPORT)),))
    rows = report.rows
    same = {True: "yes", False: "no", None: gap("not known")}[known.same_set]
    table = (
        (
            "Patches",
            f"{rows.reported:,} {rows.said}: {rows.tumour:,} with tumour, {rows.normal:,} normal",
        ),
        ("Slides", f"{rows.slides:,}" if rows.slides else gap("not known to the source")),
        ("Patients and hospitals", gap("not recorded")),
        ("Of the set that taught it, another fold", same),
        ("Whether they also chose the recipe", gap("not recorded; then the figures flatter it")),
        ("Left out", "; ".join(f"{m.count:,} {m.reason}" for m in report.left_out) or "nothing"),
    )
    blocks: list[Block] = [Text(report.headline), Table(("", ""), table)]
    if report.warnings:
        blocks.append(Bullets(report.warnings))
    return Section("Evaluation data", tuple(blocks))


def figures(known: Known) -> Section:
    """The figures, with intervals."""
    report = known.report
    if report is None:
        return Section("Quantitative analyses", (Text(gap(NO_REPORT)),))
    chosen, half = report.at["chosen"], report.at["half"]
    overall = tuple(
        (said, figure_said(report.overall.get(name), "not in the report"))
        for name, said in OVERALL.items()
    )
    at = tuple(
        (
            said,
            figure_said(chosen.figures.get(n), "undefined"),
            figure_said(half.figures.get(n), "undefined"),
        )
        for n, said in AT.items()
    )
    blocks: list[Block] = [
        Table(("Without a threshold", "Value (interval)"), overall),
        Table(("At a threshold", f"{chosen.threshold:.3f}, chosen", "0.5"), at),
        Text(_confusion(chosen)),
        Table(
            ("If tumour were in", "precision at the chosen threshold would be"),
            tuple(
                (f"{share:.0%} of the patches", _precision(chosen, share)) for share in PREVALENCES
            ),
        ),
        Text(
            "Precision at another prevalence follows from sensitivity and specificity by Bayes' "
            "rule, as if these stayed the same there."
        ),
        *_groups(report),
        *_curve(report),
    ]
    return Section("Quantitative analyses", tuple(blocks))


def _confusion(point: OperatingPoint) -> str:
    c = point.confusion
    return (
        f"At {point.threshold:.3f}: {c.hits:,} hits, {c.misses:,} misses, {c.false_alarms:,} false "
        f"alarms, {c.rightly_normal:,} rightly normal."
    )


def _precision(point: OperatingPoint, prevalence: float) -> str:
    sensitivity, specificity = (point.figures[n].value for n in ("sensitivity", "specificity"))
    if sensitivity is None or specificity is None:
        return gap("undefined: one class only")
    hits, alarms = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    return number(hits / (hits + alarms)) if hits + alarms else gap("no patch is called tumour")


def _groups(report: Report) -> Iterator[Block]:
    for kind, table in report.groups.items():
        rows = tuple(
            (
                g.name,
                f"{g.patches:,}",
                *(_or_gap(v) for v in (g.roc_auc, g.sensitivity, g.specificity)),
            )
            for g in table[:GROUPS_SHOWN]
        )
        yield Table((f"Worst {kind}s", "Patches", "ROC AUC", "Sensitivity", "Specificity"), rows)


def _or_gap(value: float | None) -> str:
    return gap("one class") if value is None else number(value)


def _curve(report: Report) -> Iterator[Block]:
    auc = report.overall["roc_auc"].value
    if "roc" in report.curves and auc is not None:
        yield Picture(roc_figure(report.curves["roc"], auc, report.at), "ROC curve.")


def calibration(known: Known) -> Section:
    """Whether its probabilities mean what they say."""
    blocks: list[Block] = []
    fitted, report = known.calibration, known.report
    if fitted is None:
        blocks.append(Text(gap("the run has no calibration; its probabilities are as trained")))
    else:
        blocks.append(Text(f"{fitted.method.capitalize()}, fitted on {fitted.fitted_on}."))
        rows = tuple(
            (name.replace("_", " "), number(before, 4), _after(fitted.after, name))
            for name, before in fitted.before.items()
        )
        columns = ("Calibration", "before", "after, on patches each fit left out")
        blocks.append(Table(columns, rows))
    if report is not None:
        if known.calibrated_on_reported:
            blocks.append(
                Text(
                    "The calibration was fitted to the very patches that are reported: the figures "
                    "below are too good. The table above is judged on patches that each fit left "
                    "out, and is the one to believe. The order of patches, and so the ROC AUC, is "
                    "not touched by it."
                )
            )
        blocks += [_reported(report), *_reliability(report)]
    return Section("Calibration", tuple(blocks))


def _after(after: Mapping[str, float], name: str) -> str:
    return number(after[name], 4) if name in after else gap("no finite fit")


def _reported(report: Report) -> Table:
    names = {
        "ece_width": "Calibration error (ECE), equal width",
        "ece_mass": "Calibration error (ECE), equal mass",
        "calibration_slope": "Slope (ideal 1)",
        "calibration_intercept": "Intercept (ideal 0)",
        "calibration_in_the_large": "In the large (ideal 0)",
    }
    rows = tuple(
        (said, figure_said(report.overall.get(n), "undefined")) for n, said in names.items()
    )
    return Table(("On the reported patches", "Value (interval)"), rows)


def _reliability(report: Report) -> Iterator[Block]:
    bins = report.reliability
    if bins.get("width") and bins.get("mass"):
        svg = reliability_figure(bins["width"], bins["mass"], report.confidence)
        yield Picture(svg, "Reliability on the reported patches.")


def stress(known: Known) -> Section:
    """What changes of stain, light and focus do to it."""
    found = known.stress
    if found is None:
        return Section("Robustness", (Text(gap("no stress test was given; give --stress FILE")),))
    blocks: list[Block] = [Text(str(found["headline"]))] if found.get("headline") else []
    for key in ("lessons", "warnings"):
        if found.get(key):
            blocks.append(Bullets(tuple(map(str, found[key]))))
    worst = _worst(found.get("conditions") or ())
    if worst:
        blocks.append(Table(("Change", "Hardest strength", "ROC AUC (interval)"), worst))
    return Section("Robustness", tuple(blocks) or (Text(gap("the stress test is empty")),))


def _worst(conditions: Any) -> tuple[tuple[str, ...], ...]:
    """Return the condition of the lowest AUC of each kind of change."""
    lowest: dict[str, tuple[float, tuple[str, ...]]] = {}
    for each in conditions:
        auc = Figure.model_validate(each["figures"]["roc_auc"])
        if auc.value is None:
            continue
        family = str(each["family"])
        if family not in lowest or auc.value < lowest[family][0]:
            toward = f", toward {each['target']}" if each.get("target") else ""
            row = (family, f"{each.get('said') or 'as they are'}{toward}", figure_said(auc, ""))
            lowest[family] = auc.value, row
    return tuple(row for _, row in lowest.values())


def maps(known: Known) -> Section:
    """What it looks at."""
    found = known.maps
    if found is None:
        why = gap("its maps were not scored; give --maps FILE")
        return Section("What it looks at", (Text(why),))
    rows = tuple(
        (each.place, each.method, each.said, figure_said(_figure(each), "undefined"))
        for each in found
    )
    columns = ("Patches from", "Maps by", "Score", "Value (interval)")
    return Section("What it looks at", (Table(columns, rows),))


def _figure(score: MapScore) -> Figure:
    return Figure(value=score.value, low=score.low, high=score.high)

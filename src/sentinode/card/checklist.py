"""Items of two reporting guidelines that apply to a network, and where the card answers them.

TRIPOD+AI (Collins et al., BMJ 2024;385:e078378) by item number, CLAIM (Tejani et al., Radiology:
Artificial Intelligence 2024;6:e240300) by topic. Items about a study's people and paperwork are
listed too: they are gaps that no file of a run can fill.
"""

from __future__ import annotations

from sentinode.card.blocks import Section, Table, Text, gap
from sentinode.card.known import Known

__all__ = ["checklist"]

SAID = (
    "Answered from the run's files where they hold the answer. A gap is to be filled by whoever "
    "uses the network in a study."
)
UNSTATED = gap("not in the files of a run")


def checklist(known: Known) -> Section:
    """The items, and where each is answered."""
    rows = (
        ("3b", "Intended use, users", "Intended use; Excluded uses"),
        ("3c, 14", "Health inequalities, fairness", gap("people are not described in the data")),
        ("5a", "Source of the data", _with_report(known, "Training data; Evaluation data")),
        ("5b", "Dates of the data", UNSTATED),
        ("6a", "Setting, hospitals", _groups(known, "centre")),
        ("6b", "Inclusion and exclusion", _with_report(known, "Evaluation data, left out")),
        ("7", "Preparation of the images", "Model details, input"),
        ("8a", "Reference standard", "Model details, output"),
        ("8b", "Who annotated, and how sure", UNSTATED),
        ("10", "Sample size and its reason", gap("patches are counted; no size was planned")),
        ("11", "Missing data", _with_report(known, "Evaluation data, left out")),
        ("12a", "Partitions, and what keeps them apart", _with_report(known, "Evaluation data")),
        ("12c", "Type of model, training, choice of the final one", _trained(known)),
        ("12d, 23b", "Differences between hospitals or slides", _groups(known, "slide")),
        ("12e", "Measures of performance", _with_report(known, "Metrics")),
        ("12f, 24", "Recalibration", _calibrated(known)),
        ("12g", "How predictions are made", "Model details; Calibration"),
        ("13", "Class imbalance", _with_report(known, "Evaluation data; Quantitative analyses")),
        ("15", "Output and threshold", _with_report(known, "Metrics")),
        ("16", "Training against evaluation data", _with_report(known, "Evaluation data")),
        ("17", "Ethical approval", UNSTATED),
        ("18a–18d", "Funding, conflicts, protocol, registration", UNSTATED),
        ("18e, 18f", "Data and code", "Model details; files below"),
        ("19", "Involvement of patients", UNSTATED),
        ("20a–20c", "Participants, their characteristics", gap("not recorded in the data")),
        ("22", "The model in full", "spec.json and model.safetensors of the run"),
        ("23a", "Performance with intervals", _with_report(known, "Quantitative analyses")),
        ("25, 26", "Interpretation, limits", "Excluded uses; Recommendations"),
        ("27a–27c", "Use in care, skill needed, next steps", "Excluded uses; Recommendations"),
        ("– (CLAIM)", "Robustness", _given(known.stress, "Robustness")),
        ("– (CLAIM)", "Explainability", _given(known.maps, "What it looks at")),
        ("– (CLAIM)", "Failure analysis", _with_report(known, "Quantitative analyses; the report")),
        ("– (CLAIM)", "External test data", _external(known)),
        ("– (CLAIM)", "Variability between raters", UNSTATED),
    )
    columns = ("TRIPOD+AI", "About", "Where it is answered")
    return Section("Reporting guidelines", (Text(SAID), Table(columns, rows)))


def _with_report(known: Known, where: str) -> str:
    return where if known.report is not None else gap("no report was given")


def _given(found: object | None, where: str) -> str:
    return where if found is not None else gap("not measured")


def _groups(known: Known, kind: str) -> str:
    if known.report is not None and known.report.groups.get(kind):
        return "Factors; Quantitative analyses"
    return gap(f"the {'hospital' if kind == 'centre' else kind} of a patch is not known")


def _trained(known: Known) -> str:
    if known.run.members:
        return gap("joined of several networks; how each was trained is in its own record")
    if known.run.record.best_epoch is None:
        return gap("imported weights")
    return "Training data and procedure"


def _calibrated(known: Known) -> str:
    return "Calibration" if known.calibration is not None else gap("not calibrated")


def _external(known: Known) -> str:
    if known.same_set is False:
        return "Evaluation data: another set than it learnt from"
    return gap("judged on another fold of the same source only")

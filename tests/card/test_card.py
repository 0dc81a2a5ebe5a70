"""A card holds what was measured, marks what was not, and takes no file of other weights."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from builders.compared import map_scores
from builders.pages import Page, outward
from builders.runs import untrained_run
from sentinode.card import card_markdown, card_page, make_card, write_card
from sentinode.cli.card import card_command
from sentinode.config import EvaluateConfig
from sentinode.core import run_folder, write_json
from sentinode.errors import InputError, MissingInputError
from sentinode.evaluate import evaluate
from sentinode.models import Run, join_runs, summarise
from sentinode.models.nodenet import nodenet
from sentinode.tables import Predictions, Report

BASE = run_folder("nodenet-base")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hospitals of two slides each; one patch in five is on the wrong side."""
    rng = np.random.default_rng(5)
    label = np.tile([0, 1, 1], 200)
    right = rng.random(600) < 0.8
    frame = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(600)],
            "label": label,
            "slide": [f"s{i % 6}" for i in range(600)],
            "fold": np.where(np.arange(600) < 120, "valid", "test"),
            "probability": np.where(right, label, 1 - label) * 0.6 + 0.2 + rng.normal(0, 0.02, 600),
        }
    )
    note = {"weights_sha256": Run.open(BASE).weights_hash}
    made = evaluate(Predictions.make(frame, note), EvaluateConfig(resamples=100), run_folder=BASE)
    path = tmp_path_factory.mktemp("report") / "report.json"
    made.write(path)
    return path


def stress(path: Path, weights: str) -> Path:
    figures = [
        {"roc_auc": {"value": v, "low": v - 0.01, "high": v + 0.01}} for v in (0.9, 0.7, 0.8)
    ]
    conditions = [
        {"family": f, "said": s, "target": None, "figures": figure}
        for f, s, figure in zip(
            ("clean", "blur", "blur"), (None, "2 px", "1 px"), figures, strict=True
        )
    ]
    write_json(
        path,
        {
            "headline": "600 patches, changed in two ways.",
            "lessons": ["Blur costs most."],
            "conditions": conditions,
            "provenance": {"stage": "stress", "inputs": {"weights": weights}},
        },
    )
    return path


def test_figures_are_those_of_the_report_and_of_the_run(report: Path) -> None:
    run, found = Run.open(BASE), Report.read(report)
    text = card_markdown(make_card(run, report=report))
    assert "Research use only" in text
    assert f"{summarise(run.spec).parameters:,} parameters" in text
    auc = found.overall["roc_auc"]
    assert f"| ROC AUC | {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}) |" in text
    counts = found.at["chosen"].confusion
    assert f"{counts.hits:,} hits, {counts.misses:,} misses" in text
    assert found.worst["slide"] in text
    assert found.headline in text


def test_precision_at_another_prevalence_is_what_counting_gives(report: Path) -> None:
    point = Report.read(report).at["chosen"]
    sensitivity, specificity = (point.figures[n].value for n in ("sensitivity", "specificity"))
    assert sensitivity is not None and specificity is not None  # noqa: PT018
    hits, alarms = 5_000 * sensitivity, 95_000 * (1 - specificity)  # of 100,000 patches, 5 %
    text = card_markdown(make_card(Run.open(BASE), report=report))
    assert f"| 5% of the patches | {hits / (hits + alarms):.3f} |" in text


def test_what_is_not_measured_is_a_gap(report: Path, tmp_path: Path) -> None:
    run = Run.open(BASE)
    nothing = make_card(run)
    assert nothing.optimistic
    assert "*Gap: no report was given" in card_markdown(nothing)
    some = make_card(run, report=report)
    maps = tmp_path / "map_scores.json"
    write_json(maps, map_scores(run.weights_hash))
    more = make_card(
        run, report=report, stress=stress(tmp_path / "stress.json", run.weights_hash), maps=maps
    )
    assert nothing.gaps > some.gaps > more.gaps > 0
    text = card_markdown(more)
    assert "| blur | 2 px | 0.700 (0.690 to 0.710) |" in text
    assert "| set | gradcam | share in the centre | 0.250 (0.200 to 0.300) |" in text
    assert "Blur costs most." in text


def test_a_calibration_fitted_to_the_reported_patches_is_told_of(report: Path) -> None:
    run, found = Run.open(BASE), Report.read(report)
    fitted = run.calibration()
    assert fitted is not None
    warning = "fitted to the very patches that are reported"
    assert warning not in card_markdown(make_card(run, report=report))
    inputs = found.provenance.inputs | {"set": run.record.provenance.inputs["set"]}
    same = found.model_copy(
        update={
            "rows": found.rows.model_copy(update={"reported": fitted.patches}),
            "provenance": found.provenance.model_copy(update={"inputs": inputs}),
        }
    )
    path = report.with_name("same.json")
    same.write(path)
    assert warning in card_markdown(make_card(run, report=path))


def test_the_page_needs_nothing_but_itself_and_says_the_same(report: Path) -> None:
    card = make_card(Run.open(BASE), report=report)
    page = card_page(card)
    assert outward(page) == []
    read = Page(page)
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))
    words = re.sub(r"[*|#`.\\-]", " ", card_markdown(card)).split()
    shown = re.sub(r"[*|#`.\\-]", " ", read.text).split()
    assert set(words) - set(shown) == set()
    assert card_page(make_card(Run.open(BASE), report=report)) == page


def test_a_run_without_calibration_or_history_has_a_card(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BASE, tmp_path / "run"))
    (folder / "calibration.json").unlink()
    assert "the run has no calibration" in card_markdown(make_card(Run.open(folder)))


def test_files_of_other_weights_are_refused(report: Path, tmp_path: Path) -> None:
    run = Run.open(BASE)
    values: dict[str, Any] = Report.read(report).model_dump(mode="json")
    values["provenance"]["inputs"]["weights"] = "0" * 64
    write_json(tmp_path / "report.json", values)
    with pytest.raises(InputError, match=r"report\.json is of other weights"):
        make_card(run, report=tmp_path / "report.json")
    del values["provenance"]["inputs"]["weights"]  # evaluated without --run
    values["origins"]["predictions"] = {"weights_sha256": "0" * 64}
    write_json(tmp_path / "predicted.json", values)
    with pytest.raises(InputError, match=r"predicted\.json is of other weights"):
        make_card(run, report=tmp_path / "predicted.json")
    with pytest.raises(InputError, match=r"report\.json is no stress\.json"):
        make_card(run, stress=report)
    with pytest.raises(InputError, match=r"expected a JSON file, got the folder"):
        make_card(run, report=tmp_path)
    with pytest.raises(InputError, match=r"stress\.json is of other weights"):
        make_card(run, stress=stress(tmp_path / "stress.json", "1" * 64))
    with pytest.raises(MissingInputError, match="no file"):
        make_card(run, maps=tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match="expected an object, got list"):
        make_card(run, stress=tmp_path / "list.json")
    with pytest.raises(InputError, match="is no file of map scores"):
        make_card(run, maps=tmp_path / "list.json")
    write_json(tmp_path / "others.json", map_scores("1" * 64))
    with pytest.raises(InputError, match="has no scores of the weights"):
        make_card(run, maps=tmp_path / "others.json")
    with pytest.raises(InputError, match=r"\.md or \.html, got card\.pdf"):
        write_card(make_card(run), tmp_path / "card.pdf")


def test_a_joined_network_tells_of_its_members_and_not_of_a_training(tmp_path: Path) -> None:
    spec = nodenet("tiny", (2, 3, 4))
    members = [untrained_run(tmp_path / f"{seed}", spec, seed) for seed in (0, 1)]
    joined = join_runs(members, tmp_path / "both", name="both")
    text = card_markdown(make_card(joined))
    assert "2 networks, whose mean logit it gives" in text
    for member in members:
        assert member.weights_hash in text
    assert "imported" not in text
    assert "trained with" not in text
    assert re.search(r"both_\S+_joined", text)


def test_the_command_writes_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card_command("nodenet-base", [tmp_path / "card.md", tmp_path / "card.html"])
    out = capsys.readouterr().out
    assert "gaps" in out
    assert "Research use only" in out
    assert (tmp_path / "card.html").read_text().startswith("<!doctype html>")

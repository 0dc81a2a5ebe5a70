"""The first line of a report: how far its figures can be believed."""

import json

import numpy as np
import pandas as pd
import pytest

from builders.scored import QUICK, frame_of, report_of, split_by_slide, written_run, written_set
from sentinode.core import provenance, write_json
from sentinode.errors import InputError
from sentinode.evaluate import evaluate
from sentinode.tables import Predictions


def test_slide_disjoint_is_said_first(case):
    given = {"packed": case.packed, "split": case.split}
    report = evaluate(case.predictions, QUICK, **given, run_folder=case.run)
    assert report.headline.startswith("Slide-disjoint: ")
    assert report.optimistic is None
    trained_on = {"set": case.packed.meta.content_hash, "split": case.split.hash}
    said = Predictions(case.predictions.frame, {"trained_on": trained_on})
    assert evaluate(said, QUICK, **given).headline.startswith("Slide-disjoint: ")


def test_slide_disjoint_is_not_said_of_a_network_that_nothing_is_known_of(case):
    given = {"packed": case.packed, "split": case.split}
    report = evaluate(Predictions(case.predictions.frame, {}), QUICK, **given)
    assert report.headline.startswith("Independence not known: nothing says that the network")
    made = json.loads((case.run / "run.json").read_text())
    made["provenance"]["inputs"] = {"keras": "0" * 64}  # an imported one
    write_json(case.run / "run.json", made)
    report = evaluate(case.predictions, QUICK, **given, run_folder=case.run)
    assert "the run does not say which patches" in report.headline
    other = Predictions(case.predictions.frame, {"trained_on": {"set": "x", "split": "y"}})
    assert "trained on another set" in evaluate(other, QUICK, **given).headline


def test_slide_disjoint_is_not_said_where_what_it_started_from_may_know_the_slides(case):
    given = {"packed": case.packed, "split": case.split}
    made = json.loads((case.run / "run.json").read_text())
    behind = "on another set, which may share slides with this one"
    write_json(case.run / "run.json", made | {"behind": behind})
    report = evaluate(case.predictions, QUICK, **given, run_folder=case.run)
    expected = (
        "Independence not known: weights that the network started from or learnt from were "
        f"trained {behind}."
    )
    assert report.headline.startswith(expected)
    trained_on = {"set": case.packed.meta.content_hash, "split": case.split.hash, "behind": behind}
    said = Predictions(case.predictions.frame, {"trained_on": trained_on})
    assert evaluate(said, QUICK, **given).headline.startswith(expected)


def test_optimistic_split_is_said_first(case):
    split = split_by_slide(case.packed, optimistic="patches were drawn one by one.")
    report = evaluate(case.predictions, QUICK, packed=case.packed, split=split)
    assert report.headline.startswith("Optimistic: patches were drawn one by one. Reported: ")


def test_shared_slides_are_found_in_anybodys_table():
    fold = np.where(np.arange(300) < 150, "train", "test")
    slides = [f"s{i % 10}" for i in range(300)]
    report = report_of(frame_of(fold=fold, slide=slides))
    assert report.headline.startswith("Optimistic: 10 of 10 reported slides also have patches")
    apart = [f"s{i // 30}" for i in range(300)]
    report = report_of(frame_of(fold=fold, slide=apart))
    assert report.headline.startswith("Slide-disjoint, by the slides and folds")


@pytest.mark.parametrize("other", ["train", "valid"])
def test_slide_disjoint_is_not_said_where_slides_of_what_taught_are_not_known(other):
    i = np.arange(300)
    frame = frame_of(fold=np.choose(i // 100, ["train", "valid", "test"]))
    frame["slide"] = pd.Series([f"s{each // 20}" for each in i]).mask(
        (frame["fold"] == other) & (i % 2 == 0)
    )
    headline = report_of(frame).headline
    assert headline.startswith("By the folds that came with the predictions.")


def test_network_of_another_set_is_not_called_slide_disjoint(case, tmp_path):
    other = written_set(tmp_path / "other", label=np.arange(400) % 2)
    run = written_run(tmp_path / "run2", split_by_slide(other), other)
    report = evaluate(case.predictions, QUICK, packed=case.packed, split=case.split, run_folder=run)
    assert report.headline.startswith("Independence not known: the network was trained on another")


def test_network_of_another_split_is_not_called_slide_disjoint(case):
    inputs = {"set": case.packed.meta.content_hash, "split": "another"}
    made = provenance("train", inputs=inputs).model_dump(mode="json")
    write_json(case.run / "run.json", {"provenance": made})
    report = evaluate(
        case.predictions, QUICK, packed=case.packed, split=case.split, run_folder=case.run
    )
    assert "trained by another split" in report.headline


def test_the_folds_of_others_are_understood_and_other_words_refused():
    fold = np.where(np.arange(300) < 150, "Training", "testing")
    report = report_of(frame_of(fold=fold, slide=[f"s{i // 30}" for i in range(300)]))
    assert report.rows.reported == 150
    assert report.rows.fold == "test"
    with pytest.raises(InputError, match="fold 'fold 1' of id 'x0', expected one of train"):
        Predictions.make(frame_of(fold="fold 1"), {})


@pytest.mark.parametrize(("views", "said"), [(6, True), (1, False), ("six", False)])
def test_several_views_of_a_patch_are_said(case, views, said):
    seen = Predictions(case.predictions.frame, {"orientations": views})
    assert ("seen in 6 views" in evaluate(seen, QUICK).headline) is said

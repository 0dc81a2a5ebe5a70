"""From predictions to a report: what is reported, how honest it is, and every figure of it."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from builders.scored import QUICK, frame_of, report_of, written_set
from sentinode.config import EvaluateConfig
from sentinode.core import write_json
from sentinode.errors import InputError, MissingInputError
from sentinode.evaluate import evaluate, metrics_table, with_labels, write_report
from sentinode.metrics import choose_threshold
from sentinode.tables import Predictions, Report


def test_figures_are_those_of_the_test_fold(case):
    report = evaluate(
        case.predictions, QUICK, packed=case.packed, split=case.split, run_folder=case.run
    )
    table = case.predictions.frame
    test, valid = (table[table["fold"] == fold] for fold in ("test", "valid"))
    y, p = test["label"].to_numpy(int), test["probability"].to_numpy(float)
    threshold = choose_threshold(
        "youden", valid["label"].to_numpy(int), valid["probability"].to_numpy(float)
    )
    assert (report.rows.fold, report.rows.reported) == ("test", len(test))
    assert report.rows.slides == 5
    assert report.overall["roc_auc"].value == pytest.approx(sk.roc_auc_score(y, p))
    assert report.overall["pr_auc"].value == pytest.approx(sk.average_precision_score(y, p))
    chosen, half = report.at["chosen"], report.at["half"]
    assert chosen.threshold == threshold
    assert f"{len(valid)} validation patches, none of them reported" in chosen.said
    assert chosen.figures["sensitivity"].value == pytest.approx(sk.recall_score(y, p >= threshold))
    assert half.figures["precision"].value == pytest.approx(sk.precision_score(y, p >= 0.5))
    tn, fp, fn, tp = sk.confusion_matrix(y, p >= 0.5).ravel()
    confusion = half.confusion
    assert (confusion.hits, confusion.false_alarms) == (tp, fp)
    assert (confusion.misses, confusion.rightly_normal) == (fn, tn)
    assert confusion.shares["misses"] == pytest.approx(fn / (fn + tp))
    assert confusion.misses_per_false_alarm == pytest.approx(fn / fp)
    for figure in [*chosen.figures.values(), report.overall["roc_auc"], report.overall["brier"]]:
        assert figure.low <= figure.value <= figure.high
    assert (report.unit, report.units) == ("slides", 5)
    assert any("5 slides" in warning for warning in report.warnings)
    assert "A note of the split." in report.warnings


def test_report_returns_from_disk_as_it_was(case, tmp_path):
    given = {"packed": case.packed, "split": case.split, "run_folder": case.run}
    report = evaluate(case.predictions, QUICK, **given)
    page = write_report(report, tmp_path / "out", packed=case.packed)
    assert Report.read(tmp_path / "out" / "report.json") == report
    first = (tmp_path / "out" / "report.json").read_bytes()
    write_report(evaluate(case.predictions, QUICK, **given), tmp_path / "out", packed=case.packed)
    assert (tmp_path / "out" / "report.json").read_bytes() == first
    assert page.name == "report.html"
    table = pd.read_csv(tmp_path / "out" / "metrics.csv")
    auc = table[(table["at"] == "overall") & (table["metric"] == "roc_auc")].iloc[0]
    assert auc["value"] == pytest.approx(report.overall["roc_auc"].value)
    assert len(table) == len(metrics_table(report)) == len(report.overall) + 14
    assert str(tmp_path) not in first.decode() + page.read_text()


def test_damaged_report_is_said(tmp_path):
    write_json(tmp_path / "report.json", {"format": 2})
    with pytest.raises(InputError, match="no report of format 1"):
        Report.read(tmp_path / "report.json")


def test_shares_are_said_with_the_digits_they_were_asked_with(case, tmp_path):
    asked = {"coverages": (0.975,), "prevalences": (0.015,), "confidence": 0.995}
    config = QUICK.model_copy(update=asked)
    report = evaluate(case.predictions, config, packed=case.packed, split=case.split)
    page = write_report(report, tmp_path / "out", packed=case.packed).read_text()
    assert "97.5%" in page
    assert "1.5%" in page
    assert "99.5% interval" in page


def test_predictions_of_other_weights_are_refused(case):
    (case.run / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(InputError, match="other weights"):
        evaluate(case.predictions, QUICK, run_folder=case.run)


def test_left_out_patches_are_named(case):
    report = evaluate(case.predictions, QUICK, packed=case.packed, split=case.split)
    found = {row.reason: (row.count, row.ids[:2]) for row in report.left_out}
    assert found["set aside by packing: the file is cut short"] == (1, ("p007",))
    assert found["audit: near-white"] == (2, ("p019", "p039"))
    train = next(row for reason, row in found.items() if reason.startswith("fold train"))
    assert train[0] == 239
    valid = next(row for reason, row in found.items() if reason.startswith("fold valid"))
    assert valid[0] == 60
    assert sum(count for count, _ in found.values()) + report.rows.reported == 400


def test_unpredicted_test_patches_are_a_warning(case):
    table = case.predictions.frame
    gone = table[table["fold"] == "test"].index[:3]
    report = evaluate(
        Predictions.make(table.drop(gone), {}), QUICK, packed=case.packed, split=case.split
    )
    assert any(w.startswith("3 patches of fold test") for w in report.warnings)


def test_labels_slides_and_folds_come_from_the_set(case):
    bare = case.predictions.frame[["id", "probability"]]
    report = evaluate(Predictions.make(bare, {}), QUICK, packed=case.packed, split=case.split)
    full = evaluate(case.predictions, QUICK, packed=case.packed, split=case.split)
    assert (report.rows, report.at, report.groups) == (full.rows, full.at, full.groups)


def test_excluded_patches_are_not_scored(case):
    table = case.packed.manifest.frame
    everything = table[["id", "label"]].assign(probability=0.3)
    report = report_of(everything, packed=case.packed)
    assert report.rows.reported == 397


def test_contradictions_are_refused(case):
    flipped = case.predictions.frame.assign(label=1 - case.predictions.frame["label"])
    with pytest.raises(InputError, match="has label"):
        evaluate(Predictions.make(flipped, {}), QUICK, packed=case.packed)
    elsewhere = case.predictions.frame.assign(slide="another")
    with pytest.raises(InputError, match="has slide another in the predictions and"):
        evaluate(Predictions.make(elsewhere, {}), QUICK, packed=case.packed)
    moved = case.predictions.frame.assign(fold="train")
    with pytest.raises(InputError, match="in fold train by the predictions"):
        evaluate(Predictions.make(moved, {}), QUICK, packed=case.packed, split=case.split)
    with pytest.raises(InputError, match="no id of the predictions is in the set"):
        report_of(frame_of(), packed=case.packed)


def test_split_of_another_state_of_the_set_is_refused(case, tmp_path):
    other = written_set(tmp_path / "other", excluded=None)
    with pytest.raises(InputError, match="another state"):
        evaluate(case.predictions, QUICK, packed=other, split=case.split)


def test_groups_are_figures_of_their_own_patches(case):
    report = evaluate(case.predictions, QUICK, packed=case.packed, split=case.split)
    threshold = report.at["chosen"].threshold
    table = case.predictions.frame[case.predictions.frame["fold"] == "test"]
    assert [row.name for row in report.groups["centre"]] != []
    for row in report.groups["slide"]:
        own = table[table["slide"] == row.name]
        y, p = own["label"].to_numpy(int), own["probability"].to_numpy(float)
        assert row.patches == len(own)
        assert row.accuracy == pytest.approx(((p >= threshold) == y).mean())
        assert row.roc_auc == pytest.approx(sk.roc_auc_score(y, p))
        assert row.misses == int(((p < threshold) & (y == 1)).sum())
    full = [row for row in report.groups["slide"] if row.patches >= 20]
    assert full[0].accuracy == min(row.accuracy for row in full)
    assert full[0].name in report.worst["slide"]


def test_examples_are_the_most_telling_and_carry_their_own_row(case):
    report = evaluate(case.predictions, QUICK, packed=case.packed, split=case.split)
    threshold = report.at["chosen"].threshold
    table = case.predictions.frame.set_index("id")
    manifest = case.packed.manifest.frame
    kinds = {kind: [e for e in report.examples if e.kind == kind] for kind in ("missed", "unsure")}
    assert len(kinds["missed"]) == len(kinds["unsure"]) == 4
    for example in report.examples:
        own = table.loc[example.id]
        assert example.label == own["label"]
        assert example.probability == pytest.approx(own["probability"])
        assert example.slide == own["slide"]
        assert manifest["id"][example.row] == example.id
    missed = table[(table["fold"] == "test") & (table["label"] == 1)]["probability"]
    assert [e.probability for e in kinds["missed"]] == pytest.approx(sorted(missed)[:4])
    assert all(e.probability < threshold for e in kinds["missed"])
    gaps = [abs(e.probability - threshold) for e in kinds["unsure"]]
    assert gaps == sorted(gaps)


def test_training_and_its_best_epoch(case):
    report = evaluate(case.predictions, QUICK, run_folder=case.run)
    assert report.training.best_epoch == 3
    assert report.training.columns["valid_auc"][0] is None
    assert set(report.provenance.inputs) == {"predictions", "weights", "history"}
    assert report.origins["config"] == {"train": {"epochs": 6}}
    write_json(case.run / "run.json", {"best_epoch": 5})
    again = evaluate(case.predictions, QUICK, run_folder=case.run)
    assert again.training.best_epoch == 5


def test_broken_run_folders_are_said(case, tmp_path):
    with pytest.raises(MissingInputError, match=r"run\.json is missing"):
        evaluate(case.predictions, QUICK, run_folder=tmp_path)
    (case.run / "config.toml").write_text("[train")
    with pytest.raises(InputError, match="expected TOML"):
        evaluate(case.predictions, QUICK, run_folder=case.run)
    write_json(case.run / "spec.json", [1])
    with pytest.raises(InputError, match="expected an object"):
        evaluate(case.predictions, QUICK, run_folder=case.run)


def test_anybodys_predictions_without_folds():
    report = report_of(frame_of())
    assert report.rows.fold is None
    assert report.rows.reported == 300
    assert report.at["chosen"].threshold == 0.5
    assert "no labelled validation patches" in report.at["chosen"].said
    assert report.headline.startswith("Independence not known")
    assert report.unit == "patches"
    assert "slides are not known" in report.unit_said


def test_validation_rows_are_reported_where_there_is_no_test_fold():
    fold = np.where(np.arange(300) < 200, "train", "valid")
    report = report_of(frame_of(fold=fold))
    assert (report.rows.fold, report.rows.reported) == ("valid", 100)
    assert report.at["chosen"].threshold == 0.5
    assert report.optimistic == "the reported patches also chose the epoch that was kept"


def test_training_rows_are_called_what_they_are():
    report = report_of(frame_of(fold="train"))
    assert report.headline.startswith("Optimistic: the reported patches are those")


def test_slides_known_for_some_patches_only():
    slides = [f"s{i % 9}" if i < 270 else None for i in range(300)]
    report = report_of(frame_of(slide=slides))
    assert (report.unit, report.units) == ("slides", 39)
    assert report.rows.slides is None
    assert "the 9 slides" in report.unit_said


@pytest.mark.parametrize("rule", ["youden", "accuracy", "sensitivity", "cost", "half"])
def test_every_rule_of_the_configuration_works(rule):
    fold = np.where(np.arange(300) < 150, "valid", "test")
    report = report_of(frame_of(fold=fold), EvaluateConfig(threshold=rule, resamples=100))
    assert report.at["chosen"].rule == rule
    if rule == "half":
        assert report.at["chosen"].said == "0.5, chosen on nothing."


def test_threshold_does_not_look_at_reported_rows():
    fold = np.where(np.arange(300) < 150, "valid", "test")
    frame = frame_of(fold=fold)
    swapped = frame.assign(label=np.where(fold == "test", 1 - frame["label"], frame["label"]))
    first, second = report_of(frame), report_of(swapped)
    assert first.at["chosen"].threshold == second.at["chosen"].threshold
    assert first.overall["roc_auc"].value == pytest.approx(1 - second.overall["roc_auc"].value)


DEGENERATE = {
    "one class": frame_of(50).assign(label=1),
    "all normal": frame_of(50).assign(label=0),
    "all equal": frame_of(50).assign(probability=0.3),
    "ten patches": frame_of(10),
    "one patch": frame_of(1),
    "one slide": frame_of(50, slide="s"),
    "slides of one class": frame_of(60).assign(
        slide=[f"s{i % 6}" for i in range(60)], label=[i % 2 for i in range(60)]
    ),
    "perfect": frame_of(40).assign(label=[0, 1] * 20, probability=[0.1, 0.9] * 20),
    "certain": frame_of(40).assign(label=[0, 1] * 20, probability=[0, 1, 1, 0] * 10),
    "one tumour": frame_of(30).assign(label=[1] + [0] * 29),
    "valid of one class": frame_of(60).assign(
        fold=["valid"] * 30 + ["test"] * 30, label=[1] * 30 + [0, 1] * 15
    ),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_every_figure_is_given_or_says_why_not(name, tmp_path):
    report = report_of(DEGENERATE[name])
    figures = {**report.overall, **report.at["chosen"].figures, **report.at["half"].figures}
    for metric, figure in figures.items():
        assert figure.value is not None or figure.note, metric
        assert figure.low is not None or figure.note, metric
    assert report.at["half"].figures["accuracy"].value is not None
    page = write_report(report, tmp_path / "out").read_text()
    assert "nan" not in page.split("</style>")[1].split("What made this")[0].lower()
    assert Report.read(tmp_path / "out" / "report.json") == report


def test_one_class_keeps_what_can_be_given():
    report = report_of(DEGENERATE["one class"])
    assert report.overall["roc_auc"].value is None
    assert report.overall["roc_auc"].note == "needs patches of both classes"
    assert report.overall["pr_auc"].value == 1
    assert report.at["half"].figures["sensitivity"].low is not None
    assert "roc" not in report.curves
    assert any("All reported patches are tumour" in w for w in report.warnings)


def test_an_interval_without_width_is_not_given():
    figures = report_of(DEGENERATE["perfect"]).at["half"].figures
    assert (figures["accuracy"].value, figures["accuracy"].low) == (1, None)
    assert figures["accuracy"].note == "no interval: every resample gives the same"


def test_no_label_anywhere_is_refused():
    with pytest.raises(InputError, match="--labels"):
        report_of(frame_of().drop(columns="label"))


def test_labels_are_joined_by_id():
    frame = frame_of()
    bare = Predictions.make(frame[["id", "probability"]], {})
    labels = frame[["id", "label"]].sample(frac=1, random_state=0)
    joined = evaluate(with_labels(bare, labels), QUICK)
    assert joined.at == report_of(frame).at
    half = evaluate(with_labels(bare, labels.iloc[:100]), QUICK)
    assert (half.rows.given, half.rows.labelled) == (300, 100)
    assert half.left_out[0].reason == "no label"


def test_folds_come_with_the_labels():
    frame = frame_of()
    bare = Predictions.make(frame[["id", "probability"]], {})
    folds = np.where(np.arange(len(frame)) < 200, "train", "test")
    labels = frame[["id", "label"]].assign(fold=folds)
    report = evaluate(with_labels(bare, labels), QUICK)
    assert (report.rows.fold, report.rows.reported) == ("test", 100)
    with pytest.raises(InputError, match="has fold test in the predictions and train in the lab"):
        with_labels(Predictions.make(frame.assign(fold="test"), {}), labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pd.DataFrame({"id": ["x1"]}), "columns id and label"),
        (pd.DataFrame({"id": ["x1", "x1"], "label": [0, 1]}), "more than once"),
        (pd.DataFrame({"id": ["other"], "label": [0]}), "no id of the labels"),
        (pd.DataFrame({"id": [], "label": []}), "no labels"),
        (pd.DataFrame({"id": ["x1"], "label": ["tumour"]}), "not 0 or 1"),
        (pd.DataFrame({"id": ["x1"], "label": [0.5]}), "not 0 or 1"),
        (pd.DataFrame({"id": ["x1"], "label": [0], "fold": ["training"]}), "fold 'training' is no"),
    ],
)
def test_unusable_labels_are_refused(labels, message):
    bare = Predictions.make(frame_of()[["id", "probability"]], {})
    with pytest.raises(InputError, match=message):
        with_labels(bare, labels)


def test_labels_that_differ_are_refused():
    frame = frame_of()
    with pytest.raises(InputError, match="has label"):
        with_labels(Predictions.make(frame, {}), frame[["id"]].assign(label=1 - frame["label"]))


def test_slides_given_as_numbers_are_those_given_as_text():
    frame = frame_of(slide=[str(i // 30) for i in range(300)])
    labels = frame[["id", "label"]].assign(slide=[i // 30 for i in range(300)])
    joined = with_labels(Predictions.make(frame, {}), labels)
    assert joined.frame["slide"].tolist() == frame["slide"].tolist()
    with pytest.raises(InputError, match="has slide 0 in the predictions and 1 in the labels"):
        with_labels(Predictions.make(frame, {}), labels.assign(slide=labels["slide"] + 1))

"""Predictions and labels as other tools write them."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sentinode.cli.main import app
from sentinode.config import EvaluateConfig
from sentinode.errors import InputError
from sentinode.evaluate import column_names, evaluate, read_labels, read_predictions, with_labels
from sentinode.tables import Report

QUICK = EvaluateConfig(resamples=100, examples=0)


def table(n=40):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "patch": [f"{i:03d}" for i in range(n)],
            "tumor_score": rng.random(n).round(3),
            "truth": np.arange(n) % 2,
            "site": [f"h{i % 2}" for i in range(n)],
        }
    )


NAMES = {"id": "patch", "probability": "tumor_score", "label": "truth", "centre": "site"}


@pytest.mark.parametrize(("separator", "suffix"), [(",", "csv"), (";", "csv"), ("\t", "tsv")])
def test_other_names_and_separators(tmp_path, separator, suffix):
    path = tmp_path / f"p.{suffix}"
    table().to_csv(path, sep=separator, index=False)
    read = read_predictions(path, NAMES)
    assert read.predictions.frame["id"].tolist() == table()["patch"].tolist()
    assert read.predictions.frame["probability"].to_numpy() == pytest.approx(table()["tumor_score"])
    assert read.centres["003"] == "h1"


def test_parquet_of_another_tool_and_a_column_that_is_in_the_way(tmp_path):
    table().assign(probability="high", id=7).to_parquet(tmp_path / "p.parquet")
    read = read_predictions(tmp_path / "p.parquet", NAMES)
    assert read.predictions.frame["id"].tolist() == table()["patch"].tolist()


def test_labels_beside_them_may_have_the_same_or_their_own_names(tmp_path):
    table()[["patch", "tumor_score"]].to_csv(tmp_path / "p.csv", index=False)
    table()[["patch", "truth", "site"]].to_csv(tmp_path / "own.csv", index=False)
    usual = table().rename(columns={"patch": "id", "truth": "label"})[["id", "label"]]
    usual.to_csv(tmp_path / "usual.csv", index=False)
    predictions = read_predictions(
        tmp_path / "p.csv", {"id": "patch", "probability": "tumor_score"}
    ).predictions
    joined = [
        with_labels(predictions, read_labels(tmp_path / "own.csv", NAMES)),
        with_labels(predictions, read_labels(tmp_path / "usual.csv", NAMES)),
    ]
    for found in joined:
        assert found.frame["label"].tolist() == table()["truth"].tolist()


def test_rows_without_a_number_are_left_out_and_named(tmp_path):
    frame = table().rename(columns={"patch": "id", "tumor_score": "probability", "truth": "label"})
    frame.loc[3, "probability"] = np.nan
    frame.loc[4, "probability"] = 1.2
    frame.to_csv(tmp_path / "p.csv", index=False)
    read = read_predictions(tmp_path / "p.csv")
    report = evaluate(read.predictions, QUICK)
    assert report.rows.reported == 38
    left_out = {row.reason: row.ids for row in report.left_out}
    assert left_out["no prediction: its probability is no number"] == ("003",)
    assert left_out["no prediction: its probability is outside 0..1"] == ("004",)
    assert sum("1 patch without a usable prediction" in w for w in report.warnings) == 2
    assert report.overall["roc_auc"].low is not None


def test_labels_that_no_prediction_has_are_counted(tmp_path):
    frame = table().rename(columns={"patch": "id", "tumor_score": "probability"})
    frame.iloc[:30][["id", "probability"]].to_csv(tmp_path / "p.csv", index=False)
    frame.rename(columns={"truth": "label"})[["id", "label"]].to_csv(
        tmp_path / "labels.csv", index=False
    )
    read = read_predictions(tmp_path / "p.csv")
    report = evaluate(with_labels(read.predictions, read_labels(tmp_path / "labels.csv")), QUICK)
    row = next(r for r in report.left_out if r.reason == "labelled, but without a prediction")
    assert (row.count, row.ids[0]) == (10, "030")
    assert "10 patches labelled, but without a prediction." in report.warnings


def test_a_label_without_an_id_is_refused(tmp_path):
    frame = table().rename(columns={"patch": "id", "tumor_score": "probability"})
    frame[["id", "probability"]].to_csv(tmp_path / "p.csv", index=False)
    (tmp_path / "labels.csv").write_text("id,label\n003,1\n,0\n")
    with pytest.raises(InputError, match="labels: a row has no id"):
        with_labels(
            read_predictions(tmp_path / "p.csv").predictions, read_labels(tmp_path / "labels.csv")
        )


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        ({"tumor_score": 55.0}, NAMES, r"in 0..1 each\. Divide scores of 0..100 by 100$"),
        ({"tumor_score": -5.0}, NAMES, "expected a number in 0..1 each. Name logits"),
        ({"tumor_score": "high"}, NAMES, "expected numbers"),
        ({}, {"probability": "tumour_score"}, "nearest is 'tumor_score'"),
        ({"tumor_score": np.nan}, NAMES, "no value of 'probability' can be used"),
    ],
)
def test_unusable_tables_are_one_clear_error(tmp_path, change, names, message):
    table().assign(**change).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(InputError, match=message):
        read_predictions(tmp_path / "p.csv", names)


@pytest.mark.parametrize("pair", ["probability", "score=p", "probability="])
def test_unusable_names_are_refused(pair):
    with pytest.raises(InputError, match="expected NAME=THEIRS"):
        column_names([pair])


def test_the_command_takes_names_centres_and_notes(tmp_path):
    table().to_csv(tmp_path / "p.csv", sep=";", index=False)
    named = [x for name, theirs in NAMES.items() for x in ("--column", f"{name}={theirs}")]
    arguments = ["evaluate", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out"), *named]
    done = CliRunner().invoke(app, [*arguments, "--set", "evaluate.resamples=100"])
    assert done.exit_code == 0, done.exception
    assert "note: Only 40 patches reported" in done.stderr
    report = Report.read(tmp_path / "out" / "report.json")
    assert len(report.groups["centre"]) == 2

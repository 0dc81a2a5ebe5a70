"""`sentinode evaluate` as it is called."""

import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from sentinode.cli.main import app
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import Predictions, Report

RUNNER = CliRunner()
QUICK = ["--set", "evaluate.resamples=100", "--set", "evaluate.examples=2"]


def called(*arguments):
    done = RUNNER.invoke(app, ["evaluate", *map(str, arguments), *QUICK])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_parquet_with_set_and_run(case, tmp_path):
    case.predictions.write(tmp_path / "p.parquet")
    out = tmp_path / "out"
    said = called(
        tmp_path / "p.parquet", "--out", out, "--packed", case.packed.folder, "--run", case.run
    )
    lines = said.splitlines()
    assert lines[0].startswith("Slide-disjoint: ")
    assert [line.split()[0] for line in lines[1:]] == [
        "ROC",
        "accuracy",
        "sensitivity",
        "specificity",
        "threshold",
        "report:",
    ]
    assert "95% over slides" in lines[1]
    assert lines[-1] == f"report: {out / 'report.html'}"
    report = Report.read(out / "report.json")
    assert f"{report.overall['roc_auc'].value:.3f}" in lines[1]
    assert report.training is not None
    assert set(report.provenance.inputs) >= {"predictions", "set", "split", "weights"}


def test_csv_and_parquet_give_the_same_report(case, tmp_path):
    case.predictions.write(tmp_path / "p.parquet")
    case.predictions.write(tmp_path / "p.csv")
    for kind in ("parquet", "csv"):
        called(tmp_path / f"p.{kind}", "--out", tmp_path / kind)
    first, second = (Report.read(tmp_path / k / "report.json") for k in ("parquet", "csv"))
    assert first.provenance == second.provenance
    assert first.at == second.at


def test_bare_csv_with_labels_beside_it(case, tmp_path):
    table = case.predictions.frame
    table[["id", "probability"]].to_csv(tmp_path / "p.csv", index=False)
    table[["id", "label"]].to_csv(tmp_path / "labels.csv", index=False)
    said = called(
        tmp_path / "p.csv", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "out"
    )
    assert f"{len(table)} patches with a label" in said


def test_columns_may_be_of_either_file(case, tmp_path):
    table = case.predictions.frame.rename(columns={"probability": "score"})
    table[["id", "score"]].to_csv(tmp_path / "p.csv", index=False)
    labels = table[["id", "label"]].rename(columns={"id": "patch", "label": "truth"})
    labels.assign(site="a").to_csv(tmp_path / "labels.csv", index=False)
    given = [f"--column={pair}" for pair in ("probability=score", "label=truth", "centre=site")]
    with_ids = ["--column", "id=patch"]
    where = ["--labels", tmp_path / "labels.csv", "--out", tmp_path / "out"]
    with pytest.raises(InputError, match="id"):
        called(tmp_path / "p.csv", *where, *given)
    assert "with a label" in called(tmp_path / "p.csv", *where, *given, *with_ids)
    with pytest.raises(InputError, match="no column 'nowhere' for slide"):
        called(tmp_path / "p.csv", *where, *given, *with_ids, "--column", "slide=nowhere")


def test_what_made_a_csv_lies_beside_it_until_the_csv_is_changed(case, tmp_path):
    note = {"weights_sha256": "0" * 64, "left_out": {"x": "it is cut short"}}
    Predictions(case.predictions.frame, note).write(tmp_path / "p.csv")
    assert Predictions.read(tmp_path / "p.csv").note == note
    with pytest.raises(InputError, match="made by other weights"):
        called(tmp_path / "p.csv", "--out", tmp_path / "out", "--run", case.run)
    text = (tmp_path / "p.csv").read_text()
    (tmp_path / "p.csv").write_text(text + "another,,,,1,test,0.0,0.5\n")
    assert Predictions.read(tmp_path / "p.csv").note == {}


def test_logit_alone_is_enough(tmp_path):
    pd.DataFrame({"id": ["a", "b", "c"], "logit": [-1, 0.5, 2], "label": [0, 1, 1]}).to_csv(
        tmp_path / "p.csv", index=False
    )
    assert "ROC AUC      1.000" in called(tmp_path / "p.csv", "--out", tmp_path / "out")


BAD = {
    "no file": (None, [], MissingInputError, "no predictions at"),
    "no columns": ("a,b\n1,2\n", [], InputError, "id and probability"),
    "empty": ("", [], InputError, "expected CSV"),
    "no rows": ("id,probability,label\n", [], InputError, "no prediction has a label"),
    "no labels": ("id,probability\nx,0.5\n", [], InputError, "--labels FILE"),
    "nan": ("id,probability,label\nx,,1\n", [], InputError, "expected a number in 0..1"),
    "above one": ("id,probability,label\nx,1.5,1\n", [], InputError, "expected a number in 0..1"),
    "text": ("id,probability,label\nx,high,1\n", [], InputError, "probability"),
    "twice": ("id,probability,label\nx,0.1,1\nx,0.2,1\n", [], InputError, "more than once"),
    "label": ("id,probability,label\nx,0.1,7\n", [], InputError, "not 0 or 1"),
    "no labels file": ("id,probability\nx,0.5\n", ["--labels", "no.csv"], MissingInputError, "no"),
    "no set": ("id,probability,label\nx,0.5,1\n", ["--packed", "no"], MissingInputError, "no"),
    "no run": ("id,probability,label\nx,0.5,1\n", ["--run", "no"], MissingInputError, "run.json"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_error(name, tmp_path):
    text, more, kind, message = BAD[name]
    if text is not None:
        (tmp_path / "p.csv").write_text(text)
    with pytest.raises(kind, match=message):
        called(tmp_path / "p.csv", "--out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


def test_error_is_one_line_and_exit_code_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sentinode", "evaluate", "no.csv", "--out", str(tmp_path / "o")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("sentinode: error: no predictions at no.csv")


def test_a_folder_in_place_of_predictions(tmp_path):
    with pytest.raises(
        InputError, match=f"expected a file of predictions, got the folder {tmp_path}$"
    ):
        called(tmp_path, "--out", tmp_path / "out")
    (tmp_path / "predictions.parquet").touch()
    with pytest.raises(InputError, match=f"; take {tmp_path / 'predictions.parquet'}"):
        called(tmp_path, "--out", tmp_path / "out")


def test_a_file_where_the_report_should_go(tmp_path):
    (tmp_path / "p.csv").write_text("id,probability,label\nx,0.5,1\n")
    with pytest.raises(InputError, match="is a file, expected a folder"):
        called(tmp_path / "p.csv", "--out", tmp_path / "p.csv")


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_a_damaged_archive_is_one_clear_error(suffix, tmp_path):
    whole = tmp_path / f"p.csv{suffix}"
    rows = {"id": [f"x{i}" for i in range(900)], "probability": 0.5, "label": [0, 1] * 450}
    pd.DataFrame(rows).to_csv(whole, index=False)
    assert "900 patches" in called(whole, "--out", tmp_path / "out")
    data = whole.read_bytes()
    for damaged in (data[: len(data) // 2], b"no archive at all"):
        whole.write_bytes(damaged)
        with pytest.raises(InputError, match="expected CSV with a header"):
            called(whole, "--out", tmp_path / "out")
        with pytest.raises(InputError, match="expected CSV with a header"):
            Predictions.read(whole)

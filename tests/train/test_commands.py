"""The commands around a network, as a user types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from builders.sets import small_set, small_split
from sentinode.cli.main import app
from sentinode.errors import InputError, MissingInputError
from sentinode.models import Run
from sentinode.tables import HistoryFacts, Predictions


def said(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> Exception:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert isinstance(result.exception, Exception)
    return result.exception


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    small_split(small_set(folder / "set", 32, size=96))
    said("train", folder / "set", "--out", folder / "run", "--epochs", 1, "--seed", 5)
    return folder


def test_train_then_predict_then_submit(folder: Path) -> None:
    again = said("train", folder / "set", "--out", folder / "run", "--epochs", 1, "--seed", 5)
    assert "epoch 1 of 1 is kept" in again
    output = said("predict", folder / "run", folder / "set", "--out", folder / "p.parquet")
    assert "baseline-colour by" in output
    assert "on cpu in float32" in output
    table = Predictions.read(folder / "p.parquet").frame
    assert set(table["fold"]) == {"valid", "test", "unlabelled"}
    (folder / "sample.csv").write_text(
        "id,label\n" + "".join(f"{i},0\n" for i in table["id"][::-1])
    )
    out = folder / "submission.csv"
    output = said(
        "submission", folder / "p.parquet", "--sample", folder / "sample.csv", "--out", out
    )
    assert "probabilities" in output
    assert "Research use only" in output
    assert out.read_text().splitlines()[1].startswith(f"{table['id'].iloc[-1]},0.")


def test_spikes_are_told_with_what_may_mend_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = ("train", folder / "set", "--out", folder / "run", "--epochs", 1, "--seed", 5)
    assert "norm_patches" not in said(*again)
    spiked = HistoryFacts(epochs=3, kept=1, spikes=(2,), gap=0.1)
    monkeypatch.setattr(Run, "facts", lambda run: spiked)
    assert "--set train.norm_patches=1024" in said(*again)


def test_folds_are_named_and_another_name_is_not_guessed(folder: Path) -> None:
    out = folder / "t.csv"
    said("predict", folder / "run", folder / "set", "--out", out, "--folds", "test, train")
    assert set(Predictions.read(out).frame["fold"]) == {"test", "train"}
    error = refused("predict", folder / "run", folder / "set", "--out", out, "--folds", "tests")
    assert isinstance(error, InputError)
    assert "did you mean 'test'" in str(error)
    error = refused("predict", folder / "run", folder / "set", "--out", folder / "t.xlsx")
    assert ".parquet or .csv" in str(error)


def test_a_set_without_a_split_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    small_set(tmp_path / "set", 16)
    error = refused("train", tmp_path / "set", "--out", tmp_path / "run")
    assert isinstance(error, MissingInputError)
    assert "sentinode split" in str(error)


def test_model_shows_layers_of_a_name_and_of_a_run(folder: Path) -> None:
    table = said("model", "baseline-colour")
    assert "296,225 parameters (295,777 trainable, 448 other), 0.695 GFLOP" in table
    assert said("model", folder / "run") == table
    values = json.loads(said("model", "baseline-colour", "--json"))
    assert values["layers"][0]["shape"] == [32, 96, 96]
    assert "baseline-colour: 296,225" in said("model")
    assert "did you mean 'baseline-colour'" in str(refused("model", "baseline-color"))

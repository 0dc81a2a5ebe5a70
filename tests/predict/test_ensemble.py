from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sentinode.cli.main import app
from sentinode.errors import InputError
from sentinode.predict import ensemble
from sentinode.tables import Predictions


def of(ids: str, probabilities: list[float], labels: list[int] | None = None) -> Predictions:
    columns = {"id": list(ids), "probability": probabilities}
    return Predictions.make(pd.DataFrame(columns | ({"label": labels} if labels else {})), {})


def test_the_odds_are_the_geometric_mean_of_the_members_odds() -> None:
    found = ensemble({"a": of("xyz", [0.5, 0.8, 0.0], [0, 1, 0]), "b": of("zxy", [0.5, 0.9, 0.2])})
    frame = found.frame
    odds = frame["probability"] / (1 - frame["probability"])
    assert frame["id"].tolist() == ["x", "y", "z"]
    assert odds[:2].tolist() == pytest.approx([np.sqrt(1 * 9), np.sqrt(4 * 0.25)], rel=1e-5)
    assert 0 < frame["probability"][2] < 0.5
    assert frame["label"].tolist() == [0, 1, 0]
    assert found.note["model"] == "ensemble of a, b"


def test_calibration_counts_in_the_probability_and_not_in_the_logit() -> None:
    frame = pd.DataFrame({"id": ["x"], "logit": [4.0], "probability": [0.9]})
    found = ensemble({"a": Predictions.make(frame, {}), "b": of("x", [0.5])}).frame
    assert found["logit"][0] == pytest.approx(2.0)
    assert found["probability"][0] == pytest.approx(0.75)


def test_other_patches_and_one_member_are_refused() -> None:
    with pytest.raises(InputError, match="1 of a are missing in b, 2 are in it alone"):
        ensemble({"a": of("xy", [0.1, 0.2]), "b": of("ypq", [0.1, 0.2, 0.3])})
    with pytest.raises(InputError, match="two runs at least"):
        ensemble({"a": of("xy", [0.1, 0.2])})
    same = {"a": of("xy", [0.1, 0.2]), "b": of("yx", [0.2, 0.1])}
    with pytest.raises(InputError, match="b says the same as a"):
        ensemble(same)


@pytest.mark.parametrize(
    ("column", "values"), [("label", [0, 1]), ("fold", ["test", "train"]), ("slide", ["s", "t"])]
)
def test_contradictions_are_refused_and_gaps_filled(column: str, values: list[object]) -> None:
    def having(p: float, value: object) -> Predictions:
        return Predictions.make(
            pd.DataFrame({"id": ["x"], "probability": [p], column: [value]}), {}
        )

    with pytest.raises(InputError, match=f"'x' has {column} {values[1]} in b and {values[0]}"):
        ensemble({"a": having(0.1, values[0]), "b": having(0.2, values[1])})
    found = ensemble({"a": of("x", [0.1]), "b": having(0.2, values[1])}).frame
    assert found[column].tolist() == [values[1]]


def test_it_passes_for_no_run_and_tells_what_was_left_out() -> None:
    def made(p: float, weights: str, left_out: dict[str, str]) -> Predictions:
        note = {"model": "net", "weights_sha256": weights, "left_out": left_out}
        return Predictions(of("x", [p]).frame, note)

    members = {"a": made(0.1, "1" * 64, {"q": "empty"}), "b": made(0.2, "2" * 64, {})}
    note = ensemble(members).note
    assert note["weights_sha256"] not in ("1" * 64, "2" * 64)
    assert note["left_out"] == {"q": "empty"}
    other = ensemble({**members, "b": made(0.3, "2" * 64, {})}).note
    assert other["provenance"]["inputs"] != note["provenance"]["inputs"]
    assert "trained_on" not in note


@pytest.mark.parametrize("alike", [True, False])
def test_it_says_what_its_networks_were_trained_on_where_that_is_one(alike: bool) -> None:
    splits = ("s", "s" if alike else "t")
    members = {
        str(n): Predictions(of("x", [0.1 + n / 10]).frame, {"trained_on": {"set": "a", "split": s}})
        for n, s in enumerate(splits)
    }
    found = ensemble(members).note.get("trained_on")
    assert found == ({"set": "a", "split": "s"} if alike else None)


def test_the_command(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a.parquet", "b.csv")]
    of("xy", [0.1, 0.2]).write(Path(files[0]))
    of("yx", [0.1, 0.2]).write(Path(files[1]))
    out = tmp_path / "both.parquet"
    done = CliRunner().invoke(app, ["ensemble", *files, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "2 patches, the mean of 2 runs" in done.output
    assert len(Predictions.read(out).frame) == 2
    table = tmp_path / "both.csv"
    CliRunner().invoke(app, ["ensemble", *files, "--out", str(table)])
    assert (tmp_path / "both.csv.json").is_file()
    twice = CliRunner().invoke(app, ["ensemble", files[0], files[0], "--out", str(out)])
    assert isinstance(twice.exception, InputError)

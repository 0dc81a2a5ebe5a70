from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sentinode.errors import InputError, MissingInputError
from sentinode.export import submission
from sentinode.tables import Predictions


@pytest.fixture
def predictions() -> Predictions:
    p = np.array([0.1, 0.5, 0.499, 0.9], dtype="float32")
    return Predictions.make(pd.DataFrame({"id": ["a", "0012", "c", "d"], "probability": p}), {})


def write(folder: Path, text: str) -> Path:
    path = folder / "sample_submission.csv"
    path.write_text(text)
    return path


def test_probabilities_in_the_order_of_the_sample(predictions: Predictions, tmp_path: Path) -> None:
    sample = write(tmp_path, "\ufeffid,label\nd,0\n0012,0\na,0\n")
    assert submission(predictions, sample, tmp_path / "s.csv") == 3
    assert (tmp_path / "s.csv").read_text() == "id,label\nd,0.9\n0012,0.5\na,0.1\n"


def test_hard_labels_only_when_asked(predictions: Predictions, tmp_path: Path) -> None:
    sample = write(tmp_path, "id,label\na,0\n0012,0\nc,0\nd,0\n")
    submission(predictions, sample, tmp_path / "s.csv", hard=True)
    assert (tmp_path / "s.csv").read_text() == "id,label\na,0\n0012,1\nc,0\nd,1\n"
    submission(predictions, sample, tmp_path / "s.csv", hard=True, threshold=0.6)
    assert (tmp_path / "s.csv").read_text() == "id,label\na,0\n0012,0\nc,0\nd,1\n"


def test_what_is_missing_is_counted(predictions: Predictions, tmp_path: Path) -> None:
    sample = write(tmp_path, "id,label\na,0\nx,0\ny,0\n")
    with pytest.raises(InputError, match=r"2 of the 3 ids of .* have no prediction, 'x' for one"):
        submission(predictions, sample, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_what_was_put_aside_gets_the_mean(predictions: Predictions, tmp_path: Path) -> None:
    sample = write(tmp_path, "id,label\nd,0\nx,0\na,0\n")
    submission(predictions, sample, tmp_path / "s.csv", put_aside=["x", "d", "other"])
    assert (tmp_path / "s.csv").read_text() == "id,label\nd,0.9\nx,0.5\na,0.1\n"
    sample = write(tmp_path, "id,label\nx,0\n")
    submission(predictions, sample, tmp_path / "s.csv", put_aside=["x"])
    assert (tmp_path / "s.csv").read_text() == "id,label\nx,0.5\n"
    sample = write(tmp_path, "id,label\nx,0\ny,0\n")
    with pytest.raises(InputError, match=r"1 of the 2 ids .* 'y' for one; .* put aside"):
        submission(predictions, sample, tmp_path / "s.csv", put_aside=["x"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,label\na,0\n", "expected the columns id,label, got name, label"),
        ("id,label\na,0\na,0\n", "an id of its own"),
        ("id,label\n", "an id of its own"),
        ("", "expected CSV with a header"),
    ],
)
def test_a_wrong_sample_is_named(
    predictions: Predictions, tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        submission(predictions, write(tmp_path, text), tmp_path / "s.csv")
    with pytest.raises(MissingInputError, match="no sample submission"):
        submission(predictions, tmp_path / "nowhere.csv", tmp_path / "s.csv")

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from sentinode.cli.calibrate import calibrate_command
from sentinode.core import run_folder
from sentinode.errors import InputError
from sentinode.models import Run
from sentinode.tables import Predictions


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder("nodenet-base"), tmp_path / "run"))


def written(path: Path, slope: float, note: dict[str, str] | None = None) -> Path:
    rng = np.random.default_rng(3)
    logit = rng.normal(0, 2, 1000)
    label = (rng.random(1000) < expit(slope * logit)).astype(int)
    fold = np.where(np.arange(1000) < 600, "valid", "test")
    frame = pd.DataFrame({"id": np.arange(1000).astype(str), "label": label, "fold": fold})
    Predictions.make(frame.assign(logit=logit), note or {}).write(path)
    return path


def test_before_and_after_are_said_and_the_calibration_is_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = written(tmp_path / "p.csv", 0.4)
    calibrate_command(str(run), table, "temperature", "valid")
    out, err = capsys.readouterr()
    assert "600 patches of fold valid, their slides not known" in out
    assert not err
    kept = Run.open(run).calibration()
    assert kept is not None
    assert kept.slope == pytest.approx(0.4, abs=0.08)


def test_a_calibration_that_makes_it_worse_warns(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate_command(str(run), written(tmp_path / "p.csv", 1.0), "isotonic")
    said = capsys.readouterr().err
    assert said.startswith("warning: the calibration makes the log-loss, Brier")
    assert "worse on patches it was not fitted to" in said


def test_means_over_several_views_warn(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashed = {"weights_sha256": Run.open(run).weights_hash}
    calibrate_command(str(run), written(tmp_path / "1.parquet", 0.4, hashed), "temperature")
    assert "views" not in capsys.readouterr().err
    six = written(tmp_path / "6.parquet", 0.4, hashed | {"orientations": 6})
    calibrate_command(str(run), six, "temperature")
    assert "warning:" in (said := capsys.readouterr().err)
    assert "means over 6 views of each patch" in said


def test_what_does_not_belong_together_is_refused(run: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "p.parquet", 0.4, {"weights_sha256": "0" * 64})
    with pytest.raises(InputError, match="predicted by other weights"):
        calibrate_command(str(run), other, "temperature")
    table = written(tmp_path / "p.csv", 0.4)
    with pytest.raises(InputError, match="no row of fold train"):
        calibrate_command(str(run), table, "temperature", "train")
    with pytest.raises(InputError, match="comes with the package; copy"):
        calibrate_command("nodenet-base", table, "temperature")

"""A calibration knows the logits it was fitted on, and predictions say how far theirs lie."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp
from typer.testing import CliRunner

from builders.sets import small_set, small_split, tiny_spec
from sentinode.cli.main import app
from sentinode.config import load_config
from sentinode.core import provenance
from sentinode.predict import predict_set
from sentinode.tables import Calibration, Split
from sentinode.train import train


def test_the_distance_is_noted_and_a_large_one_is_said(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 240, mpp=0.97)
    small_split(packed)
    config = load_config(None, ["train.epochs=1", "train.batch_size=8", "train.threads=1"])
    run = train(
        packed, Split.read(packed.folder / "split.json"), config, tmp_path / "run", spec=tiny_spec()
    )
    logits = predict_set(run, packed, config).frame["logit"].to_numpy(np.float64)
    for moved in (0.0, 3.0):
        Calibration(
            method="temperature",
            slope=1.5,
            weights_sha256=run.weights_hash,
            fitted_on="them",
            patches=len(logits),
            quantiles=tuple(np.quantile(logits + moved, np.linspace(0, 1, 101)).tolist()),
            before={},
            after={},
            provenance=provenance("calibrate"),
        ).write(run.folder)
        out = tmp_path / f"{moved}.parquet"
        done = CliRunner().invoke(
            app, ["predict", str(run.folder), str(packed.folder), "--out", str(out)]
        )
        assert done.exit_code == 0, done.exception
        assert ("do not look like those" in done.stderr) == (moved > 0)
        found = predict_set(run, packed, config).note["calibration"]["shift"]
        expected = ks_2samp(logits, logits + moved).statistic
        assert found == pytest.approx(expected, abs=0.03)

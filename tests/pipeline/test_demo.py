from pathlib import Path

import pytest
from typer.testing import CliRunner

from sentinode.cli.main import app
from sentinode.errors import ConfigError
from sentinode.pipeline import demo_config
from sentinode.tables import Report

SMALL = ["phantom.slides=8", "phantom.patches=96", "train.epochs=1", "evaluate.resamples=100"]


def test_the_demo_goes_from_nothing_to_a_report(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    overrides = [part for key in SMALL for part in ("--set", key)]
    done = CliRunner().invoke(app, ["demo", "--out", str(out), *overrides])
    assert done.exit_code == 0, done.output
    assert f"report: {out / 'report' / 'report.html'}" in done.output
    assert "ROC AUC" in done.output
    assert "the cohort is synthetic" in done.output
    report = Report.read(out / "report" / "report.json")
    assert report.unit == "slides"
    assert report.optimistic is None


def test_its_configuration_takes_overrides() -> None:
    assert demo_config([]).train.epochs == 8
    assert demo_config(["train.epochs=2"]).train.epochs == 2
    with pytest.raises(ConfigError, match="did you mean"):
        demo_config(["train.epoch=2"])

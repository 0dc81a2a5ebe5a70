"""What a cluster's worker does with slides, without a cluster."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sentinode.config import SlideConfig
from sentinode.core import provenance, run_folder
from sentinode.errors import CheckpointError, DiskFullError, InputError, SentinodeError
from sentinode.models import Run
from sentinode.phantom import make_slide
from sentinode.slide import Analyst, Job
from sentinode.slide.analysis import Outcome
from sentinode.slide.cluster import _analyst, _outcome, analyse
from sentinode.slides import write_pyramid
from sentinode.tables import Calibration

CONFIG = SlideConfig(precision="float32", tile=5, overlay_px=300, tiles=False)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A run that may be changed, and one slide."""
    shutil.copytree(run_folder("nodenet-base"), tmp_path / "run")
    write_pyramid(tmp_path / "a.tif", make_slide(7, 1, 448).image, 0.97)
    _analyst.cache_clear()
    return Job(str(tmp_path / "run"), tmp_path / "out", None, CONFIG)


def calibrate(job: Job, **of: Any) -> str:
    """Give the run another calibration; returns the identity it has then."""
    folder = Path(job.run)
    Calibration(
        weights_sha256=Run.open(folder).weights_hash,
        fitted_on="patches of a test",
        patches=9,
        before={},
        after={},
        provenance=provenance("calibrate"),
        **of,
    ).write(folder)
    return Analyst(job).identity


def done(found: Outcome | SentinodeError) -> Outcome:
    assert isinstance(found, Outcome), found
    return found


def test_a_worker_follows_a_run_that_was_calibrated_anew(job: Job, tmp_path: Path) -> None:
    slide = tmp_path / "a.tif"
    stairs = [((-30.0, low), (30.0, 0.9)) for low in (0.1, 0.4)]
    first = calibrate(job, method="isotonic", knots=stairs[0])
    before = done(analyse(job, slide, first))
    assert before.status == "done"
    assert done(analyse(job, slide, first)).status == "kept"
    assert _analyst.cache_info().hits == 1  # the network is not read for every slide
    second = calibrate(job, method="isotonic", knots=stairs[1])
    after = done(analyse(job, slide, second))
    assert after.status == "done"
    assert before.summary is not None
    assert after.summary is not None
    assert after.summary.score > before.summary.score + 0.05


def test_identity_follows_what_shapes_probabilities_alone(job: Job) -> None:
    marks = [
        calibrate(job, method="platt", slope=1.5, intercept=0.1),
        calibrate(job, method="platt", slope=1.5, intercept=0.2),
        calibrate(job, method="temperature", slope=1.5),
    ]
    assert len(set(marks)) == 3
    assert calibrate(job, method="temperature", slope=1.5) == marks[2]


def test_what_no_slide_escapes_ends_the_cohort(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide, identity = tmp_path / "a.tif", Analyst(job).identity
    (tmp_path / "bad.svs").write_text("no slide")
    assert done(analyse(job, tmp_path / "bad.svs", identity)).status == "failed"

    def full(*_: object) -> None:
        raise DiskFullError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("sentinode.slide.analysis.write_tumour", full)
        with pytest.raises(DiskFullError, match="the disk is full"):
            _outcome(Task(analyse(job, slide, identity)), slide)
    with pytest.raises(CheckpointError, match="holds other weights or another calibration"):
        _outcome(Task(analyse(job, slide, "of another network")), slide)
    _analyst.cache_clear()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="damaged"):
        _outcome(Task(analyse(job, slide, identity)), slide)
    assert not (tmp_path / "out" / "a").exists()


def test_what_a_task_ends_with(tmp_path: Path) -> None:
    outcome = Outcome("a", "done")
    assert _outcome(Task(outcome), tmp_path / "a.tif") is outcome
    lost = _outcome(Task(None, RuntimeError("the worker is gone")), tmp_path / "a.tif")
    assert (lost.slide, lost.status) == ("a", "failed")
    assert lost.reason == "RuntimeError: the worker is gone"
    with pytest.raises(InputError, match="no such device"):
        _outcome(Task(InputError("no such device")), tmp_path / "a.tif")


class Task:
    """A finished task as Dask hands it back."""

    def __init__(self, result: Any, error: Exception | None = None) -> None:
        self._result, self._error = result, error

    def exception(self) -> Exception | None:
        return self._error

    def result(self) -> Any:
        return self._result

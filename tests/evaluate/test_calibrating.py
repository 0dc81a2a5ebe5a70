from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import ks_2samp

from sentinode.core import Provenance, provenance, read_json, write_json
from sentinode.errors import CheckpointError, InputError
from sentinode.evaluate import calibrate, made_worse
from sentinode.metrics import log_loss_terms
from sentinode.tables import Calibration, CalibrationMethod, Predictions

METHODS: tuple[CalibrationMethod, ...] = ("temperature", "platt", "isotonic")


def predictions(count: int = 6000, slope: float = 1.0, intercept: float = 0.0) -> Predictions:
    """Make logits whose true probability is the logistic of slope times them plus intercept."""
    rng = np.random.default_rng(7)
    logit = rng.normal(0, 2, count)
    label = rng.random(count) < expit(slope * logit + intercept)
    slides = [f"s{i % 30:02d}" for i in range(count)]
    frame = pd.DataFrame(
        {"id": [f"p{i}" for i in range(count)], "slide": slides, "label": label.astype(int)}
    )
    return Predictions.make(frame.assign(logit=logit, fold="valid"), {})


def fitted(given: Predictions, method: CalibrationMethod = "temperature") -> Calibration:
    made: Provenance = provenance("calibrate")
    return calibrate(given, method, made, "abc")


def test_the_map_that_made_the_labels_is_found() -> None:
    assert fitted(predictions(slope=0.5)).slope == pytest.approx(0.5, abs=0.04)
    moved = fitted(predictions(slope=2.0, intercept=-0.8), "platt")
    assert moved.slope == pytest.approx(2.0, abs=0.15)
    assert moved.intercept == pytest.approx(-0.8, abs=0.12)
    stairs = fitted(predictions(slope=0.5, intercept=0.5), "isotonic")
    logits = np.linspace(-3, 3, 13)
    assert stairs.apply(logits) == pytest.approx(expit(0.5 * logits + 0.5), abs=0.06)


def test_a_staircase_ends_short_of_certainty() -> None:
    given = predictions(slope=2.0)
    found = fitted(given, "isotonic")
    ends = found.apply(np.array([-99.0, 99.0]))
    assert ends == pytest.approx([1 / 6002, 6001 / 6002], rel=1e-9)


def test_no_other_temperature_lowers_the_log_loss() -> None:
    given = predictions(slope=0.6)
    y = given.frame["label"].to_numpy(np.int64)
    z = given.frame["logit"].to_numpy(np.float64)
    best = fitted(given).slope
    losses = [log_loss_terms(y, expit(z * best * f)).mean() for f in (0.98, 1.0, 1.02)]
    assert losses[1] == min(losses)


@pytest.mark.parametrize("method", METHODS)
def test_after_is_judged_on_slides_that_each_fit_left_out(method: CalibrationMethod) -> None:
    found = fitted(predictions(slope=0.4), method)
    assert found.after["log_loss"] < found.before["log_loss"] - 0.05
    assert found.after["ece_mass"] < 0.03 < found.before["ece_mass"]
    assert found.fitted_on == "6,000 patches of fold valid on 30 slides"


def test_slides_are_left_out_whole() -> None:
    frame = predictions().frame
    slide = frame["slide"].str[1:].astype(int).to_numpy()
    tumour = np.random.default_rng(1).random(30) < np.linspace(0.2, 0.8, 30)
    frame = frame.assign(logit=slide / 10 - 1.5, label=tumour[slide].astype(int))
    given = Predictions.make(frame.drop(columns="probability"), {})
    found = fitted(given, "isotonic")
    p = found.apply(given.frame["logit"].to_numpy())
    seen = log_loss_terms(given.frame["label"].to_numpy(np.int64), p).mean()
    assert found.after["log_loss"] > seen + 0.05


@pytest.mark.parametrize("method", METHODS)
def test_order_is_kept_and_what_was_written_is_read(
    method: CalibrationMethod, tmp_path: Path
) -> None:
    found = fitted(predictions(slope=0.5), method)
    logits = np.linspace(-40, 40, 999)
    p = found.apply(logits)
    assert (np.diff(p) >= 0).all()
    assert p.min() >= 0
    assert p.max() <= 1
    found.write(tmp_path)
    assert Calibration.read(tmp_path, "abc") == found
    assert Calibration.read(tmp_path / "none", "abc") is None


def test_other_logits_lie_as_far_as_kolmogorov_and_smirnov_say() -> None:
    given = predictions()
    found = fitted(given)
    z = given.frame["logit"].to_numpy(np.float64)
    assert found.shift(z) == pytest.approx(0, abs=0.011)
    for other in (z + 1, 2 * z, np.array([0.3])):
        assert found.shift(other) == pytest.approx(ks_2samp(z, other).statistic, abs=0.015)
    assert found.model_copy(update={"quantiles": ()}).shift(z) is None
    tied = np.where(np.arange(len(z)) % 5 < 2, 0.5, z)  # two of five logits are equal
    kept = tuple(np.quantile(tied, np.linspace(0, 1, 101)).tolist())
    assert found.model_copy(update={"quantiles": kept}).shift(tied) < 0.02


def test_what_it_makes_worse_is_named() -> None:
    found = fitted(predictions(slope=0.4))
    assert made_worse(found) == ()
    worse = found.model_copy(update={"after": found.after | {"brier": found.before["brier"] + 0.1}})
    assert made_worse(worse) == ("brier",)


def test_what_cannot_be_fitted_is_said() -> None:
    given = predictions(400)
    with pytest.raises(InputError, match="hold rows of fold train"):
        fitted(Predictions(given.frame.assign(fold="train"), {}))
    with pytest.raises(InputError, match="at least 50 patches of either label, got"):
        fitted(Predictions(given.frame.head(60), {}))
    with pytest.raises(InputError, match=r"at least 5 slides .* got 2"):
        fitted(Predictions(given.frame.assign(slide=["a", "b"] * 200), {}))
    with pytest.raises(InputError, match="falls where the logits rise"):
        fitted(Predictions(given.frame.assign(logit=-given.frame["logit"]), {}))


def test_a_calibration_of_other_weights_or_damaged_is_refused(tmp_path: Path) -> None:
    fitted(predictions(400)).write(tmp_path)
    with pytest.raises(CheckpointError, match="fitted for other weights"):
        Calibration.read(tmp_path, "other")
    content = read_json(tmp_path / "calibration.json")
    assert isinstance(content, dict)
    for change in ({"slope": -1.0}, {"slope": "steep"}, {"knots": [[0, 1]]}, {"format": 2}):
        write_json(tmp_path / "calibration.json", content | change)
        with pytest.raises(CheckpointError, match=r"calibration.json is damaged: "):
            Calibration.read(tmp_path, "abc")
    knots = [[1.0, 0.2], [0.0, 0.4]]
    write_json(tmp_path / "calibration.json", content | {"method": "isotonic", "knots": knots})
    with pytest.raises(CheckpointError, match="knots do not rise"):
        Calibration.read(tmp_path, "abc")
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"calibration.json"):
        Calibration.read(tmp_path, "abc")


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_logits_without_a_mistake_say_nothing_of_how_sure_they_may_be(method):
    rng = np.random.default_rng(0)
    label = np.arange(400) % 2
    logit = np.where(label, 1.0, -1.0) * rng.uniform(0.5, 3, 400)
    frame = pd.DataFrame({"id": [f"x{i}" for i in range(400)], "label": label, "logit": logit})
    with pytest.raises(InputError, match="without a mistake"):
        calibrate(Predictions.make(frame, {}), method, provenance("calibrate"), "0" * 64)
    frame.loc[7, "logit"] = np.inf
    with pytest.raises(InputError, match="the logit of id 'x7' is no finite number"):
        calibrate(Predictions.make(frame, {}), method, provenance("calibrate"), "0" * 64)

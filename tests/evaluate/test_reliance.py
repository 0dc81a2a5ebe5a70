"""When to rely on a call: prevalence, abstention, sets, shift, and what a calibration did."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import precision_score

from sentinode.config import EvaluateConfig
from sentinode.evaluate import evaluate, report_page
from sentinode.evaluate.calibrated import calibration_cautions, conformal_cautions
from sentinode.tables import Conformal, ConformalRow, Figure, Predictions, Uncalibrated

QUICK = EvaluateConfig(resamples=200, examples=0)
NONE = Figure(value=None, low=None, high=None)
SAME = dict.fromkeys(("log_loss", "brier", "ece_mass"), NONE)


def frame_of(n=3000, *, seed=0, slope=1.0, shift=0.0, slides=None):
    """Rows whose label is drawn by the logistic of slope times their logit plus shift."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, n)
    label = rng.random(n) < expit(slope * logit + shift)
    frame = pd.DataFrame({"id": [f"x{i}" for i in range(n)], "label": label.astype(int)})
    frame = frame.assign(logit=logit, fold=np.where(np.arange(n) < n // 3, "valid", "test"))
    return frame if slides is None else frame.assign(slide=[f"s{i % slides}" for i in range(n)])


def report_of(frame, note=None, config=QUICK, **kwargs):
    return evaluate(Predictions.make(frame, note or {}), config, **kwargs)


def test_precision_at_a_prevalence_is_that_of_weighted_patches():
    report = report_of(frame_of(slides=40))
    test = frame_of()[lambda f: f["fold"] == "test"]
    y, p = test["label"].to_numpy(), expit(test["logit"].to_numpy("float32"))
    for row in report.prevalence:
        called = p >= report.at[row.at].threshold
        weight = np.where(y, row.prevalence / y.mean(), (1 - row.prevalence) / (1 - y).mean())
        expected = precision_score(y, called, sample_weight=weight)
        assert row.precision.value == pytest.approx(expected, abs=1e-6)
        assert row.precision.low < row.precision.value < row.precision.high
        alarms = 1000 * (1 - row.prevalence) * called[y == 0].mean()
        assert row.false_alarms == pytest.approx(alarms)
    assert [row.prevalence for row in report.prevalence if row.at == "half"] == [0.01, 0.05, 0.4]


def test_abstention_begins_with_the_accuracy_and_gains():
    report = report_of(frame_of())
    found = report.abstention
    accuracy = report.at["chosen"].figures["accuracy"]
    assert found.answered[0].risk.value == pytest.approx(1 - accuracy.value)
    assert found.answered[0].risk.low == pytest.approx(1 - accuracy.high)
    risks = [row.risk.value for row in found.answered]
    assert risks == sorted(risks, reverse=True)
    assert found.least_area < found.area < risks[0]
    assert [row.coverage for row in found.answered] == pytest.approx(
        [1, 0.95, 0.9, 0.8, 0.7, 0.5], abs=0.002
    )


def test_sets_hold_what_they_state_on_patches_of_one_kind():
    report = report_of(frame_of(6000))
    assert report.conformal.said.startswith("Fitted on 2,000 validation patches, checked on the")
    for row in report.conformal.rows:
        assert row.held.value == pytest.approx(row.stated, abs=0.025)
        assert row.held.low <= row.held.value <= row.held.high
        assert row.one + row.both + row.neither == pytest.approx(1)
        if row.by_class:
            assert row.held_tumour.value == pytest.approx(row.stated, abs=0.04)
    assert not any("Conformal" in w for w in report.warnings)


def test_sets_that_do_not_hold_are_a_warning():
    frame = frame_of(6000)
    test = frame["fold"] == "test"
    worse = frame.assign(
        label=np.where(test & (np.arange(6000) % 5 == 0), 1 - frame["label"], frame["label"])
    )
    report = report_of(worse)
    assert any(w.startswith("Conformal sets hold the label less often") for w in report.warnings)
    assert any(w.startswith("Conformal sets by class hold") for w in report.warnings)


def test_without_validation_patches_halves_of_slides_are_taken():
    frame = frame_of(slides=10).assign(fold=None)
    report = report_of(frame)
    assert "random half of the slides" in report.conformal.said
    assert "1,500 patches" in report.conformal.said
    tiny = report_of(frame_of(10).assign(fold=None))
    notes = (
        {row.stated: row.note for row in tiny.conformal.rows if not row.by_class}
        if tiny.conformal
        else {}
    )
    assert notes.get(0.99, "too few patches to promise it") == "too few patches to promise it"


def test_probabilities_that_hide_the_order_of_their_logits_are_told_of():
    frame = frame_of()
    large = frame.assign(logit=60 + 10 * frame["logit"], probability=1.0)
    said = "The probability of 2,000 patches is exactly 0 or 1"
    assert any(w.startswith(said) and "place of 0.5" in w for w in report_of(large).warnings)
    assert not any("exactly 0 or 1" in w for w in report_of(frame).warnings)


def test_a_calibration_that_helps_is_shown_beside_what_was_before():
    frame = frame_of(slope=0.4)
    better = frame.assign(probability=expit(0.4 * frame["logit"]))
    note = {"calibration": {"method": "temperature", "fitted_on": "100 patches of fold valid"}}
    report = report_of(better, note)
    before = report.uncalibrated
    assert before.figures["log_loss"].value > report.overall["log_loss"].value
    assert before.figures["calibration_slope"].value == pytest.approx(0.4, abs=0.05)
    assert not any("calibration" in w for w in report.warnings)
    page = report_page(report)
    assert "Calibration, before and after" in page
    assert "method temperature" in page
    assert report_of(frame).uncalibrated is None


def test_a_calibration_that_harms_or_was_fitted_here_is_a_warning():
    frame = frame_of()
    worse = frame.assign(probability=expit(2.5 * frame["logit"]))
    (said,) = calibration_cautions(
        Uncalibrated(method={"fitted_on": "9 patches of fold test"}, figures=SAME, reliability={}),
        SAME | {"calibration_slope": NONE, "calibration_in_the_large": NONE},
        "test",
        elsewhere=True,
    )
    assert "fold test here is of another set or split, unless that was done anew" in said
    note = {"calibration": {"method": "platt", "fitted_on": "2,000 patches of fold test, valid"}}
    warnings = report_of(worse, note).warnings
    assert any("makes these patches' probabilities worse: log-loss" in w for w in warnings)
    assert any(
        "fitted on 2,000 patches of fold test, valid; what is reported is fold test too" in w
        for w in warnings
    )
    assert any("too extreme here: calibration slope 0." in w for w in warnings)


def test_probabilities_that_are_too_low_are_a_warning():
    assert any("too low on the whole" in w for w in report_of(frame_of(shift=0.8)).warnings)
    assert report_of(frame_of()).warnings == ()


def test_patches_that_look_shifted_are_a_warning():
    frame = frame_of()
    moved = frame.assign(
        logit=frame["logit"] - np.where((frame["fold"] == "test") & (frame["label"] == 1), 1.5, 0)
    )
    warnings = report_of(moved).warnings
    assert any(w.startswith("The tumour patches reported look shifted") for w in warnings)
    assert not any(w.startswith("The normal patches reported") for w in warnings)


def of_unlike_slides(seed, moved=0.0):
    """Thirty slides of 100 patches, half of them of fold valid; each slide has its own logit."""
    rng = np.random.default_rng(seed)
    slide = np.arange(3000) // 100
    label = (rng.random(3000) < 0.5).astype(int)
    logit = rng.normal(2 * label - 1, 1.2) + rng.normal(0, 1, 30)[slide] - moved * (slide >= 15)
    frame = pd.DataFrame({"id": [f"x{i}" for i in range(3000)], "label": label, "logit": logit})
    names = [f"s{i}" for i in slide]
    return frame.assign(slide=names, fold=np.where(slide < 15, "valid", "test"))


def test_slides_that_differ_among_themselves_are_no_shift():
    quick = EvaluateConfig(resamples=100, examples=0, coverages=(0.9,))

    def shifted(frame):
        return any("look shifted" in w for w in report_of(frame, config=quick).warnings)

    seeds = range(12)
    assert sum(shifted(of_unlike_slides(seed).drop(columns="slide")) for seed in seeds) >= 2
    assert not any(shifted(of_unlike_slides(seed)) for seed in seeds)
    assert shifted(of_unlike_slides(0, moved=2.5))


def test_a_shift_between_too_few_slides_may_be_chance():
    frame = of_unlike_slides(0, moved=4).set_index("slide").loc[["s0", "s1", "s20", "s21"]]
    said = [w for w in report_of(frame.reset_index()).warnings if "look shifted" in w]
    assert said
    assert all("whether it is chance, 2 and 2 slides are too few to say" in w for w in said)


def test_another_share_of_tumour_is_no_shift():
    frame = frame_of(9000)
    rare = (frame["fold"] == "test") & (frame["label"] == 1) & (np.arange(9000) % 4 > 0)
    warnings = report_of(frame[~rare]).warnings
    assert not any("look shifted" in w for w in warnings)


def test_one_class_has_no_decision_curve_but_all_else():
    report = report_of(frame_of().assign(label=1))
    assert report.decision is None
    assert report.abstention.answered[0].misses > 0
    assert report.prevalence[0].precision.value is None
    report_page(report)


def test_centres_of_anybodys_table_are_reported():
    frame = frame_of()
    centres = {f"x{i}": f"hospital {i % 3}" for i in range(3000)}
    report = report_of(frame, centres=centres)
    assert {row.name for row in report.groups["centre"]} == {f"hospital {i}" for i in range(3)}
    for row in report.groups["centre"]:
        assert row.accuracy_low < row.accuracy < row.accuracy_high
    assert "hospital" in report.worst["centre"]
    assert "chance" in report.worst["centre"]


def test_sets_of_like_patches_are_not_said_to_fall_short():
    def told(seed):
        rng = np.random.default_rng(seed)
        fold = np.where(np.arange(1500) < 300, "valid", "test")
        logit = rng.normal(0, 2, 1500)
        label = rng.random(1500) < expit(logit)
        frame = pd.DataFrame({"id": [f"x{i}" for i in range(1500)], "label": label.astype(int)})
        report = report_of(frame.assign(logit=logit, fold=fold))
        return any("Conformal sets" in warning for warning in report.warnings)

    assert sum(told(seed) for seed in range(12)) <= 2  # a third of them would be by chance


def test_a_set_that_falls_short_is_told_of():
    held = Figure(value=0.80, low=0.78, high=0.82)
    row = ConformalRow(
        stated=0.9, by_class=False, held=held, held_tumour=held, held_normal=held,
        one=0.9, both=0.1, neither=0.0, wrong_answers=0.1,
    )  # fmt: skip
    found = Conformal(said="", rows=(row,))
    (said,) = conformal_cautions(found, (300, 300), 0.95)
    assert "90% hold 80.0% (at most 82.0%)" in said
    assert not conformal_cautions(found, (3, 3), 0.95)  # fitted on next to nothing
    assert conformal_cautions(found, (300, 300), 0.95, (20, 20))
    assert not conformal_cautions(found, (300, 300), 0.95, (200, 3))  # nor on three slides

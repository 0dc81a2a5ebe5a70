"""From a run and a set to the figures under every change, and what is kept of them."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from builders.sets import small_set, small_split, tiny_spec
from sentinode.cli.main import app
from sentinode.config import load_config
from sentinode.errors import InputError, MissingInputError
from sentinode.predict import Predictor, predict_set
from sentinode.stress import StressReport, read_targets, stress, stress_table, write_stress
from sentinode.stress.changes import blurred
from sentinode.stress.lessons import lessons_of
from sentinode.stress.stressing import _drawn
from sentinode.tables import Figure, Manifest, PackedSet, Split
from sentinode.train import train

CONFIG = load_config(None, ["stress.resamples=100", "predict.batch_size=16"])


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    packed = small_set(tmp_path_factory.mktemp("stress") / "set", 240, mpp=0.97)
    small_split(packed)
    return packed


@pytest.fixture(scope="module")
def run(packed):
    config = load_config(
        None,
        ["train.epochs=4", "train.batch_size=8", "train.learning_rate=0.01", "train.threads=1"],
    )
    split = Split.read(packed.folder / "split.json")
    return train(packed, split, config, packed.folder.parent / "run", spec=tiny_spec())


@pytest.fixture(scope="module")
def done(run, packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stressed")
    stressed = stress(run, packed, CONFIG, folder)
    write_stress(stressed, folder)
    return stressed, folder


def test_clean_figures_are_those_of_the_predictions(done, run, packed):
    clean = done[0].report.conditions[0]
    table = predict_set(run, packed, CONFIG).frame
    test = table[(table["fold"] == "test") & table["label"].notna()]
    y, p = test["label"].to_numpy(int), test["probability"].to_numpy(float)
    assert done[0].report.patches == len(test)
    assert clean.figures["roc_auc"].value == pytest.approx(roc_auc_score(y, p), abs=1e-6)
    assert clean.figures["auc_change"].value == 0
    assert clean.figures["changed_calls"].value == 0
    called = p >= done[0].report.threshold
    assert clean.figures["sensitivity"].value == pytest.approx(called[y == 1].mean())
    assert "validation patches" in done[0].report.threshold_said


def test_a_change_is_predicted_and_judged_as_if_it_lay_in_the_set(done, run, packed):
    found = next(
        m for m in done[0].report.conditions if (m.family, m.strength) == ("blur", 2.0)
    ).figures
    predictor = Predictor(run, CONFIG.predict)
    rows, fold = predictor.rows(packed)
    label = packed.manifest.frame["label"]
    rows = rows[((fold == "test") & label.notna()).to_numpy(bool)[rows]]
    y = label.iloc[rows].to_numpy(int)
    images = blurred(np.asarray(packed.images[rows]), 2.0)
    p = predictor.probabilities(predictor.logits([images[:7], images[7:]]))
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(y, p), abs=1e-6)
    clean = done[0].report.conditions[0].figures["roc_auc"].value
    assert found["auc_change"].value == pytest.approx(found["roc_auc"].value - clean)
    change = found["auc_change"]
    assert change.low is None or change.low <= change.value <= change.high


def test_what_was_predicted_is_not_predicted_again(done, run, packed, monkeypatch):
    stressed, folder = done
    kept = sorted((folder / "logits").rglob("*.npy"))
    kept[5].unlink()
    kept[6].write_bytes(kept[6].read_bytes()[:-3])
    kept[7].write_bytes(b"")
    asked = []
    compute = Predictor.logits
    monkeypatch.setattr(
        Predictor, "logits", lambda self, images: asked.append(1) or compute(self, images)
    )
    again = stress(run, packed, CONFIG, folder)
    assert len(asked) == 3
    assert again.report == stressed.report
    fewer = load_config(
        None, ["stress.resamples=100", "predict.batch_size=16", "stress.patches=20"]
    )
    assert stress(run, packed, fewer, folder).report.patches == 20
    assert len(asked) - 3 == len(kept) - 1  # all but the validation patches, which were kept


def test_files_are_the_same_each_time_and_say_what_they_are(done, tmp_path):
    stressed, folder = done
    write_stress(stressed, tmp_path)
    for name in ("stress.json", "stress.csv", "stress.md", "stress.png", "stress.html"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), name
    assert StressReport.read(tmp_path / "stress.json") == stressed.report
    page = (tmp_path / "stress.html").read_text()
    assert stressed.report.notice in page
    assert stressed.report.notice in (tmp_path / "stress.md").read_text()
    assert str(folder) not in page + (tmp_path / "stress.json").read_text()
    assert "<script" not in page
    with Image.open(tmp_path / "stress.png") as figure:
        assert figure.width > 1000
    table = pd.read_csv(tmp_path / "stress.csv")
    assert len(table) == len(stressed.report.conditions) == len(stress_table(stressed.report))
    assert len(stressed.pictures) == len(table)


def test_lessons_begin_with_what_harms_most(done):
    report = done[0].report
    worst = min(report.conditions, key=lambda m: m.figures["auc_change"].value)
    assert f"{worst.figures['auc_change'].value:+.3f}".replace("-", "−") in report.lessons[0]


@pytest.mark.parametrize(
    ("count", "tumour", "asked", "drawn"),
    [
        (2907, 1400, 1000, (518, 482)),
        (1000, 300, 25, (17, 8)),
        (1000, 3, 20, (19, 1)),
        (1000, 998, 20, (1, 19)),
        (1000, 0, 20, (20, 0)),
        (1000, 500, 25, (13, 12)),
        (30, 9, 40, (21, 9)),
    ],
)
def test_as_many_are_drawn_as_asked_for_of_both_classes(count, tumour, asked, drawn):
    labels = np.random.default_rng(1).permutation(np.arange(count) < tumour).astype(int)
    config = load_config(None, [f"stress.patches={asked}"])
    rows = np.arange(count) * 2
    found = _drawn(rows, labels, config)
    assert set(found) <= set(rows)
    assert (np.diff(found) > 0).all()
    assert tuple(np.bincount(labels[found // 2], minlength=2)) == drawn


def test_how_the_threshold_was_chosen_is_said(done, run, packed, tmp_path):
    half = load_config(
        None, ["stress.resamples=100", "predict.batch_size=16", "evaluate.threshold=half"]
    )
    report = stress(run, packed, half, done[1]).report
    assert (report.threshold, report.threshold_said) == (0.5, "0.5, chosen on nothing")
    copied = shutil.copytree(packed.folder, tmp_path / "set")
    split = Split.read(packed.folder / "split.json")
    of_valid = {patch for unit in split.units["valid"].values() for patch in unit}
    frame = packed.manifest.frame
    frame = frame.assign(label=frame["label"].mask(frame["id"].isin(of_valid), 1))
    manifest = Manifest.make(frame, {})
    manifest.write(copied / "manifest.parquet")
    split.model_copy(update={"manifest_hash": manifest.hash}).write(copied / "split.json")
    report = stress(run, PackedSet.open(copied), CONFIG, tmp_path / "out").report
    assert report.threshold == 0.5
    assert report.threshold_said.endswith(" validation patches are of one class")


@pytest.mark.parametrize(
    ("low", "high", "by_chance"), [(0.03, 0.07, False), (-0.07, -0.03, False), (-0.01, 0.1, True)]
)
def test_only_a_change_about_nothing_is_left_to_chance(done, low, high, by_chance):
    clean, *changed = done[0].report.conditions
    figures = changed[0].figures | {
        "auc_change": Figure(value=(low + high) / 2, low=low, high=high)
    }
    lesson = lessons_of([clean, changed[0].model_copy(update={"figures": figures})])[0]
    assert ("which chance can explain" in lesson) == by_chance


def test_one_class_keeps_what_can_be_given(run, packed, tmp_path):
    copied = shutil.copytree(packed.folder, tmp_path / "set")
    frame = packed.manifest.frame.assign(label=1)
    Manifest.make(frame, {}).write(copied / "manifest.parquet")
    (copied / "split.json").unlink()
    found = stress(run, PackedSet.open(copied), CONFIG, tmp_path / "out")
    assert any("All patches are tumour" in w for w in found.report.warnings)
    figures = found.report.conditions[3].figures
    assert figures["roc_auc"].value is None
    assert figures["sensitivity"].value is not None
    assert figures["ece_width"].value is not None
    page = write_stress(found, tmp_path / "out").read_text()
    assert "Without both classes" in page


def test_what_cannot_be_tested_is_said(run, packed, tmp_path):
    copied = shutil.copytree(packed.folder, tmp_path / "set")
    Manifest.make(packed.manifest.frame.assign(label=None), {}).write(copied / "manifest.parquet")
    (copied / "split.json").unlink()
    with pytest.raises(InputError, match="has a label"):
        stress(run, PackedSet.open(copied), CONFIG, tmp_path / "out")
    with pytest.raises(MissingInputError, match="no image or folder"):
        read_targets(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="holds no image"):
        read_targets(tmp_path / "empty")
    Image.new("RGB", (64, 64), (250, 250, 250)).save(tmp_path / "empty" / "white.png")
    with pytest.raises(InputError, match="too little stained tissue"):
        read_targets(tmp_path / "empty")


def test_targets_that_differ_in_their_ending_alone_are_all_taken(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("north.png", "north.bmp", "south.png"):
        pixels = rng.integers(40, 200, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    assert list(read_targets(tmp_path)) == ["north.bmp", "north.png", "south"]


def test_the_command_tests_toward_targets(run, packed, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "targets").mkdir()
    for name in ("north", "south"):
        Image.fromarray(rng.integers(40, 200, (64, 64, 3), np.uint8)).save(
            tmp_path / "targets" / f"{name}.png"
        )
    out = tmp_path / "out"
    arguments = ["stress", run.folder, packed.folder, "--out", out, "--patches", 20]
    arguments += ["--targets", tmp_path / "targets", "--set", "stress.resamples=100"]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.exception
    report = StressReport.read(out / "stress.json")
    assert {m.target for m in report.conditions if m.family == "target"} == {"north", "south"}
    assert set(report.provenance.inputs) >= {"weights", "set", "target north", "target south"}
    assert done.stdout.splitlines()[0] == report.headline
    assert "toward north" in (out / "stress.html").read_text()

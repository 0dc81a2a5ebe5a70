import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import sentinode.tune.tuning
from builders.pages import Page, outward
from sentinode.cli.main import app
from sentinode.config import Config, changed, load_config
from sentinode.errors import ConfigError, InputError, TrainingError
from sentinode.models import Run
from sentinode.predict import predict_set
from sentinode.tables import PackedSet, Split
from sentinode.train import train
from sentinode.tune import BEST_FILE, PAGE_FILE, TRIALS_FILE, TuneResult, parse_space, tune

SPACE = parse_space(["train.learning_rate=log:1e-3..1e-1", "train.optimizer=adam,sgd"])


def values(result: TuneResult) -> list[tuple[object, ...]]:
    return [(t.state, t.value, *t.params.values()) for t in result.trials]


def test_a_study_ends_in_the_configuration_of_its_best_trial(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    config = changed(quick, {"tune.pruner": "off"})
    out = tmp_path / "out"
    result = tune(packed, split, config, SPACE, out, trials=4)
    table = pd.read_csv(out / TRIALS_FILE)
    assert list(table["state"]) == ["complete"] * 4
    assert result.best is not None
    assert result.best.value == table["auc"].max()
    assert sum(result.importance.values()) == pytest.approx(1)

    best = load_config(out / BEST_FILE)
    assert best == changed(quick, dict(result.best.params)).model_copy(update={"tune": best.tune})
    again = train(packed, split, best, tmp_path / "again")
    run = Run.open(out / "trials" / result.best.run)
    assert again.weights_hash == run.weights_hash
    scored = predict_set(run, packed, config, folds=["valid"]).frame
    auc = roc_auc_score(scored["label"].astype(int), scored["probability"].astype("float64"))
    assert result.best.value == pytest.approx(auc)


def test_the_objective_may_be_the_loss(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    config = changed(quick, {"tune.objective": "loss", "tune.pruner": "off"})
    result = tune(packed, split, config, SPACE, tmp_path / "out", trials=3)
    losses = [
        Run.open(tmp_path / "out" / "trials" / t.run).history()["valid_loss"].min()
        for t in result.trials
    ]
    assert result.best is not None
    assert result.best.value == pytest.approx(min(losses))


def test_a_trial_behind_the_others_is_ended_early(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    space = parse_space(["train.learning_rate=1e-9,0.03,0.02,0.01,1e-8"])
    config = changed(quick, {"tune.seed": 1, "tune.pruner": "median"})
    result = tune(packed, split, config, space, tmp_path / "out", trials=9)
    early = [t for t in result.trials if t.state == "pruned"]
    assert early
    for trial in early:
        assert trial.value is None
        assert len(trial.curve) < 4
        before = [t for t in result.trials if t.value is not None and t.number < trial.number]
        assert max(trial.curve) < np.median([t.curve[len(trial.curve) - 1] for t in before])
    folders = {p.name for p in (tmp_path / "out" / "trials").iterdir()}
    assert folders == {t.run for t in result.trials if t.run}


def test_a_trial_that_fails_is_written_down_and_the_next_one_goes_on(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [TrainingError("training diverged in epoch 1"), MemoryError()]

    def sometimes(*args: object, **kwargs: object) -> Run:
        if failures:
            raise failures.pop(0)
        return train(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(sentinode.tune.tuning, "train", sometimes)
    lines: list[str] = []
    result = tune(packed, split, quick, SPACE, tmp_path / "out", trials=4, tell=lines.append)
    assert [t.state for t in result.trials][:3] == ["failed", "failed", "complete"]
    assert [t.failure for t in result.trials][:2] == [
        "training diverged in epoch 1",
        "memory ran out",
    ]
    assert "failed: memory ran out" in lines
    page = Page((tmp_path / "out" / PAGE_FILE).read_text())
    assert "training diverged in epoch 1" in page.text


def test_a_choice_that_cannot_be_trained_is_a_failed_trial(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sometimes(*args: object, **kwargs: object) -> Run:
        settings: Config = args[2]  # type: ignore[assignment]
        if settings.train.optimizer == "sgd":
            raise InputError("it cannot be")
        return train(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(sentinode.tune.tuning, "train", sometimes)
    config = changed(quick, {"train.epochs": 1, "tune.pruner": "off"})
    result = tune(packed, split, config, SPACE, tmp_path, trials=4)
    assert {t.state for t in result.trials} == {"complete", "failed"}


def test_another_study_leaves_the_runs_of_the_first(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    config = changed(quick, {"train.epochs": 1, "tune.pruner": "off"})
    tune(packed, split, config, SPACE, tmp_path, trials=2)
    before = sorted((tmp_path / "trials").iterdir())
    units = {**split.units, "train": split.units["test"], "test": split.units["train"]}
    other = split.model_copy(update={"units": units})
    tune(packed, other, config, SPACE, tmp_path, trials=2, study=tmp_path / "new.journal")
    assert all((run / "run.json").is_file() for run in before)
    assert len(list((tmp_path / "trials").iterdir())) == 4


def test_where_every_trial_fails_the_last_failure_is_said(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> Run:
        raise TrainingError("training diverged in epoch 1")

    monkeypatch.setattr(sentinode.tune.tuning, "train", never)
    with pytest.raises(TrainingError, match=r"none of 2 trials.*diverged"):
        tune(packed, split, quick, SPACE, tmp_path / "out", trials=2)


def test_a_defect_is_not_taken_for_a_failed_trial(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> Run:
        raise RuntimeError("a defect")

    monkeypatch.setattr(sentinode.tune.tuning, "train", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        tune(packed, split, quick, SPACE, tmp_path / "out", trials=2)


def test_a_study_of_something_else_is_refused(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    tune(packed, split, quick, SPACE, out, trials=1)
    with pytest.raises(InputError, match=r"made otherwise \(config\)"):
        tune(packed, split, changed(quick, {"train.epochs": 3}), SPACE, out, trials=1)
    other = parse_space(["train.learning_rate=log:1e-3..1"])
    with pytest.raises(InputError, match=r"made otherwise \(space\)"):
        tune(packed, split, quick, other, out, trials=1)
    (tmp_path / "no.db").write_text("nothing of the kind, and long enough not to be taken for one")
    with pytest.raises(InputError, match="no study that can be opened"):
        tune(packed, split, quick, SPACE, out, trials=1, study=tmp_path / "no.db")


def test_the_page_needs_nothing_else_and_says_what_it_is_for(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    tune(packed, split, quick, SPACE, tmp_path / "a", trials=4)
    text = (tmp_path / "a" / PAGE_FILE).read_text()
    page = Page(text)
    assert outward(text) == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert "Research use only" in page.text
    assert "optimistic" in page.text
    assert str(tmp_path) not in text
    tune(packed, split, quick, SPACE, tmp_path / "b", trials=4)
    assert text == (tmp_path / "b" / PAGE_FILE).read_text()
    said = tomllib.loads((tmp_path / "a" / BEST_FILE).read_text())
    assert set(said) == {"model", "train", "augment"}


def test_the_command_says_what_is_wrong_in_one_line(packed: PackedSet, split: Split) -> None:
    command = ["tune", str(packed.folder), "--out", "nowhere", "--key", "train.epoch=int:1..2"]
    with pytest.raises(ConfigError, match=r"train\.epochs"):
        app(command, standalone_mode=False)

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.trial import Trial
from sklearn.metrics import roc_auc_score

import sentinode.tune.tuning
from builders.pages import Page, outward
from sentinode.cli.main import app
from sentinode.config import Config, changed, load_config
from sentinode.errors import BusyError, ConfigError, InputError, NetworkError, TrainingError
from sentinode.models import Run
from sentinode.predict import predict_set
from sentinode.tables import PackedSet, Split
from sentinode.train import train
from sentinode.tune import BEST_FILE, PAGE_FILE, TRIALS_FILE, TuneResult, parse_space, tune

SPACE = parse_space(["train.learning_rate=log:1e-3..1e-1", "train.optimizer=adam,sgd"])
WORKER = """
import os, sys, time
from pathlib import Path
import sentinode.train.plan
from builders.sets import QUICK, tiny_spec
from sentinode.config import load_config
from sentinode.tables import PackedSet, Split
from sentinode.tune import parse_space, tune

sentinode.train.plan.spec_for = lambda settings: tiny_spec()
folder, out, study = map(Path, sys.argv[1:4])
if len(sys.argv) > 5:  # none begins before the other is there
    ready = Path(sys.argv[5])
    (ready / str(os.getpid())).touch()
    until = time.monotonic() + 60
    while len(list(ready.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.01)
tune(
    PackedSet.open(folder),
    Split.read(folder / "split.json"),
    load_config(None, [*QUICK, "tune.random_trials=3", "tune.pruner=off"]),
    parse_space(["train.learning_rate=log:1e-3..1e-1", "train.optimizer=adam,sgd"]),
    out,
    trials=int(sys.argv[4]),
    study=study,
    tell=lambda line: print(line, flush=True),
)
"""


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


@pytest.mark.parametrize("name", ["study.journal", "study.db"])
def test_cut_short_and_started_again_it_ends_in_the_same_trials(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = changed(quick, {"tune.pruner": "off"})
    whole = tune(packed, split, config, SPACE, tmp_path / "a", trials=4)
    study = tmp_path / name

    calls: list[Path] = []

    def cut_short(*args: object, **kwargs: object) -> Run:
        calls.append(Path(str(args[3])))
        if len(calls) == 3:
            inner = kwargs["after_epoch"]

            def once(row: Mapping[str, float]) -> None:
                inner(row)  # type: ignore[operator]
                raise KeyboardInterrupt

            kwargs["after_epoch"] = once
        return train(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(sentinode.tune.tuning, "train", cut_short)
    with pytest.raises(KeyboardInterrupt):
        tune(packed, split, config, SPACE, tmp_path / "b", trials=4, study=study)
    assert (calls[-1] / "state" / "state.json").is_file()
    assert (tmp_path / "b" / BEST_FILE).is_file()
    result = tune(packed, split, config, SPACE, tmp_path / "b", trials=4, study=study)
    assert calls[3] == calls[2]
    assert values(result) == values(whole)
    for file in (TRIALS_FILE, BEST_FILE, PAGE_FILE):
        first, second = (tmp_path / side / file for side in "ab")
        assert first.read_bytes() == second.read_bytes(), file
    asked_again = tune(packed, split, config, SPACE, tmp_path / "b", trials=4, study=study)
    assert values(asked_again) == values(whole)
    assert len(calls) == 5


@pytest.mark.parametrize("name", ["study.journal", "study.db"])
def test_ended_before_a_trial_is_known_to_be_its_own_a_worker_leaves_no_gap(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = changed(quick, {"tune.pruner": "off", "train.epochs": 1})
    whole = tune(packed, split, config, SPACE, tmp_path / "a", trials=3)
    real, study = Trial.set_user_attr, tmp_path / name

    def cut_short(trial: Trial, key: str, value: object) -> None:
        if key == "worker" and trial.number in (1, 2):
            raise KeyboardInterrupt
        real(trial, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(Trial, "set_user_attr", cut_short)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                tune(packed, split, config, SPACE, tmp_path / "b", trials=3, study=study)
    result = tune(packed, split, config, SPACE, tmp_path / "b", trials=3, study=study)
    assert values(result) == values(whole)
    again = (tmp_path / "b" / TRIALS_FILE).read_bytes()
    assert again == (tmp_path / "a" / TRIALS_FILE).read_bytes()


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


def test_what_no_trial_would_escape_ends_the_study_and_no_trial_is_lost(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(quick, {"train.epochs": 1, "tune.pruner": "off"})
    whole = tune(packed, split, config, SPACE, tmp_path / "a", trials=2)

    def unreachable(*args: object, **kwargs: object) -> Run:
        raise NetworkError("MLflow does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(sentinode.tune.tuning, "train", unreachable)
        with pytest.raises(NetworkError, match="MLflow does not answer"):
            tune(packed, split, config, SPACE, tmp_path / "b", trials=2)
    result = tune(packed, split, config, SPACE, tmp_path / "b", trials=2)
    assert values(result) == values(whole)


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


def test_an_epoch_that_was_stored_and_not_reported_is_reported_later(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(quick, {"tune.pruner": "median"})
    whole = tune(packed, split, config, SPACE, tmp_path / "a", trials=3)
    calls = 0

    def cut_short(*args: object, **kwargs: object) -> Run:
        nonlocal calls
        calls += 1
        inner = kwargs["after_epoch"]

        def silent(row: Mapping[str, float]) -> None:
            if calls == 2 and row["epoch"] == 2:
                raise KeyboardInterrupt
            inner(row)  # type: ignore[operator]

        kwargs["after_epoch"] = silent
        run = train(*args, **kwargs)  # type: ignore[arg-type]
        if calls == 4:  # finished, and not told
            raise KeyboardInterrupt
        return run

    monkeypatch.setattr(sentinode.tune.tuning, "train", cut_short)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(packed, split, config, SPACE, tmp_path / "b", trials=3)
    result = tune(packed, split, config, SPACE, tmp_path / "b", trials=3)
    assert calls == 5
    assert [t.curve for t in result.trials] == [t.curve for t in whole.trials]
    assert len(result.trials[1].curve) == 4


def test_what_is_wrong_for_all_uses_up_no_trial(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    config = changed(quick, {"train.epochs": 1, "tune.pruner": "off"})
    tune(packed, split, config, SPACE, tmp_path, trials=1)
    nowhere = changed(config, {"train.device": "cuda"})
    with pytest.raises(InputError, match="cuda"):
        tune(packed, split, nowhere, SPACE, tmp_path, trials=3)
    result = tune(packed, split, config, SPACE, tmp_path, trials=3)
    assert [t.state for t in result.trials] == ["complete"] * 3


def test_values_that_another_worker_is_at_are_waited_for(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = [BusyError("another sentinode process is writing")] * 2

    def later(*args: object, **kwargs: object) -> Run:
        if busy:
            raise busy.pop()
        return train(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(sentinode.tune.tuning, "train", later)
    monkeypatch.setattr(sentinode.tune.tuning, "SECONDS_BETWEEN_LOOKS", 0.01)
    result = tune(packed, split, quick, SPACE, tmp_path, trials=1)
    assert [t.state for t in result.trials] == ["complete"]
    assert not busy


def test_a_worker_with_nothing_left_to_take_says_so(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def meanwhile(*args: object, **kwargs: object) -> Run:
        with monkeypatch.context() as patch:
            patch.setattr(sentinode.tune.tuning, "train", train)
            second = tune(packed, split, quick, SPACE, tmp_path, trials=1, tell=said.append)
        assert second.best is None
        return train(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(sentinode.tune.tuning, "train", meanwhile)
    result = tune(packed, split, quick, SPACE, tmp_path, trials=1)
    assert result.best is not None
    assert said == ["no trial is left to take; other workers are at the last 1"]


def test_processes_that_were_started_to_train_together_are_refused(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_NNODES": "1"}
    for name, value in (step | {"SLURM_NTASKS_PER_NODE": "2"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match="job steps of one task each"):
        tune(packed, split, quick, SPACE, tmp_path, trials=2)
    assert not list(tmp_path.glob("study*"))


def test_half_a_line_of_a_full_disk_costs_a_journal_nothing(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    config = changed(quick, {"train.epochs": 1, "tune.pruner": "off"})
    whole = tune(packed, split, config, SPACE, tmp_path / "a", trials=3)
    tune(packed, split, config, SPACE, tmp_path / "b", trials=2)
    journal = tmp_path / "b" / "study.journal"
    finished = journal.read_bytes()
    for torn in (b'{"op_code": 5, "worker_', b'{"op_code": 5}'):
        journal.write_bytes(finished + torn)
        again = tune(packed, split, config, SPACE, tmp_path / "b", trials=2)
        assert values(again) == values(whole)[:2]
    result = tune(packed, split, config, SPACE, tmp_path / "b", trials=3)
    assert values(result) == values(whole)


@pytest.mark.parametrize(
    "name", ["study.journal", pytest.param("study.db", marks=pytest.mark.slow)]
)
def test_two_processes_share_a_study(
    packed: PackedSet, split: Split, tmp_path: Path, name: str
) -> None:
    out, study, ready = tmp_path / "out", tmp_path / name, tmp_path / "ready"
    ready.mkdir()
    given = [packed.folder, out, study, "6", ready]
    command = [sys.executable, "-c", WORKER, *map(str, given)]
    tests = Path(__file__).parents[1]
    workers = [
        subprocess.Popen(
            command, cwd=tests, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [worker.communicate(timeout=100) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    tried = [len(re.findall("^trial ", out, flags=re.MULTILINE)) for out, _ in said]
    table = pd.read_csv(out / TRIALS_FILE)
    assert sum(tried) == len(table) == 6
    assert min(tried) >= 1
    assert set(table["state"]) == {"complete"}
    assert not list(Path(f"{study}.workers").iterdir())
    assert (out / PAGE_FILE).is_file()


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


@pytest.mark.slow
def test_killed_in_the_midst_of_a_trial_the_study_ends_in_the_same_trials(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    config = changed(quick, {"tune.pruner": "off"})
    whole = tune(packed, split, config, SPACE, tmp_path / "whole", trials=4)
    out, study = tmp_path / "out", tmp_path / "study.db"
    command = [sys.executable, "-c", WORKER, str(packed.folder), str(out), str(study), "4"]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.startswith("trial 3"):
                worker.kill()
                break
    result = tune(packed, split, config, SPACE, out, trials=4, study=study)
    assert values(result) == values(whole)
    assert (out / TRIALS_FILE).read_bytes() == (tmp_path / "whole" / TRIALS_FILE).read_bytes()

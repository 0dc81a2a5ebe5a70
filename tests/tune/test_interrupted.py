"""Studies that were cut short, and those that several workers share."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.trial import Trial

import sentinode.train.plan
import sentinode.tune.tuning
from sentinode.config import Config, changed
from sentinode.errors import BusyError, InputError, NetworkError, TrainingError
from sentinode.models import Run, choose_compute
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


@contextmanager
def with_a_gpu() -> Iterator[None]:
    """Pass the processor for a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sentinode.train.plan,
            "choose_compute",
            lambda device, precision, threads: choose_compute("cpu", precision, threads),
        )
        yield


def values(result: TuneResult) -> list[tuple[object, ...]]:
    return [(t.state, t.value, *t.params.values()) for t in result.trials]


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
    asked = {"train.epochs": 1, "train.device": "cuda", "tune.pruner": "off"}
    config = changed(quick, asked)
    with with_a_gpu():
        tune(packed, split, config, SPACE, tmp_path, trials=1)
    with pytest.raises(InputError, match="cuda"):
        tune(packed, split, config, SPACE, tmp_path, trials=3)
    with with_a_gpu():
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


@pytest.mark.parametrize(
    "started",
    [
        {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_NNODES": "1"},
        {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"},
        {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"},
    ],
)
def test_processes_that_were_started_to_train_together_are_refused(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: dict[str, str],
) -> None:
    for name, value in started.items():
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


@pytest.mark.parametrize("data", [b'{"my": "results"}', b'{"op": 1}\n{"op"', bytes(range(256))])
def test_a_file_of_somebody_else_is_left_as_it_is(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, data: bytes
) -> None:
    file = tmp_path / "notes.json"
    file.write_bytes(data)
    with pytest.raises(InputError, match="is no study that can be opened"):
        tune(packed, split, quick, SPACE, tmp_path / "out", trials=1, study=file)
    assert file.read_bytes() == data


@pytest.mark.filterwarnings("ignore:The value of `grace_period`")
def test_the_lock_of_a_worker_that_was_killed_is_taken_over(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = changed(quick, {"train.epochs": 1})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(JournalFileSymlinkLock.__init__, "__defaults__", (0.5,))
    tune(packed, split, config, SPACE, Path("out"), trials=1)
    lock = JournalFileSymlinkLock(str(Path("out/study.journal").absolute()))
    lock.acquire()  # by a worker that is gone before it lets go
    result = tune(packed, split, config, SPACE, Path("out"), trials=2)
    assert [t.state for t in result.trials] == ["complete"] * 2


def test_a_finished_study_is_shown_where_no_trial_could_be_trained(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    config = changed(quick, {"train.epochs": 1, "train.device": "cuda"})
    with with_a_gpu():
        tune(packed, split, config, SPACE, tmp_path, trials=1)
    (tmp_path / PAGE_FILE).unlink()
    assert tune(packed, split, config, SPACE, tmp_path, trials=1).best is not None
    assert (tmp_path / PAGE_FILE).is_file()


def test_a_server_that_is_not_named_uses_up_no_trial(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match="no server"):
        tune(packed, split, changed(quick, {"train.log": ["mlflow"]}), SPACE, tmp_path, trials=2)
    assert not list(tmp_path.glob("study*"))


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

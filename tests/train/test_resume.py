"""Interrupted anywhere and started again, a training ends in the bytes of one never interrupted."""

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import sentinode.train.loop
import sentinode.train.stored
import sentinode.train.training
from builders.sets import QUICK, tiny_spec
from sentinode.config import Config, load_config
from sentinode.core import hash_file, hash_json, read_json, write_json
from sentinode.errors import CheckpointError, DiskFullError, InputError
from sentinode.models import Run
from sentinode.tables import PackedSet, Split
from sentinode.train import train
from sentinode.train.stored import moments, restore_moments

SAME = ("spec.json", "model.safetensors", "history.csv", "config.toml")

SCRIPT = """
import sys
from pathlib import Path
from builders.sets import QUICK, tiny_spec
from sentinode.config import load_config
from sentinode.tables import PackedSet, Split
from sentinode.train import train
packed, out = PackedSet.open(Path(sys.argv[1])), Path(sys.argv[2])
split = Split.read(packed.folder / "split.json")
train(packed, split, load_config(None, [*QUICK, *sys.argv[3:]]), out, spec=tiny_spec())
"""


@pytest.fixture
def whole(packed: PackedSet, split: Split, quick: Config, tmp_path: Path) -> Run:
    return train(packed, split, quick, tmp_path / "whole", spec=tiny_spec())


def assert_same(run: Run, whole: Run) -> None:
    for name in SAME:
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    assert not (run.folder / "state").exists()
    assert not list(run.folder.glob(".*.partial*"))


def failing(real: Callable[..., Any], at: int, error: BaseException) -> Callable[..., Any]:
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise error
        return real(*args, **kwargs)

    return call


def interrupted(
    packed: PackedSet,
    split: Split,
    config: Config,
    out: Path,
    at: int = 15,
    *,
    force: bool = False,
    parts: bool = False,
) -> None:
    """Train until Ctrl-C in a step; ``parts`` has every step stored."""
    with pytest.MonkeyPatch.context() as patch:
        if parts:
            patch.setattr(sentinode.train.stored, "SECONDS_BETWEEN_WRITTEN", 0.0)
            patch.setattr(sentinode.train.stored, "TIMES_AS_LONG", 0.0)
        stop = failing(sentinode.train.loop.step_seed, at, KeyboardInterrupt())
        patch.setattr(sentinode.train.loop, "step_seed", stop)
        with pytest.raises(KeyboardInterrupt):
            train(packed, split, config, out, spec=tiny_spec(), force=force)


@pytest.mark.parametrize(
    ("where", "name", "at"),
    [
        (sentinode.train.loop, "step_seed", 1),  # the very first step
        (sentinode.train.loop, "step_seed", 12),  # within the second epoch
        (sentinode.train.loop, "forward", 2),  # before the second validation
        (sentinode.train.stored, "atomic_path", 2),  # before the second epoch's tensors
        (sentinode.train.stored, "write_json", 3),  # between tensors and their record
        (sentinode.train.training, "save_checkpoint", 1),  # all epochs done, nothing written
        (sentinode.train.training, "write_history", 1),  # half of the run written
    ],
)
def test_interrupted_anywhere_it_goes_on(
    packed: PackedSet,
    split: Split,
    quick: Config,
    whole: Run,
    tmp_path: Path,
    where: Any,
    name: str,
    at: int,
) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, failing(getattr(where, name), at, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            train(packed, split, quick, out, spec=tiny_spec())
    assert not (out / "run.json").exists()
    assert_same(train(packed, split, quick, out, spec=tiny_spec()), whole)


def test_killed_it_goes_on(packed: PackedSet, split: Split, quick: Config, tmp_path: Path) -> None:
    config = quick.model_copy(
        update={"train": quick.train.model_copy(update={"epochs": 40, "patience": 40})}
    )
    whole = train(packed, split, config, tmp_path / "whole", spec=tiny_spec())
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, packed.folder, out, "train.epochs=40", "train.patience=40"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.DEVNULL,
    )
    state = out / "state" / "state.json"
    while not state.exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.001)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(json.loads(state.read_text())["history"])
    assert 0 < done < 40
    assert_same(train(packed, split, config, out, spec=tiny_spec()), whole)


@pytest.mark.parametrize("at", [2, 6, 7, 15, 24])
def test_interrupted_within_an_epoch_no_stored_step_is_done_again(
    packed: PackedSet,
    split: Split,
    quick: Config,
    whole: Run,
    tmp_path: Path,
    at: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    interrupted(packed, split, quick, out, at=at, parts=True)
    patches, batch = whole.record.patches["train"], quick.train.batch_size
    steps = math.ceil(patches / batch)
    epoch, before = divmod(at - 1, steps)
    assert len(list((out / "state").glob("*.safetensors"))) == 1  # those before are gone
    real, taken = sentinode.train.loop.step_seed, []
    monkeypatch.setattr(sentinode.train.loop, "step_seed", lambda *a: taken.append(a) or real(*a))
    capsys.readouterr()
    again = train(packed, split, quick, out, spec=tiny_spec())
    assert_same(again, whole)
    assert taken[0] == (quick.train.seed, epoch + 1, before + 1)
    assert len(taken) == quick.train.epochs * steps - (at - 1)
    where = f"in epoch {epoch + 1}, after {before * batch} of {patches} patches"
    assert f"going on {where if before else f'after epoch {epoch}'}" in capsys.readouterr().err


def test_what_a_part_of_an_epoch_took_counts(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    interrupted(packed, split, quick, out, at=4, parts=True)
    values = read_json(out / "state/state.json")
    assert 0 < values["part_s"] < 60
    del values["check"]
    values["part_s"] += 1000
    write_json(out / "state/state.json", values | {"check": hash_json(values)})
    run = train(packed, split, quick, out, spec=tiny_spec())
    assert run.record.timing["first_epoch_s"] > 1000
    assert all(epoch["train_s"] < 1000 for epoch in run.record.timing["epochs"][1:])


def test_a_batch_that_stops_fitting_goes_on_within_the_epoch(
    packed: PackedSet,
    split: Split,
    quick: Config,
    whole: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    interrupted(packed, split, quick, out, at=3, parts=True)
    real, taken = sentinode.train.loop.learn, []

    def asked(job: Any, batch: torch.Tensor, *rest: Any) -> torch.Tensor:
        if len(batch) > 4:
            raise MemoryError
        taken.append(len(batch))
        return real(job, batch, *rest)

    monkeypatch.setattr(sentinode.train.loop, "learn", asked)
    run = train(packed, split, quick, out, spec=tiny_spec())
    patches, epochs = whole.record.patches["train"], quick.train.epochs
    assert sum(taken) == epochs * patches - 2 * quick.train.batch_size
    assert len(run.history()) == epochs
    assert f"train: {epochs * patches} of {epochs * patches} patches" in capsys.readouterr().err


def test_a_full_disk_keeps_the_epochs_before(
    packed: PackedSet, split: Split, quick: Config, whole: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", failing(Path.write_bytes, 3, full))
        with pytest.raises(DiskFullError, match="the disk is full"):
            train(packed, split, quick, out, spec=tiny_spec())
    assert len(json.loads((out / "state" / "state.json").read_text())["history"]) == 2
    assert_same(train(packed, split, quick, out, spec=tiny_spec()), whole)


def test_other_threads_are_said(
    packed: PackedSet, split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(None, [*QUICK, "train.threads=0"])
    before = torch.get_num_threads()
    interrupted(packed, split, config, tmp_path / "run")
    torch.set_num_threads(before + 1)
    try:
        train(packed, split, config, tmp_path / "run", spec=tiny_spec())
    finally:
        torch.set_num_threads(before)
    assert "going on after epoch 2, in another precision or with other" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["state.json", "epoch-0002.safetensors"])
def test_a_damaged_state_is_refused_and_force_starts_over(
    packed: PackedSet, split: Split, quick: Config, whole: Run, tmp_path: Path, file: str
) -> None:
    out = tmp_path / "run"
    interrupted(packed, split, quick, out)
    path = out / "state" / file
    path.write_bytes(path.read_bytes().replace(b"0", b"1"))
    with pytest.raises(CheckpointError, match=r"cannot go on: .* start over with --force"):
        train(packed, split, quick, out, spec=tiny_spec())
    assert_same(train(packed, split, quick, out, spec=tiny_spec(), force=True), whole)


def _of_another_network(tensors: dict[str, torch.Tensor]) -> None:
    name = next(n for n in tensors if n.startswith("kept.") and tensors[n].ndim > 1)
    tensors[name] = tensors[name][:1].clone()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda v, t: v.update(history=[{}, {}]), "its history has other columns"),
        (lambda v, t: v.update(timing=v["timing"][:1]), "its history is not whole"),
        (lambda v, t: v.update(history=7), "it holds another thing"),
        (lambda v, t: v.pop("history"), "it holds another thing"),
        (lambda v, t: v.update(batch_size=0), "batches of 0 patches"),
        (lambda v, t: v.update(batch_size=1000), "batches of 1000 patches"),
        (lambda v, t: v.pop("tensors"), "cannot go on"),
        (lambda v, t: v.pop("made_from"), "state.json was changed"),
        (lambda v, t: [t.pop(n) for n in list(t) if n.startswith("kept.")], "of another network"),
        (lambda v, t: _of_another_network(t), "of another network"),
        (lambda v, t: [t.pop(n) for n in list(t) if n.startswith("opt")], "of other weights"),
        (lambda v, t: t.update({"optimizer.99.x": torch.zeros(1)}), "of other weights"),
        (lambda v, t: t.update({"optimizer.x.x": torch.zeros(1)}), "it holds another thing"),
        (lambda v, t: t.pop(next(n for n in t if n.startswith("model."))), "of another network"),
        (
            lambda v, t: t.pop("part.logits") if v.update(history=[], timing=[]) is None else 0,
            "its history is not whole",
        ),
        (lambda v, t: v.update(part_s="long"), "it holds another thing"),
        (
            lambda v, t: t.update({"part.logits": torch.zeros(7)}),
            "an unfinished epoch of 7 patches",
        ),
        (lambda v, t: t.update({"part.logits": torch.zeros(8000)}), "an unfinished epoch of 8,000"),
        (lambda v, t: t.update({"part.logits": torch.zeros(8, 1)}), "has no logits"),
        (lambda v, t: t.update({"part.logits": torch.zeros(8, dtype=torch.int64)}), "no logits"),
    ],
)
def test_a_state_with_right_checksums_and_wrong_content_is_refused(
    packed: PackedSet,
    split: Split,
    quick: Config,
    whole: Run,
    tmp_path: Path,
    harm: Any,
    said: str,
) -> None:
    out = tmp_path / "run"
    interrupted(packed, split, quick, out, parts=True)
    values = read_json(out / "state/state.json")
    file = out / "state" / values["tensors"]
    tensors = load_file(file)
    del values["check"]
    harm(values, tensors)
    save_file(tensors, file)
    values["sha256"] = hash_file(file)
    write_json(out / "state/state.json", values | {"check": hash_json(values)})
    with pytest.raises(CheckpointError, match="start over with --force") as caught:
        train(packed, split, quick, out, spec=tiny_spec())
    assert said in str(caught.value)
    assert not (out / "run.json").exists()
    assert_same(train(packed, split, quick, out, spec=tiny_spec(), force=True), whole)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN, "check": ""}', "[]", "\xff"])
def test_a_state_that_is_none_is_refused(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, text: str
) -> None:
    (tmp_path / "run/state").mkdir(parents=True)
    (tmp_path / "run/state/state.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"cannot go on: .* start over with --force"):
        train(packed, split, quick, tmp_path / "run", spec=tiny_spec())


def test_files_of_others_stay(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    (out / ".mine.partial").mkdir(parents=True)
    (out / "state").mkdir()
    for name in ("state/notes.txt", "state/old.safetensors", ".my.partial.txt"):
        (out / name).write_text("mine")
    (out / ".history.123.partial.csv").write_text("of a process that was killed")
    train(packed, split, quick, out, spec=tiny_spec())
    train(packed, split, quick, out, spec=tiny_spec(), force=True)
    left = {str(f.relative_to(out)) for f in out.rglob("*") if f.is_file()}
    ours = {"spec.json", "model.safetensors", "history.csv", "config.toml", "run.json", ".lock"}
    assert left - ours == {"state/notes.txt", "state/old.safetensors", ".my.partial.txt"}


def test_a_configuration_of_others_is_not_overwritten(
    packed: PackedSet, split: Split, quick: Config, whole: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.toml").write_text("[train]  # as we always do\nepochs = 3\n")
    with pytest.raises(InputError, match=r"config\.toml is of no run and would be overwritten"):
        train(packed, split, quick, out, spec=tiny_spec())
    assert "as we always do" in (out / "config.toml").read_text()


def test_a_run_of_an_earlier_version_is_started_over(
    packed: PackedSet, split: Split, quick: Config, whole: Run, tmp_path: Path
) -> None:
    out = shutil.copytree(whole.folder, tmp_path / "run")
    (out / "config.toml").write_text("[train]  # its keys were fewer\nepochs = 3\n")
    interrupted(packed, split, quick, out, at=1, force=True)
    assert_same(train(packed, split, quick, out, spec=tiny_spec()), whole)


def test_a_training_goes_on_whose_network_has_weights_that_nothing_uses() -> None:
    def with_unused() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        network = torch.nn.ModuleList([torch.nn.Linear(2, 1), torch.nn.Linear(3, 1)])
        return network, torch.optim.AdamW(network.parameters())

    network, optimizer = with_unused()
    network[0](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    stored = moments(optimizer)
    _, again = with_unused()
    restore_moments(again, stored)
    assert moments(again).keys() == stored.keys()


RECIPES = {
    "everything": (
        "train.optimizer=adamw",
        "train.weight_decay=0.05",
        "train.schedule=cosine",
        "train.warmup_epochs=1",
        "train.accumulate=2",
        "train.label_smoothing=0.1",
        "train.clip=1.0",
        "train.average=0.9",
        "train.keep=last",
        "augment.orientations=all",
        "augment.shift=2",
        "augment.turn=45",
        "augment.zoom=0.1",
        "augment.stain=0.2",
        "augment.light=0.05",
        "augment.mixup=0.4",
    ),
    "others": (
        "train.optimizer=sgd",
        "train.schedule=plateau",
        "train.step_epochs=1",
        "train.loss=focal",
        "train.class_weights=balanced",
        "train.average=0.8",
    ),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("at", [5, 18])
@pytest.mark.parametrize("parts", [False, True])
def test_any_recipe_goes_on_where_it_was(
    packed: PackedSet, split: Split, tmp_path: Path, recipe: str, at: int, parts: bool
) -> None:
    config = load_config(None, [*QUICK, *RECIPES[recipe]])
    whole = train(packed, split, config, tmp_path / "whole", spec=tiny_spec())
    out = tmp_path / "run"
    interrupted(packed, split, config, out, at=at, parts=parts)
    assert_same(train(packed, split, config, out, spec=tiny_spec()), whole)
    kept = whole.record.best_epoch
    assert kept == (
        4 if config.train.keep == "last" else whole.history()["valid_loss"].idxmin() + 1
    )

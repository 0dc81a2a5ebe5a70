"""Pretraining without labels: what comes of it, what it must not see, and how it goes on."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import sentinode.train.contrast
import sentinode.train.pretrain_state
import sentinode.train.pretraining
import sentinode.train.stored
from builders.sets import small_set, small_split
from sentinode.cli.main import app
from sentinode.compare import find_candidates
from sentinode.config import AugmentConfig, Config, changed, load_config
from sentinode.core import hash_file, hash_json, write_json
from sentinode.errors import CheckpointError, DiskFullError, InputError, TrainingError
from sentinode.models import Run, new_network, resolve_run
from sentinode.models.nodenet import nodenet
from sentinode.tables import Manifest, PackedSet, Split
from sentinode.train import pretrain, train
from sentinode.train.contrast import told_apart
from sentinode.train.stored import read_state

TINY = nodenet("nodenet-tiny", (1, 2, 3))
FILES = ("spec.json", "model.safetensors", "config.toml")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    packed = small_set(tmp_path_factory.mktemp("contrast") / "set", 64, size=96)
    small_split(packed)
    return packed


@pytest.fixture
def split(packed: PackedSet) -> Split:
    return Split.read(packed.folder / "split.json")


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(
        Path("nodenet-base-pretrain"),
        [
            "pretrain.epochs=3",
            "pretrain.batch_size=8",
            "pretrain.precision=float32",
            "pretrain.threads=1",
        ],
    )


@pytest.fixture(scope="module")
def whole(packed: PackedSet, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    split = Split.read(packed.folder / "split.json")
    return pretrain(packed, split, config, tmp_path_factory.mktemp("whole"), spec=TINY)


def content(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def test_the_other_picture_is_among_all_but_itself() -> None:
    apart = torch.eye(4).repeat(2, 1)  # four patches, both pictures of each alike
    loss, found = told_apart(apart, temperature=0.5)
    expected = -np.log(np.exp(2) / (np.exp(2) + 6 * np.exp(0)))  # 1 / 0.5 against six of 0
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert float(found) == 1
    wrong = torch.cat([torch.eye(4), torch.eye(4).roll(1, 0)])
    assert float(told_apart(wrong, temperature=0.5)[1]) == 0


def test_it_learns_to_tell_patches_apart(config: Config, tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 64, size=96)
    rng = np.random.default_rng(1)  # each patch a colour of its own
    colours = rng.integers(60, 240, (64, 1, 1, 3)) + rng.integers(-20, 20, packed.images.shape)
    np.save(packed.folder / "images.npy", colours.clip(0, 255).astype(np.uint8))
    packed = PackedSet.open(packed.folder)
    settings = changed(
        config.model_copy(update={"augment": AugmentConfig(shift=2)}),
        {"pretrain.epochs": 6, "pretrain.batch_size": 14, "pretrain.learning_rate": 0.01},
    )
    rows: list[Mapping[str, float]] = []
    split, out = small_split(packed), tmp_path / "run"
    small = nodenet("nodenet-tiny", (2, 4, 8))
    run = pretrain(packed, split, settings, out, spec=small, after_epoch=rows.append)
    assert rows[-1]["loss"] < 2.3  # by chance ln 27 = 3.3, and one of 27 found
    assert rows[-1]["found"] > 0.6
    assert run.record.metrics == {name: rows[-1][name] for name in ("loss", "found")}
    assert run.record.patches == {"train": 28}


def test_labels_change_nothing(whole: Run, config: Config, tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 64, size=96)
    frame = packed.manifest.frame.copy()
    frame["label"] = pd.array(1 - frame["label"], dtype="Int8")
    Manifest.make(frame, {}).write(packed.folder / "manifest.parquet")
    packed = PackedSet.open(packed.folder)
    split = small_split(packed, write=False)
    run = pretrain(packed, split, config, tmp_path / "run", spec=TINY)
    assert content(run.folder) == content(whole.folder)


def stopped_in_step(
    number: int, monkeypatch: pytest.MonkeyPatch, make: Callable[[], object]
) -> None:
    """Make what is interrupted by Ctrl-C in its ``number``-th step, with every step stored."""
    calls: list[int] = []

    def told(projected: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return told_apart(projected, temperature)

    with monkeypatch.context() as patch:
        patch.setattr(sentinode.train.stored, "SECONDS_BETWEEN_WRITTEN", 0.0)
        patch.setattr(sentinode.train.stored, "TIMES_AS_LONG", 0.0)
        patch.setattr(sentinode.train.pretraining, "told_apart", told)
        with pytest.raises(KeyboardInterrupt):
            make()


def stopped_after_an_epoch(packed: PackedSet, split: Split, config: Config, out: Path) -> None:
    def stop(row: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(packed, split, config, out, spec=TINY, after_epoch=stop)


@pytest.mark.parametrize("steps", [(2, 1), (3, 2, 4), (4,), (9,)])
def test_interrupted_in_a_step_it_ends_in_the_same_bytes(
    packed: PackedSet,
    split: Split,
    config: Config,
    whole: Run,
    steps: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    for number in steps:
        stopped_in_step(
            number, monkeypatch, lambda: pretrain(packed, split, config, out, spec=TINY)
        )
        assert not (out / "run.json").exists()
    torch.manual_seed(1)  # what others draw is not its business
    assert content(pretrain(packed, split, config, out, spec=TINY).folder) == content(whole.folder)
    assert f"going on after {sum(steps) - len(steps)} of 9 steps" in capsys.readouterr().err
    assert not (out / "state").exists()


def test_interrupted_between_epochs_and_forced_it_goes_on(
    packed: PackedSet, split: Split, config: Config, whole: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stopped_after_an_epoch(packed, split, config, out)
    begun = read_state(out / "state")["history"]
    run = pretrain(packed, split, config, out, spec=TINY, force=True)
    assert run.record.timing["epochs"][0] == begun[0], "the first epoch was done again"
    assert content(out) == content(whole.folder)


def test_a_state_that_does_not_fit_is_put_away_where_forced(
    packed: PackedSet,
    split: Split,
    config: Config,
    whole: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(sentinode.train.contrast, "HIDDEN", 32)  # as of another version
        stopped_in_step(2, patch, lambda: pretrain(packed, split, config, out, spec=TINY))
    with pytest.raises(CheckpointError, match="start over with --force"):
        pretrain(packed, split, config, out, spec=TINY)
    pretrain(packed, split, config, out, spec=TINY, force=True)
    assert content(out) == content(whole.folder)


def test_memory_that_runs_out_as_it_goes_on_is_no_damage(
    packed: PackedSet,
    split: Split,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    stopped_in_step(2, monkeypatch, lambda: pretrain(packed, split, config, out, spec=TINY))

    def short(optimizer: object, stored: object) -> None:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(sentinode.train.pretrain_state, "restore_moments", short)
        with pytest.raises(TrainingError, match="do not fit in memory"):
            pretrain(packed, split, config, out, spec=TINY)
    assert (out / "state" / "state.json").is_file()


def test_another_precision_is_said(
    packed: PackedSet,
    split: Split,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    stopped_in_step(2, monkeypatch, lambda: pretrain(packed, split, config, out, spec=TINY))
    state = out / "state" / "state.json"
    values = read_state(state.parent)
    values["compute"]["precision"] = "bfloat16"
    write_json(state, values | {"check": hash_json(values)})
    pretrain(packed, split, config, out, spec=TINY)
    assert "in another precision or with other threads" in capsys.readouterr().err


def test_weights_that_are_no_numbers_are_not_stored(
    packed: PackedSet,
    split: Split,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def poisoned(projected: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        loss, found = told_apart(projected, temperature)
        hook = projected.register_hook(lambda gradient: gradient * torch.nan)  # loss is a number
        assert hook is not None
        return loss, found

    monkeypatch.setattr(sentinode.train.pretraining, "told_apart", poisoned)
    one = changed(config, {"pretrain.epochs": 1, "pretrain.batch_size": 28})  # a single step
    with pytest.raises(TrainingError, match=r"smaller pretrain\.learning_rate"):
        pretrain(packed, split, one, tmp_path / "run", spec=TINY)
    assert not (tmp_path / "run" / "state").exists()


def test_a_full_disk_loses_no_finished_epoch(
    packed: PackedSet,
    split: Split,
    config: Config,
    whole: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, write = tmp_path / "run", sentinode.train.stored.write_json
    written: list[Path] = []

    def full(path: Path, values: object) -> None:
        written.append(path)
        if len(written) == 2:
            raise DiskFullError("no room")
        write(path, values)

    monkeypatch.setattr(sentinode.train.stored, "write_json", full)
    with pytest.raises(DiskFullError):
        pretrain(packed, split, config, out, spec=TINY)
    told: list[Mapping[str, float]] = []
    pretrain(packed, split, config, out, spec=TINY, after_epoch=told.append)
    assert len(told) == 3
    assert len(written) == 4, "the first epoch was done again"
    assert content(out) == content(whole.folder)


def test_a_finished_one_is_kept_and_another_refused(
    packed: PackedSet, split: Split, config: Config, whole: Run
) -> None:
    before = hash_file(whole.folder / "run.json")
    pretrain(packed, split, config, whole.folder, spec=TINY)
    assert hash_file(whole.folder / "run.json") == before
    other = config.model_copy(update={"pretrain": config.pretrain.model_copy(update={"seed": 1})})
    with pytest.raises(InputError, match=r"made otherwise \(pretrain.seed\)"):
        pretrain(packed, split, other, whole.folder, spec=TINY)


def test_a_damaged_state_is_refused(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stopped_after_an_epoch(packed, split, config, out)
    (tensors,) = (out / "state").glob("*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="start over with --force"):
        pretrain(packed, split, config, out, spec=TINY)
    run = pretrain(packed, split, config, out, spec=TINY, force=True)
    assert len(run.record.timing["epochs"]) == 3


def test_training_starts_from_it_and_nothing_else_takes_it(
    packed: PackedSet, split: Split, whole: Run, tmp_path: Path
) -> None:
    start = f"train.start={whole.folder}"
    settings = load_config(None, [start, "train.epochs=1", "train.precision=float32"])
    run = train(packed, split, settings, tmp_path / "run", spec=TINY)
    assert run.record.provenance.inputs["start"] == whole.weights_hash
    with pytest.raises(InputError, match="has learnt no label yet; train from it"):
        resolve_run(str(whole.folder))
    teacher = load_config(None, [f'train.teachers=["{whole.folder}"]'])
    with pytest.raises(InputError, match="has learnt no label yet"):
        train(packed, split, teacher, tmp_path / "taught", spec=TINY)


def test_the_last_layer_is_as_it_was_drawn_and_features_are_not(whole: Run, config: Config) -> None:
    drawn = new_network(whole.spec, config.pretrain.seed).state_dict()
    for name, tensor in whole.load().state_dict().items():
        same = bool((tensor == drawn[name]).all())
        assert same == (name.startswith("head.") or tensor.ndim == 0), name


def test_patches_left_out_are_not_shown(config: Config, tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 64, size=96)
    rng = np.random.default_rng(2)
    shown = pretrain(packed, small_split(packed), config, tmp_path / "one", spec=TINY)
    images = np.array(packed.images)
    outside = ~small_split(packed).folds_of(packed.manifest.frame["id"]).isin(["train"])
    images[outside] = rng.integers(0, 256, images[outside].shape)
    np.save(packed.folder / "images.npy", images)
    packed = PackedSet.open(packed.folder)
    again = pretrain(packed, small_split(packed), config, tmp_path / "two", spec=TINY)
    assert content(again.folder) == content(shown.folder)


def test_a_comparison_of_a_folder_passes_it_over(
    packed: PackedSet, split: Split, whole: Run, tmp_path: Path
) -> None:
    copy = tmp_path / "runs" / "start"
    shutil.copytree(whole.folder, copy)
    with pytest.raises(InputError, match="has learnt no label yet"):
        find_candidates([str(copy)])
    with pytest.raises(InputError, match="has learnt no label yet"):
        find_candidates([str(copy.parent)])
    settings = load_config(None, ["train.epochs=1", "train.precision=float32"])
    run = train(packed, split, settings, copy.parent / "run", spec=TINY)
    found = find_candidates([str(copy.parent)])
    assert [c.run.folder for c in found if c.run is not None] == [run.folder]


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (["model.name=baseline-colour"], InputError, "not pretrained, a nodenet is"),
        (["pretrain.batch_size=64"], TrainingError, "train has 28 patches, fewer than a batch"),
        (["pretrain.learning_rate=1e30"], TrainingError, "smaller pretrain.learning_rate"),
    ],
)
def test_bad_input(
    packed: PackedSet,
    split: Split,
    config: Config,
    overrides: list[str],
    error: type[Exception],
    words: str,
    tmp_path: Path,
) -> None:
    settings = changed(config, dict(o.split("=", 1) for o in overrides))
    with pytest.raises(error, match=words):
        pretrain(
            packed,
            split,
            settings,
            tmp_path / "run",
            spec=None if "model" in overrides[0] else TINY,
        )


def test_pictures_that_do_not_differ_are_refused(
    packed: PackedSet, split: Split, config: Config, tmp_path: Path
) -> None:
    plain = config.model_copy(update={"augment": load_config(None, ["augment.mixup=1"]).augment})
    with pytest.raises(InputError, match="augment changes nothing"):
        pretrain(packed, split, plain, tmp_path / "run", spec=TINY)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_fit_is_said(
    packed: PackedSet,
    split: Split,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def short(projected: torch.Tensor, temperature: float) -> None:
        raise MemoryError

    monkeypatch.setattr(sentinode.train.pretraining, "told_apart", short)
    with pytest.raises(TrainingError, match=r"8 patches do not fit .* smaller pretrain.batch_size"):
        pretrain(packed, split, config, tmp_path / "run", spec=TINY)


def test_the_command(packed: PackedSet, tmp_path: Path) -> None:
    out = tmp_path / "start"
    command = ["pretrain", str(packed.folder), "--out", str(out)]
    assert "augment changes nothing" in str(CliRunner().invoke(app, command).exception)
    sets = ["model.name=nodenet-small", "pretrain.epochs=1", "pretrain.batch_size=14"]
    options = [part for each in sets for part in ("--set", each)]
    done = CliRunner().invoke(app, [*command, "--config", "nodenet-base-pretrain", *options])
    assert done.exit_code == 0
    assert f"train from it with --set train.start={out}" in done.output
    predict = ["predict", str(out), str(packed.folder), "--out", str(tmp_path / "p.csv")]
    assert "has learnt no label yet" in str(CliRunner().invoke(app, predict).exception)
    table = tmp_path / "mine.csv"
    table.write_text("id,label,probability\na,0,0.2\nb,1,0.7\nc,0,0.1\nd,1,0.9\n")
    evaluate = ["evaluate", str(table), "--run", str(out), "--out", str(tmp_path / "report")]
    assert "has learnt no label yet" in str(CliRunner().invoke(app, evaluate).exception)
    export = ["export", str(out), "--force", "--format", "torchscript"]
    assert "has learnt no label yet" in str(CliRunner().invoke(app, export).exception)

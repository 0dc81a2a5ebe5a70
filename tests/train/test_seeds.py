import json
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from typer.testing import CliRunner

import sentinode.train.seeds
from builders.sets import QUICK, small_set, small_split, tiny_spec
from sentinode.cli.main import app
from sentinode.config import Config, changed
from sentinode.errors import ConfigError, InputError
from sentinode.models import Run
from sentinode.tables import PackedSet, Split
from sentinode.train import mean_and_deviation, train, train_seeds


def test_each_seed_is_an_ordinary_run_and_the_spread_is_numpys(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    runs = train_seeds(packed, split, quick, out, 3, spec=tiny_spec())
    assert [run.folder.name for run in runs] == ["seed-42", "seed-43", "seed-44"]
    one = quick.model_copy(update={"train": quick.train.model_copy(update={"seed": 43})})
    alone = train(packed, split, one, tmp_path / "alone", spec=tiny_spec())
    assert alone.weights_hash == runs[1].weights_hash
    assert len({run.weights_hash for run in runs}) == 3
    losses = [run.history()["valid_loss"].min() for run in runs]
    mean, deviation = mean_and_deviation(runs, "valid_loss")
    assert (mean, deviation) == pytest.approx((np.mean(losses), np.std(losses, ddof=1)))
    written = json.loads((out / "seeds.json").read_text())
    assert written["standard_deviation"]["valid_loss"] == deviation
    assert written["mean"]["valid_loss"] == fmean(losses)
    stamps = [(run.folder / "run.json").stat().st_mtime_ns for run in runs]
    more = train_seeds(packed, split, quick, out, 4, spec=tiny_spec())
    assert [(run.folder / "run.json").stat().st_mtime_ns for run in more[:3]] == stamps


def test_forced_and_cut_short_the_seeds_that_are_done_stay_done(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, spec = tmp_path / "runs", tiny_spec()
    old = train_seeds(packed, split, quick, out, 3, spec=spec)
    stamps = [(run.folder / "run.json").stat().st_mtime_ns for run in old]
    trained: list[str] = []

    def cut_short(*args: object, **kwargs: object) -> Run:
        trained.append(Path(str(args[3])).name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(sentinode.train.seeds, "train", cut_short)
    with pytest.raises(KeyboardInterrupt):
        train_seeds(packed, split, quick, out, 3, spec=spec, force=True)
    first = (out / "seed-42" / "run.json").stat().st_mtime_ns
    assert first > stamps[0]
    new = train_seeds(packed, split, quick, out, 3, spec=spec, force=True)
    again = [(run.folder / "run.json").stat().st_mtime_ns for run in new]
    assert again[0] == first
    assert again[1] > stamps[1]
    assert again[2] > stamps[2]
    train_seeds(packed, split, quick, out, 3, spec=spec, force=True)  # a new command, all over
    assert (out / "seed-42" / "run.json").stat().st_mtime_ns > first
    assert sorted(path.name for path in out.glob("*.json")) == ["seeds.json"]


@pytest.mark.parametrize("harm", ["another plan", "a damaged record"])
def test_force_starts_over_what_is_not_of_this_series(
    packed: PackedSet,
    split: Split,
    quick: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: str,
) -> None:
    out, spec = tmp_path / "runs", tiny_spec()

    def cut_short(*args: object, **kwargs: object) -> Run:
        if Path(str(args[3])).name == "seed-43":
            raise KeyboardInterrupt
        return train(*args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(sentinode.train.seeds, "train", cut_short)
        with pytest.raises(KeyboardInterrupt):
            train_seeds(packed, split, quick, out, 2, spec=spec, force=True)
    config = quick
    if harm == "another plan":
        config = changed(quick, {"train.epochs": 2})
    else:
        (out / "seed-42" / "run.json").write_text("{")
    runs = train_seeds(packed, split, config, out, 2, spec=spec, force=True)
    assert [len(run.history()) for run in runs] == [config.train.epochs] * 2


def test_what_is_no_number_of_seeds_or_no_place_for_them_is_refused(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="at least 1, got 0"):
        train_seeds(packed, split, quick, tmp_path / "runs", 0, spec=tiny_spec())
    last = changed(quick, {"train.seed": 2**32 - 1})
    with pytest.raises(ConfigError, match=r"train\.seed"):
        train_seeds(packed, split, last, tmp_path / "runs", 2, spec=tiny_spec())
    assert not (tmp_path / "runs").exists()  # nothing was trained in vain
    train(packed, split, quick, tmp_path / "one", spec=tiny_spec())
    with pytest.raises(InputError, match="holds a run of one seed"):
        train_seeds(packed, split, quick, tmp_path / "one", 2, spec=tiny_spec())


def test_the_command_says_mean_and_deviation(tmp_path: Path) -> None:
    small_split(small_set(tmp_path / "set", 32, size=96))
    settings = [word for key in (*QUICK, "model.name=gray-no-dense") for word in ("--set", key)]
    command = ["train", tmp_path / "set", "--out", tmp_path / "runs", "--seeds", 2, *settings]
    result = CliRunner().invoke(app, [*map(str, command), "--epochs", "1"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "2 seeds, mean and standard deviation on validation patches:" in result.output
    both = json.loads((tmp_path / "runs/seeds.json").read_text())
    mean, spread = both["mean"]["valid_auc"], both["standard_deviation"]["valid_auc"]
    assert f"AUC      {mean:.4f} ± {spread:.4f}" in result.output


def test_a_damaged_note_of_forced_seeds_is_refused_and_else_not_read(
    packed: PackedSet, split: Split, quick: Config, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    out.mkdir()
    (out / "seeds.partial.json").write_text("[1]")
    with pytest.raises(InputError, match=r"seeds\.partial\.json was changed; remove it"):
        train_seeds(packed, split, quick, out, 1, spec=tiny_spec(), force=True)
    assert len(train_seeds(packed, split, quick, out, 1, spec=tiny_spec())) == 1

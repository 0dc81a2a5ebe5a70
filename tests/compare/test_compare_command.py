"""Runs are predicted once, compared, and a learning curve is trained once, by the commands."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from builders.sets import small_set, small_split, tiny_spec
from sentinode.cli.compare import compare_command
from sentinode.compare import (
    common_patches,
    find_candidates,
    learning_curve,
    predicted,
)
from sentinode.compare.once import predict_once
from sentinode.config import Config, PredictConfig, TrainConfig, load_config
from sentinode.core import provenance
from sentinode.data import propose
from sentinode.errors import InputError
from sentinode.predict import predict_set
from sentinode.tables import Calibration, Predictions, Split
from sentinode.train import train
from sentinode.types import Fold


def test_the_command_predicts_once_and_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = small_set(tmp_path / "set", 120)
    split = small_split(packed)
    quick = Config(train=TrainConfig(epochs=1, threads=1, precision="float32"))
    for name, seed in (("one", 1), ("two", 2)):
        config = quick.model_copy(update={"train": quick.train.model_copy(update={"seed": seed})})
        train(packed, split, config, tmp_path / "runs" / name, spec=tiny_spec())
    runs, out = [str(tmp_path / "runs")], tmp_path / "out"
    compare_command(out, runs, packed.folder, overrides=["evaluate.resamples=100"])
    said = capsys.readouterr().out
    assert "2 runs in 1 group, compared" in said
    assert "Research use only" in said
    table = pd.read_parquet(out / "probabilities.parquet")
    again = pd.read_csv(out / "runs.csv").set_index("name")["test_auc"]
    for name in ("one", "two"):
        assert roc_auc_score(table["label"], table[name]) == pytest.approx(again[name])
    kept = sorted((out / "predictions").iterdir())
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    predicted_again = predicted(find_candidates(runs), packed, Config(), out / "predictions")
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert all(each.predictions is not None for each in predicted_again)


def test_kept_predictions_are_made_again_when_what_shapes_them_changed(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 120)
    quick = Config(train=TrainConfig(epochs=1, threads=1, precision="float32"))
    run = train(packed, small_split(packed), quick, tmp_path / "run", spec=tiny_spec())
    candidates, kept = find_candidates([str(run.folder)]), tmp_path / "kept"

    def probabilities(config: Config = quick) -> np.ndarray:
        found = predicted(candidates, packed, config, kept)[0].predictions
        assert found is not None
        return found.frame["probability"].to_numpy()

    first = probabilities()
    turned = quick.model_copy(update={"predict": PredictConfig(d4=True)})
    assert not np.allclose(probabilities(turned), first)
    np.testing.assert_array_equal(probabilities(), first)
    Calibration(
        method="temperature",
        slope=3.0,
        weights_sha256=run.weights_hash,
        fitted_on="valid",
        patches=9,
        before={},
        after={},
        provenance=provenance("calibrate"),
    ).write(run.folder)
    odds = np.log(first / (1 - first))
    np.testing.assert_allclose(probabilities(), 1 / (1 + np.exp(-3 * odds)), rtol=1e-4)
    other = small_split(packed, write=False)
    units = dict(other.units)
    units["train"], units["test"] = other.units["test"], other.units["train"]
    other.model_copy(update={"units": units}).write(packed.folder / "split.json")
    with pytest.raises(InputError, match="trained on another split"):
        probabilities()


def test_predictions_of_one_run_are_not_dropped_and_those_of_another_set_not_taken(
    tmp_path: Path,
) -> None:
    packed, other = (small_set(tmp_path / name, 120, seed=n) for n, name in enumerate("ab"))
    split = small_split(packed)
    small_split(other)
    quick = Config(train=TrainConfig(epochs=1, threads=1, precision="float32"))
    run = train(packed, split, quick, tmp_path / "run", spec=tiny_spec())
    for name, config in (("plain", quick), ("d4", Config(predict=PredictConfig(d4=True)))):
        predict_set(run, packed, config, ["test"]).write(tmp_path / f"{name}.parquet")
    both = [str(tmp_path / f"{name}.parquet") for name in ("plain", "d4")]
    assert [each.name for each in find_candidates([], both)] == ["plain", "d4"]
    with pytest.raises(InputError, match="plain and d4 are predictions of the same run"):
        find_candidates([str(run.folder)], both)
    given = find_candidates([str(run.folder)], both[:1])
    assert predicted(given, other, quick, tmp_path / "kept") == given  # as it was asked for
    shutil.copy(both[0], run.folder / "predictions.parquet")
    given = find_candidates([str(run.folder)])
    kept = predicted(given, packed, quick, tmp_path / "kept")
    assert kept[0].predictions is given[0].predictions
    anew = predicted(given, other, quick, tmp_path / "kept")[0].predictions
    assert anew is not None
    assert anew.note["provenance"]["inputs"]["input"] == other.meta.content_hash


def test_folds_of_the_set_count_where_predictions_have_none(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 120)
    split = small_split(packed)
    table = packed.manifest.frame[["id"]].assign(probability=0.5)
    table.loc[::3, "probability"] = 0.6
    table.to_csv(tmp_path / "a.csv", index=False)
    common = common_patches(find_candidates([], [str(tmp_path / "a.csv")]), packed)
    assert set(common.ids) == ids_of(split, "test")
    assert "of fold test" in common.said
    assert any("Folds of a are the set's" in warning for warning in common.warnings)


def test_a_calibration_of_as_many_knots_is_another_one(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 120)
    quick = Config(train=TrainConfig(epochs=1, threads=1, precision="float32"))
    run = train(packed, small_split(packed), quick, tmp_path / "run", spec=tiny_spec())
    found = []
    for high in (0.7, 0.9):
        Calibration(
            method="isotonic",
            weights_sha256=run.weights_hash,
            fitted_on="valid",
            patches=9,
            before={},
            after={},
            knots=((-1.0, 0.1), (1.0, high)),
            provenance=provenance("calibrate"),
        ).write(run.folder)
        made = predict_once(tmp_path / "p.parquet", run, packed, quick)
        found.append(made.frame["probability"].max())
    assert found[0] < found[1]


def test_a_learning_curve_is_trained_once_and_goes_on(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 160, size=96)
    overrides = ["train.threads=1", "train.precision=float32", "train.epochs=1"]
    overrides += ["model.name=gray-no-128", "split.by=random"]
    config = load_config(None, [*overrides, "evaluate.resamples=100"])
    said: list[str] = []
    first = learning_curve(packed, config, [40, 20], tmp_path / "out", say=said.append)
    assert said == ["1 of 2: 20 patches, seed 42", "2 of 2: 40 patches, seed 42"]
    assert [point.patches for point in first.curves] == [20, 40]
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.parquet")}
    assert len(made) == 2
    assert learning_curve(packed, config, [20, 40], tmp_path / "out", say=said.append) == first
    assert made == {path: path.stat().st_mtime_ns for path in made}
    with pytest.raises(InputError, match="two sizes or more"):
        learning_curve(packed, config, [20], tmp_path / "other")
    with pytest.raises(InputError, match="asked for 900"):
        learning_curve(packed, config, [900, 950], tmp_path / "other")


def test_all_seeds_of_a_learning_curve_are_scored_on_the_whole_fold(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 160, size=96)
    overrides = ["train.threads=1", "train.precision=float32", "train.epochs=1"]
    overrides += ["model.name=gray-no-128", "split.by=random", "evaluate.resamples=100"]
    config = load_config(None, overrides)
    found = learning_curve(packed, config, [10, 20], tmp_path / "out", seeds=2, say=lambda _: None)
    assert found.patches == len(ids_of(propose(packed, config.split), "test"))
    assert not any(warning.startswith("Only the") for warning in found.warnings)
    assert [group.draws for group in found.groups] == [2, 2]
    path = next((tmp_path / "out").glob("gray-no-128-10/seed-43/predictions.parquet"))
    kept = Predictions.read(path)
    Predictions(kept.frame.assign(probability=0.5), {**kept.note, "made_from": "other"}).write(path)
    again = learning_curve(packed, config, [10, 20], tmp_path / "out", seeds=2, say=lambda _: None)
    assert again == found


def ids_of(split: Split, fold: Fold) -> set[str]:
    return {patch for unit in split.units[fold].values() for patch in unit}

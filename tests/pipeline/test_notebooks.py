import json
import math
from pathlib import Path

import pandas as pd
import pytest

from builders.sets import small_set
from sentinode.config import config_names, load_config
from sentinode.data import propose
from sentinode.errors import InputError
from sentinode.models import descriptive_name, spec, summarise
from sentinode.pipeline import EXPERIMENTS, reproduce
from sentinode.pipeline.notebooks import _scaled
from sentinode.tables import Split

EXPERIMENTS_BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}


@pytest.mark.parametrize("name", config_names())
def test_every_shipped_configuration_is_loaded_and_names_a_network(name: str) -> None:
    config = load_config(Path(name))
    assert summarise(spec(config.model.name)).parameters > 1000


def test_names_are_derived_from_the_spec() -> None:
    def name(model: str) -> str:
        return descriptive_name(spec(model), "adam")

    assert name("baseline-colour") == "CNN_96x96x3_C32-32-64-64-128-128_FC64-1-GAP_relu_296K_adam"
    assert name("gray-kernel-5") == "CNN_96x96x1_C32-32-64-64-128-128k5_FC64-1-GAP_relu_558K_adam"
    assert name("gray-no-dense") == "CNN_96x96x1_C32-32-64-64-128-128_FC1-GAP_relu_287K_adam"
    assert name("flat-32-64") == "CNN_96x96x3_C32-64_FC60-30-1_relu_8869K_adam"
    assert name("nodenet-base").startswith("CNN_96x96x3_nodenet-base_")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("first-colour", 296_225),
        ("first-gray", 295_649),
        ("first-gray-kernel-5", 557_793),
        ("first-gray-256", 1_190_113),
        ("first-gray-no-128", 69_601),
        ("first-gray-no-dense", 287_457),
        ("first-gray-dropout-30", 295_649),
        ("second-large", 8_868_929),
        ("second-small", 2_212_925),
        ("second-small-slow", 2_212_925),
    ],
)
def test_the_experiments_count_as_keras_counts(name: str, parameters: int) -> None:
    assert summarise(spec(load_config(Path(name)).model.name)).parameters == parameters


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("first-colour", (32, 30, 10, 1e-3, "best", "one")),
        ("first-gray", (32, 30, 10, 1e-3, "best", "one")),
        ("first-gray-256", (32, 30, 5, 1e-3, "best", "one")),
        ("first-gray-whole-set", (16, 30, 5, 1e-3, "best", "one")),
        ("second-large", (32, 10, None, 1e-3, "last", "flips")),
        ("second-large-slow", (32, 10, None, 1e-4, "last", "flips")),
        ("second-small-slow", (32, 10, None, 1e-4, "last", "flips")),
    ],
)
def test_the_recipes_are_the_notebooks(name: str, recipe: tuple[object, ...]) -> None:
    config = load_config(Path(name))
    train = config.train
    found = (train.batch_size, train.epochs, train.patience, train.learning_rate, train.keep)
    assert (*found, config.augment.orientations) == recipe
    assert train.optimizer == "adam"


@pytest.mark.parametrize(
    ("name", "scale", "train", "valid"),
    [
        ("first-colour", 0.002, {0: 18, 1: 18}, {0: 2, 1: 2}),
        ("second-small", 0.0004, {0: 29, 1: 29}, {0: 7, 1: 7}),
        ("second-small", 1.0, {0: 136, 1: 136}, {0: 34, 1: 34}),  # all there are
    ],
)
def test_as_many_patches_teach_and_choose_as_the_notebooks(
    tmp_path: Path, name: str, scale: float, train: dict[int, int], valid: dict[int, int]
) -> None:
    packed = small_set(tmp_path / "set", 480, size=8)
    overrides = ["split.by=random"]
    split = propose(
        packed, _scaled(EXPERIMENTS_BY_NAME[name], packed, scale, None, overrides).split
    )
    labels = packed.manifest.frame.set_index("id")["label"]
    for fold, expected in (("train", train), ("valid", valid)):
        ids = [patch for unit in split.units[fold].values() for patch in unit]  # type: ignore[index]
        counts = labels.loc[ids].value_counts().to_dict()
        assert counts == pytest.approx(expected, abs=1), fold


def test_of_the_whole_set_a_scale_takes_a_share_of_what_teaches(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 480, size=8)
    experiment, overrides = EXPERIMENTS_BY_NAME["first-gray-whole-set"], ["split.by=random"]
    counts = []
    for scale in (1.0, 0.9, 0.5):
        split = propose(packed, _scaled(experiment, packed, scale, None, overrides).split)
        counts.append(sum(len(unit) for unit in split.units["train"].values()))
    assert counts[1:] == [math.ceil(0.9 * counts[0]), math.ceil(0.5 * counts[0])]


def test_all_experiments_have_their_configuration() -> None:
    names = {experiment.name for experiment in EXPERIMENTS}
    assert names <= set(config_names())
    assert len([e for e in EXPERIMENTS if e.published]) == 11


def test_experiments_run_resume_and_fill_their_tables(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 120, size=96)
    again = ["train.threads=1", "train.precision=float32"]
    only = ["first-gray-no-128", "second-small"]
    written = reproduce(
        packed, tmp_path / "out", scale=0.002, epochs=1, seeds=2, names=only[:1], overrides=again
    )
    assert [path.name for path in written] == ["first.csv", "first.md"]
    seeds = pd.read_csv(tmp_path / "out" / "first.csv")
    assert seeds["seed"].tolist() == [42, 43]
    assert seeds["test_auc"].nunique() == 2
    mean, spread = seeds["test_auc"].mean(), seeds["test_auc"].std()
    assert f" {mean:.3f} ± {spread:.3f} |" in (tmp_path / "out" / "first.md").read_text()
    splits = [
        Split.read(tmp_path / "out" / only[0] / f"seed-{seed}" / "split.json") for seed in (42, 43)
    ]
    assert [split.seed for split in splits] == [42, 42]
    assert [split.provenance.seeds.get("draw") for split in splits] == [None, 43]
    assert splits[0].units["test"] == splits[1].units["test"]
    assert splits[0].units["valid"] == splits[1].units["valid"]
    assert splits[0].units["train"] != splits[1].units["train"]
    finished = (tmp_path / "out" / only[0] / "seed-42" / "result.json").stat().st_mtime_ns
    said: list[str] = []
    written = reproduce(
        packed,
        tmp_path / "out",
        scale=0.002,
        epochs=1,
        names=only,
        overrides=again,
        say=said.append,
    )
    assert [path.name for path in written] == ["first.csv", "first.md", "second.csv", "second.md"]
    assert "set was not audited, so that bad patches" in said[0]
    assert said[1] == "1 of 2: first-gray-no-128, without the block of 128, seed 42"
    assert (tmp_path / "out" / only[0] / "seed-42" / "result.json").stat().st_mtime_ns == finished
    table = pd.read_csv(tmp_path / "out" / "first.csv")
    row = table.iloc[0]
    assert row["experiment"] == "first-gray-no-128"
    assert row["parameters"] == 69_601
    assert row["published_private"] == 0.8211
    result = json.loads((tmp_path / "out" / "second-small" / "seed-42" / "result.json").read_text())
    assert result["figures"]["test_auc"] is not None
    split = Split.read(tmp_path / "out" / "second-small" / "seed-42" / "split.json")
    assert result["figures"]["patches"] == sum(len(u) for u in split.units["train"].values())
    text = (tmp_path / "out" / "first.md").read_text()
    assert "| without the block of 128 | 42 | 69,601 |" in text
    assert not (packed.folder / "split.json").exists()


def test_bad_questions_are_answered(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", size=96)
    with pytest.raises(InputError, match="scale is above 0"):
        reproduce(packed, tmp_path / "out", scale=0)
    with pytest.raises(InputError, match="epochs are at least 1, got 0"):
        reproduce(packed, tmp_path / "out", epochs=0)
    with pytest.raises(InputError, match="seeds is how often"):
        reproduce(packed, tmp_path / "out", seeds=0)
    with pytest.raises(InputError, match=r"unknown experiment 'first-grey'.*first-gray"):
        reproduce(packed, tmp_path / "out", names=["first-grey"])

import json
from pathlib import Path

import pandas as pd
import pytest

from builders.sets import small_set
from sentinode.config import config_names, load_config
from sentinode.errors import InputError
from sentinode.models import descriptive_name, spec, summarise
from sentinode.pipeline import EXPERIMENTS, reproduce
from sentinode.tables import Split


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
    assert said[0] == "1 of 2: first-gray-no-128, without the block of 128, seed 42"
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
    with pytest.raises(InputError, match="seeds is how often"):
        reproduce(packed, tmp_path / "out", seeds=0)
    with pytest.raises(InputError, match=r"unknown experiment 'first-grey'.*first-gray"):
        reproduce(packed, tmp_path / "out", names=["first-grey"])

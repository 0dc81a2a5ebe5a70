from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from sentinode.config import Config
from sentinode.errors import ConfigError, MissingInputError
from sentinode.tune import parse_space, read_space
from sentinode.tune.space import check_space

SPACE = """
[train]
learning_rate = "log:1e-4..1e-2"
batch_size = "int:16..128:16"
optimizer = ["adam", "sgd"]
patience = ["none", 3]

[augment]
stain = "float:0..0.2"
shift = "logint:1..16"
"""


def test_a_file_and_options_give_the_same_values(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(SPACE)
    expected = {
        "train.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "train.batch_size": IntDistribution(16, 128, step=16),
        "train.optimizer": CategoricalDistribution(["adam", "sgd"]),
        "train.patience": CategoricalDistribution(["none", 3]),
        "augment.stain": FloatDistribution(0, 0.2),
        "augment.shift": IntDistribution(1, 16, log=True),
    }
    assert read_space(tmp_path / "space.toml") == expected
    texts = [
        "train.learning_rate=log:1e-4..1e-2",
        "train.batch_size=int:16..128:16",
        "train.optimizer=adam,sgd",
        "train.patience=none,3",
        "augment.stain=float:0..0.2",
        "augment.shift=logint:1..16",
    ]
    assert parse_space(texts) == expected
    check_space(expected, Config())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.learning_rate", "SECTION.KEY=VALUES"),
        ("learning_rate=log:1..2", "SECTION.KEY=VALUES"),
        ("train.learning_rate=log:1e-2..1e-4", "no range"),
        ("train.learning_rate=log:0..1", "no range"),
        ("train.batch_size=int:1.5..2", "no range"),
        ("train.optimizer=adam", "expected values to try"),
        ("train.learning_rate=log:1e-4", "expected values to try"),
    ],
)
def test_what_is_no_range_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_space([text])


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "nothing to try"),
        (["predict.batch_size=int:1..8"], "does not shape a training"),
        (["train.learning_rat=log:1e-4..1e-2"], "learning_rate"),
        (["train.optimizer=adam,lion"], "lion"),
        (["augment.shift=int:0..20"], "augment.shift = 20"),
        (["train.batch_size=log:16..128"], "takes whole numbers; give its range as int"),
        (["train.patience=float:1..4"], "takes whole numbers"),
    ],
)
def test_a_space_that_cannot_be_trained_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_space(parse_space(texts), Config())


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no file"):
        read_space(tmp_path / "space.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_space(tmp_path)
    (tmp_path / "space.toml").write_text("train = 3")
    with pytest.raises(ConfigError, match="no section"):
        read_space(tmp_path / "space.toml")
    (tmp_path / "space.toml").write_text("[train")
    with pytest.raises(ConfigError, match="not TOML"):
        read_space(tmp_path / "space.toml")

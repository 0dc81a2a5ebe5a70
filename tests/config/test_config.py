import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from sentinode.config import Config, Section, commented_toml, load_config, resolved_toml
from sentinode.errors import ConfigError, MissingInputError

ROOT = Path(__file__).parents[2]


def test_defaults_then_file_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[train]\nepochs = 3\nbatch_size = 8\n")
    config = load_config(file, ["train.epochs=5", "split.by=random", "train.patience=none"])
    assert (config.train.epochs, config.train.batch_size) == (5, 8)
    assert config.split.by == "random"
    assert config.train.patience is None


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epoch=3", "did you mean 'train.epochs'"),
        ("trian.epochs=3", "did you mean 'train'"),
        ("train.epochs", "expects section.key=value"),
        ("train.epochs=0", "greater than or equal to 1"),
        ("train.epochs=many", "valid integer"),
        ("split.by=hospital", "'auto', 'official'"),
        ("train.learning_rate=nan", "finite number"),
        ("audit.blur_sharpness=inf", "finite number"),
    ],
)
def test_a_wrong_override_is_named(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(None, [override])


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    with pytest.raises(MissingInputError, match="no configuration file"):
        load_config(file)
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)
    file.write_text("[train\n")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(file)
    file.write_text("[train]\nbatchsize = 3\n")
    with pytest.raises(ConfigError, match=r"did you mean 'train\.batch_size'"):
        load_config(file)


def test_the_written_forms_read_back(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(commented_toml())
    assert load_config(file) == Config()
    changed = load_config(None, ["train.epochs=7", "pack.resize=64", "train.patience=none"])
    file.write_text(resolved_toml(changed))
    assert load_config(file) == changed
    file.write_text(resolved_toml(changed, ["train"]))
    assert load_config(file).train == changed.train
    assert load_config(file).pack == Config().pack


def test_every_key_says_what_it_means() -> None:
    text = commented_toml()
    for name, field in Config.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        for key, inner in section.model_fields.items():
            assert inner.description, f"{name}.{key} has no description"
            assert f"{key} =" in text


def test_frozen_and_fingerprint_without_speed() -> None:
    config = load_config(None, ["pack.workers=7"])
    assert config.pack.fingerprint() == Config().pack.fingerprint()
    assert config.pack.settings() != Config().pack.settings()
    with pytest.raises(ValidationError):
        config.pack.workers = 3


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "configs").glob("*.toml"), *(ROOT / "src").rglob("*.toml")]), ids=str
)
def test_every_shipped_config_loads(path: Path) -> None:
    assert load_config(path)
    assert tomllib.loads(path.read_text())


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", closed)
    with pytest.raises(ConfigError, match=r"c\.toml cannot be read: Permission denied"):
        load_config(tmp_path / "c.toml")

from pathlib import Path

import pytest

import sentinode.train.plan
from builders.sets import QUICK, small_set, small_split, tiny_spec
from sentinode.config import Config, load_config
from sentinode.tables import PackedSet, Split


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackedSet:
    monkeypatch.setattr(sentinode.train.plan, "spec_for", lambda settings: tiny_spec())
    return small_set(tmp_path / "set")


@pytest.fixture
def split(packed: PackedSet) -> Split:
    return small_split(packed)


@pytest.fixture
def quick() -> Config:
    return load_config(None, [*QUICK, "tune.random_trials=3"])

from pathlib import Path

import pytest

from builders.sets import QUICK, small_set, small_split
from sentinode.config import Config, load_config
from sentinode.tables import PackedSet, Split


@pytest.fixture
def packed(tmp_path: Path) -> PackedSet:
    return small_set(tmp_path / "set")


@pytest.fixture
def split(packed: PackedSet) -> Split:
    return small_split(packed)


@pytest.fixture
def quick() -> Config:
    return load_config(None, QUICK)

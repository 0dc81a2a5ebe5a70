import numpy as np
import pytest
import torch

from builders.runs import untrained_run
from builders.sets import small_set
from sentinode.models import ModelSpec, Run, block_network
from sentinode.tables import PackedSet
from sentinode.types import Preprocess

SIDE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    return block_network("tiny", (4, 8), head=(), preprocess=Preprocess(size=SIDE))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, spec: ModelSpec) -> Run:
    return untrained_run(tmp_path_factory.mktemp("run"), spec)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedSet:
    return small_set(tmp_path_factory.mktemp("data") / "set", 40, size=SIDE)


@pytest.fixture
def images(packed: PackedSet) -> np.ndarray:
    return np.array(packed.images[:6])

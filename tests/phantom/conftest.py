"""One small cohort, written once."""

from pathlib import Path

import pytest

from sentinode.config import PhantomConfig
from sentinode.phantom import write_cohort

SMALL = PhantomConfig(slides=3, patches=150, seed=7, whole_slides=1, workers=1)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "cohort"
    write_cohort(folder, SMALL)
    return folder

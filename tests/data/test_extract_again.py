"""An extraction is kept only where the set beside its record is the one that it made."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from builders.annotated import EVERY, cohort, cut
from builders.sources import kaggle
from sentinode.config import PackConfig
from sentinode.data import Job, extract, open_source, pack
from sentinode.slides import Reading


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cohort(tmp_path_factory.mktemp("annotated"), count=2)


def test_another_set_packed_over_it_is_not_taken_for_it(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    first = cut(phantoms, out)
    record = shutil.copy(out / "extract.json", tmp_path / "extract.json")
    pack(open_source(kaggle(tmp_path / "k")), out, PackConfig())
    assert not (out / "extract.json").exists()
    assert not (out / "hard_negatives.csv").exists()
    shutil.copy(record, out / "extract.json")  # as an older version left it there
    again = cut(phantoms, out)
    assert again.packed.meta == first.packed.meta
    assert again.record == json.loads((tmp_path / "extract.json").read_text())


def test_zero_of_a_mask_is_normal_or_unknown_as_asked(phantoms: Path, tmp_path: Path) -> None:
    slide, mask = (
        phantoms / "slides" / "phantom_000.tif",
        phantoms / "annotations" / "mask" / "phantom_000.png",
    )
    with Image.open(mask) as image:
        assert image.getextrema() == (0, 255)
    cuts = []
    for only_annotated in (False, True):
        job = Job(slide, mask, Reading(only_annotated=only_annotated), None)
        made = extract([job], tmp_path / f"{only_annotated}", EVERY, PackConfig(workers=1))
        cuts.append(made.packed.manifest.frame.set_index("id")["label"])
    normal, unknown = cuts
    assert set(normal) == {0, 1}
    assert unknown.to_dict() == normal[normal == 1].to_dict()

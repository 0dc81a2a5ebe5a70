from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders.sources import class_folders, kaggle, picture, save
from sentinode.config import AuditConfig, PackConfig
from sentinode.data import audit, compare_sets, open_source, pack
from sentinode.explore import write_audit_page, write_pairs_page
from sentinode.tables import PackedSet


def packed(root: Path) -> PackedSet:
    return pack(open_source(root), root.parent / "set", PackConfig())


def audited(root: Path) -> str:
    opened = packed(root)
    summary = audit(opened, AuditConfig())
    return write_audit_page(PackedSet.open(opened.folder), summary).read_text()


def test_the_gallery_shows_what_each_rule_caught(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k")
    save(root / "train" / "a002.tif", np.full((24, 24, 3), 3, np.uint8))
    save(root / "train" / "a004.tif", picture(6))
    save(root / "train" / "a007.tif", np.rot90(picture(8)))
    (root / "train" / "a010.tif").write_text("no image")
    page = audited(root)
    for words in ("Near-black: 1", "Duplicate: 1", "Two labels: 2", "Unreadable: 1", "tumour"):
        assert words in page
    assert "a010: unreadable: not an image, or one cut short" in page
    # one near-black, a pair of copies, a pair with two labels, the same pair turned
    assert page.count("data:image/jpeg") == 1 + 2 + 2 + 2 + 1  # and the near-black one is blurred
    assert "http" not in page


def test_odd_ids_are_escaped(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f")
    save(root / "0" / "<b>&.png", np.full((24, 24, 3), 250, np.uint8))
    page = audited(root)
    assert "<b>&" not in page
    assert "0/&lt;b&gt;&amp;" in page


@pytest.mark.parametrize("shared", [0, 30])
def test_pairs_are_shown_least_alike_first(tmp_path: Path, shared: int) -> None:
    one, other = kaggle(tmp_path / "a" / "k", labelled=40), tmp_path / "b" / "f"
    save(other / "own.png", picture(900))
    for i in range(shared):
        save(other / f"q{i}.png", picture(i)[::-1])
    first, second = packed(one), packed(other)
    page = tmp_path / "pairs.html"
    pairs = compare_sets(first, second, tmp_path / "pairs.csv")
    write_pairs_page(page, pairs, first, second)
    text = page.read_text()
    assert f"{shared} pairs" in text
    assert text.count("data:image/jpeg") == (48 if shared else 0)
    assert ("flipped, turned 180" in text) == bool(shared)


def test_no_image_file_is_needed_for_what_could_not_be_read(tmp_path: Path) -> None:
    root = tmp_path / "f"
    for i in range(30):
        (root / "0").mkdir(parents=True, exist_ok=True)
        (root / "0" / f"{i}.png").write_bytes(b"x")
    Image.fromarray(picture(1)).save(root / "0" / "good.png")
    page = audited(root)
    assert "Unreadable: 30" in page
    assert page.count("<li>0/") == 24

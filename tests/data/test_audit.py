from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from builders.sources import class_folders, kaggle, picture, save
from sentinode.config import AuditConfig, PackConfig
from sentinode.data import AuditSummary, audit, open_source, pack
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import PackedSet


def packed(root: Path) -> PackedSet:
    return pack(open_source(root), root.parent / "set", PackConfig())


def reasons(opened: PackedSet) -> dict[str, str]:
    frame = PackedSet.open(opened.folder).manifest.frame
    found = frame[frame["excluded"].notna()]
    return dict(zip(found["id"], found["excluded"], strict=True))


def found(summary: AuditSummary) -> dict[str, int]:
    return {f.rule: f.patches for f in summary.findings if f.patches}


def test_near_black_and_near_white_by_id_with_limits(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k")
    save(root / "train" / "a002.tif", np.full((24, 24, 3), 9, np.uint8))
    save(root / "train" / "a004.tif", np.full((24, 24, 3), 246, np.uint8))
    save(root / "train" / "a006.tif", np.full((24, 24, 3), 10, np.uint8))
    save(root / "test" / "a020.tif", np.zeros((24, 24, 3), np.uint8))
    opened = packed(root)
    audit(opened, AuditConfig())
    assert reasons(opened) == {"a002": "near-black", "a004": "near-white"}
    audit(PackedSet.open(opened.folder), AuditConfig(near_black_max=11, near_white_min=250))
    assert reasons(opened) == {"a002": "near-black", "a006": "near-black"}


def test_again_is_the_same(tmp_path: Path) -> None:
    opened = packed(kaggle(tmp_path / "k"))
    audit(opened, AuditConfig())
    names = ("manifest.parquet", "audit.json")
    before = [(opened.folder / n).read_bytes() for n in names]
    audit(PackedSet.open(opened.folder), AuditConfig())
    assert [(opened.folder / n).read_bytes() for n in names] == before


def test_a_readers_list(tmp_path: Path) -> None:
    opened = packed(kaggle(tmp_path / "k"))
    listed = tmp_path / "ids.txt"
    listed.write_text("a003\n\nnot-there\n a005 \n")
    audit(opened, AuditConfig(exclude_ids=listed))
    assert reasons(opened) == {"a003": "listed", "a005": "listed"}
    listed.write_text("zzz\n")
    with pytest.raises(InputError, match="none of its 1 ids is in the set"):
        audit(opened, AuditConfig(exclude_ids=listed))
    with pytest.raises(MissingInputError, match="no list of ids"):
        audit(opened, AuditConfig(exclude_ids=tmp_path / "none.txt"))


def test_copies_and_two_labels(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k")
    save(root / "train" / "a002.tif", picture(0))  # label 0, as a000
    save(root / "train" / "a005.tif", np.rot90(picture(3)))  # label 1, as a003, turned
    save(root / "train" / "a007.tif", picture(8)[:, ::-1])  # label 1, a008 has 0
    summary = audit(opened := packed(root), AuditConfig())
    assert reasons(opened) == {"a002": "duplicate", "a007": "two labels", "a008": "two labels"}
    assert found(summary) == {"duplicate": 1, "two labels": 2, "turned duplicate": 4}
    assert summary.usable == 21
    assert summary.labels == {"0": 8, "1": 9, "none": 4}


def test_of_copies_the_reported_one_is_kept(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f", folds=("train", "valid"))
    save(root / "train" / "0" / "p0.png", picture(1000))
    opened = packed(root)
    audit(opened, AuditConfig())
    assert reasons(opened) == {"train/0/p0": "duplicate"}


def test_what_packing_put_aside_stays_aside(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k")
    (root / "train" / "a001.tif").write_text("text")
    opened = packed(root)
    summary = audit(opened, AuditConfig())
    assert found(summary) == {"put aside": 1}
    assert summary.usable == 23
    assert pd.isna(PackedSet.open(opened.folder).manifest.frame["excluded"]).all()

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from builders.sources import class_folders, kaggle, picture, save
from sentinode.config import AuditConfig, PackConfig
from sentinode.data import AuditSummary, audit, compare_sets, open_source, pack
from sentinode.errors import InputError, MissingInputError
from sentinode.tables import PackedSet


def packed(root: Path) -> PackedSet:
    return pack(open_source(root), root.parent / "set", PackConfig())


def render(number: int) -> np.ndarray:
    """Return a patch as smooth as tissue: uint8 (24, 24, 3)."""
    noise = np.random.default_rng(number).normal(0, 1, (24, 24))
    smooth = gaussian_filter(noise, 0.8, mode="wrap")[..., None]
    return ((170, 110, 160) + 120 * smooth).clip(0, 255).astype(np.uint8)


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
    listed.write_text("a003.tif\n\nnot-there\n a005 \n")
    summary = audit(opened, AuditConfig(exclude_ids=listed))
    assert reasons(opened) == {"a003": "listed", "a005": "listed"}
    said = {finding.rule: finding.said for finding in summary.findings}["listed"]
    assert said.endswith("; 1 of its 3 are not in the set, as 'not-there'")
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
    assert found(summary) == {"unreadable": 1}
    assert summary.usable == 23
    assert pd.isna(PackedSet.open(opened.folder).manifest.frame["excluded"]).all()


def test_a_copy_compressed_otherwise_is_found_and_an_unlike_neighbour_is_not(
    tmp_path: Path,
) -> None:
    root = class_folders(tmp_path / "f", per_class=3)
    tissue = render(0)
    save(root / "0" / "tissue.png", tissue)
    Image.fromarray(np.ascontiguousarray(np.rot90(tissue))).save(
        root / "1" / "again.jpg", quality=60
    )
    save(root / "0" / "moved.png", np.roll(tissue, 5, axis=1))
    summary = audit(opened := packed(root), AuditConfig())
    assert found(summary) == {"two labels": 2, "compressed duplicate": 2}
    pairs = pd.read_csv(opened.folder / "duplicates.csv")
    assert set(pairs.loc[0, ["id", "other"]]) == {"0/tissue", "1/again"}
    assert pairs.loc[0, "kind"] == "compressed"
    assert pairs.loc[0, "similarity"] > 0.6
    frame = PackedSet.open(opened.folder).manifest.frame.set_index("id")
    assert frame.loc["1/again", "group"] == frame.loc["0/tissue", "group"] == "0/tissue"
    assert frame["group"].notna().sum() == 2
    assert frame.loc["1/again", "remarks"] == "two labels; compressed duplicate"


def test_many_copies_are_joined_by_few_pairs(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f", per_class=3)
    tissue, other = render(0), render(3)
    for i in range(12):
        grain = np.random.default_rng(i).integers(0, 3, tissue.shape, dtype=np.uint8)
        copy = np.rot90(tissue if i < 8 else other, i).clip(0, 250) + grain
        save(root / f"{int(i == 5)}" / f"copy{i:02d}.png", copy)
    summary = audit(opened := packed(root), AuditConfig())
    assert found(summary) == {"two labels": 8, "compressed duplicate": 12}
    frame = PackedSet.open(opened.folder).manifest.frame
    assert sorted(frame["group"].value_counts()) == [4, 8]
    assert len(pd.read_csv(opened.folder / "duplicates.csv")) == 7 + 3


def test_blank_and_blurred_are_told_of_and_left_out_on_request(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "f")
    save(root / "0" / "blank.png", np.full((24, 24, 3), 240, np.uint8))
    save(root / "1" / "blurred.png", np.full((24, 24, 3), (180, 120, 180), np.uint8))
    opened = packed(root)
    assert found(audit(opened, AuditConfig())) == {"blank": 1, "blurred": 1}
    assert reasons(opened) == {}
    frame = PackedSet.open(opened.folder).manifest.frame.set_index("id")
    assert frame["remarks"].dropna().to_dict() == {"0/blank": "blank", "1/blurred": "blurred"}
    audit(PackedSet.open(opened.folder), AuditConfig(leave_out=("blank",)))
    assert reasons(opened) == {"0/blank": "blank"}


def test_what_two_sets_share(tmp_path: Path) -> None:
    one = kaggle(tmp_path / "a" / "k")
    other = tmp_path / "b" / "f"
    save(other / "0" / "other.png", picture(500))
    save(other / "0" / "same.png", picture(3))
    save(other / "1" / "turned.png", picture(4)[::-1])
    tissue = render(1)
    save(one / "train" / "a005.tif", tissue)
    Image.fromarray(tissue).save(other / "1" / "squeezed.jpg", quality=75)
    first, second = packed(one), packed(other)
    out = tmp_path / "pairs.csv"
    assert len(compare_sets(first, second, out)) == 3
    rows = pd.read_csv(out).set_index("other")
    assert rows["id"].to_dict() == {"0/same": "a003", "1/turned": "a004", "1/squeezed": "a005"}
    assert rows["kind"].to_dict() == {
        "0/same": "exact",
        "1/turned": "turned",
        "1/squeezed": "compressed",
    }
    again = compare_sets(second, first, out)
    assert len(again) == 3
    kaggle_of_others = tmp_path / "c" / "f"
    save(kaggle_of_others / "1" / "p.png", picture(501))
    none = compare_sets(first, packed(kaggle_of_others), out)
    assert len(none) == 0
    assert len(pd.read_csv(out)) == 0


def test_sets_of_other_sizes_are_not_compared(tmp_path: Path) -> None:
    first = packed(kaggle(tmp_path / "a" / "k"))
    save(tmp_path / "b" / "f" / "0" / "p.png", picture(1, 30))
    with pytest.raises(InputError, match=r"24 px and .* of 30 px"):
        compare_sets(first, packed(tmp_path / "b" / "f"), tmp_path / "pairs.csv")


def test_an_experts_verdicts(tmp_path: Path) -> None:
    opened = packed(kaggle(tmp_path / "k"))
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text(
        'id,verdict,map,note\n"a003","wrong label","elsewhere","a, b"\n"a005","unusable","",""\n'
        '"a007","label is right","",""\n"a009","","on what matters",""\n"gone","unusable","",""\n'
    )
    summary = audit(opened, AuditConfig(verdicts=verdicts))
    assert reasons(opened) == {"a003": "wrong label", "a005": "unusable"}
    assert found(summary) == {"wrong label": 1, "unusable": 1}
    audit(PackedSet.open(opened.folder), AuditConfig())
    assert reasons(opened) == {}


def test_verdicts_that_cannot_be_taken(tmp_path: Path) -> None:
    opened = packed(kaggle(tmp_path / "k"))
    verdicts = tmp_path / "verdicts.csv"
    with pytest.raises(MissingInputError, match=r"no file .*verdicts\.csv"):
        audit(opened, AuditConfig(verdicts=verdicts))
    verdicts.write_text("id,label\na003,1\n")
    with pytest.raises(InputError, match="expected the columns id,verdict, got id,label"):
        audit(opened, AuditConfig(verdicts=verdicts))
    verdicts.write_text("id,verdict\nother,unusable\n")
    with pytest.raises(InputError, match="none of its 1 ids is in the set, as in 'other'"):
        audit(opened, AuditConfig(verdicts=verdicts))

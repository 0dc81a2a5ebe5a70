"""The page: needs nothing but itself, says what was found, whatever the set lacks."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from builders.looked import looked_set, stained
from builders.pages import Page, outward
from builders.sets import small_split
from sentinode.cli.main import app
from sentinode.config import AuditConfig
from sentinode.errors import InputError, MissingInputError
from sentinode.explore import Exploration, explore, explore_page, write_exploration
from sentinode.types import RESEARCH_USE_ONLY

RUNNER = CliRunner()


def page_of(packed, **settings):
    explored = explore(packed, AuditConfig(), **settings)
    page = explore_page(explored.facts, explored.pixels, packed)
    reader = Page(page)
    assert outward(page) == []
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    return page, reader.text, explored.facts


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A set with slides, a split, an audit, problems and copies, and its page."""
    images = np.concatenate([stained(8, 40, seed=i, tilt=0.5 if i == 3 else 0.0) for i in range(8)])
    images[4], images[9] = 3, 251
    images[20] = images[21]
    count = len(images)
    packed = looked_set(
        tmp_path_factory.mktemp("whole") / "set",
        images,
        slide=[f"slide {i // 8}" for i in range(count)],
        group=["p0020" if i in (20, 21) else None for i in range(count)],
        problem=["unreadable: the file is empty" if i == 50 else None for i in range(count)],
        remarks=["two labels" if i in (20, 21) else None for i in range(count)],
    )
    small_split(packed)
    (packed.folder / "audit.json").write_text("{}")
    return packed, *page_of(packed)


def test_the_page_says_what_was_found(whole):
    _, page, text, facts = whole
    assert text.startswith("64 patches of 40×40 px, 63 usable: 32 tumour, 32 normal")
    assert RESEARCH_USE_ONLY in text
    assert "64 rows, 64 unique ids." in text
    for said in (
        "training fold 32 16 16 0 50.0%",
        "random subset of 6 6 ",
        "Near-black: 1",
        "Near-white: 1",
        "8 slides.",
        "1 of 8 lie apart: slide 3 .",
        "2 patches with equal pixels two labels",
        "unreadable 1 unreadable: the file is empty",
        "two labels 2 p0020",
        "slide 0 8 4 4 0 50.0%",
        "Darkest, by mean luma",
        "group 62 96.9% 1 none is good: the patch has no copy",
    ):
        assert said in text, said
    assert "The stain of 1 of 8 slides lies apart: slide 3." in facts.warnings
    for digest in facts.provenance.inputs.values():
        assert digest in text
    figures = [value for _, name, value in Page(page).attributes if name == "aria-label"]
    assert len(figures) == 2 + 3 + 4 + 1 + 1 + 2
    assert all(figures)


def test_each_picture_is_that_of_its_patch(whole):
    packed, page, *_ = whole
    frame = packed.manifest.frame
    blocks = re.findall(r'<li data-id="([^"]+)">(.*?)</li>', page, flags=re.DOTALL)
    assert len(blocks) > 80
    for patch, block in blocks:
        row = frame.index[frame["id"] == patch][0]
        kind = "tumour" if frame["label"][row] else "normal"
        assert f'alt="{kind} patch {patch}"' in block
        assert f'<span class="{kind}">{kind}</span>' in block
        data = re.search(r"base64,([^\"]+)", block).group(1)
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
        assert np.abs(picture.mean((0, 1)) - packed.images[row].mean((0, 1))).max() < 4
    framed = re.search(r"left:([\d.]+)%", page).group(1)
    assert float(framed) == pytest.approx(100 * 4 / 40)


def test_gray_is_the_luma(whole):
    packed, page, *_ = whole
    pairs = re.findall(r'patch (p\d+) in colour".*?base64,([^"]+)" alt="the same in gray', page)
    assert len(pairs) == 8
    for patch, data in pairs:
        gray = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(float)
        luma = packed.images[int(patch[1:])] @ [0.299, 0.587, 0.114]
        assert gray.ndim == 2
        assert abs(gray.mean() - luma.mean()) < 2


def test_a_bare_set(tmp_path):
    packed = looked_set(tmp_path / "set", stained(20, 32))
    page, text, facts = page_of(packed)
    assert "The set is not audited yet" in text
    assert "The set is not split yet" in text
    assert "The source does not say which slide a patch comes from" in text
    assert "each point is a random group of patches" in text
    assert 'class="figures three"' in page
    assert facts.slides.rows == ()
    assert 'class="patch"><img' in page
    assert "<i style" not in page  # the centre is the whole patch


@pytest.mark.parametrize(
    ("labels", "has", "lacks"),
    [
        ([None] * 12, "Unlabelled: 12 of 12", "Tumour:"),
        ([1] * 12, "Tumour: 12 of 12", "Normal:"),
        ([0] * 12, "Normal: 12 of 12", "Tumour:"),
    ],
)
def test_sets_of_one_class_or_none(tmp_path, labels, has, lacks):
    packed = looked_set(
        tmp_path / "set", stained(12, 40), label=pd.array(labels, dtype="Int8"), slide="a"
    )
    _, text, facts = page_of(packed)
    assert has in text
    assert lacks not in text
    assert "There is no difference to show" in text
    assert all(s.separation is None for s in facts.statistics)


@pytest.mark.parametrize("side", [8, 33, 250])
def test_other_sides(tmp_path, side):
    packed = looked_set(tmp_path / "set", stained(8, side), slide=["a", "b"] * 4)
    _, text, facts = page_of(packed)
    assert f"8 patches of {side}×{side} px" in text
    assert ("Its centre 32×32 px" in text) == (side > 32)
    assert all((row.rim is None) == (side <= 32) for row in facts.mean_patches)


def test_a_set_that_was_not_measured(tmp_path):
    bare = dict.fromkeys(
        ["saturation", "sharpness", "tissue", "min", "max"]
        + [f"{what}_{c}" for what in ("mean", "std") for c in "rgb"]
    )
    packed = looked_set(tmp_path / "set", stained(20, 40), **bare)
    _, text, facts = page_of(packed)
    assert [s.name for s in facts.statistics] == ["contrast"]
    assert "What is not here was not measured when the set was packed" in text
    assert "The set was packed without measuring its patches" in text


def test_odd_names_are_escaped(tmp_path):
    odd = "<script>alert('x')</script>&\"$^_{\\frac"
    ids = [f"{odd} {i}" for i in range(40)]
    slides = [f"{odd} 病理 {i // 4}" for i in range(40)]
    problem = ["<b>bad</b>: $x_" if i == 3 else None for i in range(40)]
    images = np.concatenate(
        [stained(4, 40, seed=i, tilt=0.5 if i == 1 else 0.0) for i in range(10)]
    )
    packed = looked_set(tmp_path / "set", images, id=ids, slide=slides, problem=problem)
    page, text, _ = page_of(packed)
    assert "<script" not in page
    assert "<b>bad" not in page
    assert ids[0] in text
    assert f"1 of 10 lie apart: {slides[4]} ." in text


def test_many_slides_stay_readable(tmp_path):
    count = 1300
    images = np.broadcast_to(stained(1, 16), (count, 16, 16, 3)).copy()
    images[:, 0, 0] = np.random.default_rng(0).integers(0, 256, (count, 3))
    packed = looked_set(tmp_path / "set", images, slide=[f"s{i // 2}" for i in range(count)])
    page, text, facts = page_of(packed)
    assert "480 more slides of 630" in text
    assert "The 400 slides with most patches; 250 smaller ones are not looked at." in text
    assert len(facts.slides.rows) == 650
    assert len(page.encode()) < 3_000_000


def test_files_beside_each_other(whole, tmp_path):
    packed = whole[0]
    explored = explore(packed, AuditConfig(), seed=5)
    figures = write_exploration(explored, packed, tmp_path / "out" / "look.html")
    assert figures == tmp_path / "out" / "look.json"
    assert Exploration.model_validate(json.loads(figures.read_text())) == explored.facts
    assert str(tmp_path) not in figures.read_text()
    again = explore(packed, AuditConfig(), seed=5)
    first = (tmp_path / "out" / "look.html").read_bytes()
    write_exploration(again, packed, tmp_path / "out" / "look.html")
    assert (tmp_path / "out" / "look.html").read_bytes() == first


@pytest.mark.parametrize("name", ["look.png", "audit.html", "meta.html"])
def test_names_that_a_page_cannot_have(whole, tmp_path, name):
    packed = whole[0]
    explored = explore(packed, AuditConfig())
    with pytest.raises(InputError, match="--out"):
        write_exploration(explored, packed, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def called(*arguments):
    done = RUNNER.invoke(app, ["explore", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command(tmp_path):
    packed = looked_set(tmp_path / "set", stained(30, 32))
    said = called(packed.folder, "--subset", 7, "--seed", 3, "--set", "audit.near_black_max=0")
    assert said.splitlines()[-1] == f"page: {packed.folder / 'explore.html'}"
    facts = Exploration.model_validate_json((packed.folder / "explore.json").read_text())
    assert facts.labels[-1].name == "random subset of 7"
    assert facts.provenance.seeds == {"explore": 3}
    assert facts.provenance.config["near_black_max"] == 0
    called(packed.folder, "--out", tmp_path / "other.html")
    assert (tmp_path / "other.json").is_file()
    with pytest.raises(MissingInputError, match="not a packed set"):
        called(tmp_path)

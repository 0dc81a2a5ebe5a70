"""Patches through several runs, and what is inside a network."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from builders.pages import Page, outward
from builders.runs import untrained_run
from sentinode.cli.examples import examples_command
from sentinode.cli.features import features_command
from sentinode.config import Config
from sentinode.errors import InputError
from sentinode.explain import How, draw_inside, explain, follow
from sentinode.explain.filters import kernels_of
from sentinode.models import ModelSpec, Run, new_network
from sentinode.models.nodenet import nodenet
from sentinode.plots import mosaic
from sentinode.predict import predict
from sentinode.tables import PackedSet
from sentinode.types import RESEARCH_USE_ONLY


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, spec: ModelSpec) -> Run:
    return untrained_run(tmp_path_factory.mktemp("other"), spec, seed=5)


def test_patches_through_runs(run: Run, other: Run, packed: PackedSet, tmp_path: Path) -> None:
    examples_command(
        [str(run.folder), str(other.folder)],
        packed.folder,
        tmp_path,
        examples="first-notebook",
        method="hirescam",
    )
    table = pd.read_csv(tmp_path / "examples.csv")
    assert len(table) == 2 * 9
    for each in (run, other):
        part = table[table["run"] == each.folder.name].set_index("id")
        expected = predict(each, packed.folder, Config()).frame.set_index("id")
        np.testing.assert_allclose(
            part["probability"], expected.loc[part.index, "probability"], atol=1e-5
        )
        assert part["label"].tolist() == [1] * 4 + [0] * 5
    text = (tmp_path / "examples.html").read_text()
    page = Page(text)
    assert page.open == []
    assert outward(text) == []
    assert text.count("Map of ") == 18
    assert json.loads((tmp_path / "examples.json").read_text())["notice"] == RESEARCH_USE_ONLY
    with pytest.raises(InputError, match="is given twice; give each run once"):
        examples_command([str(run.folder)] * 2, packed.folder, tmp_path)


def test_runs_that_lie_in_folders_of_one_name(
    spec: ModelSpec, packed: PackedSet, tmp_path: Path
) -> None:
    runs = [
        untrained_run(tmp_path / name / "run", spec, seed) for seed, name in enumerate(("a", "b"))
    ]
    table = follow(runs, packed.folder, Config(), tmp_path / "out", How(), count=1)
    assert table["run"].unique().tolist() == ["a", "b"]
    note = json.loads((tmp_path / "out" / "examples.json").read_text())
    inputs = {name: run.weights_hash for name, run in zip("ab", runs, strict=True)}
    assert note["provenance"]["inputs"] == inputs


def test_filters_and_feature_maps(run: Run, packed: PackedSet, tmp_path: Path) -> None:
    features_command(str(run.folder), packed.folder, tmp_path, count=1)
    filters = sorted(p.name for p in (tmp_path / "filters").glob("*.png"))
    assert filters == [f"filters-{i:02d}-layers.conv{i + 1}.png" for i in range(4)]
    (folder,) = (tmp_path / "features").iterdir()
    maps = sorted(p.name for p in folder.iterdir())
    assert maps[0] == "00-layers.conv1.png"
    assert len(maps) == 12  # two blocks of conv, relu, norm, conv, relu, pool
    with Image.open(folder / maps[0]) as figure:
        assert figure.width == 1050


def test_nothing_of_an_earlier_run_stays_beside_pictures(
    run: Run, packed: PackedSet, tmp_path: Path
) -> None:
    def pictures() -> set[str]:
        return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")}

    explain(run, packed.folder, Config(), tmp_path, How(), picks=["certain"], count=3)
    draw_inside(run, packed.folder, Config(), tmp_path, count=2)
    features = tmp_path / "features"
    own = [tmp_path / "panels" / "mine.png", features / "mine" / "00-a.png", features / "mine.txt"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for path in ("filters/filters-09-gone.png", "features/000-gone/00-layer.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    explain(run, packed.folder, Config(), tmp_path, How(), picks=["uncertain"], count=2)
    drawn = draw_inside(run, packed.folder, Config(), tmp_path, picks=["uncertain"], count=1)
    assert all(path.exists() for path in own)
    kept = [path for path in own if path.suffix == ".png"]
    written = {str(path.relative_to(tmp_path)) for path in (*drawn.filters, *drawn.maps, *kept)}
    panels = {name for name in pictures() if name.startswith("panels/0")}
    assert len(panels) == 2
    assert pictures() == written | panels
    assert len([path for path in features.iterdir() if path.is_dir()]) == 2  # one of them "mine"


def test_kernels_of_an_orbit_are_given_once() -> None:
    kernels = kernels_of(new_network(nodenet("tiny-node", (2, 2, 3)), 0))
    assert kernels["features.lift"].shape == (2, 3, 4, 4)
    assert kernels["features.conv_b"].shape == (2, 16, 3, 3)
    assert kernels["head.logit"].shape == (1, 6, 1, 1)


def test_mosaic_by_hand() -> None:
    tiles = np.arange(3.0)[:, None, None] * np.ones((3, 2, 2))
    whole = mosaic(tiles, 2)
    expected = [[0, 0, np.nan, 1, 1], [0, 0, np.nan, 1, 1], [np.nan] * 5]
    expected += [[2, 2, np.nan, np.nan, np.nan]] * 2
    np.testing.assert_equal(whole, expected)

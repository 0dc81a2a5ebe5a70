"""Regions, faithfulness, stability and the table of scores, on a network known by heart."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from builders.encoders import tiny_encoder
from builders.runs import untrained_run
from builders.sets import QUICK, small_set, small_split
from sentinode.cli.score_maps import score_maps_command
from sentinode.config import Config, ModelConfig, load_config
from sentinode.errors import InputError, MissingInputError
from sentinode.explain import (
    SCORES,
    Explainer,
    choose_layer,
    cut_regions,
    score_run,
    tumour_patches,
    write_scores,
)
from sentinode.explain.faithful import insertion_deletion, removal
from sentinode.explain.stability import cascade, under_shifts, under_turns
from sentinode.models import Network, Run, block_network, choose_compute, spec_for
from sentinode.tables import read_map_scores
from sentinode.train import train
from sentinode.types import RESEARCH_USE_ONLY, Preprocess

COMPUTE = choose_compute("cpu", "float32")
SPEC = block_network("tiny", (2, 4), head=(), preprocess=Preprocess(size=64))


class MeanOfRed(Network):
    """The logit is the mean of red in the centre 32x32 px of 64, ten times."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, patches: Tensor) -> Tensor:
        return self.scale * patches[:, 0, 16:48, 16:48].mean((1, 2))

    def initialise(self, generator: torch.Generator) -> None:
        raise NotImplementedError


@pytest.fixture
def red() -> Explainer:
    return Explainer.of(MeanOfRed(), SPEC, COMPUTE, "integrated-gradients", baseline="white")


def blob(at: tuple[int, int] = (32, 32), side: int = 64) -> np.ndarray:
    """Return one patch, grey but for a red square of 12 px."""
    patch = np.full((1, side, side, 3), 40, np.uint8)
    y, x = at
    patch[:, y - 6 : y + 6, x - 6 : x + 6, 0] = 240
    return patch


def regions(root: Path, side: int = 128, count: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(count):
        image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        mask = np.zeros((side, side), np.uint8)
        mask[: side // 2 + 8] = 255
        mask[: side // 4, : side // 4] = 0
        Image.fromarray(image).save(root / "images" / f"r{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"r{i}.png")
    return root


def test_regions_are_cut_with_their_masks(tmp_path: Path) -> None:
    found = cut_regions(regions(tmp_path), 64)
    assert len(found) == 12
    assert found.ids[1] == "r0@64,0"
    with Image.open(tmp_path / "images" / "r0.png") as image:
        np.testing.assert_array_equal(found.images[1], np.asarray(image)[:64, 64:])
    assert found.masks[1].all()
    assert found.labels.tolist() == [1, 1, 0, 0] * 3  # below, 8 rows reach in, above the centre
    assert found.units.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    mixed = found.mixed(100)
    assert set(mixed.ids) == {"r0@0,0", "r1@0,0", "r2@0,0"}  # the others are tumour all over
    assert len(found.mixed(2)) == 2


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        ("black", "png"),
        ("white", "png"),
        ("1", "png"),
        ("L", "png"),
        ("I;16", "png"),
        ("LA", "png"),
        ("RGB", "png"),
        ("RGBA", "png"),
        ("F", "tif"),
    ],
)
def test_masks_of_any_kind_are_read_alike(mode: str, ending: str, tmp_path: Path) -> None:
    root = regions(tmp_path, side=64, count=1)
    drawn = np.zeros((64, 64), np.uint8)
    drawn[20:40, 10:30] = 1
    if mode in ("black", "white"):  # colours of a palette: they are for the eye only
        mask = Image.fromarray(drawn)
        mask.putpalette([0, 0, 0, 0, 0, 1] if mode == "black" else [255, 255, 255, 0, 0, 0])
        assert mask.mode == "P"
    elif mode == "I;16":
        mask = Image.fromarray(drawn.astype(np.uint16) * 300)
    elif mode in ("RGB", "RGBA"):
        blue = np.stack([0 * drawn, 0 * drawn, drawn, np.full_like(drawn, 255)], 2)
        mask = Image.fromarray(blue[..., : len(mode)])
    else:
        mask = Image.fromarray(drawn * 255).convert(mode)
    (root / "masks" / "r0.png").unlink()
    mask.save(root / "masks" / f"r0.{ending}")
    np.testing.assert_array_equal(cut_regions(root, 64).masks[0], drawn > 0)


def test_regions_that_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="has no masks"):
        cut_regions(tmp_path, 64)
    root = regions(tmp_path / "r")
    with pytest.raises(InputError, match="every image is smaller than a patch of 200 px"):
        cut_regions(root, 200)
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(root / "masks" / "r1.png")
    with pytest.raises(InputError, match=r"r1\.png is 10x10 px, its image 128x128"):
        cut_regions(root, 64)
    for image in (root / "images").iterdir():
        image.rename(image.with_stem(f"x{image.stem}"))
    with pytest.raises(InputError, match="none of its 3 masks has the name of an image"):
        cut_regions(root, 64)


def test_hiding_what_the_network_looks_at(red: Explainer) -> None:
    patch = blob()
    fall = removal(red, patch)
    mean = round(patch[..., 0].mean())
    centre = patch[0, 16:48, 16:48, 0].mean()
    assert fall["occlude_centre"][0] == pytest.approx(10 * (centre - mean) / 255, abs=1e-4)
    assert fall["occlude_rim"][0] == pytest.approx(0, abs=1e-5)
    # a corner of 32 px reaches 16 px into the centre, a quarter of it, with a quarter of the blob
    assert fall["occlude_corner"][0] == pytest.approx(fall["occlude_centre"][0] / 4, abs=1e-4)


def test_a_true_map_beats_noise_and_a_false_one_does_not(red: Explainer) -> None:
    patch = blob()
    true = patch[..., 0].astype(float)
    gain = insertion_deletion(red, patch, true)
    wrong = insertion_deletion(red, patch, -true)
    for name in ("deletion_gain", "insertion_gain"):
        assert gain[name][0] > 0.02
        assert wrong[name][0] < gain[name][0]
    assert wrong["deletion_gain"][0] < 0


def test_turns_and_shifts(red: Explainer) -> None:
    patch = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    maps = red.maps(patch)
    np.testing.assert_allclose(under_turns(red, patch, maps), 1.0, atol=1e-3)
    shifted = under_shifts(red, patch, maps)
    assert ((shifted > 0.5) & (shifted < 0.999)).all()  # the window stays, the tissue moves


def test_cascade_ends_far_from_the_map(tmp_path: Path) -> None:
    run = untrained_run(tmp_path, SPEC, seed=1)
    e = Explainer.of(run.load(), SPEC, COMPUTE, "gradcam")
    patch = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    maps = e.maps(patch)
    before = {k: v.clone() for k, v in e.network.state_dict().items()}
    found = cascade(e, patch, maps, seed=2)
    assert list(found) == ["sanity_25", "sanity_50", "sanity_75", "sanity_100"]
    assert all(torch.equal(v, before[k]) for k, v in e.network.state_dict().items())
    same = cascade(e, patch, maps, seed=1)  # drawn from the seed that the run is from
    for values in same.values():
        np.testing.assert_allclose(values, 1.0)


def test_cascade_draws_a_pretrained_encoder_anew_too(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    settings = ModelConfig(
        name="encoder", encoder=str(tiny_encoder(tmp_path / "encoder")), input_size=32
    )
    run = untrained_run(tmp_path / "run", spec_for(settings), seed=1)
    e = Explainer.of(run.load(), run.spec, COMPUTE, "integrated-gradients")
    patch = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    found = cascade(e, patch, e.maps(patch), seed=1)  # the head is drawn as it was
    assert (found["sanity_100"] < 0.9).all()
    assert choose_layer(run.load(), run.spec).said == "layer encoder.maps, the encoder's map"


def test_scores_of_a_run(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run", SPEC, seed=1)
    patches = cut_regions(regions(tmp_path / "r", count=5), 64).mixed(5)
    scored = score_run(run, patches, ["gradcam", "occlusion"], Config(), few=3, resamples=200)
    table = scored.summary.set_index(["method", "score"])
    assert set(scored.summary["score"]) <= set(SCORES)
    assert {"network", "gradcam", "occlusion", "control: optical density"} <= set(
        scored.summary["method"]
    )
    e = Explainer.of(run.load(), SPEC, COMPUTE, "gradcam")
    share = np.maximum(e.maps(patches.images), 0)
    expected = np.nanmean(share[:, 16:48, 16:48].sum((1, 2)) / share.sum((1, 2)))
    assert table.loc[("gradcam", "centre"), "value"] == pytest.approx(expected)
    row = table.loc[("occlusion", "pixel_auc")]
    assert row["low"] <= row["value"] <= row["high"]
    assert row["units"] == 5
    write_scores(tmp_path / "o", {"regions": [scored]}, {})
    note = json.loads((tmp_path / "o" / "map_scores.json").read_text())
    assert note["notice"] == RESEARCH_USE_ONLY
    assert len(note["rows"]) == len(scored.summary)
    by_patch = pd.read_csv(tmp_path / "o" / "map_scores_patches.csv")
    assert len(by_patch) == 5 * 5  # network, two methods, two controls
    text = (tmp_path / "o" / "map_scores.md").read_text()
    assert "5 patches with tumour in the centre, from 5 images" in text
    again = score_run(run, patches, ["gradcam", "occlusion"], Config(), few=3, resamples=200)
    pd.testing.assert_frame_equal(again.summary, scored.summary)


def test_one_image_gives_no_interval(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run", SPEC, seed=1)
    patches = cut_regions(regions(tmp_path / "r", count=1), 64).take(np.arange(2))
    scored = score_run(run, patches, ["gradcam"], Config(), few=2, resamples=200)
    assert scored.summary[["low", "high"]].isna().all(axis=None)
    write_scores(tmp_path / "o", {"regions": [scored]}, {})
    text = (tmp_path / "o" / "map_scores.md").read_text()
    assert "from one image, slide or patch: too few for intervals" in text
    assert " to " not in text.split("| --- |")[1].split("\n\n")[0]
    (scores,) = read_map_scores(tmp_path / "o" / "map_scores.json").values()
    assert len(scores) == len(scored.summary)
    assert all(score.low is None and score.high is None for score in scores)
    assert pd.read_csv(tmp_path / "o" / "map_scores.csv")["low"].isna().all()


def test_patches_that_may_have_taught_are_refused_or_told(tmp_path: Path) -> None:
    packed = small_set(tmp_path / "set", 40, size=64)
    split = small_split(packed)
    run = train(
        packed, split, load_config(None, [*QUICK, "train.epochs=1"]), tmp_path / "run", spec=SPEC
    )
    test = set(split.units["test"])
    found = tumour_patches(packed.folder, [run], 100, None)
    assert set(found.ids) <= test
    assert found.remark == ""
    assert "of fold train" in tumour_patches(packed.folder, [run], 9, ["train", "test"]).remark

    swapped = dict(split.units) | {"train": split.units["test"], "test": split.units["train"]}
    split.model_copy(update={"units": swapped}).write(packed.folder / "split.json")
    for again in ([run], [untrained_run(tmp_path / "other", SPEC), run]):
        with pytest.raises(InputError, match="was trained on another split"):
            tumour_patches(packed.folder, again, 100, None)
    (packed.folder / "split.json").unlink()
    score_maps_command(
        [str(run.folder)], tmp_path / "o", packed.folder, methods="gradcam", count=4, few=2
    )
    said = "Networks may have learnt from these patches: set has no split."
    assert said in (tmp_path / "o" / "map_scores.md").read_text()
    assert json.loads((tmp_path / "o" / "map_scores.json").read_text())["remarks"] == {"set": said}


def test_mistakes(tmp_path: Path, run: Run) -> None:
    with pytest.raises(InputError, match="give --patches SET or --regions FOLDER"):
        score_maps_command([str(run.folder)], tmp_path / "o")
    with pytest.raises(InputError, match="at least 64 px"):
        score_maps_command([str(run.folder)], tmp_path / "o", regions=regions(tmp_path / "r"))
    with pytest.raises(InputError, match="did you mean 'occlusion'"):
        score_maps_command([str(run.folder)], tmp_path / "o", tmp_path, methods="oclusion")

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.decomposition import DictionaryLearning
from sklearn.exceptions import ConvergenceWarning

from sentinode.phantom import draw_patches, make_slide
from sentinode.stain import (
    METHODS,
    StainTarget,
    common_target,
    estimate,
    estimate_pooled,
    fit_target,
    jitter,
    mix_stains,
    normalise,
    optical_density,
    to_rgb,
)
from sentinode.stain.order import percentile

REAL = Path(__file__).parents[2].parent / "shared/data/pcam_jpeg/valid"
TRUE = np.array([[0.62, 0.68, 0.39], [0.18, 0.94, 0.29]])
TRUE /= np.linalg.norm(TRUE, axis=1, keepdims=True)


def mixed(seed: int = 0, side: int = 96, vectors: Any = TRUE) -> Any:
    """A patch of two stains with known vectors, each alone in some pixels."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2.0, 0.4, (2, side, side))
    amounts[0] *= rng.random((side, side)) < 0.5
    amounts[1] *= rng.random((side, side)) < 0.8
    return to_rgb(np.einsum("khw,kc->hwc", amounts, vectors))


@pytest.fixture(scope="module")
def images() -> Any:
    """Rendered tissue, and real patches where they are at hand."""
    slide = make_slide(3, 1)
    cuts = draw_patches(slide, 8, 0)
    found = [slide.image[c.y : c.y + 96, c.x : c.x + 96] for c in cuts]
    files = sorted((REAL / "1").glob("*"))[:600:40] if REAL.is_dir() else []
    return np.stack([*found, *(np.asarray(Image.open(f)) for f in files)])


def angles(one: Any, other: Any) -> Any:
    cosine = (np.asarray(one) * np.asarray(other)).sum(-1).clip(-1, 1)
    return np.degrees(np.arccos(cosine))


def torchstains(method: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchstain

        kinds = {
            "macenko": torchstain.normalizers.MacenkoNormalizer,
            "reinhard": torchstain.normalizers.ReinhardNormalizer,
        }
        return kinds[method](backend="numpy")


def test_optical_density_and_back() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    density = optical_density(grey)
    assert density.dtype == np.float32
    assert density[0, 0, 0, 0] == pytest.approx(np.log(240))
    assert (to_rgb(density) == grey).all()


def test_macenko_agrees_with_torchstain(images: Any) -> None:
    oracle = torchstains("macenko")
    ours = estimate(images)
    assert ours.dtype == np.float32
    for image, vectors in zip(images, ours, strict=True):
        oracle.fit(image)
        assert angles(vectors, oracle.HERef.T).max() < 0.2
    oracle.fit(images[0])
    target = fit_target(images[:1])
    assert np.allclose(target.vectors, oracle.HERef.T, atol=1e-3)
    assert np.allclose(target.strongest, oracle.maxCRef, rtol=2e-3)
    theirs = np.stack([oracle.normalize(image, stains=False)[0] for image in images])
    # it cuts off what we round
    assert np.abs(normalise(images, target).astype(int) - theirs).max() <= 2


def test_reinhard_agrees_with_torchstain(images: Any) -> None:
    oracle = torchstains("reinhard")
    oracle.fit(images[0])
    theirs = np.stack([oracle.normalize(image) for image in images])
    ours = normalise(images, fit_target(images[:1], "reinhard"))
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_vahadane_agrees_with_dictionary_learning(images: Any) -> None:
    for image in [mixed(side=64), images[-1, :64, :64]]:
        density = optical_density(image.reshape(1, -1, 1, 3)).reshape(-1, 3).astype(np.float64)
        stained = density[(density >= 0.15).all(1)]
        start = estimate(image[None])[0].astype(np.float64)
        learner = DictionaryLearning(
            2, alpha=0.1, max_iter=300, tol=1e-7, fit_algorithm="cd", dict_init=start,
            code_init=np.ones((len(stained), 2)), positive_dict=True, positive_code=True,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = learner.fit(stained).components_
        found = found / np.linalg.norm(found, axis=1, keepdims=True)
        found = found[np.argsort(-found[:, 0])]
        assert angles(estimate(image[None], "vahadane")[0], found).max() < 0.3


@pytest.mark.parametrize("method", METHODS)
def test_known_stains_are_found(method: str) -> None:
    found = estimate_pooled(np.stack([mixed(i) for i in range(4)]), method)
    assert found.shape == (2, 3)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert angles(found, TRUE).max() < 5


@pytest.mark.parametrize("method", [*METHODS, "reinhard"])
def test_a_common_target_is_what_most_patches_have(method: Any) -> None:
    """Three of one look and one of another, which pooled would give a third look."""
    alike = [mixed(i) for i in range(3)]
    apart = np.exp(np.log(mixed(4) / 255 + 0.01) * [1.6, 0.7, 0.4]) * 255
    target = common_target(np.stack([*alike, apart.clip(0, 255).astype(np.uint8)]), method)
    alone = fit_target(alike[0][None], method)
    for name in ("vectors", "strongest", "mean", "std"):
        if getattr(alone, name) is not None:
            assert np.allclose(getattr(target, name), getattr(alone, name), rtol=0.1, atol=0.02)
    with pytest.raises(ValueError, match="too little stained tissue"):
        common_target(np.full((2, 96, 96, 3), 240, np.uint8))


@pytest.mark.parametrize("method", [*METHODS, "reinhard"])
def test_what_has_no_stain_comes_back_as_it_is(method: Any) -> None:
    rng = np.random.default_rng(0)
    blank = np.full((5, 96, 96, 3), 243, np.uint8)
    blank[1] = 0
    blank[2] = (180, 120, 170)
    blank[3] = 255
    blank[4] = rng.integers(235, 250, (96, 96, 1))  # lighter than any stain, of one colour
    target = fit_target(mixed()[None], method)
    if method != "reinhard":
        assert np.isnan(estimate(blank, method)).all()
        assert (normalise(blank, target) == blank).all()
        with pytest.raises(ValueError, match="too little stained tissue"):
            fit_target(blank[:1], method)
    else:
        assert (normalise(blank[:4], target) == blank[:4]).all()
    both = normalise(np.concatenate([blank[:1], mixed()[None]]), target)
    assert np.abs(both[1].astype(int) - mixed()).mean() < 1.5  # its own target


@pytest.mark.parametrize("as_on_a_gpu", [False, True])
@pytest.mark.parametrize("method", [*METHODS, "reinhard"])
def test_tensors_and_arrays_give_the_same(
    method: Any, as_on_a_gpu: bool, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if as_on_a_gpu:
        monkeypatch.setattr("sentinode.stain.density.is_torch_array", lambda _: False)
    target = StainTarget.model_validate_json(fit_target(images[:2], method).model_dump_json())
    ours = normalise(images, target)
    tensor = normalise(torch.from_numpy(images), target)
    assert isinstance(tensor, torch.Tensor)
    assert np.abs(tensor.numpy().astype(int) - ours).max() <= 2
    assert (normalise(images[:1], target) == ours[:1]).all()  # whatever else is in the batch


def test_jitter_is_seeded_and_stays_near(images: Any) -> None:
    def drawn(seed: int, **sigmas: float) -> Any:
        return jitter(images, np.random.default_rng(seed), **sigmas)

    assert (drawn(1) == drawn(1)).all()
    assert (drawn(1) != drawn(2)).any()
    same = drawn(1, sigma_alpha=0, sigma_beta=0)
    assert np.abs(same.astype(int) - images).max() <= 1
    weak = np.abs(drawn(1, sigma_alpha=0.05, sigma_beta=0.01).astype(int) - images).mean()
    strong = np.abs(drawn(1, sigma_alpha=0.4, sigma_beta=0.1).astype(int) - images).mean()
    assert 0 < weak < strong < 60
    tensor = jitter(torch.from_numpy(images), np.random.default_rng(1)).numpy()
    assert np.abs(tensor.astype(int) - drawn(1)).max() <= 1


def test_mixing_stains_changes_their_colour_and_nothing_else() -> None:
    other = np.array([[0.75, 0.6, 0.28], [0.3, 0.9, 0.32]])
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    glass = np.full((96, 96, 3), 240, np.uint8)
    batch = np.stack([mixed(0), mixed(1, vectors=other), glass])
    seed = next(  # of the draw in which the first two are each other's partners
        s for s in range(99) if np.random.default_rng(s).permutation(3).tolist() == [1, 0, 2]
    )
    rng = np.random.default_rng(seed)
    rng.permutation(3)
    share = rng.uniform(0, 1, 3)

    out = mix_stains(batch, np.random.default_rng(seed))
    assert (out[2] == glass).all()
    own = estimate(batch)[:2].astype(float)
    for i, (mine, theirs) in enumerate(((own[0], own[1]), (own[1], own[0]))):
        expected = mine + share[i] * (theirs - mine)
        amounts = optical_density(batch[i]).reshape(-1, 3) @ np.linalg.pinv(mine)
        aims = optical_density(batch[i]).reshape(-1, 3) + amounts @ (expected - mine)
        assert np.abs(out[i].reshape(-1, 3).astype(int) - to_rgb(aims)).max() <= 1
        aimed = expected / np.linalg.norm(expected, axis=1, keepdims=True)
        assert (angles(estimate(out[i : i + 1])[0], aimed) < 0.5).all()
        assert (angles(aimed, mine) > 1).all()
    near = TRUE[[0, 0]] + np.array([[0, 0, 0], [-0.05, 0.05, 0]])  # some 4 degrees apart
    batch[1] = mixed(1, vectors=near / np.linalg.norm(near, axis=1, keepdims=True))
    assert np.isfinite(estimate(batch[1:2])).all()
    assert (mix_stains(batch, np.random.default_rng(seed)) == batch).all()
    batch[1] = mixed(1, vectors=other)
    assert np.abs(mix_stains(batch, rng, furthest=0).astype(int) - batch).max() <= 1
    tensor = mix_stains(torch.from_numpy(batch), np.random.default_rng(seed)).numpy()
    assert np.abs(tensor.astype(int) - out).max() <= 1


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"uint8 \(N, H, W, 3\), got float64 \(1, 8, 8, 3\)"):
        estimate(np.zeros((1, 8, 8, 3)))
    with pytest.raises(ValueError, match="method is one of macenko, vahadane, got 'khan'"):
        estimate(np.zeros((1, 8, 8, 3), np.uint8), "khan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lacks what it is applied with"):
        StainTarget(method="reinhard")


@pytest.mark.parametrize("percents", [(1.0, 99.0), (50.0,), (0.0, 100.0), (99.0,), (30.0, 70.0)])
def test_percentiles_are_numpys(percents: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    values = np.stack(
        [rng.normal(size=9216), rng.integers(0, 3, 9216), np.sort(rng.gamma(1, 1, 9216))]
    )
    counted = rng.random(values.shape) < np.array([[1.0], [0.4], [0.001]])
    ours = percentile(values, percents, counted=counted)
    also = percentile(torch.from_numpy(values), percents, counted=torch.from_numpy(counted))
    for i, percent in enumerate(percents):
        expected = [np.percentile(v[c], percent) for v, c in zip(values, counted, strict=True)]
        assert np.allclose(ours[i], expected, rtol=1e-12)
        assert np.allclose(also[i].numpy(), expected, rtol=1e-12)
    (none,) = percentile(values[:1], (50.0,), counted=np.zeros((1, 9216), bool))
    assert np.isnan(none).all()


@pytest.mark.parametrize("colour", [(243, 243, 243), (0, 0, 0), (180, 120, 170)])
def test_one_colour_is_no_target_in_lab(colour: tuple[int, int, int]) -> None:
    blank = np.full((2, 96, 96, 3), colour, np.uint8)
    for measure in (fit_target, common_target):
        with pytest.raises(ValueError, match="too little stained tissue, or one colour only"):
            measure(blank, "reinhard")
    with_tissue = np.concatenate([blank, mixed()[None]])
    assert common_target(with_tissue, "reinhard") == fit_target(mixed()[None], "reinhard")

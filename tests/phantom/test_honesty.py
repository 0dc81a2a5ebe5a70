"""No shortcut gives the label away."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sentinode.phantom import draw_patches, make_slide

SLIDES, PATCHES = 12, 50


@pytest.fixture(scope="module")
def patches() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (N, 96, 96, 3), label and slide of patches cut from a modest cohort."""
    pixels, labels, slides = [], [], []
    for index in range(SLIDES):
        slide = make_slide(11, index, side=768)
        for cut in draw_patches(slide, PATCHES, index):
            pixels.append(slide.image[cut.y : cut.y + 96, cut.x : cut.x + 96])
            labels.append(cut.label)
            slides.append(index)
    return np.stack(pixels), np.array(labels), np.array(slides)


def test_colour_does_not_tell(patches: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pixels, labels, slides = patches
    features = np.concatenate([pixels.mean((1, 2)), pixels.std((1, 2))], axis=1)
    assert 0.35 < labels.mean() < 0.55
    scores = cross_val_predict(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        features,
        labels,
        groups=slides,
        cv=GroupKFold(5),
        method="predict_proba",
    )[:, 1]
    assert roc_auc_score(labels, scores) <= 0.70


def test_optical_density_overlaps(patches: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pixels, labels, _ = patches
    density = -np.log10(pixels.astype(float).clip(1) / 255).mean((1, 2, 3))
    normal, tumour = density[labels == 0], density[labels == 1]
    # many a normal patch is paler than a pale tumour, and many darker than a dark one
    assert (normal < np.quantile(tumour, 0.25)).mean() > 0.1
    assert (normal > np.quantile(tumour, 0.75)).mean() > 0.1


def test_slides_differ_and_repeat() -> None:
    first, again, other = make_slide(5, 0, 512), make_slide(5, 0, 512), make_slide(6, 0, 512)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.image != other.image).mean() > 0.5


def test_every_fourth_slide_has_no_tumour() -> None:
    assert not make_slide(5, 3, 512).mask.any()

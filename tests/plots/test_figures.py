"""Figures and pictures, alone."""

import base64
import io
import re

import matplotlib as mpl
import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from sentinode.plots import (
    histogram_figure,
    patch_uris,
    reliability_figure,
    render,
    roc_figure,
    training_figure,
)
from sentinode.tables import Bin, Confusion, Curve, Figure, Histogram, OperatingPoint, Training


def point(threshold):
    shares = {"hits": 0.8, "misses": 0.2, "false_alarms": 0.1, "rightly_normal": 0.9}
    confusion = Confusion(
        hits=8, misses=2, false_alarms=1, rightly_normal=9, shares=shares, misses_per_false_alarm=2
    )
    figures = {"precision": Figure(value=0.9)}
    return OperatingPoint(
        threshold=threshold, rule="youden", said="", confusion=confusion, figures=figures
    )


CURVE = Curve(x=(0, 0.1, 1), y=(0, 0.8, 1), threshold=(None, 0.5, 0.1))
POINTS = {"chosen": point(0.4), "half": point(0.5)}


def test_figures_are_the_same_each_time_and_say_what_they_show():
    first = roc_figure(CURVE, 0.85, POINTS)
    assert first == roc_figure(CURVE, 0.85, POINTS)
    assert 'role="img" aria-label="ROC curve, area 0.850"' in first
    assert "at 0.400, chosen" in first
    assert first.startswith("<svg ")
    assert "xmlns" not in first
    assert "<text" in first


def test_names_inside_two_figures_differ():
    histogram = Histogram(edges=(0, 0.5, 1), tumour=(1, 4), normal=(6, 0))
    one, two = roc_figure(CURVE, 0.85, POINTS), histogram_figure(histogram, 0.5)
    names = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (one, two)]
    assert names[0]
    assert not names[0] & names[1]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', one))
    assert used <= names[0]


def test_a_figure_leaves_the_style_of_its_process_alone():
    before = dict(mpl.rcParams)
    roc_figure(CURVE, 0.85, POINTS)
    assert dict(mpl.rcParams) == before


def test_figures_of_nearly_nothing():
    one = (Bin(patches=1, mean_probability=0.3, share=0.0, low=0.0, high=0.8),)
    assert "0.30" in reliability_figure(one, one, 0.95)
    empty = Histogram(edges=(0, 1), tumour=(0,), normal=(3,))
    assert "tumour (0)" not in histogram_figure(empty, 0.5)


def test_training_figure_bears_gaps_and_marks_the_best_epoch():
    columns = {"epoch": (1.0, 2.0), "auc": (None, 0.7), "valid_auc": (None, None)}
    svg = training_figure(Training(columns=columns, best_epoch=2), "auc", "ROC AUC")
    assert "kept: 2" in svg
    assert "kept epoch 2" in svg


def decoded(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_patches_keep_their_colours_and_sides():
    patch = np.full((96, 96, 3), (200, 30, 90), np.uint8)
    image = decoded(patch_uris([patch])[0])
    assert image.size == (96, 96)
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 90)).max() < 4


def test_patches_are_reduced_only_where_they_must_be():
    noise = np.random.default_rng(0).integers(0, 256, (4, 300, 300, 3), np.uint8)
    assert {decoded(u).size for u in patch_uris(noise)} == {(192, 192)}
    tight = patch_uris(noise, budget=90_000)
    assert sum(map(len, tight)) <= 90_000
    assert {decoded(u).size for u in tight} == {(96, 96)}


def test_a_template_without_its_values_is_an_error():
    with pytest.raises(UndefinedError):
        render("report.html")

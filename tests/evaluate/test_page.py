"""The page: needs nothing but itself, stays small, and shows each patch with its own facts."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from builders.scored import SIDE, split_by_slide, written_case, written_set
from sentinode.config import EvaluateConfig
from sentinode.evaluate import evaluate, headline_lines, report_page
from sentinode.tables import Predictions
from sentinode.types import RESEARCH_USE_ONLY

QUICK = EvaluateConfig(resamples=100, examples=5)
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Reader(HTMLParser):
    """Text in order, every attribute, and whether elements nest."""

    def __init__(self, page):
        super().__init__()
        self.text, self.attributes, self.open, self.ids = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and (not self.open or self.open[-1] not in ("style", "title")):
            self.text.append(" ".join(data.split()))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All that can be given, its report and its page."""
    case = written_case(tmp_path_factory.mktemp("whole"))
    report = evaluate(
        case.predictions, QUICK, packed=case.packed, split=case.split, run_folder=case.run
    )
    return case, report, report_page(report, case.packed)


def outward(page):
    """Everything in a page that could make a browser ask for something else."""
    found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page)
    found += re.findall(r"@import|<script|<iframe|<object", page)
    found += [u for u in re.findall(r"url\(([^)]*)\)", page) if not u.startswith("#")]
    for _, name, value in Reader(page).attributes:
        if name in ("src", "href", "xlink:href", "srcset", "action") and not value.startswith(
            ("data:", "#")
        ):
            found.append(value)
    return found


def test_page_asks_for_nothing_and_is_well_formed(whole):
    *_, page = whole
    assert outward(page) == []
    reader = Reader(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert outward('<p>see http://example.org</p><img src="x.png">') != []


def test_first_line_says_how_honest_the_figures_are(whole):
    _, report, page = whole
    assert Reader(page).text[:2] == [report.headline, RESEARCH_USE_ONLY]
    assert 'class="standing"' in page
    assert headline_lines(report)[0] == report.headline


def test_first_line_of_an_optimistic_report(case):
    split = split_by_slide(case.packed, optimistic="patches were drawn one by one")
    report = evaluate(case.predictions, QUICK, packed=case.packed, split=split)
    page = report_page(report, case.packed)
    assert Reader(page).text[0].startswith("Optimistic: patches were drawn one by one. ")
    assert 'class="standing optimistic"' in page


def test_each_example_has_its_own_label_probability_and_picture(whole):
    case, report, page = whole
    manifest = case.packed.manifest.frame
    blocks = re.findall(r'<li data-id="([^"]+)">(.*?)</li>', page, flags=re.DOTALL)
    assert len(blocks) == len(report.examples) == 25
    table = case.predictions.frame.set_index("id")
    for patch, block in blocks:
        own = table.loc[patch]
        label = "tumour" if own["label"] else "normal"
        assert f'<span class="{label}">{label}</span> {own["probability"]:.3f}' in block
        assert f"Patch {patch}: {label}, probability {own['probability']:.3f}" in block
        data = re.search(r"base64,([^\"]+)", block).group(1)
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        row = manifest.index[manifest["id"] == patch][0]
        expected = case.packed.images[row, 0, 0].astype(int)
        assert np.abs(picture.reshape(-1, 3).mean(0) - expected).max() < 4
        inset = 50 * (1 - 32 / SIDE)
        assert f"left:{inset:.3f}%" in block


def test_page_without_set_or_run_still_stands(case):
    report = evaluate(case.predictions, QUICK)
    page = report_page(report)
    assert outward(page) == []
    assert "Without pictures, since no packed set was given" in page
    assert "<h2>Training</h2>" not in page


def test_page_shows_what_it_must(whole):
    _, report, page = whole
    text = " ".join(Reader(page).text)
    for needed in ("ROC AUC", "PR AUC", "Sensitivity", "Specificity", "Precision", "F1"):
        assert needed in text
    assert "the weights of epoch 3 kept" in text
    assert "audit: near-white" in text
    assert report.worst["slide"] in text
    for digest in report.provenance.inputs.values():
        assert digest in text
    assert "resamples = 42, split = 1, train = 3" in text
    confusion = report.at["chosen"].confusion
    assert f"{confusion.misses} misses to {confusion.false_alarms} false alarms" in text
    named = [value for tag, name, value in Reader(page).attributes if name == "aria-label"]
    assert len(named) == 9  # seven curves, and decision and coverage
    assert all(named)


def test_text_of_the_data_is_escaped(tmp_path):
    frame = pd.DataFrame({"id": ["<script>1", "b&b"], "label": [0, 1], "probability": [0.1, 0.8]})
    page = report_page(evaluate(Predictions.make(frame, {"x": "<b>"}), QUICK))
    assert "<script" not in page
    assert "&lt;script&gt;1" in page


def test_page_stays_small_at_200_000_noisy_patches(tmp_path):
    n, side = 200_000, 192
    rng = np.random.default_rng(0)
    label = rng.random(n) < 0.4
    frame = pd.DataFrame(
        {
            "id": [f"{i:040x}" for i in range(n)],
            "label": label.astype(int),
            "slide": [f"slide {i % 1500}" for i in range(n)],
            "excluded": np.where(
                rng.random(n) < 0.02, [f"reason {i % 400}" for i in range(n)], None
            ),
        }
    )
    small = written_set(tmp_path / "set")
    noise = rng.integers(0, 256, (1, side, side, 3), np.uint8)
    packed = replace(
        small,
        manifest=type(small.manifest).make(frame, {}),
        meta=small.meta.model_copy(update={"size": side, "count": n}),
        images=np.broadcast_to(noise, (n, side, side, 3)),
    )
    logit = rng.normal(np.where(label, 1, -1), 1.5)
    predictions = Predictions.make(frame.assign(logit=logit), {"long": ["x" * 1000] * 1000})
    report = evaluate(predictions, EvaluateConfig(resamples=100, examples=100), packed=packed)
    page = report_page(report, packed)
    assert len(report.examples) == 500
    assert len(page.encode()) < 15_000_000
    assert len(report.curves["roc"].x) <= 400
    assert outward(page) == []
    assert len(report.model_dump_json()) < 5_000_000


def test_no_examples_where_none_are_asked_for(case):
    report = evaluate(case.predictions, EvaluateConfig(resamples=100, examples=0))
    page = report_page(report, case.packed)
    assert report.examples == ()
    assert "data-id=" not in page
    assert "None were asked for" in page

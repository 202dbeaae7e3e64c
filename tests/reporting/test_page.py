"""The report as a page: complete in itself, the same numbers as `--json`, and names that stay names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import modelzero as mz
from helpers import climb
from modelzero.io.json import to_json
from modelzero.reporting.content import gather
from modelzero.reporting.page import page
from modelzero.reporting.shown import show

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "\u202egnp.exe",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;",
    "line\nbreak\x00\x1b[31m",
    "\u05d0\u05d1\u05d2 (1)",
    "javascript:alert(4)",
    "]]><!-- x -->",
)
RUNG = "<i>mine</i>\u202e"


@pytest.fixture(scope="module")
def ladder(digits, tmp_path_factory):
    """A climb with names that others could have chosen to do harm."""
    data = mz.ImageData(
        '<img src="x">', digits.train, digits.test, HOSTILE, source="/tmp/<b>&'\"", notes=("<u>noted</u> 5\u202e.",)
    )
    own = mz.Rung(RUNG, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), epochs=2, batch_size=64)
    folder = tmp_path_factory.mktemp("runs")
    return climb(data, ["majority", "centroid", own], seeds=2, runs_dir=folder), data


@pytest.fixture(scope="module")
def report(ladder):
    """What is gathered of it, with its images."""
    return gather([ladder[0]], data=ladder[1])


@pytest.fixture(scope="module")
def document(report):
    """What `--json` prints."""
    return json.loads(to_json(report.as_dict()))


@pytest.fixture(scope="module")
def text(report):
    return page(report)


@pytest.fixture(scope="module")
def tree(text, read_page):
    return read_page(text)


def looked_up(document, key):
    value = document
    for step in key.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def test_the_page_asks_nobody_for_anything(tree, text):
    """No address but anchors of the page itself and images that it holds; no style or script but its own two."""
    ids = [each.attributes["id"] for each in tree.walk() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for element in tree.walk():
        for name, value in element.attributes.items():
            assert not name.startswith("on"), element.tag
            assert name not in ("style", "srcset", "action", "background"), element.tag
            if name in ("href", "xlink:href"):
                assert value == "data:," or (value[0] == "#" and value[1:] in ids), value
            if name == "src":
                assert value.startswith("data:image/png;base64,")
            if name == "aria-labelledby":
                assert value in ids
    assert not re.search(r"url\(|@import|https?:", text)
    assert {each.tag for each in tree.walk()}.isdisjoint({"iframe", "object", "embed", "form", "input", "base", "use"})


def test_its_policy_allows_its_own_style_and_script_only(tree):
    """The hashes in the policy are those of the one style and the one script of the page."""
    policy = next(each for each in tree.all("meta") if "http-equiv" in each.attributes).attributes["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind in ("style", "script"):
        (element,) = tree.all(kind)
        digest = base64.b64encode(hashlib.sha256(element.text().encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_every_number_is_the_one_of_json(tree, document):
    """Each <data> names its place in the JSON document; value and text are those of that place."""
    hows = ("percent", "bare_percent", "confidence", "points", "bare_points", "count", "rate", "seconds", "decimal",
            "p", "bytes", "plain", "short")  # fmt: skip
    elements = tree.all("data")
    assert len(elements) > 300
    for element in elements:
        value = looked_up(document, element.attributes["data-key"])
        assert element.attributes["value"] == (
            "" if value is None else value if isinstance(value, str) else json.dumps(value)
        )
        shown = element.text()
        ways = {show(value, how) for how in hows if not (how == "plain" and isinstance(value, float))}
        assert shown in ways or (shown == "·" and value == 0), (element.attributes, shown)
    keys = {element.attributes["data-key"] for element in elements}
    for number, rung in enumerate(document["rungs"]):
        assert {f"rungs.{number}.{name}" for name in ("accuracy", "low", "high", "train_seconds")} <= keys
        assert {f"rungs.{number}.confusion.{row}.{column}" for row in range(10) for column in range(10)} <= keys
        assert {f"rungs.{number}.per_class.{label}.f1" for label in range(10)} <= keys
        assert {
            f"rungs.{number}.calibration.scaled.{name}" for name in ("nll", "brier", "ece_debiased", "ece_perfect")
        } <= keys
        assert rung["calibration"]["fitted_on"] + rung["calibration"]["scaled"]["n"] == 360
    assert {f"comparisons.{k}.{name}" for k in range(2) for name in ("difference", "low", "high", "p_adjusted")} <= keys


def test_no_number_stands_elsewhere(tree, document):
    """Digits outside of <data> are in charts, names, help, commands, or sentences that JSON has word for word."""
    sentences = {f"{place}.{k}": said for place in ("verdict", "audit") for k, said in enumerate(document[place])}
    for element, piece in tree.strings():
        around = list(element.up())
        if not re.search(r"\d", piece) or any(
            each.tag in ("data", "svg", "style", "script", "title", "bdi", "code", "time", "footer")
            or each.attributes.get("id") == "reading"
            or "known" in each.attributes.get("class", "")
            for each in around
        ):
            continue
        keyed = next((each for each in around if "data-key" in each.attributes), None)
        if keyed is not None:
            assert keyed.attributes["data-key"] in sentences
            continue
        allowed = (r"95 % interval", r"all 2 seeds", r"The 24 wrong predictions .* seed 42 .*", r"a ladder of 3 models",
                   r"with seed 42", r"mean confidence [\d.]+ %, accuracy [\d.]+ %", r"F1", r"bars are 95 % intervals",
                   r"80 to 90 % is as far as 90 to 95 %", r"\d+ in total", r"Intervals: 95 %, for models",
                   r"images show no miscalibration", r"kept at 1 because", r"95 % limit if perfectly")  # fmt: skip
        assert any(re.search(each, piece) for each in allowed), piece
    for key, said in sentences.items():
        (element,) = [each for each in tree.all("li") if each.attributes.get("data-key") == key]
        spelled = said.replace("\u202e", "\\u202e")
        assert " ".join(element.text().split()) == " ".join(spelled.split())


def test_numbers_of_the_charts_are_those_of_json(tree, document):
    """Marks say what they show: each rung's accuracy and time, each epoch's loss, each bin's accuracy."""
    tips = [
        each.text()
        for mark in tree.all("g", class_="tip")
        for each in mark.inside
        if getattr(each, "tag", "") == "title"
    ]
    for rung in document["rungs"]:
        interval = f"{show(rung['low'], 'bare_percent')} to {show(rung['high'], 'percent')}"
        figures = f"{show(rung['accuracy'], 'percent')} ({interval})"
        assert (
            sum(figures in tip and f"{show(rung['train_seconds'], 'seconds')} s of training" in tip for tip in tips)
            == 2
        )
        for epoch in rung["epochs"]:
            for name in ("train_loss", "test_loss"):
                assert any(
                    f"epoch {epoch['epoch']}, {name.replace('_', ' ')}: {show(epoch[name]['mean'], 'loss')} " in tip
                    for tip in tips
                )
        for each in rung["calibration"]["scaled"]["bins"]:
            assert any(
                f"with the temperature: {show(each['count'], 'count')} images with a confidence of "
                f"{show(each['confidence'], 'percent')}: {show(each['accuracy'], 'percent')} are correct" in tip
                for tip in tips
            )


def test_names_are_text_whatever_is_in_them(tree, text):
    """Markup, quotes, templates, direction marks and control characters come out as visible characters."""
    assert len(tree.all("script")) == len(tree.all("style")) == 1
    assert all(each.attributes["src"].startswith("data:image/png") for each in tree.all("img"))
    written = tree.text()
    for name in HOSTILE:
        visible = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in " ".join(name.split()))
        assert visible in written, visible
    assert "{{ 7 * 7 }}" in written
    assert "<i>mine</i>\\u202e" in written
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b]", text)
    # Isolated: what stands around keeps its order.
    assert sum(each.text() == "\u05d0\u05d1\u05d2 (1)" for each in tree.all("bdi")) > 5


def test_images_and_charts_have_words(tree):
    """Each image has an alternative text, each chart a title, each table that scrolls a name."""
    assert all(each.attributes["alt"].startswith("Test image") for each in tree.all("img"))
    assert len(tree.all("img")) >= 24
    charts = tree.all("svg", class_="chart")
    assert len(charts) == 2 + 2 + 3
    assert all(each.inside and each.attributes["role"] == "img" for each in charts)
    assert all(each.attributes["aria-label"] for each in tree.all("div", class_="scroll"))
    assert tree.all("html")[0].attributes["lang"] == "en"


def test_images_are_those_of_the_mistakes(tree, document, digits):
    """The first mistake of the last rung: its pixels, its class, what was said."""
    mistake = document["rungs"][2]["mistakes"][0]
    section = tree.all("details", id="rung-2")[0]
    tile = section.all("div", class_="tiles")[0].all("figure")[0]
    png = base64.b64decode(tile.all("img")[0].attributes["src"].partition(",")[2])
    shown = torch.from_numpy(np.array(Image.open(BytesIO(png))))
    assert (shown == digits.test.images[mistake["position"]][0]).all()
    assert int(digits.test.labels[mistake["position"]]) == mistake["truth"] != mistake["said"]


def test_everything_is_there_without_javascript(tree):
    """The script only adds: no element is hidden, and no table is empty without it."""
    assert not any("hidden" in each.attributes for each in tree.walk())
    assert all(each.all("tr") for each in tree.all("tbody"))
    for words in ("Verdict", "The ladder", "Loss and accuracy per epoch", "Each rung in detail", "How to read it",
                  "How to repeat it", "About the data"):  # fmt: skip
        assert any(each.text() == words for each in tree.all("h2"))


def test_the_same_records_give_the_same_page(ladder, text):
    """Nothing in it depends on when or how often it is made."""
    assert page(gather([mz.Ladder.read(ladder[0].path)], data=ladder[1])) == text


def test_images_that_cannot_be_found_are_said_to_be_missing(ladder, digits, read_page):
    """The source is gone, or holds other images: a table instead, and the reason."""
    gone = gather([ladder[0]])
    assert "the record does not say where" in gone.without_pictures
    tree = read_page(page(gone))
    assert not tree.all("img")
    assert "Without the images: the record does not say where" in tree.text()
    assert gather([ladder[0]], images=False).without_pictures == "they were not requested"


def test_other_images_than_those_of_the_runs_are_refused(ladder, digits, refuses):
    """Whoever names images means them: a report without them would not be what was asked for."""
    for data in (digits, "digits", "nowhere"):
        with refuses(mz.DataError, "not the images of these runs", "fingerprint"):
            gather([ladder[0]], data=data)


def test_ladder_report_writes_the_file(ladder, tmp_path, refuses):
    """`mz.report(ladder, path)` gives the path back; a folder that is not there is one line."""
    path = mz.report(ladder[0], tmp_path / "out.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "data:image/png" not in path.read_text(encoding="utf-8")
    mz.report(ladder[0], path, data=ladder[1])  # images that no record can find
    assert "data:image/png" in path.read_text(encoding="utf-8")
    with refuses(mz.SettingError, "gone", "there is no folder"):
        mz.report(ladder[0], tmp_path / "gone" / "out.html")
    with refuses(mz.SettingError, "cannot be written"):
        mz.report(ladder[0], tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.html"]
    assert mz.report([ladder[0].runs[0]], tmp_path / "one.html").stat().st_size > 10_000

"""``gan_book.report`` and ``gan-book report``: one file, complete, true to what was measured."""

from __future__ import annotations

import base64
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import gan_book as gb
from gan_book import measuring, run_page
from gan_book.cli import app
from gan_book.data import toys
from gan_book.model import latents
from tests.test_measuring import StandIn
from tests.tiny import tiny

IMAGE = re.compile(r'<img[^>]*?src="data:image/(?:png|webp);base64,([^"]+)"')


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "my <run>"
    images = gb.load_images("atelier", 16, n=90)
    recipe = tiny(size=[16, 16], sample_every=8)
    gb.train(recipe, images, folder, steps=5, progress=False)
    return folder


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """A small stand-in for the extractor, and few fresh pictures."""
    monkeypatch.setenv("GAN_BOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measuring, "FRESH", 100)
    monkeypatch.setattr(measuring, "open_extractor", lambda name, device: StandIn(name=name))
    measuring._painted.cache_clear()


def pictures_of(page: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in IMAGE.findall(page)]


class Tags(HTMLParser):
    """Which tags stand open at the end, and what the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img", "br", "input", "link"):
            self.open.append(tag)
        for key, value in attributes:
            if key in ("src", "href") and not str(value).startswith("data:"):
                self.fetched.append(str(value))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_of_a_run_is_one_complete_file(run):
    path = gb.report(run, n=40, seed=2)
    assert path == run / "report.html"
    page = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert (tags.open, tags.fetched) == ([], [])
    assert "<h1>my &lt;run&gt;</h1>" in page  # a folder's name is text, not markup
    headings = ["What it makes", "A walk", "How it grew", "Training curves", "Measurements",
                "Most suspicious pictures", "Card"]  # fmt: skip
    assert re.findall("<h2>(.*?)</h2>", page) == headings
    report = measuring.evaluate(run, n=40, seed=2, extractor=StandIn(name="gan-book-1"))
    for row in report.rows:
        cell = f"{1000 * row.kid.value:.1f} &plusmn; {1000 * row.kid.standard_error:.1f}"
        assert f'<th scope="row">{row.name}</th><td>{cell}</td>' in page
    for sentence in report.verdicts:
        assert sentence.replace("'", "&#39;") in page
    for fact in ("licence", "fingerprint", "images seen", "batch_size"):
        assert f'<th scope="row">{fact}</th>' in page


def test_suspicious_pairs_show_the_pictures_they_name(run):
    """Left the generated picture of that number, right the training picture nearest to it."""
    images = gb.load_images("atelier", 16, n=90)
    report = measuring.evaluate(run, images, n=40, extractor=StandIn(name="gan-book-1"))
    model = gb.load_run(run)
    real, made, near = run_page.compared_pictures(model, images, report)
    split = measuring.split_of(model, images, measuring._records(model)[1])
    assert torch.equal(real, images.images[split.held_out])
    assert torch.equal(made, model.sample(40, seed=0))
    trained = {bytes(x.numpy().tobytes()) for x in images.images[split.train]}
    assert {bytes(x.numpy().tobytes()) for x in near} == trained
    shown = gb.report(run, images=images, n=40).read_text(encoding="utf-8")
    pairs = report.memorization.suspicious[: run_page.SUSPECTS]
    for pair, picture in zip(pairs, pictures_of(shown)[-len(pairs) :], strict=True):
        scale = (picture.height - 8 * 2) // 16
        wanted = run_page._side_by_side(made[pair.generated], near[pair.train])
        assert picture.size == wanted.size
        assert picture.convert("RGB").tobytes() == wanted.tobytes()
        assert scale >= 1


def test_circle_is_the_closed_curve_that_it_says(run):
    model = gb.load_run(run)
    a, b = latents(2, 4, 7)
    frames = run_page.circle(model, 7, frames=8)
    quarter = model.generator(torch.stack([a, b, -a, -b]))
    assert torch.equal(frames[::2], gb.to_uint8(quarter))  # cos(pi / 2) is 6e-17, below a level
    z = torch.stack([math.cos(t) * a + math.sin(t) * b for t in (math.pi / 4,)])
    assert torch.equal(frames[1:2], gb.to_uint8(model.generator(z)))


def test_conditional_walks_go_through_the_classes(monkeypatch):
    model = gb.load_model("atelier-32-styles", device="cpu")
    asked = []
    forward = model.generator.forward

    def listening(z, labels=None):
        asked.append(labels)
        return forward(z, labels)

    monkeypatch.setattr(model.generator, "forward", listening)
    run_page._walk(model, 0)
    assert [labels.unique().tolist() for labels in asked] == [[0], [3], [6], [9]]


def test_what_cannot_be_measured_is_said(tmp_path):
    page = gb.report("landscapes-16", tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert "Nothing was measured: Say what to measure against" in page
    assert "Most suspicious" not in page
    assert "How it grew" not in page


def test_sentences_for_bad_input(run, tmp_path):
    with pytest.raises(gb.GanBookError, match=r"name that ends in \.html"):
        gb.report(run, tmp_path / "page.txt")
    with pytest.raises(gb.GanBookError, match="Say where the page"):
        gb.report("landscapes-16")
    (tmp_path / "file").write_text("here")
    with pytest.raises(gb.GanBookError, match="cannot be written"):
        gb.report("landscapes-16", tmp_path / "file" / "page.html")
    points = gb.train("ring", toys.ring(), steps=1, progress=False)
    with pytest.raises(gb.GanBookError, match="makes points"):
        gb.report(points, tmp_path / "page.html")


def test_command_line(run, tmp_path):
    out = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["report", str(run), "--out", str(out), "--seed", "1"])
    assert done.exit_code == 0, done.stderr
    assert out.is_file()
    assert str(out) in done.stdout
    bad = CliRunner().invoke(app, ["report", str(tmp_path / "nothing"), "--out", str(out)])
    assert bad.exit_code == 2
    assert "There is no run or model" in bad.stderr

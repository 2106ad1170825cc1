"""The rules for notebooks and the bibliography can fail."""

from __future__ import annotations

import copy
import json

import pytest

from tests.tools import citations, install_cell, lint_notebooks


def cell(kind, source, *, tags=(), outputs=(), alt=None, id=""):
    content = {"cell_type": kind, "id": id or f"c{abs(hash(source))}", "source": source}
    content["metadata"] = {"tags": list(tags)} if tags else {}
    if alt is not None:
        content["metadata"]["mystnb"] = {"image": {"alt": alt}}
    if kind == "code":
        content |= {"execution_count": 1, "outputs": list(outputs)}
    return content


PICTURE = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo="}}


def good():
    """Return a notebook that keeps all rules."""
    cells = [
        cell("markdown", "# A chapter\n\nOne `{cite}` in code and $x_{i}$ in math.\n\n> a box"),
        cell("code", install_cell.install_cell("about 60 s, 1 GB")),
        cell("code", "gb.show(x)", outputs=[PICTURE], alt="Four painted pictures in a row"),
        cell("markdown", "```python\nx = {1: 2}\n```\n\n![A dune under a sun](_assets/dune.png)"),
    ]
    for i in range(1, 5):
        cells.append(cell("markdown", f"### Exercise 4.1.{i}\n\n*By hand.* Why?"))
    for i in range(1, 4):
        text = f"<details>\n<summary>Solution of 4.1.{i}</summary>\n\nSo.\n\n</details>"
        cells.append(cell("markdown", text))
    cells.append(cell("code", "#@title Solution of 4.1.4\nx = 1", tags=["hide-cell"]))
    metadata = {"kernelspec": {"name": "python3"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def check(tmp_path, notebook):
    path = tmp_path / "chapter.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return lint_notebooks.problems(path)


def test_a_good_notebook_passes(tmp_path):
    assert check(tmp_path, good()) == []


def edit(**changes):
    """Return a function that changes one cell of the good notebook."""

    def apply(notebook):
        notebook["cells"][changes["at"]] |= {k: v for k, v in changes.items() if k != "at"}

    return apply


BREAKS = {
    "kernel": (lambda n: n["metadata"]["kernelspec"].update(name="conda-env"), "its kernel is"),
    "old format": (lambda n: n.update(nbformat_minor=4), "older than 4.5"),
    "two titles": (lambda n: n["cells"].append(cell("markdown", "# Again")), "2 headings"),
    "same ids": (lambda n: n["cells"].append(copy.deepcopy(n["cells"][3])), "same id"),
    "widgets": (lambda n: n["metadata"].update(widgets={}), "widget state"),
    "install cell": (edit(at=1, source="!pip install gan_book"), "install_cell.py"),
    "directive": (edit(at=3, source="```{note}\nNo.\n```"), "only the book renders"),
    "colon fence": (edit(at=3, source=":::{tip}\nNo.\n:::"), "only the book renders"),
    "role": (edit(at=3, source="As {cite}`mescheder2018` shows"), "only the book renders"),
    "target": (edit(at=3, source="(some-target)=\n## Title"), "only the book renders"),
    "markdown alt": (edit(at=3, source="![](_assets/dune.png)"), "no alt text"),
    "html alt": (edit(at=3, source='<img src="_assets/dune.png">'), "no alt text"),
    "remote": (edit(at=3, source="![A dune](https://x.org/a.png)"), "another host"),
    "output alt": (edit(at=2, metadata={}), "without alt text"),
    "poor alt": (edit(at=2, metadata={"mystnb": {"image": {"alt": "figure"}}}), "too little"),
    "skip": (edit(at=2, metadata={"tags": ["nbval-skip"]}, outputs=[]), "nbval-skip"),
    "not run": (edit(at=2, execution_count=None), "never run"),
    "error": (edit(at=2, outputs=[{"output_type": "error", "ename": "E"}]), "is an error (E)"),
    "warning": (
        edit(at=2, outputs=[{"output_type": "stream", "name": "stderr", "text": "x Warning: y"}]),
        "stored warning",
    ),
    "cdn": (
        edit(
            at=2,
            outputs=[
                {
                    "output_type": "display_data",
                    "data": {"text/html": '<link rel="stylesheet" href="https://cdn/x.css">'},
                }
            ],
        ),
        "another host",
    ),
    "exercises": (lambda n: n["cells"].pop(4), "3 exercises"),
    "no solution": (lambda n: n["cells"].pop(), "exercise 4.1.4 has no solution"),
    "no kind": (edit(at=4, source="### Exercise 4.1.1\n\nWhy?"), "its first word the kind"),
    "subtitle": (edit(at=4, source="### Exercise 4.1.1: a\n\n*By hand.* Why?"), "number alone"),
    "voice": (edit(at=3, source="It moves towards the mean."), "American spelling: 'towards'"),
    "voice of an alt": (
        edit(at=2, metadata={"mystnb": {"image": {"alt": "A grey picture"}}}),
        "American spelling: 'grey'",
    ),
    "unfolded": (edit(at=-1, metadata={}), "tag it hide-cell"),
    "large": (
        lambda n: n["cells"].append(cell("markdown", "x" * 1_100_000)),
        "KB; at most 1024 KB",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_broken_rule_is_found(tmp_path, name):
    change, said = BREAKS[name]
    notebook = good()
    change(notebook)
    lines = check(tmp_path, notebook)
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The colours of neighbours.", ["'colours'", "'neighbours'"]),
        ("a licence, modelled and normalised", ["'licence'", "'modelled'", "'normalised'"]),
        ("It is is so.", ["twice the same word: 'is is'"]),
        ("16x16 and 4 x 4 pixels", ["'16x16'", "'4 x 4'"]),
        ("5% or 5 percent", ["'5%'", "'5 percent'"]),
        ("And afterwards. ∎", ["'afterwards'", "'∎'"]),
        ("see [2.4](adversarial-game.ipynb)", ["by its title: '[2.4]'"]),
    ],
)
def test_another_voice_is_heard(text, said):
    lines = list(lint_notebooks.voice(text))
    assert len(lines) == len(said)
    assert all(any(part in line for line in lines) for part in said), lines


def test_the_voice_is_heard_in_prose_only():
    for text in (
        "5 % of 16 × 16, toward the neighbor's color; analyses of paradise, had it had $a$ that",
        "`image.licence` and ```towards```, $16x16$, [2.4-01](adversarial-game.ipynb)",
        "```\npad 3x3 grey\n```\n[a colored link](https://x.org/colour/16x16%20)",
    ):
        assert list(lint_notebooks.voice(text)) == []


def test_the_pages_have_the_voice():
    lines = [
        line for p in lint_notebooks.pages() for line in lint_notebooks.voice(p.read_text("utf-8"))
    ]
    assert lines == []


def test_equal_alt_texts_and_the_average_are_found(tmp_path):
    paths = []
    for name in ("one", "two"):
        notebook = good()
        notebook["cells"].append(cell("markdown", "x" * 500_000))
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps(notebook), encoding="utf-8")
        paths.append(path)
    lines = lint_notebooks.across(paths)
    assert len(lines) == 2
    assert "on average" in lines[0]
    assert "also in one.ipynb" in lines[1]


BIB = """
@article{a2018,
  title  = {A},
  author = {S{\\o}nderby, C. K. and Bi{\\'n}kowski, M.},
  year   = {2018},
  note   = {arXiv 2017},
  url    = {https://arxiv.org/abs/1801.04406}
}
@article{b2020,
  title = {B}, doi = {10.1145/3422622}
}
"""


def test_bibliography_agrees():
    pages = {
        "one.ipynb": "[Sønderby and Bińkowski, 2018](https://arxiv.org/abs/1801.04406v2)",
        "two.md": "{cite:t}`b2020`",
    }
    assert citations.problems(BIB, pages) == []
    pages["two.md"] = "[B](https://doi.org/10.1145/3422622)."
    assert citations.problems(BIB, pages) == []


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("https://arxiv.org/abs/1406.2661", "one.md: arxiv:1406.2661 is not in references.bib"),
        ("https://doi.org/10.1000/xyz.", "one.md: doi:10.1000/xyz is not in references.bib"),
        ("{cite}`c2000`", "one.md: c2000 is not in references.bib"),
        ("{cite}`a2018`", "references.bib: b2020 is cited nowhere"),
        ("https://openreview.net/forum?id=xyz", "url:openreview.net/forum?id=xyz is not in"),
        ("[Sønderby et al., 2018](https://arxiv.org/abs/1801.04406)", "names other authors"),
        ("[Sønderby, 2018](https://arxiv.org/abs/1801.04406)", "names other authors"),
        ("[Xu and Zhu, 2018](https://arxiv.org/abs/1801.04406)", "names other authors"),
        ("[Xu and Zhu, 2018](https://example.org/paper)", "a place that this tool does not know"),
        (
            "[Sønderby and Xu, 2019](https://arxiv.org/abs/1801.04406)",
            "has another year than a2018",
        ),
    ],
)
def test_each_difference_is_found(page, said):
    lines = citations.problems(BIB, {"one.md": page})
    assert any(said in line for line in lines), lines


def test_entries_without_a_link_or_standing_twice_are_found():
    lines = citations.problems("@book{x, title = {X}}\n@book{x, title = {Y}}\n", {})
    assert "references.bib: x has no link" in lines
    assert "references.bib: x stands twice" in lines


def test_unnamed_authors_are_found():
    bib = "@misc{x,\n  author = {A, B and others},\n  doi = {10.1145/3422622}\n}\n"
    assert "references.bib: x hides authors behind 'others'" in citations.misnamed(bib, {})

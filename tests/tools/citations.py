"""The bibliography: every cited work is in references.bib, and nothing else is.

    python tests/tools/citations.py      status 1 if the two differ

A citation is a link to arXiv or a DOI in a notebook or page, or a {cite} in a page. A link that
gives a year names the work as its entry does: "[A, 2018]", "[A and B, 2018]", "[A et al., 2018]".
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import notebooks

ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5}|[a-z-]+/\d{7})", re.IGNORECASE)
DOI = re.compile(r"(?:dx\.)?doi\.org/(10\.\d{4,9}/[^\s)\"'<>\]}]+)", re.IGNORECASE)
# Proceedings and reviews that have neither: the link itself identifies the work.
OTHER = re.compile(
    r"https?://((?:proceedings\.(?:mlr\.press|neurips\.cc)|papers\.nips\.cc|openreview\.net|"
    r"openaccess\.thecvf\.com|jmlr\.org|www\.jmlr\.org|distill\.pub|eprint\.iacr\.org)"
    r"/[^\s)\"'<>\]}]+)"
)
CITE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
ENTRY = re.compile(r"(?m)^@(\w+)\{([^,\s]+),")
LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s)]+)\)")
YEAR = re.compile(r"\b(?:19|20)\d\d")
NAMED = re.compile(r"[^,]+, (?:19|20)\d\d[a-z]?")
LETTERS = str.maketrans({"ı": "i", "ł": "l", "ø": "o"})


def works(text: str) -> set[str]:
    """Return the works that a text links to, in one normal form each."""
    found = {f"arxiv:{id.lower()}" for id in ARXIV.findall(text)}
    for doi in DOI.findall(text):
        name = doi.rstrip(".,;").lower()
        arxiv = re.fullmatch(r"10\.48550/arxiv\.(.+)", name)
        found.add(f"arxiv:{arxiv.group(1)}" if arxiv else f"doi:{name}")
    return found | {f"url:{url.rstrip('.,;/')}" for url in OTHER.findall(text)}


def bodies(bib: str) -> dict[str, str]:
    """Return {key: text} of a BibTeX file."""
    marks = list(ENTRY.finditer(bib))
    ends = [mark.start() for mark in marks[1:]] + [len(bib)]
    return {m.group(2): bib[m.start() : end] for m, end in zip(marks, ends, strict=True)}


def entries(bib: str) -> dict[str, set[str]]:
    """Return {key: works} of a BibTeX file."""
    result = {}
    for key, body in bodies(bib).items():
        found = works(body)
        for doi in re.findall(r"(?i)\bdoi\s*=\s*[{\"]\s*(10\.[^}\"]+)", body):
            found |= works(f"https://doi.org/{doi.strip()}")
        for eprint in re.findall(r"(?i)\beprint\s*=\s*[{\"]\s*([\w./-]+)", body):
            found |= works(f"https://arxiv.org/abs/{eprint}")
        result[key] = found
    return result


def field(body: str, name: str) -> str:
    """Return one field of an entry, "" if it has none."""
    found = re.search(rf"(?mi)^\s*{name}\s*=\s*\{{(.*)\}},?\s*$", body)
    return found.group(1) if found else ""


def plain(name: str) -> str:
    """Return a name without accents, braces and capitals."""
    letters = unicodedata.normalize("NFD", name.lower().translate(LETTERS))
    return "".join(c for c in letters if c.isalpha() or c.isspace())


def misnamed(bib: str, pages: dict[str, str]) -> list[str]:
    """Return a line for each link whose names or year differ from the entry's."""
    by_work = {work: key for key, found in entries(bib).items() for work in found}
    texts = bodies(bib)
    lines = [
        f"references.bib: {key} hides authors behind 'others'"
        for key, body in texts.items()
        if "others" in field(body, "author").split(" and ")
    ]
    for name, page in pages.items():
        for words, url in LINK.findall(page):
            if NAMED.fullmatch(words) and not works(url):
                lines.append(f"{name}: {words!r} links to a place that this tool does not know")
            keys = [by_work[work] for work in works(url) if work in by_work]
            if not keys or not YEAR.search(words):
                continue
            body = texts[keys[0]]
            authors = [author.split(",")[0] for author in field(body, "author").split(" and ")]
            # {\o} and {\i} are letters; other commands set an accent.
            first = plain(re.sub(r"\{\\([a-z])\}|\\[^a-z]", r"\1", authors[0]))
            joint = 3 if "et al." in words else 2 if " and " in words else 1
            if plain(words).find(first) < 0 or joint != min(len(authors), 3):
                lines.append(f"{name}: {words!r} names other authors than {keys[0]}")
            if YEAR.findall(words)[0] != field(body, "year"):
                lines.append(f"{name}: {words!r} has another year than {keys[0]}")
    return lines


def problems(bib: str, pages: dict[str, str]) -> list[str]:
    """Return a line for each work that is cited and not listed, or listed and not cited."""
    listed = entries(bib)
    lines = []
    keys = [key for _, key in ENTRY.findall(bib)]
    lines += [f"references.bib: {k} stands twice" for k in sorted(set(keys)) if keys.count(k) > 1]
    lines += [f"references.bib: {key} has no link" for key, found in listed.items() if not found]
    known = set().union(*listed.values()) if listed else set()
    cited: set[str] = set()
    named: set[str] = set()
    for name, text in pages.items():
        found = works(text)
        lines += [f"{name}: {work} is not in references.bib" for work in sorted(found - known)]
        cited |= found
        for group in CITE.findall(text):
            for key in group.split(","):
                named.add(key.strip())
                if key.strip() not in listed:
                    lines.append(f"{name}: {key.strip()} is not in references.bib")
    lines += [
        f"references.bib: {key} is cited nowhere"
        for key, found in listed.items()
        if key not in named and found and not found & cited
    ]
    return lines + misnamed(bib, pages)


def pages() -> dict[str, str]:
    """Return the text of every notebook and page of the book."""
    texts = {}
    for path in notebooks.notebook_files():
        texts[path.name] = "\n\n".join(c["source"] for c in notebooks.cells(path, "markdown"))
    for path in sorted(notebooks.BOOK.glob("*.md")):
        texts[path.name] = path.read_text(encoding="utf-8")
    return texts


def main() -> int:
    """Check the book; return the exit status."""
    lines = problems((notebooks.BOOK / "references.bib").read_text(encoding="utf-8"), pages())
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

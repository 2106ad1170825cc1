"""How to cite and reuse: CITATION.cff, the page, the licenses and the files themselves agree."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import gan_book
from gan_book.data.named import _SETS
from tests.tools import address

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "citing.md").read_text(encoding="utf-8")
BIBTEX = re.findall(r"```bibtex\n(.*?)```", PAGE, re.DOTALL)
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(text: str) -> set[str]:
    """Return the words of a text."""
    return set(text.split())


# The names that version 1.2.0 of the Citation File Format knows, from its schema.
ROOT_KEYS = names("""
    abstract authors cff-version commit contact date-released doi identifiers keywords license
    license-url message preferred-citation references repository repository-artifact
    repository-code title type url version""")
REFERENCE_KEYS = names("""
    abbreviation abstract authors collection-doi collection-title collection-type commit conference
    contact copyright data-type database database-provider date-accessed date-downloaded
    date-published date-released department doi edition editors editors-series end entry filename
    format identifiers institution isbn issn issue issue-date issue-title journal keywords languages
    license license-url loc-end loc-start location medium month nihmsid notes number number-volumes
    pages patent-states pmcid publisher recipients repository repository-artifact repository-code
    scope section senders start status term thesis-type title translators type url version volume
    volume-title year year-original""")
PERSON_KEYS = names("""
    address affiliation alias city country email family-names fax given-names name-particle
    name-suffix orcid post-code region tel website""")
ENTITY_KEYS = names("""
    address alias city country date-end date-start email fax location name orcid post-code region
    tel website""")


def faults(citation: dict) -> list[str]:
    """Return what the format's schema would refuse, as far as names and types go."""
    lines = [f"missing: {key}" for key in ("authors", "cff-version", "message", "title")
             if not citation.get(key)]  # fmt: skip
    lines += [f"unknown: {key}" for key in sorted(set(citation) - ROOT_KEYS)]
    if citation.get("cff-version") != "1.2.0":
        lines.append("cff-version is not 1.2.0")
    if citation.get("type", "software") not in ("software", "dataset"):
        lines.append(f"type: {citation['type']}")
    lines += [f"not a text: {key}" for key in ("version", "title", "message", "abstract")
              if key in citation and not isinstance(citation[key], str)]  # fmt: skip
    preferred = citation.get("preferred-citation", {})
    for key in ("authors", "title", "type"):
        if preferred and not preferred.get(key):
            lines.append(f"missing in preferred-citation: {key}")
    lines += [
        f"unknown in preferred-citation: {k}" for k in sorted(set(preferred) - REFERENCE_KEYS)
    ]
    for author in [*citation.get("authors", []), *preferred.get("authors", [])]:
        known = ENTITY_KEYS if "name" in author else PERSON_KEYS
        lines += [f"unknown in an author: {key}" for key in sorted(set(author) - known)]
    return lines


def field(entry: str, name: str) -> str:
    """Return one field of a BibTeX entry, without its outer braces."""
    found = re.search(rf"(?m)^\s*{name}\s*=\s*\{{(.*)\}},?$", entry)
    return found.group(1) if found else ""


def test_the_citation_file_has_only_names_of_its_format():
    assert faults(CITATION) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"licence": "MIT"}, "unknown: licence"),
        ({"authors": []}, "missing: authors"),
        ({"version": 0.1}, "not a text: version"),
        ({"type": "book"}, "type: book"),
        ({"authors": [{"name": "A", "given-names": "B"}]}, "unknown in an author: given-names"),
        ({"preferred-citation": {"type": "book", "title": "T"}},
         "missing in preferred-citation: authors"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_found(change, said):
    assert said in faults(CITATION | change)


def test_one_version_everywhere():
    version = PROJECT["version"]
    assert gan_book.__version__ == version
    assert CITATION["version"] == version
    assert CITATION["preferred-citation"]["version"] == version
    assert set(re.findall(r"[Vv]ersion (\d+\.\d+\.\d+)", PAGE)) == {version}
    assert len(re.findall(rf"Version {re.escape(version)}", "".join(BIBTEX))) == 2


def test_the_entries_name_authors_titles_and_the_address():
    book, package = BIBTEX
    assert book.startswith("@book{")
    assert package.startswith("@misc{")
    preferred = CITATION["preferred-citation"]

    def plain(text: str) -> str:
        return re.sub(r"[{}\\]|url", "", text)

    assert plain(field(book, "title")) == preferred["title"]
    assert plain(field(package, "title")) == CITATION["title"]
    assert field(book, "year") == field(package, "year") == str(preferred["year"])
    for entry in BIBTEX:
        assert plain(field(entry, "author")) == CITATION["authors"][0]["name"]
        assert entry.count("{") == entry.count("}")
        assert f"{{{address.repository()}}}" in entry


def test_licenses_are_those_of_the_files():
    assert CITATION["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert CITATION["preferred-citation"]["license"] == "CC-BY-4.0"
    assert "CC BY 4.0" in (ROOT / "LICENSE-TEXT").read_text(encoding="utf-8")
    assert PROJECT["license"] == "MIT AND CC-BY-4.0"


def test_each_model_is_free_as_the_page_says():
    cards = [*ROOT.glob("data/models/*/card.json"), *ROOT.glob("data/models/*/*/translator.json")]
    assert len(cards) >= 10
    for path in cards:
        card = json.loads(path.read_text(encoding="utf-8"))
        assert card["licence"].startswith("CC BY 4.0"), path


def row(first: str) -> str:
    """Return the row of the page's tables that begins with a cell."""
    found = [line for line in PAGE.splitlines() if line.startswith(f"| {first} |")]
    assert len(found) == 1, f"{len(found)} rows begin with {first}"
    return found[0]


def test_each_vendored_folder_is_named_with_its_license():
    said = {"Apache 2.0": "Apache License", "SIL OFL 1.1": "SIL Open Font License, Version 1.1"}
    for folder in (ROOT / "book" / "_assets" / "vendor").iterdir():
        (line,) = [line for line in PAGE.splitlines() if f"_assets/vendor/{folder.name}`" in line]
        (name,) = [name for name in said if name in line]
        text = re.sub(r"\s+", " ", (folder / "LICENSE").read_text(encoding="utf-8"))
        assert said[name] in text, folder


def test_each_npm_package_is_named_with_its_license():
    package = json.loads((ROOT / "tests/npm/package.json").read_text(encoding="utf-8"))
    lock = json.loads((ROOT / "tests/npm/package-lock.json").read_text(encoding="utf-8"))
    for name in package["dependencies"] | package["devDependencies"]:
        license = lock["packages"][f"node_modules/{name}"]["license"]
        assert license.replace("-", " ") in row(name), f"{name} is under {license}"


def test_each_named_set_is_listed_with_its_license():
    for one in _SETS:
        assert row(f"`{one.name}`").split("|")[2].strip() == one.licence

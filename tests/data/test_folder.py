from __future__ import annotations

import io
import json
import os
import shutil
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_book.data import listing, load_images
from gan_book.errors import GanBookError
from tests.data.folders import fill, load, reasons, zip_of
from tests.data.hostile import REASONS, bad_kinds, encoded, make_hostile_folder, painting


def test_a_thousand_good_and_forty_bad_files(tmp_path: Path) -> None:
    bad = make_hostile_folder(tmp_path / "pictures")
    assert len(bad) == 40
    assert len(set(bad.values())) == len(bad_kinds()) >= 12
    images = load(tmp_path / "pictures", size=32, min_images=1000)
    report = images.report
    assert report is not None
    assert len(images) == report.kept == 1000
    assert reasons(images).keys() == bad.keys()
    for name, reason in report.refused:
        assert REASONS[bad[name]] in reason, (name, reason)
    assert report.ignored == 4  # Thumbs.db, notes.txt, .hidden.png, __MACOSX
    assert images.ids == tuple(sorted(images.ids))
    assert images.label_names == ("bright", "dark")
    assert torch.bincount(images.labels).tolist() == [500, 500]
    again = load(tmp_path / "pictures", size=32)
    assert again.report is not None
    assert again.report.from_cache
    assert again.report.refused == report.refused
    assert again.fingerprint() == images.fingerprint()
    with pytest.raises(GanBookError, match=r"Only 1000 of 1040 .* 2000 needed.*bad-00-empty"):
        load(tmp_path / "pictures", size=32, min_images=2000)


def test_order_labels_and_ids(tmp_path: Path) -> None:
    root = fill(tmp_path, ["b/2.png", "a/1.png", "b/1.png", "a/deep/3.png", "a/B.png"])
    images = load(root)
    assert images.ids == ("a/1.png", "a/B.png", "a/deep/3.png", "b/1.png", "b/2.png")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert images.name == tmp_path.name
    assert load(root, labels=False).labels is None
    fill(tmp_path, ["loose.png"])
    assert load(root).labels is None  # one picture lies in no subfolder
    only = load(root / "b")
    assert only.labels is None
    assert len(only) == 2


def test_every_kind_of_size_and_channels(tmp_path: Path) -> None:
    root = fill(tmp_path, ["a.png", "b.png"])
    assert load(root, size=(8, 12)).images.shape == (2, 3, 8, 12)
    assert load(root, channels=1).images.shape == (2, 1, 8, 8)
    for size in (2, (8, 8, 8), "8", 8.5, None, (8, "8")):
        with pytest.raises(GanBookError, match="size"):
            load(root, size=size)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: p / "missing", "no file or folder"),
        (lambda p: str(p / "missing.zip"), "no file or folder"),
        (lambda p: p, "no pictures"),
        (lambda p: (p / "x.zip").write_bytes(b"no zip at all") and p / "x.zip", "no zip archive"),
        (lambda p: (p / "x.zip").write_bytes(b"") or p / "x.zip", "no zip archive"),
        (lambda p: fill(p, ["one.png"]) / "one.png", "a single file"),
        (lambda p: fill(p, ["one.png"]), "Only 1 of 1 .* fewer than the 2"),
        (lambda p: zip_of(p / "e.zip", {}), "no pictures"),
        (lambda p: zip_of(p / "t.zip", {"a.txt": b"hello"}), r"only 1 other files"),
        (lambda p: "nul\0byte/", "cannot be opened"),
        (lambda p: "x" * 5000 + "/y", "cannot be opened"),
        (lambda p: "no-such-set", "hf:owner/name"),
        (lambda p: "ateliers", "did you mean 'atelier'"),
        (lambda p: "fashion-mist", "did you mean 'fashion-mnist'"),
        (lambda p: 7, "int"),
    ],
)
def test_impossible_sources_get_a_sentence(tmp_path: Path, make, sentence: str) -> None:
    with pytest.raises(GanBookError, match=sentence) as error:
        load(make(tmp_path))
    assert "\n" not in str(error.value)


def test_impossible_options_get_a_sentence(tmp_path: Path) -> None:
    root = fill(tmp_path, ["a.png", "b.png"])
    for option, value in (
        ("n", 0),
        ("n", 3),
        ("n", 1.5),
        ("channels", 2),
        ("crop", "x"),
        ("background", "x"),
        ("min_images", 0),
        ("styles", ("x",)),
    ):
        with pytest.raises(GanBookError, match=option):
            load(root, **{option: value})


def test_n_draws_with_the_seed(tmp_path: Path) -> None:
    root = fill(tmp_path, [f"{i:02d}.png" for i in range(20)])
    some = load(root, n=5)
    assert len(some) == 5
    assert some.ids == tuple(sorted(some.ids)) == load(root, n=5).ids
    assert some.ids != load(root, n=5, seed=1).ids


def test_an_image_set_is_resized(tmp_path: Path) -> None:
    images = load(fill(tmp_path, ["x/a.png", "y/b.png"]), size=16)
    assert load_images(images, 16) is images
    small = load_images(images, 8, channels=1)
    assert small.images.shape == (2, 1, 8, 8)
    assert torch.equal(small.labels, images.labels)


def test_duplicates_are_kept_and_counted(tmp_path: Path) -> None:
    root = fill(tmp_path, ["a.png", "b.png"])
    for name in ("c.png", "d.jpg"):
        shutil.copy(root / "a.png", root / name)
    images = load(root)
    assert images.report is not None
    assert (len(images), images.report.duplicates) == (4, 2)


def test_links_and_odd_names(tmp_path: Path) -> None:
    root = fill(tmp_path / "in", ["a.png", "b\nc.png", "d/e.png"])
    fill(tmp_path / "out", ["far.png"])
    (root / "linked.png").symlink_to(tmp_path / "out" / "far.png")
    (root / "folder").symlink_to(tmp_path / "out")
    (root / "loop").symlink_to(root)
    (root / os.fsdecode(b"\xff.png")).write_bytes(b"")
    images = load(root)
    assert len(images) == 4
    assert reasons(images)["loop"] == "it is a link to a folder; links are not followed"
    assert "b\N{REPLACEMENT CHARACTER}c.png" in images.ids
    assert images.report is not None
    json.dumps(images.report.to_dict()).encode()
    assert all(name.encode() for name, _ in images.report.refused)  # no broken surrogates
    assert load(root).report.from_cache  # type: ignore[union-attr]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_folders_are_named(tmp_path: Path) -> None:
    root = fill(tmp_path, ["a.png", "b.png", "closed/c.png"])
    (root / "closed").chmod(0)
    try:
        assert "denied" in reasons(load(root))["closed"]
    finally:
        (root / "closed").chmod(stat.S_IRWXU)


def test_metadata_gives_groups(tmp_path: Path) -> None:
    root = fill(tmp_path, ["p/a.png", "p/b.png", "q/c.png", "q/d.png"])
    table = "\ufefffile,title,Artist\np/a.png,x,Claude  Monet\np/b.png,y,claude monet\n"
    (root / "metadata.csv").write_text(table + 'q/c.png,"two\nlines",Unknown artist\n', "utf-8")
    images = load(root)
    assert images.groups == ("claude monet", "claude monet", "", "")
    assert images.report is not None
    assert images.report.notes == ("metadata.csv groups 2 of 4 pictures by 1 artists.",)
    for broken in ("no,columns\n1,2\n", "", "file,artist\n\0\n", "file,artist\n" + "x" * 200_000):
        (root / "metadata.csv").write_text(broken)
        again = load(root)
        assert again.groups is None
        assert len(again.report.notes) == 1  # type: ignore[union-attr]


def test_zip_equals_folder(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", ["p/a.png", "p/b.png", "q/c.png"])
    (root / "metadata.csv").write_text("file,artist\np/a.png,A\nq/c.png,A\n")
    archive = shutil.make_archive(str(tmp_path / "flat"), "zip", root)
    wrapped = shutil.make_archive(str(tmp_path / "wrapped"), "zip", tmp_path, "set")
    a, b, c = load(root), load(archive), load(wrapped)
    assert a.fingerprint() == b.fingerprint() == c.fingerprint()
    assert a.label_names == b.label_names == c.label_names == ("p", "q")
    assert a.groups == b.groups == c.groups == ("a", "", "a")
    assert a.ids == b.ids
    assert c.ids == tuple("set/" + name for name in a.ids)


def test_faults_of_a_zip_are_named_and_nothing_is_extracted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {f"{i}.png": encoded(painting(i), "PNG") for i in range(3)}
    evil = {"../up.png": good["0.png"], "/root.png": good["0.png"], "C:/x.png": good["0.png"]}
    path = zip_of(tmp_path / "z.zip", good | evil | {"__MACOSX/._0.png": b"", "link.png": b"0.png"})
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("a-link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "0.png")
        archive.writestr("big.png", b"\0" * 2_000_000, zipfile.ZIP_DEFLATED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr("0.png", b"another of this name")
        archive.writestr("crc.png", b"broken checksum")
        archive.writestr("locked.png", b"locked")
        archive.writestr("lzma.png", good["1.png"], zipfile.ZIP_LZMA)
    data = path.read_bytes().replace(b"broken checksum", b"Broken checksum")
    at = data.rindex(b"locked.png") - 46 + 8  # the flag bits of its central entry
    data = data[:at] + struct.pack("<H", 1) + data[at + 2 :]
    path.write_bytes(data)
    monkeypatch.setattr(listing, "MAX_FILE_BYTES", 1_000_000)
    monkeypatch.chdir(tmp_path)
    images = load(path)
    assert images.ids == ("0.png", "1.png", "2.png", "lzma.png")
    said = reasons(images)
    for name, word in (
        ("../up.png", "outside"),
        ("/root.png", "outside"),
        ("C:/x.png", "outside"),
        ("a-link.png", "link"),
        ("link.png", "text"),
        ("big.png", "too large"),
        ("0.png", "second file"),
        ("crc.png", "damaged"),
        ("locked.png", "encrypted"),
    ):
        assert word in said.pop(name), name
    assert not said
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["z.zip"]


def test_a_member_that_lies_about_its_size_is_read_no_further_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", encoded(painting(0), "PNG"))
        archive.writestr("b.png", encoded(painting(1), "PNG"))
        archive.writestr("lie.png", b"\0" * 3_000_000)
    data = path.read_bytes().replace(struct.pack("<I", 3_000_000), struct.pack("<I", 1000))
    path.write_bytes(data)
    monkeypatch.setattr(listing, "MAX_FILE_BYTES", 1_000_000)
    images = load(path)
    assert len(images) == 2
    assert "lie.png" in reasons(images)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6), st.floats(0.2, 2))
def test_mutated_zips_give_pictures_or_a_sentence(
    tmp_path: Path, changes: list[tuple[float, int]], cut: float
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"p/{i}.png", encoded(painting(i), "PNG"))
        archive.writestr("metadata.csv", "file,artist\np/0.png,A\n")
    data = bytearray(buffer.getvalue())
    for place, value in changes:
        data[int(place * len(data))] = value
    path = tmp_path / "mutated.zip"
    path.write_bytes(bytes(data[: int(cut * len(data))]))
    try:
        images = load(path, cache=False)
    except GanBookError:
        return
    assert len(images) >= 2


# Real pictures ---------------------------------------------------------------------------------


@pytest.mark.real_data
def test_paintings(real_data: Path) -> None:
    images = load(real_data / "paintings-pd-128.zip", size=32)
    assert images.images.shape == (2004, 3, 32, 32)
    assert images.num_classes == 6
    assert torch.bincount(images.labels).tolist() == [334] * 6
    assert images.report is not None
    assert images.report.refused == ()
    assert images.groups is not None
    split = images.split()
    assert split.counts() == {"train": 1804, "validation": 100, "test": 100}
    train = {images.groups[i] for i in split.train.tolist()} - {""}
    validation = {images.groups[i] for i in split.validation.tolist()} - {""}
    test = {images.groups[i] for i in split.test.tolist()} - {""}
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert len(validation) > 20
    assert load(real_data / "paintings-pd-128.zip", size=32).report.from_cache  # type: ignore[union-attr]

from __future__ import annotations

import json
import mmap
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_book.data import folder as folder_module
from gan_book.data.cache import CacheWriter, load_cached, map_file
from tests.data.folders import fill, load
from tests.data.hostile import encoded, painting


def cached_files(cache_folder: Path) -> list[Path]:
    return sorted(p for p in cache_folder.rglob("*") if p.is_file())


def test_the_cache_is_keyed_by_content_and_settings(tmp_path: Path, cache_folder: Path) -> None:
    root = fill(tmp_path / "a", ["1.png", "2.png"])

    def from_cache(path: Path = root, **options: object) -> bool:
        report = load(path, **options).report
        assert report is not None
        return report.from_cache

    assert not from_cache()
    assert [p.suffix for p in cached_files(cache_folder)] == [".json", ".raw"]
    assert from_cache()
    shutil.copytree(root, tmp_path / "moved")
    assert from_cache(tmp_path / "moved")  # the place does not matter
    assert not from_cache(size=9)
    assert not from_cache(channels=1)
    assert not from_cache(crop="stretch")
    assert not from_cache(background="black")
    times = os.stat(root / "1.png")
    (root / "1.png").write_bytes(encoded(painting(9), "PNG"))
    os.utime(root / "1.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not from_cache()  # another content at the same time and place
    assert not from_cache(cache=False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw, facts: raw.write_bytes(raw.read_bytes()[:-5]),
        lambda raw, facts: raw.write_bytes(raw.read_bytes()[:-1] + b"\x07"),
        lambda raw, facts: raw.write_bytes(b""),
        lambda raw, facts: raw.write_bytes(b"nonsense"),
        lambda raw, facts: raw.write_bytes(raw.read_bytes()[::-1]),
        lambda raw, facts: raw.write_bytes(bytes(4 * 2 * 3 * 8 * 8)),
        lambda raw, facts: raw.unlink(),
        lambda raw, facts: facts.unlink(),
        lambda raw, facts: facts.write_text("{"),
        lambda raw, facts: facts.write_text("[]"),
        lambda raw, facts: facts.write_text("{}"),
        lambda raw, facts: facts.write_text(
            json.dumps(json.loads(facts.read_text()) | {"kept": 1})
        ),
        lambda raw, facts: facts.write_text(
            json.dumps(json.loads(facts.read_text()) | {"refused": [["a"]]})
        ),
        lambda raw, facts: facts.write_bytes(b"\xff\xfe"),
    ],
)
def test_a_damaged_cache_is_rebuilt(tmp_path: Path, cache_folder: Path, damage) -> None:
    root = fill(tmp_path, ["1.png", "2.png"])
    before = load(root)
    facts, raw = cached_files(cache_folder)
    damage(raw, facts)
    after = load(root)
    assert after.report is not None
    assert not after.report.from_cache
    assert after.fingerprint() == before.fingerprint()
    assert load(root).report.from_cache  # type: ignore[union-attr]


def test_no_place_for_the_cache_costs_only_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill(tmp_path / "in", ["1.png", "2.png"])
    (tmp_path / "file").write_bytes(b"in the way")
    monkeypatch.setenv("GAN_BOOK_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="GAN_BOOK_CACHE"):
        images = load(root)
    assert len(images) == 2


@pytest.mark.parametrize("moment", ["second picture", "flush", "facts"])
def test_a_full_disk_costs_only_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path, moment: str
) -> None:
    root = fill(tmp_path / "in", ["1.png", "2.png", "3.png"])
    original = CacheWriter.append

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def second(self: CacheWriter, pixels: np.ndarray) -> None:
        if self.count == 1:
            full()
        original(self, pixels)

    place, replacement = {
        "second picture": ("gan_book.data.cache.CacheWriter.append", second),
        "flush": ("gan_book.data.cache.os.fsync", full),
        "facts": ("gan_book.data.cache.json.dump", full),
    }[moment]
    monkeypatch.setattr(place, replacement)
    with pytest.warns(UserWarning, match="No space left"):
        images = load(root)
    assert len(images) == 3
    assert images.images.is_contiguous()
    assert cached_files(cache_folder) == []  # no partial file is left behind
    assert images.fingerprint() == load(root, cache=False).fingerprint()


def test_a_large_set_stays_memory_mapped_and_is_never_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    monkeypatch.setattr("gan_book.data.cache.IN_MEMORY_BYTES", 0)
    root = fill(tmp_path, ["1.png", "2.png"])
    images = load(root)
    found = load_cached(cached_files(cache_folder)[0].stem, (3, 8, 8))
    assert found is not None
    base = found[0].base
    while not isinstance(base, mmap.mmap):  # the file, not a copy in memory
        base = getattr(base, "obj", getattr(base, "base", None))
        assert base is not None
    before = images.fingerprint()
    images.images.zero_()
    assert load(root).fingerprint() == before


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much memory there is")
def test_a_file_larger_than_memory_can_be_mapped(tmp_path: Path) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    path, length = tmp_path / "sparse.raw", 2 * memory
    with open(path, "wb") as file:  # a hole takes no place on the disk
        file.truncate(length)
        file.seek(length - 1)
        file.write(b"\x07")
    pixels = map_file(path)
    assert len(pixels) == length
    assert pixels[-1] == 7
    pixels[-1] = 8  # PyTorch wants writable memory; the copy is ours alone
    assert map_file(path)[-1] == 7


def test_a_file_that_changes_while_it_is_read_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    root = fill(tmp_path, ["1.png", "2.png"])
    original = folder_module._decode_all

    def late(*args: object) -> object:
        (root / "1.png").write_bytes(encoded(painting(7), "PNG"))
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(folder_module, "_decode_all", late)
    images = load(root)
    assert cached_files(cache_folder) == []
    assert images.fingerprint() == load(root, cache=False).fingerprint()


def test_partial_sets_of_a_killed_process_are_removed_after_a_day(
    tmp_path: Path, cache_folder: Path
) -> None:
    (cache_folder / "images").mkdir()
    for name, age in (("partial-old", 2 * 86400), ("partial-new", 60)):
        path = cache_folder / "images" / name
        path.mkdir()
        (path / "pixels").write_bytes(b"")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    load(fill(tmp_path, ["1.png", "2.png"]))
    assert not (cache_folder / "images" / "partial-old").exists()
    assert (cache_folder / "images" / "partial-new").exists()

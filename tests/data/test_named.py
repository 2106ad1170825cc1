from __future__ import annotations

import gzip
import struct
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_book.data import ImageSet, load_images
from gan_book.data.named import NAMED, read_idx
from gan_book.errors import GanBookError
from tests.data.hostile import bad_bytes, encoded, painting


def write_idx(folder: Path, n: int = 12, suffix: str = ".gz") -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = (np.arange(n) % 10).astype(np.uint8)
    files = {
        "train-images-idx3-ubyte": struct.pack(">IIII", 2051, n, 28, 28) + pixels.tobytes(),
        "train-labels-idx1-ubyte": struct.pack(">II", 2049, n) + labels.tobytes(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / (name + suffix)).write_bytes(gzip.compress(data) if suffix else data)
    return pixels


@pytest.fixture(autouse=True)
def no_real_data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_data" not in request.keywords:
        monkeypatch.delenv("GAN_BOOK_REAL_DATA", raising=False)


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist", "cifar-10"])
def test_nothing_is_downloaded_unasked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("urllib.request.urlopen", forbidden)
    monkeypatch.setattr("socket.socket.connect", forbidden)
    with pytest.raises(GanBookError) as error:
        load_images(name)
    about, said = NAMED[name], str(error.value)
    for part in (about.title, about.origin, f"{about.download_mb} MB", about.licence, "download"):
        assert part in said


@pytest.mark.parametrize("name", ["fashion-mnist", "mnist", "cifar-10"])
def test_a_failed_download_is_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(GanBookError, match=f"download of {NAMED[name].title} failed"):
        load_images(name, download=True)


def test_download_is_announced_and_read_from_the_cache(
    monkeypatch: pytest.MonkeyPatch, cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in for torchvision's class writes the files where the real one would."""

    def fashion(root: str, train: bool, download: bool) -> None:
        assert train
        if not download:
            raise RuntimeError("Dataset not found.")
        write_idx(Path(root) / "FashionMNIST" / "raw", suffix="")

    monkeypatch.setattr("torchvision.datasets.FashionMNIST", fashion)
    images = load_images("fashion-mnist", download=True)
    assert len(images) == 12
    assert "31 MB" in capsys.readouterr().err
    assert (cache_folder / "named" / "FashionMNIST" / "raw").is_dir()
    again = load_images("fashion-mnist")
    assert again.fingerprint() == images.fingerprint()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_from_root_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    pixels = write_idx(tmp_path / "mnist", suffix=suffix)
    images = load_images("mnist", 28, channels=1, root=tmp_path / "mnist")
    assert torch.equal(images.images[:, 0], torch.from_numpy(pixels))
    assert images.labels is not None
    assert images.labels.tolist() == [i % 10 for i in range(12)]
    assert (images.name, images.licence, images.num_classes) == ("mnist", "CC BY-SA 3.0", 10)
    monkeypatch.setenv("GAN_BOOK_REAL_DATA", str(tmp_path))
    color = load_images("mnist", 32, n=5, seed=1)
    assert color.images.shape == (5, 3, 32, 32)
    assert torch.equal(color.images[:, 0], color.images[:, 2])
    assert color.ids == tuple(sorted(color.ids, key=int))
    assert load_images("mnist", labels=False).labels is None
    with pytest.raises(GanBookError, match="12 pictures"):
        load_images("mnist", n=13)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\x08",
        struct.pack(">IIII", 2049, 1, 2, 2) + b"1234",
        struct.pack(">IIII", 2051, 1, 2, 2) + b"123",
        struct.pack(">IIII", 2051, 2**31, 2**31, 2**31) + b"1",
        struct.pack(">IIII", 2051, 0, 28, 28),
    ],
)
def test_damaged_idx_files_are_named(tmp_path: Path, data: bytes) -> None:
    for path, content in ((tmp_path / "a", data), (tmp_path / "b.gz", gzip.compress(data))):
        path.write_bytes(content)
        with pytest.raises(GanBookError, match=path.name):
            read_idx(path, 2051)
    cut = gzip.compress(struct.pack(">IIII", 2051, 1, 2, 2) + b"1234")
    for content in (cut[:-6], cut[:10] + b"\xff\xff" + cut[12:], b"no gzip"):
        (tmp_path / "c.gz").write_bytes(content)
        with pytest.raises(GanBookError, match=r"c\.gz"):
            read_idx(tmp_path / "c.gz", 2051)


def test_digits_come_with_scikit_learn() -> None:
    images = load_images("digits", 8, channels=1)
    assert images.images.shape == (1797, 1, 8, 8)
    assert int(images.images.max()) == 255  # 16 levels stretched to 255
    assert images.num_classes == 10
    assert images.licence == "CC BY 4.0"


@pytest.mark.real_data
def test_fashion_mnist(real_data: Path) -> None:
    images = load_images("fashion-mnist", 28, channels=1)
    assert images.images.shape == (60_000, 1, 28, 28)
    assert torch.bincount(images.labels).tolist() == [6000] * 10
    assert images.label_names[int(images.labels[0])] == "ankle boot"  # type: ignore[index]
    assert int(images.images.sum(dtype=torch.int64)) == 3_431_114_169  # mean 72.94, as published
    assert images.split().counts()["train"] == 54_000


# The hub, with a stand-in for the package `datasets` -------------------------------------------


class Feature:
    def __init__(self, decode: bool = True, names: tuple[str, ...] = ()) -> None:
        self.decode, self.names = decode, list(names)


class Image(Feature):
    pass


class ClassLabel(Feature):
    pass


class Rows:
    def __init__(self, features: dict[str, Feature], rows: list[dict[str, Any]]) -> None:
        self.features, self.rows = features, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> Any:
        return [row[key] for row in self.rows] if isinstance(key, str) else self.rows[key]

    def cast_column(self, name: str, feature: Feature) -> Rows:
        assert not feature.decode
        return Rows(self.features | {name: feature}, self.rows)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.ModuleType:
    on_disk = tmp_path / "x.png"
    on_disk.write_bytes(encoded(painting(5), "PNG"))
    cells: list[dict[str, Any] | None] = [
        {"bytes": encoded(painting(i), "PNG"), "path": None} for i in range(4)
    ]
    cells += [
        {"bytes": bad_bytes("truncated-png"), "path": "t.png"},
        {"bytes": None, "path": str(on_disk)},
        {"bytes": None, "path": str(tmp_path / "gone.png")},
        None,
    ]
    data = Rows(
        {"text": Feature(), "image": Image(), "style": ClassLabel(names=("calm", "wild"))},
        [{"text": "t", "image": cell, "style": i % 2} for i, cell in enumerate(cells)],
    )
    module = types.ModuleType("datasets")
    info = types.SimpleNamespace(download_size=12_000_000, license="cc0-1.0")
    vars(module).update(
        Image=Image,
        ClassLabel=ClassLabel,
        data=data,
        load_dataset_builder=lambda path: types.SimpleNamespace(info=info),
        load_dataset=lambda path, split: data,
    )
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def test_hub_sets_go_through_the_same_decoder(
    hub: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    images: ImageSet = load_images("hf:museum/art", 16, download=True, progress=False)
    assert len(images) == 5
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 0, 1, 1]
    assert images.label_names == ("calm", "wild")
    assert (images.name, images.licence) == ("museum/art", "cc0-1.0")
    assert images.report is not None
    assert [reason.split()[2] for _, reason in images.report.refused] == [
        "truncated:", "be", "missing",
    ]  # fmt: skip
    said = capsys.readouterr().err
    assert "12 MB" in said
    assert "cc0-1.0" in said
    assert load_images("hf:museum/art", 16, download=True, labels=False, progress=False).labels is (
        None
    )
    hub.data.rows[0]["style"] = -1  # type: ignore[attr-defined]
    assert load_images("hf:museum/art", 16, download=True, progress=False).labels is None


def test_faults_of_the_hub_are_sentences(
    hub: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GanBookError, match=r"huggingface.co/datasets/museum/art.*download=True"):
        load_images("hf:museum/art")
    for name in ("hf:", "hf:art", "hf:/art", "hf:a/b/c"):
        with pytest.raises(GanBookError, match="owner/name"):
            load_images(name, download=True)
    del hub.data.features["image"]  # type: ignore[attr-defined]
    with pytest.raises(GanBookError, match="no column of pictures"):
        load_images("hf:museum/art", download=True)

    def offline(path: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(hub, "load_dataset_builder", offline)
    with pytest.raises(GanBookError, match="no route to host"):
        load_images("hf:museum/art", download=True)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(GanBookError, match="pip install datasets"):
        load_images("hf:museum/art", download=True)


def test_the_atelier_is_a_source() -> None:
    images = load_images("atelier", 16, n=6, seed=2)
    assert images.images.shape == (6, 3, 16, 16)
    assert torch.equal(images.images, load_images("atelier", 16, n=6, seed=2).images)
    assert load_images("atelier", 16, n=4, channels=1).channels == 1
    with pytest.raises(GanBookError, match="flavors"):
        load_images("atelier", 16, n=4, flavors=("sweet",))

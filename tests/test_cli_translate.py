"""``gan-book translate``: a folder in, a translator out, pictures translated; kind errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gan_book import translator
from gan_book.cli import app
from gan_book.cli_translate import sides
from gan_book.errors import GanBookError
from gan_book.translator import load_translator

TINY = ["--size", "8", "--steps", "2", "--width", "4", "--device", "cpu"]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_BOOK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def save(path: Path, h: int, w: int, seed: int, **options: object) -> Path:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)).save(path, **options)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Twelve pictures of several sizes, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(12):
        save(folder / f"{i:02d}.png", 12 + i % 3, 16, i)
    (folder / "broken.jpg").write_bytes(b"hello")
    return folder


def call(*words: object):
    return CliRunner().invoke(app, [str(w) for w in ("translate", *words)], prog_name="gan-book")


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("made") / "run"
    done = call(photos, "--task", "edges", "--out", out, *TINY)
    assert done.exit_code == 0, done.output
    assert "12 pictures kept, 1 refused" in done.output
    assert "step 2: " in done.output
    assert f"Apply it: gan-book translate PICTURES --with {out} --out FOLDER" in done.output
    return out


def test_training_leaves_weights_card_and_a_sheet(run: Path):
    names = sorted(path.name for path in run.iterdir())
    assert names == ["samples.png", "translator.json", "translator.safetensors"]
    made = load_translator(run, "cpu")
    assert made.task == "edges"
    assert made.card["pictures"][0]["train"] == 9
    with Image.open(run / "samples.png") as sheet:
        assert sheet.width > 3 * 8  # three held-out pictures in each of three rows
        assert sheet.height > 3 * 8


def test_applying_keeps_names_and_sizes(run: Path, tmp_path: Path):
    album = tmp_path / "album"
    save(album / "a.png", 9, 13, 1)
    save(album / "a.jpg", 20, 11, 2)
    save(album / "deep" / "b.png", 40, 10, 3)
    turned = Image.Exif()
    turned[0x0112] = 6  # stored 12 wide and 7 high, to be shown upright
    save(album / "turned.jpg", 7, 12, 4, exif=turned)
    (album / "no.png").write_bytes(b"\x89PNG")
    out = tmp_path / "out"
    done = call(album, "--with", run, "--out", out, "--longest", "20", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "4 pictures in" in done.output
    assert "refused no.png: it begins as PNG" in done.output
    found = {}
    for path in out.rglob("*.png"):
        with Image.open(path) as picture:
            found[path.relative_to(out).as_posix()] = picture.size
    assert found == {
        "a.png": (11, 20), "a.png.png": (13, 9), "deep/b.png": (5, 20), "turned.png": (7, 12),
    }  # fmt: skip


def test_applying_is_the_translator(run: Path, photos: Path, tmp_path: Path):
    for flag, drawn in (((), False), (("--drawn",), True)):
        out = tmp_path / str(drawn)
        assert call(photos, "--with", run, "--out", out, "--device", "cpu", *flag).exit_code == 0
        with Image.open(photos / "00.png") as picture:
            x = translator.torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        with Image.open(out / "00.png") as picture:
            stored = np.array(picture)
        expected = load_translator(run, "cpu")(x, drawn=drawn)[0].permute(1, 2, 0).numpy()
        assert np.array_equal(stored, expected)


def test_without_pairs_and_back(photos: Path, tmp_path: Path):
    other = tmp_path / "paintings"
    for i in range(8):
        save(other / f"{i}.png", 16, 16, 100 + i)
    out = tmp_path / "run"
    done = call(photos, "--to", other, "--out", out, *TINY[:1], "8x12", *TINY[2:])
    assert done.exit_code == 0, done.output
    assert "cycle_loss" in done.output
    made = load_translator(out, "cpu")
    assert (made.task, made.settings["size"]) == ("unpaired", [8, 12])
    for word, folder in (((), "there"), (("--back",), "back")):
        done = call(other, "--with", out, "--out", tmp_path / folder, "--device", "cpu", *word)
        assert done.exit_code == 0, done.output
    there, back = ((tmp_path / name / "0.png").read_bytes() for name in ("there", "back"))
    assert there != back


def test_upscale_enlarges(photos: Path, tmp_path: Path):
    assert call(photos, "--task", "upscale", "--out", tmp_path / "run", *TINY).exit_code == 0
    done = call(photos, "--with", tmp_path / "run", "--out", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "out" / "00.png") as picture:
        assert picture.size == (64, 48)


def test_what_is_there_is_never_written_over(run: Path, photos: Path):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    for words in (("--task", "gray"), ("--with", run)):
        done = call(photos, *words, "--out", run, *TINY)
        assert done.exit_code == 2
        assert "nothing is lost so" in " ".join(done.output.split())
    assert before == {path.name: path.read_bytes() for path in run.iterdir()}


def test_stopped_training_keeps_what_was_saved(photos: Path, tmp_path: Path, monkeypatch):
    plain = translator.fit

    def stopped(*inputs: object, callback, **options: object):
        def stop(done: object) -> None:
            callback(done)
            raise KeyboardInterrupt

        return plain(*inputs, callback=stop, **options)

    monkeypatch.setattr(translator, "fit", stopped)
    done = call(photos, "--task", "gray", "--out", tmp_path / "run", *TINY)
    assert done.exit_code == 130
    assert "What was trained is in" in done.output
    assert load_translator(tmp_path / "run", "cpu").card["steps"] == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Say what to do, one of"),
        (("--task", "gray", "--to", "x"), "Say what to do, one of"),
        (("--task", "grey"), "did you mean 'gray'"),
        (("--task", "gray", "--size", "8by8"), "HEIGHTxWIDTH"),
        (("--task", "gray", "--size", "9"), "nearest possible size"),
        (("--task", "gray", "--drawn"), "belong to --with"),
        (("--to", "/nowhere/at/all"), "There is no file or folder"),
        (("--with", "nothing"), "There is no translator"),
    ],
)
def test_errors_are_sentences(words: tuple[str, ...], sentence: str, photos: Path, tmp_path: Path):
    done = call(photos, "--out", tmp_path / "out", *words)
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures_is_refused(run: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    done = call(tmp_path / "empty", "--with", run, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "no picture" in " ".join(done.output.split())


def test_sides():
    assert sides("64") == (64, 64)
    assert sides("48X64") == (48, 64)
    for wrong in ("", "x", "1x2x3", "-4", "64.0", "9" * 9):
        with pytest.raises(GanBookError, match="--size is"):
            sides(wrong)

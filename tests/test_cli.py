"""The command line end to end, on a zip of pictures, and with everything that can be wrong about
its arguments."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

import gan_book
from gan_book import probe
from gan_book.checkpoints import checkpoint_files
from gan_book.cli import app
from gan_book.cli_guard import duration, plain, size
from gan_book.errors import GanBookError
from tests.tiny import pictures as noise

TINY = """
summary = "For tests."
size = [8, 8]
generator = { model = "dcgan", width = 4, z_dim = 4 }
discriminator = { model = "dcgan", width = 4 }
batch_size = 8
total_images = 400
r1 = 1.0
r2 = 1.0
cpu_threads = 1
log_every = 16
sample_every = 32
checkpoint_every = 32
"""


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_BOOK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a tiny recipe and a zip of 90 pictures, two broken ones among them."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.toml").write_text(TINY)
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for i in range(90):
            buffer = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(buffer, "PNG")
            archive.writestr(f"some/{i:03d}.png", buffer.getvalue())
        archive.writestr("some/empty.png", b"")
        archive.writestr("some/not-a-picture.jpg", b"hello")
    return folder


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="gan-book")


def train(place: Path, out: Path, *more: object):
    return call(
        "train",
        place / "pictures.zip",
        "--recipe",
        place / "tiny.toml",
        "--out",
        out,
        "--device",
        "cpu",
        "--no-select",
        *more,
    )


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    result = train(place, place / "run", "--steps", 10)
    assert result.exit_code == 0, result.output
    return place / "run"


def refused(result, *words: str) -> None:
    """The call ended with one sentence on stderr and status 2, no traceback."""
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.stderr.strip()
    for word in words:
        assert word in result.stderr


def test_train_reports_refused_files_and_leaves_a_run(place, tmp_path):
    result = train(place, tmp_path / "run", "--steps", 10)
    assert result.exit_code == 0, result.output
    assert "90 pictures kept, 2 refused" in result.stdout
    assert "empty.png" in result.stdout
    assert "not-a-picture.jpg" in result.stdout
    assert "step 10 of 50 (80 images seen)" in result.stdout
    assert f"grids are in {tmp_path / 'run' / 'samples'}" in result.stdout
    assert (tmp_path / "run" / "samples" / "0000000080.png").is_file()
    told = json.loads((tmp_path / "run" / "data.json").read_text())
    assert len(told["report"]["refused"]) == 2
    assert len(told["held_out"]) == 90 - told["train"] > 0
    loaded = gan_book.load_run(tmp_path / "run")
    assert (loaded.steps, loaded.images_seen) == (10, 80)


def test_train_says_and_keeps_which_number_is_which_class(place, tmp_path):
    rng = np.random.default_rng(1)
    for i in range(16):
        folder = tmp_path / "pictures" / ("mist", "dunes")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    words = ["--recipe", place / "tiny.toml", "--set", "num_classes=2", "--holdout", 0]
    words += ["--no-select", "--device", "cpu", "--steps", 1, "--out", tmp_path / "run"]
    result = call("train", tmp_path / "pictures", *words)
    assert result.exit_code == 0, result.output
    assert "classes: 0 dunes, 1 mist" in result.stdout
    told = json.loads((tmp_path / "run" / "data.json").read_text())
    assert told["classes"] == ["dunes", "mist"]
    images = gan_book.load_images(tmp_path / "pictures", size=8)
    assert list(images.label_names) == told["classes"]
    words[3], words[-1] = "num_classes=0", tmp_path / "without"
    result = call("train", tmp_path / "pictures", *words)
    assert result.exit_code == 0, result.output
    assert "classes" not in result.stdout  # nobody asked for them


def test_a_run_in_slices_equals_one_run(place, tmp_path):
    assert train(place, tmp_path / "whole", "--steps", 12, "--seed", 5).exit_code == 0
    assert train(place, tmp_path / "slices", "--steps", 7, "--seed", 5).exit_code == 0
    again = call(
        "train",
        place / "pictures.zip",
        "--out",
        tmp_path / "slices",
        "--resume",
        "--steps",
        12,
        "--device",
        "cpu",
    )
    assert again.exit_code == 0, again.output  # recipe and seed come from the run
    whole, slices = (gan_book.load_run(tmp_path / name) for name in ("whole", "slices"))
    assert whole.steps == slices.steps == 12
    assert (whole.sample(4) == slices.sample(4)).all()


def test_train_keeps_the_best_by_default_where_pictures_are_held_out(place, tmp_path, monkeypatch):
    from gan_book import selection
    from tests.test_selection import Projection

    monkeypatch.setattr(selection, "extractor", lambda name, device: Projection())
    result = train(place, tmp_path / "run", "--steps", 10, "--select")
    assert result.exit_code == 0, result.output
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert [entry["step"] for entry in best["history"]] == [4, 8]
    assert f"held-out pictures is in {tmp_path / 'run' / 'best'}" in result.stdout
    grid = tmp_path / "grid.png"
    assert call("sample", tmp_path / "run" / "best", "--out", grid).exit_code == 0
    assert grid.exists()
    refused(train(place, tmp_path / "x", "--select", "--holdout", 0), "--no-select")
    chosen = []
    monkeypatch.setattr(gan_book, "train", lambda *_, select, **__: chosen.append(select) or run)
    words = ["train", place / "pictures.zip", "--recipe", place / "tiny.toml", "--device", "cpu"]
    run = gan_book.load_run(tmp_path / "run")
    for more in ([], ["--holdout", 0], ["--holdout", 10], ["--no-select"]):
        assert call(*words, "--out", tmp_path / "new", *more).exit_code == 0
    assert call(*words, "--out", tmp_path / "run", "--resume").exit_code == 0
    assert chosen == [True, False, False, False, None]


def test_settings_of_the_recipe_can_be_changed(place, tmp_path):
    changes = ["batch_size=16", "lr = 1e-4", "precision=fp32", "generator.width=8", "flip=true"]
    changes += ["generator.z_dim=6", 'policy=["color"]', "augment=fixed", "augment_p=0.5"]
    words = [word for change in changes for word in ("--set", change)]
    result = train(place, tmp_path / "run", "--steps", 2, *words)
    assert result.exit_code == 0, result.output
    made = gan_book.load_run(tmp_path / "run").recipe
    assert (made.batch_size, made.lr.end, made.precision, made.flip) == (16, 1e-4, "fp32", True)
    assert made.generator == {"model": "dcgan", "width": 8, "z_dim": 6}
    assert (made.policy, made.augment, made.augment_p.end) == (("color",), "fixed", 0.5)
    again = [place / "pictures.zip", "--out", tmp_path / "run", "--resume", "--device", "cpu"]
    assert call("train", *again, "--steps", 3).exit_code == 0  # the changes are the run's
    refused(call("train", *again, "--steps", 4, "--set", "lr=1.0"), "trained with lr")
    for change, word in (
        ("batch_size", "KEY=VALUE"), ("batchsize=3", "batch_size"), ("batch_size=many", "number"),
        ("=3", "KEY=VALUE"), ("a b=3", "not understood"), ("lr=1\nlr=2", "number"),
        ("generator=3", "generator"), ("generator.width=1.5", "width"),
    ):  # fmt: skip
        refused(train(place, tmp_path / "x", "--steps", 1, "--set", change), word)
    refused(train(place, tmp_path / "x", "--set", "lr=1.0", "--set", "lr=2.0"), "not understood")


def test_train_can_start_from_a_model(place, run, tmp_path):
    result = train(place, tmp_path / "second", "--steps", 1, "--init", run)
    assert result.exit_code == 0, result.output
    refused(train(place, tmp_path / "third", "--init", run, "--resume"), "only one")
    refused(train(place, tmp_path / "third", "--init", tmp_path / "nowhere"))


def test_dry_run_says_what_it_would_be_and_writes_nothing(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(
        "train",
        place / "pictures.zip",
        "--recipe",
        place / "tiny.toml",
        "--dry-run",
        "--device",
        "cpu",
    )
    assert result.exit_code == 0, result.output
    for word in (
        "parameters",
        "memory",
        "90 kept, 2 refused",
        "images/s",
        "to the end",
        "50 steps",
    ):
        assert word in result.stdout
    assert "Measuring the speed" in result.stderr
    trained, held_out = re.search(r"(\d+) to train on, (\d+) held out", result.stdout).groups()
    assert int(trained) + int(held_out) == 90
    assert int(held_out) > 0
    assert list(tmp_path.iterdir()) == []


def test_sample_writes_a_grid_and_single_pictures_that_agree(run, tmp_path):
    result = call(
        "sample",
        run,
        "--n",
        6,
        "--seed",
        3,
        "--out",
        tmp_path / "grid.png",
        "--folder",
        tmp_path / "single",
        "--scale",
        1,
        "--columns",
        3,
    )
    assert result.exit_code == 0, result.output
    expected = gan_book.load_run(run).sample(6, seed=3).permute(0, 2, 3, 1).numpy()
    names = sorted(p.name for p in (tmp_path / "single").iterdir())
    assert names == [f"{i:06d}.png" for i in range(6)]
    with Image.open(tmp_path / "grid.png") as grid:
        assert (grid.text["recipe"], grid.text["seed"], grid.text["n"]) == ("tiny", "3", "6")
        pixels = np.asarray(grid)
    for i, name in enumerate(names):
        with Image.open(tmp_path / "single" / name) as single:
            np.testing.assert_array_equal(np.asarray(single), expected[i])
        row, column = divmod(i, 3)
        top, left = 2 + row * 10, 2 + column * 10
        np.testing.assert_array_equal(pixels[top : top + 8, left : left + 8], expected[i])


def test_bad_input_gets_a_sentence(place, run, tmp_path):
    png = tmp_path / "grid.png"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    refused(train(place, run, "--steps", 10), "--resume", str(run))
    refused(train(place, tmp_path / "full"), "mine.txt")
    refused(train(place, tmp_path / "full" / "mine.txt"), "file")
    refused(train(place, tmp_path / "x", "--seed", -1), "--seed")
    refused(train(place, tmp_path / "x", "--steps", 0), "--steps")
    refused(train(place, tmp_path / "x", "--device", "tpu"), "--device")
    refused(train(place, tmp_path / "x", "--holdout", "half"), "holdout")
    refused(train(place, tmp_path / "x", "--holdout", 90))
    refused(call("train", place / "pictures.zip", "--recipe", place / "tiny.toml"), "--out")
    refused(call("train", place / "nowhere", "--out", tmp_path / "x"), "nowhere")
    refused(
        call("train", place / "pictures.zip", "--recipe", "smal-32", "--out", tmp_path / "x"),
        "small-32",
    )
    refused(call("train", "atelier", "--recipe", "ring", "--out", tmp_path / "x"), "points")
    refused(call("train"), "SOURCE".lower())
    refused(call("sample", run), "--out")
    refused(call("sample", run, "--out", tmp_path / "grid.jpg"), ".png")
    refused(call("sample", run, "--out", tmp_path), "folder")
    refused(call("sample", run, "--n", 0, "--out", png), "--n")
    refused(call("sample", run, "--n", 100_001, "--out", png), "--n")
    refused(call("sample", run, "--n", 5000, "--out", png), "--folder")
    refused(call("sample", run, "--label", 1, "--out", png), "classes")
    refused(call("sample", run, "--folder", tmp_path / "full"), "empty folder")
    refused(call("sample", tmp_path, "--out", png))
    refused(call("no-such-command"), "no-such-command")
    assert not (tmp_path / "x").exists()
    assert not png.exists()
    assert (tmp_path / "full" / "mine.txt").read_text() == "precious"


def test_a_run_inside_its_own_pictures_is_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    refused(call("train", tmp_path, "--out", tmp_path / "run"), "inside")
    refused(call("train", tmp_path, "--out", tmp_path), "inside")


def raising(error: BaseException):
    def function(*_: object, **__: object) -> None:
        raise error

    return function


def test_a_full_disk_gets_a_sentence_and_says_what_is_saved(place, run, monkeypatch):
    monkeypatch.setattr(
        gan_book, "train", raising(OSError(errno.ENOSPC, "No space left on device", "log.jsonl"))
    )
    result = train(place, run, "--resume")
    refused(result, "disk is full", "log.jsonl", "up to step 10", "--resume")


def test_an_interrupt_says_what_is_saved_and_how_to_go_on(place, run, tmp_path, monkeypatch):
    monkeypatch.setattr(gan_book, "train", raising(KeyboardInterrupt()))
    result = train(place, run, "--resume")
    assert result.exit_code == 130
    assert "up to step 10" in result.stderr
    result = train(place, tmp_path / "new")
    assert result.exit_code == 130
    assert result.stderr.endswith("stopped. Nothing was written.\n")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "recipe.json").write_text((run / "recipe.json").read_text())
    result = train(place, tmp_path / "new", "--resume")
    assert result.exit_code == 130
    assert "No checkpoint" in result.stderr
    monkeypatch.setattr(probe, "dry_run", raising(KeyboardInterrupt()))
    for more in (["--out", run], ["--out", tmp_path / "new"], []):
        result = call("train", "digits", "--recipe", place / "tiny.toml", "--dry-run", *more)
        assert result.exit_code == 130
        assert result.stderr.endswith("stopped. Nothing was written.\n")


def test_few_pictures_get_a_note_and_five_get_the_way_around_a_holdout(place, tmp_path):
    words = ["--recipe", place / "tiny.toml", "--device", "cpu", "--steps", 1, "--out"]
    note = "pictures are few"
    result = train(place, tmp_path / "run", "--steps", 1)
    assert f"90 {note}" in result.stderr
    result = call("train", "digits", *words, tmp_path / "many", "--no-select")
    assert result.exit_code == 0, result.output
    assert note not in result.stderr
    few = tmp_path / "few"
    few.mkdir()
    for i in range(5):
        Image.new("RGB", (8, 8), (50 * i, 0, 0)).save(few / f"{i}.png")
    refused(call("train", few, *words, tmp_path / "five"), "--holdout 0")
    result = call("train", few, *words, tmp_path / "five", "--holdout", 0)
    assert result.exit_code == 0, result.output
    assert f"5 {note}" in result.stderr


def test_a_path_with_spaces_that_lacks_quotes_gets_a_hint(tmp_path):
    for words in (["train", "my", "pictures/"], ["sample", "my", "run"], ["evaluate", "my", "run"]):
        refused(call(*words), words[-1], "quotes around a path with spaces")
    assert "quotes" not in call("train", "my-pictures", "--nonsense").stderr


def test_a_fault_of_the_program_keeps_its_traceback(place, tmp_path, monkeypatch):
    monkeypatch.setattr(gan_book, "train", raising(RuntimeError("a real bug")))
    result = train(place, tmp_path / "run")
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)


def test_recipes_are_listed_with_what_they_make():
    result = call("recipes")
    assert result.exit_code == 0
    from gan_book.recipes import recipe_names

    listed = [line.split()[0] for line in result.stdout.splitlines() if line]
    assert set(recipe_names()) <= set(listed)
    assert "\x1b" not in result.output


def test_doctor_passes_here_and_fails_where_training_cannot_work(monkeypatch):
    from gan_book import doctor

    result = call("doctor")
    assert result.exit_code == 0, result.output
    assert "Training works" in result.stdout
    finding = doctor.Finding("missing", "PyTorch", "is not there", True)
    monkeypatch.setattr(doctor, "examine", lambda: [finding])
    result = call("doctor")
    assert result.exit_code == 1
    assert "PyTorch" in result.stderr


COMMANDS = (
    "train",
    "sample",
    "evaluate",
    "report",
    "recipes",
    "doctor",
    "translate",
    "invert",
    "film",
    "export",
)


def test_version_and_help():
    assert call("--version").stdout.strip() == f"gan-book {gan_book.__version__}"
    listed = call("--help").stdout
    assert "..." not in listed.partition("Commands:")[2]  # no sentence is cut
    assert "needs none" in call("train", "--help").stdout  # when --out may be left out
    for words in ([], *([name] for name in COMMANDS)):
        result = call(*words, "--help")
        assert result.exit_code == 0
        assert "Usage: gan-book" in result.stdout
        assert "_ " not in result.stdout


NOISE = noise(40)
HOSTILE = [
    *("", "-", "--", "nan", "inf", "-1", "0", "1e999", "9" * 60, "0x10", "١", "\udcff", "a" * 300),
    *("{x}", "%s", "\x1b[2J", "auto", "cuda:99", "no/such/place", "no.toml", "tiny", "train"),
    *("None", "hf:", "hf:../x", "[", "*", "a\nb", "grid.png", "ring"),
]
WORDS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_characters="\0/~.", exclude_categories=["Cs"]), max_size=12),
)
OPTIONS = [
    "--recipe",
    "--steps",
    "--seed",
    "--device",
    "--resume",
    "--init",
    "--holdout",
    "--select",
    "--set",
    "--dry-run",
    "--download",
    "--out",
    "--n",
    "--folder",
    "--label",
    "--columns",
    "--scale",
    "--help",
    "--version",
    "--nonsense",
]


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    command=st.sampled_from(["train", "sample", "recipes", "doctored"]),
    words=st.lists(st.one_of(st.sampled_from(OPTIONS), WORDS, WORDS), max_size=7),
)
def test_hostile_arguments_never_make_a_traceback(command, words, tmp_path_factory):
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("hostile"))
    try:
        result = CliRunner().invoke(app, [command, *words])
    finally:
        os.chdir(before)
    assert result.exit_code in (0, 2), (result.exit_code, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    if result.exit_code == 2:
        assert result.stderr.strip()


@given(st.text(st.characters(), max_size=40))
def test_printed_names_hold_no_control_characters(text):
    assert plain(text).isprintable()
    assert "\x1b" not in plain("\x1b[2J" + text)


@given(
    st.text(max_size=8) | st.sampled_from(["auto", "0", "20", "0.1", "0.0", "nan", "-5", "9" * 60])
)
def test_holdout_is_auto_a_count_a_share_or_a_sentence(text):
    try:
        held_out = len(NOISE.split(text).held_out)
    except GanBookError:
        assert text not in ("auto", "0", "20", "0.1", "0.0")
        return
    assert held_out == {"auto": 10, "0": 0, "20": 20, "0.1": 4, "0.0": 0}.get(text, held_out)
    assert 0 <= held_out < 40


def test_amounts_are_written_for_people():
    assert [duration(s) for s in (3, 89, 600, 3600 * 3 + 60, 3600 * 100)] == [
        "3 s",
        "89 s",
        "10 min",
        "3 h 1 min",
        "4 days 4 h",
    ]
    assert [size(b) for b in (10, 2048, 5 * 2**20, 3 * 2**30)] == [
        "10 B",
        "2 KiB",
        "5 MiB",
        "3.0 GiB",
    ]


def test_importing_the_command_line_is_light():
    code = (
        "import sys, gan_book.cli; assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_output_into_a_closed_pipe_is_no_fault():
    with subprocess.Popen(
        [sys.executable, "-m", "gan_book.cli", "recipes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read().decode()
        assert process.wait(60) == 0, errors
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


def saved_step(folder: Path) -> int | None:
    found = checkpoint_files(folder / "checkpoints")
    return int(found[-1].stem.removeprefix("step-")) if found else None


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_on_real_paintings_can_be_resumed_by_the_command_it_names(place, tmp_path):
    data = os.environ.get("GAN_BOOK_REAL_DATA")
    if not data:
        pytest.skip("needs the paintings: set GAN_BOOK_REAL_DATA")
    with (
        zipfile.ZipFile(Path(data) / "paintings-pd-128.zip") as every,
        zipfile.ZipFile(tmp_path / "art.zip", "w") as few,
    ):
        names = [name for name in every.namelist() if name.endswith(".jpg")]
        for name in names[::14]:
            few.writestr(name, every.read(name))
    words = [
        "train",
        str(tmp_path / "art.zip"),
        "--recipe",
        str(place / "tiny.toml"),
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--no-select",
    ]
    (place / "tiny.toml").write_text(TINY.replace("total_images = 400", "total_images = 8_000_000"))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "gan_book.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while (
            (saved_step(tmp_path / "run") or 0) < 8
            and process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert "144 pictures kept, 0 refused" in output
        assert "Traceback" not in errors
        told = re.search(
            r"up to step (\d+) is saved in .*; go on with: gan-book (.*)$", errors, re.MULTILINE
        )
        assert told is not None, errors
        step = int(told.group(1))
        assert step == saved_step(tmp_path / "run")
        result = call(*shlex.split(told.group(2)), "--steps", step + 2)
        assert result.exit_code == 0, result.output
        assert gan_book.load_run(tmp_path / "run").steps == step + 2
    finally:
        (place / "tiny.toml").write_text(TINY)

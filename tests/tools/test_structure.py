"""The house: which room may import which, and how large a file, the package and the loop may be."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "gan_book"
FILE_LINES = 350
# A ratchet: the goal is 5,500, the package is above it (CONTRIBUTING.md says why), and this number
# may only fall, unless a part of the book brings new rooms: part 2 brought 569 lines (VAE,
# diffusion, many toy GANs at once, games of two numbers, exact divergences), part 3 823 (StyleGAN2,
# a transformer, U-Nets, FastGAN's ideas, objectives with encoders, path lengths), part 4 1,545
# (latents and inversion, translators, conditioning, coordinate networks, a SinGAN, classifiers,
# pages of runs).
CODE_LINES = 11_681
LOOP_LINES = 60
LOOPS = {"training.py": ("run_steps",)}

# Each room and the rooms it may import; `errors` is open to all. A room may import itself.
ROOMS = {
    "data": set(),
    "models": set(),
    "losses": set(),
    "penalties": set(),
    "augment": set(),
    "objectives": {"losses", "penalties", "augment", "models", "data"},
    "training": {"objectives", "losses", "penalties", "augment", "models", "data", "base"},
    "features": {"data", "models", "base"},
    "latents": {"models", "features", "base"},
    "base": set(),
    "pictures": {"data", "models", "losses", "penalties", "augment", "objectives", "training",
                 "features", "latents", "base"},
    "out": {"data", "models", "losses", "penalties", "augment", "objectives", "training",
            "features", "latents", "base", "pictures"},
}  # fmt: skip
# The files (or folders) of gan_book and the room each stands in.
ROOM_OF = {
    "data": "data",
    "models": "models",
    "losses": "losses",
    "penalties": "penalties",
    "augment": "augment",
    "objectives": "objectives",
    "draws": "objectives",  # a step's random numbers
    "elbo": "objectives",  # the VAE's objective
    "encoders": "objectives",  # VAE-GAN, BiGAN, EBGAN, BEGAN, InfoGAN
    "translation": "objectives",  # pix2pix and CycleGAN, and the pairs they learn from
    "conditioning": "objectives",  # conditional GANs, AC-GAN, CAN
    "denoising": "objectives",  # the diffusion model's, with its sampler
    # recipes, training, checkpoints and what they are made of
    "recipes": "training",
    "control": "training",  # adapts the augmentation from held-out pictures
    "doctor": "training",  # a run records what the machine is
    "training": "training",
    "fitted": "training",
    "fitting": "training",  # one network, one loss: VAE and diffusion
    "classifying": "training",  # classifiers on real and generated pictures
    "translator": "training",  # from picture to picture: trained, saved, applied
    "toy_gans": "training",  # many seeds at once, in the plane
    "singan": "training",  # one picture, one scale after the other
    "dirac": "training",  # games of two numbers
    "checkpoints": "base",  # files of tensors and JSON, checked when read
    "model": "training",
    "processes": "training",
    "probe": "training",
    "journal": "training",
    "graphs": "training",
    "accumulation": "training",  # a batch in parts
    "resume": "training",
    "features": "features",
    "pretrained": "features",  # feature networks of others, through torch-fidelity
    "metrics": "features",
    "memorization": "features",
    "latents": "latents",
    "plots": "pictures",
    "style": "pictures",
    "animation": "pictures",
    "training_curves": "pictures",
    "widgets": "pictures",
    # what the first cell of a notebook needs; session switches the figure style on
    "machine": "base",
    "claims": "base",
    "results": "base",
    "session": "pictures",
    "measuring": "out",  # evaluate: a trained run against held-out pictures
    "evaluation": "out",  # what evaluate found, in words and as a table
    "selection": "out",  # the best checkpoint: measuring comes in as a callback
    "run_page": "out",  # a run as one HTML page
    "runs": "out",  # wires training, files and sample grids together
    "export": "out",
    "provenance": "out",
    "cli": "out",
    "cli_export": "out",
    "cli_guard": "out",
    "cli_latents": "out",
    "cli_train": "out",
    "cli_translate": "out",
}
EVERYWHERE = {"errors"}


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Return {dotted name below the package: file}."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: set[str]) -> set[str]:
    """Return the modules of the package that a module imports, inside functions as well."""
    here = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    here = [part for part in here if part]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names if alias.name.startswith("gan_book.")]
            found |= {text.removeprefix("gan_book.") for text in dotted}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = here[: len(here) - node.level + 1] + (node.module or "").split(".")
            elif (node.module or "").split(".")[0] == "gan_book":
                base = (node.module or "").split(".")[1:]
            else:
                continue
            text = ".".join(part for part in base if part)
            for alias in node.names:
                longer = f"{text}.{alias.name}".lstrip(".")
                found.add(longer if longer in known else text)
    return {text for text in found if text and text != name}


def crossings(package: Path = PACKAGE) -> list[str]:
    """Return a line for each import that the table does not allow."""
    files = modules(package)
    lines = []
    for name, path in files.items():
        top = name.split(".")[0]
        if not name or top in EVERYWHERE:
            continue
        if top not in ROOM_OF:
            lines.append(f"{top}: stands in no room; give it one in {Path(__file__).name}")
            continue
        room = ROOM_OF[top]
        for other in imports(name, path, set(files)):
            target = other.split(".")[0]
            if target in EVERYWHERE or target == top:
                continue
            other_room = ROOM_OF.get(target)
            if other_room != room and other_room not in ROOMS[room]:
                lines.append(f"{name} ({room}) imports {other} ({other_room})")
    return lines


def top_level(name: str, path: Path, known: set[str]) -> set[str]:
    """Return what a module imports while it is being imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body: list[ast.stmt] = []
    for node in tree.body:
        test = getattr(node, "test", None)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(test or node):
            continue
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            body.append(node)
    probe = ast.Module(body=body, type_ignores=[])
    temporary = ast.unparse(probe)
    here = path.parent / f"{path.stem}.py"
    return imports_of_text(name, here, temporary, known)


def imports_of_text(name: str, path: Path, text: str, known: set[str]) -> set[str]:
    """Return the imports of a text that stands for a file."""

    class Text:
        stem = path.stem

        @staticmethod
        def read_text(encoding: str) -> str:
            return text

    return imports(name, Text, known)  # type: ignore[arg-type]


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes of one cycle, or nothing."""
    state: dict[str, int] = {}
    trail: list[str] = []

    def visit(node: str) -> list[str]:
        state[node] = 1
        trail.append(node)
        for other in sorted(graph.get(node, ())):
            if state.get(other) == 1:
                return [*trail[trail.index(other) :], other]
            if other not in state:
                found = visit(other)
                if found:
                    return found
        state[node] = 2
        trail.pop()
        return []

    for node in sorted(graph):
        if node not in state:
            found = visit(node)
            if found:
                return found
    return []


def code_lines(text: str) -> int:
    """Return the number of lines that hold code: no blank lines, comments or docstrings."""
    tree = ast.parse(text)
    quoted: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                quoted |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    nothing = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
        tokenize.ENDMARKER, tokenize.ENCODING,
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in nothing:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - quoted)


def test_rooms_import_one_way():
    assert crossings() == []


def test_the_table_has_no_cycle():
    assert cycle(ROOMS) == []


def test_no_import_cycles():
    """Not even inside a room, at the time of import."""
    files = modules()
    graph = {name: top_level(name, path, set(files)) for name, path in files.items() if name}
    assert cycle(graph) == []


def test_planted_crossing_is_found(tmp_path):
    package = tmp_path / "gan_book"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models" / "__init__.py").write_text("")
    (package / "errors.py").write_text("")
    (package / "losses.py").write_text("from gan_book.errors import X\n")
    bad = package / "models" / "dcgan.py"
    for text in (
        "from gan_book import losses",
        "from gan_book.losses import hinge",
        "import gan_book.losses",
        "from .. import losses",
        "from ..losses import hinge",
        "def f():\n    from gan_book.losses import hinge",
    ):
        bad.write_text(text + "\n")
        assert crossings(package) == ["models.dcgan (models) imports losses (losses)"], text
    bad.write_text("from gan_book.errors import X\nfrom . import __init__\nimport torch\n")
    assert crossings(package) == []


def test_planted_cycle_is_found():
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) == ["a", "b", "c", "a"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_code_lines():
    text = '"""Doc\nstring."""\n\nx = 1  # one\n# none\n\n\ndef f():\n    """Doc."""\n'
    text += "    return [\n        1,\n\n    ]\n"
    assert code_lines(text) == 5  # x, def, return [, 1, ]


@pytest.mark.parametrize("path", sorted(modules().values()), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_LINES, f"{lines} lines"


def test_the_package_stays_small():
    total = sum(code_lines(path.read_text(encoding="utf-8")) for path in modules().values())
    assert total <= CODE_LINES, f"{total} lines of code"


def test_the_training_loop_fits_one_screen():
    path = PACKAGE / "training.py"
    found = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    for name in LOOPS["training.py"]:
        assert name in found, f"{path.name} has no function {name}: where is the training loop?"
        assert found[name] <= LOOP_LINES, f"{name} has {found[name]} lines"


def seconds_to_import(what: str) -> float:
    """Return the processor seconds that importing takes in a fresh process: the best of three."""
    code = f"import time; a = time.process_time(); import {what}; print(time.process_time() - a)"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return min(
        float(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True,
                env=environment,
            ).stdout
        )
        for _ in range(3)
    )  # fmt: skip


@pytest.mark.slow
def test_import_costs_little_more_than_torch():
    torch, package = seconds_to_import("torch"), seconds_to_import("gan_book")
    assert package <= 1.4 * torch, f"gan_book {package:.2f} s, torch {torch:.2f} s"


def test_import_loads_nothing_heavy():
    code = "import gan_book, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    heavy = {"ipywidgets", "torchvision", "accelerate", "sklearn", "scipy", "matplotlib", "IPython"}
    assert not heavy & loaded


@pytest.mark.slow
def test_no_module_loads_what_it_does_not_need_yet():
    """Importing every module of the package: only figures may load matplotlib."""
    drawing = ("pictures", "out")
    plain = sorted(n for n in modules() if n and ROOM_OF.get(n.split(".")[0]) not in drawing)
    others = sorted(n for n in modules() if n and n not in plain)
    code = (
        "import importlib, sys\n"
        f"heavy = {{'ipywidgets', 'torchvision', 'accelerate', 'sklearn', 'scipy', 'matplotlib'}}\n"
        f"for allowed, names in ((set(), {plain}), ({{'matplotlib'}}, {others})):\n"
        "    for name in names:\n"
        "        importlib.import_module('gan_book.' + name)\n"
        "        loaded = heavy & {n.split('.')[0] for n in sys.modules}\n"
        "        assert loaded <= allowed, (name, loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

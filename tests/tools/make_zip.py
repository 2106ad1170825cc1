"""The offline edition: the built book, its notebooks and the package in one file.

    python tests/tools/make_zip.py            writes _build/gan-book-offline.zip from _build/html

Opens from disk, without a server and without a network. The same content gives the same bytes:
names are sorted, dates are fixed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import address, notebooks, wheel_venv

ROOT = notebooks.ROOT
TOP = "gan-book"
LARGEST = 25 * 2**20
DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
# What only builds or browsers' developer tools read.
LEFT_OUT = {".buildinfo", "objects.inv"}
ENDINGS_LEFT_OUT = (".map",)
# The explorer's networks and their runtime: browsers do not run them from the disk. And pictures
# that pages show from _images, where the build has put a copy.
FOLDERS_LEFT_OUT = (
    "_static/live/ort/", "_static/live/models/", "_static/gallery/", "_static/peers/",
)  # fmt: skip
MODELS = "_static/live/models.json"
NO_MODELS = {"why": "the offline edition is packed without its networks", "models": []}

README = """\
THE GAN BOOK, offline edition

To read:  open  book/index.html  in a browser (double click). Nothing is loaded from the
          internet; formulas, figures, films and search work from the disk.
To run:   the notebooks are in  notebooks/ . They need Python 3.11 or newer with PyTorch.
{wheel}          Then open one with Jupyter:  jupyter lab notebooks/
Newer editions, and where to report an error:  {address}

Code: MIT. Text and figures: CC BY 4.0.


《The GAN Book》离线版

阅读：  用浏览器打开  book/index.html （双击即可）。不从网上下载任何内容；
        公式、图、动画和搜索都可以离线使用。
运行：  代码笔记本在  notebooks/  文件夹里，需要 Python 3.11 以上和 PyTorch。
{wheel_zh}        然后用 Jupyter 打开：  jupyter lab notebooks/
新版本与勘误：  {address}

代码：MIT 许可。文字与图片：CC BY 4.0 许可。
"""
WHEEL = "          Install the book's package once:  pip install {name}\n"
WHEEL_ZH = "        先安装本书的程序包（一次即可）：  pip install {name}\n"


def readme(wheel: Path | None) -> str:
    """Return the text that says which file to open, in English and Chinese."""
    name = wheel.name if wheel else ""
    return README.format(
        address=address.repository(),
        wheel=WHEEL.format(name=name) if wheel else "",
        wheel_zh=WHEEL_ZH.format(name=name) if wheel else "",
    )


def content(built: Path, chapters: list[Path], wheel: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of every file of the edition."""
    # With the mark that tells old editors on Windows that the text is UTF-8.
    yield "README.txt", readme(wheel).replace("\n", "\r\n").encode("utf-8-sig")
    for path in built.rglob("*"):
        name = path.relative_to(built).as_posix()
        if not path.is_file() or name.startswith(FOLDERS_LEFT_OUT):
            continue
        if path.name not in LEFT_OUT and path.suffix not in ENDINGS_LEFT_OUT:
            data = json.dumps(NO_MODELS).encode() if name == MODELS else path.read_bytes()
            yield f"book/{name}", data
    for path in chapters:
        yield f"notebooks/{path.name}", path.read_bytes()
    if wheel:
        yield wheel.name, wheel.read_bytes()


def write(target: Path, built: Path, chapters: list[Path], wheel: Path | None = None) -> int:
    """Write the zip; return its size in bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in sorted(content(built, chapters, wheel)):
            info = zipfile.ZipInfo(f"{TOP}/{name}", date_time=DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # the same on every system
            info.external_attr = 0o644 << 16
            archive.writestr(info, data, compresslevel=9)
    return target.stat().st_size


def main(arguments: list[str] | None = None) -> int:
    """Pack; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--built", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "gan-book-offline.zip")
    parser.add_argument("--without-wheel", action="store_true", help="the package is not packed")
    options = parser.parse_args(arguments)
    if not (options.built / "index.html").is_file():
        print(f"{options.built} holds no book: run `make book` first.")
        return 1
    names = set(notebooks.toc_files())
    chapters = [path for path in notebooks.notebook_files() if path.stem in names]
    with tempfile.TemporaryDirectory() as folder:
        wheel = None if options.without_wheel else wheel_venv.build(Path(folder))
        size = write(options.out, options.built, chapters, wheel)
    print(f"{options.out.name}: {size / 2**20:.1f} MB, {len(chapters)} notebooks")
    if size > LARGEST:
        print(f"It is larger than {LARGEST / 2**20:.0f} MB.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

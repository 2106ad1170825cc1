"""Small folders and zips of pictures for the tests of loading."""

from __future__ import annotations

import zipfile
from pathlib import Path

from gan_book.data import ImageSet, load_images
from tests.data.hostile import encoded, painting


def fill(root: Path, names: list[str]) -> Path:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(painting(i), "PNG"))
    return root


def load(source: Path | str, **options: object) -> ImageSet:
    return load_images(source, **({"size": 8, "progress": False} | options))  # type: ignore[arg-type]


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def reasons(images: ImageSet) -> dict[str, str]:
    assert images.report is not None
    return dict(images.report.refused)

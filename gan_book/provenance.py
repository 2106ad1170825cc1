"""Where a picture comes from, written into the picture: which weights, recipe, pictures, seed.

The record is one JSON text in an iTXt chunk of the PNG. It holds hashes of the weights, of the
training set and of the picture's own pixels, so that `verify` notices when one of them was
exchanged. It is not signed: whoever writes a record can write a false one. And it is no part of the
pixels: saving the picture anew, as many programs and sites do, usually leaves it behind.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from gan_book import __version__
from gan_book import checkpoints as files
from gan_book.errors import GanBookError, need
from gan_book.model import Model

KEY, FORMAT = "gan-book-provenance", "gan-book-provenance-1"
# The word of IPTC for "made by a trained model", which C2PA uses, too.
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text, equal hash."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def weights_hash(model: Model) -> str:
    """SHA-256 (hex) of the generator's tensors as its file holds them: the ``sha256`` of its card
    and of the header of ``generator.safetensors``."""
    tensors = model.generator.state_dict()
    if model.card.get("dtype") == "float16":  # computing in float32 keeps these exactly
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    return files.digest(tensors)


def pixels_hash(picture: Image.Image) -> str:
    """SHA-256 (hex) of mode, size and pixels; what else a file holds does not count."""
    head = f"{picture.mode} {picture.width}x{picture.height}\n".encode()
    return hashlib.sha256(head + picture.tobytes()).hexdigest()


def record(model: Model, /, **facts: Any) -> dict[str, Any]:
    """What is known about pictures of ``model``; ``facts`` (seed, n, label ...) are added.

    What nobody has stated is written as "unknown", never left out.
    """
    folder, card = model.folder, model.card
    told = folder is not None and (folder / "data.json").is_file()
    data = files.read_json(Path(folder or "") / "data.json") if told else {}
    recipe = canonical(model.recipe.to_dict()).encode()
    pictures = {
        "name": data.get("source") or card.get("trained on"),
        "sha256": data.get("fingerprint") or card.get("fingerprint of the pictures"),
        "licence": data.get("licence") or card.get("licence of the pictures"),
    }
    return {
        "format": FORMAT,
        "software": f"gan_book {__version__}",
        "digital_source_type": TRAINED,
        "recipe": {"name": model.recipe.name, "sha256": hashlib.sha256(recipe).hexdigest()},
        "weights": {"sha256": weights_hash(model), "licence": card.get("licence", "unknown")},
        "trained_on": {key: value or "unknown" for key, value in pictures.items()},
        **facts,
    }


def save(picture: Image.Image | Tensor, path: str | Path, facts: dict[str, Any]) -> Path:
    """Write ``picture`` as PNG with the record ``facts``, to which the hash of its pixels is added.

    A tensor is one picture, uint8 (C, H, W) with C = 1 or 3. Plain entries (seed, n ...) also stand
    in text chunks of their own, for any viewer to show.
    Raises ``GanBookError`` for another name than ``.png``, ``OSError`` where it cannot be written.
    """
    from gan_book.plots import save_png

    if isinstance(picture, Tensor):
        array = picture.permute(1, 2, 0).squeeze(-1).contiguous().numpy()  # (H, W, 3) or (H, W)
        picture = Image.fromarray(array)
    whole = facts | {"pixels": {"sha256": pixels_hash(picture)}}
    plain = {k: v for k, v in facts.items() if isinstance(v, str | int)}
    plain |= {"Software": "gan_book", "recipe": facts["recipe"]["name"]}
    return save_png(picture, path, {**plain, KEY: canonical(whole)})


def read(path: str | Path) -> dict[str, Any]:
    """The record in a PNG. Raises ``GanBookError`` where there is none, or a damaged one."""
    return _opened(path)[1]


def verify(path: str | Path, model: Model | None = None) -> list[str]:
    """What speaks against the record in a PNG, one sentence each; empty if nothing does.

    The pixels must be those that were saved. With ``model`` its weights and recipe must be those
    recorded. An empty list proves agreement, not authorship: the record bears no signature.
    """
    picture, found = _opened(path)
    problems = []
    if found.get("pixels") != {"sha256": pixels_hash(picture)}:
        problems.append("The pixels are not those that were saved with this record.")
    if model is not None:
        own = record(model)  # once: it hashes all weights
        differ = [part for part in ("weights", "recipe") if found.get(part) != own[part]]
        problems += [f"The record and this model differ in their {part}." for part in differ]
    return problems


def _opened(path: str | Path) -> tuple[Image.Image, dict[str, Any]]:
    try:
        with Image.open(path) as picture:
            picture.load()  # chunks may also follow the pixels
            text = getattr(picture, "text", {}).get(KEY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise GanBookError(f"{path} cannot be read as a picture ({error}).") from error
    need(
        text is not None,
        f"{path} carries no provenance record: it was not written by gan_book, or it was saved "
        "anew by a program that leaves such text behind.",
    )
    try:
        found = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise GanBookError(f"The provenance record in {path} is damaged: no JSON.") from error
    known = isinstance(found, dict) and found.get("format") == FORMAT
    need(known, f"The provenance record in {path} is of another format than {FORMAT}.")
    return picture, found

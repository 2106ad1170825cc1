"""Inception and DINOv2 as feature extractors, through the optional package ``torch-fidelity``.

The networks of published numbers. Their weights are downloaded when a reader first asks for them,
into torch's own folder for such files, and compared with a sha256 that stands here; numbers of
different extractors are never comparable.
"""

from __future__ import annotations

import hashlib
import importlib
import socket
import sys
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import GanBookError, need

PATIENCE = 20.0  # seconds without a byte, after which the network counts as absent
BATCH = 32


@dataclass(frozen=True)
class Pretrained:
    """What a reader should know about a network before its weights are fetched.

    Attributes:
        id: what a number names. layer: torch-fidelity's name of the features taken.
        dim: features. side: pixels that its input is resized to.
        url, megabytes, sha256, licence: of the weights. code: a repository whose code runs, if any.
    """

    id: str
    layer: str
    dim: int
    side: int
    url: str
    megabytes: int
    sha256: str
    licence: str = "Apache-2.0"
    code: str = ""

    @property
    def resize(self) -> str:
        """torch-fidelity's filter for both networks: bilinear without antialiasing."""
        return f"{self.side} x {self.side}, bilinear as in TensorFlow 1, not antialiased"

    def description(self) -> str:
        """Name, size, origin and licence of the download in one line."""
        code = f"; and its code, which will run here, from {self.code}" if self.code else ""
        return f"{self.id}: {self.megabytes} MB from {self.url}, licence {self.licence}{code}"


NETWORKS = {
    "inception": Pretrained(
        "inception-v3-compat-2048", "2048", 2048, 299,
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
        96, "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
    "dinov2": Pretrained(
        "dinov2-vit-b-14", "dinov2", 768, 224,
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        346, "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        code="github.com/facebookresearch/dinov2",
    ),
}  # fmt: skip
NAMES = tuple(NETWORKS)


class PretrainedExtractor:
    """A network of torch-fidelity as an `Extractor`: pictures in, features out."""

    def __init__(self, about: Pretrained, net: nn.Module, device: torch.device) -> None:
        self.id, self.dim, self.about, self.device = about.id, about.dim, about, device
        self.net = net.to(device)

    def facts(self) -> dict[str, Any]:
        own = self.about
        return {"extractor": own.id, "sha256": own.sha256, "dim": own.dim, "resize": own.resize}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W), C 1 or 3, to float32 (N, dim) on the CPU; `GanBookError` otherwise.

        Gray pictures get three equal channels; the network resizes by `about.resize`.
        """
        from .features import check_pictures

        check_pictures(images)
        parts = images.split(BATCH)  # each (n, C, H, W)
        found = [self.net(x.to(self.device).expand(-1, 3, -1, -1))[0].float().cpu() for x in parts]
        return torch.cat(found)  # (N, dim)


def pretrained(name: str, device: torch.device) -> PretrainedExtractor:
    """Open "inception" or "dinov2"; the weights are fetched where they are missing.

    Raises:
        GanBookError: torch-fidelity is not installed, there is no network (no answer for
            `PATIENCE` seconds), or a file is not the published one.
    """
    about = NETWORKS[name]
    try:
        create = importlib.import_module("torch_fidelity.utils").create_feature_extractor
    except ImportError as error:
        raise GanBookError(
            f"The extractor '{name}' needs the package torch-fidelity, 0.4 or newer ({error}); "
            'run: pip install "torch-fidelity>=0.4"'
        ) from None
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # torch.hub sets none of its own
    try:
        path = _weights(about)
        # DINOv2's own code finds the file in torch's folder
        own = {} if about.code else {"feature_extractor_weights_path": str(path)}
        network = about.id.removesuffix(f"-{about.layer}")
        net = create(network, [about.layer], cuda=False, verbose=False, **own)
    except GanBookError:
        raise
    except (OSError, HTTPException, RuntimeError, ImportError, AttributeError, ValueError) as error:
        why = " ".join(str(error).split())[:160]
        raise GanBookError(
            f"The extractor {about.id} is not on this machine and cannot be fetched ({why}); try "
            "again where there is a network and torch-fidelity 0.4 or newer, or use gan-book-1, "
            "which needs none."
        ) from None
    finally:
        socket.setdefaulttimeout(before)
    return PretrainedExtractor(about, net, device)


def _weights(about: Pretrained) -> Path:
    """The file of the weights, downloaded if missing, with the sha256 that it should have."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / about.url.rsplit("/", 1)[1]
    if not path.is_file():
        print(f"Downloading {about.description()}.", file=sys.stderr)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(about.url, str(path), about.sha256, progress=False)
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    need(
        found == about.sha256,
        f"{path} is not the published file of {about.id} (its sha256 begins with {found[:8]}, "
        f"not {about.sha256[:8]}); delete it, and it will be fetched again.",
    )
    return path

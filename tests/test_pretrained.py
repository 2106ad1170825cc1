"""Inception and DINOv2 without a network: refusals in a sentence, and the rest with random weights
in the place of the published ones."""

from __future__ import annotations

import dataclasses
import hashlib
import socket
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from gan_book import pretrained as module
from gan_book.errors import GanBookError
from gan_book.pretrained import NETWORKS, PretrainedExtractor, pretrained

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_hub(tmp_path, monkeypatch) -> Path:
    """An empty folder in the place of torch's, and no way out of this machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("no_proxy", raising=False)
    return tmp_path / "hub" / "checkpoints"


def put_weights(folder: Path, name: str, content: bytes, monkeypatch) -> Path:
    """A file in the place of the weights, with its sha256 as the one expected."""
    about = NETWORKS[name]
    path = folder / about.url.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    found = dataclasses.replace(about, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(NETWORKS, name, found)
    return path


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_without_a_network_there_is_a_sentence(name, own_hub, capsys):
    pytest.importorskip("torch_fidelity")
    with pytest.raises(GanBookError, match="cannot be fetched .*gan-book-1, which needs none"):
        pretrained(name, CPU)
    told = capsys.readouterr().err
    about = NETWORKS[name]
    assert f"{about.megabytes} MB from {about.url}" in told
    assert about.licence in told
    assert not list(own_hub.glob("*.pth"))  # nothing half-fetched stays under the final name


def test_a_silent_network_is_given_up(monkeypatch):
    pytest.importorskip("torch_fidelity")
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, place)
        monkeypatch.setattr(module, "PATIENCE", 0.3)
        started = time.perf_counter()
        with pytest.raises(GanBookError, match="cannot be fetched"):
            pretrained("inception", CPU)
        assert time.perf_counter() - started < 5
    assert socket.getdefaulttimeout() is None


def test_without_torch_fidelity_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    for name in [m for m in sys.modules if m.startswith("torch_fidelity.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(GanBookError, match=r'pip install "torch-fidelity>=0\.4"'):
        pretrained("inception", CPU)


def test_another_file_is_refused(own_hub, monkeypatch):
    pytest.importorskip("torch_fidelity")
    path = put_weights(own_hub, "inception", b"published", monkeypatch)
    path.write_bytes(b"something else")
    with pytest.raises(GanBookError, match="not the published file .* delete it"):
        pretrained("inception", CPU)


def check_interface(net: PretrainedExtractor, name: str) -> None:
    about = NETWORKS[name]
    assert net.facts() == {
        "extractor": about.id,
        "sha256": about.sha256,
        "dim": about.dim,
        "resize": about.resize,
    }
    rng = torch.Generator().manual_seed(0)
    gray = torch.randint(0, 256, (3, 1, 16, 12), generator=rng, dtype=torch.uint8)
    found = net(gray)
    assert found.shape == (3, about.dim)
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(net(gray.expand(-1, 3, -1, -1)), found)
    with pytest.raises(GanBookError, match="uint8"):
        net(gray.float())


@pytest.mark.slow
def test_inception_with_random_weights(own_hub, monkeypatch, tmp_path):
    """The file's weights are those used: the features equal the network's own."""
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    with monkeypatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *a, **k: None)
        torch.manual_seed(0)
        own = inception.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(own.state_dict(), tmp_path / "random.pth")
    put_weights(own_hub, "inception", (tmp_path / "random.pth").read_bytes(), monkeypatch)
    net = pretrained("inception", CPU)
    check_interface(net, "inception")
    rng = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (2, 3, 20, 20), generator=rng, dtype=torch.uint8)
    torch.testing.assert_close(net(pictures), own(pictures)[0])


def test_dinov2_with_a_stand_in(own_hub, monkeypatch):
    """torch-fidelity's code around a network of random weights; torch.hub finds our file."""
    pytest.importorskip("torch_fidelity")

    def load(repository: str, name: str) -> nn.Module:
        assert (repository, name) == ("facebookresearch/dinov2", "dinov2_vitb14")
        torch.manual_seed(0)
        return nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(3 * 8 * 8, 768))

    monkeypatch.setattr(torch.hub, "load", load)
    put_weights(own_hub, "dinov2", b"any", monkeypatch)
    check_interface(pretrained("dinov2", CPU), "dinov2")


def test_an_old_torch_fidelity_gets_a_sentence(own_hub, monkeypatch):
    registry = pytest.importorskip("torch_fidelity.registry").FEATURE_EXTRACTORS_REGISTRY
    pytest.importorskip("torch_fidelity.utils")
    monkeypatch.delitem(registry, "dinov2-vit-b-14")
    put_weights(own_hub, "dinov2", b"any", monkeypatch)
    with pytest.raises(GanBookError, match="torch-fidelity 0.4 or newer"):
        pretrained("dinov2", CPU)


def test_every_network_names_what_it_fetches():
    for about in NETWORKS.values():
        assert len(about.sha256) == 64
        assert about.url.startswith("https://")
        assert about.licence in about.description()

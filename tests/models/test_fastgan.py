"""FastGAN: gates from the small map, features that must rebuild, trained by the same objective."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gan_book as gb
from gan_book.data.batches import Batch
from gan_book.errors import GanBookError
from gan_book.models import build_discriminator, build_generator, count_parameters
from gan_book.models.fastgan import GLU_GAIN, SkipExcitation, _Up
from gan_book.objectives import DiscriminatorObjective, Draws, ObjectiveSettings, Weights

SHAPES = {"square": (3, 16, 16), "wide": (1, 16, 24), "odd grid": (2, 28, 20), "small": (3, 8, 8)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def pair(shape: tuple[int, ...], num_classes: int = 0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    options = {"size": shape[1:], "channels": shape[0], "num_classes": num_classes, "width": 6}
    return (
        build_generator("fastgan", z_dim=10, **options),
        build_discriminator("fastgan", **options),
    )


def pictures(shape: tuple[int, ...], n: int = 4) -> torch.Tensor:
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))
    return F.avg_pool2d(x, 3, 1, 1).clamp(-1, 1)


@every_shape
@pytest.mark.parametrize("num_classes", [0, 3])
def test_every_parameter_is_trained(shape, num_classes) -> None:
    g, d = pair(shape, num_classes)
    labels = torch.tensor([0, 1, 2, 1]) if num_classes else None
    z = torch.randn(4, g.z_dim)
    fake = g(z, labels)
    assert fake.shape == (4, *shape) == (4, *g.sample_shape)
    assert fake.abs().max() <= 1
    torch.testing.assert_close(fake[:1], g(z[:1], None if labels is None else labels[:1]))
    F.softplus(d(pictures(shape), labels) - d(fake, labels)).mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in g.parameters())

    off = ObjectiveSettings(r1=True, r2=True)
    objective = DiscriminatorObjective(g, d, off)
    d.zero_grad(set_to_none=True)
    zero = torch.zeros(())
    batch, weights = Batch(pictures(shape), labels), Weights(zero + 0.1, zero + 0.1, zero)
    loss, logs = objective(batch, Draws(z), weights)
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in d.parameters())
    torch.testing.assert_close(logs["auxiliary"], d.auxiliary_loss(batch.images).detach())
    # nothing but the rebuilding is added, and it looks at the real pictures only
    plain = _without_auxiliary(d, g, off, batch, Draws(z), weights)
    torch.testing.assert_close(loss.detach(), plain + logs["auxiliary"])


def _without_auxiliary(d, g, settings, batch, draws, weights):
    from gan_book.models.dcgan import DCGANDiscriminator

    options = {"num_classes": d.num_classes, "width": 6}
    twin = DCGANDiscriminator(d.size, d.channels, **options)
    twin.load_state_dict({k: v for k, v in d.state_dict().items() if "decoder" not in k})
    return DiscriminatorObjective(g, twin, settings)(batch, draws, weights)[1]["loss"]


def test_the_gate_is_the_equation() -> None:
    torch.manual_seed(0)
    se = SkipExcitation(5, 7, (4, 6), 2)
    low, high = torch.randn(3, 5, 8, 12), torch.randn(3, 7, 32, 48)
    pooled = low.reshape(3, 5, 4, 2, 6, 2).mean((3, 5))  # (N, low, 4, 6)
    s = torch.einsum("nchw,ochw->no", pooled, se.squeeze.weight)
    s = s / (1 + torch.exp(-s))
    gates = 2 / (1 + torch.exp(-s @ se.gate.weight[:, :, 0, 0].T))
    torch.testing.assert_close(se(low, high), high * gates[:, :, None, None])


def test_gates_join_resolutions_skip_apart() -> None:
    for skip, gates in ((1, 3), (2, 2), (4, 0)):
        g = build_generator("fastgan", size=32, width=4, skip=skip)
        assert len(g.gates) == gates
        for i, gate in enumerate(g.gates):  # closed gates: the map above is dark
            seen = []
            handle = g.ups[i + skip - 1].register_forward_hook(lambda *a, s=seen: s.append(a[2]))
            nn.init.constant_(gate.gate.bias, -1e4)
            g(torch.randn(2, g.z_dim))
            assert not gate(
                seen[0].new_zeros(2, gate.squeeze.in_channels, *_low(g, i)), seen[0]
            ).any()
            handle.remove()
    with pytest.raises(GanBookError, match="'skip'"):
        build_generator("fastgan", size=32, skip=0)


def _low(g: nn.Module, i: int) -> tuple[int, int]:
    return g.start[0] << i, g.start[1] << i


def test_the_signal_survives() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    second = (weights / (1 + np.exp(-GLU_GAIN * nodes)) ** 2).sum() / weights.sum()
    assert GLU_GAIN**2 * second == pytest.approx(1, abs=1e-3)
    torch.manual_seed(0)
    x = torch.randn(8, 64, 12, 12)
    with torch.no_grad():
        y = _Up(64, 64)(x)[:, :, 2:-2, 2:-2]
    assert abs(math.log(y.square().mean() / x.square().mean())) < 0.35


def test_features_learn_to_rebuild() -> None:
    torch.manual_seed(0)
    _, d = pair((3, 16, 16))
    x = pictures((3, 16, 16), 16)
    optimizer = torch.optim.Adam(d.parameters(), 3e-3)
    first = d.auxiliary_loss(x).item()
    for _ in range(60):
        loss = d.auxiliary_loss(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * min(first, F.avg_pool2d(x, 2).var().item())
    assert d.rebuild(x).shape == (16, 3, 8, 8)


def test_parameters_by_hand() -> None:
    g, d = pair((3, 16, 16))
    # widths 24, 12, 6 at 4, 8 and 16 pixels; every convolution has biases
    first = (10 + 1) * 2 * 24 * 16
    ups = (24 * 9 + 1) * 2 * 12 + (12 * 9 + 1) * 2 * 6
    gate = (24 * 16 + 1) * 6 + (6 + 1) * 6
    assert count_parameters(g) == first + ups + gate + (6 * 9 + 1) * 3
    way_down = (3 * 16 + 1) * 6 + (6 * 16 + 1) * 12 + 12 * 16
    decoder = (12 * 9 + 1) * 2 * 6 + (6 * 9 + 1) * 3
    assert count_parameters(d) == way_down + decoder


@pytest.mark.slow
def test_compiled_and_exported_equal_eager() -> None:
    g, d = pair((3, 16, 16))
    z, x = torch.randn(4, g.z_dim), pictures((3, 16, 16))
    for net, inputs in ((g.eval(), z), (d.eval(), x)):
        program = torch.export.export(net, (inputs,), strict=True)
        torch.testing.assert_close(program.module()(inputs), net(inputs))
    settings = ObjectiveSettings(engine="func")
    zero = torch.zeros(())
    arguments = Batch(x, None), Draws(z), Weights(zero + 0.1, zero + 0.1, zero)
    objective = DiscriminatorObjective(g, d, settings)
    compiled = torch.compile(objective, fullgraph=True, dynamic=False)
    torch.testing.assert_close(
        compiled(*arguments)[0], objective(*arguments)[0], rtol=1e-4, atol=1e-5
    )


def test_a_run_trains_the_decoder_and_logs_its_error(tmp_path) -> None:
    images = gb.load_images("atelier", size=16, n=32, progress=False)
    options = {"model": "fastgan", "width": 4}
    few = gb.recipe("small-16", generator={**options, "z_dim": 8}, discriminator=options)
    few = gb.recipe(few, batch_size=8, total_images=32, log_every=8)
    seen: list[torch.Tensor] = []

    def look(state, _logs) -> None:
        seen.append(state.discriminator.decoder[0].conv.weight.detach().clone())

    run = gb.train(few, images, tmp_path / "run", callbacks=[look], progress=False)
    assert all(line["auxiliary"] > 0 for line in run.log)
    assert not torch.equal(seen[0], seen[-1])

"""U-Nets: counted parameters, what skips carry, logits of pixels, compiled, exported."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_book.errors import GanBookError
from gan_book.models import build_discriminator, count_parameters
from gan_book.models.dcgan import DCGANDiscriminator
from gan_book.models.unet import UNetDiscriminator, UNetGenerator

SHAPES = {"square": (3, 16, 16), "wide": (1, 16, 24), "odd grid": (2, 28, 20)}


def pictures(shape: tuple[int, ...], n: int = 3) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("skips", [True, False])
def test_the_generator_keeps_the_size_and_trains_everywhere(shape, skips) -> None:
    net = UNetGenerator(shape[1:], shape[0], out=5, width=4, skips=skips)
    x = pictures(shape)
    made = net(x)
    assert made.shape == (3, 5, *shape[1:])
    assert net.sample_shape == (5, *shape[1:])
    assert made.abs().max() <= 1
    torch.testing.assert_close(made[:1], net(x[:1]), rtol=1e-4, atol=1e-5)
    made.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_discriminator_judges_the_whole_and_each_pixel(shape) -> None:
    net = build_discriminator("unet", size=shape[1:], channels=shape[0], num_classes=4, width=4)
    x, labels = pictures(shape), torch.tensor([0, 3, 1])
    whole, pixels = net.both(x, labels)
    assert whole.shape == (3,)
    assert pixels.shape == (3, *shape[1:])
    torch.testing.assert_close(net(x, labels), whole + pixels.mean((1, 2)))
    # the way down is DCGAN's discriminator, projection included
    plain = DCGANDiscriminator(shape[1:], shape[0], num_classes=4, width=4)
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if "way_up" not in k})
    torch.testing.assert_close(whole, plain(x, labels))
    with pytest.raises(GanBookError, match="needs a label"):
        net.both(x)


def test_parameters_are_what_the_docstrings_say() -> None:
    counts = [count_parameters(UNetGenerator(16, width=16)),
              count_parameters(UNetDiscriminator(16, width=32))]  # fmt: skip
    for kind, count in zip((UNetGenerator, UNetDiscriminator), counts, strict=True):
        assert f"{count:,} parameters" in kind.__doc__
    # by hand, widths 16 and 32: 4 x 4 down; 3 x 3 up of 32, then of 16 + 16; 3 x 3 of 16 + 3
    down = 16 * (3 * 16 + 1) + 32 * (16 * 16 + 1)
    up = 16 * (32 * 9 + 1) + 16 * (32 * 9 + 1) + 3 * (19 * 9 + 1)
    assert counts[0] == down + up


def test_skips_carry_detail_past_the_narrow_middle() -> None:
    """With the last map cut off, only the skips can tell where a pixel was changed."""
    shape = (1, 16, 16)
    for skips in (True, False):
        net = UNetGenerator(16, 1, width=4, skips=skips)
        x = pictures(shape, 1)
        maps, other = net.maps(x), net.maps(x + pictures(shape, 1))
        made, again = (net.way_up([*m[:-1], torch.zeros_like(m[-1])]) for m in (maps, other))
        assert torch.equal(made, again) is not skips


def test_a_pixel_sees_its_surroundings_and_not_only_itself() -> None:
    net = UNetDiscriminator(32, 1, width=4)
    x = pictures((1, 32, 32), 1).requires_grad_()
    (slope,) = torch.autograd.grad(net.both(x)[1][0, 16, 16], x)
    reach = slope[0, 0].abs() > 0
    assert reach[16, 16]
    assert 200 < reach.sum() <= 32 * 32


@pytest.mark.parametrize("kind", [UNetGenerator, UNetDiscriminator])
def test_compiled_and_exported_equal_eager(kind: type[nn.Module], tmp_path) -> None:
    net, x = kind((16, 24), 2, width=4).eval(), pictures((2, 16, 24))
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(x), net(x), rtol=1e-5, atol=1e-6)
    program = torch.export.export(net, (x,), strict=True)
    torch.testing.assert_close(program.module()(x), net(x), rtol=1e-5, atol=1e-6)
    onnx = pytest.importorskip("onnxruntime")
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (x,), path, dynamo=True, verbose=False)
    session = onnx.InferenceSession(str(path))
    (made,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(made), net(x).detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: UNetGenerator(17), "nearest possible size"),
        (lambda: UNetGenerator(16, out=0), "'out'"),
        (lambda: UNetGenerator(16, skips=2), "true or false"),
        (lambda: build_discriminator("unet", size=16, batch_norm=True), "no option"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(build, words: str) -> None:
    with pytest.raises(GanBookError, match=words):
        build()

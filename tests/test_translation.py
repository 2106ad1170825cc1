"""From picture to picture: derived pairs, losses, routed gradients, training, files, any size."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from gan_book import translation, translator
from gan_book.data import to_float, to_uint8
from gan_book.data.imageset import ImageSet
from gan_book.errors import GanBookError
from gan_book.losses import LOSSES
from gan_book.models.patchgan import PatchDiscriminator
from gan_book.models.unet import UNetGenerator
from gan_book.translation import CycleGANObjective, Pix2PixObjective, patch_loss, source_of
from gan_book.translator import Translator, load_translator, objective_of, train_translator
from tests.tiny import pictures as noise


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X = torch.rand(4, 3, 8, 8, generator=source(9)) * 2 - 1
Y = torch.rand(4, 3, 8, 8, generator=source(8)) * 2 - 1


def unet(channels: int = 3) -> UNetGenerator:
    return UNetGenerator(8, channels, out=3, width=4)


def judge(channels: int = 3) -> PatchDiscriminator:
    return PatchDiscriminator(channels, width=4)


def pix2pix(gamma: float = 0.0, game: str = "non-saturating") -> Pix2PixObjective:
    torch.manual_seed(0)
    return Pix2PixObjective(unet(1), judge(4), 10.0, game, gamma).double()


def cyclegan(**options: float) -> CycleGANObjective:
    torch.manual_seed(0)
    return CycleGANObjective(unet(), unet(), judge(), judge(), **options).double()


def gradient(loss: torch.Tensor, net: nn.Module) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True, allow_unused=True)
    return torch.cat([
        (torch.zeros_like(p) if g is None else g).flatten()
        for g, p in zip(found, net.parameters(), strict=True)
    ])  # fmt: skip


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert other.abs().max() > 1e-9
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


# Pairs


def test_gray_is_pillows_luma():
    colors = torch.randint(0, 256, (1, 3, 16, 16), generator=source(), dtype=torch.uint8)
    picture = Image.fromarray(colors[0].permute(1, 2, 0).numpy()).convert("L")
    by_pillow = torch.tensor(list(picture.tobytes())).view(16, 16)
    ours = to_uint8(source_of(to_float(colors), "gray"))[0, 0]
    assert (ours.int() - by_pillow.int()).abs().max() <= 1
    again = source_of(to_float(colors), "gray")
    assert torch.equal(translation.gray_of(again), again)


def test_edges_of_a_step_by_hand():
    """A step of height s between two columns: slope s on both sides of it, in any channel."""
    for s, channel in ((0.3, 0), (0.5, 1), (1.6, 2)):
        x = torch.zeros(1, 3, 6, 7)
        x[:, channel, :, 3:] = s
        lines = source_of(x, "edges")
        expected = torch.ones(1, 1, 6, 7)
        expected[..., 2:4] = 1 - 2 * min(s, 1.0)
        torch.testing.assert_close(lines, expected)
        torch.testing.assert_close(source_of(x.mT, "edges"), expected.mT)


def test_edges_do_not_know_colors():
    torch.testing.assert_close(source_of(-X, "edges"), source_of(X, "edges"))
    torch.testing.assert_close(source_of(X.flip(1), "edges"), source_of(X, "edges"))


def test_upscale_keeps_means_of_blocks_only():
    """Pictures that agree in the means of 4 x 4 blocks have one source; constants stay."""
    blocks = F.unfold(X, 4, stride=4).view(4, 3, 16, 4)
    other = F.fold(blocks.flip(2).reshape(4, 48, 4), 8, 4, stride=4)
    assert not torch.equal(other, X)
    torch.testing.assert_close(source_of(other, "upscale"), source_of(X, "upscale"))
    flat = torch.full((1, 3, 8, 12), 0.25)
    torch.testing.assert_close(source_of(flat, "upscale"), flat)


def test_pairs_are_refused_with_a_sentence():
    with pytest.raises(GanBookError, match="did you mean 'gray'"):
        source_of(X, "grey")
    with pytest.raises(GanBookError, match="multiples of 4 to shrink"):
        source_of(torch.zeros(1, 3, 10, 8), "upscale")


# Losses


class Shift(nn.Module):
    """A generator G(x) = x + c of one number."""

    channels = 3

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.by


class Mean(nn.Module):
    """A judge with two patches, the left and the right half: a times their means."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.slope * torch.stack([half.mean((1, 2, 3)) for half in x.chunk(2, 3)], 1)


def test_patch_loss_against_a_closed_form():
    """Constant pictures 1 and -0.5: logits a and -a / 2 in both patches. The sum of the logits
    has the slope a / 96 at each of 192 values (two disjoint halves of 96)."""
    real, fake = torch.ones(2, 3, 8, 8).double(), torch.full((2, 3, 8, 8), -0.5).double()
    critic, a = Mean(0.8), 0.8
    plain = patch_loss(critic, real, fake, LOSSES["non-saturating"], 0.0)
    soft = math.log1p(math.exp(-a)) + math.log1p(math.exp(-a / 2))
    assert math.isclose(plain.item(), soft, rel_tol=1e-12)
    squares = patch_loss(critic, real, fake, LOSSES["least-squares"], 0.0)
    assert math.isclose(squares.item(), 0.5 * (a - 1) ** 2 + 0.5 * (a / 2) ** 2, rel_tol=1e-12)
    penalized = patch_loss(critic, real, fake, LOSSES["non-saturating"], 0.6)
    slope = 192 * (a / 96) ** 2 / 2  # over the two patches: the mean of R1 of each, a^2 / 96
    assert math.isclose(slope, a**2 / 96, rel_tol=1e-12)
    assert math.isclose(penalized.item(), soft + 2 * 0.6 / 2 * slope, rel_tol=1e-12)


def test_pix2pix_against_a_closed_form():
    """G(x) = x + 0.3 where the target is x + 0.5: L1 is 0.2."""
    objective = Pix2PixObjective(Shift(0.3), Mean(0.8), 10.0, "least-squares")
    x = torch.zeros(2, 3, 8, 8).double()
    loss, logs = objective(torch.cat([x, x + 0.5], 1))
    real, fake = 0.8 * 0.25, 0.8 * 0.15  # means over the pair
    assert math.isclose(logs["l1_loss"].item(), 2.0, rel_tol=1e-12)
    assert math.isclose(logs["g_loss"].item(), 0.5 * (fake - 1) ** 2, rel_tol=1e-12)
    judged = 0.5 * (real - 1) ** 2 + 0.5 * fake**2
    assert math.isclose(logs["d_loss"].item(), judged, rel_tol=1e-12)
    assert math.isclose(loss.item(), sum(logs[k].item() for k in logs if k != "loss"))


def test_cyclegan_against_a_closed_form():
    """there adds 0.3, back takes 0.1 away: a round trip is off by 0.2 each way, the identities
    by 0.3 and 0.1."""
    objective = CycleGANObjective(Shift(0.3), Shift(-0.1), Mean(2.0), Mean(3.0), 5.0, 2.5)
    a, b = torch.zeros(2, 3, 8, 8).double(), torch.ones(2, 3, 8, 8).double()
    loss, logs = objective(torch.cat([a, b], 1))
    expected = {
        "cycle_loss": 5 * 0.4,
        "identity_loss": 2.5 * 0.4,
        "g_loss": 0.5 * (2 * 0.3 - 1) ** 2 + 0.5 * (3 * 0.9 - 1) ** 2,
        "d_loss": 0.5 * (2 - 1) ** 2 + 0.5 * 0.6**2 + 0.5 * (0 - 1) ** 2 + 0.5 * 2.7**2,
    }
    for name, value in expected.items():
        assert math.isclose(logs[name].item(), value, rel_tol=1e-12), name
    assert math.isclose(loss.item(), sum(expected.values()), rel_tol=1e-12)


# Who gets which gradient


@pytest.mark.parametrize("game", ["non-saturating", "least-squares"])
def test_pix2pix_gives_each_player_its_own_terms(game: str):
    objective = pix2pix(0.4, game)
    a, b = source_of(X, "gray").double(), X.double()
    pair = torch.cat([a, b], 1)
    g, d, half = objective.generator, objective.discriminator, LOSSES[game]
    made = torch.cat([a, g(a)], 1)
    l1, game_g = 10 * (g(a) - b).abs().mean(), half.generator(d(made), d(made))
    total = objective(pair)[0]
    same(gradient(total, g), gradient(l1 + game_g, g))
    same(gradient(total, d), gradient(patch_loss(d, pair, made.detach(), half, 0.4), d))
    assert gradient(game_g, d).abs().max() > 1e-6  # what is kept out is not nothing


def test_pix2pix_without_a_judge_is_l1_alone():
    torch.manual_seed(0)
    objective = Pix2PixObjective(unet(1), None, 7.0)
    pair = torch.cat([source_of(X, "gray"), X], 1)
    loss, logs = objective(pair)
    torch.testing.assert_close(loss, 7 * F.l1_loss(objective.generator(pair[:, :1]), X))
    assert set(logs) == {"loss", "l1_loss"}


def test_pix2pix_judges_the_pair():
    """The same target with another source is judged otherwise."""
    objective = pix2pix()
    a, b = source_of(X, "gray").double(), X.double()
    swapped = objective(torch.cat([a.flip(0), b], 1))[1]
    assert not torch.isclose(swapped["d_loss"], objective(torch.cat([a, b], 1))[1]["d_loss"])


def test_cyclegan_gives_each_player_its_own_terms():
    objective = cyclegan(cycle=3.0, identity=2.0)
    a, b = X.double(), Y.double()
    there, back, d_b, d_a = objective.there, objective.back, objective.judge_b, objective.judge_a
    game = LOSSES["least-squares"]
    cycle = 3 * (F.l1_loss(back(there(a)), a) + F.l1_loss(there(back(b)), b))
    identity = 2 * (F.l1_loss(there(b), b) + F.l1_loss(back(a), a))
    f_b, f_a = d_b(there(a)), d_a(back(b))
    play = game.generator(f_b, f_b) + game.generator(f_a, f_a)
    total = objective(torch.cat([a, b], 1))[0]
    for net in (there, back):
        same(gradient(total, net), gradient(play + cycle + identity, net))
        for term in (play, cycle, identity):  # each of the three reaches each generator
            assert gradient(term, net).abs().max() > 1e-6
    same(gradient(total, d_b), gradient(patch_loss(d_b, b, there(a), game, 0.0), d_b))
    same(gradient(total, d_a), gradient(patch_loss(d_a, a, back(b), game, 0.0), d_a))


def test_objectives_refuse_impossible_options():
    with pytest.raises(GanBookError, match="weight of L1"):
        Pix2PixObjective(unet(1), judge(4), 0.0)
    with pytest.raises(GanBookError, match="cannot be paired"):
        Pix2PixObjective(unet(1), judge(4), game="relativistic")
    with pytest.raises(GanBookError, match="penalty must not"):
        Pix2PixObjective(unet(1), judge(4), gamma=-1.0)
    with pytest.raises(GanBookError, match="cycle and identity"):
        CycleGANObjective(unet(), unet(), judge(), judge(), cycle=-1.0)
    with pytest.raises(GanBookError, match="equally many channels"):
        CycleGANObjective(unet(1), unet(), judge(), judge())


# Training


def trained(task: str | None, **options: object) -> Translator:
    images = noise(40, 8)
    other = noise(40, 8, seed=1) if task is None else None
    return train_translator(
        images, other, task=task, steps=options.pop("steps", 3), width=4, device="cpu", **options
    )


def state(translator: Translator) -> torch.Tensor:
    return torch.cat([p.flatten() for p in translator.nets.parameters()])


@pytest.mark.parametrize("task", ["edges", "gray", "upscale", None])
def test_training_learns_and_logs_each_term(task: str | None):
    short = trained(task, steps=2, every=2).card["log"][-1]
    long = trained(task, steps=60, every=10).card["log"][-1]
    main = "cycle_loss" if task is None else "l1_loss"
    assert long[main] < short[main]
    terms = {"cycle_loss", "identity_loss"} if task is None else {"l1_loss"}
    assert set(long) == {"step", "loss", "g_loss", "d_loss"} | terms


@pytest.mark.parametrize("term", ["weight", "game", "cycle", "identity", "gamma"])
def test_each_term_changes_what_is_trained(term: str, monkeypatch):
    """Training really uses each of them: with another value other weights come out."""
    task = "gray" if term in ("weight", "game") else None
    wanted = {"weight": 3.0, "game": "least-squares", "cycle": 3.0, "identity": 0.0, "gamma": 2.0}
    settings = "PIX2PIX" if task else "CYCLEGAN"
    before = state(trained(task))
    assert torch.equal(before, state(trained(task)))  # repeatable, so what follows is no accident
    used = getattr(translator, settings) | {term: wanted[term]}
    monkeypatch.setattr(translator, settings, used)
    assert not torch.equal(before, state(trained(task)))


def test_without_the_game_training_differs():
    assert not torch.equal(state(trained("gray")), state(trained("gray", l1_only=True)))
    assert objective_of(trained("gray"), l1_only=True).discriminator is None


def test_held_out_pictures_are_not_trained_on(monkeypatch):
    images, seen = noise(40, 8), []

    def record(pictures: torch.Tensor, task: str) -> torch.Tensor:
        seen.append(to_uint8(pictures))
        return source_of(pictures, task)

    monkeypatch.setattr("gan_book.translation.source_of", record)
    made = train_translator(images, task="gray", steps=20, width=4, device="cpu")
    shown = {picture.numpy().tobytes() for picture in torch.cat(seen)}
    split = images.split("auto", seed=0)
    assert shown == {images.images[i].numpy().tobytes() for i in split.train}
    assert made.card["pictures"][0]["train"] == len(split.train) == 30


# Files and other sizes


@pytest.mark.parametrize("task", ["edges", None])
def test_files_bring_back_the_same_translator(task: str | None, tmp_path):
    made = trained(task, out=tmp_path / "run")
    again = load_translator(tmp_path / "run", "cpu")
    x = noise(3, 8, seed=5).images
    assert torch.equal(made(x), again(x))
    assert again.card["steps"] == 3
    assert again.card["pictures"][0]["train"] == 30
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "translator.json",
        "translator.safetensors",
    ]
    if task is None:
        assert torch.equal(made(x, back=True), again(x, back=True))
        assert not torch.equal(made(x, back=True), made(x))
    made.save(tmp_path / "half", torch.float16)
    half = load_translator(tmp_path / "half", "cpu")(x)
    assert (half.int() - made(x).int()).abs().max() <= 1


def test_a_damaged_file_is_refused(tmp_path):
    trained("gray", out=tmp_path)
    path = tmp_path / "translator.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(GanBookError, match="damaged"):
        load_translator(tmp_path)
    with pytest.raises(GanBookError, match="There is no translator 'nowhere'; shipped: "):
        load_translator("nowhere")


@pytest.mark.parametrize("size", [(8, 8), (16, 8), (13, 21), (4, 5)])
@pytest.mark.parametrize("task", ["edges", "gray", "upscale", None])
def test_pictures_of_any_size(task: str | None, size: tuple[int, int]):
    net = Translator({"task": task or "unpaired", "size": [8, 8], "width": 4})
    pictures = torch.randint(0, 256, (2, 3, *size), generator=source(), dtype=torch.uint8)
    times = 4 if task == "upscale" else 1
    out = net(pictures)
    assert out.shape == (2, 3, times * size[0], times * size[1])
    assert out.dtype == torch.uint8
    if task != "upscale":  # gray ones, too
        assert net(pictures[:, :1]).shape == out.shape


def test_a_padded_picture_agrees_with_its_inner_part():
    """Where sides fit nothing is padded: the network itself, no more."""
    net = Translator({"task": "gray", "size": [8, 8], "width": 4})
    x = noise(2, 16).images
    with torch.no_grad():
        plain = to_uint8(net.nets["there"](translation.gray_of(to_float(x))))
    assert torch.equal(net(x), plain)


def test_drawings_are_taken_as_they_are():
    net = Translator({"task": "edges", "size": [8, 8], "width": 4})
    x = noise(2, 8).images
    lines = to_uint8(source_of(to_float(x), "edges"))
    assert (net(lines, drawn=True).int() - net(x).int()).abs().max() <= 2  # lines were rounded
    assert not torch.equal(net(lines), net(x))


def test_non_square_training():
    rng = source(3)
    x = torch.randint(0, 256, (16, 3, 8, 12), generator=rng, dtype=torch.uint8)
    made = train_translator(ImageSet(x), task="upscale", steps=2, width=4, device="cpu")
    assert made(x[:2]).shape == (2, 3, 32, 48)


def test_what_does_not_fit_is_refused():
    images = noise(16, 8)
    with pytest.raises(GanBookError, match="one of the two"):
        train_translator(images, images, task="gray", steps=1)
    with pytest.raises(GanBookError, match="in color and of one size"):
        train_translator(images, noise(16, 16), steps=1)
    with pytest.raises(GanBookError, match="too small to hold any out"):
        train_translator(noise(5, 8), task="gray", steps=1)
    net = Translator({"task": "gray", "size": [8, 8], "width": 4})
    for wrong in (X, noise(2, 8).images[0]):
        with pytest.raises(GanBookError, match="uint8"):
            net(wrong)
    with pytest.raises(GanBookError, match="drawings"):
        net(images.images, drawn=True)
    with pytest.raises(GanBookError, match="way back"):
        net(images.images, back=True)

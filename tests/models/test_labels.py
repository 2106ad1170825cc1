"""Classes that are combinations of labels: their vectors are sums, in G and in D."""

from __future__ import annotations

import pytest
import torch

import gan_book as gb
from gan_book.data.batches import Batches
from gan_book.data.imageset import ImageSet
from gan_book.models import build_discriminator, build_generator
from gan_book.models.layers import FactoredEmbedding
from gan_book.processes import Processes
from gan_book.training import run_steps, start_training

FACTORS = (3, 2, 4)


def digits(label: int) -> list[int]:
    """The label written with the factors as bases: one digit for each label, the last fastest."""
    found = []
    for base in reversed(FACTORS):
        label, digit = divmod(label, base)
        found.append(digit)
    return found[::-1]


def test_each_combination_is_the_sum_of_its_vectors() -> None:
    embed = FactoredEmbedding(FACTORS, 5)
    labels = torch.randperm(24)
    expected = [
        sum(part.weight[k] for part, k in zip(embed.parts, digits(label), strict=True))
        for label in labels.tolist()
    ]
    torch.testing.assert_close(embed(labels), torch.stack(expected))
    torch.testing.assert_close(embed.weight[labels], embed(labels))


def test_sums_are_standard_normal() -> None:
    torch.manual_seed(0)
    embed = FactoredEmbedding((4, 4), 4_000)
    rows = embed.weight.detach()  # (16, 4000), from two tables of 16,000 independent numbers
    assert rows.mean().abs() < 0.05
    assert rows.var() == pytest.approx(1, rel=0.05)
    apart = rows[0] - rows[1]  # one label is shared: half of the variance stays
    assert apart.var() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
def test_a_sample_trains_the_vectors_of_its_labels(build) -> None:
    net = build("dcgan", size=8, width=4, num_classes=24, factors=list(FACTORS))
    inputs = torch.randn(2, net.z_dim) if hasattr(net, "z_dim") else torch.randn(2, 3, 8, 8)
    net(inputs, torch.tensor([0, 5])).square().sum().backward()  # 0 0 0 and 0 1 1
    embed = net.latent.embed if hasattr(net, "latent") else net.embed
    seen = [(part.weight.grad.abs().sum(1) > 0).tolist() for part in embed.parts]
    assert seen == [[True, False, False], [True, True], [True, True, False, False]]


def test_two_pictures_teach_a_third_combination() -> None:
    # trained on style 0 with tint 0 and style 1 with tint 1, asked for style 0 with tint 1
    g = build_generator("dcgan", size=8, width=4, num_classes=6, factors=(3, 2))
    before = g.latent.embed.weight.detach().clone()
    optimizer = torch.optim.SGD(g.latent.parameters(), 0.1)
    g(torch.randn(2, g.z_dim), torch.tensor([0, 3])).square().sum().backward()
    optimizer.step()
    moved = (g.latent.embed.weight - before).abs().amax(1)  # (6,)
    assert (moved > 1e-6).all()  # also 1, which is 0 1, and 2; 4 and 5 by their tints


def test_training_moves_the_vectors_in_both_networks() -> None:
    options = {"model": "dcgan", "width": 4, "factors": (2, 2)}
    recipe = gb.recipe(
        "small-16", size=[8, 8], num_classes=4, batch_size=4, total_images=12,
        generator=options, discriminator=options, precision="fp32",
    )  # fmt: skip
    labels = torch.arange(16) % 4
    images = torch.randint(256, (16, 3, 8, 8), dtype=torch.uint8)
    state = start_training(
        recipe,
        Batches(
            ImageSet(images, labels=labels, label_names=tuple("abcd")),
            torch.arange(16),
            4,
            seed=0,
            device="cpu",
        ),
        Processes(0, 1, torch.device("cpu")),
        seed=0,
        precision="fp32",
    )
    embeds = state.generator.latent.embed, state.discriminator.embed
    before = [embed.weight.detach().clone() for embed in embeds]
    run_steps(state, 3)
    for embed, old in zip(embeds, before, strict=True):
        assert ((embed.weight - old).abs().amax(1) > 0).all()

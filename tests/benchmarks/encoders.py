"""GANs with an encoder: what an InfoGAN's code finds, and a VAE-GAN whose terms go astray.

    python tests/benchmarks/encoders.py              # every cell without a result, 6 minutes
    python tests/benchmarks/encoders.py infogan      # some cells, by the start of their name

InfoGAN: two styles times four palettes of the Atelier, a code with four values; with weight 0
nothing asks G to use the code. VAE-GAN: landscapes, with the gradients as they should be ("right"),
and with the likelihood reaching D and the game reaching the encoder ("astray"). Three seeds each.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_book.data import load_images, to_float, to_uint8
from gan_book.data.atelier import PALETTES, STYLES
from gan_book.elbo import gaussian_kl
from gan_book.encoders import GAME, InfoGANObjective, VAEGANObjective, frozen, judge_loss
from gan_book.features import extractor
from gan_book.fitting import Fit, fit
from gan_book.models import build_discriminator, build_generator
from gan_book.models.vae import VAE, ConvEncoder
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid

STYLES_CHOSEN = ["dunes", "mist"]
SEEDS, CODES, Z = range(3), 4, 32
INFO_STEPS, VAE_STEPS, MADE, PERMUTATIONS = 700, 250, 1_000, 500


def information(table: Tensor) -> float:
    """Mutual information in nats of a table of counts (a, b)."""
    p = table.double() / table.sum()
    independent = p.sum(1, keepdim=True) * p.sum(0, keepdim=True)
    return float(torch.special.xlogy(p, p / independent).nan_to_num(0).sum())


def counts(a: Tensor, b: Tensor, kinds: int) -> Tensor:
    """How often a code and a label, (N,) each, occur together: (CODES, kinds)."""
    return one_hot(a, CODES).T @ one_hot(b, kinds)


def found(codes: Tensor, labels: Tensor, kinds: int, rng: torch.Generator) -> dict[str, Any]:
    """How much codes (N,) say about labels (N,), corrected for what shuffled labels would say.

    The score is (I - E I_shuffled) / ((H(codes) + H(labels)) / 2 - E I_shuffled): 1 if each names
    the other, 0 in the mean for labels without relation (Vinh et al., 2010).
    """
    table = counts(codes, labels, kinds)
    value = information(table)
    shuffled = torch.tensor([
        information(counts(codes, labels[torch.randperm(len(labels), generator=rng)], kinds))
        for _ in range(PERMUTATIONS)
    ])  # fmt: skip
    entropy = sum(information(table.sum(axis).diag()) for axis in (0, 1)) / 2
    chance = float(shuffled.mean())
    return {
        "information": value,
        "chance": chance,
        "chance_95": float(shuffled.quantile(0.95)),
        "score": (value - chance) / (entropy - chance),
        "table": table,
    }


@torch.no_grad()
def read(objective: InfoGANObjective, seed: int) -> dict[str, Any]:
    """Make pictures, codes in turn, and let the extractor read their styles and palettes.

    "moved" is how far a picture moves when only its code changes, as a share of how far it moves
    when only the rest of z changes (mean squares).
    """
    rng = torch.Generator().manual_seed(1_000 + seed)
    codes = torch.arange(MADE) % CODES
    z = torch.randn(MADE, objective.z_dim, generator=rng)

    def paint(z: Tensor, codes: Tensor) -> Tensor:
        return objective.generator(objective.latent(z, codes))  # (N, C, H, W)

    made = paint(z, codes)
    by_code, by_z = (paint(z, (codes + 1) % CODES), paint(z.roll(CODES, 0), codes))
    seen = extractor().read(to_uint8(made))  # type: ignore[attr-defined]
    chosen = torch.isin(seen.style, torch.tensor([STYLES.index(s) for s in STYLES_CHOSEN]))
    return {
        "style": found(codes, seen.style, len(STYLES), rng),
        "palette": found(codes, seen.palette, len(PALETTES), rng),
        "code_read_back": float((objective.reader(made)[0].argmax(1) == codes).float().mean()),
        "moved": float((by_code - made).square().mean() / (by_z - made).square().mean()),
        "readable": float((chosen & (seen.palette < 4)).float().mean()),
    }


def train(objective: nn.Module, x: Tensor, seed: int, steps: int, lr: float) -> Fit:
    rng = torch.Generator().manual_seed(seed)

    def batch() -> Tensor:
        return x[torch.randint(len(x), (64,), generator=rng)]

    return fit(objective, batch, rng, steps=steps, lr=lr, betas=(0.0, 0.99), ema_half_life=2_000)


def last(done: Fit) -> dict[str, float]:
    return {key: value for key, value in done.log[-1].items() if key != "step"}


def networks() -> tuple[nn.Module, nn.Module]:
    return (
        build_generator("dcgan", size=16, width=24, z_dim=Z),
        build_discriminator("dcgan", size=16, width=24),
    )


def infogan(weight: float, seed: int) -> Record:
    palettes = list(PALETTES)[:4]
    chosen = load_images("atelier", size=16, n=2_000, styles=STYLES_CHOSEN, palettes=palettes)
    torch.manual_seed(seed)
    reader = ConvEncoder(16, z_dim=CODES, width=16)
    objective = InfoGANObjective(*networks(), reader, CODES, weight)
    done = train(objective, to_float(chosen.images), seed, INFO_STEPS, 2e-3)
    facts = {"seed": seed, "weight": weight, "images": done.images, "log": last(done)}
    return facts | read(done.average, seed)  # type: ignore[arg-type]


class Astray(VAEGANObjective):
    """The usual slip: the terms are added up, nothing is frozen or detached for E, G and D's
    features; only D's own half is as it should be."""

    def forward(self, x: Tensor, noise: Tensor, prior: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        mean, log_variance = self.vae.encode(x)  # (N, z_dim) each
        z = mean + (0.5 * log_variance).exp() * noise  # (N, z_dim)
        kl = gaussian_kl(mean, log_variance).mean()  # 0-d
        again = self.vae.decode(z)  # (N, ...)
        off = self.judge(again)[1] - self.judge(x)[1]  # (N, C, h, w): moves D
        likelihood = 0.5 * off.square().flatten(1).sum(1).mean()  # 0-d
        fake = torch.cat([again, self.vae.decode(prior)])  # (2N, ...): the game moves E
        judged: Any = frozen(self.judge)(fake)
        d_loss = judge_loss(lambda y: self.judge(y)[0], x, fake.detach(), self.gamma)  # 0-d
        game = GAME.generator(judged[0], judged[0])  # 0-d
        loss = self.weight * (kl + likelihood) + game + d_loss
        logs = {"loss": loss, "kl": kl, "likelihood": likelihood, "g_loss": game, "d_loss": d_loss}
        return loss, {name: value.detach() for name, value in logs.items()}


def vaegan(kind: type[VAEGANObjective], seed: int) -> Record:
    x, fresh = (
        to_float(load_images("atelier", size=16, n=n, seed=s, styles=STYLES_CHOSEN).images)
        for n, s in ((900, 0), (300, 1))
    )
    torch.manual_seed(seed)
    decoder, discriminator = networks()
    vae = VAE(ConvEncoder(16, z_dim=Z, width=16), decoder)
    done = train(kind(vae, discriminator, 0.05), x, seed, VAE_STEPS, 1e-3)  # type: ignore[arg-type]
    average: Any = done.average
    with torch.no_grad():
        again, features = average.vae(fresh), average.judge(fresh)[1]
    log = last(done)
    return {
        "seed": seed, "images": done.images, "kl": log["kl"], "likelihood": log["likelihood"],
        "mse": float((again - fresh).square().mean()),
        "features": float(features.std(0).mean()),
    }  # fmt: skip


CELLS: dict[str, Cell] = {
    f"infogan-{weight}-seed{seed}": partial(infogan, float(weight), seed)
    for weight in (1, 0)
    for seed in SEEDS
} | {
    f"vaegan-{name}-seed{seed}": partial(vaegan, kind, seed)
    for name, kind in (("right", VAEGANObjective), ("astray", Astray))
    for seed in SEEDS
}


def show(record: Record) -> str:
    if "kl" in record:
        return " ".join(f"{k} {record[k]:.3f}" for k in ("likelihood", "kl", "features", "mse"))
    scores = " ".join(f"{k} {record[k]['score']:.3f}" for k in ("style", "palette"))
    return f"{scores} " + " ".join(
        f"{k} {record[k]:.2f}" for k in ("readable", "code_read_back", "moved")
    )


if __name__ == "__main__":
    run_grid("encoders", CELLS, grid_parser(__doc__ or "").parse_args(), show=show)

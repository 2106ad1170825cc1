"""What the decoder's standard deviation does to a VAE: blur against holes, one JSON a cell.

    python tests/benchmarks/vae.py              # every cell without a result, about 6 minutes
    python tests/benchmarks/vae.py sd1-seed0    # some cells, by the start of their name

Four standard deviations, three seeds each; pictures, networks and learning rate are those of the
chapter (``book/vae.ipynb``), twice its steps.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_book.data import load_images, to_float
from gan_book.elbo import VAEObjective, gaussian_log_density
from gan_book.fitting import fit
from gan_book.models import build_generator
from gan_book.models.vae import VAE, ConvEncoder
from tests.benchmarks.grids import Cell, grid_parser, run_grid

SDS, SEEDS, STEPS = (0.1, 0.3, 1.0, 3.0), range(3), 1_200
STYLES = ["dunes", "mist"]


def detail(x: Tensor) -> float:
    """Mean square of what is left of (N, C, H, W) after taking away each 3 x 3 average."""
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)  # (N, C, H, W)
    return (x - smooth).square().mean().item()


@torch.no_grad()
def measure(vae: VAE, train: Tensor, fresh: Tensor, seed: int) -> dict[str, float]:
    """Numbers about a trained VAE; lengths of codes in nats a picture."""
    rng = torch.Generator().manual_seed(seed)
    objective = VAEObjective(vae)
    _, unseen = objective(fresh, *objective.draw(fresh, rng))
    mean, log_variance = vae.encode(train)  # (N, z_dim) each
    sd = (0.5 * log_variance).exp()
    each = 0.5 * (mean.square() + sd.square() - 1 - log_variance).mean(0)  # (z_dim,)
    z = mean + sd * torch.randn(mean.shape, generator=rng)
    density = torch.stack([gaussian_log_density(z, m, s) for m, s in zip(mean, sd, strict=True)], 1)
    weights = density.softmax(1)  # (N, N): whose latent could z_i be?
    best = (weights @ train.flatten(1)).view_as(train)
    made, again = vae.decode(z), vae.decode(vae.encode(fresh)[0])
    share = density.diagonal() - density.logsumexp(1)
    samples = vae.sample(len(fresh), rng)
    return {
        "elbo_unseen": -unseen["loss"].item(),
        "kl": each.sum().item(),
        "used": int((each > 0.05).sum()),
        "information": share.mean().item() + torch.tensor(float(len(train))).log().item(),
        "overlap": torch.special.entr(weights).sum(1).exp().mean().item(),
        "mse": (made - train).square().mean().item(),
        "mse_best": (best - train).square().mean().item(),
        "mse_between": (made - best).square().mean().item(),
        "mse_unseen": (again - fresh).square().mean().item(),
        "detail_reconstructions": detail(again) / detail(fresh),
        "detail_samples": detail(samples) / detail(fresh),
    }


def run(sd: float, seed: int) -> dict[str, float]:
    """Train one VAE and measure it."""
    pictures = load_images("atelier", size=16, styles=STYLES)
    train = to_float(pictures.images[pictures.split().train])
    fresh = to_float(load_images("atelier", size=16, styles=STYLES, n=500, seed=1).images)
    torch.manual_seed(seed)
    decoder = build_generator("dcgan", size=16, width=32, z_dim=64)
    vae = VAE(ConvEncoder(16, 3, z_dim=64, width=32), decoder, sd)
    rng = torch.Generator().manual_seed(seed)

    def next_batch() -> Tensor:
        return train[torch.randint(len(train), (64,), generator=rng)]

    done = fit(VAEObjective(vae), next_batch, rng, steps=STEPS, lr=2e-3, ema_half_life=2_000)
    return {
        "sd": sd,
        "seed": seed,
        "steps": done.steps,
        **measure(done.average.vae, train, fresh, seed),
    }


CELLS: dict[str, Cell] = {
    f"sd{sd:g}-seed{seed}": partial(run, sd, seed) for sd in SDS for seed in SEEDS
}

if __name__ == "__main__":
    run_grid("vae", CELLS, grid_parser(__doc__).parse_args(), show=str)

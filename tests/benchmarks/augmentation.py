"""Do generated pictures help a classifier? Size of the real set, share of generated pictures, seed.

    python tests/benchmarks/augmentation.py               # every cell without a result
    python tests/benchmarks/augmentation.py atelier-n60   # some cells, by the start of their name

For each real set S of the Atelier (16 x 16, 12 styles) a conditional GAN is trained on S alone
("own"). "borrowed" pictures come from the shipped generator atelier-32-styles, which has learned
from 9,000 of 10,000 other pictures; "lender" are real pictures out of those 10,000. A share of
every batch comes from one of these pools, the rest from S; steps and batch are the same for all
classifiers. "-aug": with plain augmentation. Test: fresh pictures that nobody has seen.
Cells "semi": discriminative adversarial networks with 60 labels and 2,000 pictures without.
Cells "fashion" need Fashion-MNIST (``GAN_BOOK_REAL_DATA``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, one_hot

import gan_book as gb
from gan_book.classifying import (
    Labelled,
    MixtureRisk,
    accuracy,
    small_classifier,
    train_classifier,
)
from gan_book.data import load_images, to_float, to_uint8
from gan_book.data.batches import Batches
from gan_book.data.imageset import ImageSet
from gan_book.encoders import GAME
from gan_book.features import extractor
from gan_book.fitting import fit
from gan_book.objectives import frozen
from gan_book.processes import Processes
from gan_book.recipes import recipe
from gan_book.training import run_steps, start_training
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid

SIZES, SEEDS, POOL = (60, 250, 1_000), range(5), 2_000
# pool, its share of every batch, whether to train with plain augmentation, too
MIXTURES = (
    ("none", 0.0, True),
    ("own", 0.5, True),
    ("own", 0.9, False),
    ("own", 1.0, False),
    ("borrowed", 0.5, True),
    ("lender", 0.5, False),
)
TEST_SEED, LENDER_SEED, UNLABELLED_SEED = 50, 100, 70
POLICY = ("flip", "translation")
GAN_STEPS, STEPS = 3_000, 600
LABELS, DAN_STEPS, CONFIDENT = 60, 1_000, 0.9


def split(images: ImageSet) -> Labelled:
    assert images.labels is not None
    return Labelled(to_float(images.images), images.labels)


def pictures(kind: str, n: int, seed: int) -> ImageSet:
    """n pictures of the Atelier, by seed; or of Fashion-MNIST, its test set for `TEST_SEED`."""
    if kind == "atelier":
        return load_images("atelier", size=16, n=n, seed=seed)
    name = "fashion-mnist-test" if seed == TEST_SEED else "fashion-mnist"
    return load_images(name, size=16, channels=1, n=n, seed=seed)


@lru_cache
def test_set(kind: str) -> Labelled:
    return split(pictures(kind, 2_000, TEST_SEED))


def train_gan(data: ImageSet, seed: int, steps: int) -> nn.Module:
    """A conditional generator of the recipe small-16, narrower; its schedules end with the run."""
    images, gamma = steps * 64, {"start": 0.2, "end": 0.05, "images": steps * 32}
    chosen = recipe(
        "small-16",
        name="augmentation",
        channels=data.images.shape[1],
        num_classes=len(data.label_names),
        generator={"model": "dcgan", "width": 16, "z_dim": 32, "embedding": 16},
        discriminator={"model": "dcgan", "width": 16},
        total_images=images,
        lr={"start": 2e-3, "end": 2e-4, "images": images},
        r1=gamma,
        r2=gamma,
    )
    cpu = torch.device("cpu")
    batches = Batches(data, None, 64, seed=seed, device=cpu)
    state = start_training(chosen, batches, Processes(0, 1, cpu), seed=seed, precision="fp32")
    run_steps(state, steps)
    return state.average


@torch.no_grad()
def make(generator: nn.Module, classes: int, n: int, seed: int) -> Labelled:
    """n generated pictures (n, C, 16, 16), labels in turn; larger ones are averaged down."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(n, int(generator.z_dim), generator=rng)  # type: ignore[arg-type]
    y = torch.arange(n) % classes
    x = torch.cat([generator(a, b) for a, b in zip(z.split(100), y.split(100), strict=True)])
    return Labelled(avg_pool2d(x, x.shape[-1] // 16), y)  # (n, C, 16, 16)


@lru_cache
def outside() -> dict[str, Labelled]:
    """What a reader could borrow: another's generator, or the pictures which that one learned."""
    borrowed = gb.load_model("atelier-32-styles").generator
    return {
        "borrowed": make(borrowed, 12, POOL, 7),
        "lender": split(pictures("atelier", POOL, LENDER_SEED)),
    }


def nearness(made: Tensor, real: Tensor, fresh: Tensor) -> float:
    """How near generated pictures lie to the training set, as a share of how near fresh ones do.

    Medians of the root mean square distance of pixels to the nearest; 0 are copies.
    """
    made, real, fresh = (x.flatten(1) for x in (made, real, fresh))
    near = [torch.cdist(x, real).min(1).values.median() for x in (made, fresh)]
    return float(near[0] / near[1])


def classifier(kind: str, seed: int) -> nn.Module:
    classes, channels = (12, 3) if kind == "atelier" else (10, 1)
    torch.manual_seed(seed)
    return small_classifier(classes, channels)


def study(kind: str, size: int, seed: int, gan_steps: int = GAN_STEPS) -> Record:
    """All classifiers of one real set: {"none", "own-0.5", ...: accuracy on fresh pictures}."""
    data, test = pictures(kind, size, 1_000 + seed), test_set(kind)
    real = split(data)
    own = make(train_gan(data, seed, gan_steps), len(data.label_names), POOL, seed)
    pools = {"own": own} | (outside() if kind == "atelier" else {})
    found: dict[str, float] = {}
    for name, share, plain in MIXTURES:
        if name != "none" and name not in pools:
            continue
        for policy in ((), POLICY) if plain else ((),):
            risk = MixtureRisk(classifier(kind, seed), real, pools.get(name), share, policy)
            label = name if name == "none" else f"{name}-{share:g}"
            trained = train_classifier(risk, seed, STEPS)
            found[label + ("-aug" if policy else "")] = accuracy(trained, test)
    record: Record = {"seed": seed, "size": size, "accuracy": found}
    if kind == "atelier":  # the book's reader on the labels that the generators were asked for
        record["label_right"] = {
            name: read_right(Labelled(pool.x[:120], pool.y[:120]))
            for name, pool in pools.items()
            if name == "own" or seed == 0
        }
    return record | {"nearness": nearness(own.x[:500], real.x, test.x[:500])}


def read_right(some: Labelled) -> float:
    """The share of pictures whose label the book's reader sees, too."""
    seen = extractor().read(to_uint8(some.x)).style  # type: ignore[attr-defined]
    return float((seen == some.y).float().mean())


class DANObjective(nn.Module):
    """Discriminative adversarial networks (dos Santos et al., 2017, arXiv 1707.02198).

    A judge J(x, y) -> (N,) learns to tell (x, true label) from (x, P(x)), where the predictor P
    gives probabilities (N, K) of K labels; P learns to be taken for the truth. No loss compares
    P(x) with a label, so pictures without labels serve as well. Ours are the non-saturating loss
    and the option to add ``supervised`` times the cross-entropy on labelled pictures.
    An objective for ``fit`` with both networks moved at once; a batch is one of pictures without
    labels (N, C, H, W), and as many labelled ones are drawn for it.
    """

    def __init__(
        self, predictor: nn.Module, judge: nn.Module, labelled: Labelled, supervised: float = 0.0
    ) -> None:
        super().__init__()
        self.predictor, self.judge = predictor, judge
        self.labelled, self.supervised = labelled, supervised

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Labelled pictures (N, C, H, W) and their labels (N,)."""
        i = torch.randint(len(self.labelled.x), (len(x),), generator=generator)
        return self.labelled.x[i], self.labelled.y[i]

    def forward(self, x: Tensor, known: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and logs: "loss" is the sum of "judge_loss" and "predictor_loss"."""
        logits = self.predictor(torch.cat([known, x]))  # (2N, K)
        guess, seen = logits.softmax(1), torch.cat([known, x])  # (2N, K), (2N, C, H, W)
        truth = one_hot(y, logits.shape[1]).to(guess)  # (N, K)
        judge: Callable[..., Tensor] = frozen(self.judge)  # P's loss moves P alone
        real, fake = self.judge(known, truth), self.judge(seen, guess.detach())  # (N,), (2N,)
        taken = judge(seen, guess)  # (2N,)
        judge_loss = GAME.discriminator(real, fake)  # 0-d
        predictor_loss = GAME.generator(taken, taken)  # 0-d
        predictor_loss = predictor_loss + self.supervised * cross_entropy(logits[: len(y)], y)
        logs = {"judge_loss": judge_loss, "predictor_loss": predictor_loss}
        loss = judge_loss + predictor_loss  # 0-d
        return loss, {name: value.detach() for name, value in {"loss": loss, **logs}.items()}


class Judge(nn.Module):
    """How well a label fits a picture: x (N, C, 16, 16), y (N, K) on the simplex -> logits (N,).

    Linear in y: the logit of P(x) is the mean of the labels' logits under P(x).
    """

    def __init__(self, classes: int, channels: int = 3, width: int = 24) -> None:
        super().__init__()
        self.fits = small_classifier(classes, channels, width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.fits(x) * y).sum(1)  # (N, K) -> (N,)


def semi(seed: int) -> Record:
    """60 labels and 2,000 pictures without: what each method makes of them, on fresh pictures."""
    labelled = split(pictures("atelier", LABELS, 1_000 + seed))
    free = split(pictures("atelier", POOL, UNLABELLED_SEED))
    test, found = test_set("atelier"), {}
    first = train_classifier(MixtureRisk(classifier("atelier", seed), labelled), seed, DAN_STEPS)
    found["supervised"] = accuracy(first, test)
    with torch.no_grad():
        sure, guess = first(free.x).softmax(1).max(1)
    keep = sure > CONFIDENT
    pseudo = Labelled(free.x[keep], guess[keep])
    risk = MixtureRisk(classifier("atelier", seed), labelled, pseudo, 0.5)
    found["pseudo"] = accuracy(train_classifier(risk, seed, DAN_STEPS), test)
    for name, supervised in (("dan", 0.0), ("dan+labels", 1.0)):
        predictor, rng = classifier("atelier", seed), torch.Generator().manual_seed(seed)
        objective = DANObjective(predictor, Judge(12), labelled, supervised)

        def batch(rng: torch.Generator = rng) -> Tensor:
            return free.x[torch.randint(len(free.x), (32,), generator=rng)]

        fit(objective, batch, rng, steps=DAN_STEPS, lr=2e-3, betas=(0.5, 0.99), every=DAN_STEPS)
        found[name] = accuracy(predictor, test)
    every = MixtureRisk(classifier("atelier", seed), free)  # if someone had labelled all of them
    found["all-labelled"] = accuracy(train_classifier(every, seed, DAN_STEPS), test)
    right = float((pseudo.y == free.y[keep]).float().mean())
    kept = float(keep.float().mean())
    return {"seed": seed, "accuracy": found, "pseudo_kept": kept, "pseudo_right": right}


CELLS: dict[str, Cell] = (
    {f"atelier-n{n}-seed{s}": partial(study, "atelier", n, s) for s in SEEDS for n in SIZES}
    | {f"semi-seed{s}": partial(semi, s) for s in SEEDS}
    | {f"fashion-n100-seed{s}": partial(study, "fashion", 100, s) for s in SEEDS}
)


def show(record: Record) -> str:
    return " ".join(f"{name} {value:.3f}" for name, value in record["accuracy"].items())


if __name__ == "__main__":
    run_grid("augmentation", CELLS, grid_parser(__doc__ or "").parse_args(), show=show)

"""The shipped models that are no GANs: a VAE and a diffusion model of the pictures of the chapter
Comparison, measured as there, and an encoder that inverts landscapes-16.

    python tests/benchmarks/showcase_fits.py                   # what there is
    python tests/benchmarks/showcase_fits.py vae-16            # train to the end, then ship
    python tests/benchmarks/showcase_fits.py vae-16 --ship     # measure and ship again

A training may be interrupted at any time; the same command goes on from its last log point. What
ships is the average of the weights that was best on validation pictures, by KID, or for the encoder
by the error of what it rebuilds. It is then measured once, on pictures that had no part in that.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor, nn

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.data import ImageSet, to_float
from gan_book.denoising import DDIMGenerator, DenoisingObjective
from gan_book.elbo import VAEObjective
from gan_book.fitted import FitRecipe, load_encoder
from gan_book.fitting import Fit, fit
from gan_book.latents import EncoderObjective, Space, inversion_loss
from gan_book.machine import environment
from gan_book.models.vae import VAE
from gan_book.plots import save_grid
from gan_book.results import load_results
from tests.benchmarks import comparison_measure as comparison
from tests.benchmarks import editing

ROOT = Path(__file__).parents[2]
LOGS, LOOKS = 40, 8  # log points of a training, and how many of them choose
DRAWN, CHOOSING_SEED = 400, 1  # pictures of a look; what is reported is drawn with seed 0
REPORTED = 1_000  # pictures measured at last, as in the comparison
SUBJECT = "landscapes-16"  # what the encoder inverts
VALIDATION_SEED = comparison.SEEDS["validation"]
VALIDATION, TEST = 400, 96  # held-out landscapes: to choose by; the test pictures of editing.py
Record = dict[str, Any]
Nets = dict[str, nn.Module]

RECIPES = {
    recipe.name: recipe
    for recipe in (
        FitRecipe(
            "vae-16", "vae", total_images=819_200, batch_size=64, lr=1e-2,
            generator={"model": "dcgan", "width": 32, "z_dim": 64},
            encoder={"width": 8, "z_dim": 64}, objective={"sd": 0.1},
        ),
        FitRecipe(
            "diffusion-16", "diffusion", total_images=179_200, batch_size=64, lr=1e-3,
            generator={"width": 19, "steps": 25},
        ),
        FitRecipe(
            f"{SUBJECT}-encoder", "encoder", total_images=256_000, batch_size=64, lr=2e-3,
            encoder={"width": 32, "z_dim": 64},
            objective={"pixels": 1.0, "pictures": 10.0, "sd": 0.1},
        ),
    )
}  # fmt: skip
USES = {
    "vae": "The finished VAE beside the short trainings of the chapter Comparison.",
    "diffusion": "The finished diffusion model beside the short trainings of the chapter "
    "Comparison; pictures by 25 steps of DDIM.",
    "encoder": f"Codes of given pictures for {SUBJECT} in one pass: the finished encoder beside "
    "the short training of the chapter Editing.",
}
SHEETS = (
    "samples.png: 64 pictures, seed 0",
    "samples.png: 32 held-out pictures, and below each what the encoder's code rebuilds",
)
ATELIER = (
    "10,000 pictures of the Atelier (seed 0), 12 styles x 8 palettes, equally likely: those of the "
    "chapter Comparison"
)


@functools.cache
def space() -> Space:
    return Space(gb.load_model(SUBJECT, device="cpu").generator)


@functools.cache
def landscapes(n: int, seed: int) -> ImageSet:
    """Pictures of the kind that landscapes-16 learned, which it has not seen."""
    styles = editing.LANDSCAPES
    return gb.load_images("atelier", size=16, n=n, seed=seed, styles=styles, progress=False)


class PicturesToo(EncoderObjective):
    """Adds what the chapter's encoder never sees: ``pictures`` times ``inversion_loss`` of real x.

    On G's own pictures alone it learns on long after it has stopped to gain on real ones.
    """

    def __init__(self, *parts: Any, pictures: float, sd: float, **options: float) -> None:
        super().__init__(*parts, **options)
        self.pictures, self.sd = pictures, sd

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor]:  # type: ignore[override]
        """Latents (N, z_dim) for as many pictures of the generator."""
        return (torch.randn(len(x), self.space.z_dim, generator=generator),)

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:  # type: ignore[override]
        """Real pictures (N, C, H, W), latents (N, z_dim) -> loss (0-d), and logs as above."""
        loss, logs = super().forward(z)
        units = self.encoder(x)[0]  # (N, dim)
        made = self.space.decode(self.space.color(units))  # (N, C, H, W)
        real = inversion_loss(made, x, units, self.sd)[0].mean()  # 0-d
        loss = loss + self.pictures * real  # 0-d
        return loss, logs | {"loss": loss.detach(), "pictures": real.detach()}


def objective_of(recipe: FitRecipe) -> nn.Module:
    """The loss with fresh networks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if recipe.kind == "diffusion":
            return DenoisingObjective(recipe.build_generator().denoiser)  # type: ignore[arg-type]
        encoder = recipe.build_encoder()
        if recipe.kind == "encoder":
            return PicturesToo(space(), encoder, **recipe.objective)
        return VAEObjective(VAE(encoder, recipe.build_generator(), **recipe.objective))


def nets_of(recipe: FitRecipe, objective: Any) -> Nets:
    """What ships, by the names of the files: the networks of a trained objective."""
    if recipe.kind == "diffusion":
        return {"generator": DDIMGenerator(objective.denoiser, recipe.generator["steps"])}
    if recipe.kind == "encoder":
        return {"encoder": objective.encoder}
    return {"generator": objective.vae.decoder, "encoder": objective.vae.encoder}


def batches(recipe: FitRecipe, rng: torch.Generator) -> Callable[[], Tensor]:
    """Training pictures in batches, drawn with replacement."""
    n = recipe.batch_size
    if recipe.kind == "encoder":  # those of the generator
        shown = gb.load_images("atelier", progress=False, **editing.TRAINED_ON[SUBJECT]).images
    else:
        shown = comparison.training_set(comparison.TRAIN, 0).images
    return lambda: to_float(shown[torch.randint(len(shown), (n,), generator=rng)])  # (N, C, H, W)


def look(recipe: FitRecipe, nets: Nets) -> Record:
    """How good on validation pictures; "score" chooses, lower is better."""
    if recipe.kind == "encoder":
        x = to_float(landscapes(VALIDATION, VALIDATION_SEED).images)
        error = float(rebuilt_errors(nets["encoder"](x)[0], x).median())
        return {"score": error, "n": VALIDATION, "seed": VALIDATION_SEED}
    model = gb.Model(nets["generator"], recipe)  # type: ignore[arg-type]
    found = comparison.distances(model.sample(DRAWN, seed=CHOOSING_SEED), "validation")
    kid, error = found["trained"]["kid"], found["trained"]["kid_error"]
    facts = {"kid": kid, "kid_se": error, "kid, second extractor": found["random"]["kid"]}
    return {"score": kid, **facts, "n": DRAWN, "seed": CHOOSING_SEED}


def rebuilt_errors(codes: Tensor, x: Tensor) -> Tensor:
    """Root mean squared difference of the pictures of codes from x: (N, d) -> (N,)."""
    return (space().decode(codes) - x).square().flatten(1).mean(1).sqrt()  # (N,)


def train(name: str) -> None:
    """Train to the end, or on from where a training stopped; keep the best on the way."""
    torch.set_num_threads(1)
    recipe, run = RECIPES[name], ROOT / "runs" / name
    every = recipe.total_steps // LOGS
    rng = torch.Generator().manual_seed(recipe.seed)

    def told(done: Fit) -> None:
        print(f"{done.images:>9,} images {done.seconds:5.0f} s  {done.log[-1]}", flush=True)
        if done.steps % (recipe.total_steps // LOOKS):
            return
        nets = nets_of(recipe, done.average)
        with torch.no_grad():
            found = {"images": done.images, **look(recipe, nets)}
        old = files.read_json(run / "best.json") if (run / "best.json").exists() else []
        history = [one for one in old if one["images"] < done.images] + [found]
        if found["score"] == min(one["score"] for one in history):
            for part, net in nets.items():
                files.save_tensors(run / f"{part}.safetensors", net.state_dict(), {})
        files.write_json(run / "best.json", history)
        print(f"{'':9} {found}", flush=True)

    done = fit(
        objective_of(recipe), batches(recipe, rng), rng, steps=recipe.total_steps, lr=recipe.lr,
        ema_half_life=recipe.ema_half_life, every=every, callback=told,
        keep=run / "fit.safetensors",
    )  # fmt: skip
    lines = ({"images": e["step"] * recipe.batch_size, **e} for e in done.log)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "log.jsonl").write_text(text, encoding="utf-8")
    files.write_json(run / "done.json", {"images": done.images, "seconds": round(done.seconds)})


def measured(name: str) -> list[Record]:
    """The rows of a shipped model's card: itself, then what it has to be read beside."""
    if RECIPES[name].kind == "encoder":
        return inversions(load_encoder(name, device="cpu"))
    made = gb.load_model(name, device="cpu").sample(REPORTED, seed=0)
    copies = comparison.copied(made, comparison.training_set(comparison.TRAIN, 0).images)
    controls = load_results("comparison")[f"controls-{REPORTED}"]["rows"]
    return [
        {"name": name, **comparison.measured(made), "copies": copies},
        *({"name": key, **row} for key, row in controls.items()),
    ]


def inversions(encoder: nn.Module) -> list[Record]:
    """Codes of held-out landscapes, three ways; of G's own pictures; and of foreign ones."""
    held = landscapes(TEST, editing.FRESH)
    drawn = space().draw(10_000, 2)[0]  # (10,000, d)
    pictures = space().decode(drawn).flatten(1)  # (10,000, D)
    ones = torch.ones(len(pictures), 1)
    linear = torch.linalg.lstsq(torch.cat([pictures, ones], 1), drawn).solution  # (D + 1, d)
    own = ImageSet(gb.to_uint8(space().decode(*space().draw(TEST, editing.FRESH))))
    sets = {key: editing.foreign(key, 32, 16) for key in ("noise", "clouds", "other styles")}

    def row(name: str, images: ImageSet, read: Callable[[Tensor], Tensor], steps: int) -> Record:
        begin = read(to_float(images.images)), None
        found = editing.measure(space(), SUBJECT, images, 1, begin=begin, steps=steps)
        dropped = ("errors", "unexplained_each", "first_start")
        return {"name": name, "steps": steps} | {k: v for k, v in found.items() if k not in dropped}

    def by_line(x: Tensor) -> Tensor:
        return torch.cat([x.flatten(1), ones[: len(x)]], 1) @ linear  # (N, d)

    return [
        row("encoder", held, encoder, 0),
        row("encoder, then 20 steps", held, encoder, 20),
        row("linear encoder", held, by_line, 0),
        row("linear encoder, then 20 steps", held, by_line, 20),
        row("random code, then 20 steps", held, lambda x: space().draw(len(x), 3)[0], 20),
        *(row(f"encoder, {key}", x, encoder, 0) for key, x in {"own": own, **sets}.items()),
    ]


def sheet_of(name: str) -> Tensor:
    """Eight columns: pictures of seed 0; of the encoder pictures with what it rebuilds below."""
    if RECIPES[name].kind != "encoder":
        return gb.load_model(name, device="cpu").sample(64, seed=0)
    shown = landscapes(TEST, editing.FRESH).images[:32]  # (32, 3, 16, 16)
    codes = load_encoder(name, device="cpu")(to_float(shown))  # (32, d)
    rows = torch.stack([shown, gb.to_uint8(space().decode(codes))], 1)  # (32, 2, 3, 16, 16)
    return rows.unflatten(0, (4, 8)).transpose(1, 2).flatten(0, 2)  # (64, 3, 16, 16)


def ship(name: str) -> None:
    """Write the best networks of a finished training, measured, to ``data/models/NAME``."""
    torch.set_num_threads(1)
    recipe, run, out = RECIPES[name], ROOT / "runs" / name, ROOT / "data" / "models" / name
    history, done = (files.read_json(run / f"{part}.json") for part in ("best", "done"))
    chosen = min(history, key=lambda one: one["score"])
    card: Record = {"name": name, "use": USES[recipe.kind]}
    for part in nets_of(recipe, objective_of(recipe)):
        tensors = files.load_tensors(run / f"{part}.safetensors")[0]
        half = {key: value.half() for key, value in tensors.items()}
        meta = {"fit": recipe.to_dict(), "name": name}
        files.save_tensors(out / f"{part}.safetensors", half, meta)
        which = "" if "sha256" not in card else f" of the {part}"  # a VAE has two
        card |= {f"sha256{which}": files.digest(half)}
        card |= {f"parameters{which}": sum(v.numel() for v in half.values())}
    if recipe.kind == "encoder":
        subject = gb.load_model(SUBJECT, device="cpu").card
        shown = gb.load_images("atelier", progress=False, **editing.TRAINED_ON[SUBJECT])
        seen = (len(shown), VALIDATION, TEST)
        card |= {
            "trained on": f"as many pictures that {SUBJECT} makes, new ones at every step, and "
            + subject["trained on"],
            f"sha256 of {SUBJECT}": subject["sha256"],
        }
    else:
        shown = gb.load_images("atelier", size=16, n=comparison.TRAIN, seed=0, progress=False)
        seen = (comparison.TRAIN, comparison.VALIDATION, comparison.REFERENCE)
        card["trained on"] = ATELIER
    card |= {
        "licence of the pictures": shown.licence,
        "fingerprint of the pictures": shown.fingerprint(),
        "pictures": dict(zip(("train", "validation", "test"), seen, strict=True)),
        "licence": "CC BY 4.0, as the book's figures",
        "command": f"python tests/benchmarks/showcase_fits.py {name}",
        "recipe": recipe.to_dict(),
        "dtype": "float16",
        "images seen": chosen["images"],
        "images seen by the whole run": done["images"],
        "seconds": done["seconds"],
        "environment": environment(torch.device("cpu")),
        "chosen by": chosen | {"looks": len(history)},
        "measured": {"rows": measured(name), "facts": comparison.facts()},
        "samples": SHEETS[recipe.kind == "encoder"],
    }
    files.write_json(out / "card.json", card)
    (out / "log.jsonl").write_bytes((run / "log.jsonl").read_bytes())
    facts = {"model": name, "seed": 0, "sha256": card["sha256"]}
    save_grid(sheet_of(name), out / "samples.png", columns=8, scale=2, metadata=facts)
    for row in card["measured"]["rows"]:
        told = row.get("trained", row)
        print(f"{row['name']:32}", {k: told[k] for k in ("kid", "coverage", "error") if k in told})
    print(f"shipped to {out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("name", nargs="?", choices=list(RECIPES))
    parser.add_argument("--ship", action="store_true", help="measure and ship; no training")
    chosen = parser.parse_args()
    if chosen.name is None:
        for name, recipe in RECIPES.items():
            there = (ROOT / "data" / "models" / name / "card.json").exists()
            print(f"{name:22} {recipe.total_images:>9,} images{', shipped' * there}")
        return
    if not chosen.ship:
        train(chosen.name)
    ship(chosen.name)


if __name__ == "__main__":
    main()

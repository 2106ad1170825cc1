"""The best checkpoint of a run: chosen on validation pictures, stopped where pictures are copied.

More training is not always better: with few pictures a GAN has a best moment. At even distances
the averaged generator draws the same latents; their features are compared with those of the
validation pictures. Three decisions, and why:

**Which one is best.** The kernel distance (KID) to 32 to 100 real pictures has a standard error of
about 0.01, more than checkpoints differ. But its largest part comes from the choice of these
pictures, which all checkpoints share, and cancels in the difference
(:func:`gan_book.metrics.paired_kernel_difference`). A candidate replaces the best when this
difference is below 0. A test ("only beyond two standard errors") would be the wrong rule: somebody
has to be chosen, both errors cost the same, and a test would favor whoever came first. As all are
measured on the same pictures, the order of the comparisons does not matter: the lowest wins. Each
line of the history says whether the difference was beyond two standard errors of it; where it was
not, the choice was noise, and cost little for the same reason.

**What may be reported.** The lowest of k noisy values is too low by about sqrt(2 ln k) standard
errors. So the distance in ``best.json`` chooses and is never reported: report
``gb.evaluate(run)``, which looks at test pictures that no decision here has seen.

**When to stop.** Copies of training pictures score as well as real ones, so KID cannot see them.
The ``membership`` of a checkpoint is the probability that a training picture lies nearer to its
nearest generated one than a validation picture does: the best attack on membership by an outsider
who sees pictures only (Chen et al. 2020, "GAN-Leaks", arXiv 1909.03935, section 4.2). Were the
generator a stranger to both, training and validation pictures could be exchanged, the value would
be 1/2, and the variance that of the rank-sum statistic, whatever the generator draws: a collapsed
generator raises no alarm. Beyond three standard errors a checkpoint counts as copying: it cannot
become the best, and after several in a row training stops. Pictures grouped by artist are no
exchangeable draws (the training artists' hands are learned, rightly), so there it stops nothing.
With few held-out pictures the alarm is coarse: with 900 training and 50 validation pictures of the
Atelier it sounds when about half of 400 draws are exact copies, and not for a tenth. It guards a
training against the worst; ``gb.evaluate`` looks closer.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checkpoints as files
from .data.batches import to_float
from .data.imageset import ImageSet, Split
from .errors import need
from .features import DEFAULT, Extractor, extractor
from .journal import StopTraining
from .memorization import nearest_features
from .metrics import density_coverage, kernel_distance, paired_kernel_difference
from .model import samples
from .training import TrainingState

LEAST = 8  # validation pictures
MOST_TRAIN = 2_000  # training pictures whose features are taken, 14 s on one core
ALARM = 3.0  # standard errors of membership above 1/2


class BestCheckpoint:
    """A callback that keeps the best averaged generator of a run: see the module.

    Args:
        images, split: the run's pictures (uint8, N x C x H x W) and what is held out of them.
        every: images seen between two evaluations; the recipe's ``sample_every`` when None.
        extractor: an ``Extractor`` or the name of one.
        n: pictures drawn at each evaluation, at least 8. seed: of their latents;
            1 because ``gb.evaluate`` draws with 0, and what chooses must not report.
        patience: stop after so many evaluations without a new best; None: never.
        copying: stop after so many evaluations in a row with an alarm for copies; None: never.

    Attributes:
        facts: what ``best.json`` holds: step, images, kid, kid_se of the best; the history of all
            evaluations, for the eye also with coverage and D's mean logit of validation pictures
            (where it leaves that of training pictures, D learns by heart); counts, seed and the
            extractor's facts; stopped (a sentence, or None).
        weights: the best generator's tensors by name, on the CPU; empty before there is one.

    In a run folder it writes ``best/generator.safetensors`` and ``best.json``. Training is the same
    bit for bit with and without it, and a resumed run selects as one never stopped.

    Raises ``GanBookError`` for points, for fewer than 8 validation pictures, or impossible numbers.
    """

    name = "best"  # of its part of a checkpoint

    def __init__(
        self,
        images: ImageSet | Any,
        split: Split | None,
        *,
        every: int | None = None,
        extractor: str | Extractor = DEFAULT,
        n: int = 400,
        seed: int = 1,
        patience: int | None = None,
        copying: int | None = 3,
    ) -> None:
        need(
            isinstance(images, ImageSet),
            "A best checkpoint is chosen among pictures; for points leave select out.",
        )
        held_out = 0 if split is None else len(split.validation)
        need(
            held_out >= LEAST,
            f"The best checkpoint is chosen on validation pictures, of which this run has "
            f"{held_out} and needs at least {LEAST}; hold out more (--holdout auto), or train "
            "without choosing (--no-select, select=False).",
        )
        limits = {"every": (every, 1), "n": (n, LEAST), "patience": (patience, 1)}
        for name, (value, low) in (limits | {"copying": (copying, 1)}).items():
            need(value is None or value >= low, f"{name} must be at least {low}, not {value}.")
        assert split is not None
        self.images, self.split, self.extractor = images, split, extractor
        self.every, self.patience = every, patience
        self.copying = None if images.groups else copying
        self.folder: Path | None = None
        self.weights: dict[str, Tensor] = {}
        self.real: list[Tensor] = []  # features of validation and training: (views, N, d) each
        self.drawn: Tensor | None = None  # features (n, d) of what the best generator draws
        none = dict.fromkeys(("step", "images", "kid", "kid_se", "stopped", "extractor"))
        self.facts: dict[str, Any] = none | {"n": n, "seed": seed, "validation": held_out}
        self.facts |= {"train": min(len(split.train), MOST_TRAIN), "history": []}

    def begin(
        self,
        state: TrainingState,
        folder: Path | None,
        tensors: Mapping[str, Tensor],
        facts: dict[str, Any] | None,
    ) -> None:
        """Before the first step: where to write (None: nowhere), and what a checkpoint holds.

        Raises ``GanBookError`` where the run has begun to select in another way.
        """
        self.folder = folder
        self.facts["extractor"] = self._open(state).facts()
        if facts is None:
            return
        need(
            isinstance(facts, dict) and isinstance(facts.get("history"), list),
            "The checkpoint is damaged: what was selected is missing.",
        )
        for key in ("n", "seed", "validation", "extractor"):
            need(
                facts.get(key) == self.facts[key],
                f"This run selects with {key} = {facts.get(key)}, not {self.facts[key]}; resume "
                "with the same.",
            )
        self.weights, self.facts = dict(tensors), facts
        if facts.get("stopped"):  # who resumes a stopped run has decided to go on
            self.patience = self.copying = None
        self.write(state)  # what was selected after the checkpoint is lost with that work

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a checkpoint keeps, and ``begin`` takes."""
        return self.weights, self.facts

    def __call__(self, state: TrainingState, logs: dict[str, Tensor]) -> None:
        recipe = state.recipe
        every = recipe.steps_of(self.every or recipe.sample_every)
        if state.step % every and state.step != recipe.total_steps:
            return
        # only the main process measures, so the others never ask for a stop
        stop = state.processes.is_main and self.evaluate(state)
        if not state.processes.agree(not stop):
            raise StopTraining(self.facts["stopped"] or "")

    @torch.no_grad()
    def evaluate(self, state: TrainingState) -> bool:
        """Measure the averaged generator, keep it if it is the best so far, write both files.

        Returns whether training shall stop.
        """
        net = self._open(state)
        if not self.real:
            self._prepare(state, net)
        facts, (validation, train) = self.facts, self.real
        drawn = net(samples(state.average, state.recipe, facts["n"], seed=facts["seed"]))  # (n, d)
        distance = kernel_distance(validation[0], drawn)
        share, error = membership(train, validation, drawn)
        entry = {
            "step": state.step,
            "images": state.images,
            "kid": distance.value,
            "kid_se": distance.standard_error,
            "coverage": density_coverage(validation[0], drawn).coverage,
            "held_out_logit": self._judged(state),
            "difference": None,  # to the best before
            "difference_se": None,
            "membership": share,
            "membership_se": error,
            "copies": share > 0.5 + ALARM * error,
        }
        if self.drawn is not None:
            paired = paired_kernel_difference(validation[0], drawn, self.drawn)
            entry |= {"difference": paired.value, "difference_se": paired.standard_error}
        facts["history"].append(entry)
        if not entry["copies"] and (self.drawn is None or paired.value < 0):
            self.drawn = drawn
            facts |= {key: entry[key] for key in ("step", "images", "kid", "kid_se")}
            weights = state.average.state_dict()
            self.weights = {name: t.detach().cpu().clone() for name, t in weights.items()}
        last = facts["history"][-(self.copying or 0) :]
        since = sum(e["step"] > (facts["step"] or 0) for e in facts["history"])
        why = ""
        if self.copying and len(last) == self.copying and all(e["copies"] for e in last):
            why = (
                f"generated pictures lie nearer to training than to validation pictures "
                f"(membership {share:.2f}; {0.5:.2f} +- {error:.2f} if none were copied)"
            )
        elif self.patience and since >= self.patience:
            why = f"{since} evaluations brought no better generator"
        if why:
            facts["stopped"] = (
                f"Training stopped at {state.images:,} images: {why}. Nothing is lost; the best "
                f"was at {facts['images'] or 0:,} images. To go on all the same: --resume."
            )
        self.write(state)
        return bool(why)

    def write(self, state: TrainingState) -> None:
        """``best/generator.safetensors``, then ``best.json``, each whole or not at all."""
        if self.folder is None or not self.facts["history"]:
            return
        if self.weights:
            about = {key: self.facts[key] for key in ("step", "images")}
            about["recipe"] = state.recipe.to_dict()
            files.save_tensors(self.folder / "best" / "generator.safetensors", self.weights, about)
        files.write_json(self.folder / "best.json", self.facts)

    def _judged(self, state: TrainingState) -> float:
        """D's mean logit of at most 400 validation pictures, without augmentation."""
        some, labels = self.split.validation[:400], self.images.labels
        x = to_float(self.images.images[some].to(state.processes.device))  # (V, C, H, W)
        y = labels[some].to(x.device) if state.recipe.num_classes and labels is not None else None
        state.discriminator.eval()  # held-out pictures must not enter running statistics
        logits = state.discriminator(x, y)  # (V,)
        state.discriminator.train()
        return float(logits.mean())

    def _open(self, state: TrainingState) -> Extractor:
        """The extractor, on the run's device."""
        if isinstance(self.extractor, str):
            self.extractor = extractor(self.extractor, state.processes.device)
        return self.extractor

    def _prepare(self, state: TrainingState, net: Extractor) -> None:
        """Features that every evaluation compares with: of real pictures, and of the best's."""
        order = torch.randperm(len(self.split.train), generator=torch.Generator().manual_seed(0))
        some = self.split.train[order[: self.facts["train"]]]
        for index in (self.split.validation, some):
            pictures = self.images.images[index]  # (N, C, H, W)
            views = [pictures, pictures.flip(-1)] if state.recipe.flip else [pictures]
            self.real.append(torch.stack([net(view) for view in views]))  # (views, N, d)
        if self.weights:
            average = copy.deepcopy(state.average)
            files.copy_into(average.state_dict(), self.weights, "The best generator")
            n, seed = self.facts["n"], self.facts["seed"]
            self.drawn = net(samples(average, state.recipe, n, seed=seed))


def membership(train: Tensor, validation: Tensor, drawn: Tensor) -> tuple[float, float]:
    """Probability that a training picture lies nearer to its nearest generated one than a
    validation picture does (ties count half), and its standard error where that is 1/2.

    Args:
        train, validation: (views, T, d), (views, V, d) features, of a picture and (where training
            mirrors it) its mirror image; the nearer view counts. drawn: (n, d) features.

    Source: Chen et al. 2020 (arXiv 1909.03935), section 4.2; the variance (T + V + 1) / (12 T V) of
    the rank-sum statistic: Mann and Whitney 1947.
    """
    near, far = (
        nearest_features(x.flatten(0, 1), drawn).distance.view(x.shape[:2]).amin(0)  # (T,), (V,)
        for x in (train, validation)
    )
    wins = (near[:, None] < far).double() + 0.5 * (near[:, None] == far).double()  # (T, V)
    t, v = wins.shape
    return float(wins.mean()), float((t + v + 1) / (12 * t * v)) ** 0.5

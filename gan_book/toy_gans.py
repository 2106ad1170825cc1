"""Many small GANs at once: the book's training loop over a stack of networks, one for each seed.

Games in the plane need seeds more than speed. The networks of all S seeds are stacked along a new
first dimension, and ``torch.func.vmap`` runs the package's own objectives over it, inside the
package's own loop: losses, penalties, schedules and moving average are those of ``training``. Adam
works element by element, so each seed trains as it would alone, up to rounding.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from .data.batches import Batch
from .data.batches import Points as Endless
from .errors import known, need
from .objectives import DiscriminatorObjective, Draws, GeneratorObjective, Weights, draw
from .processes import Processes
from .recipes.schema import Recipe
from .training import TrainingState, Update, build_networks, run_steps, start_training

Sampler = Callable[[int, torch.Generator], Tensor]
LATENTS = ("normal", "uniform")
LATENT_STREAM, SAMPLE_STREAM = 1 << 32, 1 << 33  # added to a seed: no two streams of numbers meet


def train_many(
    recipe: Recipe,
    points: Endless | Tensor | Sampler,
    seeds: Iterable[int],
    *,
    steps: int | None = None,
    latent: str = "normal",
    every: int = 0,
    callback: Callable[[ToyGANs], None] | None = None,
    dtype: torch.dtype = torch.float32,
) -> ToyGANs:
    """Train one GAN for each seed, all at once on the CPU, and return them.

    Args:
        recipe: a recipe of the plane, such as ``gb.recipe("ring", loss="hinge")``.
        points: a distribution with ``sample(n, generator)``, a function of the same arguments, or
            a finite set (n, d) from which batches are drawn with replacement.
        seeds: each decides the first networks, the real points and the latents of its GAN.
        steps: default: to the end of the recipe.
        latent: "normal", or "uniform" on (-sqrt 3, sqrt 3), which has the same variance.
        every: append to the log, and call ``callback``, every so many steps; 0: never.
        callback: called with the GANs at the log points.
        dtype: of networks, points and latents.

    Raises:
        GanBookError: for a recipe of pictures, no or repeated seeds, an unknown latent or an empty
            set of points. A seed that diverges does not stop the others: its samples are NaN.
    """
    seeds = tuple(seeds)
    known("latent", latent, LATENTS)
    need(recipe.points, f"'{recipe.name}' is a recipe for pictures; training many takes points.")
    need(
        len(set(seeds)) == len(seeds) > 0,
        f"Give at least one seed and none of them twice, not {seeds}.",
    )
    gans = _start(recipe, _sampler(points), seeds, latent, dtype)

    def record(state: TrainingState, logs: dict[str, Tensor]) -> None:
        if every and state.step % every == 0:
            gans.log.append({"step": torch.tensor(state.step), **logs})
            if callback is not None:
                callback(gans)

    run_steps(gans, recipe.total_steps if steps is None else steps, [record])
    return gans


class Form(nn.ModuleList):
    """One generator and one discriminator, to be called with the numbers of any seed."""

    def forward(self, call: Callable[..., Any], *inputs: Any) -> Any:
        return call(*inputs)


@dataclass
class ToyGANs(TrainingState):
    """S GANs of one recipe: a training state whose networks have parameters (S, ...).

    seeds: in the order of the first dimension, everywhere. log: one dict for each log point, with
    "step" (0-d) and the logs of both objectives, each (S,).
    """

    seeds: tuple[int, ...] = ()
    latent: str = "normal"
    form: Form = field(default_factory=Form)  # its own numbers are not used
    streams: list[torch.Generator] = field(default_factory=list)  # of latents, one for each seed
    log: list[dict[str, Tensor]] = field(default_factory=list)

    def draw(self) -> Draws:
        """Each seed's own latents, mixing numbers and noise, stacked: (S, N, ...) or None."""
        n, shape, z_dim = self.recipe.batch_size, self.recipe.sample_shape, self._z_dim
        every = [draw(self.settings, n, z_dim, shape, 0.0, stream) for stream in self.streams]
        columns = zip(*every, strict=True)
        draws = Draws(*(None if c[0] is None else torch.stack(c) for c in columns))  # type: ignore[arg-type]
        return draws._replace(z=self._latent(draws.z))

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, average: bool = True) -> Tensor:
        """n points of each generator, or of its moving average: (S, n, d)."""
        stream = torch.Generator().manual_seed(SAMPLE_STREAM + seed)
        z = torch.randn(len(self.seeds), n, self._z_dim, generator=stream)  # (S, n, z_dim)
        return _apply(self.form[0], self.average if average else self.generator, self._latent(z))

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """The discriminators' logits (S, N) at x (S, N, d), or at the same x (N, d) for all."""
        x = x.to(self._dtype).expand(len(self.seeds), *x.shape[-2:])  # (S, N, d)
        return _apply(self.form[1], self.discriminator, x)

    @property
    def _z_dim(self) -> int:
        return self.form[0].z_dim  # type: ignore[return-value]

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.generator.parameters()).dtype

    def _latent(self, normal: Tensor) -> Tensor:
        z = normal.to(self._dtype)
        return math.sqrt(3) * torch.erf(z / math.sqrt(2)) if self.latent == "uniform" else z


class _ManyObjective(nn.Module):
    """One objective over all seeds: the sum of their losses, so that no gradient mixes two."""

    def __init__(self, objective: nn.Module, form: Form, stacks: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.objective, self.form, self.stacks = objective, form, nn.ModuleList(stacks)

    def forward(
        self, batch: Batch, draws: Draws, weights: Weights
    ) -> tuple[Tensor, dict[str, Tensor]]:
        def one(numbers: dict[str, Any], x: Tensor, own: dict[str, Any]) -> Any:
            inputs = (self.objective, Batch(x), Draws(**own), weights)
            return functional_call(self.form, numbers, inputs)

        numbers: dict[str, Any] = dict(
            self.stacks.named_parameters()
        )  # (S, ...), named as those of the form
        used = {name: value for name, value in draws._asdict().items() if value is not None}
        losses, logs = vmap(one)(numbers, batch.images, used)  # (S,), each (S,)
        return losses.sum(), logs


class _ManyBatches:
    """Each seed's own real points, stacked: (S, N, d)."""

    def __init__(self, sample: Sampler, n: int, seeds: tuple[int, ...], dtype: torch.dtype) -> None:
        self.sample, self.n, self.dtype = sample, n, dtype
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def next(self) -> Batch:
        points = [self.sample(self.n, stream) for stream in self.streams]
        return Batch(torch.stack(points).to(self.dtype))


def _start(
    recipe: Recipe, sample: Sampler, seeds: tuple[int, ...], latent: str, dtype: torch.dtype
) -> ToyGANs:
    """As ``start_training`` makes it for one seed, with stacks in the place of the networks."""
    batches: Any = _ManyBatches(sample, recipe.batch_size, seeds, dtype)
    alone = Processes(0, 1, torch.device("cpu"))
    state = start_training(recipe, batches, alone, seed=seeds[0], precision="fp32")
    form = Form([state.generator, state.discriminator]).to(dtype)
    pairs = zip(*(build_networks(recipe, seed) for seed in seeds), strict=True)
    stacks = tuple(_stack(nets).to(dtype) for nets in pairs)
    settings = replace(state.settings, engine="func")  # vmap cannot enter autograd.grad
    optimizers = []
    for stack, optimizer in zip(stacks, (state.optimizer_g, state.optimizer_d), strict=True):
        optimizers.append(torch.optim.Adam(stack.parameters(), **optimizer.defaults))
    g, d = form
    objectives = (GeneratorObjective(g, d, settings), DiscriminatorObjective(g, d, settings))
    update_g, update_d = (
        Update(_ManyObjective(objective, form, stacks), optimizer, name)
        for objective, optimizer, name in zip(
            objectives, optimizers, ("g_loss", "d_loss"), strict=True
        )
    )
    changed = {
        "generator": stacks[0], "discriminator": stacks[1], "average": copy.deepcopy(stacks[0]),
        "optimizer_g": optimizers[0], "optimizer_d": optimizers[1], "settings": settings,
        "update_g": update_g, "update_d": update_d, "seeds": seeds, "latent": latent, "form": form,
        "streams": [torch.Generator().manual_seed(LATENT_STREAM + seed) for seed in seeds],
    }  # fmt: skip
    return ToyGANs(**{**vars(state), **changed})


def _stack(nets: tuple[nn.Module, ...]) -> nn.Module:
    """A copy of the first network whose parameters are those of all, (S, ...)."""
    stack = copy.deepcopy(nets[0])
    for name, parameter in stack.named_parameters():
        parameter.data = torch.stack([net.get_parameter(name).data for net in nets])
    return stack


def _apply(form: nn.Module, stack: nn.Module, x: Tensor) -> Tensor:
    """Each network of the stack at its own x (S, N, d) -> (S, N, ...)."""
    numbers = {name: parameter.detach() for name, parameter in stack.named_parameters()}
    return vmap(lambda own, inputs: functional_call(form, own, (inputs,)))(numbers, x)


def _sampler(points: Endless | Tensor | Sampler) -> Sampler:
    if not isinstance(points, Tensor):
        sampler: Any = getattr(points, "sample", points)
        return sampler
    need(points.dim() == 2 and len(points) > 0, "A set of points has the shape (n, d), n > 0.")
    return lambda n, stream: points[torch.randint(len(points), (n,), generator=stream)]  # (n, d)

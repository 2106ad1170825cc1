"""The laboratory and the phase portrait compute what `gan_book` computes, step by step."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.nn.utils import parametrizations

import gan_book as gb
from gan_book import dirac
from gan_book.data import toys
from gan_book.data.batches import Batch
from gan_book.losses import LOSSES
from gan_book.metrics.exact import js_divergence
from gan_book.objectives import DiscriminatorObjective, Draws, GeneratorObjective
from gan_book.processes import Processes
from gan_book.training import run_steps, start_training

from .twin import Stream, sample

pytestmark = pytest.mark.node
DOUBLE = torch.float64
BAR = 1e-6  # of the issue, over 100 steps


def gap(found, expected) -> float:
    """The largest difference of two nested lists or tensors of numbers, of one shape."""
    a, b = (torch.as_tensor(values, dtype=DOUBLE) for values in (found, expected))
    assert a.shape == b.shape
    return float((a - b).abs().max())


def test_random_numbers_are_those_of_the_twin(play):
    for seed in (0, 1, 4294967295):
        ((uniform, normal, below),) = play([{"action": "random", "seed": seed, "count": 1001}])
        a, b, c = Stream(seed), Stream(seed), Stream(seed)
        assert uniform == [a.uniform() for _ in range(1001)]
        assert gap(normal, [b.normal() for _ in range(1001)]) < 1e-12
        assert below == [c.below(7) for _ in range(1001)]
        assert abs(sum(uniform) / 1001 - 0.5) < 0.04


SETS = {
    "ring": (toys.ring(sd=0.1), {"name": "ring", "options": [0.1]}),
    "grid": (toys.grid(spacing=1.0, sd=0.08), {"name": "grid", "options": [0.08, 5, 1]}),
    "spiral": (toys.spiral(sd=0.08), {"name": "spiral", "options": [0.08]}),
    "two-moons": (toys.two_moons(sd=0.1), {"name": "twoMoons", "options": [0.1]}),
}


@pytest.mark.parametrize("name", SETS)
def test_point_sets_modes_and_divergence(play, name):
    points, called = SETS[name]
    ask = {"action": "points", "set": called, "seed": 3, "count": 400, "radius": 1.5,
           "extent": 4, "side": 64, "width": 0.3}  # fmt: skip
    (found,) = play([ask])
    drawn = sample(points, 400, Stream(3))
    assert gap(found["modes"], points.modes.flatten().tolist()) < 1e-12
    assert gap(found["points"], drawn.flatten().tolist()) < 1e-12
    count = points.count_modes(drawn, radius_sd=1.5)
    assert 0 < count.captured == found["count"]["captured"]
    assert gap(found["count"]["shares"], count.shares.tolist()) == 0
    assert abs(found["count"]["quality"] - count.high_quality_share) < 1e-12
    line = -4 + (torch.arange(64, dtype=DOUBLE) + 0.5) / 8
    cells = torch.cartesian_prod(line, line).flip(1)  # x runs fastest
    exact = replace(points, sd=0.3).density(cells)
    assert gap(found["density"], exact.tolist()) < 1e-9
    estimate = toys._mixture("samples", drawn, 0.3).density(cells)
    assert abs(found["divergence"] - js_divergence(exact, estimate, 1 / 64)) < 1e-4


DIRAC = [
    {"loss": name, "r1": r1, "r2": r2, "noise": noise}
    for name, (r1, r2, noise) in product(LOSSES, [(0, 0, 0), (0.5, 0.2, 0), (0, 0, 0.7)])
]


def test_dirac_gan_trajectories_and_eigenvalues(play):
    """100 steps of every loss, with and without penalties and noise, by every rule."""
    cases, expected = [], []
    start = torch.tensor([1.7, -0.4], dtype=DOUBLE)
    for settings, rule in product(DIRAC, ("simultaneous", "alternating", "extragradient")):
        game = dirac.Game(**settings, bias=0.5 if settings["loss"] == "least-squares" else 0.0)
        etas = (0.3, 0.3) if rule == "extragradient" else (0.3, 0.4)
        make = getattr(dirac, rule)
        step = make(game, 0.3) if rule == "extragradient" else make(game, *etas)
        cases.append({"action": "dirac", "settings": settings, "rule": rule, "count": 100,
                      "start": start.tolist(), "etaG": etas[0], "etaD": etas[1]})  # fmt: skip
        matrix = torch.func.jacrev(step)
        goal = torch.linalg.eigvals(matrix(torch.zeros(2, dtype=DOUBLE)))
        goal = sorted(((z.real.item(), z.imag.item()) for z in goal), reverse=True)
        expected.append((dirac.trajectory(step, start, 100), goal, matrix(start).flatten()))
    for case, found, (path, goal, matrix) in zip(cases, play(cases), expected, strict=True):
        assert gap(found["path"], path) < BAR, case
        assert gap(sorted(found["values"], reverse=True), goal) < BAR, case
        assert gap(found["jacobian"], matrix) < BAR, case


PENALTIES = {
    "none": {}, "r1": {"r1": 0.5}, "r2": {"r2": 0.5}, "r1 and r2": {"r1": 0.3, "r2": 0.2},
    "gp": {"gp": 5.0}, "spectral": {"spectral": True},
}  # fmt: skip
GAMES = [
    *({"loss": name, **more} for name, more in product(LOSSES, PENALTIES.values())),
    *({"loss": name, "order": "simultaneous", "r1": 0.2} for name in LOSSES),
    {"loss": "wasserstein", "gp": 10.0, "dSteps": 5, "beta1": 0.5, "beta2": 0.9},
    {"loss": "wasserstein", "spectral": True, "dSteps": 2, "order": "simultaneous"},
    {"adam": False, "rateG": 0.05, "rateD": 0.1, "r1": 0.1},
    {"adam": False, "rateG": 0.05, "rateD": 0.1, "order": "simultaneous", "loss": "hinge"},
]
AT = [1, 2, 5, 20, 50, 100]


class Batches:
    """Real points from a stream that is shared with the latents, as in the page."""

    def __init__(self, points, n, stream):
        self.points, self.n, self.stream = points, n, stream

    def next(self):
        return Batch(sample(self.points, self.n, self.stream))


def as_in_the_page(points, use):
    """The package's training state with the page's networks and random numbers."""
    recipe = gb.recipe(
        "ring", loss=use["loss"], r1=use["r1"], r2=use["r2"], gp=use["gp"], d_steps=use["dSteps"],
        lr=use["rateG"], d_lr_factor=use["rateD"] / use["rateG"], batch_size=use["batch"],
        beta1=use["beta1"], beta2=use["beta2"], fused=False,
        generator={"model": "mlp", "width": use["width"], "layers": use["layers"]},
        discriminator={"model": "mlp", "width": use["width"], "layers": use["layers"]},
    )  # fmt: skip
    first, later = Stream(use["seed"]), Stream(use["seed"] + 1000003)
    state = start_training(
        recipe, Batches(points, use["batch"], later), Processes(0, 1, torch.device("cpu")),
        seed=0, precision="fp32",
    )  # fmt: skip
    for net in (state.generator, state.discriminator, state.average):
        net.double()
    gains = {True: 1.0, False: (2 / 1.04) ** 0.5}  # of the first and last layer, of the others
    linears = {}
    for net in (state.generator, state.discriminator):
        linears[net] = list(net.layers.linears)
        last = len(linears[net]) - 1
        for i, linear in enumerate(linears[net]):
            scale = gains[i in (0, last)] / linear.in_features**0.5
            linear.weight.data = scale * first.normals(*linear.weight.shape)
            if linear.bias is not None:
                bound = linear.in_features**-0.5
                linear.bias.data = (2 * first.uniforms(linear.out_features) - 1) * bound
    norms = []
    if use["spectral"]:  # torch's own spectral normalization, one power iteration a step of D
        for linear in linears[state.discriminator]:
            norm = parametrizations.spectral_norm(linear).parametrizations.weight[0]
            norm._v.copy_(torch.nn.functional.normalize(first.normals(linear.in_features), dim=0))
            norm._power_method(linear.parametrizations.weight.original, 15)
            norms.append((norm, linear.parametrizations.weight))
        state.discriminator.eval()
    if not use["adam"]:
        state.update_g.optimizer = state.optimizer_g = torch.optim.SGD(
            state.generator.parameters(), lr=use["rateG"]
        )
        state.update_d.optimizer = state.optimizer_d = torch.optim.SGD(
            state.discriminator.parameters(), lr=use["rateD"]
        )

    def draw():
        z = later.normals(use["batch"], 2)
        mix = later.uniforms(use["batch"]) if use["gp"] and state.for_d else None
        return Draws(z, mix=mix)

    def update(batch, draws, weights, plain=state.update_d):
        with torch.no_grad():
            for norm, weight in norms:
                norm._power_method(weight.original, 1)
        return plain(batch, draws, weights)

    state.draw, state.update_d, state.for_d = draw, update, True
    return state


def play_at_once(state):
    """One round in which G's gradient is taken against the D of before."""
    state.set_schedules()
    batch = state.batches.next()
    state.for_d = False
    state.optimizer_g.zero_grad()
    loss, _ = state.update_g.objective(batch, state.draw(), state.weights)
    loss.backward()
    state.for_d = True
    for _ in range(state.recipe.d_steps):
        logs = state.update_d(state.batches.next(), state.draw(), state.weights)
    state.optimizer_g.step()
    state.step += 1
    return logs | {"g_loss": loss.detach()}


def play_in_turns(state):
    """One round of the package's own loop."""
    counted = {"draws": 0}
    draw, logs = state.draw, {}

    def drawn():
        state.for_d = counted["draws"] < state.recipe.d_steps
        counted["draws"] += 1
        return draw()

    state.draw = drawn
    run_steps(state, state.step + 1, [lambda _, new: logs.update(new)])
    state.draw = draw
    return logs


def reference(points, use, z, places):
    """What `play.mjs` should say about a game."""
    state = as_in_the_page(points, use)
    round_ = play_at_once if use["order"] == "simultaneous" else play_in_turns
    seen = []
    for step in range(1, max(AT) + 1):
        logs = round_(state)
        if step in AT:
            with torch.no_grad():
                made, judged = state.generator(z), state.discriminator(places)
            losses = torch.stack([logs["d_loss"], logs["g_loss"]])
            seen.append(torch.cat([losses, made.flatten(), judged]).tolist())
    return seen


PLAIN = {
    "loss": "non-saturating", "r1": 0.0, "r2": 0.0, "gp": 0.0, "spectral": False, "dSteps": 1,
    "order": "alternating", "adam": True, "beta1": 0.0, "beta2": 0.99, "rateG": 0.002,
    "rateD": 0.003, "width": 10, "layers": 2, "batch": 8, "seed": 5,
}  # fmt: skip


def name_of(game):
    return " ".join(f"{key}={value}" for key, value in game.items())


@pytest.mark.slow
@pytest.mark.parametrize("settings", GAMES, ids=name_of)
def test_a_hundred_steps_of_training(play, settings):
    points, called = SETS["ring"]
    use = PLAIN | settings
    z, places = Stream(8).normals(6, 2), 2 * Stream(9).normals(6, 2)
    case = {"action": "game", "set": called, "settings": use, "at": AT,
            "z": z.flatten().tolist(), "places": places.flatten().tolist()}  # fmt: skip
    (found,) = play([case])
    largest = gap(found, reference(points, use, z, places))
    print(f"largest difference {largest:.1e}")
    assert largest < BAR


def test_objectives_are_the_packages(monkeypatch):
    """The reference runs through `gan_book`'s objectives, not through a copy of them."""
    called = set()
    for kind in (DiscriminatorObjective, GeneratorObjective):

        def forward(self, *inputs, kind=kind, plain=kind.forward):
            called.add(kind)
            return plain(self, *inputs)

        monkeypatch.setattr(kind, "forward", forward)
    play_in_turns(as_in_the_page(toys.ring(), PLAIN))
    assert called == {DiscriminatorObjective, GeneratorObjective}

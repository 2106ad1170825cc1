"""The Dirac-GAN and its relatives: games of a few numbers whose dynamics can be computed by hand.

The generator says the number theta, the real data are a few numbers (just 0 in the Dirac-GAN of
Mescheder et al. 2018, arXiv 1801.04406), and D(x) = bias + psi_1 x + psi_2 x^2 + ... A *state* is
the float64 tensor (theta, psi_1, ..., psi_K), K >= 1. Both players *descend* their own loss, out of
``gan_book.losses``; the paper's D says the opposite of ours, so its psi is our -psi.

A *step* is a function from state to state. Its eigenvalues at an equilibrium are those of
``torch.func.jacrev(step)(state)``. Everything is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_book import penalties
from gan_book.errors import need, whole
from gan_book.losses import loss

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Game:
    """A game of the generator's number against the discriminator's.

    Attributes:
        loss: a name out of ``gan_book.losses``.
        r1, r2: weights gamma of the two gradient penalties (gamma / 2 E D'(x)^2), at least 0.
        noise: standard deviation of instance noise (Sonderby et al. 2017, arXiv 1610.04490), added
            to real and generated numbers alike: +noise or -noise by the toss of a coin, so that
            expectations are exact sums of four terms. In the Dirac-GAN only its variance enters
            the eigenvalues.
        data: the real numbers, equally likely.
        bias: D's constant. The least-squares loss needs 1/2, what its D says where it cannot tell.
    """

    loss: str = "non-saturating"
    r1: float = 0.0
    r2: float = 0.0
    noise: float = 0.0
    data: tuple[float, ...] = (0.0,)
    bias: float = 0.0

    def __post_init__(self) -> None:
        loss(self.loss)
        need(self.data, "A game needs at least one real number in data.")
        for name in ("r1", "r2", "noise"):
            value = getattr(self, name)
            need(value >= 0, f"A game's {name} is a number of at least 0, not {value!r}.")

    def numbers(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """All equally likely pairs of a real and a generated number: two tensors (4 n,)."""
        coin = torch.tensor([self.noise, -self.noise], dtype=torch.float64)
        real = torch.tensor(self.data, dtype=torch.float64)[:, None, None] + coin[:, None]
        fake = theta + coin  # (2,)
        shape = (len(self.data), 2, 2)  # real number, its coin, the generated number's coin
        return real.expand(shape).flatten(), fake.expand(shape).flatten()

    def logit(self, psi: Tensor, x: Tensor) -> Tensor:
        """D(x) for coefficients psi (K,) and numbers x (m,): (m,)."""
        terms = [c * x ** (k + 1) for k, c in enumerate(psi)]  # K tensors (m,)
        return self.bias + torch.stack(terms).sum(0)  # (m,)

    def slope(self, psi: Tensor, x: Tensor) -> Tensor:
        """D'(x) for coefficients psi (K,) and numbers x (m,): (m,)."""
        terms = [(k + 1) * c * x**k for k, c in enumerate(psi)]
        return torch.stack(terms).sum(0)  # (m,)

    def discriminator_loss(self, theta: Tensor, psi: Tensor) -> Tensor:
        """What psi (K,) descends, penalties included, for theta (1,): 0-d."""
        real, fake = self.numbers(theta)
        value = loss(self.loss).discriminator(self.logit(psi, real), self.logit(psi, fake))
        if self.r1:
            value = value + penalties.r1(self.slope(psi, real).square(), self.r1)
        if self.r2:
            value = value + penalties.r2(self.slope(psi, fake).square(), self.r2)
        return value

    def generator_loss(self, theta: Tensor, psi: Tensor) -> Tensor:
        """What theta (1,) descends, for psi (K,): 0-d."""
        real, fake = self.numbers(theta)
        return loss(self.loss).generator(self.logit(psi, real), self.logit(psi, fake))

    def pull_g(self, state: Tensor) -> Tensor:
        """The generator's negative gradient at a state (1 + K,): (1,)."""
        return -torch.func.grad(self.generator_loss, argnums=0)(state[:1], state[1:])

    def pull_d(self, state: Tensor) -> Tensor:
        """The discriminator's negative gradient at a state (1 + K,): (K,)."""
        return -torch.func.grad(self.discriminator_loss, argnums=1)(state[:1], state[1:])

    def field(self, state: Tensor) -> Tensor:
        """Both players' negative gradients at a state (1 + K,): (1 + K,)."""
        return torch.cat((self.pull_g(state), self.pull_d(state)))

    def jacobian(self, state: Tensor) -> Tensor:
        """The derivative of ``field``: entry (i, j) is d field_i / d state_j; (1 + K, 1 + K)."""
        return torch.func.jacrev(self.field)(state)


def simultaneous(game: Game, eta_g: float, eta_d: float) -> Step:
    """Both players move at once, by their learning rates."""
    return lambda state: state + torch.cat((eta_g * game.pull_g(state), eta_d * game.pull_d(state)))


def alternating(game: Game, eta_g: float, eta_d: float) -> Step:
    """D moves first and G answers the new D, as the book's training loop does."""

    def step(state: Tensor) -> Tensor:
        state = torch.cat((state[:1], state[1:] + eta_d * game.pull_d(state)))
        return torch.cat((state[:1] + eta_g * game.pull_g(state), state[1:]))

    return step


def extragradient(game: Game, eta: float) -> Step:
    """Look one step ahead, then move from here by the gradients found there (Korpelevich 1976)."""
    return lambda state: state + eta * game.field(state + eta * game.field(state))


def optimistic(game: Game, eta: float) -> Step:
    """``w + 2 eta v(w) - eta v(last w)``: Daskalakis et al. 2018 (arXiv 1711.00141).

    Its state is (w, last w), 2 (1 + K) numbers; start with the same w twice.
    """

    def step(state: Tensor) -> Tensor:
        now, last = state.chunk(2)
        new = now + 2 * eta * game.field(now) - eta * game.field(last)
        return torch.cat((new, now))

    return step


def consensus(game: Game, eta: float, weight: float) -> Step:
    """Both players also descend ``weight / 2 |field|^2``.

    Mescheder et al. 2017 (arXiv 1705.10461).
    """

    def step(state: Tensor) -> Tensor:
        field = game.field(state)
        return state + eta * (field - weight * game.jacobian(state).T @ field)

    return step


def runge_kutta(game: Game, dt: float) -> Step:
    """The continuous flow d state / dt = field over a time ``dt``, classical fourth order."""

    def step(state: Tensor) -> Tensor:
        a = game.field(state)
        b = game.field(state + dt / 2 * a)
        c = game.field(state + dt / 2 * b)
        return state + dt / 6 * (a + 2 * b + 2 * c + game.field(state + dt * c))

    return step


def averaged(step: Step, beta: float) -> Step:
    """``step`` with a moving average beside it, which it never sees: its state is (w, average)."""

    def with_average(state: Tensor) -> Tensor:
        now, average = state.chunk(2)
        now = step(now)
        return torch.cat((now, beta * average + (1 - beta) * now))

    return with_average


def trajectory(step: Step, start: Tensor, steps: int) -> Tensor:
    """``start`` and the states after each of ``steps`` steps: float64 (steps + 1, *start.shape).

    ``start`` is one state (n,) or several (S, n), which take their steps at once.
    """
    step = torch.func.vmap(step) if start.ndim == 2 else step
    states = [start.to(torch.float64)]
    for _ in range(whole("steps", steps, 0, 10**7)):
        states.append(step(states[-1]))
    return torch.stack(states)

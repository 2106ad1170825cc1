"""The games of two numbers: fields, Jacobians and steps against closed forms and plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from gan_book import dirac
from gan_book.dirac import Game
from gan_book.errors import GanBookError

DOUBLE = torch.float64
GOAL = torch.zeros(2, dtype=DOUBLE)
STATE = torch.tensor([0.7, -1.9], dtype=DOUBLE)


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


# h'(a) of D and g'(a) of G at the logit a = psi theta, by hand
SLOPES = {
    "saturating": (sigmoid, lambda a: -sigmoid(a)),
    "non-saturating": (sigmoid, lambda a: -sigmoid(-a)),
    "relativistic": (sigmoid, lambda a: -sigmoid(-a)),
    "wasserstein": (lambda a: 1.0, lambda a: -1.0),
    "hinge": (lambda a: float(a > -1), lambda a: -1.0),
    "least-squares": (lambda a: a + 0.5, lambda a: a - 0.5),
}


def game_of(name: str, **settings: float) -> Game:
    return Game(name, bias=0.5 if name == "least-squares" else 0.0, **settings)


def field_by_hand(name: str, theta: float, psi: float, gamma: float = 0.0) -> tuple[float, float]:
    of_d, of_g = SLOPES[name]
    a = psi * theta
    return -of_g(a) * psi, -of_d(a) * theta - gamma * psi


@pytest.mark.parametrize("name", SLOPES)
@pytest.mark.parametrize("state", [(0.7, -1.9), (0.4, 0.5), (-0.2, 1.1)])
def test_the_field_is_the_one_derived_by_hand(name, state):
    game = game_of(name, r1=0.3, r2=0.2)
    found = game.field(torch.tensor(state, dtype=DOUBLE))
    assert found.tolist() == pytest.approx(field_by_hand(name, *state, gamma=0.5), abs=1e-12)


def test_the_field_is_minus_the_slope_of_each_players_own_loss():
    game = Game("relativistic", r1=0.3, r2=0.7, noise=0.4, data=(-1.0, 0.5), bias=0.2)
    state = torch.tensor([0.6, -0.8, 0.5], dtype=DOUBLE)
    losses = [game.generator_loss, game.discriminator_loss, game.discriminator_loss]
    for i, value in enumerate(losses):
        ends = []
        for sign in (1, -1):
            moved = state.clone()
            moved[i] += sign * 1e-5
            ends.append(value(moved[:1], moved[1:]).item())
        slope = (ends[0] - ends[1]) / 2e-5
        assert game.field(state)[i].item() == pytest.approx(-slope, abs=1e-8)


def test_the_jacobian_agrees_with_finite_differences_of_the_field():
    game = Game("non-saturating", r1=0.3, r2=0.7, noise=0.4, data=(-1.0, 0.5))
    state = torch.tensor([0.6, -0.8, 0.5], dtype=DOUBLE)
    for j in range(3):
        ahead, behind = state.clone(), state.clone()
        ahead[j] += 1e-5
        behind[j] -= 1e-5
        column = (game.field(ahead) - game.field(behind)) / 2e-5
        torch.testing.assert_close(game.jacobian(state)[:, j], column, rtol=0, atol=1e-8)


def test_pairs_are_all_combinations_of_data_and_coins():
    real, fake = Game(noise=0.5, data=(0.0, 2.0)).numbers(torch.tensor([3.0], dtype=DOUBLE))
    pairs = sorted(zip(real.tolist(), fake.tolist(), strict=True))
    expected = [(x + s, 3 + t) for x in (0.0, 2.0) for s in (-0.5, 0.5) for t in (-0.5, 0.5)]
    assert pairs == sorted(expected)


@pytest.mark.parametrize(
    ("name", "weight"),
    [("non-saturating", 0.5), ("relativistic", 0.5), ("least-squares", 2.0), ("wasserstein", 0.0)],
)
def test_noise_acts_on_the_jacobian_as_a_penalty(name, weight):
    noisy = game_of(name, noise=0.6).jacobian(GOAL)
    penalized = game_of(name, r1=weight * 0.36).jacobian(GOAL)
    torch.testing.assert_close(noisy, penalized, rtol=0, atol=1e-12)


def play_by_hand(in_turns: bool, eta_g: float, eta_d: float, steps: int) -> tuple[float, float]:
    theta, psi = STATE.tolist()
    for _ in range(steps):
        new = psi + eta_d * field_by_hand("non-saturating", theta, psi, 0.5)[1]
        seen = new if in_turns else psi
        theta += eta_g * field_by_hand("non-saturating", theta, seen)[0]
        psi = new
    return theta, psi


@pytest.mark.parametrize("in_turns", [False, True])
def test_steps_agree_with_plain_python(in_turns):
    make = dirac.alternating if in_turns else dirac.simultaneous
    path = dirac.trajectory(make(Game(r1=0.5), 0.1, 0.3), STATE, 40)
    assert path.shape == (41, 2)
    assert path.dtype == DOUBLE
    assert torch.equal(path[0], STATE)
    assert path[-1].tolist() == pytest.approx(play_by_hand(in_turns, 0.1, 0.3, 40), abs=1e-12)


def test_extragradient_optimism_and_consensus_by_hand():
    v = lambda theta, psi: torch.tensor(field_by_hand("non-saturating", theta, psi), dtype=DOUBLE)  # noqa: E731
    game, eta = Game(), 0.3
    ahead = STATE + eta * v(*STATE.tolist())
    extra = dirac.extragradient(game, eta)(STATE)
    torch.testing.assert_close(extra, STATE + eta * v(*ahead.tolist()))
    new, last = dirac.optimistic(game, eta)(torch.cat((STATE, ahead))).chunk(2)
    torch.testing.assert_close(new, STATE + 2 * eta * v(*STATE.tolist()) - eta * v(*ahead.tolist()))
    assert torch.equal(last, STATE)

    def squared(theta, psi):
        return 0.5 * v(theta, psi).square().sum().item()

    theta, psi = STATE.tolist()
    h = 1e-5
    slope = torch.tensor(
        [
            (squared(theta + h, psi) - squared(theta - h, psi)) / (2 * h),
            (squared(theta, psi + h) - squared(theta, psi - h)) / (2 * h),
        ],
        dtype=DOUBLE,
    )
    moved = dirac.consensus(game, eta, 0.7)(STATE)
    expected = STATE + eta * (v(theta, psi) - 0.7 * slope)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-8)


def test_runge_kutta_turns_the_linear_game_and_is_of_fourth_order():
    errors = []
    for steps in (10, 20):
        path = dirac.trajectory(dirac.runge_kutta(Game("wasserstein"), 2 / steps), STATE, steps)
        cos, sin = math.cos(2), math.sin(2)
        exact = torch.tensor([[cos, sin], [-sin, cos]], dtype=DOUBLE) @ STATE
        errors.append((path[-1] - exact).norm().item())
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.1)


def test_the_average_stands_beside_the_game():
    step = dirac.alternating(Game(), 0.2, 0.2)
    path = dirac.trajectory(dirac.averaged(step, 0.9), STATE.repeat(2), 30)
    own = dirac.trajectory(step, STATE, 30)
    torch.testing.assert_close(path[:, :2], own)
    average = own[0]
    for now in own[1:]:
        average = 0.9 * average + 0.1 * now
    torch.testing.assert_close(path[-1, 2:], average)


def test_several_starts_take_their_steps_at_once():
    starts = torch.stack((STATE, -STATE, STATE / 3))
    step = dirac.alternating(Game("saturating", r2=0.2), 0.2, 0.1)
    together = dirac.trajectory(step, starts, 12)
    assert together.shape == (13, 3, 2)
    for i, start in enumerate(starts):
        torch.testing.assert_close(together[:, i], dirac.trajectory(step, start, 12))


def test_a_discriminator_of_two_features():
    game = Game("wasserstein", r1=0.5, r2=0.25, data=(-1.0, 1.0))
    theta, one, two = 0.4, 0.3, -0.2
    slope = one + 2 * two * theta
    expected = [
        slope,
        -theta - 0.5 * one - 0.25 * slope,
        1 - theta**2 - 4 * 0.5 * two - 2 * 0.25 * theta * slope,
    ]
    found = game.field(torch.tensor([theta, one, two], dtype=DOUBLE))
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("curvature", "equal"), [(0.0, True), (0.3, False)])
def test_r1_and_r2_agree_at_a_perfect_equilibrium_only_if_d_is_flat_around_the_data(
    curvature, equal
):
    state = torch.tensor([0.0, 0.0, curvature], dtype=DOUBLE)  # at rest for any curvature
    r1, r2 = Game("wasserstein", r1=0.5), Game("wasserstein", r2=0.5)
    assert not r1.field(state).any()
    assert not r2.field(state).any()
    assert torch.equal(r1.jacobian(state), r2.jacobian(state)) == equal


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "hing"}, "did you mean 'hinge'"),
        ({"r1": -0.1}, "at least 0"),
        ({"noise": -1.0}, "at least 0"),
        ({"data": ()}, "at least one real number"),
    ],
)
def test_bad_games_are_refused(settings, words):
    with pytest.raises(GanBookError, match=words):
        Game(**settings)


def test_a_trajectory_has_a_whole_number_of_steps():
    with pytest.raises(GanBookError, match="steps must be a whole number"):
        dirac.trajectory(dirac.runge_kutta(Game(), 0.1), STATE, -1)

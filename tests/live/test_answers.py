"""The answers on the pages of the live figures, played anew with their own modules."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.node
BOOK = Path(__file__).resolve().parents[2] / "book"
RING = {"name": "ring", "options": [0.1]}


def answers(page: str) -> list[str]:
    """The numbers in bold in each answer of a page."""
    text = (BOOK / f"{page}.md").read_text(encoding="utf-8")
    boxes = re.findall(r"<summary>Answer.*?</details>", text, re.DOTALL)
    assert len(boxes) == 3
    return [re.findall(r"\*\*(.*?)\*\*", box) for box in boxes]


def case(rule, eta, loss="non-saturating", gamma=0.0, start=(1.0, 0.0), count=1000):
    return {"action": "dirac", "settings": {"loss": loss, "r1": gamma}, "rule": rule,
            "start": list(start), "etaG": eta, "etaD": eta, "count": count}  # fmt: skip


def test_the_portraits_answers(play):
    (least,), (at_once, in_turns), (ring,) = answers("live-dirac")
    gammas = [round(0.01 * i, 2) for i in range(31)]
    found = play([case("simultaneous", 0.5, "saturating", gamma) for gamma in gammas])
    arrives = [gamma for gamma, one in zip(gammas, found, strict=True) if one["size"] < 1 - 1e-12]
    assert min(arrives) == 0.13  # the slider's first value above
    assert float(least) == 0.125
    for rule, answer in (("simultaneous", at_once), ("alternating", in_turns)):
        rates = [round(0.01 * i, 2) for i in range(1, 401)]
        found = play([case(rule, eta, gamma=0.5, count=0) for eta in rates])
        inside = [eta for eta, one in zip(rates, found, strict=True) if one["size"] < 1 - 1e-12]
        assert 0 <= float(answer) - max(inside) < 0.0101, rule
    held, gone = play([
        case("simultaneous", 2.1, gamma=0.5), case("alternating", 2.5, gamma=0.5),
    ])  # fmt: skip
    assert len(held["path"]) == 1001
    assert max(math.hypot(*w) for w in held["path"]) < 1.5
    assert math.hypot(*gone["path"][-1]) > 1e5
    far, near = play([
        case("alternating", 2.2, gamma=0.5), case("alternating", 2.2, gamma=0.5, start=(0.1, 0.0)),
    ])  # fmt: skip
    assert math.hypot(*far["path"][-1]) > 1e5
    assert math.hypot(*near["path"][-1]) < 1e-6
    low, high = map(float, ring.split(" to "))
    for one in play([case("simultaneous", 0.2, start=at) for at in ((0.1, 0.0), (2.0, 0.5))]):
        late = [math.hypot(*w) for w in one["path"][-100:]]
        assert (round(min(late), 2), round(max(late), 2)) == (low, high)
    (away,) = play([case("simultaneous", 0.2, "wasserstein", count=10)])
    assert math.isclose(math.hypot(*away["path"][-1]), math.sqrt(1.04) ** 10)


@pytest.mark.slow
def test_the_laboratorys_answers(play):
    (collapsed, cured), (bridge,), (lost, held) = answers("live-laboratory")
    seeds = (1, 2, 3)

    def games(**changes):
        return play([
            {"action": "train", "set": RING, "steps": 500, "settings": {"seed": seed, **changes}}
            for seed in seeds
        ])  # fmt: skip

    def places(found):
        return [one["captured"] for one in found]

    assert max(places(games(rateD=0.0005))) <= int(collapsed)
    assert min(places(games(rateD=0.0005, dSteps=5))) >= int(cured)
    assert min(places(games())) >= int(cured)
    assert max(places(games(beta1=0.9))) <= int(lost)
    assert max(places(games(beta1=0.9, r1=1))) <= int(held)
    two = {"name": "drawn", "options": [0.1, [[-2, 0], [2, 0]]]}
    (one,) = play([{"action": "train", "set": two, "steps": 2000, "settings": {"seed": 2}}])
    between = [x for x in one["points"][::2] if abs(x) < 1.5]
    assert abs(len(between) / 10 - int(bridge.split()[0])) <= 1

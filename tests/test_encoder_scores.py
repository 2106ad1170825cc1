"""The score of the InfoGAN benchmark against scikit-learn, on made-up codes and on its results."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from gan_book.results import load_results
from tests.benchmarks.encoders import CODES, counts, found, information

N = 1_000
# kinds of labels, and how often a label follows the code
CASES = [(2, 1.0), (4, 1.0), (4, 0.5), (8, 0.2), (12, 0.0)]
STORED = sorted(name for name in load_results("encoders") if name.startswith("infogan"))


def codes_and_labels(kinds: int, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    codes = torch.arange(N) % CODES
    random = torch.randint(kinds, (N,), generator=rng)
    return codes, torch.where(torch.rand(N, generator=rng) < share, codes % kinds, random)


@pytest.mark.parametrize(("kinds", "share"), CASES)
def test_the_score_is_the_adjusted_mutual_information(kinds: int, share: float):
    codes, labels = codes_and_labels(kinds, share)
    ours = found(codes, labels, kinds, torch.Generator().manual_seed(1))
    exact = adjusted_mutual_info_score(labels, codes, average_method="arithmetic")
    assert information(counts(codes, labels, kinds)) == pytest.approx(
        mutual_info_score(labels, codes), abs=1e-12
    )
    # ours takes the mean of 500 shuffles, scikit-learn the expectation
    assert ours["score"] == pytest.approx(exact, abs=1e-3)
    if share == 0:
        assert ours["chance_95"] > ours["chance"] > 0
        assert abs(ours["score"]) < 0.01


@pytest.mark.parametrize("cell", STORED)
@pytest.mark.parametrize("key", ["style", "palette"])
def test_the_stored_scores_are_those_of_their_tables(cell: str, key: str):
    record = load_results("encoders")[cell][key]
    times = torch.tensor(record["table"])
    codes, labels = times.nonzero().repeat_interleave(times[times > 0], dim=0).T
    exact = adjusted_mutual_info_score(labels, codes, average_method="arithmetic")
    assert record["score"] == pytest.approx(exact, abs=1e-3)
    assert record["information"] == pytest.approx(mutual_info_score(labels, codes), abs=1e-9)


def test_there_are_stored_scores():
    assert len(STORED) == 6

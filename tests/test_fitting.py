"""Fitting one network: the schedule, the average, the two kinds of length, the log."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch import nn

from gan_book.errors import GanBookError
from gan_book.fitting import fit


class Line(nn.Module):
    """Least squares with a known solution: the mean of x plus noise of mean zero."""

    def __init__(self, value=0.0):
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(value))

    def draw(self, x, generator):
        return (0.1 * torch.randn(x.shape, generator=generator),)

    def forward(self, x, noise):
        loss = (x + noise - self.mean).square().mean()
        return loss, {"loss": loss}


def batches(x):
    return lambda: x


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def test_it_finds_the_mean_and_logs_means():
    x = torch.tensor([1.0, 2.0, 6.0])
    line = Line()
    done = fit(line, batches(x), source(), steps=800, lr=0.05, every=300)
    assert abs(line.mean.item() - 3.0) < 0.1
    assert [entry["step"] for entry in done.log] == [300, 600, 800]
    assert abs(done.log[-1]["loss"] - (x.var(correction=0).item() + 0.01)) < 0.1
    assert (done.steps, done.images) == (800, 2400)


def test_the_first_step_is_the_rate_and_the_last_a_tenth():
    seen = []
    line = Line(100.0)
    fit(line, batches(torch.zeros(2)), source(), steps=50, lr=0.01, every=1,
        callback=lambda _: seen.append(line.mean.item()))  # fmt: skip
    moves = [a - b for a, b in zip([100.0, *seen], seen, strict=False)]
    assert math.isclose(moves[0], 0.01, rel_tol=1e-2)
    assert math.isclose(moves[-1], 0.001, rel_tol=5e-2)


def test_the_average_is_a_filter_of_the_parameters():
    seen = []
    line = Line(5.0)
    done = fit(line, batches(torch.zeros(4)), source(), steps=30, lr=0.1, ema_half_life=20,
               every=1, callback=lambda _: seen.append(line.mean.item()))  # fmt: skip
    mean = 5.0
    for step, value in enumerate(seen, start=1):
        decay = 0.5 ** (4 / min(20, 0.05 * 4 * step))
        mean = decay * mean + (1 - decay) * value
    assert math.isclose(done.average.mean.item(), mean, rel_tol=1e-5)
    plain = fit(line, batches(torch.zeros(4)), source(), steps=3)
    assert plain.average.mean.item() == line.mean.item()
    assert not plain.average.mean.requires_grad


def test_seconds_are_processor_time_without_callbacks():
    def busy(_):
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass

    start = time.process_time()
    done = fit(Line(), batches(torch.zeros(4)), source(), seconds=0.2, every=50, callback=busy)
    used = time.process_time() - start
    assert 0.2 <= done.seconds < 0.3
    assert used > done.seconds + 0.04
    assert done.steps > 10


def test_the_same_seed_gives_the_same_fit():
    runs = [Line() for _ in range(3)]
    for line, seed in zip(runs, (1, 1, 2), strict=True):
        fit(line, batches(torch.ones(4)), source(seed), steps=20, lr=0.1)
    assert runs[0].mean.item() == runs[1].mean.item() != runs[2].mean.item()


@pytest.mark.parametrize("how", [{}, {"steps": 0}, {"steps": 5, "seconds": 1.0}, {"seconds": -1}])
def test_length_is_steps_or_seconds(how):
    with pytest.raises(GanBookError, match="one of the two"):
        fit(Line(), batches(torch.zeros(2)), source(), **how)


def test_divergence_is_a_sentence():
    with pytest.raises(GanBookError, match="lower learning rate"):
        fit(Line(), batches(torch.tensor([math.inf])), source(), steps=2)


@pytest.mark.parametrize("stop", [9, 10])
def test_a_fit_that_was_stopped_goes_on_bit_for_bit(stop, tmp_path):
    """Stopped between two log points (the steps since the last are made again), or at one."""

    def run(keep=None, until=None):
        line, rng = Line(), source(4)

        def batch():
            if until is not None and len(made) == until:
                raise KeyboardInterrupt
            made.append(torch.randn(3, generator=rng))
            return made[-1]

        made = []
        how = {"steps": 20, "every": 5, "ema_half_life": 40, "lr": 0.1}
        done = fit(line, batch, rng, keep=keep, **how)
        return line.mean.item(), done.average.mean.item(), done.log, done.images, len(made)

    whole = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "fit", stop)
    second = run(tmp_path / "fit")
    assert second[:-1] == whole[:-1]
    assert second[-1] == {9: 15, 10: 10}[stop]  # batches that were still drawn
    assert run(tmp_path / "fit")[:-1] == whole[:-1]  # finished: nothing is left to do


def test_what_was_kept_of_another_network_is_refused(tmp_path):
    fit(Line(), batches(torch.zeros(2)), source(), steps=2, keep=tmp_path / "fit")
    other = Line()
    other.slope = nn.Parameter(torch.zeros(()))
    with pytest.raises(GanBookError, match="lacks 'slope'"):
        fit(other, batches(torch.zeros(2)), source(), steps=4, keep=tmp_path / "fit")

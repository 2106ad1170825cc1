"""Every way of running an objective agrees: engines, compiled, autocast, several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gan_book import losses
from gan_book.data.batches import Batch
from gan_book.errors import GanBookError
from gan_book.objectives import (
    DiscriminatorObjective,
    Draws,
    GeneratorObjective,
    ObjectiveSettings,
)
from tests.helpers import obj_process
from tests.helpers.obj_networks import (
    POLICY,
    Negative,
    Smooth,
    gradients,
    inputs,
    networks,
    weights,
)

ALL = ObjectiveSettings(loss="relativistic", r1=True, r2=True, gp=True, policy=POLICY)
BOTH = (DiscriminatorObjective, GeneratorObjective)


def trained(kind, g: nn.Module, d: nn.Module) -> nn.Module:
    return d if kind is DiscriminatorObjective else g


@pytest.mark.parametrize("engine", ["autograd", "func"])
def test_discriminator_gradient_equals_finite_differences(engine):
    """Of the whole loss: relativistic, R1, R2, WGAN-GP and augmentation, on a smooth network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        d = Smooth().double()
    g, _ = networks()
    settings = replace(ALL, engine=engine)
    batch, draws = inputs(settings, g, n=4)
    objective = DiscriminatorObjective(g, d, settings)
    objective(batch, draws, weights(3.0, 5.0, 7.0))[0].backward()
    for parameter, index in (
        (d.first.weight, (0, 0, 0, 0)),
        (d.first.weight, (3, 2, 1, 2)),
        (d.first.bias, (1,)),
        (d.second.weight, (2, 1, 2, 0)),
        (d.second.bias, (3,)),
    ):
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                parameter[index] += step
            values.append(objective(batch, draws, weights(3.0, 5.0, 7.0))[0].item())
            with torch.no_grad():
                parameter[index] -= step
        slope = (values[0] - values[1]) / 2e-5
        assert parameter.grad[index].item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


def run(kind, settings, dtype, compiled=False):
    """Loss, logs and gradients of one step of one objective."""
    g, d = networks(dtype)
    batch, draws = inputs(settings, g, dtype=dtype)
    objective = kind(g, d, settings)
    if compiled:
        objective = torch.compile(objective, backend="aot_eager", fullgraph=True, dynamic=False)
    value, logs = objective(batch, draws, weights(0.5, 0.25, 2.0, dtype))
    value.backward()
    return {"loss": value.detach(), **logs, **gradients(trained(kind, g, d))}


@pytest.mark.parametrize("name", losses.LOSSES)
def test_engines_agree(name):
    settings = replace(ALL, loss=name)
    one = run(DiscriminatorObjective, settings, torch.float64)
    other = run(DiscriminatorObjective, replace(settings, engine="func"), torch.float64)
    torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", BOTH)
def test_compiled_equals_eager(kind):
    """One graph, in float64 to 1e-10; weights and draws change without recompiling."""
    torch.compiler.reset()
    settings = replace(ALL, engine="func")
    eager = run(kind, ALL, torch.float64)
    compiled = run(kind, settings, torch.float64, compiled=True)
    torch.testing.assert_close(compiled, eager, rtol=1e-10, atol=1e-12)
    g, d = networks(torch.float32)
    objective = kind(g, d, settings)
    whole = torch.compile(objective, backend="aot_eager", fullgraph=True, dynamic=False)
    whole(*inputs(settings, g, dtype=torch.float32), weights(dtype=torch.float32))
    with torch.compiler.set_stance("fail_on_recompile"):
        for seed, p, weight in ((3, 0.0, 10.0), (4, 1.0, 0.0)):
            changing = weights(weight, 2 * weight, 0.3, torch.float32)
            given = inputs(settings, g, dtype=torch.float32, seed=seed, p=p)
            found = []
            for run_it in (whole, objective):
                objective.zero_grad()
                value, logs = run_it(*given, changing)
                value.backward()
                found.append({**logs, **gradients(trained(kind, g, d))})
            torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_compiled_finite_differences():
    torch.compiler.reset()
    settings = ObjectiveSettings(loss="hinge", form="finite-difference")
    eager = run(DiscriminatorObjective, settings, torch.float64)
    compiled = run(DiscriminatorObjective, settings, torch.float64, compiled=True)
    torch.testing.assert_close(compiled, eager, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("form", ["exact", "finite-difference"])
def test_autocast_covers_networks_only(form):
    """bfloat16 inside the networks; losses and norms in float32, near the float32 values."""
    dtypes = []
    settings = ObjectiveSettings(form=form, autocast=torch.bfloat16, policy=("color", "flip"))
    full = run(DiscriminatorObjective, replace(settings, autocast=None), torch.float32)
    by_engine = {}
    for engine in ("autograd", "func"):
        g, d = networks(torch.float32)
        batch, draws = inputs(settings, g, dtype=torch.float32)
        d.head.register_forward_hook(lambda *args: dtypes.append(args[-1].dtype))
        objective = DiscriminatorObjective(g, d, replace(settings, engine=engine))
        value, logs = objective(batch, draws, weights(0.5, 0.25, dtype=torch.float32))
        value.backward()
        assert {log.dtype for log in logs.values()} == {torch.float32}
        by_engine[engine] = gradients(d)
        for name, gradient in by_engine[engine].items():
            difference = (gradient - full[name]).norm() / full[name].norm()
            assert difference < 0.1, name
    torch.testing.assert_close(by_engine["func"], by_engine["autograd"], rtol=1e-4, atol=1e-6)
    expected = torch.bfloat16 if form == "exact" else torch.float32
    assert set(dtypes) == {expected}
    value, _ = GeneratorObjective(g, d, settings)(batch, draws, weights())
    assert value.dtype == torch.float32
    assert dtypes[-1] == torch.bfloat16


def test_two_processes_equal_the_joint_batch(tmp_path):
    """Through DDP(objective): 50 Adam steps in float64, one step in float32, eager and compiled."""
    root = Path(__file__).parents[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.helpers.obj_process", str(rank), "2"),
                *(str(tmp_path / "store"), str(tmp_path / f"{rank}.safetensors")),
            ],
            cwd=root,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    joint = obj_process.everything(0, 1)
    try:
        for process in processes:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    start = {f"train/d.{name}": value for name, value in networks()[1].named_parameters()}
    assert any((joint[name] - value).abs().max() > 0.01 for name, value in start.items())
    assert {name.split("/")[0] for name in first} == {"train", "compiled", *obj_process.VARIANTS}
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        group, key = name.split("/")
        expected = joint[f"exact/{key}"] if group == "compiled" else joint[name]
        tolerance = 1e-10 if group == "train" else 1e-5
        difference = (value - expected).abs().max() / expected.abs().max().clamp_min(1e-3)
        assert difference < tolerance, name


def test_batch_normalization_in_the_discriminator():
    """Trains with the autograd engine; the engine func is refused at once."""
    d = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    d.double()
    batch = Batch(torch.linspace(0.1, 1.0, 12, dtype=torch.float64).view(6, 2))
    draws = Draws(torch.ones(6, 2, dtype=torch.float64).cumsum(0))
    value, _ = DiscriminatorObjective(Negative(), d, ObjectiveSettings())(batch, draws, weights())
    value.backward()
    assert d[0].weight.grad.abs().max() > 0
    GeneratorObjective(Negative(), d, ObjectiveSettings())(batch, draws, weights())[0].backward()
    with pytest.raises(GanBookError, match="batch normalization"):
        DiscriminatorObjective(Negative(), d, ObjectiveSettings(engine="func"))

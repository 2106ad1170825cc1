"""The loop and the state: schedules arrive, the average is right, divergence stops a run."""

from __future__ import annotations

import ast
import copy
import inspect
import math

import pytest
import torch
from torch import nn

import gan_book as gb
from gan_book import augment, training
from gan_book.data.batches import Batches
from gan_book.data.toys import ring
from gan_book.errors import GanBookError
from gan_book.processes import Processes, resolve_device
from gan_book.training import (
    Guard,
    TrainingDiverged,
    build_networks,
    run_steps,
    start_training,
    update_average,
)
from tests.tiny import ADAPTIVE, pictures, tiny

CPU = Processes(0, 1, torch.device("cpu"))


def start(recipe=None, images=None, seed=0, precision="fp32"):
    recipe = recipe or tiny()
    images = images or pictures(classes=recipe.num_classes)
    batches = Batches(images, None, recipe.batch_size, seed=seed, flip=recipe.flip)
    return start_training(recipe, batches, CPU, seed=seed, precision=precision)


def vector(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_the_loop_fits_on_one_screen():
    tree = ast.parse(inspect.getsource(training))
    loop = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "run_steps")
    assert (loop.end_lineno or 0) - loop.lineno < 60


def test_networks_come_from_the_seed_and_leave_global_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_networks(tiny(), 1)
    assert torch.equal(torch.rand(3), expected)
    again, other = build_networks(tiny(), 1), build_networks(tiny(), 2)
    assert all(torch.equal(vector(a), vector(b)) for a, b in zip(first, again, strict=True))
    assert not torch.equal(vector(first[0]), vector(other[0]))


def test_average_against_its_formula_and_buffers_are_copied():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = copy.deepcopy(net)
    start_value = vector(average)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1.0)
        net[1].running_mean.fill_(3.0)
        net[1].num_batches_tracked.fill_(9)
    update_average(average, net, 0.75)
    assert torch.allclose(vector(average), 0.75 * start_value + 0.25 * vector(net))
    assert torch.equal(average[1].running_mean, torch.full((2,), 3.0))
    assert int(average[1].num_batches_tracked) == 9


def test_average_half_life():
    """After one half-life of images, half of the old weights is left, whatever the batch size."""
    for batch in (4, 16):
        state = start(tiny(batch_size=batch, ema_half_life=160, ema_rampup=0.0))
        assert state.ema_decay() ** (160 / batch) == pytest.approx(0.5)
    state = start(tiny(ema_half_life=100, ema_rampup=0.05))
    state.images = 400
    assert state.ema_decay() == pytest.approx(0.5 ** (8 / 20))
    assert start(tiny(ema_half_life=0)).ema_decay() == 0.0


def test_schedules_reach_optimizers_and_penalties():
    recipe = tiny(d_lr_factor=4, beta2={"start": 0.9, "end": 0.99, "images": 240})
    state = start(recipe)
    state.images = 120
    state.set_schedules()
    group_g, group_d = state.optimizer_g.param_groups[0], state.optimizer_d.param_groups[0]
    assert group_g["lr"] == pytest.approx(recipe.lr.value(120))
    assert group_d["lr"] == pytest.approx(4 * recipe.lr.value(120))
    assert group_d["betas"] == (0.0, pytest.approx(0.945))
    assert float(state.weights.r1) == pytest.approx(0.55)
    assert float(state.weights.r2) == pytest.approx(0.55)


def test_one_step_is_d_then_g_on_a_fresh_batch():
    """The loop equals the same updates written out by hand."""
    state, hand = start(), start()
    run_steps(state, 2)
    for _ in range(2):
        hand.set_schedules()
        for update in (hand.update_d, hand.update_g):
            update(hand.batches.next(), hand.draw(), hand.weights)
        update_average(hand.average, hand.generator, hand.ema_decay())
        hand.step, hand.images = hand.step + 1, hand.images + 8
    for name in ("generator", "discriminator", "average"):
        assert torch.equal(vector(getattr(state, name)), vector(getattr(hand, name)))
    assert (state.step, state.images, state.batches.drawn) == (2, 16, 32)


def test_each_update_moves_its_own_network_only():
    state = start()
    state.set_schedules()
    before = vector(state.generator), vector(state.discriminator)
    state.update_d(state.batches.next(), state.draw(), state.weights)
    assert torch.equal(vector(state.generator), before[0])
    middle = vector(state.discriminator)
    assert not torch.equal(middle, before[1])
    state.update_g(state.batches.next(), state.draw(), state.weights)
    assert torch.equal(vector(state.discriminator), middle)
    assert not torch.equal(vector(state.generator), before[0])
    assert all(p.grad is None for p in state.average.parameters())


@pytest.mark.parametrize("setting", ["r1", "r2", "gp"])
def test_training_really_calls_each_penalty(setting):
    """Weight 0 against weight 10 must change what training does, for each penalty by itself."""
    changes = {"r1": 0.0, "r2": 0.0}
    without, with_it = start(tiny(**changes)), start(tiny(**{**changes, setting: 10.0}))
    for state in (without, with_it):
        run_steps(state, 3)
    assert not torch.allclose(vector(without.discriminator), vector(with_it.discriminator))


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "hinge"},
        {"loss": "non-saturating"},
        {"flip": True},
        {"d_steps": 2},
        {"policy": ["cutout"], "augment": "fixed", "augment_p": 0.5},
        {"penalty_form": "finite-difference"},
        {"beta1": 0.5},
    ],
    ids=lambda c: next(iter(c)),
)
def test_training_really_uses_each_setting(change):
    base, changed = start(), start(tiny(**change))
    for state in (base, changed):
        run_steps(state, 2)
    assert not torch.equal(vector(base.generator), vector(changed.generator))


def test_labels_matter_in_training():
    images = pictures(classes=4)
    a, b = (start(tiny(num_classes=4), images) for _ in range(2))
    b.batches._labels = (images.labels + 1) % 4
    for state in (a, b):
        run_steps(state, 2)
    assert not torch.equal(vector(a.generator), vector(b.generator))


def test_two_runs_are_identical_and_seeds_differ():
    images = pictures()
    runs = [gb.train(tiny(**ADAPTIVE), images, steps=8, seed=s, progress=False) for s in (0, 0, 1)]
    grids = [r.sample(4, seed=3) for r in runs]
    assert torch.equal(grids[0], grids[1])
    assert not torch.equal(grids[0], grids[2])


class Memory(nn.Module):
    """Rates pictures it knows 1 and others 0; or, if it generalizes, all rough ones 1."""

    def __init__(self, known: torch.Tensor, everything_real: bool) -> None:
        super().__init__()
        self.known, self.everything_real = known, everything_real

    def forward(self, x, labels=None):
        if self.everything_real:
            return (x.flatten(1).std(1) > 0.4).float()
        return (torch.cdist(x.flatten(1), self.known).min(1).values < 1e-3).float()


@pytest.mark.parametrize("everything_real", [False, True])
def test_controller_moves_p_by_overfitting(everything_real):
    """A D that knows the training pictures by heart raises p; one that generalizes lowers it."""
    from gan_book.control import Controlled
    from gan_book.data import to_float

    images = pictures(80)
    split = images.split()
    state = start(tiny(**ADAPTIVE), images)
    watcher = Controlled(state, images, split)
    state.discriminator = Memory(to_float(images.images[split.train]).flatten(1), everything_real)
    state.step, state.p = watcher.every, torch.tensor(0.0)
    state.controller.p.fill_(0.0)
    watcher(state, {})
    if everything_real:
        assert float(state.p) == 0.0
        state.controller.p.fill_(0.5)
        watcher(state, {})
        assert float(state.p) < 0.5
    else:
        assert float(state.p) == pytest.approx(watcher.every * 8 / 800)
    before = float(state.p)
    state.step = watcher.every + 1
    watcher(state, {})
    assert float(state.p) == before or watcher.every == 1


def test_points_train_too():
    run = gb.train("ring", ring(), steps=3, progress=False)
    assert run.sample(5).shape == (5, 2)
    with pytest.raises(GanBookError, match="makes points"):
        gb.train("ring", pictures(), progress=False)


def test_divergence_stops_with_a_diagnosis_and_keeps_the_last_good_checkpoint(tmp_path):
    def poison(state, logs):
        if state.step == 10:
            with torch.no_grad():
                next(state.discriminator.parameters()).fill_(math.nan)

    with pytest.raises(TrainingDiverged) as error:
        gb.train(tiny(), pictures(), tmp_path / "run", progress=False, callbacks=[poison])
    text = str(error.value)
    assert "not finite" in text
    assert "learning rate" in text
    assert gb.load_run(tmp_path / "run").sample(2).shape == (2, 3, 8, 8)
    saved = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved[-1] == "step-000000008.safetensors"


def test_guard_averages_between_log_points_and_reads_only_there():
    lines = []
    state = start()
    guard = Guard(3, lambda s, averages: lines.append(averages))
    for value in (1.0, 2.0, 6.0, 5.0):
        state.step += 1
        guard(state, {"d_loss": torch.tensor(value)})
    assert lines == [{"d_loss": 3.0}]
    guard.flush(state)
    guard.flush(state)
    assert lines[1:] == [{"d_loss": 5.0}]


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    for bad, needle in (("tpu9", "no device"), ("mps", "cpu or cuda"), ("", "no device")):
        with pytest.raises(GanBookError, match=needle):
            resolve_device(bad)
    if not torch.cuda.is_available():
        assert resolve_device("auto").type == "cpu"
        with pytest.raises(GanBookError, match="no CUDA"):
            resolve_device("cuda")


def test_machine_settings_are_put_back():
    matmul = torch.backends.cuda.matmul
    before = torch.get_num_threads(), torch.backends.cudnn.allow_tf32, matmul.allow_tf32
    try:
        matmul.allow_tf32 = True
        with training.machine_settings(tiny(cpu_threads=1)):
            assert torch.get_num_threads() == 1
            assert not torch.backends.cudnn.allow_tf32
            assert not matmul.allow_tf32
        assert matmul.allow_tf32
    finally:
        matmul.allow_tf32 = before[2]
    assert (torch.get_num_threads(), torch.backends.cudnn.allow_tf32, matmul.allow_tf32) == before


def test_bf16_trains_close_to_fp32():
    """One step in bf16 points the same way as in fp32: the cosine of the two updates is high."""
    updates = []
    for precision in ("fp32", "bf16"):
        state = start(precision=precision)
        before = vector(state.discriminator)
        state.set_schedules()
        state.update_d(state.batches.next(), state.draw(), state.weights)
        updates.append(vector(state.discriminator) - before)
    cosine = torch.nn.functional.cosine_similarity(*updates, dim=0)
    assert not torch.equal(*updates)
    assert float(cosine) > 0.8


def test_compiled_training_follows_eager(tmp_path):
    """20 steps with the compiled objective (traced, not code-generated) against eager."""
    eager, compiled = start(), start(tiny(compile=True))
    for side in ("update_d", "update_g"):
        update = getattr(compiled, side)
        inner = update.objective._orig_mod
        update.objective = torch.compile(inner, fullgraph=True, dynamic=False, backend="aot_eager")
    for state in (eager, compiled):
        run_steps(state, 20)
    assert torch.allclose(vector(eager.generator), vector(compiled.generator), atol=1e-3)
    assert torch.allclose(vector(eager.discriminator), vector(compiled.discriminator), atol=1e-3)


def test_the_controller_lives_where_training_does(monkeypatch):
    """p on the CPU and logits on a GPU cannot be added in place."""
    places = []

    def controller(**options):
        places.append(options.get("device"))
        return augment.OverfittingController(**options)

    monkeypatch.setattr(training, "OverfittingController", controller)
    start(tiny(**ADAPTIVE))
    assert places == [CPU.device]


def test_a_recorded_graph_keeps_its_own_logs():
    """The loop joins both logs in a new dict: a recorded update returns the same one each time."""
    state = start()
    own = {"d_loss": torch.tensor(1.0)}
    state.update_d = lambda *_: own
    run_steps(state, 1)
    assert set(own) == {"d_loss"}


def test_a_ramp_over_no_images_begins_at_its_end():
    state = start(tiny(beta2={"start": 0.5, "end": 0.9, "images": 0}))
    assert state.optimizer_d.param_groups[0]["betas"] == (0.0, 0.9)


def test_networks_that_do_not_fit_the_samples_get_a_sentence():
    # the generator says how many numbers a point has; the discriminator has to take as many
    for side, option, wanted in (("generator", "out", 3), ("discriminator", "inputs", 2)):
        with pytest.raises(GanBookError, match=rf"wants samples \({wanted},\)"):
            build_networks(gb.recipe("ring", **{side: {option: 3}}), 0)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("x: can't allocate memory: y")],
)
def test_memory_that_runs_out_gets_a_sentence(error):
    def too_large(state, logs):
        raise error

    with pytest.raises(GanBookError, match="smaller batch_size than 8"):
        gb.train(tiny(), pictures(), steps=1, progress=False, callbacks=[too_large])


def test_the_diagnosis_names_the_penalty_in_use():
    state = start(tiny(r1=0.0, r2=0.0, gp=5.0))
    state.set_schedules()
    assert "raise gp (now 5)" in training.diagnosis(state, {"d_loss": math.nan}, ["d_loss"])

"""The fields of a recipe, their types and ranges, and the checker that turns a table into one.

Schedules count images shown to the discriminator, never steps, so that a recipe means the same
thing at another batch size and in another number of slices.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import brief, known, need

LOSSES = ("relativistic", "non-saturating", "saturating", "least-squares", "hinge", "wasserstein")
FORMS = ("exact", "finite-difference")
PRECISIONS = ("auto", "fp32", "bf16", "probe")
POLICIES = ("flip", "color", "translation", "cutout")
LARGEST_IMAGE_COUNT = 10**12


@dataclass(frozen=True)
class Ramp:
    """A value that moves from ``start`` to ``end`` on half a cosine over ``images``, then stays.

    ``value(n) = end + (start - end) * (1 + cos(pi * min(n / images, 1))) / 2``; with ``images = 0``
    the value is ``end`` throughout. In TOML a plain number is a constant, a table a ramp:
    ``lr = { start = 2e-4, end = 5e-5, images = 400_000 }``.
    """

    start: float
    end: float
    images: int = 0

    def value(self, images_seen: int) -> float:
        if self.images <= 0 or images_seen >= self.images:
            return self.end
        share = 0.5 * (1.0 + math.cos(math.pi * images_seen / self.images))
        return self.end + (self.start - self.end) * share

    @property
    def constant(self) -> bool:
        return self.start == self.end or self.images == 0


def _limits(low: float | None = None, high: float | None = None, **extra: Any) -> dict[str, Any]:
    return {"low": low, "high": high, **extra}


@dataclass(frozen=True)
class Recipe:
    """The settings of a run, besides the pictures, the seed and the device.

    ``size`` is (height, width) in pixels, weights of penalties multiply ``0.5 * E |grad|^2``
    (``r1``, ``r2``) or ``E (|grad| - 1)^2`` (``gp``), learning rates are Adam's, and all
    ``*_every`` and ``*_images`` settings count images.
    """

    name: str
    summary: str
    generator: Mapping[str, Any]
    discriminator: Mapping[str, Any]
    total_images: int = field(metadata=_limits(1, LARGEST_IMAGE_COUNT))
    batch_size: int = field(metadata=_limits(1, 65_536))
    size: tuple[int, int] = field(default=(32, 32), metadata=_limits(1, 4096))
    channels: int = field(default=3, metadata=_limits(1, 4, choices=(1, 3)))
    num_classes: int = field(default=0, metadata=_limits(0, 100_000))
    # the game
    loss: str = field(default="relativistic", metadata=_limits(choices=LOSSES))
    r1: Ramp = field(default=Ramp(0.0, 0.0), metadata=_limits(0.0, 1e9))
    r2: Ramp = field(default=Ramp(0.0, 0.0), metadata=_limits(0.0, 1e9))
    gp: Ramp = field(default=Ramp(0.0, 0.0), metadata=_limits(0.0, 1e9))
    penalty_form: str = field(default="exact", metadata=_limits(choices=FORMS))
    path_length: float = field(default=0.0, metadata=_limits(0.0, 1e6))
    d_steps: int = field(default=1, metadata=_limits(1, 100))
    # augmentation of what D sees; adaptive: p follows D's overfitting on held-out pictures
    policy: tuple[str, ...] = field(default=(), metadata=_limits(choices=POLICIES))
    augment: str = field(default="none", metadata=_limits(choices=("none", "fixed", "adaptive")))
    augment_p: Ramp = field(default=Ramp(0.0, 0.0), metadata=_limits(0.0, 1.0))
    augment_target: float = field(default=0.6, metadata=_limits(0.0, 1.0))
    augment_speed_images: int = field(default=100_000, metadata=_limits(1, LARGEST_IMAGE_COUNT))
    flip: bool = False
    # optimization
    lr: Ramp = field(default=Ramp(2e-4, 2e-4), metadata=_limits(0.0, 10.0))
    d_lr_factor: float = field(default=1.0, metadata=_limits(1e-6, 1e6))
    beta1: float = field(default=0.0, metadata=_limits(0.0, 0.999999))
    beta2: Ramp = field(default=Ramp(0.99, 0.99), metadata=_limits(0.0, 0.999999))
    eps: float = field(default=1e-8, metadata=_limits(1e-12, 1.0))
    ema_half_life: int = field(default=10_000, metadata=_limits(0, LARGEST_IMAGE_COUNT))
    ema_rampup: float = field(default=0.05, metadata=_limits(0.0, 1.0))
    # how the machine does it
    precision: str = field(default="auto", metadata=_limits(choices=PRECISIONS))
    compile: bool = False
    channels_last: bool = False
    fused: bool = True
    cuda_graphs: bool = False
    cpu_threads: int = field(default=0, metadata=_limits(0, 1024))
    accumulate: int = field(default=1, metadata=_limits(1, 1024))  # parts of a batch, one by one
    # what is written, in images
    log_every: int = field(default=2_000, metadata=_limits(1, LARGEST_IMAGE_COUNT))
    sample_every: int = field(default=20_000, metadata=_limits(1, LARGEST_IMAGE_COUNT))
    checkpoint_every: int = field(default=20_000, metadata=_limits(1, LARGEST_IMAGE_COUNT))
    keep_checkpoints: int = field(default=2, metadata=_limits(1, 1_000))

    @property
    def points(self) -> bool:
        """True for games on the plane: the MLP makes points (N, 2), not pictures."""
        return self.generator.get("model") == "mlp"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (C, H, W), or (2,) for points; (out,) if G has that option."""
        return (self.generator.get("out", 2),) if self.points else (self.channels, *self.size)

    @property
    def total_steps(self) -> int:
        """Steps to the end of the recipe."""
        return math.ceil(self.total_images / self.images_per_step)

    @property
    def images_per_step(self) -> int:
        """Real images that D sees in one step, the unit of all schedules."""
        return self.batch_size * self.d_steps

    def steps_of(self, images: int) -> int:
        """The number of steps, at least one, in which about ``images`` images are seen."""
        return max(1, round(images / self.images_per_step))

    def network_options(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """All keywords of ``models.build_generator`` or its twin, for ``generator`` or
        ``discriminator`` as ``table``."""
        options = {**table, "num_classes": self.num_classes}
        return options if self.points else options | {"size": self.size, "channels": self.channels}

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, text, lists and dicts for JSON; ``from_dict`` reads it back."""
        table: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Ramp):
                value = value.end if value.constant else dataclasses.asdict(value)
            elif isinstance(value, Mapping):
                value = {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}
            elif isinstance(value, tuple):
                value = list(value)
            table[f.name] = value
        return table


def from_dict(table: Mapping[str, Any], *, where: str = "the recipe") -> Recipe:
    """Check a table of settings into a ``Recipe``; ``GanBookError`` names the first thing wrong."""
    need(isinstance(table, Mapping), f"{where} must be a table of settings, not {brief(table)}.")
    fields = {f.name: f for f in dataclasses.fields(Recipe)}
    for key in table:
        known(f"setting in {where}", key, fields)
    values = {key: _convert(fields[key], value, where) for key, value in table.items()}
    values.setdefault("summary", "")
    for f in fields.values():
        given = f.name in values or f.default is not dataclasses.MISSING
        need(given, f"{where} lacks the setting '{f.name}'.")
    return _consistent(Recipe(**values), where)


def _consistent(recipe: Recipe, where: str) -> Recipe:
    """Refuse settings that are possible one by one but not together."""
    fixed, p = recipe.augment == "fixed", recipe.augment_p
    rules = {
        "policy is set but augment is 'none'; set augment to 'fixed' or 'adaptive'.": (
            recipe.augment != "none" or not recipe.policy
        ),
        f"augment is '{recipe.augment}' but policy is empty; name operations such as "
        "policy = ['color', 'translation', 'cutout'].": recipe.augment == "none" or recipe.policy,
        "augment is 'fixed' but augment_p is 0, which augments nothing; set it, for example to "
        "0.3.": not fixed or p.start + p.end > 0,
        f"augment_p has no effect where augment is '{recipe.augment}'; remove it or set augment "
        "to 'fixed'.": fixed or p == Ramp(0.0, 0.0),
        "points in the plane cannot be flipped or augmented.": (
            not recipe.points or not (recipe.policy or recipe.flip)
        ),
        "a CUDA graph records beta2 once, so cuda_graphs needs a constant beta2.": (
            not recipe.cuda_graphs or recipe.beta2.constant
        ),
        "finite differences estimate r1 and r2 only; set gp to 0 or penalty_form to 'exact'.": (
            recipe.penalty_form == "exact" or recipe.gp.start + recipe.gp.end == 0
        ),
        "accumulate must divide batch_size.": recipe.batch_size % recipe.accumulate == 0,
        "both networks must name their 'model', for example 'dcgan'.": (
            "model" in recipe.generator and "model" in recipe.discriminator
        ),
        "an 'mlp' makes points, so both networks must be one, or none.": (
            (recipe.discriminator.get("model") == "mlp") == recipe.points
        ),
        "size, channels and num_classes: each belongs to the recipe, not to a network.": (
            not {"size", "channels", "num_classes"} & {*recipe.generator, *recipe.discriminator}
        ),
    }
    for sentence, holds in rules.items():
        need(holds, f"{where}: {sentence}")
    return recipe


def _convert(f: dataclasses.Field[Any], value: Any, where: str) -> Any:
    """One setting to its declared type, within its limits."""
    what, kind, limits = f"{where}: '{f.name}'", str(f.type), f.metadata
    if kind == "str":
        return _text(value, what, limits.get("choices"))
    if kind == "bool":
        need(isinstance(value, bool), f"{what} must be true or false, not {brief(value)}.")
        return value
    if kind in ("int", "float"):
        return _number(value, what, limits, whole=kind == "int")
    if kind == "Ramp":
        return _ramp(value, what, limits)
    if kind == "tuple[int, int]":
        pair = [value, value] if isinstance(value, int) else value
        fits = isinstance(pair, list | tuple) and len(pair) == 2
        need(fits, f"{what} must be one number or [height, width], not {brief(value)}.")
        return tuple(_number(v, what, limits, whole=True) for v in pair)
    if kind == "tuple[str, ...]":
        listed = isinstance(value, list | tuple)
        need(listed, f"{what} must be a list of names, not {brief(value)}.")
        names = tuple(_text(v, what, limits.get("choices")) for v in value)
        need(len(set(names)) == len(names), f"{what} names an operation twice.")
        return names
    return _options(value, what)


def _text(value: Any, what: str, choices: tuple[str, ...] | None) -> str:
    fits = isinstance(value, str) and len(value) <= 10_000
    need(fits, f"{what} must be text, not {brief(value)}.")
    return _one_of(choices, value, what)


def _one_of(choices: tuple[Any, ...] | None, value: Any, what: str) -> Any:
    listed = ", ".join(map(str, choices or ()))
    fits = not choices or value in choices
    need(fits, f"{what} is {brief(value)}; it must be one of: {listed}.")
    return value


def _number(value: Any, what: str, limits: Mapping[str, Any], whole: bool = False) -> Any:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    need(plain and abs(value) < math.inf, f"{what} must be a number (finite), not {brief(value)}.")
    need(not whole or value == int(value), f"{what} must be a whole number, not {brief(value)}.")
    low, high, choices = limits["low"], limits["high"], limits.get("choices")
    fits = low <= value <= high
    need(fits, f"{what} is {brief(value)}; it must lie between {low:g} and {high:g}.")
    return _one_of(choices, int(value) if whole else float(value), what)


def _ramp(value: Any, what: str, limits: Mapping[str, Any]) -> Ramp:
    if isinstance(value, Ramp):
        value = dataclasses.asdict(value)
    if not isinstance(value, Mapping):
        number = _number(value, what, limits)
        return Ramp(number, number)
    keys = {"start", "end", "images"}
    need(set(value) == keys, f"{what} must be a number or a table with start, end and images.")
    return Ramp(
        start=_number(value["start"], what, limits),
        end=_number(value["end"], what, limits),
        images=_number(value["images"], what, _limits(0, LARGEST_IMAGE_COUNT), whole=True),
    )


def _options(value: Any, what: str) -> dict[str, Any]:
    """A network's table: text, numbers, booleans or lists of them; the network checks the rest."""
    table = isinstance(value, Mapping)
    need(table, f"{what} must be a table such as {{ model = 'dcgan' }}, not {brief(value)}.")
    options: dict[str, Any] = {}
    for key, entry in value.items():
        entries = tuple(entry) if isinstance(entry, list | tuple) else (entry,)
        fits = isinstance(key, str) and len(entries) <= 64
        need(fits, f"{what}: the option {brief(key)} is not understood.")
        for item in entries:
            kind = isinstance(item, str | int | float)
            need(kind, f"{what}: option '{key}' must be text, a number or a list of them.")
            finite = not isinstance(item, float) or math.isfinite(item)
            need(finite, f"{what}: option '{key}' must be finite.")
        options[key] = entries if isinstance(entry, list | tuple) else entry
    need(isinstance(options.get("model", ""), str), f"{what}: 'model' must be text.")
    return options

"""The fields of a recipe, their types and ranges, and the checker that turns a table into one.

Schedules count images shown to the discriminator, never steps, so that a recipe means the same
thing at another batch size and in another number of slices.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import GanBookError

LOSSES = ("relativistic", "non-saturating", "saturating", "least-squares", "hinge", "wasserstein")
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
        return self.end + (self.start - self.end) * 0.5 * (
            1.0 + math.cos(math.pi * images_seen / self.images)
        )

    @property
    def constant(self) -> bool:
        return self.start == self.end or self.images == 0


def _limits(low: float | None = None, high: float | None = None, **extra: Any) -> dict[str, Any]:
    return {"low": low, "high": high, **extra}


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run, besides the pictures, the seed and the device.

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
    penalty_form: str = field(
        default="exact", metadata=_limits(choices=("exact", "finite-difference"))
    )
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
    precision: str = field(
        default="auto", metadata=_limits(choices=("auto", "fp32", "bf16", "probe"))
    )
    compile: bool = False
    channels_last: bool = False
    fused: bool = True
    cuda_graphs: bool = False
    cpu_threads: int = field(default=0, metadata=_limits(0, 1024))
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
        """Shape of one sample: (C, H, W), or (2,) for points."""
        return (2,) if self.points else (self.channels, *self.size)

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

    def fingerprint(self) -> str:
        """sha256 of the settings, name and summary left out: equal recipes train alike."""
        table = {k: v for k, v in self.to_dict().items() if k not in ("name", "summary")}
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def from_dict(table: Mapping[str, Any], *, where: str = "the recipe") -> Recipe:
    """Check a table of settings into a ``Recipe``; ``GanBookError`` names the first thing wrong."""
    if not isinstance(table, Mapping):
        raise GanBookError(f"{where} must be a table of settings, not {_kind(table)}.")
    fields = {f.name: f for f in dataclasses.fields(Recipe)}
    for key in table:
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "see `gan-book recipes`."
            raise GanBookError(f"{where} has an unknown setting '{key}'; {hint}")
    values = {key: _convert(fields[key], value, where) for key, value in table.items()}
    missing = [
        f.name
        for f in fields.values()
        if f.default is dataclasses.MISSING and f.name not in values and f.name != "summary"
    ]
    if missing:
        raise GanBookError(f"{where} lacks the setting '{missing[0]}'.")
    values.setdefault("summary", "")
    return _consistent(Recipe(**values), where)


def _consistent(recipe: Recipe, where: str) -> Recipe:
    """Refuse settings that are possible one by one but not together."""
    if recipe.augment == "none" and recipe.policy:
        raise GanBookError(
            f"{where}: policy is set but augment is 'none'; set augment to 'fixed' or 'adaptive'."
        )
    if recipe.augment != "none" and not recipe.policy:
        raise GanBookError(
            f"{where}: augment is '{recipe.augment}' but policy is empty; name operations such as "
            "policy = ['color', 'translation', 'cutout']."
        )
    if recipe.augment == "fixed" and recipe.augment_p.start + recipe.augment_p.end == 0:
        raise GanBookError(
            f"{where}: augment is 'fixed' but augment_p is 0, which augments nothing; "
            "set augment_p, for example to 0.3."
        )
    if recipe.augment != "fixed" and recipe.augment_p != Ramp(0.0, 0.0):
        raise GanBookError(
            f"{where}: augment_p has no effect where augment is '{recipe.augment}'; "
            "remove it or set augment to 'fixed'."
        )
    if recipe.points and (recipe.policy or recipe.flip):
        raise GanBookError(f"{where}: points in the plane cannot be flipped or augmented.")
    if recipe.cuda_graphs and not recipe.beta2.constant:
        raise GanBookError(
            f"{where}: a CUDA graph records beta2 once, so cuda_graphs needs a constant beta2."
        )
    if recipe.penalty_form == "finite-difference" and recipe.gp.end + recipe.gp.start > 0:
        raise GanBookError(
            f"{where}: finite differences estimate r1 and r2 only; "
            "set gp to 0 or penalty_form to 'exact'."
        )
    for side in ("generator", "discriminator"):
        if "model" not in getattr(recipe, side):
            raise GanBookError(f"{where}: [{side}] must name its 'model', for example 'dcgan'.")
        for key in ("size", "channels", "num_classes"):
            if key in getattr(recipe, side):
                raise GanBookError(f"{where}: '{key}' belongs to the recipe, not to its [{side}].")
    if (recipe.discriminator["model"] == "mlp") != recipe.points:
        raise GanBookError(
            f"{where}: an 'mlp' makes points, so both networks must be one, or none."
        )
    return recipe


def _kind(value: object) -> str:
    names = {bool: "true/false", int: "a whole number", float: "a number", str: "text"}
    return names.get(type(value), "a table" if isinstance(value, Mapping) else type(value).__name__)


def _convert(f: dataclasses.Field[Any], value: Any, where: str) -> Any:
    """One setting to its declared type, within its limits."""
    what = f"{where}: '{f.name}'"
    kind = str(f.type)
    if kind == "str":
        return _text(value, what, f.metadata.get("choices"))
    if kind == "bool":
        if not isinstance(value, bool):
            raise GanBookError(f"{what} must be true or false, not {_show(value)}.")
        return value
    if kind == "int":
        return _number(value, what, f.metadata, whole=True)
    if kind == "float":
        return _number(value, what, f.metadata)
    if kind == "Ramp":
        return _ramp(value, what, f.metadata)
    if kind == "tuple[int, int]":
        pair = [value, value] if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise GanBookError(f"{what} must be one number or [height, width], not {_show(value)}.")
        return tuple(_number(v, what, f.metadata, whole=True) for v in pair)
    if kind == "tuple[str, ...]":
        if not isinstance(value, list | tuple):
            raise GanBookError(f"{what} must be a list of names, not {_show(value)}.")
        names = tuple(_text(v, what, f.metadata.get("choices")) for v in value)
        if len(set(names)) < len(names):
            raise GanBookError(f"{what} names an operation twice.")
        return names
    return _options(value, what)


def _show(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: Any, what: str, choices: tuple[str, ...] | None) -> str:
    if not isinstance(value, str) or len(value) > 10_000:
        raise GanBookError(f"{what} must be text, not {_show(value)}.")
    if choices and value not in choices:
        raise GanBookError(f"{what} is {_show(value)}; it must be one of: {', '.join(choices)}.")
    return value


def _number(value: Any, what: str, limits: Mapping[str, Any], whole: bool = False) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GanBookError(f"{what} must be a number, not {_show(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise GanBookError(f"{what} must be a finite number, not {value}.")
    if whole and value != int(value):
        raise GanBookError(f"{what} must be a whole number, not {value}.")
    low, high, choices = limits.get("low"), limits.get("high"), limits.get("choices")
    if (low is not None and value < low) or (high is not None and value > high):
        raise GanBookError(f"{what} is {_show(value)}; it must lie between {low:g} and {high:g}.")
    value = int(value) if whole else float(value)
    if choices and value not in choices:
        raise GanBookError(f"{what} is {value}; it must be one of: {', '.join(map(str, choices))}.")
    return value


def _ramp(value: Any, what: str, limits: Mapping[str, Any]) -> Ramp:
    if isinstance(value, Ramp):
        value = dataclasses.asdict(value)
    if not isinstance(value, Mapping):
        number = _number(value, what, limits)
        return Ramp(number, number)
    if set(value) != {"start", "end", "images"}:
        raise GanBookError(f"{what} must be a number or a table with start, end and images.")
    return Ramp(
        start=_number(value["start"], what, limits),
        end=_number(value["end"], what, limits),
        images=_number(value["images"], what, _limits(0, LARGEST_IMAGE_COUNT), whole=True),
    )


def _options(value: Any, what: str) -> dict[str, Any]:
    """A network's table: text, numbers, booleans or lists of them; the network checks the rest."""
    if not isinstance(value, Mapping):
        raise GanBookError(
            f"{what} must be a table such as {{ model = 'dcgan' }}, not {_show(value)}."
        )
    options: dict[str, Any] = {}
    for key, entry in value.items():
        entries = entry if isinstance(entry, list | tuple) else [entry]
        if not isinstance(key, str) or len(entries) > 64:
            raise GanBookError(f"{what}: the option {_show(key)} is not understood.")
        for item in entries:
            if not isinstance(item, str | int | float | bool):
                raise GanBookError(
                    f"{what}: option '{key}' must be text, a number or a list of them."
                )
            if isinstance(item, float) and not math.isfinite(item):
                raise GanBookError(f"{what}: option '{key}' must be finite.")
        options[key] = tuple(entry) if isinstance(entry, list | tuple) else entry
    if not isinstance(options.get("model", ""), str):
        raise GanBookError(f"{what}: 'model' must be text.")
    return options

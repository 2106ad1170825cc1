"""What all styles share: coordinates, antialiased coverage, noise and mixing of colors.

Arithmetic is float32, one rounded operation at a time (add, subtract, multiply, divide, square
root, floor, minimum, maximum, elementwise, each a separate pass): IEEE 754 fixes the result of
each to the last bit, on every machine. Sines are polynomials of such operations, because the
last bit of a mathematical library differs; sums over axes and matrix products are avoided,
because their order of summation and fused multiplication differ. The last step rounds to bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .dice import Array, Dice, hash01


def sine(turns: Array) -> Array:
    """sin(2 pi turns) within 0.0011, by Bhaskara-like parabolas: rounded arithmetic only."""
    t = turns - np.rint(turns)
    y = t * (8.0 - 16.0 * np.abs(t))
    return y * (0.775 + 0.225 * np.abs(y))


def cosine(turns: Array) -> Array:
    """cos(2 pi turns); see `sine`."""
    return sine(turns + 0.25)


def clip01(v: Array) -> Array:
    """v limited to [0, 1]."""
    return np.minimum(np.maximum(v, 0.0), 1.0)


def smooth(low: float | Array, high: float | Array, v: Array) -> Array:
    """0 below low, 1 above high, a smooth cubic between them."""
    t = clip01((v - low) / (high - low))
    return t * t * (3.0 - 2.0 * t)


def hypotenuse(a: Array, b: Array) -> Array:
    """sqrt(a^2 + b^2), by correctly rounded operations."""
    return np.sqrt(a * a + b * b)


def noise1(key: Array, position: Array) -> Array:
    """Smooth noise in [0, 1) along a line: lattice values at the integers, cubic between."""
    cell = np.floor(position)
    f = position - cell
    index = cell.astype(np.int32)
    left = hash01(key, index)
    right = hash01(key, index + 1)
    return left + (right - left) * (f * f * (3.0 - 2.0 * f))


class Easel:
    """n canvases of one style, painted together.

    x (1, 1, W) and y (1, H, 1): pixel centers; the shorter side runs from -1 to 1, y downward.
    ax, ay: half the width and height (the shorter one is 1). px: size of a pixel.
    tones: float32 (n, 6, 3), colors of each picture's palette, 0 ... 255.
    canvas: float32 (3, n, H, W), what has been painted so far.
    """

    def __init__(self, height: int, width: int, tones: Array, dice: Dice) -> None:
        short = min(height, width)
        self.ax, self.ay = width / short, height / short
        self.px = 2.0 / short
        columns = np.arange(width, dtype=np.float32) * 2 + (1 - width)
        rows = np.arange(height, dtype=np.float32) * 2 + (1 - height)
        self.x = (columns / short).astype(np.float32)[None, None, :]
        self.y = (rows / short).astype(np.float32)[None, :, None]
        self.tones = tones
        self.dice = dice
        self.n = len(tones)
        self._columns = np.ascontiguousarray(tones.transpose(2, 0, 1))  # (3, n, 6)
        self.canvas = np.zeros((3, self.n, height, width), np.float32)

    # -- colors: arrays (3, n, 1, 1) or (3, n, H, W) ------------------------------------------

    def tone(self, role: int | Array) -> Array:
        """The color of a role: an int, or an int array (n, 1, 1) or (n, H, W)."""
        if isinstance(role, int):
            return self._columns[:, :, role, None, None]
        offset = np.arange(self.n)[:, None, None] * self.tones.shape[1]
        return self._columns.reshape(3, -1)[:, role + offset]

    def choose(self, condition: Array, one: Array, other: Array) -> Array:
        """`one` where the condition (n, 1, 1) holds, else `other`."""
        return np.where(condition[None], one, other)

    def mix(self, one: Array, other: Array, t: float | Array) -> Array:
        """From `one` at t = 0 to `other` at t = 1."""
        return one + (other - one) * t

    def ramp(self, colors: Sequence[Array], t: Array) -> Array:
        """Piecewise linear through `colors` for t from 0 to 1."""
        last = len(colors) - 1
        result = colors[0]
        for k in range(last):
            result = self.mix(result, colors[k + 1], clip01(t * last - k))
        return result

    # -- painting ------------------------------------------------------------------------------

    def fill(self, color: Array) -> None:
        """Cover everything with a color."""
        self.canvas[...] = color

    def lay(self, color: Array, alpha: Array) -> None:
        """Paint a color with opacity alpha (n, H, W), 0 ... 1."""
        for c in range(3):
            plane = self.canvas[c]
            step = color[c] - plane
            step *= alpha
            plane += step

    def light(self, amount: Array) -> None:
        """Brighten (or darken, where negative) all channels by `amount` (n, H, W)."""
        self.canvas += amount

    def cover(self, distance: Array) -> Array:
        """Share of a pixel inside an edge at signed distance `distance` (negative inside)."""
        return clip01(0.5 - distance * (1.0 / self.px))

    def band(self, center: Array, half: Array, v: Array) -> Array:
        """Share of a pixel at v inside the band center - half ... center + half (box filter)."""
        scale = 1.0 / self.px
        upper = clip01((center + half - v) * scale + 0.5)
        lower = clip01((center - half - v) * scale + 0.5)
        return upper - lower

    def turned(self, turns: Array) -> tuple[Array, Array]:
        """Coordinates (u, v) rotated by an angle in turns."""
        c, s = cosine(turns), sine(turns)
        return self.x * c + self.y * s, self.y * c - self.x * s

    def steepness(self, field: Array) -> Array:
        """Length of the gradient of a field (n, H, W) per unit, by central differences."""
        scale = 0.5 / self.px
        gx, gy = np.empty_like(field), np.empty_like(field)
        gx[..., 1:-1] = (field[..., 2:] - field[..., :-2]) * scale
        gx[..., 0], gx[..., -1] = gx[..., 1], gx[..., -2]
        gy[:, 1:-1] = (field[:, 2:] - field[:, :-2]) * scale
        gy[:, 0], gy[:, -1] = gy[:, 1], gy[:, -2]
        return hypotenuse(gx, gy)

    def below(self, ridge: Array) -> Array:
        """Share of each pixel below a ridge line, heights (n, 1, W)."""
        slope = np.empty_like(ridge)
        slope[..., 1:-1] = (ridge[..., 2:] - ridge[..., :-2]) * (0.5 / self.px)
        slope[..., 0], slope[..., -1] = slope[..., 1], slope[..., -2]
        return self.cover((ridge - self.y) / np.sqrt(1.0 + slope * slope))

    # -- texture -------------------------------------------------------------------------------

    def cloud(self, scale: float, stretch: float = 1.0) -> Array:
        """Smooth noise (n, H, W) in [0, 1), `scale` lattice cells a unit, wider by `stretch`."""
        key = self.dice.key32()
        rows = (self.y + self.ay) * scale
        columns = (self.x + self.ax) * (scale / stretch)
        iy, ix = np.floor(rows), np.floor(columns)
        fy, fx = rows - iy, columns - ix
        fy, fx = fy * fy * (3.0 - 2.0 * fy), fx * fx * (3.0 - 2.0 * fx)
        ry, rx = iy[0, :, 0].astype(np.int64), ix[0, 0, :].astype(np.int64)
        ly = np.arange(ry[-1] + 2)[None, :, None]
        lx = np.arange(rx[-1] + 2)[None, None, :]
        lattice = hash01(key, ly, lx)  # (n, gy, gx)
        tall = lattice[:, ry] + (lattice[:, ry + 1] - lattice[:, ry]) * fy  # (n, H, gx)
        return tall[:, :, rx] + (tall[:, :, rx + 1] - tall[:, :, rx]) * fx

    def clouds(self, scale: float, octaves: int = 3, stretch: float = 1.0) -> Array:
        """Sum of octaves of `cloud`, in [0, 1)."""
        total = self.cloud(scale, stretch)
        weight, whole = 1.0, 1.0
        for k in range(1, octaves):
            weight *= 0.5
            whole += weight
            total = total + weight * self.cloud(scale * 2.0**k, stretch)
        return total * (1.0 / whole)

    def grain(self, amount: float) -> None:
        """Paper grain: independent noise of +-amount gray levels in each pixel."""
        h, w = self.canvas.shape[2:]
        key = self.dice.key32()
        speck = hash01(key, np.arange(h)[None, :, None], np.arange(w)[None, None, :])
        self.canvas += (speck - 0.5) * (2.0 * amount)

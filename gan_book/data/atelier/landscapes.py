"""Landscapes: dunes with a sun, mountains in mist."""

from __future__ import annotations

import numpy as np

from .dice import Array
from .easel import Easel, clip01, hypotenuse, noise1, sine, smooth
from .palettes import ACCENT, GLOW, INK, MAIN, PAPER, SHADE


def _sun(e: Easel, color: Array, x: Array, y: Array, radius: Array, halo: Array | float) -> None:
    distance = hypotenuse(e.x - x, e.y - y)  # (n, H, W)
    reach = clip01(1.0 - (distance - radius) / (radius * 2.2))
    e.lay(color, reach * reach * halo)
    e.lay(color, e.cover(distance - radius))


def dunes(e: Easel) -> None:
    """Wind-cut dunes under a low sun or a moon.

    Varies: horizon, number and height of the dunes, phase and sharpness of their crests, place
    and size of the sun, the side of the light, the hour (day, dusk, night).
    """
    d = e.dice
    hour = d.uniform()
    night, dusk = hour < 0.22, hour > 0.6
    top = e.choose(night, e.tone(INK), e.choose(dusk, e.tone(MAIN), e.tone(GLOW)))
    low = e.choose(night, e.tone(SHADE), e.choose(dusk, e.tone(GLOW), e.tone(PAPER)))
    sun = e.choose(night, e.tone(PAPER), e.choose(dusk, e.tone(PAPER), e.tone(ACCENT)))
    horizon = d.uniform(-0.4, 0.12) * e.ay
    fall = clip01((e.y + e.ay) / (horizon + e.ay + 0.15))
    e.fill(e.mix(top, low, fall * fall))
    side = d.sign()
    _sun(
        e,
        sun,
        side * d.uniform(0.1, 0.75) * e.ax,
        horizon - d.uniform(0.02, 0.6) * (horizon + e.ay),
        d.uniform(0.13, 0.3),
        d.uniform(0.15, 0.45),
    )
    far = e.choose(night, e.tone(MAIN), e.choose(dusk, e.tone(ACCENT), e.tone(GLOW)))
    colors = [e.mix(far, low, 0.35), e.mix(far, e.tone(MAIN), 0.55), e.tone(MAIN), e.tone(SHADE)]
    colors.append(e.mix(e.tone(SHADE), e.tone(INK), 0.8))
    layers = 5
    skip = d.integer(0, 2)  # the farthest dunes may be missing
    sharp = d.uniform(0.0005, 0.02)
    lean = d.uniform(0.05, 0.16) * side
    for k in range(layers):
        t = k / (layers - 1)
        base = horizon + (e.ay - horizon) * (0.06 + 0.8 * t**1.25) + d.uniform(-0.05, 0.05)
        amplitude = d.uniform(0.06, 0.13) + d.uniform(0.15, 0.34) * t
        frequency = d.uniform(0.3, 0.6) * (1.25 - 0.65 * t)
        phase = frequency * e.x + d.uniform()  # (n, 1, W)
        phase = phase + 0.06 * sine(d.uniform(0.2, 0.45) * e.x + d.uniform())
        s = sine(phase)
        crest = 1.0 - np.sqrt(s * s + sharp)
        ridge = base - amplitude * crest
        inside = e.below(ridge) * (k >= skip)
        depth = np.maximum(e.y - ridge, 0.0)  # (n, H, W)
        # The slip face begins at the crest and widens downward, away from the light.
        face = sine(2.0 * (phase + lean * depth / amplitude)) * side
        face = np.maximum(np.minimum(face * 2.5, 1.0), -1.0)
        fade = 1.0 / (1.0 + depth * 2.2)
        tint = t + (0.04 + 0.11 * fade) * face * (0.6 + 0.4 * t) + 0.1 * (1.0 - fade)
        e.lay(e.ramp(colors, clip01(tint)), inside)
    e.grain(2.5)


def mist(e: Easel) -> None:
    """Mountain ridges that fade into morning mist, with firs on the nearest.

    Varies: number, height and roughness of the ridges, where the mist lies, a pale sun or none,
    the spacing and size of the firs, warm or cold air.
    """
    d = e.dice
    warm = d.chance(0.4)
    air = e.mix(e.tone(PAPER), e.choose(warm, e.tone(ACCENT), e.tone(GLOW)), d.uniform(0.1, 0.45))
    top = e.mix(e.tone(GLOW), e.choose(warm, e.tone(GLOW), e.tone(MAIN)), d.uniform(0.0, 0.6))
    e.fill(e.mix(top, air, clip01((e.y / e.ay + 1.0) * 0.8)))
    shine = e.choose(d.chance(0.5), e.tone(PAPER), e.tone(ACCENT))
    x, y = d.uniform(-0.7, 0.7) * e.ax, d.uniform(-0.75, -0.35) * e.ay
    _sun(e, e.mix(shine, air, 0.15), x, y, d.uniform(0.1, 0.2) * d.chance(0.6) + 1e-3, 0.3)
    near = e.mix(e.tone(INK), e.tone(SHADE), d.uniform(0.0, 0.5))
    rough = d.uniform(0.42, 0.58)
    start = d.uniform(-0.55, -0.2) * e.ay
    spacing = d.uniform(0.85, 1.0)
    layers = 6
    skip = d.integer(0, 2)
    for k in range(layers):
        t = k / (layers - 1)
        base = start + (e.ay - start) * (0.16 + 0.66 * t) * spacing
        height = d.uniform(0.3, 0.62) * (1.0 - 0.45 * t)
        position: Array = e.x * d.uniform(0.7, 1.1) + d.uniform(0.0, 64.0)
        ridge: Array = np.zeros_like(position)
        weight = height
        for octave in range(5):
            lump = noise1(d.key32(), position * 2.0**octave)
            peak = 1.0 - np.abs(2.0 * lump - 1.0)  # ridged: sharp tops, wide valleys
            ridge = ridge + weight * (peak if octave < 3 else lump)
            weight = weight * rough
            if octave == 0:
                soft = base - ridge * 0.8 + 0.15 * height  # the mist follows the large forms
        ridge = base - ridge * 0.8 + 0.35 * height
        if t > 0.5:  # firs: two rows of spikes of random height, one in each cell
            rows = []
            for _ in range(2):
                cells = e.x * d.uniform(8.0, 15.0) * (1.9 - t) + d.uniform(0.0, 64.0)
                cell = np.floor(cells)
                tip = 1.0 - np.abs(2.0 * (cells - cell) - 1.0)
                grove = noise1(d.key32(), cell * 0.31)
                tall = grove * (0.35 + 0.65 * noise1(d.key32(), cell + 0.01))
                tree = tip * (0.3 + 0.7 * tip) * tall * d.uniform(0.2, 0.4) * (1.6 * t - 0.5)
                rows.append(ridge - tree)
            ridge = np.minimum(rows[0], rows[1])
        inside = e.below(ridge) * (k >= skip)
        veil = smooth(0.0, 0.75 - 0.2 * t, e.y - soft) * (1.0 - 0.85 * t)
        color = e.mix(e.mix(air, e.tone(MAIN), 0.35), near, t**1.3)
        color = e.mix(e.mix(color, e.tone(SHADE), 0.5 * (t * (1.0 - t)) * 2.0), air, veil)
        e.lay(color, inside)
    e.grain(3.0)

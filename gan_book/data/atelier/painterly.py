"""Painting by hand: brush strokes and stained glass."""

from __future__ import annotations

import math

import numpy as np

from .easel import Easel, clip01, cosine, hypotenuse, sine, smooth
from .palettes import ACCENT, GLOW, INK, MAIN, PAPER, SHADE


def strokes(e: Easel) -> None:
    """Thick brush strokes that follow a wind, from the sky down to the ground.

    Varies: the wind (angle, swirl), length, width and bend of the strokes, ridges of the
    bristles, how the colors lie from top to bottom, a few accents.
    """
    d = e.dice
    sky = d.order(3)
    order = [np.array([GLOW, PAPER, ACCENT])[sky[0]], np.array([PAPER, GLOW, GLOW])[sky[0]]]
    earth = np.array([MAIN, SHADE, ACCENT])[d.order(3)]
    bands = [e.tone(order[0]), e.tone(order[1]), e.tone(earth[0]), e.tone(earth[1]), e.tone(INK)]
    e.fill(e.ramp(bands, clip01((e.y / e.ay + 1.0) * 0.45)))
    wind = d.uniform(-0.12, 0.12)
    swirl = d.uniform(0.05, 0.2)
    fx, fy = d.uniform(0.15, 0.45), d.uniform(0.15, 0.45)
    px, py = d.uniform(), d.uniform()
    size = d.uniform(0.8, 1.2)
    lit = d.uniform(16.0, 30.0)
    layers = ((5, 4, 1.75, 0.05), (6, 6, 1.15, 0.07), (6, 6, 0.8, 0.14))
    for across_unit, down_unit, large, scatter in layers:  # from the broad brush to the fine one
        columns, rows = math.ceil(across_unit * e.ax), math.ceil(down_unit * e.ay)
        count = columns * rows
        for k in range(count):
            # a jittered lattice, visited in scattered order, covers the canvas evenly
            slot = (k * 7) % count if count % 7 else k
            x = (((slot % columns) + d.uniform()) / columns * 2.2 - 1.1) * e.ax
            y = ((slot // columns + d.uniform()) / rows * 2.2 - 1.1) * e.ay
            lean = sine(fx * x + fy * y + px) + 0.5 * sine(fy * x - fx * y + py)
            angle = wind + swirl * lean
            c, s = cosine(angle), sine(angle)
            length = d.uniform(0.26, 0.46) * size * large
            half = d.uniform(0.055, 0.1) * size * large
            dx, dy = e.x - x, e.y - y
            along = dx * c + dy * s
            across = dy * c - dx * s + d.uniform(-0.3, 0.3) / large * along * along
            t = clip01((y / e.ay + 1.0) * 0.5 + d.uniform(-scatter, scatter))
            color = e.choose(d.chance(0.06), e.tone(ACCENT), e.ramp(bands, t))
            v = across / half
            bristle = sine(v * d.uniform(0.6, 0.9) + d.uniform())
            bristle = bristle + 0.8 * sine(v * d.uniform(1.3, 2.1) + along * 0.3 + d.uniform())
            ends = np.abs(along) + half * (0.8 * v * v + 0.22 * bristle) - length
            alpha = e.cover(np.maximum(np.abs(across) - half, ends * 0.8))
            shine = 7.0 * bristle - lit * np.maximum(np.minimum(v, 1.0), -1.0) * np.abs(v)
            e.lay(color + shine[None], alpha)
    e.grain(3.0)


def glass(e: Easel) -> None:
    """A leaded window: cells of colored glass around a light.

    Varies: number and places of the cells, width of the lead, where the light stands, streaks in
    the glass, the share of each color.
    """
    d = e.dice
    side = d.integer(3, 5)  # cells along the shorter side, seeds shaken from a lattice
    columns, rows = side * round(e.ax), side * round(e.ay)
    best = np.full((e.n, e.y.shape[1], e.x.shape[2]), 1e9, np.float32)
    bx, by, level = np.zeros_like(best), np.zeros_like(best), np.zeros_like(best)
    hue = np.zeros(best.shape, np.int64)
    seeds = []
    for k in range(25 * round(e.ax) * round(e.ay)):
        x = ((k % columns) + d.uniform(0.04, 0.96)) / columns.astype(np.float32) * 2.3 - 1.15
        y = ((k // columns) + d.uniform(0.04, 0.96)) / rows.astype(np.float32) * 2.3 - 1.15
        x, y = x * e.ax + (k >= columns * rows) * 1e3, y * e.ay
        x, y = x.astype(np.float32), y.astype(np.float32)
        seeds.append((x, y))
        role = np.array([SHADE, SHADE, MAIN, MAIN, MAIN, ACCENT, ACCENT, GLOW, GLOW, PAPER])
        own_hue, own_level = role[d.integer(0, 9)], d.uniform(-1.0, 1.0)
        dx, dy = e.x - x, e.y - y
        squared = dx * dx + dy * dy
        closer = squared < best
        best = np.where(closer, squared, best)
        bx, by = np.where(closer, x, bx), np.where(closer, y, by)
        hue, level = np.where(closer, own_hue, hue), np.where(closer, own_level, level)
    edge = np.full_like(best, 1e9)  # distance to the nearest bisector: the border of the cell
    for x, y in seeds:
        dx, dy = e.x - x, e.y - y
        apart = hypotenuse(bx - x, by - y)
        gap = (dx * dx + dy * dy - best) / np.maximum(2.0 * apart, 1e-6)
        edge = np.where(apart > 0.0, np.minimum(edge, gap), edge)
    streak = e.clouds(3.0, 2, 0.5) - 0.5
    lx, ly = d.uniform(-0.5, 0.5) * e.ax, d.uniform(-0.6, 0.2) * e.ay
    glow = clip01(1.0 - hypotenuse(e.x - lx, e.y - ly) * 0.6)
    e.fill(e.tone(hue))
    e.light(level * 14.0 + streak * 34.0 + (glow - 0.45) * 52.0)
    e.light(smooth(0.14, 0.0, edge) * -22.0)  # the glass darkens toward the lead
    e.lay(e.tone(INK), e.cover(edge - d.uniform(0.016, 0.036)))
    e.grain(2.0)

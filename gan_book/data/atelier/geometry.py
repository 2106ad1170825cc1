"""Abstract painting: neoplastic grids, orphic discs, op-art stripes, color fields."""

from __future__ import annotations

import numpy as np

from .easel import Easel, clip01, hypotenuse, sine, smooth
from .palettes import ACCENT, GLOW, INK, MAIN, PAPER, SHADE


def grid(e: Easel) -> None:
    """Rectangles of pure color between black bars, after Mondrian.

    Varies: the order and places of the cuts, how many there are, width of the bars, which
    rectangles are colored and how.
    """
    d = e.dice
    cuts = 9
    wanted = d.integer(5, cuts)[:, 0, 0]
    n = e.n
    # rectangle j of each picture: left, top, right, bottom
    box = np.zeros((4, cuts + 1, n), np.float32)
    box[0, 0], box[1, 0], box[2, 0], box[3, 0] = -e.ax, -e.ay, e.ax, e.ay
    pictures = np.arange(n)
    for j in range(cuts):
        chosen_by = d.uniform(0.35, 1.0, count=cuts + 1)[:, :, 0, 0]  # (cuts + 1, n)
        share = d.uniform(0.24, 0.76)[:, 0, 0]
        bias = d.uniform(0.75, 1.3)[:, 0, 0]
        wide, high = box[2] - box[0], box[3] - box[1]
        target = np.argmax(wide * high * chosen_by, axis=0)  # (n,)
        left, upper, right, lower = (box[side, target, pictures] for side in range(4))
        across = (right - left) * bias > lower - upper
        cut_x = left + (right - left) * share
        cut_y = upper + (lower - upper) * share
        real = j < wanted
        box[0, j + 1] = np.where(real, np.where(across, cut_x, left), 0.0)
        box[1, j + 1] = np.where(real, np.where(across, upper, cut_y), 0.0)
        box[2, j + 1] = np.where(real, right, 0.0)
        box[3, j + 1] = np.where(real, lower, 0.0)
        box[2, target, pictures] = np.where(real & across, cut_x, right)
        box[3, target, pictures] = np.where(real & ~across, cut_y, lower)
    e.fill(e.tone(INK))
    bar = d.uniform(0.022, 0.05)
    # Colors in a shuffled order for the first few rectangles, mostly paper afterwards.
    order = d.order(cuts + 1)
    strong = np.array([ACCENT, MAIN, SHADE, ACCENT, MAIN, GLOW, INK])
    colored = d.integer(3, 6)
    off_white = d.uniform(0.0, 0.35, count=cuts + 1)
    for j in range(cuts + 1):
        left, upper, right, lower = (box[side, j][:, None, None] for side in range(4))
        half_x, half_y = (right - left) * 0.5, (lower - upper) * 0.5
        edge_x = np.where(np.abs(left) >= e.ax, 0.0, bar), np.where(right >= e.ax, 0.0, bar)
        edge_y = np.where(np.abs(upper) >= e.ay, 0.0, bar), np.where(lower >= e.ay, 0.0, bar)
        alpha = e.band(
            (left + right + edge_x[0] - edge_x[1]) * 0.5,
            half_x - (edge_x[0] + edge_x[1]) * 0.5,
            e.x,
        ) * e.band(
            (upper + lower + edge_y[0] - edge_y[1]) * 0.5,
            half_y - (edge_y[0] + edge_y[1]) * 0.5,
            e.y,
        )
        alpha = alpha * ((right > left) & (lower > upper))
        role = strong[np.minimum(order[j], len(strong) - 1)]
        pale = e.mix(e.tone(PAPER), e.tone(GLOW), off_white[j])
        e.lay(e.choose(order[j] < colored, e.tone(role), pale), alpha)
    e.grain(2.0)


def discs(e: Easel) -> None:
    """Rings of color, each of two halves, after Sonia and Robert Delaunay.

    Varies: place and size of one large and two smaller discs, number and width of the rings,
    the cutting angle, the order of the colors on both sides.
    """
    d = e.dice
    angle = d.uniform()
    _, v = e.turned(angle)
    shift = d.uniform(-0.2, 0.2)
    ground = d.order(6)
    e.fill(e.tone(ground[0]))
    e.lay(e.tone(ground[1]), e.cover(v - shift))
    for k in range(3):
        small = k < 2
        x = d.uniform(-0.95, 0.95) * e.ax if small else d.uniform(-0.3, 0.3) * e.ax
        y = d.uniform(-0.95, 0.95) * e.ay if small else d.uniform(-0.3, 0.3) * e.ay
        radius = d.uniform(0.3, 0.6) if small else d.uniform(0.65, 1.0)
        turn = angle if k == 2 else d.uniform()
        distance = hypotenuse(e.x - x, e.y - y)
        w = (e.y - y) * sine(turn + 0.25) - (e.x - x) * sine(turn)
        second = (e.x - x) * sine(turn + 0.25) + (e.y - y) * sine(turn)
        half = e.cover(w)
        quarter = e.cover(second)
        rings = 4 if small else 6
        edge = radius
        one, two = d.order(6), d.order(6)
        quartered = d.chance(0.5)
        for j in range(rings):
            inside = e.cover(distance - edge)
            first, other = one[j % 6], two[j % 6]
            other = np.where(other == first, (other + 1 + j % 2) % 6, other)
            split = np.where(quartered & (j % 2 == 1), quarter, half)
            e.lay(e.mix(e.tone(first), e.tone(other), split), inside)
            edge = edge - radius * d.uniform(0.7, 1.2) / rings
            edge = np.maximum(edge, 0.0)
    e.grain(3.0)


def stripes(e: Easel) -> None:
    """Stripes bent by a lens and a wave until they vibrate, after Bridget Riley.

    Varies: direction and number of the stripes, place, size and strength of the lens (bulge or
    dent), length and height of the wave, the pair of colors and where a third one glows.
    """
    d = e.dice
    u, v = e.turned(d.uniform(-0.14, 0.14) + 0.25 * d.integer(0, 1))
    cu, cv = d.uniform(-0.45, 0.45), d.uniform(-0.45, 0.45)
    radius = d.uniform(0.6, 1.0)
    du, dv = u - cu, v - cv
    inside = clip01(1.0 - (du * du + dv * dv) / (radius * radius))
    bump = inside * inside
    strength = np.where(d.chance(0.75), d.uniform(0.35, 0.7), -d.uniform(0.3, 0.6))
    wave = d.uniform(0.0, 0.16) * sine(u * d.uniform(0.25, 0.7) + d.uniform())
    phase = (v - dv * bump * strength + wave) * d.uniform(2.2, 4.0) + d.uniform()
    fraction = phase - np.floor(phase)
    distance = np.abs(fraction - 0.5) - 0.25  # half of each period is dark
    alpha = e.cover(distance / np.maximum(e.steepness(phase), 0.1))
    scheme = d.integer(0, 2)
    dark = e.choose(scheme == 0, e.tone(INK), e.choose(scheme == 1, e.tone(SHADE), e.tone(MAIN)))
    pale = e.choose(scheme == 2, e.mix(e.tone(PAPER), e.tone(GLOW), 0.4), e.tone(PAPER))
    e.fill(e.mix(pale, e.tone(GLOW), 0.8 * bump))
    glow = e.choose((scheme == 2) | d.chance(0.7), e.tone(ACCENT), e.tone(MAIN))
    e.lay(e.mix(dark, glow, smooth(0.05, 0.75, inside)), alpha)
    e.grain(1.5)


def fields(e: Easel) -> None:
    """Two or three soft-edged fields that hover on a ground, after Mark Rothko.

    Varies: number, heights and margins of the fields, raggedness of their edges, the clouds of
    pigment inside, which colors meet.
    """
    d = e.dice
    order = d.order(6)
    ground = e.mix(e.tone(order[0]), e.tone(INK), 0.12)
    e.fill(ground)
    e.light((e.clouds(1.6) - 0.5) * 26.0)
    margin = d.uniform(0.1, 0.2)
    first = d.uniform(0.3, 0.72)
    third = d.chance(0.45)
    second = np.where(third, first + (1.0 - first) * d.uniform(0.25, 0.6), 1.0)
    edges = [np.zeros_like(first), first, second, np.ones_like(first)]
    soft = d.uniform(0.05, 0.11)
    for k in range(3):
        top = -e.ay + margin + (2.0 * e.ay - 2.0 * margin) * edges[k]
        bottom = -e.ay + margin + (2.0 * e.ay - 2.0 * margin) * edges[k + 1]
        gap = d.uniform(0.03, 0.08)
        inset = margin + d.uniform(-0.03, 0.05)
        ragged = (e.clouds(4.0, 2, 2.0) - 0.5) * d.uniform(0.08, 0.2)
        dx = np.abs(e.x) - (e.ax - inset)
        dy = np.abs(e.y - (top + bottom) * 0.5) - ((bottom - top) * 0.5 - gap)
        outside = hypotenuse(np.maximum(dx + soft, 0.0), np.maximum(dy + soft, 0.0)) - soft
        alpha = smooth(soft, -soft, outside + ragged)
        present = (bottom - top > 0.1).astype(np.float32)
        veil = 0.86 + 0.14 * e.clouds(2.2, 3)
        color = e.tone(order[k + 1])
        next_color = e.mix(color, e.tone(order[(k + 2) % 5 + 1]), 0.22)
        bloom = e.clouds(1.1, 2)
        e.lay(e.mix(color, next_color, bloom), alpha * veil * present)
    e.grain(4.0)

"""Patterns that fill the plane: Truchet labyrinths, woven threads, building blocks, scales."""

from __future__ import annotations

import numpy as np

from .dice import hash01
from .easel import Easel, clip01, hypotenuse, sine
from .palettes import ACCENT, GLOW, INK, MAIN, PAPER, SHADE


def truchet(e: Easel) -> None:
    """A labyrinth of quarter circles that join across square tiles, after Truchet and Smith.

    Varies: size, turn and offset of the tiles, how often they flip, width of the path, its
    outline and inner line, the two colors of land and water.
    """
    d = e.dice
    u, v = e.turned(0.125 * d.integer(0, 1) + d.uniform(-0.02, 0.02))
    tiles = d.uniform(1.2, 2.4)
    p, q = u * tiles + d.uniform(0.0, 1.0), v * tiles + d.uniform(0.0, 1.0)
    ip, iq = np.floor(p), np.floor(q)
    fp, fq = p - ip, q - iq
    ip, iq = ip.astype(np.int32), iq.astype(np.int32)
    flip = hash01(d.key32(), iq, ip) < d.uniform(0.35, 0.65)
    fp = np.where(flip, 1.0 - fp, fp)
    near = np.minimum(hypotenuse(fp, fq), hypotenuse(1.0 - fp, 1.0 - fq)) - 0.5
    parity = ((ip + iq) & 1).astype(bool) ^ flip
    side = np.where(parity, near, -near) / tiles  # signed distance to the boundary, continuous
    distance = np.abs(near) / tiles
    roles = d.order(4)
    land = np.array([PAPER, GLOW, ACCENT, PAPER])[roles[0]]
    water = np.array([SHADE, MAIN, INK, MAIN])[roles[1]]
    line = np.where(water == INK, ACCENT, INK)
    e.fill(e.tone(land))
    e.lay(e.tone(water), e.cover(side))
    width = d.uniform(0.07, 0.16) / tiles
    e.lay(e.tone(line), e.cover(distance - width))
    inner = np.where(d.chance(0.5), GLOW, np.where(land == ACCENT, PAPER, ACCENT))
    inner = np.where(water == INK, MAIN, inner)  # no picture without its palette's own color
    e.lay(e.tone(inner), e.cover(distance - width * d.uniform(0.3, 0.55)))
    echo = d.uniform(0.24, 0.3) / tiles
    e.lay(e.tone(line), e.cover(np.abs(distance - echo) - 0.035 / tiles) * d.chance(0.6))
    e.grain(2.0)


def weave(e: Easel) -> None:
    """Cloth seen close: colored threads that pass over and under each other.

    Varies: thickness and turn of the threads, plain weave or twill, the repeat of colors in warp
    and weft (checks, stripes, plaid), how round and how worn the threads are.
    """
    d = e.dice
    u, v = e.turned(0.125 * d.chance(0.3) + d.uniform(-0.015, 0.015))
    threads = d.uniform(2.6, 4.6)
    wobble = d.uniform(0.0, 0.06)
    p = u * threads + d.uniform(0.0, 32.0) + wobble * sine(v * d.uniform(0.5, 1.2) + d.uniform())
    q = v * threads + d.uniform(0.0, 32.0) + wobble * sine(u * d.uniform(0.5, 1.2) + d.uniform())
    ip, iq = np.floor(p), np.floor(q)
    fp, fq = p - ip - 0.5, q - iq - 0.5
    ip, iq = ip.astype(np.int64), iq.astype(np.int64)
    twill = d.chance(0.4)
    over = np.where(twill, ((ip + iq) & 3) < 2, ((ip + iq) & 1) == 0)
    roles, other = d.order(6), d.order(6)
    repeat = d.integer(2, 5)
    # a mirrored repeat, as in a tartan sett: 0 1 2 1 0 1 2 1 ...
    fold = 2 * repeat - 2
    a, b = np.remainder(ip, fold), np.remainder(iq, fold)
    a, b = np.minimum(a, fold - a), np.minimum(b, fold - b)
    same = d.chance(0.5)
    pick = np.arange(e.n)[:, None, None]
    warp = e.tone(roles[:, :, 0, 0][np.minimum(a, 5), pick])
    cloth = np.where(same, roles, other)
    weft = e.tone(cloth[:, :, 0, 0][np.minimum(b, 5), pick])
    across = np.where(over, fp, fq)
    along = np.where(over, fq, fp)
    color = np.where(over[None], warp, weft)
    roundness = d.uniform(0.9, 1.7)
    body = 1.0 - across * across * roundness
    dive = 1.0 - along * along * d.uniform(0.8, 1.5)
    fiber = hash01(d.key32(), np.where(over, ip, iq), np.floor(across * 6.0).astype(np.int32))
    level = body * dive * (0.9 + 0.14 * fiber)
    gap = clip01((0.5 - np.abs(across)) * 9.0)
    level = level * (0.45 + 0.55 * gap)
    e.canvas[...] = color * level
    e.light(14.0 * clip01(1.0 - across * across * 14.0) * dive)
    e.grain(5.0)


def blocks(e: Easel) -> None:
    """Quarter circles, half circles, discs, leaves and triangles in a grid of blocks.

    Varies: number and offset of the blocks, the shape in each, its turn, its two or three
    colors. In the spirit of the preliminary course at the Bauhaus.
    """
    d = e.dice
    blocks_per_unit = d.integer(2, 4).astype(np.float32) * 0.5
    p, q = (e.x + e.ax) * blocks_per_unit, (e.y + e.ay) * blocks_per_unit
    ip, iq = np.floor(p), np.floor(q)
    fp, fq = p - ip, q - iq
    ip, iq = ip.astype(np.int32), iq.astype(np.int32)

    def roll(options: int) -> np.ndarray:
        return np.floor(hash01(d.key32(), iq, ip) * options).astype(np.int64)

    shape, turn = roll(7), roll(4)
    fp = np.where((turn & 1) == 1, 1.0 - fp, fp)
    fq = np.where((turn & 2) == 2, 1.0 - fq, fq)
    corner = hypotenuse(fp, fq)
    middle = hypotenuse(fp - 0.5, fq - 0.5)
    options = [
        corner - 1.0,
        hypotenuse(fp - 0.5, fq) - 0.5,
        middle - 0.42,
        (fp + fq - 1.0) * 0.70710678,
        np.maximum(corner, hypotenuse(1.0 - fp, 1.0 - fq)) - 1.0,
        np.abs(corner - 0.72) - 0.28,
        np.minimum(corner, hypotenuse(1.0 - fp, 1.0 - fq)) - 0.5,
    ]
    distance = options[0]
    for k in range(1, len(options)):
        distance = np.where(shape == k, options[k], distance)
    distance = distance / blocks_per_unit
    ground = roll(6)
    figure = (ground + 1 + roll(5)) % 6
    third = (ground + 1 + roll(5)) % 6
    third = np.where(third == figure, ground, third)
    e.fill(e.tone(ground))
    e.lay(e.tone(figure), e.cover(distance))
    core = (hash01(d.key32(), iq, ip) < 0.55) & (shape != 5)
    e.lay(e.tone(third), e.cover(distance + 0.24 / blocks_per_unit) * core)
    e.grain(2.5)


def scales(e: Easel) -> None:
    """Overlapping fans of concentric arcs, the Japanese wave pattern seigaiha.

    Varies: size and offset of the fans, number and width of the arcs, the colors, and how they
    drift from top to bottom.
    """
    d = e.dice
    radius = d.uniform(0.4, 0.72)
    rise = radius * d.uniform(0.42, 0.58)  # from one row to the next
    offset_x, offset_y = d.uniform(0.0, 2.0), d.uniform(0.0, 1.0)
    roles = d.order(3)
    body = np.array([MAIN, SHADE, ACCENT])[roles]
    arcs = d.integer(2, 4)
    width = d.uniform(0.28, 0.5)
    tinted = d.chance(0.5)
    drift = d.uniform(0.25, 0.6) * d.sign()
    patchwork = d.uniform(0.3, 1.0) * d.chance(0.5)
    patch = d.key32()
    swell = d.uniform(0.0, 0.09) * sine(e.x * d.uniform(0.2, 0.45) + d.uniform())
    y = e.y + swell
    row = y / rise + offset_y
    bottom = np.floor(row)
    for k in range(4):
        # From the rows behind to the front: the fan centers lie below the pixel.
        index = bottom + k
        center_y = (index - offset_y) * rise
        odd = index - 2.0 * np.floor(index * 0.5)
        column = (e.x / radius + offset_x + odd) * 0.5
        center = (np.floor(column) + 0.5) * 2.0 - offset_x - odd
        distance = hypotenuse(e.x - center * radius, y - center_y)
        inside = e.cover(distance - radius)
        own = hash01(patch, index.astype(np.int32), np.floor(column).astype(np.int32)) - 0.5
        tint = clip01(0.5 + drift * (center_y / e.ay) + patchwork * 1.6 * own)
        base = e.mix(e.tone(body[0]), e.tone(body[1]), tint)
        e.lay(e.tone(INK), inside)
        e.lay(e.tone(PAPER), e.cover(distance - radius * 0.96))
        step = radius * 0.96 / arcs
        ring = distance / step
        near = np.abs(ring - np.floor(ring) - 0.5) * step
        line = e.cover(near - step * width) * e.cover(distance - radius * 0.93)
        e.lay(base, line)
        core = e.cover(distance - step * (0.5 + width))
        e.lay(e.tone(GLOW), core * tinted)
        e.lay(e.tone(body[2]), e.cover(distance - step * 0.55))
    e.grain(2.5)

"""The eight palettes of the Atelier, six colors each, dark to light around one accent.

The roles are the same in each palette: ink (darkest, for lines and night), shade (deep color),
main (the color one remembers), accent (its counterpart), glow (light tint), paper (lightest).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

RGB = tuple[int, int, int]

INK, SHADE, MAIN, ACCENT, GLOW, PAPER = range(6)


def _hex(codes: str) -> tuple[RGB, ...]:
    return tuple(
        (int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)) for code in codes.split()
    )


PALETTES: Mapping[str, tuple[RGB, ...]] = MappingProxyType(
    {
        # burnt earth and ochre under a chalk-blue accent
        "siena": _hex("2b1a1c 7a2f24 c2582f 4f8a8b f0b35a f8ead2"),
        # cold sea, coral buoy
        "fjord": _hex("0d1b2e 1d4563 4489ab ef6f53 b3d3dc f2f5f0"),
        # the three primaries of the workshop in Weimar
        "bauhaus": _hex("17161a 1f4aa0 d8342a f4bd1e a9c3de f5f0e4"),
        # forest floor with a chanterelle
        "moss": _hex("14241a 2c5a3a 7f9f47 e08a2e d6dc9c f5f2dd"),
        # a street at two in the morning
        "nocturne": _hex("0c0a1f 2a1e5c 6a3fa6 f25f9c f7b267 fdeedd"),
        # plum branch, cherry petals, one leaf
        "blossom": _hex("3a1730 8f2f5d e27396 5f9c86 f6bcc0 fdf1ec"),
        # shallow water and a shell
        "lagoon": _hex("062d36 0b6e75 2bb3a3 ff7a59 b5e8d0 fdf7e4"),
        # charcoal on gray board, a single seal in red
        "graphite": _hex("141416 3d4045 7d8186 c62f2c bcbdbb f3f1ec"),
    }
)

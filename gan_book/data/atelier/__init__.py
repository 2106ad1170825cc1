"""The Atelier: the built-in art set, pictures painted by a program in named styles and palettes.

Any number of pictures of any size, the same to the last bit on every machine for one
`ATELIER_VERSION`, labelled by style and palette, free of licence questions.
"""

from __future__ import annotations

from .palettes import PALETTES
from .studio import ATELIER_VERSION, STYLES, atelier, painting

__all__ = ["ATELIER_VERSION", "PALETTES", "STYLES", "atelier", "painting"]

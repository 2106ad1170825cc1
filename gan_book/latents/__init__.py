"""What can be done with a trained generator's codes: walk, truncate, invert, edit.

A :class:`Space` says which codes: z, or the styles w of a style-based generator. Everything here
works on codes of one space and leaves the generator's weights as they are.
"""

from .directions import label_directions, move, pca, sefa
from .inversion import EncoderObjective, Inversion, inversion_loss, invert
from .space import Space
from .walks import slerp, truncate, walk

__all__ = [
    "EncoderObjective", "Inversion", "Space", "inversion_loss", "invert", "label_directions",
    "move", "pca", "sefa", "slerp", "truncate", "walk",
]  # fmt: skip

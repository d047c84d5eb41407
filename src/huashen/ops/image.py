"""Pictures: laying one over another."""

import numpy as np

from huashen.types import Floats, Image


def over(below: Image, above: Image, alpha: Floats) -> Image:
    """Lay a picture over another.

    Args:
        below: (h, w, 3).
        above: (h, w, 3).
        alpha: (h, w) share of `above`, 0 to 1.

    Returns:
        (h, w, 3), a fresh array.
    """
    mixed = below + (above.astype(np.float32) - below) * alpha[..., None]
    return (mixed + 0.5).astype(np.uint8)

"""Filling holes in pictures."""

import numpy as np

from huashen.types import Floats, Image


def fill(image: Image, known: Floats) -> Image:
    """Fill what is not known smoothly from what is, coarse to fine.

    Args:
        image: (h, w, 3) uint8.
        known: (h, w) float32, 1 where the picture is to be kept, 0 where it is a hole.

    Returns:
        (h, w, 3) uint8, equal to `image` where `known` is 1.

    Source: Gortler et al., The Lumigraph, 1996, section 3.4 (pull-push).
    """
    import cv2

    levels = [(image.astype(np.float32) * known[..., None], known.astype(np.float32))]
    while min(levels[-1][1].shape) > 4:
        colour, weight = (cv2.GaussianBlur(layer, (5, 5), 1.0)[::2, ::2] for layer in levels[-1])
        levels.append((colour, weight))
    colour, weight = levels[-1]
    filled = colour / np.maximum(weight, 1e-6)[..., None]
    for colour, weight in reversed(levels[:-1]):
        up = cv2.resize(filled, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
        share = np.minimum(weight * 4, 1)[..., None]
        filled = colour / np.maximum(weight, 1e-6)[..., None] * share + up * (1 - share)
        # Relax towards a membrane stretched between the hole's edges, so that no plateau shows beside them.
        hole = (weight < 0.999)[..., None]
        for _ in range(12):
            filled = np.where(hole, cv2.blur(filled, (3, 3)), filled)
    return np.asarray(np.clip(np.where(known[..., None] >= 1, image, filled), 0, 255).round(), np.uint8)

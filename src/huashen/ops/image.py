"""Pictures: laying one over another, and how blurred one is."""

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


def blur_of(image: Image) -> float:
    """Return how blurred the sharpest edges of a picture are: the standard deviation, in pixels, of a Gaussian that makes a step so soft.

    Blurred once more by a known amount, an edge loses the less of its steepness the softer it was.

    Args:
        image: (h, w, 3) uint8.

    Returns:
        0.3 to 6; 0.3 where there are no edges.

    Source: Zhuo and Sim, Defocus map estimation from a single image, Pattern Recognition 44, 2011.
    """
    import cv2

    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)  # noise has no edges then
    more = 2.0
    steep, left = (
        np.hypot(cv2.Sobel(x, cv2.CV_32F, 1, 0), cv2.Sobel(x, cv2.CV_32F, 0, 1)) for x in (grey, cv2.GaussianBlur(grey, (0, 0), more))
    )
    edges = steep >= max(float(np.percentile(steep, 98)), 16.0)
    if not edges.any():
        return 0.3
    ratio = float(np.median(left[edges] / steep[edges]))
    ratio = min(max(ratio, 0.05), 0.97)
    return float(np.clip(np.sqrt(max(0.0, (more * ratio) ** 2 / (1 - ratio**2) - 1.0)), 0.3, 6.0))

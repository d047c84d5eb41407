"""MediaPipe's selfie segmentation, its edges drawn to the picture's own by a guided filter."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen import device, weights
from huashen.types import Floats, Image

_SIDE = 256
_STEEP = 1.5
"""How much steeper edges are made after the filter, which widens them."""


class Selfie:
    """People against the background.

    Args:
        detail: how far edges may be drawn, in shares of the person's longer side; 0 leaves the network's own soft edges.
        work: longest side on which the filter's coefficients are computed; they are smooth, so larger pictures take them enlarged.

    Source: https://github.com/google-ai-edge/mediapipe 0.10.21, Apache-2.0; He et al., Guided Image Filtering, 2010, and
    He and Sun, Fast Guided Filter, 2015.
    """

    def __init__(self, *, detail: float = 0.015, work: int = 512) -> None:
        self._detail, self._work = detail, work
        self._run = device.litert(weights.path("selfie_segmentation"))

    def mask(self, image: Image) -> Floats:
        """Return the share of a person in every pixel.

        Args:
            image: (h, w, 3) uint8 RGB.

        Returns:
            (h, w) float32 in [0, 1].
        """
        height, width = image.shape[:2]
        rough = self._rough(image)
        x0, y0, x1, y1 = _extent(rough, width, height)
        if (x1 - x0) * (y1 - y0) < 0.6 * width * height:  # a second look gives a small person the network's whole resolution
            part = image[y0:y1, x0:x1]
            found = self._fine(part, self._rough(part))
            whole = np.zeros((height, width), np.float32)
            whole[y0:y1, x0:x1] = found
            return whole
        return self._fine(image, rough)

    def _rough(self, image: Image) -> Floats:
        """Return the network's own (256, 256) mask."""
        import cv2

        small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA if min(image.shape[:2]) > _SIDE else cv2.INTER_LINEAR)
        (mask,) = self._run(np.divide(small[None], 255, dtype=np.float32))
        return np.asarray(mask.reshape(_SIDE, _SIDE), np.float32)

    def _fine(self, image: Image, rough: Floats) -> Floats:
        """Return the mask at the picture's size with its edges on the picture's."""
        import cv2

        height, width = image.shape[:2]
        scale = min(1.0, self._work / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        radius = round(self._detail * max(size))
        if radius < 1:
            return _clipped(cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR))
        small = np.divide(cv2.resize(image, size, interpolation=cv2.INTER_AREA), 255, dtype=np.float32)
        wide = np.asarray(cv2.resize(rough, size, interpolation=cv2.INTER_LINEAR), np.float32)
        line = guided(small, wide, radius, 1e-4)  # (h, w, 4)
        mask = np.zeros((height, width), np.float32)
        for channel in range(4):
            part = np.asarray(cv2.resize(line[..., channel], (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
            mask += part * np.divide(image[..., channel], 255, dtype=np.float32) if channel < 3 else part
        return _clipped((mask - 0.5) * _STEEP + 0.5)


def _clipped(mask: NDArray[Any]) -> Floats:
    return np.clip(np.asarray(mask, np.float32), 0, 1)


def guided(guide: Floats, target: Floats, radius: int, eps: float) -> Floats:
    """Fit, round every pixel, the target as a linear function of the guide's colour.

    Args:
        guide: (h, w, 3) in [0, 1].
        target: (h, w).
        radius: of the square that each fit sees, pixels.
        eps: variance of a colour below which the fit is flat.

    Returns:
        (h, w, 4): factors of red, green and blue, and what is added; the guide put in gives the filtered target.

    Source: He, Sun and Tang, Guided Image Filtering, ECCV 2010, equations 5, 6 and 19.
    """
    import cv2

    def mean(x: NDArray[Any]) -> Floats:
        return np.asarray(cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT_101), np.float32)

    middle, height = mean(guide), mean(target)
    together = mean(guide * target[..., None]) - middle * height[..., None]  # (h, w, 3) covariance with the target
    r, g, b = (guide[..., i] for i in range(3))
    mr, mg, mb = (middle[..., i] for i in range(3))
    rr, gg, bb = mean(r * r) - mr * mr + eps, mean(g * g) - mg * mg + eps, mean(b * b) - mb * mb + eps
    rg, rb, gb = mean(r * g) - mr * mg, mean(r * b) - mr * mb, mean(g * b) - mg * mb
    # The inverse of the symmetric 3 × 3 covariance by its cofactors: hundreds of times as fast as solving pixel by pixel.
    ir, ig, ib = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    jg, jb, kb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    whole = rr * ir + rg * ig + rb * ib
    cr, cg, cb = (together[..., i] for i in range(3))
    factors = np.stack([ir * cr + ig * cg + ib * cb, ig * cr + jg * cg + jb * cb, ib * cr + jb * cg + kb * cb], axis=-1) / whole[..., None]
    added = height - (factors * middle).sum(axis=-1)
    return np.concatenate([mean(factors), mean(added)[..., None]], axis=-1)


def _extent(mask: Floats, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the pixels that hold the person, with a margin: x0, y0, x1, y1; the whole picture when there is none."""
    rows, columns = np.flatnonzero((mask > 0.3).any(axis=1)), np.flatnonzero((mask > 0.3).any(axis=0))
    if not len(rows):
        return 0, 0, width, height
    low = np.array([columns[0], rows[0]]) / _SIDE
    high = np.array([columns[-1] + 1, rows[-1] + 1]) / _SIDE
    margin = 0.1 * (high - low).max()
    x0, y0 = np.floor(np.clip(low - margin, 0, 1) * (width, height)).astype(int)
    x1, y1 = np.ceil(np.clip(high + margin, 0, 1) * (width, height)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)

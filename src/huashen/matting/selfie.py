"""MediaPipe's selfie segmentation, its edges drawn to the picture's own by a guided filter."""

import numpy as np

from huashen import device, weights
from huashen.types import Floats, Image

_SIDE = 256
_WORK = 1024
"""Longest side on which the filter's coefficients are computed; they are smooth, so larger pictures take them enlarged."""


class Selfie:
    """People against the background.

    Args:
        detail: how far edges may be drawn, in shares of the person's longer side; 0 leaves the network's own soft edges.

    Source: https://github.com/google-ai-edge/mediapipe 0.10.21, Apache-2.0; He et al., Guided Image Filtering, 2010, and
    He and Sun, Fast Guided Filter, 2015.
    """

    def __init__(self, *, detail: float = 0.015) -> None:
        self._detail = detail
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
        (mask,) = self._run((small.astype(np.float32) / 255)[None])
        return np.asarray(mask.reshape(_SIDE, _SIDE), np.float32)

    def _fine(self, image: Image, rough: Floats) -> Floats:
        """Return the mask at the picture's size with its edges on the picture's."""
        import cv2

        height, width = image.shape[:2]
        guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        scale = min(1.0, _WORK / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(guide, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        wide = cv2.resize(rough, size, interpolation=cv2.INTER_LINEAR)
        radius = round(self._detail * max(size))
        if radius < 1:
            return np.asarray(np.clip(cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1), np.float32)
        a, b = guided(small, np.asarray(wide, np.float32), radius, 1e-3)
        a = cv2.resize(a, (width, height), interpolation=cv2.INTER_LINEAR)
        b = cv2.resize(b, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.clip(a * (guide.astype(np.float32) / 255) + b, 0, 1), np.float32)


def guided(guide: Floats, target: Floats, radius: int, eps: float) -> tuple[Floats, Floats]:
    """Fit, round every pixel, the target as a straight line of the guide.

    Args:
        guide: (h, w) luminance in [0, 1].
        target: (h, w).
        radius: of the square that each fit sees, pixels.
        eps: variance of the guide below which the fit is flat.

    Returns:
        a and b, (h, w) each: a·guide + b is the filtered target.

    Source: He, Sun and Tang, Guided Image Filtering, ECCV 2010, equations 5, 6 and 8.
    """
    import cv2

    def mean(x: Floats) -> Floats:
        return np.asarray(cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT_101), np.float32)

    m_guide, m_target = mean(guide), mean(target)
    variance = mean(guide * guide) - m_guide * m_guide
    covariance = mean(guide * target) - m_guide * m_target
    a = covariance / (np.maximum(variance, 0) + eps)
    return mean(a), mean(m_target - a * m_guide)


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

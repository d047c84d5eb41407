"""Which part of a picture a stage works on: what was drawn anew, or all of it."""

from dataclasses import dataclass, replace

import numpy as np

from huashen.types import Floats, Frame, Image


@dataclass(frozen=True)
class Area:
    """A rectangle of a picture, and how far what is done there shall show."""

    rows: slice
    columns: slice
    share: Floats | None
    """(h, w) float32 in [0, 1] over the rectangle; None: 1 everywhere."""

    def mixed(self, frame: Frame, made: Floats) -> Frame:
        """Return a frame in which the rectangle shows what was made of it.

        Args:
            frame: the frame as it was.
            made: (h, w, 3) grey levels.
        """
        image = frame.image.copy()
        spot = image[self.rows, self.columns]
        shown = made if self.share is None else spot + (made - spot) * self.share[..., None]
        spot[:] = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
        return replace(frame, image=image)


def area(frame: Frame, margin: int = 0) -> Area | None:
    """Return what of a picture was drawn anew, with a margin for filters to look into; None where nothing was."""
    height, width = frame.image.shape[:2]
    if frame.drawn is None:
        return Area(slice(0, height), slice(0, width), None)
    mask, (x, y) = frame.drawn.mask, frame.drawn.corner
    if not mask.size or not mask.any():
        return None
    tall, wide = mask.shape
    x0, y0, x1, y1 = max(0, x - margin), max(0, y - margin), min(width, x + wide + margin), min(height, y + tall + margin)
    share = np.zeros((y1 - y0, x1 - x0), np.float32)
    share[y - y0 : y - y0 + tall, x - x0 : x - x0 + wide] = mask
    return Area(slice(y0, y1), slice(x0, x1), share)


def grey(image: Image) -> Image:
    """Return the brightness of a picture, (h, w) uint8."""
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)

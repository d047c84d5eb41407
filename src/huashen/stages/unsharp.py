"""Sharpening by an unsharp mask that makes no rims and leaves noise alone."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from huashen.errors import InputError
from huashen.stages.area import area
from huashen.types import Floats, Frame, Image, Video
from huashen.words import tr


class Unsharp:
    """Adds fine detail to itself, the same in every colour.

    Args:
        amount: how much of the detail is added; 0 changes nothing, 3 is most.
        radius: pixels: what is smaller than this is detail.
        noise: grey levels: detail weaker than this is left alone.
        halo: grey levels by which a pixel may leave the range of its neighbours; 0: no rim at all.

    Raises:
        InputError: one of them makes no sense.
    """

    lookahead_frames = 0

    def __init__(self, *, amount: float = 0.8, radius: float = 1.2, noise: float = 1.5, halo: float = 2.0) -> None:
        if not (0 <= amount <= 3 and 0.3 <= radius <= 20 and noise >= 0 and halo >= 0):
            raise InputError(tr(
                "unsharp: amount goes from 0 to 3, radius from 0.3 to 20; noise and halo are not negative",
                "unsharp：amount 为 0 到 3，radius 为 0.3 到 20，noise 与 halo 不得为负",
            ))  # fmt: skip
        self._amount, self._radius, self._noise, self._halo = amount, radius, noise, halo

    def __call__(self, video: Video) -> Video:
        """Return the video, sharpened as it is read."""
        return replace(video, frames=self._sharpened(video.frames))

    def _sharpened(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        margin = round(3 * self._radius) + 1
        for frame in frames:
            where = area(frame, margin)
            if where is None or not self._amount:
                yield frame
                continue
            spot = frame.image[where.rows, where.columns]
            yield where.mixed(frame, spot + self._detail(spot)[..., None])

    def _detail(self, spot: Image) -> Floats:
        """Return (h, w) what to add to every colour."""
        import cv2

        grey = np.asarray(cv2.cvtColor(spot.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)
        fine = grey - cv2.GaussianBlur(grey, (0, 0), self._radius)
        strength = fine * fine
        more = self._amount * fine * strength / (strength + self._noise**2 + 1e-6)
        # The brightest and darkest that were near bound what may come: an edge grows steeper, and no brighter or darker beside.
        near = np.ones((3, 3), np.uint8)
        low, high = cv2.erode(grey, near) - self._halo, cv2.dilate(grey, near) + self._halo
        return np.asarray(np.clip(grey + more, low, high) - grey, np.float32)

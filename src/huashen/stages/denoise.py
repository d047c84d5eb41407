"""Noise: each pixel is averaged along its motion for as long as it looks the same, and a little with its neighbours where it does not."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from huashen.errors import InputError
from huashen.stages.area import Area, area, grey
from huashen.types import Floats, Frame, Image, Video
from huashen.words import tr

MARGIN = 24
"""Pixels round what was drawn that motion may come from."""
LONGEST = 8
"""Frames over which a pixel is averaged at most."""
ROUNDING = 0.3
"""Grey levels of noise that rounding alone makes: no more than that is none."""
AGREED = 9
"""Frames that the noise is found from."""
BLOCK = 16
"""Side of the squares in which noise is looked for, pixels."""


class Denoise:
    """Takes off as much noise as there is: a clean video passes nearly as it is.

    Args:
        strength: by which the noise found is multiplied; 1 is what was measured to be best.

    Raises:
        InputError: it makes no sense.
    """

    lookahead_frames = 0

    def __init__(self, *, strength: float = 1.0) -> None:
        if not 0 <= strength <= 4:
            raise InputError(tr("denoise: strength goes from 0 to 4", "denoise：strength 为 0 到 4"))
        self._strength = strength

    def __call__(self, video: Video) -> Video:
        """Return the video, its noise taken off as it is read."""
        return replace(video, frames=self._quiet(video.frames))

    def _quiet(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        import cv2

        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        before: Floats | None = None  # the last frame that came out, not rounded
        count: Floats = np.zeros((0, 0), np.float32)  # over how many frames each of its pixels was averaged
        found: deque[float] = deque(maxlen=AGREED)
        for frame in frames:
            where = area(frame, MARGIN)
            if where is None:
                before = None
                yield frame
                continue
            spot = frame.image[where.rows, where.columns]
            found.append(noise_of(grey(spot)))
            noise = self._strength * float(np.median(found))
            if before is None or before.shape != frame.image.shape:
                count = np.zeros(frame.image.shape[:2], np.float32)
            made, times = _averaged(spot, before, count, where, noise, flow)
            count = np.zeros_like(count)
            count[where.rows, where.columns] = times
            before = frame.image.astype(np.float32)
            before[where.rows, where.columns] = made
            yield where.mixed(frame, made)


def noise_of(grey: Image) -> float:
    """Return how much noise there is in a picture: its standard deviation in grey levels, in the calmest parts.

    Source: the filter of Immerkær, Fast Noise Variance Estimation, Computer Vision and Image Understanding 1996.
    """
    import cv2

    if min(grey.shape) < 3:
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    strong = np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel))[1:-1, 1:-1]
    tall, wide = (max(1, n // BLOCK) for n in strong.shape)
    calm = cv2.resize(strong, (wide, tall), interpolation=cv2.INTER_AREA)
    return float(np.percentile(calm, 20)) * float(np.sqrt(np.pi / 2)) / 6


def _averaged(spot: Image, before: Floats | None, count: Floats, where: Area, noise: float, flow: Any) -> tuple[Floats, Floats]:
    """Return a rectangle of a frame without its noise, and over how many frames each pixel was averaged.

    Args:
        spot: (h, w, 3) the rectangle.
        before: the whole frame before, without its noise.
        count: (H, W) over how many frames that was averaged.
        where: where the rectangle lies.
        noise: standard deviation, grey levels.
        flow: finds motion.
    """
    import cv2

    own = spot.astype(np.float32)
    if noise < ROUNDING:
        return own, np.ones(own.shape[:2], np.float32)
    near = cv2.bilateralFilter(spot, 5, 6 * noise, 1.2).astype(np.float32)
    if before is None:
        return near, np.ones(own.shape[:2], np.float32)
    old = before[where.rows, where.columns]
    dark = grey(spot)
    was = grey(np.rint(old).astype(np.uint8))
    way = flow.calc(cv2.GaussianBlur(dark, (0, 0), 1.0), cv2.GaussianBlur(was, (0, 0), 1.0), None)
    y, x = np.mgrid[: dark.shape[0], : dark.shape[1]].astype(np.float32)
    x, y = x + way[..., 0], y + way[..., 1]
    carried = np.clip(cv2.remap(old, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), 0, 255)
    held = cv2.remap(count[where.rows, where.columns], x, y, cv2.INTER_NEAREST)
    # What differs by more than noise can make, in brightness or in colour, is something else: a new thing, or motion that was not found.
    apart = np.asarray(own - carried, np.float32)
    bright = cv2.boxFilter(np.abs(cv2.cvtColor(apart, cv2.COLOR_RGB2GRAY)), -1, (3, 3)) / (1.1 * noise)
    coloured = cv2.boxFilter(np.abs(apart).max(2), -1, (5, 5)) / (3.3 * noise)
    same = np.exp(-np.maximum(0, np.maximum(bright, coloured) - 0.8) ** 2 * 1.5)
    if float(same.mean()) < 0.2:  # another scene, of which some pixels fit by chance
        return near, np.ones(own.shape[:2], np.float32)
    times = np.asarray(np.minimum(held * same, LONGEST - 1), np.float32)
    here = near + (own - near) * np.minimum(times / 3, 1)[..., None]
    share = (times / (times + 1))[..., None]
    return np.asarray(here + (carried - here) * share, np.float32), np.asarray(times + 1, np.float32)

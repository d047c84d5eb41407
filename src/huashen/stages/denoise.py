"""Noise: each pixel is averaged along its motion for as long as it looks the same, and a little with its neighbours where it does not."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from huashen.errors import InputError
from huashen.stages import STEP
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
        averages: dict[int, _Average] = {}  # by the period in which they are shown
        found: deque[float] = deque(maxlen=AGREED)
        for frame in frames:
            now, soon = frame.index // STEP, (frame.index + LONGEST) // STEP
            averages = {period: averages.get(period) or _Average() for period in {now, soon}}
            where = area(frame, MARGIN)
            if where is None:
                averages.clear()
                yield frame
                continue
            found.append(noise_of(grey(frame.image[where.rows, where.columns])))
            noise = self._strength * float(np.median(found))
            made = {period: average.next(frame.image, where, noise, flow) for period, average in averages.items()}
            yield where.mixed(frame, made[now])


class _Average:
    """Frames averaged along their motion, one after the other.

    It feeds itself, so it is begun anew every `STEP` frames, `LONGEST` frames before it is shown: by then nothing is seen of that, and
    work that was stopped goes on exactly.
    """

    def __init__(self) -> None:
        self._before: Floats | None = None  # the last frame that came out, not rounded
        self._count: Floats = np.zeros((0, 0), np.float32)  # over how many frames each of its pixels was averaged

    def next(self, image: Image, where: Area, noise: float, flow: Any) -> Floats:
        """Return a rectangle of the next frame without its noise."""
        if self._before is None or self._before.shape != image.shape:
            self._before, self._count = None, np.zeros(image.shape[:2], np.float32)
        made, times = _averaged(image[where.rows, where.columns], self._before, self._count, where, noise, flow)
        self._count = np.zeros_like(self._count)
        self._count[where.rows, where.columns] = times
        self._before = image.astype(np.float32)
        self._before[where.rows, where.columns] = made
        return made


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

"""Trembling: what moves to and fro from frame to frame is taken off; motion that goes somewhere stays."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from huashen.errors import InputError
from huashen.stages.area import area, grey
from huashen.types import Frame, Image, Video
from huashen.words import tr

LONGEST = 640
"""Longer side at which motion is looked for, pixels."""
RING = 0.35
"""Width of the ring round what was drawn that its motion is held against, in shares of the patch's shorter side."""
LEAST = 0.04
"""Pixels below which nothing is moved: moving costs a little sharpness."""
FEATHER = 8.0
"""Pixels from the edge of what was drawn over which moving it sets in."""

Points = NDArray[np.float32]
Path = NDArray[np.float64]
"""(4,): shift right and down in pixels, turn in radians, logarithm of the scale, about the picture's middle."""


class Steady:
    """Smooths the path of the picture; where frames say what was drawn anew, the path of that against what lies round it.

    Args:
        frames: over how many frames (standard deviation of a bell) the path is smoothed.
        most: how far a picture may be moved, in shares of its longer side.

    Raises:
        InputError: one of them makes no sense.
    """

    def __init__(self, *, frames: float = 2.0, most: float = 0.02) -> None:
        if not (0.3 <= frames <= 20 and 0 <= most <= 0.2):
            raise InputError(tr("steady: frames goes from 0.3 to 20, most from 0 to 0.2", "steady：frames 为 0.3 到 20，most 为 0 到 0.2"))
        self.lookahead_frames = math.ceil(2.5 * frames)
        bell = np.exp(-0.5 * (np.arange(-self.lookahead_frames, self.lookahead_frames + 1) / frames) ** 2)
        self._bell, self._most = bell / bell.sum(), most

    def __call__(self, video: Video) -> Video:
        """Return the video, its trembling taken off as it is read."""
        return replace(video, frames=self._steadied(video.frames))

    def _steadied(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        waiting: deque[Frame] = deque()
        steps: deque[Path] = deque(maxlen=2 * self.lookahead_frames + 1)  # of the scene: those gone, then those that wait
        last: _Seen | None = None
        for frame in frames:
            seen = _Seen.of(frame)
            step = None if seen is None or last is None else seen.motion_from(last)
            if step is None:  # another scene, or nothing drawn
                yield from self._rest(waiting, steps)
                waiting.clear()
                steps.clear()
                if seen is None:
                    yield frame
                else:
                    waiting.append(frame)
                    steps.append(np.zeros(4))
            else:
                waiting.append(frame)
                steps.append(step)
                if len(waiting) > self.lookahead_frames:
                    yield self._moved(waiting.popleft(), steps, len(steps) - len(waiting) - 1)
            last = seen
        yield from self._rest(waiting, steps)

    def _rest(self, waiting: deque[Frame], steps: deque[Path]) -> Iterator[Frame]:
        for i, frame in enumerate(waiting):
            yield self._moved(frame, steps, len(steps) - len(waiting) + i)

    def _moved(self, frame: Frame, steps: deque[Path], here: int) -> Frame:
        """Return a frame moved to where the smooth path goes.

        Args:
            frame: the frame.
            steps: how each of the frames round it has moved from the one before; the first and last of a scene are its ends.
            here: which of them is the frame's.
        """
        import cv2

        paths = np.cumsum(np.array(steps)[1:], axis=0) if len(steps) > 1 else np.zeros((0, 4))
        paths = np.concatenate([np.zeros((1, 4)), paths])  # from the first that is known: what was before it does not count
        reach, end = self.lookahead_frames, len(paths) - 1
        smooth = np.zeros(4)
        for j, share in zip(range(here - reach, here + reach + 1), self._bell, strict=True):
            # Beyond an end the path is that before it, turned about the end: a steady motion stays one.
            near = 0 if j < 0 else min(j, end)
            smooth += share * (2 * paths[near] - paths[int(np.clip(2 * near - j, 0, end))])
        away = smooth - paths[here]
        height, width = frame.image.shape[:2]
        most = self._most * max(height, width)
        away *= min(1.0, most / max(1e-9, float(np.hypot(away[0], away[1]))))
        if float(np.abs(away[:2]).max() + np.abs(away[2:]).max() * max(height, width) / 2) < LEAST:
            return frame
        where = area(frame, round(most) + 2)
        assert where is not None
        middle = np.array([(width - 1) / 2, (height - 1) / 2]) - (where.columns.start, where.rows.start)
        turn = math.exp(away[3]) * np.array([[math.cos(away[2]), -math.sin(away[2])], [math.sin(away[2]), math.cos(away[2])]])
        matrix = np.concatenate([turn, (middle + away[:2] - turn @ middle)[:, None]], 1)
        spot = frame.image[where.rows, where.columns]
        size = (spot.shape[1], spot.shape[0])
        made = cv2.warpAffine(spot, matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        if where.share is not None:
            inside = cv2.distanceTransform((where.share > 0.02).astype(np.uint8), cv2.DIST_L2, 3)
            share = np.asarray(where.share * np.clip(inside / FEATHER, 0, 1), np.float32)
            where = replace(where, share=share)
        return where.mixed(frame, made)


@dataclass(frozen=True)
class _Seen:
    """A picture in which motion is looked for."""

    grey: Image
    scale: float
    """Its size over that of the frame."""
    drawn: Image | None
    """(h, w) uint8: 255 where it was drawn anew; None: everywhere, or nobody knows."""
    ring: Image | None
    """(h, w) uint8: 255 round it."""

    @staticmethod
    def of(frame: Frame) -> "_Seen | None":
        """Return what is to be seen of a frame; None where nothing was drawn."""
        import cv2

        where = area(frame)
        if where is None:
            return None
        height, width = frame.image.shape[:2]
        scale = min(1.0, LONGEST / max(height, width))
        size = max(2, round(width * scale)), max(2, round(height * scale))
        shade = cv2.resize(grey(frame.image), size, interpolation=cv2.INTER_AREA)
        if where.share is None:
            return _Seen(np.asarray(shade, np.uint8), scale, None, None)
        drawn = np.zeros((height, width), np.uint8)
        drawn[where.rows, where.columns] = 255 * (where.share > 0.5)
        drawn = np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        wide = 2 * round(RING * scale * min(where.share.shape)) + 1
        grown = np.asarray(cv2.dilate(drawn, np.ones((wide, wide), np.uint8)), np.uint8)
        touched = np.zeros((height, width), np.uint8)
        touched[where.rows, where.columns] = 255 * (where.share > 0.02)
        touched = np.asarray(cv2.resize(touched, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        return _Seen(np.asarray(shade, np.uint8), scale, drawn, np.asarray(grown & ~touched, np.uint8))

    def motion_from(self, before: "_Seen") -> Path | None:
        """Return how the picture has moved since another one, or what was drawn against its surroundings; None: it is another scene."""
        if self.grey.shape != before.grey.shape or (self.drawn is None) != (before.drawn is None):
            return None
        if before.drawn is None or before.ring is None:
            return self._moved(before, None, still=True)
        own, around = self._moved(before, before.drawn, still=False), self._moved(before, before.ring, still=False)
        if own is None or around is None:
            return None
        # Each is told about the picture's middle; what counts is where the middle of what was drawn goes.
        rows, columns = np.nonzero(before.drawn)
        middle = (np.array([columns.mean(), rows.mean()]) - (np.array(self.grey.shape[::-1]) - 1) / 2) / self.scale
        shift = _carried(own, middle) - _carried(around, middle)
        return np.array([*shift, 0.0, 0.0])

    def _moved(self, before: "_Seen", mask: Image | None, *, still: bool) -> Path | None:
        """Return the motion, even in shift, turn and size, that most points agree on.

        Args:
            before: the other picture.
            mask: where in that points may lie.
            still: whether a picture without points has not moved; else that is told by None.
        """
        import cv2

        corners = cv2.goodFeaturesToTrack(before.grey, 200, 0.01, 6, mask=mask)
        if corners is None or len(corners) < 8:
            return np.zeros(4) if still else None
        found, here, _ = cv2.calcOpticalFlowPyrLK(before.grey, self.grey, corners, corners.copy(), winSize=(15, 15), maxLevel=3)
        good = here.ravel() > 0
        if good.sum() < max(8, 0.5 * len(corners)):
            return None
        middle = (np.array(self.grey.shape[::-1], np.float32) - 1) / 2
        one, two = corners[good].reshape(-1, 2) - middle, found[good].reshape(-1, 2) - middle
        matrix, agree = cv2.estimateAffinePartial2D(one, two, method=cv2.RANSAC, ransacReprojThreshold=1.0)
        if matrix is None or agree.sum() < max(6, 0.3 * len(one)):
            return None
        a, b = float(matrix[0, 0]), float(matrix[1, 0])
        size, turn = math.hypot(a, b), math.atan2(b, a)
        if abs(math.log(size)) > 0.1 or abs(turn) > 0.2:
            return None
        return np.array([matrix[0, 2] / self.scale, matrix[1, 2] / self.scale, turn, math.log(size)])


def _carried(path: Path, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a point moves."""
    size, turn = math.exp(path[3]), path[2]
    c, s = size * math.cos(turn), size * math.sin(turn)
    return np.array([c * point[0] - s * point[1] - point[0] + path[0], s * point[0] + c * point[1] - point[1] + path[1]])

"""Keeps a drawn mouth from opening faster than mouths do. No engine itself.

Wav2Lip at times opens the mouth wide from one frame to the next. What the three frames before it show says how wide it may be, so that
work that is taken up in the middle needs three frames more and no history. Lips that shut, shut as fast as they are drawn.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from huashen import weights
from huashen.face.mediapipe import MediaPipe, region_of
from huashen.ops import mesh, warp
from huashen.types import Face, Floats, Image

FASTEST = 4.2
"""Distances between the outer eye corners by which the inner edges of the lips may part in a second."""
BEFORE = 3
"""Frames before one that say how wide it may be."""
STIRRED = 12.0
"""Grey levels by which mouth and chin must change, on average, for the opening to be looked at. In real clips a frame that opens faster
than that changes by 12.6 or more, and one frame in fifteen changes so much otherwise; looking costs a sixth of what drawing does."""

_UPPER, _LOWER = mesh.UPPER_LIP[[0, 3]], mesh.LOWER_LIP[[0, 3]]
_CHIN = [152, 148, 377, 175]
_FIXED = [2, 98, 327, 205, 425, 132, 361, 58, 288, 33, 263, 168]


@dataclass(frozen=True)
class Drawn:
    """A mouth as the network drew it."""

    face: Floats
    """(3, side, side) BGR in [0, 1]."""
    paste: Callable[[Floats], Image]
    """Lays such a face into its picture."""
    known: Face
    """Where the face is in that picture."""
    finder: MediaPipe

    @cached_property
    def seen(self) -> Face | None:
        """The face as it looks now."""
        return self.finder.fit(self.paste(self.face), region_of(self.known.landmarks.points), passes=1)

    @property
    def gap(self) -> float:
        """How far the lips' inner edges are apart, in distances between the outer eye corners; 0 where no face is seen."""
        if self.seen is None:
            return 0.0
        points = self.seen.landmarks.points
        return float(np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263]))

    def stirred(self, other: "Drawn") -> bool:
        """Return whether the mouth looks so different that it may have opened suddenly."""
        side = self.face.shape[-1]
        part = np.s_[:, round(0.58 * side) : round(0.90 * side), round(0.31 * side) : round(0.69 * side)]
        return float(np.abs(self.face[part] - other.face[part]).mean()) * 255 > STIRRED


class Opening:
    """The openings of one stream, frame after frame.

    Whoever gives pictures and faces of their own may have no face finder here; nothing is eased then, for none is fetched.

    Args:
        fps: frames a second.
    """

    def __init__(self, fps: Fraction) -> None:
        self._most = FASTEST / float(fps)
        self._past: deque[Drawn] = deque(maxlen=BEFORE)
        self._finder: MediaPipe | None = None
        self._able = all(map(weights.present, ("face_detection_short_range", "face_detection_full_range", "face_landmark_with_attention")))

    def forget(self) -> None:
        """Say that what comes next does not go on from here."""
        self._past.clear()

    def eased(self, face: Floats, paste: Callable[[Floats], Image], known: Face, onto: NDArray[np.float64]) -> Floats:
        """Return a drawn face, its mouth less open where it opens too fast.

        Args:
            face: (3, side, side) BGR in [0, 1].
            paste: lays such a face into its picture.
            known: where the face is in that picture.
            onto: (2, 3) from the picture's pixels to the drawn face's.
        """
        if not self._able:
            return face
        self._finder = self._finder or MediaPipe()
        now = Drawn(face, paste, known, self._finder)
        steps = [now, *reversed(self._past)]
        self._past.append(now)
        if not any(one.stirred(other) for one, other in pairwise(steps)):
            return face
        most = min((before.gap + self._most * (i + 1) for i, before in enumerate(steps[1:])), default=np.inf)
        if now.seen is None or now.gap <= most:
            return face
        points = now.seen.landmarks.points[:468, :2] @ onto[:, :2].T + onto[:, 2]
        return narrowed(face, np.asarray(points, np.float32), most / now.gap)


def narrowed(face: Floats, points: Floats, share: float) -> Floats:
    """Return a face, its mouth opened less far.

    Args:
        face: (k, h, w).
        points: (468, 2) the mesh in it, pixels.
        share: what is left of the opening, 0 to 1.
    """
    goal = points.copy()
    gap = points[_LOWER[1]] - points[_UPPER[1]]  # (11, 2)
    for row in range(2):
        goal[_UPPER[row]] += 0.25 * (1 - share) * gap
        goal[_LOWER[row]] -= 0.75 * (1 - share) * gap
    goal[_CHIN] -= 0.65 * (1 - share) * gap[5]
    held = np.unique(np.concatenate([_UPPER.ravel(), _LOWER.ravel(), _CHIN, _FIXED]))
    height, width = face.shape[1:]
    grid = warp.cover(0, 0, width, height, step=max(2, width // 32))
    away = warp.fine(grid, warp.Spline(goal[held], points[held] - goal[held]).on(grid))[:height, :width]
    at = np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), -1)
    fetched = warp.sample(np.ascontiguousarray(face.transpose(1, 2, 0)), at + away)
    return np.ascontiguousarray(np.clip(fetched, 0, 1).transpose(2, 0, 1))

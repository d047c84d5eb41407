"""The lower face's geometry: where it is in a frame, its shape without that, and how lips, chin and jaw go together. No engine itself.

Shapes are held in the face's own coordinates: turned to face the camera, 1 = the distance between the outer eye corners. Two frames'
shapes can be compared and mixed, and put into a third frame by its pose.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from huashen.face.pose import MODEL, STILL
from huashen.ops import mesh
from huashen.types import Floats

Array = NDArray[np.float64]

REACH = 0.07
"""How far a gap, and a width by as much again, may be drawn from what a unit shows."""
NOSE = 0.8
"""The share of what the foot of the nose is off its place by which a shape is moved there. A pose found from the upper face alone
puts the mouth up to 0.03 too high or too low; the foot of the nose, 0.3 away, says by how much."""

STRAY = 0.03
"""How far lips may be off, each way: three times what is usual. More is a mouth unlike all that was learned from."""

_STILL = np.array(list(STILL))
_RING = np.unique(np.concatenate([mesh.UPPER_LIP[[0, 3]].ravel(), mesh.LOWER_LIP[[0, 3]].ravel()]))
_AROUND = np.array([
    18, 200, 199, 175, 152, 201, 421, 171, 396, 148, 377, 43, 273, 149, 378, 210, 430, 169, 394, 172, 397, 58, 288, 212, 432, 2, 98, 327,
    206, 426, 205, 425, 216, 436,
])  # fmt: skip
POINTS = np.concatenate([_RING, _AROUND])
"""The points of the mesh that the warps hold: lips, chin, jaw, cheeks. They are few because
systems of 100 equations and more are solved by many threads, which on a busy machine wait for each other for a tenth of a second."""
AT = {int(point): i for i, point in enumerate(POINTS)}
"""Where in `POINTS` a point of the mesh is."""
LIPS = len(_RING)
"""The lips' points come first; these are so many."""
UPPER = [[AT[int(i)] for i in row] for row in mesh.UPPER_LIP[[0, 3]]]
LOWER = [[AT[int(i)] for i in row] for row in mesh.LOWER_LIP[[0, 3]]]
"""The outer and the inner row of each lip, from the person's right to the left."""
JAWLINE = [AT[i] for i in (288, 397, 378, 152, 149, 172, 58)]
_FOOT = [AT[i] for i in (2, 98, 327, 206, 426)]


@dataclass(frozen=True)
class Poses:
    """Where the face is in every frame, and the shape of its lower part without that."""

    turn: Array
    """(n, 3, 3)."""
    middle: Array
    """(n, 3) pixels."""
    scale: Array
    """(n,) pixels: the distance between the outer eye corners."""
    shape: Array
    """(n, points, 3) in the face's own coordinates; NaN where there is no face."""
    yaw: Array
    """(n,) degrees."""
    pitch: Array
    """(n,) degrees."""

    def place(self, index: int, shape: Array) -> Floats:
        """Return (…, 2) pixels in a frame of places (…, 3) in the face's coordinates."""
        placed = shape @ self.turn[index].T * self.scale[index] + self.middle[index]
        return np.asarray(placed[..., :2], np.float32)

    def lifted(self, index: int, shifts: Floats) -> Array:
        """Return (…, 3) shifts in the face's coordinates of (…, 2) pixels in a frame."""
        deep = np.concatenate([shifts, np.zeros_like(shifts[..., :1])], -1)
        return np.asarray(deep @ self.turn[index] / self.scale[index], np.float64)


def poses(points: Floats, broken: NDArray[np.bool_]) -> Poses:
    """Find the poses and shapes of (n, 478, 3) points; those that do not speak are steadied over three frames.

    Args:
        points: the mesh in every frame, NaN where there is no face.
        broken: (n,) whether the frame does not go on from the one before it.
    """
    # A thousand frames at a time: twenty minutes at once would take half a gigabyte.
    parts = [_posed(points, broken, begin, min(begin + 1000, len(points))) for begin in range(0, len(points), 1000)]
    turn, middle, eyes, spread, upright = (np.concatenate(column) for column in zip(*parts, strict=True))
    seen = np.isfinite(eyes)
    scale = np.where(seen, spread * np.nanmedian(eyes[seen] / spread[seen]), 1.0)
    shape = np.divide(upright, scale[:, None, None], out=upright)
    shape[~seen] = np.nan
    yaw = np.degrees(np.arcsin(np.clip(turn[:, 2, 0], -1, 1)))
    pitch = np.degrees(np.arctan2(turn[:, 2, 1], turn[:, 2, 2]))
    return _by_nose(Poses(turn, middle, scale, shape, yaw, pitch))


def _posed(points: Floats, broken: NDArray[np.bool_], begin: int, end: int) -> tuple[Array, Array, Array, Array, Array]:
    """Return of some frames the turn, the middle, the distance between the eyes, the spread and the upright lower face, not scaled."""
    low, high = max(0, begin - 1), min(len(points), end + 1)  # the neighbours that steady the first and the last
    used = points[low:high, np.concatenate([_STILL, POINTS])].astype(np.float64)
    alone = broken[low:high].copy()
    alone[0] = True  # the first and the last have no neighbours here
    steady = _steadied(used, alone)
    steady[:, len(_STILL) : len(_STILL) + LIPS] = used[:, len(_STILL) : len(_STILL) + LIPS]
    steady = steady[begin - low : end - low]
    seen = np.isfinite(steady[:, 0, 0])
    filled = np.where(seen[:, None, None], steady, 0)
    still = filled[:, : len(_STILL)]
    middle = still.mean(1)
    u, _, v = np.linalg.svd(np.swapaxes(still - middle[:, None], 1, 2) @ MODEL + 1e-9 * np.eye(3))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    turn = u @ v
    upright = (filled - middle[:, None]) @ turn
    spread = np.sqrt((upright[:, : len(_STILL)] ** 2).sum((1, 2)))
    eyes = np.linalg.norm(points[begin:end, 33] - points[begin:end, 263], axis=1)
    return turn, middle, np.asarray(eyes, np.float64), spread, upright[:, len(_STILL) :]


def _by_nose(found: Poses) -> Poses:
    """Move each face so that the foot of the nose is nearer to where it mostly is."""
    foot = found.shape[:, _FOOT].mean(1)
    off = NOSE * np.nan_to_num(foot - np.nanmedian(foot, axis=0))
    middle = found.middle + np.einsum("nij,nj->ni", found.turn, off) * found.scale[:, None]
    return replace(found, shape=found.shape - off[:, None], middle=middle)


def _steadied(points: Array, broken: NDArray[np.bool_]) -> Array:
    """Average each frame with its neighbours, a quarter of each, not over a break: broken[k] lies between frame k - 1 and k."""
    before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
    alone = broken[:, None, None]
    before = np.where(alone | ~np.isfinite(before), points, before)
    after = np.where(np.roll(alone, -1, 0) | ~np.isfinite(after), points, after)
    return np.asarray(0.25 * before + 0.5 * points + 0.25 * after)


def gap_of(shape: Array) -> Array:
    """Return how far the inner edges of the lips are apart in (…, points, 3) shapes."""
    return np.asarray(np.linalg.norm(shape[..., AT[13], :] - shape[..., AT[14], :], axis=-1))


def width_of(shape: Array) -> Array:
    """Return how wide the mouth is in (…, points, 3) shapes."""
    return np.asarray(np.linalg.norm(shape[..., AT[61], :] - shape[..., AT[291], :], axis=-1))


def fitted(shape: Array, gap: float, width: float) -> Array:
    """Return a (points, 3) shape with its lips that far apart and that wide, as far as a small change goes; the rest stays."""
    out = shape.copy()
    lips = out[:LIPS]
    right, left = shape[AT[61]], shape[AT[291]]
    wide = float(np.linalg.norm(left - right))
    middle = (right + left) / 2
    u = (shape[:LIPS, 0] - middle[0]) / (wide / 2)
    lips[:, 0] += float(np.clip(width - wide, -REACH, REACH)) / wide * (shape[:LIPS, 0] - middle[0])
    more = float(np.clip(gap - gap_of(shape), -REACH, REACH))
    arch = np.clip(1 - np.abs(u) ** 2.2, 0, 1)
    for rows, way in ((UPPER, -0.25), (LOWER, 0.75)):
        for row in rows:
            lips[row, 1] += way * more * arch[row]
    # Lips do not go through each other.
    over, under = UPPER[1], LOWER[1]
    crossed = np.maximum(lips[over, 1] - lips[under, 1], 0)
    lips[over, 1] -= 0.25 * crossed
    lips[under, 1] += 0.75 * crossed
    return out


def misplaced(shapes: Array, units: NDArray[np.intp]) -> Array:
    """Return (n, 3): how far the lips of each of (n, points, 3) shapes are from where lips so far open and so wide are in the others.

    Most of it is the pose's error and how the head is held, which belong to a frame and not to the mouth shown on it.

    Args:
        shapes: NaN where there is no face; 0 is returned there.
        units: the frames to learn from.
    """
    told = np.stack([gap_of(shapes), width_of(shapes)], 1)
    told -= told[units].mean(0)
    places = shapes[:, :LIPS].mean(1)
    places = places - places[units].mean(0)
    known = told[units]
    prior = np.eye(2) * Chin.PRIOR * 0.03**2
    away = places - told @ np.linalg.solve(known.T @ known + prior, known.T @ places[units])
    return np.asarray(np.clip(np.nan_to_num(away), -STRAY, STRAY))


def drifted(values: Array, broken: NDArray[np.bool_]) -> Array:
    """Return (n, k) values without what comes and goes within a tenth of a second, not averaged over a break.

    Args:
        values: one row a frame.
        broken: (n,) whether the frame does not go on from the one before it.
    """
    weights = np.exp(-0.5 * (np.arange(-4, 5) / 2) ** 2)
    run = np.cumsum(broken)
    total, share = np.zeros_like(values), np.zeros(len(values))
    for step, weight in zip(range(-4, 5), weights, strict=True):
        other = np.clip(np.arange(len(values)) + step, 0, len(values) - 1)
        here = weight * (run[other] == run)
        total += here[:, None] * values[other]
        share += here
    return total / share[:, None]


def follow(shape: Array, *, whole: bool) -> Array:
    """Return (points,): how far each point goes with the lips, 1, or stays in the frame's place, 0.

    Args:
        shape: (points, 3) a mean one.
        whole: whether chin, jaw and cheeks go too; otherwise the skin next to the lips only.
    """
    nose, lip, middle = shape[AT[2], 1], shape[AT[0], 1], shape[[AT[61], AT[291]]].mean(0)
    if whole:
        down = np.clip((shape[:, 1] - nose) / (lip - nose), 0, 1)
        across = np.clip(1 - (np.abs(shape[:, 0] - middle[0]) - 0.34) / 0.34, 0, 1)
        share = down * across * across * (3 - 2 * across)
    else:
        away = np.linalg.norm(shape[:, None, :2] - shape[None, :LIPS, :2], axis=2).min(1)
        share = np.clip(1 - away / 0.25, 0, 1)  # faster, and lips that go down would fold over the skin below them
    share[:LIPS] = 1
    return np.asarray(share)


class Chin:
    """How chin, jaw and cheeks go with the lips, learned from a clip.

    A unit's own chin would bring its noise along, and the cheeks would swim; what the lips say about it is steady. A clip that shows
    little gets what faces have in common.

    Args:
        shapes: (n, points, 3) of the frames to learn from.
    """

    PRIOR = 30
    """How many frames of the clip what faces have in common is worth."""

    def __init__(self, shapes: Array) -> None:
        self._mean = shapes.mean(0)
        middle = (self._mean[AT[61]] + self._mean[AT[291]]) / 2
        half = float(width_of(self._mean)) / 2
        below = self._mean[LIPS:, 1] > middle[1] + 0.05
        prior = np.zeros((self._told(self._mean[None]).shape[1], len(self._mean) - LIPS, 3))
        prior[0, :, 1] = below * 0.6 * np.clip(1 - ((self._mean[LIPS:, 0] - middle[0]) / half / 2.2) ** 2, 0, 1)
        told = self._told(shapes) - self._told(self._mean[None])
        rest = (shapes - self._mean)[:, LIPS:] - np.einsum("nk,kpd->npd", told, prior)
        spread = np.diag(np.full(told.shape[1], 0.03**2))
        learned = np.linalg.solve(told.T @ told + self.PRIOR * spread, told.T @ rest.reshape(len(rest), -1))
        self._says = prior + learned.reshape(prior.shape)

    @staticmethod
    def _told(shapes: Array) -> Array:
        """Return (n, 5) what is known of lips: gap, width, how far down each of them and how far aside both are."""
        lower, upper = shapes[:, AT[17], 1], shapes[:, AT[0], 1]
        return np.stack([gap_of(shapes), width_of(shapes), lower, upper, shapes[:, :LIPS, 0].mean(1)], 1)

    def moved(self, own: Array, lips: Array) -> Array:
        """Return how far (points - LIPS, 3) the face moves round the mouth when a shape gets the lips of another one."""
        change = self._told(lips[None])[0] - self._told(own[None])[0]
        return np.asarray((change[:, None, None] * self._says).sum(0))

"""The frames of a clip whose mouths can be used: how they look, what hides or blurs them, which follow each other. No engine itself."""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from huashen.footage import Footage
from huashen.talking_head.lowerface import AT, LIPS, LOWER, UPPER, Poses, gap_of, width_of
from huashen.types import Floats, Image

Array = NDArray[np.float64]

AHEAD = 8
"""Frames the search looks ahead."""
CANDIDATES = 40
LEAP = 5.0
"""What leaving the clip's own order costs, in such steps as make a mouth a visible bit less like the one wanted."""
NEAR = 0.12
"""Such a step in the gap, as a share of the clip's widest; a third of it for lips that shall be shut, where one looks closely."""
AROUND = (24, 20)
"""Columns and rows of the small picture of the mouth's surroundings in which what hides a mouth is looked for."""
STRANGE = 26.0
"""Grey levels by which a part of it must differ from everything that the clip's other frames can explain."""
HIDDEN = (0.15, 0.35)
"""The share of such parts from which a mouth begins to be hidden, and is."""
BLURS = np.array([0.0, 0.5, 0.8, 1.2, 1.8, 2.7, 4.0])
"""Pixels: Gaussian blurs whose effect on a clip's detail is measured."""


class Looks:
    """What the frames of a clip look like round the mouth.

    Args:
        footage: the clip.
        poses: where the face is in it.
        usable: (n,) whether a frame shows the face from the front.
    """

    def __init__(self, footage: Footage, poses: Poses, usable: NDArray[np.bool_]) -> None:
        import cv2

        n, kept = len(footage), len(footage.mouths)
        mean = np.nanmedian(poses.shape[usable], axis=0)
        self._mean = mean
        self.inner = np.zeros((n, 96), np.float32)
        """(n, 96): what is seen between the lips, grey levels."""
        self.detail = np.full(n, np.nan)
        """(n,): how much fine detail the foot of the nose has, which does not speak: little where the frame is blurred."""
        self.grain = np.full(n, np.nan)
        """(n,): how much the lips and their surroundings change from pixel to pixel, see `grain`."""
        around = np.zeros((n, AROUND[1], AROUND[0], 3), np.uint8)
        level = float(mean[:LIPS, 2].mean())
        x, y = float(mean[:LIPS, 0].mean()), float(mean[:LIPS, 1].mean())
        self._box = np.array([[x - 0.40, y - 0.22, level], [x + 0.40, y - 0.22, level], [x - 0.40, y + 0.42, level]])
        size = (AROUND[0] * 4, AROUND[1] * 4)
        corners = np.array([[0, 0], [size[0], 0], [0, size[1]]], np.float32)
        for k in map(int, np.flatnonzero(usable[:kept])):
            mouth, corner = footage.mouths[k], footage.corners[k]
            lips = poses.place(k, poses.shape[k, :LIPS]) - corner
            (a, b), (c, d) = lips.min(0), lips.max(0)
            part = mouth[max(0, int(b)) : max(int(b) + 2, int(d)), max(0, int(a)) : max(int(a) + 2, int(c))]
            if part.size:
                self.inner[k] = cv2.resize(part, (12, 8), interpolation=cv2.INTER_AREA).astype(np.float32).mean(2).ravel()
            self.grain[k] = grain(mouth, lips, float(poses.scale[k]))
            onto = cv2.getAffineTransform(np.asarray(poses.place(k, self._box) - corner, np.float32), corners)
            near = cv2.warpAffine(mouth, onto, size, borderMode=cv2.BORDER_REPLICATE)
            around[k] = cv2.resize(near, AROUND, interpolation=cv2.INTER_AREA)
            self.detail[k] = _fine(self._nose(mouth, poses, k, corner))
        self.hidden = np.zeros(n)
        """(n,) in [0, 1]: how surely something is before the mouth."""
        self.hidden[usable] = _strange(around[usable], self._skin(poses.shape[usable]))
        self.detail = _flat(self.detail)
        self._table = self._blurring(footage, poses, usable)

    def blur(self, index: int, unit: int) -> float:
        """Return by how many pixels (standard deviation) a unit's mouth must be blurred to look as blurred as a frame."""
        ratio = float(self.detail[index] / self.detail[unit])
        if not np.isfinite(ratio) or ratio > 0.85:  # what frames of one clip differ by anyway
            return 0.0
        return float(np.interp(-ratio / 0.85, -self._table, BLURS))

    def _nose(self, mouth: Image, poses: Poses, k: int, corner: NDArray[np.int32]) -> Image:
        """Return the foot of the nose."""
        x, y = poses.place(k, self._mean[AT[2]]) - corner
        aside, up, down = np.array([0.17, 0.16, 0.03]) * poses.scale[k]
        return mouth[max(0, int(y - up)) : max(2, int(y + down)), max(0, int(x - aside)) : max(2, int(x + aside))]

    def _skin(self, shapes: Array) -> NDArray[np.bool_]:
        """Return (rows, columns): which parts of the small picture never show the lips or what is between them."""
        import cv2

        (x0, y0, _), (x1, _, _), (_, y1, _) = self._box
        lips = np.zeros((AROUND[1], AROUND[0]), np.uint8)
        scale = np.array([AROUND[0] / (x1 - x0), AROUND[1] / (y1 - y0)])
        for shape in shapes[:: max(1, len(shapes) // 200)]:
            outline = np.concatenate([shape[UPPER[0], :2], shape[LOWER[0][::-1], :2]])
            cv2.fillPoly(lips, [np.rint((outline - (x0, y0)) * scale - 0.5).astype(np.int32)], 1)
        return np.asarray(cv2.dilate(lips, np.ones((3, 3), np.uint8)) == 0)

    def _blurring(self, footage: Footage, poses: Poses, usable: NDArray[np.bool_]) -> Array:
        """Return for each of `BLURS` the share of the detail that is left, median over the clip's sharper frames."""
        import cv2

        known = np.flatnonzero(usable & np.isfinite(self.detail))
        if not len(known):
            return np.linspace(1, 0, len(BLURS))
        sharper = known[np.argsort(self.detail[known])[len(known) // 2 :]]
        rows = []
        for k in map(int, sharper[:: max(1, len(sharper) // 12)]):
            nose = self._nose(footage.mouths[k], poses, k, footage.corners[k])
            own = max(_fine(nose), 1e-3)
            rows.append([1.0] + [_fine(np.asarray(cv2.GaussianBlur(nose, (0, 0), float(s)), np.uint8)) / own for s in BLURS[1:]])
        return np.asarray(np.minimum.accumulate(np.median(rows, axis=0)) - 1e-6 * np.arange(len(BLURS)), np.float64)


def lip_box(lips: Floats, scale: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return rows and columns of the lips, (n, 2) pixels, and a little skin, in a picture of a shape."""
    (a, b), (c, d) = lips.min(0) - 0.06 * scale, lips.max(0) + 0.06 * scale
    return slice(max(0, int(b)), max(1, min(shape[0], int(d)))), slice(max(0, int(a)), max(1, min(shape[1], int(c))))


def grain(image: Image, lips: Floats, scale: float) -> float:
    """Return the variance of the Laplacian round the lips of a picture; NaN where there is too little of it."""
    import cv2

    part = image[lip_box(lips, scale, image.shape)]
    if min(part.shape[:2]) < 4:
        return float("nan")
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _fine(image: Image) -> float:
    """Return how much a picture changes from pixel to pixel, in shares of its light."""
    import cv2

    if min(image.shape[:2]) < 4:
        return float("nan")
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.5)).mean() / (grey.mean() + 8))


def _flat(values: Array) -> Array:
    """Average each value with its neighbours, a quarter of each, where they are known."""
    before, after = np.roll(values, 1), np.roll(values, -1)
    before[:1], after[-1:] = values[:1], values[-1:]
    before, after = np.where(np.isfinite(before), before, values), np.where(np.isfinite(after), after, values)
    return np.asarray(0.25 * before + 0.5 * values + 0.25 * after)


def _strange(around: Image, skin: NDArray[np.bool_]) -> Array:
    """Return (n,) in [0, 1]: how far small pictures show something that the others do not.

    What a dozen mixtures of the frames cannot explain is strange: light, turns and the jaw's ways are explained, a hand that comes
    and goes is not. The frames explained worst are left out when the mixtures are found again, or a hand would explain itself.
    """
    flat = around[:, skin].reshape(len(around), -1)
    score = np.zeros(len(flat))
    if len(flat) < 50 or skin.sum() < 40:
        return score
    blocks = [slice(begin, begin + 1000) for begin in range(0, len(flat), 1000)]  # long clips would fill the memory at once
    # Begun with the frames nearest to the middle of all, and widened.
    middle = np.median(flat, axis=0).astype(np.float32)
    share = np.concatenate([np.abs(flat[block] - middle).mean(1) for block in blocks])
    for axes_kept in (4, 6, 8, 8):
        fair = np.flatnonzero(share <= max(HIDDEN[0], float(np.percentile(share, 55))))
        chosen = flat[fair[:: max(1, len(fair) // 400)]].astype(np.float32)
        mean = np.median(chosen, axis=0)
        axes = np.linalg.svd(chosen - mean, full_matrices=False)[2][:axes_kept]

        def left(pictures: Floats, mean: Floats = mean, axes: Floats = axes) -> Floats:
            away = pictures - mean
            return np.asarray(np.abs(away - (away @ axes.T) @ axes).reshape(len(away), -1, 3).max(2), np.float32)

        usual = 1.48 * np.median(left(chosen), axis=0) + 2
        limit = np.maximum(STRANGE, 4 * usual)
        share = np.concatenate([(left(flat[block].astype(np.float32)) > limit).mean(1) for block in blocks])
        score = np.clip((share - HIDDEN[0]) / (HIDDEN[1] - HIDDEN[0]), 0, 1)
    return score


class Search:
    """Finds the units for a stretch of wanted mouths: near in shape and pose, and following each other in the clip where they can.

    A fixed-lag Viterbi search: a frame is decided `AHEAD` frames later, and what does not go through the decision is given up.

    Args:
        units: the frames whose mouths may be used.
        broken: (n,) whether a frame does not go on from the one before it.
        poses, looks: of all frames.
        top: how far the mouth opens.
    """

    def __init__(self, units: NDArray[np.intp], broken: NDArray[np.bool_], poses: Poses, looks: Looks, top: float) -> None:
        self._units, self._broken = units, broken
        self._features = _features(units, poses, looks)
        self._gap, self._width = gap_of(poses.shape), width_of(poses.shape)
        self._yaw, self._pitch = poses.yaw, poses.pitch
        self._allowed = np.zeros(len(self._gap) + 2, bool)
        self._allowed[units] = True
        self._top = top
        self._seen = np.isfinite(self._gap)
        known = looks.detail[np.isfinite(looks.detail)]
        self._detail = np.log(np.nan_to_num(looks.detail, nan=float(np.median(known)) if len(known) else 1.0) + 1e-6)

    def allowed(self, unit: int) -> bool:
        """Return whether a frame's mouth may be used."""
        return unit >= 0 and bool(self._allowed[unit])

    def path(self, wanted: Iterable[tuple[float, float, int]], after: int | None = None) -> Iterator[int]:
        """Yield a unit for each (gap, width, frame of the clip on which it is shown), `AHEAD` frames behind; the first follows `after`."""
        found = self._path(wanted, after)
        if after is not None:
            next(found, None)  # itself
        yield from found

    def _path(self, wanted: Iterable[tuple[float, float, int]], after: int | None) -> Iterator[int]:
        steps: deque[tuple[NDArray[np.intp], NDArray[np.intp]]] = deque()  # units, and for each the place of the one before it
        total = np.zeros(0)
        if after is not None:
            steps.append((np.array([after], np.intp), np.zeros(1, np.intp)))
            total = np.zeros(1)
        for gap, width, index in wanted:
            cost = self._cost(gap, width, index)
            last = steps[-1][0] if steps else np.zeros(0, np.intp)
            on = np.concatenate([last, last + 1, last + 2, last[last > 0] - 1])
            on = on[self._allowed[on]]
            best = self._units[np.argpartition(cost[self._units], min(CANDIDATES, len(self._units) - 1))[:CANDIDATES]]
            units = np.unique(np.concatenate([best, on]))
            if len(units) > 3 * CANDIDATES:
                units = np.sort(units[np.argpartition(cost[units], 3 * CANDIDATES)[: 3 * CANDIDATES]])
            if not steps:
                steps.append((units, np.zeros(len(units), np.intp)))
                total = cost[units]
                continue
            through = total[:, None] + self._change(last, units)
            before = np.argmin(through, axis=0)
            total = through[before, np.arange(len(units))] + cost[units]
            total -= total.min()
            steps.append((units, before))
            if len(steps) > AHEAD:
                places = np.arange(len(units))
                for _, back in list(steps)[:0:-1]:
                    places = back[places]
                chosen = places[int(np.argmin(total))]
                total = np.where(places == chosen, total, np.inf)
                yield int(steps.popleft()[0][chosen])
                head_units, _ = steps[0]
                steps[0] = (head_units, np.zeros(len(head_units), np.intp))
        if steps:
            place = int(np.argmin(total))
            found = []
            for units, back in reversed(steps):
                found.append(int(units[place]))
                place = int(back[place])
            yield from reversed(found)

    def _cost(self, gap: float, width: float, index: int) -> Array:
        """Return for every frame of the clip how far its mouth is from the one wanted."""
        near = NEAR * self._top * min(1.0, 1 / 3 + 2 * gap / self._top)
        cost = ((self._gap - gap) / near) ** 2 + ((self._width - width) / 0.04) ** 2
        if self._seen[index]:
            cost = cost + ((self._yaw - self._yaw[index]) / 8) ** 2 + ((self._pitch - self._pitch[index]) / 8) ** 2
            # A blurred mouth on a sharp face is seen; a sharp one can be blurred.
            cost = cost + (np.maximum(self._detail[index] - self._detail - 0.1, 0) / 0.3) ** 2
        return np.asarray(np.nan_to_num(cost, nan=1e6))

    def _change(self, before: NDArray[np.intp], after: NDArray[np.intp]) -> Array:
        """Return (before, after): how much one would notice that one unit follows another."""
        following = np.where(self._allowed[before + 1], before + 1, before)
        a, b = self._features[following], self._features[after]
        square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
        found = LEAP + np.maximum(square, 0)
        step = after[None] - before[:, None]
        for way, price in ((1, 0.0), (2, 0.35), (0, 0.35), (-1, 0.6)):
            here = step == way
            if way:
                crossed = self._broken[np.maximum(before[:, None], after[None])]
                here &= ~crossed
            found[here] = np.minimum(found[here], price)
        return np.asarray(found, np.float64)


def _features(units: NDArray[np.intp], poses: Poses, looks: Looks) -> Floats:
    """Return (n, k): the lips' shape, and what is seen between and around them, such that 1 is a change one would notice."""
    shape = poses.shape[:, :LIPS, :2]
    lips = np.nan_to_num(shape - shape.mean(1, keepdims=True)).reshape(len(shape), -1) / (0.02 * np.sqrt(LIPS))
    found = np.concatenate([lips, looks.inner / (20.0 * np.sqrt(96))], 1)
    used = found[units] - found[units].mean(0)
    _, axes = np.linalg.eigh(used.T @ used)
    return np.asarray(found @ axes[:, -12:], np.float32)

"""A clip's own mouths, put in another order: what a person says anew is drawn with that person's lips, teeth and skin.

The way of a frame: `Motion` → the gap and width wanted, by the agreed model, scaled to how far this person opens the mouth → the unit
(a frame of the clip) whose mouth comes nearest, found for a whole stretch at once so that the clip's own frames follow each other
where they can (`_Search`) → the lips' shape, mixed over where two stretches meet and fitted exactly (`_fitted`) → the clip's frame is
warped so that its lips, chin and jaw have that shape → the unit's mouth, warped to the same shape, its light matched, is laid over it.

Shapes are compared and mixed in the face's own coordinates (`_Poses`): turned to face the camera, 1 = the distance between the outer eye
corners. Both warps end on the same points, so nothing has to be found at the seam.

Source: Bregler, Covell and Slaney, Video Rewrite, SIGGRAPH 1997; Suwajanakorn, Seitz and Kemelmacher-Shlizerman, Synthesizing Obama,
ACM Transactions on Graphics 36(4), 2017.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from huashen.audio2face import Driver
from huashen.avatar import Avatar
from huashen.errors import InputError, NoSpeechError
from huashen.face.pose import MODEL, STILL
from huashen.footage import Footage
from huashen.ops import mesh, warp
from huashen.types import ARKIT_INDEX, Floats, Frame, Image, Motion, Speech, Video
from huashen.words import tr

Array = NDArray[np.float64]

LEAST = 0.04
"""How far the mouth must open somewhere in a clip, in distances between the outer eye corners: an eighth of what speakers do."""
FEWEST = 25
"""Frames with a face from which a mouth can be made."""
LOUD, WIDE = 0.22, 0.045
"""What drivers mean by a mouth wide open (97th percentile of the gap) and by a change of width (standard deviation)."""
AHEAD = 8
"""Frames the search looks ahead."""
MIX = np.array([0.08, 0.24, 0.36, 0.24, 0.08])
"""Shares of the units chosen for the two frames before, the frame itself and the two after it: where they come from one stretch of the
clip they are one and the same picture."""
CANDIDATES = 40
LEAP = 2.0
"""What leaving the clip's own order costs, in such steps as make a mouth a visible bit less like the one wanted."""
NEAR = 0.12
"""Such a step in the gap, as a share of the clip's widest; a third of it for lips that shall be shut, where one looks closely."""
REACH = 0.07
"""How far a gap, and a width by as much again, may be drawn from what a unit shows."""
SHARPEN = 0.30
"""What fetching pixels between pixels takes of the fine detail, given back."""
GENTLE = 5
"""Frames over which the mouth comes and goes where a face is found and lost."""
SIDE = (38.0, 55.0)
"""Degrees of yaw from which the picture's own mouth begins to stay, and stays altogether."""

_STILL = np.array(list(STILL))
_RING = np.unique(np.concatenate([mesh.UPPER_LIP[[0, 3]].ravel(), mesh.LOWER_LIP[[0, 3]].ravel()]))
_AROUND = np.array([
    18, 200, 199, 175, 152, 201, 421, 171, 396, 148, 377, 43, 273, 149, 378, 210, 430, 169, 394, 172, 397, 58, 288, 212, 432, 2, 98, 327,
    206, 426, 205, 425, 216, 436,
])  # fmt: skip
POINTS = np.concatenate([_RING, _AROUND])
"""The points of the mesh that the warps hold: lips, chin, jaw, cheeks. They are few because
systems of 100 equations and more are solved by many threads, which on a busy machine wait for each other for a tenth of a second."""
_AT = {int(point): i for i, point in enumerate(POINTS)}
_LIPS = len(_RING)
_PATCH = [_AT[i] for i in (98, 206, 216, 212, 210, 169, 171, 175, 396, 394, 430, 432, 436, 426, 327, 2)]
"""The outline of what is taken from a unit: under the nose, along the folds of the cheeks, within the chin."""
_UPPER = [[_AT[int(i)] for i in row] for row in mesh.UPPER_LIP[[0, 3]]]
_LOWER = [[_AT[int(i)] for i in row] for row in mesh.LOWER_LIP[[0, 3]]]
_JAWLINE = [_AT[i] for i in (288, 397, 378, 152, 149, 172, 58)]


class Mouthbank:
    """Makes the person in a clip say something else.

    Args:
        driver: makes motion from speech.
        fps: frames a second; a clip of another rate is shown at its own speed.
        size: (width, height) of the video; the clip's own when None. Another shape is cut round the face.
    """

    def __init__(self, *, driver: Driver, fps: Fraction = Fraction(25), size: tuple[int, int] | None = None) -> None:
        self.lookahead = driver.lookahead + float((AHEAD + len(MIX) // 2) / fps)
        self._driver = driver
        self._fps = fps
        self._size = size

    def animate(self, avatar: Avatar | Footage, speech: Iterable[Speech]) -> Video:
        """Return the video, rendered as it is read.

        Raises:
            InputError: the avatar is a picture, or a clip in which the mouth is hardly ever open.
            NoSpeechError: there is no sound at all.
        """
        if isinstance(avatar, Avatar):
            raise InputError(tr(
                "mouthbank takes mouths from a clip, and a picture has one only; give --face a video, or use --engine puppet",
                "mouthbank 需要从视频中取口型，图片不行；请用 --face 给出视频，或使用 --engine puppet",
            ))  # fmt: skip
        footage = avatar.fitted(self._size) if self._size else avatar
        bank = Bank(footage)
        motions = self._driver.drive(speech, self._fps)
        first = next(motions, None)
        if first is None:
            raise NoSpeechError(tr("there is no sound to speak", "没有可说的声音"))
        frames = self._frames(bank, chain([first], motions))
        return Video(frames, self._fps, footage.goal or footage.size, first.audio.rate)

    def _frames(self, bank: "Bank", motions: Iterable[Motion]) -> Iterator[Frame]:
        wanted = ((motion, *bank.wanted(motion)) for motion in motions)
        yield from redrawn(bank, wanted, self._fps)


def redrawn(bank: "Bank", wanted: Iterable[tuple[Motion, float, float]], fps: Fraction, *, begin: int = 0) -> Iterator[Frame]:
    """Yield frames whose mouths are as wanted.

    Args:
        bank: where frames and mouths come from.
        wanted: for each frame its motion, whose sound it carries, and the gap and the width of the mouth.
        fps: frames a second.
        begin: how many frames of the clip's order to pass over.
    """
    footage = bank.footage
    shown, pictured = (_from(footage.order(fps), begin) for _ in range(2))
    held: deque[tuple[Motion, float, float, int]] = deque()
    again: deque[int] = deque()  # frames of the clip that were to be shown with what was dropped
    source = iter(wanted)
    cut: tuple[Motion, float, float] | None = None  # what comes after frames that were dropped

    def asked() -> Iterator[tuple[float, float, int]]:
        nonlocal cut
        first, cut = cut, None
        for motion, gap, width in chain([first] if first else [], source):
            if motion.dropped and held:
                cut = motion, gap, width
                return
            k = again.popleft() if again else next(shown)
            held.append((motion, gap, width, k))
            yield gap, width, k

    images = footage.images(pictured)
    reach = len(MIX) // 2
    near: deque[int] = deque()
    index = -1

    def drawn(image: Image) -> Frame:
        nonlocal index
        motion, gap, width, k = held.popleft()
        index += 1 + motion.dropped
        units = [near[min(max(i, 0), len(near) - 1)] for i in range(at - reach, at + reach + 1)]
        return Frame(footage.shown(bank.draw(image, k, gap, width, units)), motion.audio, index)

    at = 0  # where in `near` the frame is that comes next
    after: int | None = None
    while True:
        for unit in bank.search(asked(), after):
            if cut is not None:
                break
            near.append(unit)
            if len(near) > at + reach:
                yield drawn(next(images))
                if at == reach:
                    near.popleft()
                else:
                    at += 1
        if cut is None:
            break
        # Frames that wait here are dropped as well; the clip goes on where it is.
        again.extendleft(k for _, _, _, k in reversed(held))
        index += sum(1 + motion.dropped for motion, _, _, _ in held)
        held.clear()
        near = deque(list(near)[:at])
        after = near[-1] if near else None
    while at < len(near):
        yield drawn(next(images))
        at += 1


def _from(order: Iterator[int], begin: int) -> Iterator[int]:
    for _ in range(begin):
        next(order)
    return order


@dataclass(frozen=True)
class _Poses:
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
        """Return (points, 2) pixels in a frame of a shape (points, 3)."""
        placed = shape @ self.turn[index].T * self.scale[index] + self.middle[index]
        return np.asarray(placed[:, :2], np.float32)


def _poses(points: Floats, broken: NDArray[np.bool_]) -> _Poses:
    """Find the poses and shapes of (n, 478, 3) points; the points that do not speak are steadied over three frames."""
    used = points[:, np.concatenate([_STILL, POINTS])].astype(np.float64)
    steady = _steadied(used, broken)
    steady[:, len(_STILL) : len(_STILL) + _LIPS] = used[:, len(_STILL) : len(_STILL) + _LIPS]
    seen = np.isfinite(steady[:, 0, 0])
    filled = np.where(seen[:, None, None], steady, 0)
    still = filled[:, : len(_STILL)]
    middle = still.mean(1)
    u, _, v = np.linalg.svd(np.swapaxes(still - middle[:, None], 1, 2) @ MODEL + 1e-9 * np.eye(3))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ v))[:, None]
    turn = u @ v
    upright = (filled - middle[:, None]) @ turn
    spread = np.sqrt((upright[:, : len(_STILL)] ** 2).sum((1, 2)))
    eyes = np.linalg.norm(points[:, 33] - points[:, 263], axis=1)
    scale = np.where(seen, spread * np.nanmedian(eyes[seen] / spread[seen]), 1.0)
    shape = upright[:, len(_STILL) :] / scale[:, None, None]
    shape[~seen] = np.nan
    yaw = np.degrees(np.arcsin(np.clip(turn[:, 2, 0], -1, 1)))
    pitch = np.degrees(np.arctan2(turn[:, 2, 1], turn[:, 2, 2]))
    return _Poses(turn, middle, scale, shape, yaw, pitch)


def _steadied(points: Array, broken: NDArray[np.bool_]) -> Array:
    """Average each frame with its neighbours, a quarter of each, not over a break: broken[k] lies between frame k - 1 and k."""
    before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
    alone = broken[:, None, None]
    before = np.where(alone | ~np.isfinite(before), points, before)
    after = np.where(np.roll(alone, -1, 0) | ~np.isfinite(after), points, after)
    return np.asarray(0.25 * before + 0.5 * points + 0.25 * after)


class Bank:
    """The mouths of a clip, by shape.

    Args:
        footage: the clip.
        until: use the mouths of the frames before this one only; all of them without.

    Raises:
        InputError: the mouth is hardly ever open in it.
    """

    def __init__(self, footage: Footage, *, until: int | None = None) -> None:
        self.footage = footage
        seen = footage.seen()
        eyes = float(np.nanmedian(np.linalg.norm(footage.points[:, 33, :2] - footage.points[:, 263, :2], axis=1)))
        leap = np.linalg.norm(footage.points[1:, 6, :2] - footage.points[:-1, 6, :2], axis=1) > 0.35 * eyes
        self._broken = np.concatenate([[True], leap | ~seen[1:] | ~seen[:-1]])
        self.poses = _poses(footage.points, self._broken)
        shape = self.poses.shape
        self.gap = np.linalg.norm(shape[:, _AT[13]] - shape[:, _AT[14]], axis=1)
        self.width = np.linalg.norm(shape[:, _AT[61]] - shape[:, _AT[291]], axis=1)
        usable = seen & (np.abs(self.poses.yaw) < SIDE[0])
        usable[len(footage.mouths) if until is None else min(until, len(footage.mouths)) :] = False
        self._units = np.flatnonzero(usable)
        name = footage.path.name
        if len(self._units) < FEWEST:
            raise InputError(tr(
                f"{name} shows the mouth from the front in {len(self._units)} frames only, too few to make it speak; "
                "give a longer clip, or a picture of the person",
                f"{name} 中只有 {len(self._units)} 帧从正面看到嘴，不足以合成说话；请给出更长的视频，或该人物的图片",
            ))  # fmt: skip
        top = float(np.percentile(self.gap[self._units], 97))
        self.shut = float(np.percentile(self.gap[self._units], 2))
        if top - self.shut < LEAST:
            raise InputError(tr(
                f"the mouth hardly opens in {name}, so there are no teeth to take from it; give a clip in which the person speaks, "
                "or a picture of the person",
                f"{name} 中的嘴几乎没有张开，无法取得牙齿等口型；请给出此人说话的视频，或该人物的图片",
            ))  # fmt: skip
        self._top = top
        closed = self._units[self.gap[self._units] <= self.shut + 0.2 * (top - self.shut)]
        self._rest = float(np.median(self.width[closed]))
        self._spread = float(np.std(self.width[self._units]))
        self._follow = _follow(np.nanmedian(shape[self._units], axis=0))
        self._share = _shares(seen, self.poses.yaw)
        self._search = _Search(self._units, self._broken, self._features(), self.gap, self.width, self.poses, top)
        self._eyes = eyes

    def wanted(self, motion: Motion) -> tuple[float, float]:
        """Return the gap and the width that a motion asks of this person, in distances between the outer eye corners."""

        def w(name: str) -> float:
            both = ("Left", "Right") if f"{name}Left" in ARKIT_INDEX else ("",)
            return float(np.mean([motion.weights[ARKIT_INDEX[name + side]] for side in both]))

        parted = 1 - w("mouthClose")
        gap = (0.30 * w("jawOpen") + 0.035 * w("mouthUpperUp") + 0.045 * w("mouthLowerDown") - 0.03 * w("mouthPucker")) * parted
        change = 0.13 * w("mouthStretch") + 0.10 * w("mouthSmile") - 0.17 * w("mouthPucker") - 0.10 * w("mouthFunnel")
        most = self._top - self.shut
        gap = max(0.0, gap) * float(np.clip(most / LOUD, 0.3, 1.4))
        if gap > 0.8 * most:  # nothing in the clip is opened much further
            gap = most * (0.8 + 0.3 * float(np.tanh((gap / most - 0.8) / 0.3)))
        broad = float(np.clip(self._spread / WIDE, 0.4, 1.2))
        return self.shut + gap, self._rest + change * broad

    def search(self, wanted: Iterable[tuple[float, float, int]], after: int | None = None) -> Iterator[int]:
        """Yield a unit for each (gap, width, frame of the clip on which it is shown), `AHEAD` frames behind; the first follows `after`."""
        return self._search.path(wanted, after)

    def draw(self, image: Image, index: int, gap: float, width: float, units: list[int]) -> Image:
        """Return a frame with another mouth.

        Args:
            image: frame `index` of the clip; it may be written to.
            index: which frame that is.
            gap, width: of the mouth wanted.
            units: the frames whose mouths are chosen about this one, in time.
        """
        share = float(self._share[index])
        if share <= 0:
            return image
        mixed = self._mixed(units)
        whole = sum(weight**3 for weight in mixed.values())
        # Two pictures of teeth make a ghost, so less of them is mixed than of the shapes.
        seen = {unit: weight**3 / whole for unit, weight in mixed.items() if weight**3 > 0.05 * whole}
        own = self.poses.shape[index]
        shape = sum(weight * self.poses.shape[unit] for unit, weight in mixed.items())
        shape = own + self._follow[:, None] * (_fitted(np.asarray(shape), gap, width) - own)
        shape = own + share * (shape - own)
        return self._lay(image, index, shape, seen, share)

    def _mixed(self, units: list[int]) -> dict[int, float]:
        """Return which units are seen how much: each of those chosen nearby goes on in time to this frame where the clip does."""
        found: dict[int, float] = {}
        middle = len(units) // 2
        for i, (unit, weight) in enumerate(zip(units, MIX, strict=True)):
            steps = middle - i
            way = 1 if steps > 0 else -1
            for _ in range(abs(steps)):
                after = unit + way
                if not self._search.allowed(after) or self._broken[max(unit, after)]:
                    break
                unit = after
            found[unit] = found.get(unit, 0.0) + float(weight)
        return found

    def _lay(self, image: Image, index: int, shape: Array, units: dict[int, float], share: float) -> Image:
        """Warp a frame's lower face to a shape and lay the mouths of units, warped to the same, over it."""
        import cv2

        scale = float(self.poses.scale[index])
        goal = self.poses.place(index, shape)
        source = self.poses.place(index, self.poses.shape[index])
        height, width = image.shape[:2]
        low, high = goal.min(0), goal.max(0)
        x0, y0 = (max(0, int(v)) for v in low - (0.30 * scale, 0.06 * scale))
        x1, y1 = min(width, int(high[0] + 0.30 * scale)), min(height, int(high[1] + 0.45 * scale))
        if x1 - x0 < 8 or y1 - y0 < 8:
            return image
        grid = warp.cover(x0, y0, x1, y1, step=max(2, round(0.035 * scale)))
        at = _pixels(grid)
        away = (source - goal).astype(np.float32)
        outside = _outside(source, scale)
        field = warp.Spline(np.concatenate([goal, outside]), np.concatenate([away, np.zeros_like(outside)])).on(grid)
        rim = np.minimum.reduce([at[..., 0] - x0, x1 - 1 - at[..., 0], at[..., 1] - y0, y1 - 1 - at[..., 1]])
        field = warp.fine(grid, field) * np.clip(rim / (0.12 * scale), 0, 1)[..., None]
        rows, columns = slice(y0, y1), slice(x0, x1)
        canvas = warp.sample(image, (at + field)[: y1 - y0, : x1 - x0]).astype(np.float32)
        patch = np.zeros_like(canvas)
        whole = sum(units.values())
        for unit, weight in units.items():
            corner = self.footage.corners[unit]
            theirs = self.poses.place(unit, self.poses.shape[unit]) - corner
            way = warp.fine(grid, warp.Spline(goal, theirs - goal).on(grid))
            patch += np.float32(weight / whole) * warp.sample(self.footage.mouths[unit], (at + way)[: y1 - y0, : x1 - x0])
        patch += SHARPEN * (patch - cv2.GaussianBlur(patch, (0, 0), 1.0))
        corner_ = np.array([x0, y0], np.float32)
        mask = _mask(goal - corner_, canvas.shape[:2], scale)
        patch += _light(canvas - patch, mask, goal - corner_, scale)
        out = image.copy()
        drawn = canvas + (mask * np.float32(share))[..., None] * (patch - canvas)
        out[rows, columns] = np.clip(np.rint(drawn), 0, 255).astype(np.uint8)
        return out

    def _features(self) -> Floats:
        """Return (n, k): the lips' shape, and what is seen between and around them, such that 1 is a change one would notice."""
        import cv2

        shape = self.poses.shape[:, :_LIPS, :2]
        lips = np.nan_to_num(shape - shape.mean(1, keepdims=True)).reshape(len(shape), -1) / (0.02 * np.sqrt(_LIPS))
        looks = np.zeros((len(shape), 96), np.float32)
        for unit in map(int, self._units):
            mouth = self.footage.mouths[unit]
            inner = self.poses.place(unit, self.poses.shape[unit])[:_LIPS] - self.footage.corners[unit]
            (a, b), (c, d) = inner.min(0), inner.max(0)
            box = mouth[max(0, int(b)) : max(int(b) + 2, int(d)), max(0, int(a)) : max(int(a) + 2, int(c))]
            looks[unit] = cv2.resize(box, (12, 8), interpolation=cv2.INTER_AREA).astype(np.float32).mean(2).ravel()
        found = np.concatenate([lips, looks / (20.0 * np.sqrt(96))], 1)
        used = found[self._units] - found[self._units].mean(0)
        _, axes = np.linalg.eigh(used.T @ used)
        return np.asarray(found @ axes[:, -12:], np.float32)


class _Search:
    """Finds the units for a stretch of wanted mouths: near in shape and pose, and following each other in the clip where they can.

    A fixed-lag Viterbi search: a frame is decided `AHEAD` frames later, and what does not go through the decision is given up.
    """

    def __init__(
        self, units: NDArray[np.intp], broken: NDArray[np.bool_], features: Floats, gap: Array, width: Array, poses: _Poses, top: float
    ) -> None:
        self._units, self._broken, self._features = units, broken, features
        self._allowed = np.zeros(len(gap) + 2, bool)
        self._allowed[units] = True
        self._gap, self._width, self._yaw, self._pitch = gap, width, poses.yaw, poses.pitch
        self._top = top
        self._seen = np.isfinite(gap)

    def allowed(self, unit: int) -> bool:
        """Return whether a frame's mouth may be used."""
        return unit >= 0 and bool(self._allowed[unit])

    def path(self, wanted: Iterable[tuple[float, float, int]], after: int | None = None) -> Iterator[int]:
        """Yield a unit for each mouth wanted; the first follows the unit `after`."""
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


def _fitted(shape: Array, gap: float, width: float) -> Array:
    """Return a shape with its lips that far apart and that wide, as far as a small change goes."""
    out = shape.copy()
    right, left = shape[_AT[61]], shape[_AT[291]]
    wide = float(np.linalg.norm(left - right))
    middle = (right + left) / 2
    stretch = float(np.clip(width - wide, -REACH, REACH)) / wide
    u = (shape[:, 0] - middle[0]) / (wide / 2)
    near = np.exp(-(np.maximum(np.abs(u) - 1, 0) / 0.5) ** 2) * np.exp(-(((shape[:, 1] - middle[1]) / 0.35) ** 2))
    out[:, 0] += stretch * (shape[:, 0] - middle[0]) * near
    have = float(np.linalg.norm(shape[_AT[13]] - shape[_AT[14]]))
    more = float(np.clip(gap - have, -REACH, REACH))
    arch = np.clip(1 - np.abs(u) ** 2.2, 0, 1)
    for rows, way in ((_UPPER, -0.25), (_LOWER, 0.75)):
        for row in rows:
            out[row, 1] += way * more * arch[row]
    # Lips do not go through each other.
    over, under = _UPPER[1], _LOWER[1]
    crossed = np.maximum(out[over, 1] - out[under, 1], 0)
    out[over, 1] -= 0.25 * crossed
    out[under, 1] += 0.75 * crossed
    chin = shape[_LIPS:, 1] > middle[1] + 0.05
    out[_LIPS:, 1] += chin * 0.6 * more * np.clip(1 - (np.abs(u[_LIPS:]) / 2.2) ** 2, 0, 1)
    return out


def _follow(shape: Array) -> Array:
    """Return (points,): how far each point takes its place from the units, 1, or from the frame, 0, for a mean shape (points, 3)."""
    nose, lip, middle = shape[_AT[2], 1], shape[_AT[0], 1], shape[[_AT[61], _AT[291]]].mean(0)
    down = np.clip((shape[:, 1] - nose) / (lip - nose), 0, 1)
    aside = np.abs(shape[:, 0] - middle[0])
    across = np.clip(1 - (aside - 0.34) / 0.34, 0, 1)
    share = down * across * across * (3 - 2 * across)
    share[:_LIPS] = 1
    return np.asarray(share)


def _shares(seen: NDArray[np.bool_], yaw: Array) -> Array:
    """Return (n,): how far each frame's mouth is drawn anew."""
    n = len(seen)
    lost = np.flatnonzero(~seen)
    near = np.full(n, np.inf)
    if len(lost):
        near = np.abs(np.arange(n)[:, None] - lost[None]).min(1).astype(np.float64) if n * len(lost) < 1e7 else _nearest(lost, n)
    facing = np.clip((SIDE[1] - np.abs(yaw)) / (SIDE[1] - SIDE[0]), 0, 1)
    return np.asarray(np.where(seen, np.clip(near / GENTLE, 0, 1) * facing, 0))


def _nearest(lost: NDArray[np.intp], n: int) -> Array:
    """Return (n,): how far each number is from the nearest of some sorted ones."""
    after = np.searchsorted(lost, np.arange(n))
    ends = np.concatenate([[-n], lost, [2 * n]])
    return np.asarray(np.minimum(np.arange(n) - ends[after], ends[after + 1] - np.arange(n)), np.float64)


def _outside(points: Floats, scale: float) -> Floats:
    """Return places round the lower face that stay where they are."""
    jaw = points[_JAWLINE]
    middle = points[_AT[2]]
    away = jaw - middle
    far = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    return np.asarray(np.concatenate([jaw + 0.30 * scale * far, jaw[::2] + 0.55 * scale * far[::2]]), np.float32)


def _pixels(grid: warp.Grid) -> Floats:
    """Return (height, width, 2): the x, y of every pixel of a grid."""
    x = np.arange(grid.x0, grid.x0 + grid.width, dtype=np.float32)
    y = np.arange(grid.y0, grid.y0 + grid.height, dtype=np.float32)
    return np.stack(np.meshgrid(x, y), -1)


def _mask(points: Floats, shape: tuple[int, ...], scale: float) -> Floats:
    """Return (h, w) in [0, 1]: where the unit's mouth is seen."""
    import cv2

    mask = np.zeros(shape[:2], np.float32)
    cv2.fillPoly(mask, [np.rint(points[_PATCH] * 16).astype(np.int32)], 1.0, cv2.LINE_AA, shift=4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.8, 0.045 * scale)), np.float32)


def _light(difference: Floats, mask: Floats, points: Floats, scale: float) -> Floats:
    """Return what to add to a patch so that its skin has the frame's light: the difference outside the lips, made smooth."""
    import cv2

    filled = np.zeros(mask.shape, np.uint8)
    outline = np.concatenate([points[_UPPER[0]], points[_LOWER[0]][::-1]])
    cv2.fillPoly(filled, [np.rint(outline).astype(np.int32)], 1)
    lips = cv2.dilate(filled, np.ones((3, 3), np.uint8), iterations=max(1, round(0.03 * scale)))
    known = (mask > 0.02) * (1 - lips)
    small = (max(4, mask.shape[1] // 4), max(4, mask.shape[0] // 4))
    weight = cv2.resize(known.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(difference * known[..., None], small, interpolation=cv2.INTER_AREA)
    soft = max(1.0, 0.12 * scale / 4)
    smooth = cv2.GaussianBlur(seen, (0, 0), soft) / (cv2.GaussianBlur(weight, (0, 0), soft)[..., None] + 1e-3)
    return np.asarray(np.clip(cv2.resize(smooth, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR), -40, 40), np.float32)

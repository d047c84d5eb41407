"""The mouths of a clip, by shape, and how one is laid over a frame. No engine itself: `mouthbank` explains the way of a frame."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huashen.avatar import Avatar
from huashen.errors import InputError
from huashen.footage import Footage
from huashen.ops import warp
from huashen.talking_head.lowerface import (
    AT,
    JAWLINE,
    LIPS,
    LOWER,
    POINTS,
    UPPER,
    Array,
    Chin,
    Poses,
    drifted,
    fitted,
    follow,
    gap_of,
    misplaced,
    poses,
    width_of,
)  # fmt: skip
from huashen.talking_head.rig import Rig
from huashen.talking_head.units import Looks, Search, grain, lip_box
from huashen.types import ARKIT_INDEX, Audio, Floats, Image, Motion
from huashen.words import tr

Region = Literal["mouth", "lower-face"]
"""What is drawn anew: the lips and what is between them, or cheeks, jaw and chin too."""

SPOKEN = 0.03
"""How much wider than shut a mouth is that counts as speaking, in distances between the outer eye corners."""
ENOUGH = 25
"""Frames of speaking from which a clip tells how far this person opens the mouth."""
USUAL = 0.15
"""How far people mostly do."""
LOUD, WIDE = 0.22, 0.045
"""What drivers mean by a mouth wide open (97th percentile of the gap) and by a change of width (standard deviation)."""
STRETCHED, SQUEEZED = (0.02, 0.05), (0.035, 0.065)
"""By how much the gap may exceed, and fall short of, what the clip shows, until a drawn mouth begins to be seen, and is seen alone."""
MIX = np.array([0.08, 0.24, 0.36, 0.24, 0.08])
"""Shares of the units chosen for the two frames before, the frame itself and the two after it: where they come from one stretch of the
clip they are one and the same picture."""
FIRM = 3.0
"""How firmly the mouth that is seen more is preferred to the other: the power of its share."""
CRISP = 1.0
"""How much of what lies above a pixel's blur is at most added to give back what fetching and mixing takes of the fine detail."""
GENTLE = 5
"""Frames over which the mouth comes and goes where a face is found and lost, or something comes before it."""
AJAR = (0.02, 0.05)
"""How much wider than shut a mouth must be, where nobody speaks, until another begins to be laid over it, and is seen alone."""
SIDE = (38.0, 55.0)
"""Degrees of yaw from which the picture's own mouth begins to stay, and stays altogether."""

_PATCH = [AT[i] for i in (98, 206, 216, 212, 210, 169, 171, 175, 396, 394, 430, 432, 436, 426, 327, 2)]
"""The outline of what is taken from a unit: under the nose, along the folds of the cheeks, within the chin."""


@dataclass(frozen=True)
class _Layer:
    """A mouth to be laid over a frame."""

    picture: Image
    """(h, w, 3) uint8: what surrounds it."""
    places: Floats
    """(points, 2): where the points of the lower face are in it."""
    weight: float
    blur: float
    """Pixels by which it is to be blurred."""
    grain: float
    """How much its lips change from pixel to pixel, see `units.grain`."""


class Bank:
    """The mouths of a clip, by shape.

    Args:
        footage: the clip.
        until: use the mouths of the frames before this one only; all of them without.
        region: what is drawn anew.

    Raises:
        InputError: the mouth is never seen from the front.
    """

    def __init__(self, footage: Footage, *, until: int | None = None, region: Region = "lower-face") -> None:
        self.footage = footage
        seen = footage.seen()
        eyes = float(np.nanmedian(np.linalg.norm(footage.points[:, 33, :2] - footage.points[:, 263, :2], axis=1)))
        leap = np.linalg.norm(footage.points[1:, 6, :2] - footage.points[:-1, 6, :2], axis=1) > 0.35 * eyes
        self._broken = np.concatenate([[True], leap | ~seen[1:] | ~seen[:-1]])
        self.poses: Poses = poses(footage.points, self._broken)
        shape = self.poses.shape
        self.gap, self.width = gap_of(shape), width_of(shape)
        usable = seen & (np.abs(self.poses.yaw) < SIDE[0])
        usable[len(footage.mouths) :] = False
        if not usable.any():
            raise InputError(tr(
                f"{footage.path.name} never shows the mouth from the front; give another clip, or a picture of the person",
                f"{footage.path.name} 中从未从正面看到嘴；请换一段视频，或该人物的图片",
            ))  # fmt: skip
        self._looks = Looks(footage, self.poses, usable)
        self.hidden = self._looks.hidden
        """(n,) in [0, 1]: how surely something is before the mouth."""
        hidden = self.hidden > 0
        usable[len(footage.mouths) if until is None else until :] = False
        self._units = np.flatnonzero(usable & ~hidden if (usable & ~hidden).any() else usable)
        gaps = np.sort(self.gap[self._units])
        low, top = float(np.percentile(gaps, 2)), float(np.percentile(gaps, 97))
        # A mouth that never quite shuts in the clip shall be shut all the same where nobody speaks.
        self.shut = min(low, 0.012)
        self._shown = float(gaps[min(2, len(gaps) - 1)]), float(gaps[-min(3, len(gaps))])
        self._most = top - self.shut if (gaps > self.shut + SPOKEN).sum() >= ENOUGH else max(USUAL, top - self.shut)
        closed = self._units[self.gap[self._units] <= low + 0.2 * (top - low)]
        self._rest = float(np.median(self.width[closed]))
        self._spread = max(float(np.std(self.width[self._units])), 0.02)
        self._off = misplaced(shape, self._units)
        self._stay = drifted(self._off, self._broken)
        self._follow = follow(np.nanmedian(shape[self._units], axis=0), whole=region == "lower-face")
        self._whole = region == "lower-face"
        self._chin = Chin(shape[self._units])
        self._share = _shares(seen & (self.hidden < 0.5), self.poses.yaw)
        self._search = Search(self._units, self._broken, self.poses, self._looks, max(top, USUAL / 2))
        nose = np.nan_to_num(footage.points[:, 6, :2])
        self._speed = np.where(self._broken[:, None], 0, np.diff(nose, axis=0, prepend=nose[:1]))

    def wanted(self, motion: Motion) -> tuple[float, float]:
        """Return the gap and the width that a motion asks of this person, in distances between the outer eye corners."""
        gap, change = _asked(motion.weights)
        gap *= float(np.clip(self._most / LOUD, 0.3, 1.4))
        if gap > 0.8 * self._most:  # nothing in the clip is opened much further
            gap = self._most * (0.8 + 0.3 * float(np.tanh((gap / self._most - 0.8) / 0.3)))
        broad = float(np.clip(self._spread / WIDE, 0.4, 1.2))
        return self.shut + gap, self._rest + change * broad

    def lack(self, gap: float) -> float:
        """Return in [0, 1] how far a mouth that open is missing in the clip, and has to be drawn."""
        low, high = self._shown
        over = (gap - high - STRETCHED[0]) / (STRETCHED[1] - STRETCHED[0])
        under = (low - gap - SQUEEZED[0]) / (SQUEEZED[1] - SQUEEZED[0])
        t = float(np.clip(max(over, under), 0, 1))
        return t * t * (3 - 2 * t)

    def search(self, wanted: Iterable[tuple[float, float, int]], after: int | None = None) -> Iterator[int]:
        """Yield a unit for each (gap, width, frame of the clip on which it is shown), `AHEAD` frames behind; the first follows `after`."""
        return self._search.path(wanted, after)

    def draw(self, image: Image, index: int, motion: Motion, gap: float, width: float, units: list[int], lack: float) -> Image:
        """Return a frame with another mouth.

        Args:
            image: frame `index` of the clip; it may be written to.
            index: which frame that is.
            motion: what the face does besides gap and width: for a mouth that has to be drawn.
            gap, width: of the mouth wanted.
            units: the frames whose mouths are chosen about this one, in time.
            lack: how much of the mouth has to be drawn, 0 to 1.
        """
        share = float(self._share[index])
        if share <= 0:
            return image
        own = self.poses.shape[index]
        lips = np.zeros((LIPS, 3))
        layers = []
        if lack < 1:
            found = self._mixed(units)
            near = sum(weight * (self.poses.shape[unit] - self._off[unit]) for unit, weight in found.items())
            lips += (1 - lack) * fitted(np.asarray(near), gap, width)[:LIPS]
            layers += [self._layer(index, unit, (1 - lack) * weight) for unit, weight in found.items()]
        if lack > 0:
            layer, shape = self._drawn.at(motion.weights, gap - self.shut, lack)
            lips += lack * fitted(shape - self._off[self._drawn.index], gap, width)[:LIPS]
            layers.append(layer)
        lips += self._stay[index]
        goal = np.concatenate([lips, own[LIPS:] + self._follow[LIPS:, None] * self._chin.moved(own, lips)])
        return self._lay(image, index, own + share * (goal - own), layers, share)

    def silent(self, image: Image, index: int) -> Image:
        """Return frame `index` of the clip with the mouth shut, and still; where it is shut as it is, the frame's own stays.

        Args:
            image: that frame.
            index: which frame it is.
        """
        own = float(self.gap[index])
        t = float(np.clip((own - self.shut - AJAR[0]) / (AJAR[1] - AJAR[0]), 0, 1)) if np.isfinite(own) else 0.0
        share = t * t * (3 - 2 * t)
        if share <= 0 or self._share[index] <= 0:
            return image
        nothing = Motion(np.zeros(len(ARKIT_INDEX), np.float32), np.zeros(6, np.float32), Audio(np.zeros(0, np.float32), 0))
        units = [self._calm] * len(MIX)
        shut = self.draw(image.copy(), index, nothing, self.shut, self._rest, units, self.lack(self.shut))
        return shut if share == 1 else np.asarray(np.rint(image + np.float32(share) * (shut.astype(np.float32) - image)), np.uint8)

    @cached_property
    def _calm(self) -> int:
        """The frame whose mouth is most nearly shut while the head is calm."""
        units = self._units
        calm = (self.gap[units] / 0.02) ** 2 + ((self.width[units] - self._rest) / 0.04) ** 2
        for angle in (self.poses.yaw[units], self.poses.pitch[units]):
            calm += ((angle - np.median(angle)) / 6) ** 2
        calm += np.linalg.norm(self._speed[units], axis=1) / (0.02 * self.poses.scale[units])
        calm -= np.nan_to_num(self._looks.detail[units] / np.nanmax(np.append(self._looks.detail[units], 1e-6)))
        return int(units[np.argmin(calm)])

    @cached_property
    def _drawn(self) -> "_Drawn":
        """The clip's calmest frame, ready to have its mouth drawn."""
        return _Drawn(self.footage, self.poses, self._calm)

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

    def _layer(self, index: int, unit: int, weight: float) -> _Layer:
        places = self.poses.place(unit, self.poses.shape[unit]) - self.footage.corners[unit]
        return _Layer(
            self.footage.mouths[unit], np.asarray(places, np.float32), weight, self._looks.blur(index, unit), float(self._looks.grain[unit])
        )

    def _lay(self, image: Image, index: int, shape: Array, layers: list[_Layer], share: float) -> Image:
        """Warp a frame's lower face to a shape and lay mouths, warped to the same, over it."""
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
        canvas = warp.sample(image, (at + field)[: y1 - y0, : x1 - x0]).astype(np.float32)
        mask = (_mask if self._whole else _lip_mask)(goal - np.array([x0, y0], np.float32), canvas.shape[:2], scale)
        # What the mask lets through, and the skin by which the light is told, is all that need be fetched.
        shown = np.flatnonzero(mask.max(1) > 0.004), np.flatnonzero(mask.max(0) > 0.004)
        if not len(shown[0]) or not len(shown[1]):
            return image
        rows, columns = (slice(int(part[0]), int(part[-1]) + 1) for part in shown)
        mask, canvas_ = mask[rows, columns], canvas[rows, columns]
        patch = self._patch(index, layers, goal, grid, at, rows, columns)
        corner = np.array([x0 + columns.start, y0 + rows.start], np.float32)
        patch += _light(canvas_ - patch, mask, goal - corner, scale)
        canvas[rows, columns] = canvas_ + (mask * np.float32(share))[..., None] * (patch - canvas_)
        out = image.copy()
        out[y0:y1, x0:x1] = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
        return out

    def _patch(
        self, index: int, layers: list[_Layer], goal: Floats, grid: warp.Grid, at: Floats, rows: slice, columns: slice
    ) -> Floats:
        """Return mouths warped to a goal and morphed into one, float32."""
        import cv2

        # The two that are seen most: a third hardly shows.
        seen = sorted(layers, key=lambda layer: -layer.weight)[:2]
        shares = np.array([layer.weight for layer in seen]) ** FIRM
        shares /= shares.sum()
        blur = float(sum(layer.blur * share for layer, share in zip(seen, shares, strict=True)))
        ways = [(at + warp.fine(grid, warp.Spline(goal, layer.places - goal).on(grid)))[rows, columns] for layer in seen]
        pictures = [np.asarray(warp.sample(layer.picture, way), np.uint8) for layer, way in zip(seen, ways, strict=True)]
        found = pictures[0].astype(np.float32)
        if shares[0] < 0.97:
            # Fetched once and not twice, or the skin would lose its grain.
            onto = warp.between(pictures[0], pictures[1], float(shares[1]))
            one, two = (
                warp.sample(layer.picture, warp.sample(way, to, sharp=False)) for layer, way, to in zip(seen, ways, onto, strict=True)
            )
            found = np.asarray(cv2.addWeighted(one, shares[0], two, shares[1], 0), np.float32)
        crisp = float(sum(layer.grain * share for layer, share in zip(seen, shares, strict=True)))
        corner = np.array([grid.x0 + columns.start, grid.y0 + rows.start], np.float32)
        found = _crisp(found, crisp, lip_box(goal[:LIPS] - corner, float(self.poses.scale[index]), found.shape))
        return _blurred(found, blur, self._speed[index]) if blur > 0.3 else found


class _Drawn:
    """Frame `index` of a clip, on which mouths are drawn that the clip does not show."""

    def __init__(self, footage: Footage, poses: Poses, index: int) -> None:
        face = footage.face(index)
        assert face is not None
        image = next(footage.images([index]))
        self._rig = Rig(Avatar(image, face))
        self._poses, self.index = poses, index

    def at(self, weights: Floats, gap: float, weight: float) -> tuple[_Layer, Array]:
        """Return a mouth that is so far open, and its (points, 3) shape.

        Args:
            weights: (52,) what the rest of the face does.
            gap: beyond what it is when shut.
            weight: how much it is seen.
        """
        weights = weights.copy()
        asked, _ = _asked(weights)
        if asked > 0.01:
            for name in ("jawOpen", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight"):
                weights[ARKIT_INDEX[name]] *= max(gap, 0.0) / asked
        else:
            weights[ARKIT_INDEX["jawOpen"]], weights[ARKIT_INDEX["mouthClose"]] = max(gap, 0.0) / 0.30, 0.0
        picture, corner, moved = self._rig.speak(weights)
        own = self._poses.shape[self.index]
        places = self._poses.place(self.index, own) + moved[POINTS] - np.array(corner, np.float32)
        shape = own + self._poses.lifted(self.index, moved[POINTS])
        scale = float(self._poses.scale[self.index])
        return _Layer(picture, np.asarray(places, np.float32), weight, 0.0, grain(picture, places[:LIPS], scale)), shape


def _asked(weights: Floats) -> tuple[float, float]:
    """Return the gap and the change of width that weights mean, by the model that drivers and talking heads agree on."""

    def w(name: str) -> float:
        both = ("Left", "Right") if f"{name}Left" in ARKIT_INDEX else ("",)
        return float(np.mean([weights[ARKIT_INDEX[name + side]] for side in both]))

    parted = 1 - w("mouthClose")
    gap = (0.30 * w("jawOpen") + 0.035 * w("mouthUpperUp") + 0.045 * w("mouthLowerDown") - 0.03 * w("mouthPucker")) * parted
    return max(0.0, gap), 0.13 * w("mouthStretch") + 0.10 * w("mouthSmile") - 0.17 * w("mouthPucker") - 0.10 * w("mouthFunnel")


def _shares(clear: NDArray[np.bool_], yaw: Array) -> Array:
    """Return (n,): how far each frame's mouth is drawn anew; not where it is not clear to see, and fading towards there."""
    n = len(clear)
    lost = np.flatnonzero(~clear)
    near = _nearest(lost, n) if len(lost) else np.full(n, np.inf)
    facing = np.clip((SIDE[1] - np.abs(yaw)) / (SIDE[1] - SIDE[0]), 0, 1)
    return np.asarray(np.where(clear, np.clip(near / GENTLE, 0, 1) * facing, 0))


def _nearest(lost: NDArray[np.intp], n: int) -> Array:
    """Return (n,): how far each number is from the nearest of some sorted ones."""
    after = np.searchsorted(lost, np.arange(n))
    ends = np.concatenate([[-n], lost, [2 * n]])
    return np.asarray(np.minimum(np.arange(n) - ends[after], ends[after + 1] - np.arange(n)), np.float64)


def _outside(points: Floats, scale: float) -> Floats:
    """Return places round the lower face that stay where they are."""
    jaw = points[JAWLINE]
    middle = points[AT[2]]
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


def _lip_mask(points: Floats, shape: tuple[int, ...], scale: float) -> Floats:
    """Return (h, w) in [0, 1]: where the unit's mouth is seen when only the lips are drawn anew."""
    import cv2

    mask = np.zeros(shape[:2], np.float32)
    outline = [np.rint(np.concatenate([points[UPPER[0]], points[LOWER[0]][::-1]]) * 16).astype(np.int32)]
    cv2.fillPoly(mask, outline, 1.0, cv2.LINE_AA, shift=4)
    cv2.polylines(mask, outline, True, 1.0, max(1, round(0.11 * scale)), cv2.LINE_AA, shift=4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.8, 0.025 * scale)), np.float32)


def _crisp(image: Floats, wanted: float, spot: tuple[slice, slice]) -> Floats:
    """Sharpen a picture until a spot of it has the grain wanted (see `units.grain`); nothing is blurred.

    Adding g times what lies above a blur makes the variance of the Laplacian a quadratic function of g.
    """
    import cv2

    above = image - cv2.GaussianBlur(image, (0, 0), 1.0)
    if not np.isfinite(wanted) or min(image[spot].shape[:2]) < 4:
        return np.asarray(image + np.float32(0.3) * above, np.float32)
    have, more = (
        cv2.Laplacian(cv2.cvtColor(np.ascontiguousarray(part[spot]), cv2.COLOR_RGB2GRAY), cv2.CV_32F) for part in (image, above)
    )
    a, b, c = float(more.var()), float((have * more).mean() - have.mean() * more.mean()), float(have.var()) - wanted
    found = (-b + np.sqrt(max(0.0, b * b - a * c))) / max(a, 1e-9)
    return np.asarray(image + np.float32(np.clip(found, 0, CRISP)) * above, np.float32)


def _blurred(image: Floats, blur: float, speed: Array) -> Floats:
    """Blur a picture as a camera does: along the way the head goes where it moves, or evenly.

    Args:
        image: float32.
        blur: standard deviation, pixels.
        speed: (2,) pixels a frame.
    """
    import cv2

    if float(np.hypot(*speed)) < 1.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.float32)
    along = speed / np.hypot(*speed)
    reach = int(np.ceil(4 * blur))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    far, aside = x * along[0] + y * along[1], x * along[1] - y * along[0]
    kernel = np.exp(-0.5 * (far / (1.4 * blur)) ** 2 - 0.5 * (aside / 0.4) ** 2)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.float32)


def _light(difference: Floats, mask: Floats, points: Floats, scale: float) -> Floats:
    """Return what to add to a patch so that its skin has the frame's light: the difference outside the lips, made smooth."""
    import cv2

    filled = np.zeros(mask.shape, np.uint8)
    outline = np.concatenate([points[UPPER[0]], points[LOWER[0]][::-1]])
    cv2.fillPoly(filled, [np.rint(outline).astype(np.int32)], 1)
    lips = cv2.dilate(filled, np.ones((3, 3), np.uint8), iterations=max(1, round(0.03 * scale)))
    known = (mask > 0.02) * (1 - lips)
    small = (max(4, mask.shape[1] // 4), max(4, mask.shape[0] // 4))
    weight = cv2.resize(known.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    seen = cv2.resize(difference * known[..., None], small, interpolation=cv2.INTER_AREA)
    soft = max(1.0, 0.12 * scale / 4)
    smooth = cv2.GaussianBlur(seen, (0, 0), soft) / (cv2.GaussianBlur(weight, (0, 0), soft)[..., None] + 1e-3)
    return np.asarray(np.clip(cv2.resize(smooth, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR), -40, 40), np.float32)

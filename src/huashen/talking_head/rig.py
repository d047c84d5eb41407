"""A picture made ready to move: what engines that animate a picture share. No engine itself.

The way of a frame: `Motion` → a few amounts (`_amounts`) → displacements of the face mesh, already spread over coarse grids when the
rig was built → one smooth warp, inverted → pixels. Where a face opens, a smooth warp cannot follow: the mouth is drawn as an upper
and a lower layer that part over a drawn inside, an eye as a lid that slides over the eyeball. A head that moves uncovers background,
which is filled beforehand; outside the person nothing moves at all.

Units: the face's own coordinates (`ops.mesh.FaceFrame`), 1 = the distance between the outer corners of the eyes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.avatar import Avatar
from huashen.ops import mesh, mouth, warp
from huashen.ops.fill import fill, go_on
from huashen.ops.image import blur_of
from huashen.types import ARKIT_INDEX, Floats, Image

JAW = 0.288
"""How far the lower teeth go down at jawOpen = 1. The landmark model reads the drawn lips' gap 4 % wider than it is: 0.30, as agreed."""
CORNER = 0.42
"""The share of the opening by which the corners of the mouth follow the jaw."""
SHARP = 0.75
"""Pixels: how blurred `blur_of` finds a picture that is as sharp as pixels can be."""
RIM = 0.06
"""Half the width of the thickest rim of glasses that is told from its surroundings, in widths of the eye."""
LASHES = 0.055
"""How thick the row of lashes on a lid's margin is, in widths of the eye."""


class Rig:
    """A picture made ready to move: everything that does not depend on the frame."""

    def __init__(self, avatar: Avatar) -> None:
        image, points = avatar.image, avatar.face.landmarks.points
        self.image = image
        self.face = mesh.frame_of(points)
        self.local = self.face.local(points[:468])
        self._seam = _Seam(image, points, self.face)
        self._head = _HeadModel(points, self.face, self.local)
        shapes = _shapes(self.local, self._seam)
        self._names = list(shapes)
        unit, height, width = self.face.unit, image.shape[0], image.shape[1]
        step = max(2, round(unit / 18))
        x0, y0, x1, y1 = self._reach(width, height, avatar.mask, points)
        self._grid = warp.cover(x0, y0, x1, y1, step=step)
        corners = points[[61, 291], :2]
        middle, half = corners.mean(0), float(np.abs(np.diff(corners[:, 0])).max() / 2)
        spread = max(half, 0.25 * unit) + 0.42 * unit
        self._mouth = warp.cover(
            max(x0, middle[0] - spread), max(y0, middle[1] - 0.55 * unit),
            min(x1, middle[0] + spread), min(y1, middle[1] + 0.95 * unit),
            step=max(1, round(unit / 36)),
        )  # fmt: skip
        shifts = np.stack([self.face.shift(d) for d in shapes.values()])
        self._build_fields(points, shifts, matted=avatar.mask is not None)
        outline = np.concatenate([mesh.UPPER_LIP[0], mesh.LOWER_LIP[0]])
        self._lips, self._lip_places, self._lip_shifts = points[outline, :2], self.local[outline], shifts[:, outline]
        self._roi = _Pixels(image, self._grid)
        self._points, self._shifts = points[:468, :2], shifts
        self._matte, self._plate = self._background(avatar.mask)
        skin, lip = _colours(image, points, self._seam)
        self._inside = _Inside(image, self.face, self._seam, self._seam.bow(self.local), skin=skin, lip=lip)
        self._eyes = [
            _Eye(image, points, self.face, mesh.RIGHT_EYE_UPPER, mesh.RIGHT_EYE_LOWER, mesh.RIGHT_IRIS, mesh.RIGHT_BROW, "Right", skin),
            _Eye(image, points, self.face, mesh.LEFT_EYE_UPPER, mesh.LEFT_EYE_LOWER, mesh.LEFT_IRIS, mesh.LEFT_BROW, "Left", skin),
        ]

    def draw(self, weights: Floats, head: Floats, *, spoken: Image | None = None) -> Image:
        """Draw one frame: (52,) ARKit weights and (6,) head pose to a fresh picture.

        Args:
            weights, head: see `Motion`.
            spoken: this picture with a mouth that another engine drew: it is taken along, and not moved by itself.
        """
        import cv2

        image = self.image if spoken is None else spoken
        amounts = _amounts(self._names, weights, self._seam)
        if spoken is not None:
            amounts[self._names.index("rest")] = 0
        turn = self._head.turn(head) if np.any(head) else None
        forward = _mix(amounts, self._around)
        if turn:
            forward += self._head.displace(self._depth, self._hold, turn, self.face)
        back = warp.invert(self._grid, forward)
        fetched = self._roi.fetch(warp.fine(self._grid, back))
        warped = warp.sample(image, fetched)
        if self._matte is not None and turn:
            share = warp.sample(self._matte, fetched - self._roi.origin, sharp=False)
            warped = cv2.blendLinear(warped, self._plate, share, 1 - share)
        if spoken is None:
            self._open_mouth(warped, self._roi, weights, amounts, turn)
        for eye in self._eyes:
            eye.draw(image, warped, fetched, self._roi, weights, self._carried(eye.place, turn))
        out = image.copy()
        self._roi.paste(out, warped)
        return out

    def speak(self, weights: Floats) -> tuple[Image, tuple[int, int], Floats]:
        """Draw the mouth and what surrounds it, down to the chin, and nothing else: the head does not turn.

        Args:
            weights: (52,) ARKit weights.

        Returns:
            The rectangle drawn, the x, y of its corner in the picture, and (468, 2) how far the mesh has moved, pixels.
        """
        amounts = _amounts(self._names, weights, self._seam)
        x0, y0, aside = self._mouth.x0, self._mouth.y0, 0.25 * self.face.unit
        low = (x0 - aside, y0)
        grid, (rows, columns) = self._grid.part(*low, x0 + self._mouth.width + aside, y0 + self._mouth.height)
        pixels = _Pixels(self.image, grid)
        back = warp.invert(grid, _mix(amounts, self._around[:, rows, columns]))
        drawn = warp.sample(self.image, pixels.fetch(warp.fine(grid, back)))
        self._open_mouth(drawn, pixels, weights, amounts, None)
        return drawn, (grid.x0, grid.y0), _mix(amounts, self._shifts)

    def _open_mouth(self, canvas: Image, outer: "_Pixels", weights: Floats, amounts: Floats, turn: "_Turn | None") -> None:
        """Draw the mouth into the warped rectangle `canvas`, whose pixels `outer` are: two layers that part over the inside."""
        import cv2

        lips = self._lips + _mix(amounts, self._lip_shifts)
        if turn:
            lips = lips + self.face.shift(turn.apply(self._lip_places) - self._lip_places)
        margin = 0.26 * self.face.unit
        grid, (rows, columns) = self._mouth.part(*(lips.min(0) - margin), *(lips.max(0) + margin))
        fixed = np.zeros(2, np.float32)
        if turn:
            fixed = self._head.displace(self._mouth_depth[rows, columns], self._mouth_hold[rows, columns], turn, self.face)
        pixels = _Pixels(self.image, grid)
        # Past where the corners are now nothing opens, however tightly the skin there is drawn together.
        layers, depths, between = [], [], pixels.between(lips[0], lips[10], self._seam.soft)
        for fields, depth in ((self._upper, self._seam.above), (self._lower, self._seam.below)):
            back = warp.invert(grid, _mix(amounts, fields[:, rows, columns]) + fixed, rounds=5)
            fetched = pixels.fetch(warp.fine(grid, back))
            layers.append(warp.sample(self.image, fetched))
            depths.append(depth(fetched))
            between *= self._seam.between(fetched)
        upper, lower = (warp.feather(depth, self._seam.soft) for depth in depths)
        hole = np.clip(1 - upper - lower, 0, 1) * between
        # Where both lips lie on each other they meet half way, so that neither's torn edge shows.
        both, first = upper * lower, warp.feather(depths[0] - depths[1], self._seam.soft)
        upper, lower = upper - both * (1 - first), lower - both * first
        drawn = np.asarray(cv2.blendLinear(layers[0], layers[1], upper, lower), np.uint8)
        if self._seam.overlap:
            self._draw_line(drawn, both * between, depths[0] - depths[1])
        shown = np.flatnonzero(hole.max(1) > 0.02)
        if len(shown):
            across = np.flatnonzero(hole.max(0) > 0.02)
            spot = (slice(shown[0], shown[-1] + 1), slice(across[0], across[-1] + 1))
            corner = (grid.x0 + int(across[0]), grid.y0 + int(shown[0]))
            inside = self._inside.draw(corner, hole[spot], weights, turn or self._head.turn(np.zeros(6, np.float32)))
            share = hole[spot] / np.maximum(upper[spot] + lower[spot] + hole[spot], 1e-3)
            drawn[spot] = cv2.blendLinear(drawn[spot], inside, 1 - share, share)
        ys, xs = pixels.within(outer)
        # Where neither lip has anything (skin drawn together past the corners) what is drawn already stays.
        edge = _rim(pixels.shape, 0.12 * self.face.unit) * np.clip(4 * (upper + lower + hole), 0, 1)
        canvas[ys, xs] = cv2.blendLinear(drawn, canvas[ys, xs], edge, 1 - edge)

    def _draw_line(self, drawn: Image, both: Floats, apart: Floats) -> None:
        """Darken the line between lips that were open in the picture and are shut now."""
        shown = np.flatnonzero(both.max(1) > 0.05)
        if not len(shown):
            return
        rows = slice(shown[0], shown[-1] + 1)
        width = max(1.6, 0.016 * self.face.unit)
        shade = 1 - 0.42 * both[rows] * np.exp(-((apart[rows] / width) ** 2))
        drawn[rows] = (drawn[rows] * shade[..., None]).astype(np.uint8)

    def _carried(self, place: Floats, turn: "_Turn | None") -> Floats:
        """Return where in the picture a (3,) place in the face's coordinates is after a turn."""
        return np.asarray(self.face.centre[:2] + self.face.shift(turn.apply(place) if turn else place), np.float32)

    def _reach(self, width: int, height: int, mask: Floats | None, points: Floats) -> tuple[float, float, float, float]:
        """Return the rectangle in which anything may ever move."""
        corners = np.array([[x, y, 0] for x in (-3.0, 3.0) for y in (-3.6, self._head.neck + 0.1)], np.float32)
        shown = self.face.centre[:2] + self.face.shift(corners)
        low, high = np.maximum(shown.min(0), 0), np.minimum(shown.max(0), [width, height])
        if mask is not None:  # only the person moves, and what a moving head uncovers
            rows, columns = np.nonzero(mask[int(low[1]) : int(high[1]), int(low[0]) : int(high[0])] > 0.5)
            face = points[:468, :2]
            margin = 0.5 * self.face.unit
            least = np.minimum(low + np.array([columns.min(), rows.min()]), face.min(0)) - margin
            most = np.maximum(low + np.array([columns.max(), rows.max()]), face.max(0)) + margin
            low, high = np.maximum(low, least), np.minimum(high, most)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def _build_fields(self, points: Floats, shifts: Floats, *, matted: bool) -> None:
        """Spread every shape's displacements of the mesh over the grids: all round, and for the upper and the lower lip's side."""
        flat = points[:468, :2]
        ring = _ring(self.local)
        anchors = np.concatenate([flat, self.face.centre[:2] + self.face.shift(ring)])
        values = np.concatenate([shifts.transpose(1, 0, 2).reshape(468, -1), np.zeros((len(ring), shifts.shape[0] * 2), np.float32)])
        lip_upper, lip_lower = set(mesh.UPPER_LIP[:, 1:-1].ravel()), set(mesh.LOWER_LIP[:, 1:-1].ravel())
        side = self._seam.side(flat)
        near = np.abs(self.local[:, 0] - self._seam.centre[0]) < 1.15 * self._seam.half
        below = {int(i) for i in np.flatnonzero((side > 0) & near) if self.local[i, 1] > self._seam.centre[1]}
        above = {int(i) for i in np.flatnonzero((side < 0) & near) if self.local[i, 1] > self._seam.centre[1] - 0.22}
        inner = set(mesh.UPPER_LIP[1:, 1:-1].ravel()) | set(mesh.LOWER_LIP[1:, 1:-1].ravel())
        keep = {
            "around": [i for i in range(len(anchors)) if i not in inner],
            "upper": [i for i in range(len(anchors)) if i not in lip_lower and (i not in below or i in lip_upper)],
            "lower": [i for i in range(len(anchors)) if i not in lip_upper and (i not in above or i in lip_lower)],
        }

        splines = {kind: warp.Spline(anchors[chosen], values[chosen]) for kind, chosen in keep.items()}

        def arrange(found: Floats, nodes: Floats) -> Floats:
            fields = found.reshape(*found.shape[:2], -1, 2).transpose(2, 0, 1, 3)
            return np.ascontiguousarray(fields * self._near(nodes)[None, ..., None])

        def one_side(kind: str) -> Floats:
            """Return the fields of one lip's side; past the seam, where that side is not shown, they stay as they are on the seam."""
            held = self._seam.hold(nodes, below=kind == "lower")
            blend = (self._seam.zone(held) * self._seam.taper(nodes))[None, ..., None]
            return np.ascontiguousarray(around + blend * (arrange(splines[kind](held), held) - around))

        self._around = arrange(splines["around"].on(self._grid, every=2), self._grid.nodes())
        nodes = self._mouth.nodes()
        around = arrange(splines["around"].on(self._mouth, every=2), nodes)
        # Towards the corners of the mouth (`taper`) both sides become one, or it would tear there.
        self._upper, self._lower = one_side("upper"), one_side("lower")
        self._depth, self._hold = self._head.model(self.face, self._grid, matted=matted)
        self._mouth_depth, self._mouth_hold = self._head.model(self.face, self._mouth, matted=matted)

    def _near(self, at: Floats) -> Floats:
        """Return 1 on the face, falling to 0 outside it, so that expressions leave hair and background alone."""
        place = (at - self.face.centre[:2]) @ np.linalg.pinv(self.face.axes[:2, :2] * self.face.unit)
        middle = 0.5 * (self.local[10, 1] + self.local[152, 1])
        tall = 0.5 * (self.local[152, 1] - self.local[10, 1])
        wide = 0.5 * (self.local[454, 0] - self.local[234, 0])
        centre = 0.5 * (self.local[454, 0] + self.local[234, 0])
        low = place[..., 1] > middle
        down = (place[..., 1] - middle) / np.where(low, tall * 1.28, tall * 1.02)
        radius = np.sqrt(((place[..., 0] - centre) / (wide * 1.04)) ** 2 + down**2)
        return warp.feather(1.12 - radius, 0.20)

    def _background(self, mask: Floats | None) -> tuple[Floats | None, Image]:
        """Return the person's share of each pixel of the moving rectangle and what lies behind."""
        import cv2

        ys, xs = self._roi.rows, self._roi.columns
        crop = self.image[ys, xs]
        if mask is None:
            return None, crop
        unit = self.face.unit
        # What the matte is not sure of stays where it is: half a collar must not be taken for background and filled.
        person = (mask[ys, xs] > 0.5).astype(np.float32)
        matte = cv2.GaussianBlur(cv2.dilate(person, _disc(0.015 * unit)), (0, 0), max(0.8, 0.010 * unit))
        hole = cv2.dilate(person, _disc(0.045 * unit)) > 0
        behind = go_on(crop, np.where(hole, 0, 1).astype(np.float32), reach=0.5 * unit)
        hold = cv2.resize(self._hold, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_LINEAR)
        share = warp.feather(hold - 0.62, 0.25)
        plate = cv2.blendLinear(behind, crop, share, 1 - share)
        return np.asarray(matte, np.float32), np.asarray(plate, np.uint8)


class _Pixels:
    """The pixels of a picture under a grid (which may reach past the picture's last row and column)."""

    def __init__(self, image: Image, grid: warp.Grid) -> None:
        height, width = image.shape[:2]
        self.columns = slice(grid.x0, min(width, grid.x0 + grid.width))
        self.rows = slice(grid.y0, min(height, grid.y0 + grid.height))
        self.origin = np.array([grid.x0, grid.y0], np.float32)
        x = np.arange(self.columns.start, self.columns.stop, dtype=np.float32)
        y = np.arange(self.rows.start, self.rows.stop, dtype=np.float32)
        self._places = np.stack(np.meshgrid(x, y), axis=-1)
        self.shape = (len(y), len(x))

    def fetch(self, displaced: Floats) -> Floats:
        """Return (h, w, 2): where in the picture each pixel comes from."""
        h, w = self._places.shape[:2]
        return np.asarray(self._places + displaced[:h, :w], np.float32)

    def between(self, right: Floats, left: Floats, soft: float) -> Floats:
        """Return (h, w): 1 for pixels between two (2,) places in the picture, along the line that joins them, 0 past them."""
        along = left - right
        length = max(float(np.linalg.norm(along)), 1.0)
        u = (self._places[..., 0] - right[0]) * (along[0] / length) + (self._places[..., 1] - right[1]) * (along[1] / length)
        return warp.feather(np.minimum(u, length - u) + soft, 1.5 * soft)

    def within(self, outer: "_Pixels") -> tuple[slice, slice]:
        """Return rows and columns of these pixels inside those of `outer`."""
        return (
            slice(self.rows.start - outer.rows.start, self.rows.stop - outer.rows.start),
            slice(self.columns.start - outer.columns.start, self.columns.stop - outer.columns.start),
        )

    def paste(self, image: Image, part: Image) -> None:
        """Put these pixels into a picture."""
        image[self.rows, self.columns] = part


@dataclass(frozen=True)
class _Turn:
    """A head's turn: a rotation about a pivot, a size and a shift, in the face's coordinates."""

    rotation: Floats
    pivot: Floats
    size: float
    shift: Floats

    def apply(self, points: Floats) -> Floats:
        """Turn (…, 3) points."""
        import cv2

        return np.asarray(cv2.transform(points.reshape(-1, 1, 3), self.matrix()).reshape(points.shape), np.float32)

    def matrix(self) -> Floats:
        """Return the turn as a (3, 4) matrix."""
        turned = self.rotation * self.size
        return np.column_stack([turned, self.pivot + self.shift - turned @ self.pivot]).astype(np.float32)


class _HeadModel:
    """How a head stands in space behind its picture, and how it turns."""

    def __init__(self, points: Floats, face: mesh.FaceFrame, local: Floats) -> None:
        ears = local[[234, 454]]
        self.ear = float(ears[:, 2].mean())
        self.chin = float(local[152, 1])
        self.neck = self.chin + 1.25
        self.pivot = np.array([float(ears[:, 0].mean()), self.chin + 0.25, self.ear + 0.15], np.float32)
        ring = _ring(local)
        anchors = np.concatenate([points[:468, :2], face.centre[:2] + face.shift(ring)])
        known = np.concatenate([local[:, 2:], np.full((len(ring), 1), self.ear + 0.12, np.float32)])
        self._depth = warp.Spline(anchors, known, smooth=3e-3)
        self._nearest = float(local[:, 2].min())
        self._wide = float(local[454, 0] - local[234, 0]) / 2
        self._tall, self._middle = float(local[152, 1] - local[10, 1]) / 2, float(local[152, 1] + local[10, 1]) / 2

    def turn(self, head: Floats) -> _Turn:
        """Make a turn from (6,) pose in the order of `types.HEAD`."""
        pitch, yaw, roll = np.deg2rad(head[:3].astype(np.float64))
        cp, sp, cy, sy, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw), np.cos(roll), np.sin(roll)
        about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        return _Turn(
            (about_z @ about_y @ about_x).astype(np.float32), self.pivot, float(1 / (1 + head[5] / 7)),
            np.array([head[3], head[4], 0], np.float32),
        )  # fmt: skip

    def model(self, face: mesh.FaceFrame, grid: warp.Grid, *, matted: bool) -> tuple[Floats, Floats]:
        """Return for a grid's nodes their (rows, columns, 3) local coordinates and how firmly they belong to the head.

        Where no matte tells the person from the background (`matted` is false), what is farther from the face than hair is held back.
        """
        at = grid.nodes()
        depth = np.clip(self._depth.on(grid, every=2)[..., 0], self._nearest, self.ear + 0.15)
        # A place and its depth give the two other coordinates, since the picture is an orthographic view.
        rest = (at - face.centre[:2]) / face.unit - depth[..., None] * face.axes[2, :2]
        place = rest @ np.linalg.inv(face.axes[:2, :2])
        down = warp.feather((self.chin + 0.62 - place[..., 1]), 0.62)
        side = warp.feather(2.35 - np.abs(place[..., 0] - self.pivot[0]), 0.45)
        top = warp.feather(place[..., 1] + 2.9, 0.5)
        if not matted:
            far = np.hypot((place[..., 0] - self.pivot[0]) / self._wide, (place[..., 1] - self._middle) / self._tall)
            top = top * warp.feather(1.75 - far, 0.45)
        return np.concatenate([place, depth[..., None]], -1).astype(np.float32), np.asarray(down * side * top, np.float32)

    def displace(self, model: Floats, hold: Floats, turn: _Turn, face: mesh.FaceFrame) -> Floats:
        """Return (rows, columns, 2) pixels that a turn moves each node by."""
        import cv2

        change = turn.matrix() - np.eye(3, 4, dtype=np.float32)
        onto = face.axes[:, :2].T * np.float32(face.unit)  # (2, 3)
        return np.asarray(cv2.transform(model, onto @ change) * hold[..., None], np.float32)


class _Seam:
    """Where the lips meet: what belongs to the upper lip and what to the lower one."""

    def __init__(self, image: Image, points: Floats, face: mesh.FaceFrame) -> None:
        flat = points[:468, :2]
        right, left = flat[61], flat[291]
        self.origin = (right + left) / 2
        axis = left - right
        self.length = float(np.linalg.norm(axis)) / 2
        self.x = axis / np.linalg.norm(axis)
        self.y = np.array([-self.x[1], self.x[0]], np.float32)
        local = face.local(points[:468])
        self.half = float(np.abs(local[291, 0] - local[61, 0])) / 2
        self.unit = face.unit
        self.scale = float(np.clip(2 * self.half / 0.52, 0.6, 1.0))
        """How large the mouth is for the face: small ones, as anime has, open less."""
        # The inner edges' rows end short of where the lips part: go on to the corners.
        ends = 0.15 * flat[[78, 308]] + 0.85 * flat[[61, 291]]
        upper, lower = (self._curve(np.concatenate([ends[:1], flat[rows[3]], ends[1:]])) for rows in (mesh.UPPER_LIP, mesh.LOWER_LIP))
        self.gap = float((lower[1] - upper[1])[4:-4].mean()) / face.unit
        self.is_open = self.gap > 0.024
        self.soft = max(0.75, 0.006 * face.unit)
        if self.is_open:
            self.over, self.under = upper, lower
        else:
            middle = (upper[0], np.asarray((upper[1] + lower[1]) / 2, np.float32))
            self.over = self.under = self._darkest(image, middle)
        self.close = 0.42 if self.is_open else 0.5
        self.overlap = max(0.024, 2.3 / face.unit) if self.is_open else 0.0
        """How far lips that are open in the picture are laid over each other when shut, units: their edges are never sharp."""
        self.centre = (local[13] + self.close * (local[14] - local[13])).astype(np.float32)

    def _curve(self, points: Floats) -> tuple[Floats, Floats]:
        away = points - self.origin
        u, v = np.asarray(away @ self.x, np.float32), np.asarray(away @ self.y, np.float32)
        order = np.argsort(u)
        return u[order], v[order]

    def _darkest(self, image: Image, middle: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """Follow the dark line between shut lips near the landmarks' line (dynamic programming)."""
        import cv2

        reach = max(2.0, 0.035 * self.unit)
        u = np.linspace(middle[0][0], middle[0][-1], max(16, int(2 * self.length)), dtype=np.float32)
        base = np.interp(u, *middle).astype(np.float32)
        offsets = np.linspace(-reach, reach, int(4 * reach) | 1, dtype=np.float32)
        v = base[:, None] + offsets[None]
        at = self.origin + u[:, None, None] * self.x + v[..., None] * self.y
        light = warp.sample(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), at, sharp=False).astype(np.float32)
        contrast = max(float(light.max() - light.min()), 12.0)
        taper = np.clip(1 - np.abs(u) / self.length, 0.05, 1)[:, None]
        cost = light / contrast + 0.25 * (offsets / reach) ** 2 / taper
        total, came = cost.copy(), np.zeros(cost.shape, int)
        for i in range(1, len(u)):
            before = np.pad(total[i - 1], 1, constant_values=np.inf)
            steps = np.stack([before[:-2] + 0.02, before[1:-1], before[2:] + 0.02])
            came[i] = steps.argmin(0) - 1
            total[i] += steps.min(0)
        path = np.empty(len(u), int)
        path[-1] = total[-1].argmin()
        for i in range(len(u) - 1, 0, -1):
            path[i - 1] = path[i] + came[i][path[i]]
        line = base + offsets[path]
        return u, np.convolve(np.pad(line, 3, mode="edge"), np.ones(7) / 7, "valid").astype(np.float32)

    def bow(self, local: Floats) -> float:
        """Return how far the corners of the shut mouth stand above its middle, for one half of its width squared, in units."""
        corners = (local[61, 1] + local[291, 1]) / 2
        return float(np.clip(self.centre[1] - corners, -0.05, 0.12))

    def side(self, at: Floats) -> Floats:
        """Return how far (n, 2) places lie below the middle of the seam, pixels (negative: above)."""
        away = at - self.origin
        u, v = away @ self.x, away @ self.y
        middle = (np.interp(u, *self.over) + np.interp(u, *self.under)) / 2
        return np.asarray(v - middle, np.float32)

    def hold(self, at: Floats, *, below: bool) -> Floats:
        """Move the (h, w, 2) places that lie on the other side of the seam onto it."""
        away = at - self.origin
        u, v = away @ self.x, away @ self.y
        line = np.interp(u, *(self.under if below else self.over))
        v = np.maximum(v, line) if below else np.minimum(v, line)
        return np.asarray(self.origin + u[..., None] * self.x + v[..., None] * self.y, np.float32)

    def taper(self, at: Floats) -> Floats:
        """Return 1 well between the corners of the mouth, falling to 0 at them."""
        u = (at - self.origin) @ self.x
        inside = np.minimum(u - self.over[0][0], self.over[0][-1] - u) / (self.over[0][-1] - self.over[0][0])
        return np.asarray(np.sqrt(np.clip(inside / 0.14, 0, 1)), np.float32)

    def between(self, at: Floats) -> Floats:
        """Return 1 for (h, w, 2) places between the corners of the mouth, 0 past them."""
        u = (at[..., 0] - self.origin[0]) * self.x[0] + (at[..., 1] - self.origin[1]) * self.x[1]
        return warp.feather(np.minimum(u - self.over[0][0], self.over[0][-1] - u) - self.soft, 1.5 * self.soft)

    def _beyond(self, at: Floats, curve: tuple[Floats, Floats], lowest: bool) -> Floats:
        away_u = (at[..., 0] - self.origin[0]) * self.x[0] + (at[..., 1] - self.origin[1]) * self.x[1]
        away_v = (at[..., 0] - self.origin[0]) * self.y[0] + (at[..., 1] - self.origin[1]) * self.y[1]
        line = np.interp(away_u, *curve).astype(np.float32)
        if self.is_open:  # past the corners both lines must be one
            ends = np.where(away_u < 0, (self.over[1][0] + self.under[1][0]) / 2, (self.over[1][-1] + self.under[1][-1]) / 2)
            out = (away_u < curve[0][0]) | (away_u > curve[0][-1])
            line = np.where(out, ends, line)
            trim = 0.55 * self.soft * np.clip(1.2 * (1 - np.abs(away_u) / self.length), 0, 1)
            line = line + (trim if lowest else -trim)
        return np.asarray(away_v - line if lowest else line - away_v, np.float32)

    def above(self, at: Floats) -> Floats:
        """Return how deep each (h, w, 2) place lies in the upper layer, pixels from its edge; negative outside."""
        return self._beyond(at, self.over, False)

    def below(self, at: Floats) -> Floats:
        """Return how deep each (h, w, 2) place lies in the lower layer, pixels from its edge; negative outside."""
        return self._beyond(at, self.under, True)

    def zone(self, at: Floats) -> Floats:
        """Return 1 on the lips, falling to 0 a little outside them."""
        away = at - self.origin
        u, v = away @ self.x, away @ self.y
        across = np.abs(u) / (self.length + 0.05 * self.unit)
        down = np.abs(v - np.interp(u, *self.over) / 2 - np.interp(u, *self.under) / 2) / (0.26 * self.unit + self.gap * self.unit)
        return warp.feather(1.02 - np.sqrt(across**4 + down**2), 0.16)


def _shapes(local: Floats, seam: _Seam) -> dict[str, Floats]:
    """Return how each amount moves the mesh: (468, 3) shifts for an amount of 1, in the face's coordinates.

    `rest` shuts a mouth that is open in the picture. `jaw` and `gap` are in units, the others in shares of a full expression.
    """
    upper, lower = mesh.UPPER_LIP, mesh.LOWER_LIP
    lips = np.zeros(468, bool)
    lips[upper.ravel()] = lips[lower.ravel()] = True
    u = (np.arange(11) - 5) / 5
    arch = 1 - np.abs(u) ** 1.75  # the opening's shape along the lips: 1 in the middle, 0 at the corners
    x, y, z = local.T
    right, left = local[61], local[291]
    corner_y = float((right[1] + left[1]) / 2)
    chin_y = float(local[152, 1])
    soft = ~lips
    by_corner = {
        side: np.exp(-(((local - corner)[:, :2] / 0.24) ** 2).sum(1)) for side, corner in (("Right", right), ("Left", left))
    }
    sides = {"Right": -1.0, "Left": 1.0}
    shapes: dict[str, Floats] = {}

    def new(name: str) -> Floats:
        shapes[name] = np.zeros((468, 3), np.float32)
        return shapes[name]

    # Rest: bring the inner edges together; outer edges follow in part.
    rest = new("rest")
    if seam.is_open:
        gap = np.maximum(local[lower[3], 1] - local[upper[3], 1], 0) + seam.overlap * (1 - u**4)
        for row, follow_up, follow_low in zip(range(4), (0.55, 0.75, 0.9, 1.0), (0.8, 0.88, 0.95, 1.0), strict=True):
            rest[upper[row, 1:-1], 1] = (seam.close * gap * follow_up)[1:-1]
            rest[lower[row, 1:-1], 1] = (-(1 - seam.close) * gap * follow_low)[1:-1]
        below = soft & (y > corner_y) & (np.abs(x - (right[0] + left[0]) / 2) < 0.5)
        # A broad smile is let go a little, or every vowel would be said through it.
        narrow = 0.4 * max(0.0, 2 * seam.half - 0.60)
        for rows in (upper, lower):
            rest[rows, 0] -= 0.5 * narrow * u
        for side, weight in by_corner.items():
            rest[soft, 0] -= 0.5 * narrow * sides[side] * weight[soft]
        rest[below, 1] = -0.35 * gap[5] * np.clip(1 - (y[below] - corner_y) / max(chin_y - corner_y, 1e-3), 0, 1)

    # Jaw: skin below the mouth turns about the hinge before the ears.
    ears = local[[234, 454]]
    hinge_y, hinge_z = float(ears[:, 1].mean()) + 0.1, float(ears[:, 2].mean())
    depth = max(hinge_z - float(local[152, 2]), 0.35)
    t = (y - corner_y) / max(chin_y - corner_y, 1e-3)
    carried = np.clip((t + 0.30) / 0.75, 0, 1)
    carried = carried * carried * (3 - 2 * carried) * np.clip((hinge_z - z) / depth, 0, 1.05) * soft
    carried = carried * (1 - np.maximum(by_corner["Right"], by_corner["Left"]))  # beside the corners skin goes with the lips
    jaw = new("jaw")
    jaw[:, 1] = 0.92 * carried
    jaw[:, 2] = 0.92 * carried * np.clip((y - hinge_y) / depth, 0, 1.2)
    inward = carried * np.clip((y - corner_y) / 0.5, 0, 1)
    jaw[:, 0] -= 0.06 * inward * np.sign(x) * np.minimum(np.abs(x), 0.6)

    # Gap: the lips part; corners go down with the jaw, the upper lip's ends with them.
    gap_shape = new("gap")
    for row in range(4):
        gap_shape[upper[row], 1] = CORNER * np.abs(u) ** 1.9 - 0.07 * arch
        gap_shape[lower[row], 1] = CORNER + (0.93 - CORNER) * arch * (0.90 + 0.10 * row / 3)
        for rows in (upper, lower):
            gap_shape[rows[row], 0] = -0.16 * u
    for side, weight in by_corner.items():
        gap_shape[soft, 0] -= 0.15 * sides[side] * weight[soft]
        gap_shape[soft, 1] += 0.95 * CORNER * weight[soft] * np.clip(1 - (t[soft] - 0.25) / 0.3, 0, 1)

    # Upper lip up, with the skin under the nose.
    up = new("upperUp")
    for row in range(4):
        up[upper[row], 1] = -arch * (0.85 + 0.15 * row / 3)
    under_nose = np.clip((y - local[2, 1] + 0.04) / max(corner_y - local[2, 1], 1e-3), 0, 1) * (y < corner_y)
    sideways = np.exp(-(((x - seam.centre[0]) / 0.30) ** 2)) * under_nose
    up[soft, 1] = -0.7 * sideways[soft]

    for side, sign in sides.items():
        mine = np.clip(0.5 + 0.5 * sign * u / 0.25, 0, 1)
        pull = np.clip(sign * u, 0, 1)
        near = by_corner[side]
        pulls = (("width", 0.5, 0.0, 0.0), ("smile", 0.05, -0.075, 0.035), ("frown", 0.0, 0.06, 0.0), ("dimple", 0.03, -0.01, 0.0))
        for name, dx, dy, cheeks in pulls:
            shape = new(f"{name}{side}")
            for rows in (upper, lower):
                for row in range(4):
                    shape[rows[row], 0] += sign * dx * pull
                    shape[rows[row], 1] += dy * pull**2
            shape[soft, 0] += sign * dx * near[soft]
            shape[soft, 1] += dy * 0.7 * near[soft]
            if cheeks:
                apple = local[425 if side == "Left" else 205]
                shape[soft, 1] -= cheeks * np.exp(-(((local - apple)[soft, :2] / 0.22) ** 2).sum(1))
        press = new(f"press{side}")
        for row, share in zip(range(4), (0.30, 0.22, 0.1, 0.0), strict=True):
            press[upper[row], 1] += share * mine * (local[upper[3], 1] - local[upper[0], 1])
            press[lower[row], 1] += share * mine * (local[lower[3], 1] - local[lower[0], 1])

        brow, lid = (mesh.LEFT_BROW, mesh.LEFT_EYE_UPPER) if side == "Left" else (mesh.RIGHT_BROW, mesh.RIGHT_EYE_UPPER)
        above_eye = soft & (y < local[lid, 1].min() - 0.03)
        inner, outer = local[brow[[4, 9]]].mean(0), local[brow[[0, 5]]].mean(0)
        middle = local[brow].mean(0)
        span = max(abs(float(inner[0] - outer[0])), 0.2)
        raises = (
            ("browInner", inner, -0.045, 0.0),
            ("browOuter", 0.6 * outer + 0.4 * middle, -0.045, 0.0),
            ("browDown", 0.6 * inner + 0.4 * middle, 0.035, -0.02),
        )
        for name, centre, amount, dx in raises:
            shape = new(f"{name}{side}")
            away = (local - centre)[:, :2] / np.array([0.5 * span, 0.22])
            weight = np.exp(-(away**2).sum(1)) * above_eye
            shape[:, 1] = amount * weight
            shape[:, 0] = dx * sign * weight
        sneer = new(f"sneer{side}")
        wing = local[358 if side == "Left" else 129]
        sneer[:, 1] = -0.035 * np.exp(-(((local - wing)[:, :2] / 0.13) ** 2).sum(1)) * soft
        puff = new(f"puff{side}")
        cheek = local[411 if side == "Left" else 187]
        puff[:, 0] = sign * 0.05 * np.exp(-(((local - cheek)[:, :2] / 0.26) ** 2).sum(1)) * soft
        squint = new(f"cheek{side}")
        squint[:, 1] = -0.035 * np.exp(-(((local - local[330 if side == "Left" else 101])[:, :2] / 0.2) ** 2).sum(1)) * soft

    # Nobody says u through a smile: as lips round, its raised corners come down, and the cheeks that they held up.
    relax, raised = new("relax"), 0.9 * max(0.0, seam.bow(local))
    for rows in (upper, lower):
        relax[rows, 1] += raised * np.abs(u) ** 1.4
    wide = np.maximum(by_corner["Right"], by_corner["Left"]) ** 0.45  # as far as the cheeks: near by, skin would fold
    relax[soft, 1] += raised * (wide * np.clip((y - local[2, 1] + 0.05) / 0.12, 0, 1))[soft]

    # Round lips: forward, fuller; funnel turns them outward.
    pucker, funnel = new("pucker"), new("funnel")
    for row, grow in zip(range(4), (1.0, 0.75, 0.4, 0.0), strict=True):
        pucker[upper[row], 1] -= 0.012 * grow * arch
        pucker[lower[row], 1] += 0.016 * grow * arch
        funnel[upper[row], 1] -= 0.030 * (0.35 + 0.65 * grow) * arch
        funnel[lower[row], 1] += 0.034 * (0.35 + 0.65 * grow) * arch
        for shape, amount in ((pucker, -0.07), (funnel, -0.06)):
            shape[upper[row], 2] = shape[lower[row], 2] = amount
    for name, rows in (("rollUpper", upper), ("rollLower", lower)):
        roll = new(name)
        thick = local[rows[3], 1] - local[rows[0], 1]
        for row, share in zip(range(4), (0.48, 0.34, 0.16, 0.0), strict=True):
            roll[rows[row], 1] = share * thick * arch

    chin = np.exp(-(((x - local[152, 0]) / 0.35) ** 2)) * np.clip((t + 0.1) / 0.5, 0, 1) * np.clip((1.25 - t) / 0.5, 0, 1) * soft
    shrug = new("shrugLower")
    shrug[:, 1] = -0.035 * chin
    new("shrugUpper")
    for row, share in zip(range(4), (1.0, 0.9, 0.5, 0.0), strict=True):
        shapes["shrugUpper"][upper[row], 1] = -0.02 * share * arch
        shrug[lower[row], 1] = -0.02 * share * arch
    aside = new("mouthAside")
    aside[lips, 0] = 0.07
    aside[soft, 0] = 0.07 * np.exp(-(((local - seam.centre)[soft, :2] / np.array([0.5, 0.28])) ** 2).sum(1))
    jaw_aside = new("jawAside")
    jaw_aside[:, 0] = 0.07 * carried
    jaw_aside[lower[:, 1:-1], 0] = 0.055
    return shapes


def _amounts(names: list[str], weights: Floats, seam: _Seam) -> Floats:
    """Turn (52,) ARKit weights into the shapes' amounts, in the order of `names`."""

    def w(name: str) -> float:
        return float(weights[ARKIT_INDEX[name]])

    def both(name: str) -> float:
        return 0.5 * (w(f"{name}Left") + w(f"{name}Right"))

    scale = seam.scale
    jaw = JAW * scale * w("jawOpen")
    raised = 0.035 * both("mouthUpperUp")
    lips_apart = max(0.0, jaw * (1 - w("mouthClose")) + (0.045 * both("mouthLowerDown") - 0.03 * w("mouthPucker")) * (1 - w("mouthClose")))
    if seam.overlap:  # lips that lie on each other first part by that
        lips_apart += seam.overlap * min(1.0, lips_apart / seam.overlap)
    amount = {
        # Shut lips hold the chin: it cannot hang as far as the jaw's curve, which is on its way to the next vowel, would have it.
        "rest": 1.0, "jaw": jaw * (1 - 0.75 * w("mouthClose")), "gap": lips_apart, "upperUp": raised * (1 - w("mouthClose")),
        "pucker": w("mouthPucker"), "funnel": w("mouthFunnel"), "relax": min(1.0, 1.2 * w("mouthPucker") + 0.8 * w("mouthFunnel")),
        "rollUpper": w("mouthRollUpper"), "rollLower": w("mouthRollLower"),
        "shrugUpper": w("mouthShrugUpper"), "shrugLower": w("mouthShrugLower"),
        "mouthAside": w("mouthLeft") - w("mouthRight"), "jawAside": w("jawLeft") - w("jawRight"),
    }  # fmt: skip
    for side in ("Left", "Right"):
        amount |= {
            f"width{side}": scale * (0.13 * w(f"mouthStretch{side}") - 0.17 * w("mouthPucker") - 0.10 * w("mouthFunnel")),
            f"smile{side}": w(f"mouthSmile{side}"), f"frown{side}": w(f"mouthFrown{side}"), f"dimple{side}": w(f"mouthDimple{side}"),
            f"press{side}": w(f"mouthPress{side}"), f"browInner{side}": w("browInnerUp"), f"browOuter{side}": w(f"browOuterUp{side}"),
            f"browDown{side}": w(f"browDown{side}"), f"sneer{side}": w(f"noseSneer{side}"), f"puff{side}": w("cheekPuff"),
            f"cheek{side}": w(f"cheekSquint{side}"),
        }  # fmt: skip
    return np.array([amount[name] for name in names], np.float32)


def _mix(amounts: Floats, fields: Floats) -> Floats:
    """Add up (k, …) fields by (k,) amounts."""
    # A sum, not a matrix product: BLAS would start threads for it, which take the processors from the encoder.
    mixed = np.zeros(fields.shape[1:], np.float32)
    for index in np.flatnonzero(np.abs(amounts) > 1e-5):
        mixed += amounts[index] * fields[index]
    return mixed


class _Inside:
    """What shows between the lips."""

    def __init__(self, image: Image, face: mesh.FaceFrame, seam: _Seam, bow: float, *, skin: Floats, lip: Floats) -> None:
        self._face, self._centre, self._scale = face, seam.centre, seam.scale
        self._colours = mouth.palette(skin, lip)
        scale = float(np.clip(face.unit * 1.3, 60, 600))
        half = float(np.clip(seam.half, 0.2, 0.34))
        own = _own_teeth(image, face, seam, skin=skin, lip=lip, scale=scale)
        self._upper = own or mouth.teeth(
            self._colours, widths=mouth.UPPER_TEETH, edge=mouth.UPPER_EDGE, height=9.5 * mouth.MM,
            up=True, half=half, bow=0.75 * bow, scale=scale,
        )
        self._lower = mouth.teeth(
            self._colours, widths=mouth.LOWER_TEETH, edge=mouth.LOWER_EDGE, height=8.5 * mouth.MM,
            up=False, half=half * 0.92, bow=0.6 * bow, scale=scale,
        )  # fmt: skip
        self._tongue = mouth.tongue(self._colours, half=half, scale=scale)
        soft = _softness(image, face) * scale / face.unit
        self._tongue, self._lower = mouth.softened(self._tongue, soft), mouth.softened(self._lower, soft)
        if not own:
            self._upper = mouth.softened(self._upper, soft)
        # The picture's own teeth have their shadows already.
        self._lit = ((self._tongue, 0.30), (self._lower, 0.40), (self._upper, 0.95 if own else 0.62))

    def draw(self, corner: tuple[int, int], hole: Floats, weights: Floats, turn: _Turn) -> Image:
        """Return (h, w, 3) uint8 for a patch at `corner` (x, y) of the picture; `hole` says where the inside shows."""
        import cv2

        jaw = JAW * self._scale * float(weights[ARKIT_INDEX["jawOpen"]])
        lift = float(weights[ARKIT_INDEX["tongueOut"]])
        shifts = (0.46 * jaw + 0.028 - lift * (0.40 * jaw - 0.002), 0.95 * jaw, 0.0)
        opened = np.clip(cv2.GaussianBlur(hole, (0, 0), max(1.0, 0.04 * self._face.unit)) * 1.15, 0, 1)[..., None]
        out = self._colours.cavity * (0.5 + 0.5 * opened)
        for (layer, least), down in zip(self._lit, shifts, strict=True):
            matrix = self._place(layer, down, turn, corner)
            size = (hole.shape[1], hole.shape[0])
            alpha = cv2.warpAffine(layer.alpha, matrix, size)
            colour = cv2.warpAffine(layer.colour, matrix, size, borderMode=cv2.BORDER_REPLICATE)
            out += alpha[..., None] * (colour * (least + (1 - least) * opened) - out)
        return np.asarray(np.clip(out + 0.5, 0, 255), np.uint8)

    def _place(self, layer: mouth.Layer, down: float, turn: _Turn, corner: tuple[int, int]) -> NDArray[np.float64]:
        """Return the affine matrix from a layer's pixels to the patch's."""
        origin = np.array([layer.origin[0], layer.origin[1] + down], np.float32)
        flat = np.array([[0, 0], [100, 0], [0, 100]], np.float32) / layer.scale + origin
        local = np.concatenate([flat, np.full((3, 1), 0.04, np.float32)], 1) + self._centre
        shown = self._face.centre[:2] + self._face.shift(turn.apply(local)) - np.array(corner, np.float32)
        return np.column_stack([(shown[1] - shown[0]) / 100, (shown[2] - shown[0]) / 100, shown[0]]).astype(np.float64)


def _softness(image: Image, face: mesh.FaceFrame) -> float:
    """Return by how many pixels what is drawn sharply must be blurred to look as sharp as the face does."""
    x, y = (int(v) for v in face.centre[:2])
    reach = int(1.1 * face.unit)
    part = image[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach]
    return float(np.sqrt(max(0.0, blur_of(np.ascontiguousarray(part)) ** 2 - SHARP**2)))


def _own_teeth(
    image: Image, face: mesh.FaceFrame, seam: _Seam, *, skin: Floats, lip: Floats, scale: float
) -> mouth.Layer | None:
    """Cut the teeth out of a picture that shows them; None where it does not."""
    import cv2

    if not seam.is_open:
        return None
    wide, up, down = seam.half * 1.1, 0.16, 0.20
    x, y = np.meshgrid(np.arange(-wide, wide, 1 / scale, dtype=np.float32), np.arange(-up, down, 1 / scale, dtype=np.float32))
    local = np.stack([x, y, np.full_like(x, 0.04)], -1) + seam.centre
    at = (face.centre[:2] + face.shift(local)).astype(np.float32)
    colour = warp.sample(image, at)
    over, under = warp.feather(seam.above(at), seam.soft), warp.feather(seam.below(at), seam.soft)
    between = (1 - over) * (1 - under) * seam.between(at)
    light, red = _light_and_red(colour.astype(np.float32))
    skin_light, skin_red = (float(v) for v in _light_and_red(skin))
    lip_light, lip_red = (float(v) for v in _light_and_red(lip))
    bright = np.clip((light - 0.5 * (skin_light + min(lip_light, skin_light)) + 0.16 * skin_light) / (0.12 * skin_light), 0, 1)
    pale = np.clip((0.5 * (lip_red + skin_red) + 0.02 - red) / 0.05, 0, 1)
    tooth = (between * bright * pale).astype(np.float32)
    tooth = cv2.morphologyEx(tooth, cv2.MORPH_CLOSE, _disc(0.012 * scale))
    tooth = cv2.GaussianBlur(tooth, (0, 0), max(0.6, 0.005 * scale))
    if tooth.sum() < 0.30 * between.sum():
        return None
    # Where the lips covered the teeth, go on with what is nearest, so that a lip drawn back shows teeth and not lip.
    solid = fill(colour, (tooth > 0.85).astype(np.float32))
    roots = (np.cumsum(tooth[::-1] > 0.5, axis=0)[::-1] > 0) & (over > 0.2)
    alpha = np.maximum(tooth, roots)
    kept = np.where((tooth > 0.85)[..., None], colour, solid)
    return mouth.Layer(np.asarray(kept, np.uint8), np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.7), np.float32), (-float(wide), -up), scale)


def _light_and_red(colour: Floats) -> tuple[Floats, Floats]:
    """Return luminance, 0 to 255, and how much redder than green (…, 3) colours are, as a share of their light."""
    light = colour @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(light, np.float32), np.asarray((colour[..., 0] - colour[..., 1]) / np.maximum(light, 16), np.float32)


class _Eye:
    """An eye whose lid slides over it and whose iris moves."""

    def __init__(
        self, image: Image, points: Floats, face: mesh.FaceFrame, upper: NDArray[np.intp], lower: NDArray[np.intp],
        iris: NDArray[np.intp], brow: NDArray[np.intp], side: str, tone: Floats,
    ) -> None:  # fmt: skip
        flat = points[:, :2]
        outer, inner = flat[upper[0]], flat[upper[-1]]
        axis = inner - outer if side == "Right" else outer - inner
        self._wide = float(np.linalg.norm(axis))
        self._x = (axis / self._wide).astype(np.float32)
        self._y = np.array([-self._x[1], self._x[0]], np.float32)
        self._origin = ((outer + inner) / 2).astype(np.float32)
        self._side = side
        self.place = face.local(points[upper[[0, -1]]]).mean(0)
        self._upper, self._lower = self._curve(flat[upper]), self._curve(flat[lower])
        at = np.linspace(-0.5, 0.5, 9)
        opened = np.interp(at, *self._lower) - np.interp(at, *self._upper)
        self._height = float(max(opened.max(), 0.02))
        brow_v = self._local(flat[brow[:5]])[:, 1].mean()
        room = float(np.interp(0.0, *self._upper) - brow_v)
        self._skin = float(np.clip(0.80 * room, 0.16, 0.60))
        self._iris = self._local(flat[iris[:1]])[0]
        self._radius = float(np.linalg.norm(flat[iris[1:]] - flat[iris[0]], axis=1).mean() / self._wide)
        reach = 1.1 * self._wide
        height, width = image.shape[:2]
        x0, y0 = np.maximum(self._origin - [reach, reach], 0).astype(int)
        x1, y1 = np.minimum(self._origin + [reach, reach] + 1, [width, height]).astype(int)
        self._box = (int(x0), int(y0), int(x1), int(y1))
        self._soft = max(0.9 / self._wide, 0.018)
        self._tone = tone
        place = self._local(np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1).astype(np.float32))
        crop = image[y0:y1, x0:x1]
        self._glasses = self._rims(crop, place)
        self._clean = image
        if self._glasses is not None:
            self._clean = image.copy()
            self._clean[y0:y1, x0:x1] = crop = fill(crop, 1 - self._glasses)
        self._bare = self._bare_lid(crop, place)

    def _rims(self, crop: Image, place: Floats) -> Floats | None:
        """Return where the rims of glasses lie, (h, w) from 0 to 1; None where none are seen.

        A rim is thin and darker than what is round it, and reaches from beside the eye to below it, as no brow, fold or lash does.
        """
        import cv2

        u, v = place[..., 0], place[..., 1]
        over, under = np.interp(u, *self._upper), np.interp(u, *self._lower)
        light = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (0, 0), max(0.5, 0.01 * self._wide))
        depth = cv2.morphologyEx(light, cv2.MORPH_BLACKHAT, _disc(RIM * self._wide)).astype(np.float32)
        in_eye = (np.abs(u) < 0.56) & (v > over - LASHES * 1.5) & (v < under + LASHES)
        _, pieces, boxes, _ = cv2.connectedComponentsWithStats(((depth > 16) & ~in_eye).astype(np.uint8), connectivity=8)
        long = [number for number in range(1, len(boxes)) if max(boxes[number, 2:4]) > 0.4 * self._wide]
        long = [number for number in long if np.abs(u[pieces == number]).max() > 0.7]
        for number in long:
            below = (pieces == number) & (np.abs(u) < 0.6) & (v > under + 0.12)
            if below.any() and np.ptp(u[below]) > 0.5 and depth[below].mean() > 40:
                break
        else:
            return None
        # The rest of the rim may be in other pieces: highlights and lashes interrupt it.
        rim = cv2.dilate(np.isin(pieces, long).astype(np.float32), _disc(0.012 * self._wide))
        return np.asarray(np.clip(cv2.GaussianBlur(rim, (0, 0), 0.7) * 1.5, 0, 1), np.float32)

    def _bare_lid(self, crop: Image, place: Floats) -> Image:
        """Return the eye's surroundings with skin where the eye and its lashes are: what a lid shows when it is drawn out."""
        import cv2

        u, v = place[..., 0], place[..., 1]
        over = np.interp(u, *self._upper)
        # Only what lies above the eye is known: below and beside it lashes and shadows would darken the lid.
        skin = fill(crop, ((v < over - LASHES * 2.2) & (np.abs(u) < 0.75)).astype(np.float32))
        soft = cv2.GaussianBlur(skin, (0, 0), max(0.6, 0.035 * self._wide))
        return np.asarray(0.65 * soft + 0.35 * 0.9 * self._tone, np.uint8)

    def _local(self, at: Floats) -> Floats:
        away = at - self._origin
        u, v = (away[..., 0] * axis[0] + away[..., 1] * axis[1] for axis in (self._x, self._y))
        return np.asarray(np.stack([u, v], -1) / self._wide, np.float32)

    def _curve(self, points: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        place = self._local(points)
        at = np.linspace(-0.5, 0.5, 33)
        fitted = np.polynomial.Polynomial.fit(place[:, 0], place[:, 1], 4)(at)
        fitted[[0, -1]] = 0
        return at, fitted

    def draw(self, image: Image, canvas: Image, fetched: Floats, roi: _Pixels, weights: Floats, middle: Floats) -> None:
        """Draw the eye into the warped rectangle `canvas`, whose pixels came from `fetched`; `middle` is where the eye is now."""
        def w(name: str) -> float:
            return float(weights[ARKIT_INDEX[f"{name}{self._side}"]])

        lowered = w("eyeBlink") + 0.18 * w("eyeSquint") + 0.30 * w("eyeLookDown")
        shut = float(np.clip(lowered - 0.16 * w("eyeWide") - 0.08 * w("eyeLookUp"), -0.2, 1))
        outward = w("eyeLookOut") - w("eyeLookIn")
        upright = (w("eyeLookDown") - w("eyeLookUp")) * 0.16 * min(1.0, 3 * self._height)
        look = np.array([(outward if self._side == "Left" else -outward) * 0.22, upright])
        if abs(shut) < 0.004 and np.abs(look).max() < 0.002:
            return
        corner = middle - roi.origin
        side, up, down = 0.62 * self._wide, (self._skin + self._height + 0.20) * self._wide, (self._height + 0.20) * self._wide
        slant = abs(self._x[1]) * side
        rows = slice(max(0, int(corner[1] - up - slant)), max(0, int(corner[1] + down + slant)))
        columns = slice(max(0, int(corner[0] - side - slant)), max(0, int(corner[0] + side + slant)))
        at = fetched[rows, columns]
        if not at.size:
            return
        place = self._local(at)
        u, v = place[..., 0], place[..., 1]
        over = np.interp(u, *self._upper).astype(np.float32)
        under = np.interp(u, *self._lower).astype(np.float32)
        opened = np.maximum(under - over, 0) * (np.abs(u) < 0.5)
        slid = shut * 0.93 * opened
        lid = over + slid
        above = lid - v
        stretch = self._skin + slid
        t = np.clip(above / stretch, 0, 1)
        from_margin = above - slid * t * t * (3 - 2 * t)
        skin_v = np.where(above > 0, over - from_margin, v - slid)
        on_lid = warp.feather(above + 0.035, self._soft) * (above < stretch + 0.05)
        # The eyeball: the iris shifts within the opening, what lies far from it stays.
        away = np.sqrt((u - self._iris[0]) ** 2 + (v - self._iris[1]) ** 2) / max(self._radius, 0.05)
        near = warp.feather(1.9 - away, 0.75)
        in_eye = warp.feather(under - 0.02 - v, self._soft) * warp.feather(v - over - 0.01, self._soft) * (opened > 0)
        ball = np.stack([u - look[0] * near, v - look[1] * near], -1)
        skin = np.stack([u, skin_v], -1)
        drawn = canvas[rows, columns].astype(np.float32)
        if np.abs(look).max() >= 0.002:
            drawn += in_eye[..., None] * (self._fetch(image, ball) - drawn)
        if abs(shut) >= 0.004:
            touched = on_lid * (np.abs(slid) > 1e-4)
            sharp = self._fetch(self._clean, skin)
            # What is drawn out shows bare skin; the lashes on its margin and the fold above stay as they are.
            stretched = warp.feather(above - LASHES * 1.3, LASHES * 0.6) * warp.feather(0.80 * stretch - above, 0.22 * stretch)
            stretched = stretched * np.clip(slid / 0.10, 0, 1)
            bare = self._fetch(self._bare, skin, self._box[:2])
            fold = 1 - 0.10 * np.clip(shut, 0, 1) * np.exp(-(((above - 0.03) / 0.10) ** 2))
            lid_colour = (sharp + stretched[..., None] * (bare - sharp)) * fold[..., None]
            drawn += touched[..., None] * (lid_colour - drawn)
            shadow = 0.16 * np.clip(shut, 0, 1) * np.exp(-(((v - lid - 0.02) / 0.07) ** 2)) * (opened > 0) * (1 - on_lid)
            drawn *= 1 - shadow[..., None]
            if self._glasses is not None:  # they stand before the lid and stay
                rim = (self._fetch(self._glasses, place, self._box[:2]) * (v < under))[..., None]
                drawn += rim * (canvas[rows, columns] - drawn)
        canvas[rows, columns] = np.clip(drawn + 0.5, 0, 255).astype(np.uint8)

    def _fetch(self, image: NDArray[Any], place: Floats, corner: tuple[int, int] = (0, 0)) -> Floats:
        x = self._origin[0] - corner[0] + self._wide * (place[..., 0] * self._x[0] + place[..., 1] * self._y[0])
        y = self._origin[1] - corner[1] + self._wide * (place[..., 0] * self._x[1] + place[..., 1] * self._y[1])
        return warp.sample(image, np.stack([x, y], -1)).astype(np.float32)


def _ring(local: Floats) -> Floats:
    """Return (n, 3) points outside the face, where nothing moves with its expressions."""
    outline = local[mesh.OVAL]
    middle = outline.mean(0)
    away = outline - middle
    rings = [middle + away * np.array([k, k * (1.0 if k < 1.6 else 1.1), 0]) for k in (1.5, 1.9)]
    flat = np.concatenate(rings).astype(np.float32)
    flat[:, 2] = outline[:, 2].max()
    return flat


def _colours(image: Image, points: Floats, seam: _Seam) -> tuple[Floats, Floats]:
    """Return the mean colours (3,) of the lit skin round the mouth and of the lips."""
    import cv2

    height, width = image.shape[:2]
    lips = np.zeros((height, width), np.uint8)
    outline = np.concatenate([mesh.UPPER_LIP[0], mesh.LOWER_LIP[0][::-1]])
    cv2.fillPoly(lips, [points[outline, :2].round().astype(np.int32)], 1)
    inner = np.concatenate([mesh.UPPER_LIP[3], mesh.LOWER_LIP[3][::-1]])
    cv2.fillPoly(lips, [points[inner, :2].round().astype(np.int32)], 0)
    places = points[[50, 280, 205, 425, 101, 330, 195], :2]
    radius = max(1, round(0.03 * seam.unit))
    skin = np.zeros((height, width), np.uint8)
    for x, y in places.round().astype(int):
        cv2.circle(skin, (int(x), int(y)), radius, 1, -1)
    lip_pixels, skin_pixels = image[lips > 0], image[skin > 0]
    skin_colour = np.percentile(skin_pixels, 65, axis=0) if len(skin_pixels) else np.array([190.0, 150.0, 130.0])
    lip_colour = np.median(lip_pixels, axis=0) if len(lip_pixels) else 0.7 * skin_colour
    return skin_colour.astype(np.float32), lip_colour.astype(np.float32)


def _rim(shape: tuple[int, int], width: float) -> Floats:
    """Return (h, w) weights: 1 inside a patch, 0 on its border."""
    y, x = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in shape)
    return warp.feather(np.minimum(x[None], y[:, None]) - width / 2, width / 2)


def _disc(radius: float) -> NDArray[np.uint8]:
    """Return a round structuring element."""
    import cv2

    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)

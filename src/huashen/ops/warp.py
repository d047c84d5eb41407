"""Smooth warps: thin-plate splines, coarse grids of displacements, and their inverse.

A warp is held as displacements on the nodes of a coarse `Grid`, because a smooth one needs no more, and is made as fine as the
picture only when the pixels are fetched.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.types import Floats, Image


@dataclass(frozen=True)
class Grid:
    """Nodes every `step` pixels over a rectangle of a picture; node (i, j) is the centre of its cell."""

    x0: int
    y0: int
    step: int
    columns: int
    rows: int

    @property
    def width(self) -> int:
        """Pixels covered across."""
        return self.columns * self.step

    @property
    def height(self) -> int:
        """Pixels covered down."""
        return self.rows * self.step

    def nodes(self) -> Floats:
        """Return (rows, columns, 2) float32: each node's x, y in pixels of the picture."""
        x = self.x0 + (np.arange(self.columns, dtype=np.float32) + 0.5) * self.step - 0.5
        y = self.y0 + (np.arange(self.rows, dtype=np.float32) + 0.5) * self.step - 0.5
        return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)

    def part(self, x0: float, y0: float, x1: float, y1: float) -> tuple["Grid", tuple[slice, slice]]:
        """Return the smallest part that covers a rectangle of the picture, at least one node, and its rows and columns of nodes."""
        left, right = (int(np.floor((x - self.x0) / self.step)) for x in (x0, x1))
        top, bottom = (int(np.floor((y - self.y0) / self.step)) for y in (y0, y1))
        left, top = min(max(left, 0), self.columns - 1), min(max(top, 0), self.rows - 1)
        right, bottom = min(max(right + 1, left + 1), self.columns), min(max(bottom + 1, top + 1), self.rows)
        grid = Grid(self.x0 + left * self.step, self.y0 + top * self.step, self.step, right - left, bottom - top)
        return grid, (slice(top, bottom), slice(left, right))


def cover(x0: float, y0: float, x1: float, y1: float, *, step: int) -> Grid:
    """Return the grid of that step that covers a rectangle given in pixels."""
    left, top = int(np.floor(x0)), int(np.floor(y0))
    return Grid(left, top, step, max(2, int(np.ceil((x1 - left) / step))), max(2, int(np.ceil((y1 - top) / step))))


class Spline:
    """A thin-plate spline through values given at scattered points.

    Args:
        anchors: (n, 2) distinct points, pixels.
        values: (n, k) what is known there.
        smooth: how far the surface may leave the anchors' values to be smoother, 0 or more; relative to the anchors' spread.

    Source: Bookstein, Principal Warps: Thin-Plate Splines and the Decomposition of Deformations, 1989.
    """

    def __init__(self, anchors: Floats, values: Floats, *, smooth: float = 1e-3) -> None:
        self._middle = anchors.mean(0)
        self._scale = float(np.abs(anchors - self._middle).max())
        known = ((anchors - self._middle) / self._scale).astype(np.float64)
        n = len(known)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = _bend(((known[:, None] - known[None]) ** 2).sum(-1)) + smooth * np.eye(n)
        system[:n, n] = system[n, :n] = 1
        system[:n, n + 1 :] = known
        system[n + 1 :, :n] = known.T
        right = np.zeros((n + 3, values.shape[1]))
        right[:n] = values
        solved = np.linalg.solve(system, right).astype(np.float32)
        self._weights, self._plane = solved[:n], solved[n:]
        self._known = known.astype(np.float32)

    def __call__(self, at: Floats) -> Floats:
        """Return (…, k) float32 values at (…, 2) places."""
        wanted = ((at.reshape(-1, 2) - self._middle) / self._scale).astype(np.float32)
        found = np.empty((len(wanted), self._weights.shape[1]), np.float32)
        lengths = (self._known**2).sum(-1)
        for start in range(0, len(wanted), 4096):
            part = wanted[start : start + 4096]
            square = (part**2).sum(-1)[:, None] + lengths - 2 * (part @ self._known.T)
            found[start : start + 4096] = _bend(square) @ self._weights + self._plane[0] + part @ self._plane[1:]
        return found.reshape(*at.shape[:-1], -1)

    def on(self, grid: Grid, *, every: int = 1) -> Floats:
        """Return (rows, columns, k) float32 values on a grid's nodes, computed on every n-th and made fine from there."""
        import cv2

        if every == 1:
            return self(grid.nodes())
        rows, columns = -(-grid.rows // every), -(-grid.columns // every)
        coarse = Grid(grid.x0, grid.y0, grid.step * every, columns, rows)
        found = self(coarse.nodes())
        size = (columns * every, rows * every)
        layers = [cv2.resize(found[..., k], size, interpolation=cv2.INTER_CUBIC) for k in range(found.shape[-1])]
        return np.stack(layers, -1)[: grid.rows, : grid.columns].astype(np.float32)


def _bend(square: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return r² log r of squared distances r², 0 at r = 0."""
    square = np.maximum(square, 1e-12)
    return np.asarray(0.5 * square * np.log(square))


def invert(grid: Grid, forward: Floats, *, rounds: int = 4) -> Floats:
    """Invert a warp: from how far each point goes to how far each place has been come to, negated.

    Args:
        grid: where `forward` is sampled.
        forward: (rows, columns, 2) displacement in pixels of the point that starts at a node; its slope must stay below 1.
        rounds: fixed-point rounds; the error shrinks by the slope in each.

    Returns:
        (rows, columns, 2) float32: added to a place, it gives the point that has come there.
    """
    back = -forward
    j, i = np.meshgrid(np.arange(grid.columns, dtype=np.float32), np.arange(grid.rows, dtype=np.float32))
    nodes = np.stack([j, i], axis=-1)
    for _ in range(rounds):
        back = -sample(forward, nodes + back / np.float32(grid.step), sharp=False)
    return back


def sample(image: NDArray[Any], at: Floats, *, sharp: bool = True) -> NDArray[Any]:
    """Fetch the pixels of a picture at any places; outside it the border goes on.

    Args:
        image: (h, w) or (h, w, k), uint8 or float32.
        at: (r, c, 2) x, y in pixels.
        sharp: cubic interpolation instead of linear.
    """
    import cv2

    kind = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
    return np.asarray(cv2.remap(image, np.asarray(at, np.float32), None, kind, borderMode=cv2.BORDER_REPLICATE))  # type: ignore[call-overload]


def between(one: Image, two: Image, share: float) -> tuple[Floats, Floats]:
    """Return where each of two pictures that show the same thing moved is to be fetched so that both show it on the way between.

    Args:
        one, two: (h, w, 3) uint8, at least 16 pixels each way.
        share: how far on the way from one to two, 0 to 1.

    Returns:
        Two (h, w, 2) float32: x, y in pixels, for the one and for the two.

    Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, 2016 (OpenCV's).
    """
    import cv2

    height, width = one.shape[:2]
    at = np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), -1)
    if min(height, width) < 16:
        return at, at
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (one, two)]
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)  # type: ignore[attr-defined]
    flow = cv2.GaussianBlur(finder.calc(grey[0], grey[1], None), (0, 0), 1.5)
    return at - np.float32(share) * flow, at + np.float32(1 - share) * flow


def fine(grid: Grid, coarse: Floats) -> Floats:
    """Make (rows, columns, k) values on a grid as fine as the picture: (height, width, k) float32."""
    import cv2

    return np.asarray(cv2.resize(coarse, (grid.width, grid.height), interpolation=cv2.INTER_LINEAR), np.float32)


def feather(distance: NDArray[np.floating], width: float) -> Floats:
    """Return a smooth step: 0 where `distance` is -width or less, 1 from +width on."""
    t = np.clip((distance / width + 1) / 2, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)

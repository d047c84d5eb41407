"""A face brought upright into a standard crop, and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huashen.errors import InputError
from huashen.face.pose import MODEL, STILL
from huashen.types import Floats, Image
from huashen.words import tr


@dataclass(frozen=True)
class Alignment:
    """The way between a picture and a standard crop of one face: a turn, one scale and a shift."""

    matrix: NDArray[np.float64]
    """(2, 3): from the picture's pixels to the crop's."""
    size: int
    """Side of the crop, pixels."""

    @property
    def scale(self) -> float:
        """Pixels of the crop for one of the picture."""
        return float(np.hypot(*self.matrix[:, 0]))

    @property
    def inverse(self) -> NDArray[np.float64]:
        """(2, 3): from the crop's pixels to the picture's."""
        turn = np.linalg.inv(self.matrix[:, :2])
        return np.concatenate([turn, -turn @ self.matrix[:, 2:]], axis=1)

    def crop(self, image: Image) -> Image:
        """Return the face upright, (size, size, 3); beyond the picture its edge goes on."""
        import cv2

        matrix = self.matrix
        if self.scale < 0.5:  # a plain warp would skip pixels: average them first
            share = min(1.0, 2 * self.scale)
            size = (max(1, round(image.shape[1] * share)), max(1, round(image.shape[0] * share)))
            ratio = np.array([image.shape[1] / size[0], image.shape[0] / size[1]])
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            shift = matrix[:, :2] @ ((ratio - 1) / 2) + matrix[:, 2]  # pixel centres, not corners, stay in place
            matrix = np.concatenate([matrix[:, :2] * ratio, shift[:, None]], axis=1)
        side = (self.size, self.size)
        return np.asarray(cv2.warpAffine(image, matrix, side, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    def to_crop(self, points: Floats) -> Floats:
        """Take (n, 2) or (n, 3) points of the picture into the crop; z is scaled alike."""
        return _through(self.matrix, points)

    def to_picture(self, points: Floats) -> Floats:
        """Take (n, 2) or (n, 3) points of the crop into the picture; z is scaled alike."""
        return _through(self.inverse, points)

    def paste(self, image: Image, crop: Image, mask: Floats) -> Image:
        """Return the picture with the crop laid over it.

        Args:
            image: (h, w, 3); not changed.
            crop: (size, size, 3).
            mask: (size, size) in [0, 1]: 1 shows the crop. It should fall to 0 towards the crop's edge.
        """
        import cv2

        height, width = image.shape[:2]
        corners = _through(self.inverse, np.array([[0, 0], [self.size, 0], [0, self.size], [self.size, self.size]], np.float32))
        x0, y0 = np.clip(np.floor(corners.min(axis=0)) - 1, 0, (width, height)).astype(int)
        x1, y1 = np.clip(np.ceil(corners.max(axis=0)) + 2, 0, (width, height)).astype(int)
        out = image.copy()
        if x0 >= x1 or y0 >= y1:
            return out
        matrix = self.inverse
        matrix[:, 2] -= (x0, y0)
        size = (int(x1 - x0), int(y1 - y0))
        over = cv2.warpAffine(crop, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        share = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)[..., None]
        below = image[y0:y1, x0:x1].astype(np.float32)
        out[y0:y1, x0:x1] = np.rint(below + (over - below) * share).astype(np.uint8)
        return out


def align(points: Floats, size: int, *, eyes: float = 0.4, top: float = 0.4) -> Alignment:
    """Return the similarity that brings a face upright into a square.

    Fitted by least squares to points that hardly move in speech, so a talking mouth does not shake the crop.

    Args:
        points: (≥ 468, 2 or 3) mesh points, pixels.
        size: side of the crop, pixels.
        eyes: distance of the outer eye corners of a mean face, in shares of the side.
        top: height of the eyes, in shares of the side from above.

    Raises:
        InputError: the points lie all in one place.

    Source: Umeyama, Least-Squares Estimation of Transformation Parameters Between Two Point Patterns, 1991.
    """
    corners = MODEL[[list(STILL).index(33), list(STILL).index(263)], :2].mean(axis=0)
    goal = (MODEL[:, :2] - corners) * eyes * size + (size / 2, top * size)
    seen = points[list(STILL), :2].astype(np.float64)
    a, b = seen - seen.mean(axis=0), goal - goal.mean(axis=0)
    spread = (a**2).sum()
    if spread < 1e-9:
        raise InputError(tr("the face's points lie all in one place", "人脸的点全部重合"))
    c, s = (a * b).sum() / spread, (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    turn = np.array([[c, -s], [s, c]])
    return Alignment(np.concatenate([turn, (goal.mean(axis=0) - turn @ seen.mean(axis=0))[:, None]], axis=1), size)


def _through(matrix: NDArray[np.float64], points: Floats) -> Floats:
    plane = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    depth = points[:, 2:] * np.hypot(*matrix[:, 0])
    return np.concatenate([plane, depth], axis=1).astype(np.float32)

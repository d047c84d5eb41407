"""MediaPipe's face detectors and landmarks, run by LiteRT without the MediaPipe package.

The numbers of every step (anchors, crop sizes, thresholds) are those of MediaPipe 0.10.21's graphs, `face_landmark_front_cpu`,
`face_detection_short_range_cpu` and `face_detection_full_range_cpu`; `tests/parity` holds what the package itself gives.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from huashen import device, weights
from huashen.errors import InputError
from huashen.face.attention import AttentionMesh
from huashen.face.pose import head
from huashen.types import Box, Face, Floats, Image, Landmarks
from huashen.words import tr

# The 16 points of each eye's opening, as the iris network lists them first; the graph copies the mean z of these to the irises.
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)


@dataclass(frozen=True)
class Region:
    """A turned square of a picture."""

    x: float
    """Centre, pixels."""
    y: float
    side: float
    """Pixels."""
    angle: float = 0.0
    """Radians, clockwise as seen."""


class _Found(NamedTuple):
    """What a detector finds, in pixels of the picture."""

    box: Floats
    """(4,) x0 y0 x1 y1."""
    points: Floats
    """(6, 2): right eye, left eye, nose, mouth, right ear, left ear."""
    score: float


class _Detector:
    """One SSD detector (BlazeFace) with its anchors."""

    def __init__(self, card: str, size: int, layers: tuple[tuple[int, int], ...]) -> None:
        self.size = size
        self.run = device.litert(weights.path(card))
        self.anchors = np.concatenate([_anchors(size // stride, each) for stride, each in layers])  # (n, 2)

    def find(self, image: Image, region: Region, threshold: float) -> list[_Found]:
        """Return what lies in a square of the picture, the best first."""
        crop = cut(image, region, self.size, border=0).astype(np.float32) / 127.5 - 1
        boxes, logits = (tensor[0] for tensor in self.run(crop[None]))  # (n, 16), (n, 1)
        scores = _sigmoid(logits[:, 0])
        kept = np.flatnonzero(scores >= threshold)
        if not len(kept):
            return []
        centres = self.anchors[kept]
        raw = boxes[kept].reshape(-1, 8, 2) / self.size  # (k, 8, 2): centre, size, six points
        half = raw[:, 1] / 2
        middle = raw[:, 0] + centres
        values = np.concatenate([(middle - half)[:, None], (middle + half)[:, None], raw[:, 2:] + centres[:, None]], axis=1)  # (k, 8, 2)
        values = values * region.side + (region.x - region.side / 2, region.y - region.side / 2)
        return _merge(values.astype(np.float32), scores[kept])


def _anchors(cells: int, each: int) -> Floats:
    """Return the middles of a grid's cells, each repeated, in [0, 1]: (cells·cells·each, 2)."""
    middle = (np.arange(cells, dtype=np.float32) + 0.5) / cells
    grid = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    return np.repeat(grid, each, axis=0)


def _sigmoid(x: Floats | np.float32) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -80, 80))), np.float32)  # float32 holds exp(80)


def _overlap(box: Floats, others: Floats) -> Floats:
    """Return intersection over union of a box (4,) with others (n, 4)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    area = np.prod(box[2:] - box[:2])
    union = area + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


def _merge(values: Floats, scores: Floats, threshold: float = 0.3) -> list[_Found]:
    """Join what overlaps into averages weighted by score (MediaPipe's weighted non-maximum suppression).

    Args:
        values: (k, 8, 2) two corners and six points.
        scores: (k,).
    """
    left = np.argsort(-scores, kind="stable")
    found = []
    while len(left):
        first = values[left[0]]
        near = _overlap(first[:2].ravel(), values[left][:, :2].reshape(-1, 4)) > threshold
        near[0] = True
        weight = scores[left[near]]
        mean = np.tensordot(weight / weight.sum(), values[left[near]], axes=1)
        found.append(_Found(mean[:2].ravel(), mean[2:], float(scores[left[0]])))
        left = left[~near]
    return found


def _to_region(region: Region, size: int) -> NDArray[np.float64]:
    """Return the (2, 3) matrix from the picture's pixels to a crop of the region."""
    scale = size / region.side
    c, s = math.cos(region.angle) * scale, math.sin(region.angle) * scale
    return np.array([
        [c, s, size / 2 - c * region.x - s * region.y],
        [-s, c, size / 2 + s * region.x - c * region.y],
    ])  # fmt: skip


def cut(image: Image, region: Region, size: int, *, border: int | None = None, mirrored: bool = False) -> Image:
    """Cut a turned square out of a picture.

    Args:
        image: (h, w, 3).
        region: where; may reach outside the picture.
        size: side of the crop, pixels.
        border: the value outside the picture; None continues the picture's edge.
        mirrored: swap left and right.

    Returns:
        (size, size, 3) uint8.
    """
    import cv2

    matrix = _to_region(region, size)
    if mirrored:
        matrix[0] = -matrix[0]
        matrix[0, 2] += size
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    fill = (border or 0,) * 3
    out = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=mode, borderValue=fill)
    return np.asarray(out, np.uint8)


def _from_region(points: Floats, region: Region, size: int) -> Floats:
    """Take (n, 3) points of a crop back to the picture; z is scaled alike."""
    scale = region.side / size
    c, s = math.cos(region.angle) * scale, math.sin(region.angle) * scale
    x, y = points[:, 0] - size / 2, points[:, 1] - size / 2
    return np.stack([c * x - s * y + region.x, s * x + c * y + region.y, points[:, 2] * scale], axis=1).astype(np.float32)


def _around(points: Floats, start: Floats, end: Floats, scale: float) -> Region:
    """Return the square round points, enlarged, turned so that start → end lies level."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    x, y = (low + high) / 2
    angle = math.atan2(float(end[1] - start[1]), float(end[0] - start[0]))
    return Region(float(x), float(y), float((high - low).max()) * scale, angle)


def region_of(points: Floats) -> Region:
    """Return where to look for a face again, given its points.

    Args:
        points: (≥ 468, 3) mesh points, pixels.

    Source: MediaPipe 0.10.21, face_landmark_landmarks_to_roi.
    """
    return _around(points[:468], points[33], points[263], 1.5)


class MediaPipe:
    """MediaPipe's face landmarks for pictures of any size.

    Args:
        score: least probability, 0 to 1, that a region holds a face.
        passes: how often the mesh is fitted, each time on a crop placed by the one before. 1 is what the package gives for a
            still picture, 2 what it comes to on a video after a frame.
        thorough: look for small faces with tiles when the whole picture shows none.
        attention: take the network of the package's `refine_landmarks`. The plain mesh, with a network for the irises, sees
            parted lips as shut and is slower.

    Source: https://github.com/google-ai-edge/mediapipe 0.10.21, Apache-2.0.
    """

    def __init__(self, *, score: float = 0.5, passes: int = 2, thorough: bool = True, attention: bool = True) -> None:
        if not 0 < score < 1 or passes < 1:
            raise InputError(tr("score lies between 0 and 1, passes is 1 or more", "score 须在 0 与 1 之间，passes 至少为 1"))
        self._score = score
        self._passes = passes
        self._thorough = thorough
        self._near = _Detector("face_detection_short_range", 128, ((8, 2), (16, 6)))
        self._far = _Detector("face_detection_full_range", 192, ((4, 1),))
        self._mesh: Callable[[Floats], tuple[Floats, float]] = AttentionMesh().fit if attention else _plain_mesh()
        self._iris = None if attention else device.litert(weights.path("iris_landmark"))

    def find(self, image: Image) -> list[Face]:
        """Return the faces in a picture, the largest first.

        Args:
            image: (h, w, 3) uint8 RGB.
        """
        for regions, doubtful in _looks(image.shape[1], image.shape[0], thorough=self._thorough):
            faces = self.look(image, regions, doubtful=doubtful)
            if faces:
                return faces
        return []

    def look(self, image: Image, regions: Iterable[Region], *, doubtful: bool = False) -> list[Face]:
        """Return the faces the detectors see in parts of a picture, each once, the largest first.

        Args:
            image: (h, w, 3) uint8 RGB.
            regions: upright squares.
            doubtful: take weaker findings, but look at each a second time: in many small parts something looks like a face.
        """
        faces: list[Face] = []
        for region in regions:
            for found in self._detect(image, region, doubtful=doubtful):
                face = self.fit(image, _around(found.box.reshape(2, 2), found.points[0], found.points[1], 1.5))
                if face is None or any(_same(face, other) for other in faces) or (doubtful and not self._certain(image, face)):
                    continue
                faces.append(face)
        return sorted(faces, key=lambda f: -f.box.width * f.box.height)

    def fit(self, image: Image, region: Region, *, passes: int | None = None) -> Face | None:
        """Return the face in a region, or None when there is none.

        Args:
            image: (h, w, 3) uint8 RGB.
            region: a square round the face, 1.5 times as large.
            passes: as for the constructor.
        """
        points = np.empty(0, np.float32)
        score = 0.0
        for _ in range(passes or self._passes):
            found, logit = self._mesh(np.divide(cut(image, region, 192), 255, dtype=np.float32))
            score = float(_sigmoid(np.float32(logit)))
            if score < self._score:
                return None
            points = _from_region(found, region, 192)
            region = region_of(points)
        if self._iris is not None:
            points = np.concatenate([points, *(_eye(self._iris, image, points, contour) for contour in (RIGHT_EYE, LEFT_EYE))])
        low, high = points[:468, :2].min(axis=0), points[:468, :2].max(axis=0)
        return Face(Box(*map(float, (*low, *high))), Landmarks(points), score, head(points))

    def _detect(self, image: Image, region: Region, *, doubtful: bool) -> list[_Found]:
        """Return what the two detectors see, each face once."""
        found = self._near.find(image, region, 0.4 if doubtful else 0.5)  # goes first: it is what the package's face mesh starts from
        for one in self._far.find(image, region, 0.4 if doubtful else 0.6):
            if all(_overlap(one.box, other.box[None])[0] < 0.3 for other in found):
                found.append(one)
        return found

    def _certain(self, image: Image, face: Face) -> bool:
        """Return whether the mesh is sure, and the detector, shown the face in the middle of its crop, sees the same eyes.

        Measured on 2425 squares of letters, wheels, textures and cats that the detectors mistake for faces: 40 have the same eyes in
        a crop twice the mesh's, none of these a presence of 0.9. Of 93 faces shrunk to 24 pixels 92 have it; these score 0.83 and
        more in that crop.
        """
        if face.score < 0.9:
            return False
        points = face.landmarks.points
        region = region_of(points)
        irises = points[[468, 473], :2]
        near = 0.35 * float(np.hypot(*(irises[1] - irises[0])))
        found = self._near.find(image, Region(region.x, region.y, region.side * 2), 0.68)
        return any(np.hypot(*(one.points[:2] - irises).T).max() < near for one in found)


def _plain_mesh() -> Callable[[Floats], tuple[Floats, float]]:
    """Return the mesh of 468 points, to be called as `AttentionMesh.fit`."""
    network = device.litert(weights.path("face_landmark"))

    def fit(crop: Floats) -> tuple[Floats, float]:
        mesh, presence = network(crop[None])
        return mesh.reshape(468, 3), float(presence.ravel()[0])

    return fit


def _eye(network: Callable[[Floats], tuple[Floats, ...]], image: Image, points: Floats, contour: tuple[int, ...]) -> Floats:
    """Return the (5, 3) points of an iris: its middle, then its rim on the right, above, on the left and below."""
    mirrored = contour is LEFT_EYE  # the network knows one eye; the other is shown to it mirrored
    corners = points[[contour[0], contour[8]]]
    left, right = (corners[1], corners[0]) if mirrored else (corners[0], corners[1])
    region = _around(corners, left, right, 2.3)
    iris = network(np.divide(cut(image, region, 64, mirrored=mirrored)[None], 255, dtype=np.float32))[1].reshape(5, 3)
    if mirrored:
        iris = iris[[0, 3, 2, 1, 4]] * (-1, 1, 1) + (64, 0, 0)  # the mesh numbers both rims from the right side of the picture
    found = _from_region(np.asarray(iris, np.float32), region, 64)
    found[:, 2] = points[list(contour), 2].mean()
    return found


def _looks(width: int, height: int, *, thorough: bool) -> Iterator[tuple[list[Region], bool]]:
    """Yield squares to look into and whether to doubt what is seen: the whole, the whole from further off, then ever finer tiles."""
    side = float(max(width, height))
    yield [Region(width / 2, height / 2, side)], False
    if not thorough:
        return
    yield [Region(width / 2, height / 2, side * 1.6)], False
    for share in (1.0, 0.5, 0.25, 0.125):
        tile = min(width, height) * share
        if tile < 96:  # the detectors see 128 and 192 pixels: finer tiles show nothing new
            return
        if tile < side:
            yield [Region(x, y, tile) for y in _middles(height, tile) for x in _middles(width, tile)], True


def _middles(length: int, tile: float) -> list[float]:
    """Return the middles of tiles that cover a length and overlap by at least a third."""
    count = max(1, math.ceil((length - tile) / (tile * 0.65)) + 1)
    if count == 1:
        return [length / 2]
    return [float(v) for v in np.linspace(tile / 2, length - tile / 2, count)]


def _same(a: Face, b: Face) -> bool:
    box = np.array([(f.box.x0, f.box.y0, f.box.x1, f.box.y1) for f in (a, b)], np.float32)
    return bool(_overlap(box[0], box[1:])[0] > 0.3)


def moved(face: Face, points: Floats) -> Face:
    """Return a face with other points and the box and pose that follow from them."""
    low, high = points[:468, :2].min(axis=0), points[:468, :2].max(axis=0)
    return replace(face, box=Box(*map(float, (*low, *high))), landmarks=Landmarks(points), head=head(points))

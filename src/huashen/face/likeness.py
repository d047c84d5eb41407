"""Who is who among the faces of a picture or a clip, by a reference picture, without a network for faces.

Four views of a face are compared: its shape (the points of the mesh that speech moves little, each weighted by how steady it is
in one person), the pattern of its texture turned to the front (local binary patterns; fine contrasts after Tan and Triggs), and the
colours of skin, brow and hair beside each other. Each comparison is counted in standard deviations of what strangers give.

It is no face recognition: in one session it hardly errs, between sessions with other light and hair it errs in one of ten choices between
two people, so that near calls are left to the user. `benchmarks/likeness.py` measures it.

Source: Ahonen, Hadid and Pietikäinen, Face Description with Local Binary Patterns, 2006; Tan and Triggs, Enhanced Local Texture
Feature Sets for Face Recognition Under Difficult Lighting Conditions, 2010.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen import media
from huashen.errors import InputError, NoFaceError
from huashen.face.mediapipe import MediaPipe
from huashen.face.pose import STILL
from huashen.ops.mesh import LOWER_LIP, UPPER_LIP, frame_of
from huashen.types import Face, Floats, Image
from huashen.words import tr

LEAST = 0.4
"""Likeness below which a face is taken for a stranger's: two of three strangers are less alike, 95 of 100 pictures of one person more."""
MARGIN = 1.0
"""By how much the best must be more like the reference than the next."""
ONE = 2.2
"""Mean likeness of two groups of faces in one clip from which they are one person's: the same person gives about 4, strangers 0."""
CUT = 14.0
"""Mean change of a small picture's grey levels between two looks from which they are taken for different shots."""
LOOKS = 24
"""Pictures of a clip in which people are looked for."""

_WIDE, _TALL, _UNIT, _EYES = 96, 112, 64, 44
"""The face from the front: its size, the distance between the outer eye corners and the height of the middle of the forehead, pixels."""
_STILL = np.array(list(STILL))
_MODEL = np.array(list(STILL.values()))[:, :2]
_POINTS = np.setdiff1d(np.arange(468), np.concatenate([UPPER_LIP.ravel(), LOWER_LIP.ravel()]))
_CELLS = (7, 6)
_SHIFTS = ((-2, 0), (-1, 1), (0, 2), (1, 1), (2, 0), (1, -1), (0, -2), (-1, -1))
_SHARES = np.array([2.0, 1.0, 1.0, 1.0])  # shape, contrasts, pattern, colours
# Mean and standard deviation of the comparisons of strangers, in that order.
_STRANGERS = np.array([[-1.609, 0.189, 0.699, -1.193], [0.464, 0.128, 0.0524, 0.408]])


@dataclass(frozen=True)
class Looks:
    """What a face looks like."""

    shape: Floats
    """(points, 3) in the face's frame."""
    contrasts: Floats
    """(_TALL, _WIDE), mean square 1."""
    pattern: Floats
    """(cells, 59) square roots of shares, mean square 1 over all."""
    colours: Floats
    """(14,) CIELAB: the cheeks' tint, then forehead, chin, hair and upper lip less the cheeks."""


def looks(image: Image, face: Face) -> Looks:
    """Describe a face.

    Args:
        image: (h, w, 3) uint8 RGB.
        face: one in it.
    """
    import cv2

    points = face.landmarks.points
    front = _front(image, points, (_WIDE, _TALL), (_WIDE / 2, _EYES))
    grey = np.asarray(cv2.cvtColor(front, cv2.COLOR_RGB2GRAY), np.uint8)
    return Looks(frame_of(points).local(points[_POINTS]), _contrasts(grey), _pattern(grey), _colours(image, points))


def _front(image: Image, points: Floats, size: tuple[int, int], forehead: tuple[float, float]) -> Image:
    """Return a face as if seen from the front, (h, w, 3)."""
    import cv2

    known = np.concatenate([_MODEL * _UNIT + forehead, np.ones((len(_MODEL), 1))], 1)
    matrix = np.linalg.lstsq(known, points[_STILL, :2].astype(np.float64), rcond=None)[0].T
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _contrasts(grey: Image) -> Floats:
    """Return fine contrasts, whatever the light."""
    import cv2

    even = (grey.astype(np.float32) / 255 + 0.01) ** 0.3
    fine = np.asarray(cv2.GaussianBlur(even, (0, 0), 1.2)) - np.asarray(cv2.GaussianBlur(even, (0, 0), 4))
    found = np.tanh(fine / (float(np.abs(fine).mean()) + 1e-6) / 3)
    return np.asarray(found / np.sqrt((found**2).mean() + 1e-9), np.float32)


@lru_cache(maxsize=1)
def _uniform() -> NDArray[np.int64]:
    """Return the number of each of the 256 patterns: 58 with two changes round the circle or fewer, the rest together."""
    found, count = np.full(256, 58), 0
    for code in range(256):
        bits = [(code >> k) & 1 for k in range(8)]
        if sum(bits[k] != bits[k - 1] for k in range(8)) <= 2:
            found[code] = count
            count += 1
    return found


def _pattern(grey: Image) -> Floats:
    """Return the shares of local binary patterns in each cell."""
    import cv2

    soft = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.8), np.int16)
    middle = soft[2:-2, 2:-2]
    tall, wide = middle.shape
    code = np.zeros(middle.shape, np.int64)
    for bit, (down, across) in enumerate(_SHIFTS):
        code |= (soft[2 + down : 2 + down + tall, 2 + across : 2 + across + wide] >= middle).astype(np.int64) << bit
    row = np.arange(tall) * _CELLS[0] // tall
    column = np.arange(wide) * _CELLS[1] // wide
    place = (row[:, None] * _CELLS[1] + column) * 59 + _uniform()[code]
    counts = np.bincount(place.ravel(), minlength=_CELLS[0] * _CELLS[1] * 59).reshape(-1, 59)
    found = np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1))
    return np.asarray(found / np.sqrt((found**2).mean()), np.float32)


def _colours(image: Image, points: Floats) -> Floats:
    import cv2

    front = _front(image, points, (112, 150), (56, 64))
    lab = np.asarray(cv2.cvtColor(front, cv2.COLOR_RGB2LAB), np.float32)

    def middle(y0: int, y1: int, x0: int, x1: int) -> Floats:
        return np.asarray(np.median(lab[y0:y1, x0:x1].reshape(-1, 3), 0), np.float32)

    cheeks = (middle(80, 92, 34, 44) + middle(80, 92, 68, 78)) / 2
    beside = [(middle(*area) - cheeks) * (light, 1, 1) for area, light in (
        ((44, 54, 46, 66), 0.5), ((118, 126, 48, 64), 0.5), ((4, 14, 40, 72), 0.3), ((100, 104, 50, 62), 0.5)
    )]  # fmt: skip
    return np.concatenate([cheeks[1:] - 128, *beside]).astype(np.float32)


@lru_cache(maxsize=1)
def _spread() -> Floats:
    """Return (points, 3): the variance of each point in one person who talks and turns."""
    with np.load(Path(__file__).with_name("likeness.npz")) as stored:
        return np.asarray(stored["spread"], np.float32)


def comparisons(one: Looks, other: Looks) -> Floats:
    """Return how alike two faces are in shape, contrasts, pattern and colours, (4,), in no common unit."""
    apart = ((one.shape - other.shape) ** 2 / (_spread() + 1e-4)).mean()
    return np.array([
        -np.sqrt(apart), (one.contrasts * other.contrasts).mean(), (one.pattern * other.pattern).mean(),
        -np.abs(one.colours - other.colours).sum() / 100,
    ], np.float32)  # fmt: skip


def likeness(one: Looks, other: Looks) -> float:
    """Return how alike two faces are: strangers give 0 with a deviation of about 1.5, one person in one session 4."""
    mean, deviation = _STRANGERS
    return float(((comparisons(one, other) - mean) / deviation * _SHARES).sum() / np.sqrt((_SHARES**2).sum()))


def reference(path: str | PathLike[str]) -> Looks:
    """Describe the person in a picture.

    Raises:
        NoFaceError: there is none.
        InputError: there are several of about one size.
        UnreadableError: it is no picture.
    """
    image = media.read_image(path)
    faces = MediaPipe().find(image)
    if not faces:
        raise NoFaceError(tr(
            f"no face found in {path}, which shall say who is meant; give a portrait", f"用来指明人物的 {path} 中没有找到人脸；请给出肖像"
        ))  # fmt: skip
    if len(faces) > 1 and faces[1].box.width > 0.6 * faces[0].box.width:
        raise InputError(tr(
            f"{path} shall say who is meant, and shows {len(faces)} faces; cut the one out",
            f"用来指明人物的 {path} 中有 {len(faces)} 张人脸；请只留一张",
        ))  # fmt: skip
    return looks(image, faces[0])


def pick(image: Image, faces: Sequence[Face], path: str | PathLike[str], shown: str) -> Face:
    """Return the face of a picture that looks like a reference.

    Args:
        image: (h, w, 3).
        faces: those in it, one at least.
        path: a picture of the one meant.
        shown: what to call the picture in messages.

    Raises:
        InputError: none does, or it is a near call.
    """
    meant = reference(path)
    scores = [likeness(meant, looks(image, face)) for face in faces]
    return faces[_surely(scores, path, shown)]


def _surely(scores: list[float], path: str | PathLike[str], shown: str) -> int:
    """Return which score is the best, where that is sure."""
    order = np.argsort(scores)[::-1]
    best = int(order[0])
    how = tr("choose by --which x,y, or give a reference from the same recording", "请改用 --which x,y，或给出同一场录制的参考图")
    if scores[best] < LEAST:
        raise InputError(tr(f"nobody in {shown} looks surely like {path}; {how}", f"{shown} 中没有人与 {path} 足够相像；{how}"))
    if len(scores) > 1 and scores[best] - scores[order[1]] < MARGIN:
        raise InputError(
            tr(f"two people in {shown} look about as much like {path}; {how}", f"{shown} 中有两个人与 {path} 相像程度接近；{how}")
        )
    return best


@dataclass(frozen=True)
class Chosen:
    """The person meant in a clip."""

    point: tuple[float, float]
    """The middle of the face where it is seen first, pixels."""
    own: tuple[Looks, ...]
    others: tuple[tuple[Looks, ...], ...]
    """Of each other person."""

    def meant(self, image: Image, face: Face) -> bool:
        """Return whether a face is the person's, not another's of the clip."""
        seen = looks(image, face)
        mine = _nearest(seen, self.own)
        return mine > 0 and all(mine >= _nearest(seen, other) for other in self.others)


def _nearest(one: Looks, others: Iterable[Looks]) -> float:
    """Return the mean likeness to the two most alike: a turned head is like itself turned."""
    return float(np.mean(sorted(likeness(one, other) for other in others)[-2:]))


def choose(clip: str | PathLike[str], path: str | PathLike[str]) -> Chosen:
    """Find the person in a clip who looks like a reference.

    Args:
        clip: a video.
        path: a picture of the one meant.

    Raises:
        NoFaceError: there is no face in one of them.
        InputError: nobody looks like it, or it is a near call.
    """
    meant = reference(path)
    found = media.probe(clip)
    fps = found.fps or Fraction(25)
    count = max(1, int(found.seconds * fps))
    finder = MediaPipe(thorough=False)
    seen: list[tuple[int, Face, Looks]] = []
    shots: list[int] = []  # of each face: which of the looks without a cut between them it belongs to
    before: Floats | None = None
    shot = 0
    for index in sorted({int(k) for k in np.linspace(0, count - 1, LOOKS + 1)[:-1]}):
        image = next(iter(media.read_images(clip, index, fps=fps)), None)
        if image is None:
            break
        small = _small(image)
        shot += before is not None and float(np.abs(small - before).mean()) > CUT
        before = small
        here = [(index, face, looks(image, face)) for face in finder.find(image)[:8]]
        seen += here
        shots += [shot] * len(here)
    if not seen:
        raise NoFaceError(tr(f"no face found in {clip}; give a clip in which it is larger", f"{clip} 中没有找到人脸；请给出人脸更大的视频"))
    people = _people(seen, shots)
    scores = [float(np.mean(sorted((likeness(meant, seen[k][2]) for k in one), reverse=True)[: (len(one) + 1) // 2])) for one in people]
    best = _surely(scores, path, str(clip))
    _, first, _ = seen[min(people[best])]
    others = tuple(tuple(seen[k][2] for k in one[:LOOKS]) for i, one in enumerate(people) if i != best)
    point = ((first.box.x0 + first.box.x1) / 2, (first.box.y0 + first.box.y1) / 2)
    return Chosen(point, tuple(seen[k][2] for k in people[best]), others)


def _small(image: Image) -> Floats:
    import cv2

    small = cv2.resize(image, (32, 18), interpolation=cv2.INTER_AREA)
    return np.asarray(small.mean(2), np.float32)


def _people(seen: list[tuple[int, Face, Looks]], shots: list[int]) -> list[list[int]]:
    """Sort faces by person: first those that stay in their place while the picture does, then those most alike, never two of one picture.

    The first makes one of a person who turns the head: a face from the side is more like a stranger's from that side than like itself.
    """
    groups = _staying(seen, shots)
    n = len(seen)
    alike = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            alike[i, j] = alike[j, i] = likeness(seen[i][2], seen[j][2])
    while True:
        best, pair = ONE, None
        for i in range(len(groups)):
            for j in range(i):
                if {seen[k][0] for k in groups[i]} & {seen[k][0] for k in groups[j]}:
                    continue
                mean = float(alike[np.ix_(groups[i], groups[j])].mean())
                if mean > best:
                    best, pair = mean, (i, j)
        if pair is None:
            return [sorted(group) for group in groups]
        i, j = pair
        groups[j] += groups.pop(i)


def _staying(seen: list[tuple[int, Face, Looks]], shots: list[int]) -> list[list[int]]:
    """Join the faces of one shot that lie over each other from look to look."""
    groups: list[list[int]] = []
    for k, (index, face, _) in enumerate(seen):
        x, y = (face.box.x0 + face.box.x1) / 2, (face.box.y0 + face.box.y1) / 2
        for group in groups:
            before, last, _ = seen[group[-1]]
            apart = np.hypot((last.box.x0 + last.box.x1) / 2 - x, (last.box.y0 + last.box.y1) / 2 - y)
            if before != index and shots[group[-1]] == shots[k] and apart < 0.4 * last.box.width:
                group.append(k)
                break
        else:
            groups.append([k])
    return groups

"""A face followed through a stream of pictures."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from huashen.errors import InputError
from huashen.face.mediapipe import MediaPipe, Region, moved, region_of
from huashen.types import Face, Floats, Image
from huashen.words import tr

Which = int | tuple[float, float]
"""The face meant: its place in order of size, 0 the largest; or a point x, y in pixels, for the face nearest to it."""


def choose(faces: list[Face], which: Which = 0) -> Face | None:
    """Return the face meant, or None when there are not so many."""
    if isinstance(which, int):
        return faces[which] if 0 <= which < len(faces) else None
    x, y = which
    return min(faces, key=lambda f: ((f.box.x0 + f.box.x1) / 2 - x) ** 2 + ((f.box.y0 + f.box.y1) / 2 - y) ** 2, default=None)


@dataclass(frozen=True)
class Trail:
    """What following knows after a picture: with it, it goes on as if it had never stopped."""

    region: Region | None = None
    """Where the face was last; None before one was found, and after a cut until it is found again."""
    points: Floats | None = None
    """(478, 3) the points of the picture before; None where there was no face in it."""
    lost: int = 0
    """Pictures since the face was seen."""
    scene: Floats | None = None
    """(12, 16, 3) the picture before, very small: a cut shows in it."""
    cuts: int = 0
    """How many cuts there were so far."""


def track(frames: Iterable[Image], *, finder: MediaPipe | None = None, which: Which = 0, steady: float = 0.002) -> Iterator[Face | None]:
    """Follow one face; yield it for every picture, or None where it is not to be seen.

    Each picture is searched where the face was in the one before; when it is lost, near there first, then everywhere. After a cut,
    where it was says nothing any more: the face meant is looked for everywhere.

    Args:
        frames: (h, w, 3) uint8 RGB each, all of one size.
        finder: the engine; one of its own without.
        which: the face meant when none is followed yet, and after a cut.
        steady: moves of a point by this much between two pictures, in distances between the outer eye corners, are halved;
            smaller ones almost vanish and larger ones stay. 0: nothing is smoothed.
    """
    return (face for face, _ in follow(frames, finder=finder, which=which, steady=steady))


def follow(
    frames: Iterable[Image], *, finder: MediaPipe | None = None, which: Which = 0, steady: float = 0.002, after: Trail | None = None
) -> Iterator[tuple[Face | None, Trail]]:
    """Follow one face as `track` does; yield with each picture what following knows then.

    Args:
        frames, finder, which, steady: see `track`.
        after: what was known after the picture before the first.
    """
    if steady < 0 or (isinstance(which, int) and which < 0):
        raise InputError(tr("steady and which must not be negative", "steady 与 which 不得为负"))
    return _follow(frames, finder or MediaPipe(), which, steady, after or Trail())


def _follow(
    frames: Iterable[Image], finder: MediaPipe, which: Which, steady: float, trail: Trail
) -> Iterator[tuple[Face | None, Trail]]:
    last, smooth, lost, scene, cuts = trail.region, trail.points, trail.lost, trail.scene, trail.cuts
    for image in frames:
        now = _scene(image)
        if scene is not None and is_cut(scene, now):
            last, smooth, lost = None, None, 0
            cuts += 1
        scene = now
        face = finder.fit(image, last, passes=1) if last is not None and not lost else None
        if face is None:
            smooth = None
            face = _again(image, finder, last, which, everywhere=lost % 25 == 0)
            if face is not None:  # settle the crop at once; otherwise the points creep for half a dozen frames
                face = finder.fit(image, region_of(face.landmarks.points), passes=4) or face
        if face is None:
            lost += 1
            yield None, Trail(last, None, lost, scene, cuts)
            continue
        ideal = region_of(face.landmarks.points)
        last = ideal if smooth is None or last is None else _eased(last, ideal)
        lost = 0
        smooth = face.landmarks.points if smooth is None or not steady else _steadied(smooth, face.landmarks.points, steady)
        yield moved(face, smooth), Trail(last, smooth, lost, scene, cuts)


CUT = 0.11
"""Share of the full scale by which most parts of a picture change, beyond a change of light, where another shot begins (real clips: cuts
of 0.17 and more, jump cuts to the same shot and quick turns of 0.06 at most)."""


def _scene(image: Image) -> Floats:
    import cv2

    step = max(1, min(image.shape[:2]) // 96)  # every so many pixels is enough, and much less to read
    return np.asarray(cv2.resize(image[::step, ::step], (16, 12), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def is_cut(before: Floats, now: Floats) -> bool:
    """Tell whether another shot begins: most parts of the picture change at once, and not by one change of light.

    Args:
        before, now: (12, 16, 3) two pictures that follow each other, very small, 0 to 1.
    """
    change = now - before
    change = change - np.median(change.reshape(-1, 3), axis=0)
    return bool(np.percentile(np.abs(change).max(-1), 60) > CUT)


def _again(image: Image, finder: MediaPipe, last: Region | None, which: Which, *, everywhere: bool) -> Face | None:
    """Return the face meant in a picture where nothing says where it is."""
    height, width = image.shape[:2]
    if last is not None:
        near = finder.look(image, [Region(last.x, last.y, last.side * 2)])
        if near:
            return choose(near, (last.x, last.y))
    if everywhere:  # tiles take many times as long as one look: not for every picture of a scene without faces
        return choose(finder.find(image), which)
    return choose(finder.look(image, [Region(width / 2, height / 2, float(max(width, height)))]), which)


def _eased(before: Region, ideal: Region) -> Region:
    """Return a region that goes the more of the way to the ideal one the further off that is.

    A crop placed straight from the points of the picture before feeds their noise back: on some still pictures the points then
    never come to rest (0.009 of the eye distance from picture to picture; 0.004 with this).
    """
    turn = math.remainder(ideal.angle - before.angle, 2 * math.pi)
    shift = (ideal.x - before.x, ideal.y - before.y, ideal.side - before.side)
    ratio = max(*map(abs, shift), abs(turn) * before.side / 2) / (0.01 * before.side)
    share = ratio**2 / (1 + ratio**2)
    return Region(before.x + share * shift[0], before.y + share * shift[1], before.side + share * shift[2], before.angle + share * turn)


def _steadied(before: Floats, now: Floats, steady: float) -> Floats:
    """Return points that go the more of the way from before to now the longer it is.

    A move of r times `steady` is followed by r² / (1 + r²), a fifth at least. Unlike a low-pass filter (one-euro and the like)
    this does not delay or flatten quick motion such as lips closing for a p.
    """
    eyes = float(np.hypot(*(now[33, :2] - now[263, :2])))
    move = now - before
    ratio = (move[:, 0] ** 2 + move[:, 1] ** 2) / (steady * max(eyes, 1e-6)) ** 2
    return np.asarray(before + move * np.maximum(ratio / (1 + ratio), 0.2)[:, None], np.float32)

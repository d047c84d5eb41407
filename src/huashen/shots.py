"""One person through the shots of a clip: after a cut, or where a face comes back, somebody else may have been followed.

The stretches in which a face was followed without a break are compared by what the faces look like (`huashen.face.likeness`). One with
somebody else is followed anew where the one meant is in the picture too, and left as it is where not.
"""

import logging
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen import media
from huashen.face.likeness import Looks, likeness, looks
from huashen.face.mediapipe import MediaPipe
from huashen.face.pose import head
from huashen.face.track import follow
from huashen.types import Box, Face, Floats, Image, Landmarks

logger = logging.getLogger(__name__)

SAME = 1.0
"""Mean likeness of the faces of two stretches from which they are taken for one person's. Between the first and the last quarter of 31
clips one person gives 1.7 to 6.6; one of seven strangers gives more than 1."""
GONE = 0.5
"""Seconds without a face after which another may have come."""
SPAN = 2.0
"""Seconds of a stretch's beginning from which its faces are taken: a clip can mostly be entered at a cut, not anywhere."""
LOOKS, MOST = 3, 12
"""Faces taken of a stretch, and kept of a person."""

Stretch = tuple[int, int]
"""The first frame, and that after the last."""


def one_person(path: Path, points: Floats, cuts: NDArray[np.integer], fps: Fraction, *, first: bool) -> Floats:
    """Return the points of one person, NaN where that person is not to be seen.

    Args:
        path: the clip.
        points: (n, 478, 3) the face that was followed, NaN without.
        cuts: (n,) how many cuts there were so far.
        fps: frames a second, as for `read_images`.
        first: whether the one seen first is meant; the one seen longest without.
    """
    parts = stretches(np.isfinite(points[:, 0, 0]), cuts, fps)
    if len(parts) < 2:
        return points
    finder = MediaPipe(thorough=False)
    pictures = [_pictures(path, points, part, fps) for part in parts]
    faces = [[looks(image, face) for image, face in shown] for shown in pictures]
    people = persons(faces, [end - begin for begin, end in parts])
    if len(set(people)) == 1:
        return points
    frames = np.bincount(people, weights=[end - begin for begin, end in parts])
    meant = people[0] if first else int(np.argmax(frames))
    own = [one for seen, who in zip(faces, people, strict=True) if who == meant for one in seen][:MOST]
    out = np.array(points)
    for (begin, end), who, shown in zip(parts, people, pictures, strict=True):
        if who == meant:
            continue
        out[begin:end] = np.nan
        place = _beside(finder, [image for image, _ in shown], own)
        logger.info("%s: somebody else is seen from frame %d to %d%s", path, begin, end, " beside the one meant" if place else "")
        if place is not None:
            images = islice(media.read_images(path, begin, fps=fps, quick=True), end - begin)
            for k, (face, _) in enumerate(follow(images, which=place), begin):
                if face is not None:
                    out[k] = face.landmarks.points
    return out


def stretches(seen: NDArray[np.bool_], cuts: NDArray[np.integer], fps: Fraction) -> list[Stretch]:
    """Return where a face was followed without a cut and without being lost for long.

    Args:
        seen: (n,) whether there was a face.
        cuts: (n,) how many cuts there were so far.
        fps: frames a second.
    """
    found: list[Stretch] = []
    for k in map(int, np.flatnonzero(seen)):
        if found and cuts[found[-1][1] - 1] == cuts[k] and k - found[-1][1] < GONE * fps:
            found[-1] = found[-1][0], k + 1
        else:
            found.append((k, k + 1))
    return found


def persons(faces: Sequence[Sequence[Looks]], lengths: Sequence[int], alike: Callable[[Looks, Looks], float] = likeness) -> list[int]:
    """Return a number for each stretch, the same for those of one person; a stretch nothing is known of is the longest one's.

    The longest come first, and each joins the person it is most like, if it is like one at all.

    Args:
        faces: what the faces of each stretch look like.
        lengths: frames of each.
        alike: how alike two faces are.
    """
    known: list[list[Looks]] = []
    found = [0] * len(faces)
    for i in sorted(range(len(faces)), key=lambda i: -lengths[i]):
        if not faces[i]:
            continue
        scores = [float(np.mean([alike(one, other) for one in faces[i] for other in person])) for person in known]
        if scores and max(scores) > SAME:
            found[i] = int(np.argmax(scores))
            known[found[i]] += faces[i][: max(0, MOST - len(known[found[i]]))]
        else:
            found[i] = len(known)
            known.append(list(faces[i]))
    return found


def _pictures(path: Path, points: Floats, part: Stretch, fps: Fraction) -> list[tuple[Image, Face]]:
    """Return pictures from the beginning of a stretch with the face followed, seen as much from the front as may be."""
    begin, end = part[0], min(part[1], part[0] + max(1, round(SPAN * fps)))
    seen = [k for k in range(begin, end) if np.isfinite(points[k, 0, 0])]
    tried = seen[:: max(1, len(seen) // (3 * LOOKS))]
    chosen = sorted(sorted(tried, key=lambda k: abs(float(head(points[k])[1])))[:LOOKS])
    found = []
    for k, image in enumerate(media.read_images(path, begin, fps=fps, quick=True), begin):
        if k in chosen:
            low, high = points[k, :468, :2].min(0), points[k, :468, :2].max(0)
            found.append((image, Face(Box(*map(float, (*low, *high))), Landmarks(points[k]), 1.0)))
        if k >= chosen[-1]:
            break
    return found


def _beside(finder: MediaPipe, images: Sequence[Image], own: Sequence[Looks]) -> tuple[float, float] | None:
    """Return the middle of the face in pictures that is like a person's; None when there is none."""
    best, place = SAME, None
    for image in images:
        for face in finder.find(image)[:8]:
            score = float(np.mean(sorted(likeness(looks(image, face), one) for one in own)[-LOOKS:]))
            if score > best:
                best, place = score, ((face.box.x0 + face.box.x1) / 2, (face.box.y0 + face.box.y1) / 2)
    return place

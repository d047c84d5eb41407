"""What a clip of a talking person shows and says, measured once and kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.face.pose import MODEL, STILL
from huashen.face.track import track
from huashen.media import read_video
from huashen.types import Floats, Image

RATE = 16000
"""Samples a second of a clip's sound."""

CHANNELS: tuple[str, ...] = ("gap", "width", "protrusion", "upper", "lower", "jaw", "upper_lip", "lower_lip", "inner_width", "corners")
"""What is measured of a mouth, in distances between the outer eye corners, with the head's pose taken away: the gap between the lips
(mesh points 13 and 14); the width between the corners (61, 291); how far the lips stand out; how high the upper lip's rim and how
low the lower lip's and the chin are against the points that do not move; how much of either lip is seen (less when it is rolled in or
pressed); the width of the opening (78, 308); how high the corners are."""

Array = NDArray[np.float64]
_STILL = np.array(list(STILL))


@dataclass(frozen=True)
class Watched:
    """A clip, measured."""

    name: str
    sound: Floats
    """(n,) at `RATE`, from the clip's beginning."""
    time: Array
    """(frames,) seconds of the middle of each frame."""
    mouth: Array
    """(frames, channels) in the order of `CHANNELS`; NaN where there is no face."""


def watch(path: Path, work: Path, *, seconds: float = 90.0) -> Watched:
    """Measure a clip, or read what was measured before.

    Args:
        path: a video with sound.
        work: a folder for what was measured.
        seconds: where to stop.

    Raises:
        InputError: the file cannot be read, or has no sound.
    """
    stat = path.stat()
    key = sha256(f"{path.name} {stat.st_size} {seconds}".encode()).hexdigest()[:12]
    kept = work / f"{path.stem}-{key}.npz"
    if not kept.exists():
        sound, points, fps = _look(path, seconds)
        work.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part.npz")
        np.savez(part, sound=sound, points=points, fps=fps)
        part.replace(kept)
    with np.load(kept) as stored:
        sound, points, fps = stored["sound"], stored["points"], float(stored["fps"])
    return Watched(path.stem, sound, np.asarray((np.arange(len(points)) + 0.5) / fps, np.float64), measure(points))


def _look(path: Path, seconds: float) -> tuple[Floats, Floats, float]:
    """Return the sound, the points of the largest face in every frame (NaN without one), and the frames a second."""
    video = read_video(path, rate=RATE)
    sound: list[Floats] = []

    def images() -> Iterator[Image]:
        for frame in video.frames:
            if frame.index >= seconds * video.fps:
                return
            sound.append(frame.audio.samples)
            yield frame.image

    nowhere = np.full((478, 3), np.nan, np.float32)
    points = np.stack([nowhere if face is None else face.landmarks.points for face in track(images())])
    return np.concatenate(sound), points, float(video.fps)


def measure(points: Floats) -> Array:
    """Return what the mouth does.

    Args:
        points: (frames, 478, 3) of the mesh, pixels; NaN where there is no face.

    Returns:
        (frames, channels) in the order of `CHANNELS`.
    """
    found = np.full((len(points), len(CHANNELS)), np.nan)
    for i, seen in enumerate(points.astype(np.float64)):
        if np.isfinite(seen).all():
            found[i] = _mouth(_upright(seen))
    return found


def _upright(points: Array) -> Array:
    """Return points turned to face the camera, the still ones' mean at 0, in distances between the outer eye corners."""
    still = points[_STILL]
    centred = still - still.mean(axis=0)
    u, _, v = np.linalg.svd(centred.T @ MODEL)
    u[:, 2] *= np.sign(np.linalg.det(u @ v))
    turned = (points - still.mean(axis=0)) @ (u @ v)
    return np.asarray(turned / np.linalg.norm(turned[33] - turned[263]))


def _mouth(p: Array) -> Array:
    lips = (p[0, 2] + p[17, 2] + p[13, 2] + p[14, 2]) / 4
    cheeks = (p[50, 2] + p[280, 2]) / 2
    return np.array([
        np.linalg.norm(p[13] - p[14]),
        np.linalg.norm(p[61] - p[291]),
        cheeks - lips,
        -p[13, 1],
        p[14, 1],
        p[152, 1],
        np.linalg.norm(p[0, :2] - p[13, :2]),
        np.linalg.norm(p[17, :2] - p[14, :2]),
        np.linalg.norm(p[78] - p[308]),
        -(p[61, 1] + p[291, 1]) / 2 + (p[13, 1] + p[14, 1]) / 2,
    ])  # fmt: skip

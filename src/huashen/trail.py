"""The face followed through a clip, written down as it goes: work that was stopped goes on where it was, exactly.

A file holds a record a frame. Half a record, where the machine went down, is cut off; the next frame is tracked with all that was known.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen import media
from huashen.errors import NoFaceError, OutputError
from huashen.face.mediapipe import MediaPipe, Region
from huashen.face.track import Trail, Which, follow
from huashen.files import alone, explained
from huashen.types import Face, Image
from huashen.words import tr

RECORD = np.dtype([
    ("points", "<f4", (478, 3)), ("region", "<f8", (4,)), ("scene", "<f4", (12, 16, 3)), ("lost", "<i4"), ("cuts", "<i4"), ("vote", "<i4"),
])  # fmt: skip
"""Of a frame: the points, NaN without a face; what `Trail` knows, NaN where nothing; a vote of the caller's: 1, 0, or -1 for none."""
LONG = 30.0
"""Seconds from which a clip is looked over before it is followed: one without faces is not worth the wait."""
LOOKS = 60
"""Frames that are looked at then."""

Records = NDArray[np.void]


def tracked(
    path: Path,
    file: Path,
    *,
    which: Which = 0,
    vote: Callable[[int, bool, Image, Face], int] | None = None,
    progress: Callable[[int, float, float | None], None] | None = None,
) -> Records:
    """Follow a face through a clip, going on where the file ends.

    Args:
        path: the clip.
        file: where the records are written and stay, also when this is stopped.
        which: the face meant.
        vote: called with a frame's number, whether the face was just found, the picture and the face; returns the vote.
        progress: called with the frames and seconds that are done, and the seconds of the whole.

    Returns:
        (n,) records, read from the file where they are used.

    Raises:
        NoFaceError: a long clip in which no face is found at all.
    """
    video = media.read_video(path)
    whole = media.probe(path).seconds or None
    file.parent.mkdir(parents=True, exist_ok=True)
    done = file.stat().st_size // RECORD.itemsize if file.is_file() else 0
    if not done and whole is not None and whole > LONG:
        _look_over(path, whole)
    busy = tr(f"another huashen is preparing {path}; wait for it", f"另一个 huashen 正在处理 {path}；请等待其完成")
    with _noting(path), explained(file), alone(file, busy), file.open("r+b") as stream:
        stream.truncate(done * RECORD.itemsize)
        after = None
        found = False
        if done:
            stream.seek((done - 1) * RECORD.itemsize)
            after = _trail(np.frombuffer(stream.read(RECORD.itemsize), RECORD)[0])
            found = after.points is not None
        shown: list[Image] = []
        images = _noted(media.read_images(path, done, fps=video.fps, quick=True), shown)
        for index, (face, trail) in enumerate(follow(images, which=which, after=after), done):
            record = np.zeros((), RECORD)
            record["points"] = np.nan if trail.points is None else trail.points
            record["region"] = np.nan if trail.region is None else (trail.region.x, trail.region.y, trail.region.side, trail.region.angle)
            record["scene"], record["lost"], record["cuts"] = trail.scene, trail.lost, trail.cuts
            record["vote"] = -1 if face is None or vote is None else vote(index, not found, shown[0], face)
            found = face is not None
            stream.write(record.tobytes())
            if progress is not None:
                progress(index + 1, float((index + 1) / video.fps), whole)
    if not os.path.getsize(file):
        raise NoFaceError(tr(f"{path} has no frames", f"{path} 中没有画面"))
    return np.memmap(file, RECORD, "r")


@contextmanager
def _noting(path: Path) -> Iterator[None]:
    """Note on Ctrl-C, and when the disk is full, that what was followed is kept."""
    try:
        yield
    except (KeyboardInterrupt, OutputError) as error:
        error.add_note(tr(f"what was followed of {path} so far is kept; the same command goes on there",
                          f"{path} 已跟踪的部分已保存；再次运行同一命令即可继续"))  # fmt: skip
        raise


def _noted(images: Iterator[Image], shown: list[Image]) -> Iterator[Image]:
    for image in images:
        shown[:] = [image]
        yield image


def _trail(record: np.void) -> Trail:
    region = None if np.isnan(record["region"][0]) else Region(*map(float, record["region"]))
    points = None if np.isnan(record["points"][0, 0]) else record["points"].copy()
    return Trail(region, points, int(record["lost"]), record["scene"].copy(), int(record["cuts"]))


def _look_over(path: Path, seconds: float) -> None:
    """Raise NoFaceError when there is no face in frames from all over a clip."""
    fps = media.read_video(path).fps
    finder = MediaPipe()
    for index in np.linspace(0, max(0, int(seconds * fps) - 2), LOOKS).astype(int):
        image = next(media.read_images(path, int(index), fps=fps, quick=True), None)
        if image is not None and finder.find(image):
            return
    raise NoFaceError(tr(
        f"no face found in {LOOKS} frames from all over {path}; give a clip that shows one, larger or for longer",
        f"在 {path} 各处的 {LOOKS} 帧中都没有找到人脸；请给出人脸更大、出现更久的视频",
    ))  # fmt: skip

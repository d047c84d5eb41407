"""A person in a clip: prepared once, then read frame by frame, forwards and backwards, never held in memory.

Preparing follows the face through the clip and cuts the mouth out of every frame. What it finds lies in a folder, that of a prepared
avatar (`huashen.persons`) or, for a clip given as a file, one under `HUASHEN_HOME/footage` named after the clip's contents. The latter
may be deleted at any time; those not used for longest are, when together they grow over a limit.

- `manifest.json`: what the clip is, how much of it is there, and how late its sound comes;
- `points.npy`, `corners.npy`: the mesh of the face that speaks in every frame, NaN where it is not to be seen, and where its mouth is;
- `mouths.npy`: a rectangle of every frame, (n, h, w, 3), read from the disk where it is needed.

The clip itself is not copied: its frames are read from the file.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from huashen import config, media
from huashen.errors import NoFaceError, OutputError
from huashen.files import alone
from huashen.shots import one_person
from huashen.trail import RECORD, tracked
from huashen.types import Box, Face, Floats, Image, Landmarks
from huashen.words import tr

logger = logging.getLogger(__name__)

FORMAT = 3
BLOCK = 96_000_000
"""Bytes of frames held while a clip runs backwards."""
MATERIAL = 400_000_000
"""Bytes of mouths kept; a longer clip gives those of its beginning."""
SPARE = 100_000_000
"""Bytes left free on the disk."""
FORGOTTEN = 30 * 86400.0
"""Seconds after which a clip that was followed in part is not gone on with any more."""
SHORTEST = 5
"""Frames with a face that a clip must have."""
SURE, LATE = 0.8, 0.03
"""How sure an offset must be, and how many seconds of it one begins to see, that the clip's own sound is moved."""
ACROSS, ABOVE, BELOW = 0.72, 0.52, 0.72
"""What is cut out to each side of the mouth, above and below it, in distances between the outer eye corners."""
TIMED = 120.0
"""Seconds of a clip's beginning from which its offset is found."""
FRONTAL = 40.0
"""Degrees of yaw beyond which the lips' points are guesses."""
VOTE = 5
"""Frames between two looks at whether it is still the one meant."""
TURN = 2.0
"""Seconds from a clip's end within which it may turn round."""
_CALM = [33, 263, 6, 10, 234, 454]
"""Points that move with the head: the eyes' outer corners, the bridge of the nose, forehead, temples."""


Which = int | tuple[float, float] | Path
"""The face meant: 0 is the largest; or a point x, y in the first frame in which it is seen; or a picture of the one meant."""


class Mouths(Sequence[Image]):
    """Rectangles, (h, w, 3) uint8, of a clip's first frames, read from the disk each time: mapped, they would fill the memory.

    Args:
        path: a file as np.save writes it; it may be deleted meanwhile.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            np.lib.format.read_magic(stream)
            self.shape, _, _ = np.lib.format.read_array_header_1_0(stream)
            self._begin = stream.tell()
            self._file = os.dup(stream.fileno())
        self._alone = threading.Lock()
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        """Return how many there are."""
        return int(self.shape[0])

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> list[Image]: ...
    def __getitem__(self, index: int | slice) -> Image | list[Image]:
        """Return that of a frame."""
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        shape = self.shape[1:]
        size = int(np.prod(shape))
        with self._alone:
            os.lseek(self._file, self._begin + index % len(self) * size, os.SEEK_SET)
            content = os.read(self._file, size)
        return np.frombuffer(content, np.uint8).reshape(shape)


@dataclass(frozen=True)
class Footage:
    """A person who speaks in a clip."""

    path: Path
    fps: Fraction
    size: tuple[int, int]
    """(width, height) of the clip."""
    points: Floats
    """(n, 478, 3) the mesh in every frame, pixels; NaN where the face is not to be seen."""
    mouths: "Mouths"
    """What surrounds the mouth in the first frames."""
    corners: NDArray[np.int32]
    """(n, 2) x, y of that rectangle in each frame; a part of it may lie outside the frame, where the picture's edge goes on."""
    name: str = ""
    goal: tuple[int, int] | None = None
    """(width, height) of what is made of it; the clip's own when None."""
    offset: float = 0.0
    """Seconds by which the clip's own sound comes after its mouth, where they agree best."""
    sure: float = 0.0
    """Probability, 0 to 1, that this is right within 80 ms; 0 without sound."""
    through: bool = False
    """Whether it is shown to its very end before it turns: where what is said ends there, turning earlier would put frames out of order."""

    @property
    def late(self) -> float:
        """Seconds to move the clip's own sound forward by so that it fits the mouth; 0 where that is not sure, or not to be seen."""
        return self.offset if self.sure >= SURE and abs(self.offset) >= LATE else 0.0

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.points)

    def seen(self) -> NDArray[np.bool_]:
        """Return (n,): whether there is a face in a frame."""
        return np.asarray(np.isfinite(self.points[:, 0, 0]))

    def face(self, index: int) -> Face | None:
        """Return the face in a frame, None where there is none."""
        points = self.points[index]
        if not np.isfinite(points[0, 0]):
            return None
        from huashen.face.pose import head

        low, high = points[:468, :2].min(0), points[:468, :2].max(0)
        return Face(Box(*map(float, (*low, *high))), Landmarks(points), 1.0, head(points))

    def fitted(self, size: tuple[int, int]) -> "Footage":
        """Return the clip to be shown at another size (width, height), cut round the face where the shape differs."""
        return replace(self, goal=size)

    def shown(self, image: Image) -> Image:
        """Return a frame of the clip at the size of the video."""
        import cv2

        if self.goal is None or self.goal == self.size:
            return image
        (width, height), (across, down) = self.size, self.goal
        scale = max(across / width, down / height)
        scale = 1.0 if max(width - across, height - down) <= 1 and scale <= 1 else scale  # an odd row is cut off, not squeezed in
        wide, tall = min(width, round(across / scale)), min(height, round(down / scale))
        points = self.points[self.seen()][:, :468, :2]
        x, y = np.median(points.mean(1), axis=0)
        x0, y0 = (int(np.clip(v, 0, room)) for v, room in ((x - wide / 2, width - wide), (y - tall * 0.46, height - tall)))
        part = image[y0 : y0 + tall, x0 : x0 + wide]
        if (wide, tall) == self.goal:
            return part.copy()
        return np.asarray(cv2.resize(part, self.goal, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8)

    def order(self, fps: Fraction) -> Iterator[int]:
        """Yield, without end, which frame of the clip each frame of a video shows.

        The clip runs to its end, back to its beginning and on. It turns where the head is nearly at rest, so that turning does not show.
        """
        begin, end = self._turns()
        top = len(self) - 1 if self.through else end
        position, way, passed = 0, 1, 0
        for k in count():
            while passed < int((k + Fraction(1, 2)) / fps * self.fps):
                if way > 0 and position >= top:
                    way, top = -1, end
                elif way < 0 and position <= begin:
                    way = 1
                position += way
                passed += 1
            yield position

    def _turns(self) -> tuple[int, int]:
        """Return the frames between which the clip goes there and back."""
        n = len(self)
        reach = min(round(TURN * self.fps), n // 6)
        if reach < 2:
            return 0, n - 1
        still = np.asarray(self.points[:, _CALM, :2])
        eyes = float(np.nanmedian(np.linalg.norm(still[:, 0] - still[:, 1], axis=1)))
        step = np.linalg.norm(np.diff(still, axis=0), axis=2).max(1) / max(eyes, 1.0)  # between a frame and the next
        step = np.where(np.isfinite(step), step, np.inf)
        # Turning goes over the last step, or the first, twice: where that is least, it shows least.
        return int(np.argmin(step[:reach])), n - 1 - int(np.argmin(step[::-1][:reach]))

    def images(self, order: Iterable[int]) -> Iterator[Image]:
        """Yield frames of the clip in any order, each a fresh array; neighbours cost least.

        Args:
            order: numbers of frames, 0 to n - 1.
        """
        block = max(4, BLOCK // (3 * self.size[0] * self.size[1]))
        held: dict[int, Image] = {}
        reader: Iterator[Image] = iter(())
        following = -1  # the frame the reader gives next
        last = -1
        image: Image | None = None
        for k in order:
            if k == last and image is not None:
                pass
            elif k in held:
                image = held[k]
            elif last - 8 <= k < last:  # running backwards: a block is read forwards and given out from its end
                begin = max(0, k - block + 1)
                reader = media.read_images(self.path, begin, fps=self.fps)
                held = dict(zip(range(begin, k + 1), reader, strict=False))
                following = -1
                image = held.get(k, image)
            else:
                held = {}
                if not 0 <= following <= k < following + 64:
                    reader, following = media.read_images(self.path, k, fps=self.fps), k
                while following <= k:
                    image = next(reader, image)
                    following += 1
            assert image is not None
            last = k
            yield image.copy()


def prepare(
    path: Path,
    *,
    which: Which | None = None,
    box: tuple[float, float, float, float] | None = None,
    folder: Path | None = None,
    progress: Callable[[int, float, float | None], None] | None = None,
) -> Footage:
    """Follow the face through a clip and keep its mouths, or open what was kept before.

    Args:
        path: a video.
        which: the face that speaks; the one seen longest without. Stretches in which only somebody else is seen are left as they are.
        box: x0, y0, x1, y1: the face whose middle is nearest to that of this box.
        folder: where to keep it; among the clips given as files without.
        progress: called with the frames and seconds that are done, and the seconds of the whole.

    Raises:
        NoFaceError: there is hardly a face in it.
        InputError: who is meant by a picture is not sure.
        UnreadableError: it cannot be read.
    """
    from huashen.face.likeness import choose

    place = folder or cached(path, which=which, box=box)
    if (place / "manifest.json").is_file():
        os.utime(place / "manifest.json")  # used now: what was not for longest goes first
        return opened(place, path)
    check_room(path)
    if box is not None:
        which = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    logger.info("following the face through %s", path)
    chosen = choose(path, which) if isinstance(which, Path) else None
    start = chosen.point if chosen is not None else 0 if which is None or isinstance(which, Path) else which

    def vote(index: int, found: bool, image: Image, face: Face) -> int:
        return int(chosen.meant(image, face)) if chosen is not None and (found or index % VOTE == 0) else -1

    # Named after the contents: whoever prepares this clip, under whatever name, goes on with it.
    trail = config.home() / "footage" / f"{_key(path, which)}.trail"
    records = tracked(path, trail, which=start, vote=vote, progress=progress)
    points = np.asarray(records["points"])
    cast = records["vote"]
    votes = {int(k): bool(cast[k]) for k in np.flatnonzero(cast >= 0)}
    if votes:
        points = np.where(_meant(votes, len(points))[:, None, None], points, np.float32(np.nan))
    elif chosen is None:
        points = one_person(path, points, np.asarray(records["cuts"]), media.read_video(path).fps, first=which is not None)
    try:
        clip = keep(place, path, points)
    except NoFaceError:
        trail.unlink(missing_ok=True)
        raise
    trail.unlink(missing_ok=True)
    if folder is None:
        tidy(place)
    return clip


def takes(path: Path) -> int:
    """Return about how many bytes preparing a clip takes on the disk; what is known of it beforehand, 0 where it does not say."""
    found = media.probe(path)
    frames = round(found.seconds * float(found.fps))
    # A face half as high as the picture has its eyes a quarter of that apart.
    mouth = 3 * 2 * ACROSS * (ABOVE + BELOW) * (min(found.size) / 8) ** 2
    return frames * (RECORD.itemsize + 478 * 12) + round(min(MATERIAL, frames * mouth))


def check_room(path: Path, more: int = 0) -> None:
    """Refuse a clip for which the disk is too small, before it is followed.

    Args:
        path: the clip.
        more: bytes that are needed besides.

    Raises:
        OutputError: it is; the text says what to do.
        UnreadableError: the clip cannot be read.
    """
    where = config.home()
    where.mkdir(parents=True, exist_ok=True)
    need, free = takes(path) + more + SPARE, shutil.disk_usage(where).free
    if need > free:
        raise OutputError(tr(
            f"preparing {path} takes about {need / 1e6:.0f} MB in {where}, and {free / 1e6:.0f} MB are free; free some "
            "(huashen avatar clear), or set HUASHEN_HOME to another disk",
            f"处理 {path} 约需 {need / 1e6:.0f} MB，而 {where} 仅剩 {free / 1e6:.0f} MB；请腾出空间（huashen avatar clear），"
            "或把 HUASHEN_HOME 设到其他磁盘",
        ))  # fmt: skip


def _meant(votes: dict[int, bool], count: int) -> NDArray[np.bool_]:
    """Return (count,): whether each frame shows the one meant, as the vote before it and most of three votes say."""
    at = np.array(sorted(votes))
    cast = np.array([votes[k] for k in at])
    most = np.convolve(np.pad(cast.astype(int), 1, mode="edge"), np.ones(3, int), "valid") >= 2
    return np.asarray(most[np.clip(np.searchsorted(at, np.arange(count), side="right") - 1, 0, None)])


def cached(path: Path, *, which: Which | None = None, box: tuple[float, float, float, float] | None = None) -> Path:
    """Return where a clip given as a file is kept, whether it is there yet or not."""
    if box is not None:
        which = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    return config.home() / "footage" / f"{path.stem[:60]}-{_key(path, which)}"


def kept() -> list[tuple[Path, int]]:
    """Return the folders of clips given as files with their bytes, that used last first."""
    folder = config.home() / "footage"
    if not folder.is_dir():
        return []
    found = [(entry.stat().st_mtime, place, weight(place)) for place in folder.iterdir() if (entry := place / "manifest.json").is_file()]
    return [(place, size) for _, place, size in sorted(found, reverse=True)]


def weight(folder: Path) -> int:
    """Return the bytes of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def tidy(needed: Path | None = None, *, limit: int | None = None) -> int:
    """Delete the clips given as files that were not used for longest, until what is left keeps to a limit; return the bytes freed.

    Args:
        needed: a folder that stays, whatever its size.
        limit: bytes; `cache` of huashen.toml without.
    """
    limit = config.cache_limit() if limit is None else limit
    total = 0
    freed = _forgotten(everything=not limit)
    for place, size in sorted(kept(), key=lambda one: one[0] != needed):
        total += size
        if total > limit and place != needed:
            total -= size
            freed += size
            (place / "manifest.json").unlink(missing_ok=True)  # first, so that a half-deleted one is none
            shutil.rmtree(place, ignore_errors=True)
            logger.info("deleted %s, %d bytes", place, size)
    return freed


def _forgotten(*, everything: bool) -> int:
    """Delete what was followed of clips and never gone on with, for a month or at all; return the bytes freed."""
    freed = 0
    for trail in (config.home() / "footage").glob("*.trail"):
        state = trail.stat()
        if not everything and time.time() - state.st_mtime < FORGOTTEN:
            continue
        with suppress(OutputError), alone(trail, ""):  # another process is at it
            trail.unlink(missing_ok=True)
            freed += state.st_size
    return freed


def keep(folder: Path, path: Path, points: Floats) -> Footage:
    """Write the folder of a clip whose faces are known, and open it.

    Args:
        folder: where; it must not exist.
        path: the clip.
        points: (n, 478, 3) the mesh in every frame, NaN where there is none.

    Raises:
        NoFaceError: there is hardly a face in it.
    """
    seen = np.isfinite(points[:, 0, 0])
    if seen.sum() < SHORTEST:
        shown = int(seen.sum())
        raise NoFaceError(tr(
            f"{path} shows {f'a face in {shown} of its' if shown else 'no face in its'} {len(points)} frames; "
            "give a clip that shows it larger or longer",
            f"{path} 的 {len(points)} 帧中{f'只有 {shown} 帧有人脸' if shown else '没有人脸'}；请给出人脸更大、出现更久的视频",
        ))  # fmt: skip
    video = media.read_video(path)
    offset, sure = _timing(path, points, video.fps)
    eyes = float(np.percentile(np.linalg.norm(points[seen, 33] - points[seen, 263], axis=1), 95))
    across, above, below = (round(share * eyes) for share in (ACROSS, ABOVE, BELOW))
    middle = points[:, [61, 291], :2].mean(1)
    corners = np.where(seen[:, None], np.rint(np.nan_to_num(middle)) - (across, above), 0).astype(np.int32)
    shape = (above + below, 2 * across, 3)
    count = min(len(points), max(1, MATERIAL // int(np.prod(shape))))
    beside = folder.with_name(folder.name + ".part")
    need = count * int(np.prod(shape)) + points.nbytes
    folder.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder.parent).free < need:
        raise _no_room(folder, need)
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        with (beside / "mouths.npy").open("wb") as stream:  # not mapped: what is written would stay in memory
            np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)})
            size = stream.tell() + count * int(np.prod(shape))
            for mouth in media.read_parts(path, map(tuple, corners[:count].tolist()), shape[1::-1], fps=video.fps):
                stream.write(mouth.tobytes())
            stream.truncate(size)
        np.save(beside / "points.npy", points)
        np.save(beside / "corners.npy", corners)
        manifest = {"format": FORMAT, "clip": path.name, "frames": len(points), "with_face": int(seen.sum()), "fps": str(video.fps),
                    "size": list(video.size), "mouths": count, "offset": round(offset, 4), "sure": round(sure, 4)}  # fmt: skip
        (beside / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        beside.replace(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(folder, need) from error
        raise OutputError(tr(f"{folder} cannot be written: {error.strerror}", f"无法写入 {folder}：{error.strerror}")) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return opened(folder, path)


def _no_room(folder: Path, need: int) -> OutputError:
    where = folder.parent
    return OutputError(tr(
        f"the disk of {where} has no room for the {need / 1e6:.0f} MB that are kept of the clip; free some, or set HUASHEN_HOME elsewhere",
        f"{where} 所在磁盘放不下该视频的素材（{need / 1e6:.0f} MB）；请腾出空间，或将 HUASHEN_HOME 设到别处",
    ))  # fmt: skip


def opened(folder: Path, path: Path) -> Footage:
    """Open what was kept of a clip.

    Args:
        folder: see `keep`.
        path: the clip.
    """
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    points, corners = np.load(folder / "points.npy", mmap_mode="r"), np.load(folder / "corners.npy")
    mouths = Mouths(folder / "mouths.npy")
    size = (int(manifest["size"][0]), int(manifest["size"][1]))
    offset, sure = float(manifest["offset"]), float(manifest["sure"])
    return Footage(path, Fraction(manifest["fps"]), size, points, mouths, corners, path.stem, offset=offset, sure=sure)


def _timing(path: Path, points: Floats, fps: Fraction) -> tuple[float, float]:
    """Return by how many seconds a clip's sound comes after its mouth, and how sure that is; zeros where nothing can be said."""
    from huashen.face.pose import head
    from huashen.ops import sync
    from huashen.ops.mesh import frame_of

    if not media.probe(path).rate:
        return 0.0, 0.0
    n = min(len(points), round(TIMED * fps))
    mouth = np.full((n, 3), np.nan)
    for k in np.flatnonzero(np.isfinite(points[:n, 0, 0])):
        if abs(float(head(points[k])[1])) < FRONTAL:
            mouth[k] = sync.mouth(frame_of(points[k]).local(points[k]))
    ear = sync.Bands()
    bands = [np.zeros((0, sync.BANDS), np.float32)]
    samples, whole = 0, round((TIMED + 1) * sync.RATE)
    for piece in media.read_audio(path, sync.RATE, with_picture=True):
        bands.append(ear.hear(piece.samples))
        samples += len(piece.samples)
        if samples > whole:
            break
    found = sync.match(sync.levels(np.concatenate(bands)), (np.arange(n) + 0.5) / np.float64(fps), mouth)
    return (found.offset, found.confidence) if found is not None else (0.0, 0.0)


def _key(path: Path, which: object) -> str:
    """Return a name for a clip's contents and the face meant."""
    media.probe(path)  # says what is wrong with a file that is missing or none
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if isinstance(which, Path):
        media.probe(which)
        which = hashlib.sha256(which.read_bytes()).hexdigest()
    return hashlib.sha256(f"{FORMAT} {digest} {which}".encode()).hexdigest()[:12]

"""How good a talking video is: whether the mouth follows the sound, how it moves beside a real recording, how steady the picture is.

    huashen measure hello.mp4 --against real.mp4 --plot hello.png

No network but the face's landmarks is asked. Everything is drawn from one pass over the video (two when it is compared with the same
pictures); a picture is looked at and let go, and what is kept is some 40 kB for each second. What cannot be judged is None, and
`Measurement.notes` says why.
"""

import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.audio2face import voice
from huashen.audio2face.ear import Ear
from huashen.face.mediapipe import MediaPipe
from huashen.face.pose import STILL
from huashen.face.track import Which, track
from huashen.flow import prefetch
from huashen.media import PathLike, read_video
from huashen.ops import sync
from huashen.ops.mesh import LOWER_LIP, OVAL, UPPER_LIP, frame_of
from huashen.recording import CLIPPED, Recording, inspect
from huashen.types import Face, Floats, Image
from huashen.words import tr

Array = NDArray[np.float64]

LIPS = np.unique(np.concatenate([UPPER_LIP[[0, 3]].ravel(), LOWER_LIP[[0, 3]].ravel()]))
"""The points of the lips' outer and inner edges."""
_INNER = np.concatenate([UPPER_LIP[3], LOWER_LIP[3][-2:0:-1]])
_OUTER = np.concatenate([UPPER_LIP[0], LOWER_LIP[0][-2:0:-1]])
_STILL = np.array(list(STILL))
_JAW = np.array([2, 152, 172, 397, 61, 291, 136, 365])

_EYES = 80
"""Pixels between the outer eye corners in the picture of a face that is looked at."""
_SIDE = 2 * _EYES
_ABOVE = 0.6  # distances between the eye corners that the picture reaches above them
_AWAY = 40.0  # degrees of yaw beyond which the lips' points are guesses
_CLOSE = 0.1  # s around speech that lips take to close and to part
_SAME = 0.6  # correlation of the bands from which two sounds are the same, whatever codec and level they went through
_THUMBS = 28
_GLANCE, _GLANCES = 2.0, 30
"""Seconds between two looks for other faces, and how many there are at most."""


@dataclass(frozen=True)
class Mouth:
    """How the mouth moves, in distances between the outer corners of the eyes (about 90 mm), head pose removed."""

    gap: float
    """Median distance of the inner edges of the lips."""
    gap_p95: float
    """95th percentile of the gap."""
    gap_std: float
    """Standard deviation of the gap."""
    width: float
    """Median distance of the corners of the mouth."""
    width_std: float
    protrusion: float
    """Median of how far the lips stand out before the corners of the mouth."""
    protrusion_std: float
    teeth: float | None
    """Mean share of the open mouth in which teeth are seen, 0 to 1."""


@dataclass(frozen=True)
class Sync:
    """Whether the mouth follows the sound, and how far apart they are."""

    offset_ms: float | None
    """Milliseconds by which the sound comes after the mouth; negative: before. None when they do not belong together."""
    confidence: float
    """Probability, 0 to 1, that the offset is right within 80 ms."""
    correlation: float
    """The gap's correlation, at the best offset, with what the sound makes one expect; real speakers: 0.3 to 0.65."""
    agreement: float
    """The same over all curves and their rates of change."""
    chance: float
    """Standard deviations by which the agreement exceeds that of curves turned round against the sound."""
    peak: float
    """Such deviations by which the best offset exceeds all that are more than 120 ms away."""


@dataclass(frozen=True)
class Sound:
    """What the sound is like."""

    rate: int
    """Samples a second in the file, Hz."""
    channels: int
    empty_channels: int
    level: float
    """Root mean square of the loudest channel, dB below full scale."""
    voice: float | None
    """Share of the time in which it is loud that somebody speaks, 0 to 1; None where it is silent. Two who speak at once count as one."""
    clipped: bool
    narrow: bool
    """Whether nothing is heard above 4 kHz, as by telephone."""


@dataclass(frozen=True)
class Silence:
    """How closed the mouth is when nothing is said."""

    seconds: float
    """How long it is silent, without the moments next to speech."""
    gap: float | None
    """Median gap in silence, in distances between the outer corners of the eyes."""
    gap_p95: float | None
    """95th percentile of the gap in silence."""
    speaking_seconds: float
    speaking_gap: float | None
    """Median gap while something is said."""
    speaking_gap_p95: float | None
    """95th percentile of the gap while something is said."""
    motion: float | None
    """Standard deviation of the gap in silence over that in speech."""


@dataclass(frozen=True)
class Picture:
    """How sharp and steady the picture is. Grey levels run from 0 to 255."""

    faces: float
    """Share of frames with a face, 0 to 1."""
    eyes: float | None
    """Median distance between the outer corners of the eyes, pixels."""
    sharpness_mouth: float | None
    """Root mean square of the Laplacian inside the lips' outline, grey levels, 80 pixels between the eye corners."""
    sharpness_face: float | None
    """The same in the rest of the face."""
    sharpness: float | None
    """Mouth over face."""
    flicker_face: float | None
    """Mean change of a pixel from frame to frame that no motion explains, mouth and eyes left out, grey levels."""
    flicker_outside: float | None
    """The same outside the face."""
    jitter: float | None
    """Deviation of the points at rest in a face from their neighbours in time, thousandths of the distance between the eye corners."""
    jitter_mouth: float | None
    """Share of the gap's movement that is faster than 8 Hz, 0 to 1; lips of people who speak are slower."""
    identity_drift: float | None
    """1 − correlation of the aligned upper faces of the last third with those of the first; 0: unchanged. No face recognition."""
    identity_worst: float | None
    """1 − the lowest correlation of one second's mean upper face with that of the whole."""
    shape_drift: float | None
    """Root mean square difference of the points at rest between first and last third, thousandths of the distance between the eyes."""


@dataclass(frozen=True)
class Against:
    """How the mouth moves beside a real recording of the same speech, and how the picture differs."""

    lag_ms: float
    """Milliseconds by which this video runs after the reference; they are aligned by it."""
    gap: float | None
    """Correlation of the gaps, −1 to 1."""
    width: float | None
    protrusion: float | None
    motion_ratio: float | None
    """Standard deviation of the gap over the reference's."""
    width_ratio: float | None
    """Standard deviation of the width over the reference's."""
    landmark_distance: float | None
    """Mean distance of the lips' points, each video's mean mouth taken off, in distances between the outer corners of the eyes."""
    shape_distance: float | None
    """Mean distance of the mean faces' points at rest and lips: how like the two faces are built."""
    identity: float | None
    """Correlation of the mean aligned upper faces; no face recognition."""
    sharpness_mouth: float | None
    """This video's sharpness of the mouth over the reference's."""
    sharpness_face: float | None
    psnr: float | None
    """dB, outside the lower face, when both have pictures of one size."""
    ssim: float | None
    """Structural similarity there, −1 to 1."""


@dataclass(frozen=True)
class Curves:
    """What was seen and heard, frame by frame."""

    time: Array
    """(n,) seconds, the middle of each frame."""
    gap: Array
    """(n,) in distances between the outer corners of the eyes; NaN where there is no face or it is turned away."""
    width: Array
    protrusion: Array
    teeth: Array
    """(n,) share of the open mouth, NaN where it is shut."""
    lips: Floats
    """(n, len(LIPS), 2) in the face's frame."""
    area: Floats
    """(n, 4) x0 y0 x1 y1 of the lower face, pixels."""
    bands: Floats
    """(ticks, BANDS) dB of the sound; (0, BANDS) without."""
    wave: Floats
    """(4 · n, 2) lowest and highest sample of every quarter of a frame; (0, 2) without sound."""
    speaking: NDArray[np.bool_]
    """(ticks,)."""
    upper: Floats
    """(seconds, 32, 32) mean upper faces, NaN where there is none."""
    shape: Floats
    """(seconds, points, 2) mean points at rest in the face's frame, NaN where there is none."""
    thumbs: tuple[tuple[float, Image], ...]
    """A few pictures with their times."""
    match: sync.Match | None


@dataclass(frozen=True)
class Measurement:
    """What `measure` found; None stands for what cannot be judged."""

    path: Path
    seconds: float
    frames: int
    fps: Fraction
    size: tuple[int, int]
    mouth: Mouth | None
    sound: Sound | None
    sync: Sync | None
    silence: Silence | None
    picture: Picture
    against: Against | None
    notes: tuple[str, ...]
    """What could not be judged or deserves doubt, in words."""
    curves: Curves = field(repr=False, compare=False)
    reference: "Measurement | None" = field(default=None, repr=False, compare=False)
    """What was found in the recording it was compared with."""

    def values(self) -> dict[str, Any]:
        """Return the numbers and words as JSON knows them, without the curves."""
        found: dict[str, Any] = {
            "path": str(self.path),
            "seconds": round(self.seconds, 3),
            "frames": self.frames,
            "fps": str(self.fps),
            "size": list(self.size),
        }
        for name in ("mouth", "sound", "sync", "silence", "picture", "against"):
            part = getattr(self, name)
            found[name] = None if part is None else {key: _rounded(value) for key, value in asdict(part).items()}
        return found | {"notes": list(self.notes)}


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.4g}")


def measure(
    video: PathLike, against: PathLike | None = None, *, which: Which = 0, progress: Callable[[int, float], None] | None = None
) -> Measurement:
    """Measure how good a talking video is.

    Args:
        video: a video file.
        against: a real recording of the same speech; when its pictures have the same size, the pictures are compared as well.
        which: the face meant, as for `huashen.face.track`.
        progress: called with the frames and seconds of a video that are done.

    Raises:
        UnreadableError: a file is missing, broken, or has no moving pictures.
    """
    own = _watch(video, which, progress)
    if against is None:
        return own
    other = _watch(against, which, progress)
    notes = [*own.notes, *(tr(f"in {other.path.name}: {note}", f"{other.path.name}：{note}") for note in other.notes)]
    compared = _compare(own, other, notes)
    return replace(own, against=compared, notes=tuple(notes), reference=other)


# Looking


class _Watch:
    """Takes the pictures of a video one by one and keeps what the numbers need."""

    def __init__(self, fps: Fraction) -> None:
        import cv2

        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._fps = float(fps)
        self.gap: list[float] = []
        self.width: list[float] = []
        self.protrusion: list[float] = []
        self.teeth: list[float] = []
        self.yaw: list[float] = []
        self.eyes: list[float] = []
        self.lips: list[Floats] = []
        self.area: list[tuple[float, ...]] = []
        self.sharp: list[tuple[float, float]] = []
        self.flicker_face: list[float] = []
        self.flicker_outside: list[float] = []
        self.jitter: list[float] = []
        self.upper: list[Floats] = []
        self.shape: list[Floats] = []
        self.thumbs: list[tuple[int, Image]] = []
        self.company: list[int] = []
        """Faces in some of the pictures."""
        self._every = 1
        self._sum_upper = np.zeros((32, 32), np.float32)
        self._sum_shape = np.zeros((len(_STILL), 2), np.float32)
        self._seen = self._count = 0
        self._crop: Image | None = None
        self._small: Image | None = None
        self._still: list[Floats] = []

    def see(self, image: Image, face: Face | None) -> None:
        """Take the next picture and the face in it."""
        small = _grey(_shrunk(image, 256))
        if face is None:
            self._nobody()
            crop = None
        else:
            crop = self._somebody(image, face)
            self._outside(small, image.shape[1], face)
        self._small = small
        self._keep(image, crop)
        self._count += 1
        if self._count >= self._fps * (len(self.upper) + 1):
            self._end_second()

    def finish(self) -> None:
        """Close the last second."""
        if self._seen >= 5 or not self.upper:
            self._end_second()

    def _nobody(self) -> None:
        for values in (self.gap, self.width, self.protrusion, self.teeth, self.yaw, self.eyes):
            values.append(math.nan)
        self.lips.append(np.full((len(LIPS), 2), np.nan, np.float32))
        self.area.append((math.nan,) * 4)
        self._crop = None
        self._still.clear()

    def _somebody(self, image: Image, face: Face) -> Image:
        points = face.landmarks.points
        frame = frame_of(points)
        local = frame.local(points)
        gap, width, protrusion = sync.mouth(local)
        yaw = float(face.head[1])
        away = abs(yaw) > _AWAY
        nan = math.nan if away else 0.0
        self.gap.append(nan + gap)
        self.width.append(nan + width)
        self.protrusion.append(nan + protrusion)
        self.yaw.append(yaw)
        self.eyes.append(frame.unit)
        self.lips.append(local[LIPS, :2] + np.float32(nan))
        jaw = points[_JAW, :2]
        self.area.append((*jaw.min(0).tolist(), *jaw.max(0).tolist()))
        crop, placed = _portrait(image, points, frame.unit)
        grey = _grey(crop)
        mouth, rest = _masks(placed)
        self.teeth.append(math.nan if away or self.gap[-1] < 0.03 else _teeth(crop, placed, rest))
        self.sharp.append(_sharpness(grey, mouth, rest))
        self._stillness(points, frame.unit)
        if self._crop is not None:
            self.flicker_face.append(_unexplained(self._flow, self._crop, grey, rest > 0))
        self._crop = grey
        if abs(yaw) < _AWAY:
            self._sum_upper += _upper(grey, placed)
            self._sum_shape += local[_STILL, :2]
            self._seen += 1
        return crop

    def _stillness(self, points: Floats, unit: float) -> None:
        """Compare the points at rest with the mean of those before and after."""
        self._still.append(points[_STILL, :2] / unit)
        if len(self._still) == 3:
            before, now, after = self._still
            bend = now - (before + after) / 2
            bend = bend - bend.mean(0)  # the head's own motion is no jitter
            self.jitter.append(float(np.sqrt((bend**2).mean() / 1.5)))
            del self._still[0]

    def _outside(self, small: Image, width: int, face: Face) -> None:
        """Compare what is round the face with the picture before."""
        if self._small is None:
            return
        scale = small.shape[1] / width
        box = np.array([face.box.x0, face.box.y0, face.box.x1, face.box.y1]) * scale
        grow = 0.2 * (box[2] - box[0])
        x0, y0, x1, y1 = np.rint(box + np.array([-grow, -2 * grow, grow, grow])).astype(int).tolist()
        area = np.ones(small.shape, bool)
        area[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = False
        if area.mean() > 0.1:
            self.flicker_outside.append(_unexplained(self._flow, self._small, small, area))

    def _keep(self, image: Image, crop: Image | None) -> None:
        """Keep a picture now and then; when there are too many, every second one goes."""
        index = len(self.gap) - 1
        if index % self._every:
            return
        self.thumbs.append((index, crop if crop is not None else _shrunk(image, _SIDE)))
        if len(self.thumbs) == 2 * _THUMBS:
            self.thumbs = self.thumbs[::2]
            self._every *= 2

    def _end_second(self) -> None:
        if self._seen >= 3:
            self.upper.append(self._sum_upper / np.float32(self._seen))
            self.shape.append(self._sum_shape / np.float32(self._seen))
        else:
            self.upper.append(np.full((32, 32), np.nan, np.float32))
            self.shape.append(np.full((len(_STILL), 2), np.nan, np.float32))
        self._sum_upper = np.zeros((32, 32), np.float32)
        self._sum_shape = np.zeros((len(_STILL), 2), np.float32)
        self._seen = 0


def _watch(path: PathLike, which: Which, progress: Callable[[int, float], None] | None) -> Measurement:
    """Look at one video."""
    video = read_video(path, rate=sync.RATE)
    watch = _Watch(video.fps)
    ear, voices = sync.Bands(), _Voices()
    bands: list[Floats] = []
    wave: list[Floats] = []
    images: list[Image] = []

    def pictures() -> Generator[Image, None, None]:
        with closing(prefetch(video.frames, 4)) as frames:
            for frame in frames:
                samples = frame.audio.samples
                if len(samples):
                    bands.append(ear.hear(samples))
                    voices.hear(samples)
                    wave.append(_envelope(samples))
                images[:] = [frame.image]
                yield frame.image

    finder = MediaPipe()
    every = max(1, round(_GLANCE * video.fps))
    with closing(pictures()) as stream:
        for face in track(stream, finder=finder, which=which, steady=0):
            if len(watch.gap) % every == 0 and len(watch.company) < _GLANCES:
                watch.company.append(_company(finder.find(images[0])))
            watch.see(images[0], face)
            if progress is not None:
                progress(len(watch.gap), float(len(watch.gap) / video.fps))
    watch.finish()
    if video.rate:
        bands.append(ear.hear(np.zeros(sync.RATE // 50, np.float32)))
        voices.hear(np.zeros(sync.RATE // 4, np.float32))
    heard = np.concatenate([np.zeros((0, sync.BANDS), np.float32), *bands])
    waves = np.concatenate([np.zeros((0, 2), np.float32), *wave])
    return _judge(Path(path), watch, heard, voices.found(len(heard)), inspect(path), waves, video.fps, video.size)


def _company(faces: list[Face]) -> int:
    """Return how many faces are large enough, beside the largest, to be somebody who is there."""
    widths = [face.box.width for face in faces]
    return sum(width > 0.4 * max(widths) for width in widths)


def _envelope(samples: Floats) -> Floats:
    """Return (4, 2) lowest and highest samples of the quarters of a slice."""
    parts = np.array_split(samples, 4)
    return np.array([(part.min(initial=0), part.max(initial=0)) for part in parts], np.float32)


def _grey(image: Image) -> Image:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _shrunk(image: Image, longest: int) -> Image:
    """Return a picture scaled down to `longest` pixels, or as it is."""
    import cv2

    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image.copy()
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _portrait(image: Image, points: Floats, unit: float) -> tuple[Image, Floats]:
    """Cut a face out upright, at one size whatever the picture's.

    Returns:
        (_SIDE, _SIDE, 3) and the points in it, (n, 2).
    """
    import cv2

    scale = _EYES / max(unit, 1.0)
    x, y = (float(v) for v in points[[33, 263], :2].mean(0))
    corner = np.array([x - _SIDE / 2 / scale, y - _ABOVE * unit])
    end = np.ceil(corner + _SIDE / scale).astype(int)
    begin = np.floor(corner).astype(int)
    height, width = image.shape[:2]
    inside = image[max(begin[1], 0) : max(min(end[1], height), 1), max(begin[0], 0) : max(min(end[0], width), 1)]
    above, below, left, right = (max(int(v), 0) for v in (-begin[1], end[1] - height, -begin[0], end[0] - width))
    if above or below or left or right:
        inside = np.asarray(cv2.copyMakeBorder(inside, above, below, left, right, cv2.BORDER_REPLICATE), np.uint8)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    crop = cv2.resize(inside, (_SIDE, _SIDE), interpolation=how)
    return np.asarray(crop, np.uint8), ((points[:, :2] - begin) * _SIDE / (end - begin)).astype(np.float32)


def _masks(placed: Floats) -> tuple[Image, Image]:
    """Return where the mouth is in a portrait, and where the rest of the face without the eyes, (_SIDE, _SIDE) 0 or 255."""
    import cv2

    mouth = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillPoly(mouth, [np.rint(placed[_OUTER]).astype(np.int32)], (255,))
    rest = np.zeros((_SIDE, _SIDE), np.uint8)
    centre = placed[OVAL].mean(0)
    cv2.fillPoly(rest, [np.rint(centre + 0.92 * (placed[OVAL] - centre)).astype(np.int32)], (255,))
    around = np.ones((7, 7), np.uint8)
    rest[np.asarray(cv2.dilate(mouth, around)) > 0] = 0
    for outer, inner, upper, lower in ((33, 133, 159, 145), (263, 362, 386, 374)):
        middle = placed[[outer, inner]].mean(0)
        reach = np.abs(placed[outer] - placed[inner]).max() * 0.75
        tall = max(reach * 0.6, float(np.abs(placed[upper] - placed[lower]).max()))
        cv2.ellipse(rest, tuple(int(v) for v in middle), (int(reach), int(tall)), 0, 0, 360, (0,), -1)
    return mouth, rest


def _sharpness(grey: Image, mouth: Image, rest: Image) -> tuple[float, float]:
    """Return the root mean square of the Laplacian in the mouth and in the rest of the face."""
    import cv2

    power = np.asarray(cv2.Laplacian(grey, cv2.CV_32F)) ** 2
    return tuple(math.sqrt(float(power[mask > 0].mean())) if mask.any() else math.nan for mask in (mouth, rest))  # type: ignore[return-value]


def _teeth(crop: Image, placed: Floats, rest: Image) -> float:
    """Return the share of an open mouth that is bright and hardly coloured, 0 to 1."""
    import cv2

    inside = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillPoly(inside, [np.rint(placed[_INNER]).astype(np.int32)], (255,))
    pixels = crop[inside > 0].astype(np.float32)
    skin = crop[rest > 0]
    if len(pixels) < 4 or not len(skin):
        return 0.0
    red, green, blue = np.median(skin, 0).astype(np.float32)
    light = pixels.mean(1)
    redness = (pixels[:, 0] - (pixels[:, 1] + pixels[:, 2]) / 2) / np.maximum(light, 1)
    skin_red = float((red - (green + blue) / 2) / max(float(red + green + blue) / 3, 1))
    white = (light > 0.55 * float(red + green + blue) / 3) & (redness < max(0.85 * skin_red, 0.08))
    return float(white.mean())


def _upper(grey: Image, placed: Floats) -> Floats:
    """Return what tells a face from others here: the part above the mouth, turned to the front, small, light and contrast taken out."""
    import cv2

    model = np.array(list(STILL.values()))[:, :2]
    known = np.concatenate([model * 32 + (32, 16), np.ones((len(model), 1))], 1)
    matrix = np.linalg.lstsq(known, placed[_STILL].astype(np.float64), rcond=None)[0].T  # from the front view's pixels to the portrait's
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    front = cv2.warpAffine(cv2.GaussianBlur(grey, (0, 0), 1.0), matrix, (64, 48), flags=how, borderMode=cv2.BORDER_REPLICATE)
    small = np.asarray(cv2.resize(np.asarray(front)[4:31, 13:51], (32, 32), interpolation=cv2.INTER_AREA), np.float32)
    small -= small.mean()
    return np.asarray(small / max(float(np.sqrt((small**2).mean())), 1e-3), np.float32)


def _unexplained(flow: Any, before: Image, now: Image, area: NDArray[np.bool_]) -> float:
    """Return the mean difference of two pictures after the motion between them is taken out, grey levels."""
    import cv2

    if not area.any() or min(now.shape) < 24:
        return math.nan
    motion = flow.calc(now, before, None)
    height, width = now.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = np.asarray(cv2.remap(before, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return float(np.asarray(cv2.absdiff(moved, now))[area].mean())


class _Voices:
    """Hears in a stream where somebody speaks."""

    def __init__(self) -> None:
        self._ear = Ear(sync.RATE, bands=voice.BANDS)
        self._voice = voice.Voice()
        self._found: list[float] = []

    def hear(self, samples: Floats) -> None:
        """Take the next samples."""
        self._found += [sure for tick in self._ear.hear(samples) if (sure := self._voice.hear(tick)) is not None]

    def found(self, ticks: int) -> Floats:
        """Return how surely somebody speaks, (ticks,), the pauses within a sentence included."""
        sure = np.repeat(np.array(self._found[voice.LATES[0] :], np.float32), 2)[:ticks]
        return np.pad(sure, (0, ticks - len(sure)))


# Judging


def _judge(
    path: Path,
    watch: _Watch,
    bands: Floats,
    voices: Floats,
    recording: Recording | None,
    wave: Floats,
    fps: Fraction,
    size: tuple[int, int],
) -> Measurement:
    """Make numbers and notes of what was seen and heard."""
    count = len(watch.gap)
    time = np.asarray((np.arange(count) + 0.5) / float(fps), np.float64)
    gap, width, protrusion = (np.array(values) for values in (watch.gap, watch.width, watch.protrusion))
    eyes: Array = np.array(watch.eyes)
    seen = np.isfinite(eyes)
    frontal = np.isfinite(gap)
    notes: list[str] = []
    _say_of_faces(notes, seen, frontal, eyes, time)
    if np.mean(np.array(watch.company) > 1) > 0.2:
        most = max(watch.company)
        notes.append(tr(
            f"up to {most} faces are seen: one is measured (--which chooses another), and which of them speaks is not judged",
            f"画面中最多有 {most} 张人脸：只评测其中一张（可用 --which 另选），不判断是谁在说话",
        ))  # fmt: skip
    loud = speaking(bands)
    said = loud & (voices > 0.5)
    sound = _sound(recording, loud, said, notes)
    match, together = None, None
    if said.any() and frontal.any():
        mouth = np.stack([gap, width, protrusion], 1)
        mouth[_foreign(loud & ~said, time)] = math.nan
        match = sync.match(sync.levels(bands), time, mouth)
        together = _together(match, notes)
    offset = together.offset_ms if together is not None else None
    thumbs = tuple((float((index + 0.5) / fps), image) for index, image in watch.thumbs)
    curves = Curves(
        time=time,
        gap=gap,
        width=width,
        protrusion=protrusion,
        teeth=np.array(watch.teeth),
        lips=np.array(watch.lips),
        area=np.array(watch.area, np.float32),
        bands=bands,
        wave=wave,
        speaking=said,
        upper=np.array(watch.upper),
        shape=np.array(watch.shape),
        thumbs=thumbs,
        match=match,
    )
    return Measurement(
        path=path,
        seconds=float(count / fps),
        frames=count,
        fps=fps,
        size=size,
        mouth=_mouth(curves),
        sound=sound,
        sync=together,
        silence=_silence(curves, offset or 0.0, notes),
        picture=_picture(watch, curves, float(fps)),
        against=None,
        notes=tuple(notes),
        curves=curves,
    )


def _foreign(other: NDArray[np.bool_], time: Array) -> NDArray[np.bool_]:
    """Return the frames about which, half a second to each side, hardly anything is heard but what is no voice: no mouth follows that."""
    around = np.convolve(other, np.ones(sync.TICKS + 1) / (sync.TICKS + 1), "same")
    return np.asarray(around[np.clip(np.rint(time * sync.TICKS).astype(int), 0, len(around) - 1)] > 0.7)


def _say_of_faces(notes: list[str], seen: NDArray[np.bool_], frontal: NDArray[np.bool_], eyes: Array, time: Array) -> None:
    if not seen.any():
        notes.append(tr("no face is seen: nothing of mouth and face can be judged", "未见人脸：无法评判嘴部和面部"))
        return
    if seen.mean() < 0.9:
        share = f"{100 * (1 - seen.mean()):.0f} %"
        notes.append(tr(f"{share} of the frames show no face and are left out", f"{share} 的帧没有人脸，已略去"))
    turned = float((seen & ~frontal).sum() / seen.sum())
    if turned > 0.05:
        notes.append(tr(
            f"the face is turned away by more than {_AWAY:.0f}° in {100 * turned:.0f} % of its frames; they are left out",
            f"{100 * turned:.0f} % 的人脸帧侧转超过 {_AWAY:.0f}°，已略去",
        ))  # fmt: skip
    if (small := float(np.nanmedian(eyes))) < 30:
        notes.append(tr(
            f"the face is small ({small:.0f} pixels between the eye corners): gaps, teeth and sharpness are coarse",
            f"人脸太小（两外眼角相距 {small:.0f} 像素）：开口、牙齿和清晰度只是粗略值",
        ))  # fmt: skip
    if time[-1] < 2:
        notes.append(tr("shorter than 2 s: too little for most numbers", "不足 2 秒：大多数数值缺乏依据"))


def speaking(bands: Floats) -> NDArray[np.bool_]:
    """Return the ticks in which something is said, or at least loud, (ticks,)."""
    if not len(bands):
        return np.zeros(0, bool)
    loud = 10 * np.log10(np.sum(10 ** (bands.astype(np.float64) / 10), 1))
    top = float(np.percentile(loud, 95))
    floor = float(np.percentile(loud, 5))
    if top < -35:  # 90 dB below full scale: digital silence, dither
        return np.zeros(len(bands), bool)
    return np.asarray(loud > max(top - 32, min(floor + 8, top - 12)))


def like_speech(bands: Floats, speaking: NDArray[np.bool_]) -> bool:
    """Return whether loudness rises and falls as syllables do (Scheirer and Slaney 1997: 4 Hz modulation and quiet frames)."""
    loud = 10 * np.log10(np.sum(10 ** (bands.astype(np.float64) / 10), 1))
    first, last = np.flatnonzero(speaking)[[0, -1]]
    heard = loud[first : last + 1]
    if len(heard) < sync.TICKS:
        return True  # too short to tell
    heard = np.maximum(heard, np.percentile(heard, 95) - 40)
    swing = float(np.percentile(heard, 90) - np.percentile(heard, 15))
    power = np.abs(np.fft.rfft((heard - heard.mean()) * np.hanning(len(heard)))) ** 2
    hz = np.fft.rfftfreq(len(heard), 1 / sync.TICKS)
    syllables = float(power[(hz > 2) & (hz < 10)].sum() / max(float(power[hz > 1].sum()), 1e-9))
    return swing > 7 and syllables > 0.2


LITTLE = 0.25
"""Share of the loud time below which what is heard is not held for speech."""


def _sound(recording: Recording | None, loud: NDArray[np.bool_], said: NDArray[np.bool_], notes: list[str]) -> Sound | None:
    """Return what the sound is like, and say what cannot be judged by it; where there is hardly a voice, nothing is held to be said."""
    if recording is None or not len(loud):
        notes.append(tr("there is no sound: sync and silence cannot be judged", "没有声音：无法评判音画同步与静默"))
        return None
    share = float(said.sum() / loud.sum()) if loud.any() else None
    if share is None:
        notes.append(tr("the sound is silent: sync cannot be judged", "声音全程静默：无法评判音画同步"))
    elif share < LITTLE:
        said[:] = False
        notes.append(tr(
            "no voice is heard (music, noise?): sync cannot be judged; what is told of silence is of the whole video",
            "听不到人声（音乐或噪声？）：无法评判音画同步；静默的数值针对整段视频",
        ))  # fmt: skip
    elif share < 0.75:
        notes.append(tr(
            f"in {100 * (1 - share):.0f} % of the time in which it is loud no voice is heard (music, noise?); that counts as silence",
            f"有声部分的 {100 * (1 - share):.0f} % 听不到人声（音乐或噪声？），按静默计",
        ))  # fmt: skip
    clipped = recording.clipped > CLIPPED
    if clipped:
        notes.append(tr(
            "the sound is clipped (recorded too loud): how the mouth follows it is judged with less certainty",
            "声音削波失真（录音电平过高）：嘴部与声音的相符程度不够可靠",
        ))  # fmt: skip
    if recording.empty:
        notes.append(tr(
            f"{recording.empty} of {recording.channels} channels of the sound is empty; the rest is heard",
            f"声音的 {recording.channels} 个声道中有 {recording.empty} 个为空；只听其余声道",
        ))  # fmt: skip
    if recording.narrow and loud.any():
        notes.append(tr(
            "nothing is heard above 4 kHz (a telephone?): how the mouth spreads to s and sh cannot be judged by this sound",
            "4 kHz 以上没有声音（电话录音？）：无法据此评判 s、sh 等音的口型宽度",
        ))  # fmt: skip
    return Sound(recording.rate, recording.channels, recording.empty, recording.level, share, clipped, recording.narrow)


def _together(match: sync.Match | None, notes: list[str]) -> Sync | None:
    if match is None:
        notes.append(tr(
            "less than a second of face and sound together: sync cannot be judged", "同时有人脸和声音的时间不足一秒：无法评判同步"
        ))  # fmt: skip
        return None
    sure = match.confidence >= sync.SURE
    if not sure:
        notes.append(tr(
            "the mouth does not follow this sound, or it is no speech, or there is too little of it: no offset is told",
            "嘴部与声音不相符、声音不是说话、或时长太短：不给出偏移量",
        ))  # fmt: skip
    elif abs(match.offset) > sync.REACH - 0.03:
        notes.append(tr(
            f"sound and mouth may be farther apart than the {1000 * sync.REACH:.0f} ms that are searched",
            f"音画偏移可能超出搜索范围 {1000 * sync.REACH:.0f} 毫秒",
        ))  # fmt: skip
    return Sync(
        offset_ms=1000 * match.offset if sure else None,
        confidence=match.confidence,
        correlation=match.gap,
        agreement=match.agreement,
        chance=match.chance,
        peak=match.peak,
    )


def _mouth(curves: Curves) -> Mouth | None:
    known = np.isfinite(curves.gap)
    if known.sum() < 5:
        return None
    gap, width, protrusion = curves.gap[known], curves.width[known], curves.protrusion[known]
    open_ = curves.teeth[np.isfinite(curves.teeth)]
    return Mouth(
        gap=float(np.median(gap)),
        gap_p95=float(np.percentile(gap, 95)),
        gap_std=float(gap.std()),
        width=float(np.median(width)),
        width_std=float(width.std()),
        protrusion=float(np.median(protrusion)),
        protrusion_std=float(protrusion.std()),
        teeth=float(open_.mean()) if len(open_) >= 5 else None,
    )


def _silence(curves: Curves, offset_ms: float, notes: list[str]) -> Silence | None:
    """Compare the gap in silent stretches with that in speech, the sound moved to where it fits the mouth."""
    known = np.isfinite(curves.gap)
    if not len(curves.speaking) or not known.any():
        return None
    near = round(_CLOSE * sync.TICKS)
    kernel = np.ones(2 * near + 1)
    around = np.convolve(curves.speaking, kernel, "same") > 0.5
    place = np.rint((curves.time + offset_ms / 1000) * sync.TICKS).astype(int)
    heard = known & (place >= 0) & (place < len(around))
    place = np.clip(place, 0, len(around) - 1)
    quiet = curves.gap[heard & ~around[place]]
    busy = curves.gap[heard & curves.speaking[place]]
    rate = 1 / max(float(curves.time[1] - curves.time[0]), 1e-3) if len(curves.time) > 1 else 25.0
    enough, spoken = len(quiet) >= 0.3 * rate, len(busy) >= 0.5 * rate
    if not enough:
        notes.append(tr("there is hardly a pause: silence cannot be judged", "几乎没有停顿：无法评判静默时的嘴部"))
    return Silence(
        seconds=len(quiet) / rate,
        gap=float(np.median(quiet)) if enough else None,
        gap_p95=float(np.percentile(quiet, 95)) if enough else None,
        speaking_seconds=len(busy) / rate,
        speaking_gap=float(np.median(busy)) if spoken else None,
        speaking_gap_p95=float(np.percentile(busy, 95)) if spoken else None,
        motion=float(quiet.std() / max(float(busy.std()), 1e-6)) if enough and spoken else None,
    )


def _picture(watch: _Watch, curves: Curves, fps: float) -> Picture:
    eyes = np.array(watch.eyes)
    seen = np.isfinite(eyes)
    sharp = np.array(watch.sharp).reshape(-1, 2)
    mouth, rest = (_median(sharp[:, i]) for i in (0, 1))
    upper = curves.upper[np.isfinite(curves.upper[:, 0, 0])]
    shape = curves.shape[np.isfinite(curves.shape[:, 0, 0])]
    third = len(upper) // 3
    return Picture(
        faces=float(seen.mean()) if len(seen) else 0.0,
        eyes=_median(eyes),
        sharpness_mouth=mouth,
        sharpness_face=rest,
        sharpness=mouth / rest if mouth is not None and rest else None,
        flicker_face=_median(np.array(watch.flicker_face)),
        flicker_outside=_median(np.array(watch.flicker_outside)),
        jitter=1000 * found if (found := _median(np.array(watch.jitter))) is not None else None,
        jitter_mouth=_fast_share(curves.gap, fps),
        identity_drift=1 - _likeness(upper[:third].mean(0), upper[-third:].mean(0)) if third else None,
        identity_worst=1 - min(_likeness(one, upper.mean(0)) for one in upper) if len(upper) >= 3 else None,
        shape_drift=1000 * _apart(shape[:third].mean(0), shape[-third:].mean(0)) if third else None,
    )


def _median(values: Array) -> float | None:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) >= 5 else None


def _likeness(a: Floats, b: Floats) -> float:
    """Return the correlation of two pictures."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-9))


def _apart(a: Floats, b: Floats) -> float:
    """Return the root mean square distance of points, their means taken off."""
    return float(np.sqrt((((a - a.mean(0)) - (b - b.mean(0))) ** 2).sum(1).mean()))


def _fast_share(gap: Array, fps: float, limit: float = 8.0) -> float | None:
    """Return the share of a curve's movement above `limit` Hz, from its longest stretch without a hole."""
    known = np.concatenate([[False], np.isfinite(gap), [False]])
    begins, ends = np.flatnonzero(known[1:] & ~known[:-1]), np.flatnonzero(known[:-1] & ~known[1:])
    if not len(begins) or fps < 2.2 * limit:
        return None
    longest = int(np.argmax(ends - begins))
    run = gap[begins[longest] : ends[longest]]
    if len(run) < 2 * fps or run.std() < 1e-6:
        return None
    power = np.abs(np.fft.rfft((run - run.mean()) * np.hanning(len(run)))) ** 2
    return float(power[np.fft.rfftfreq(len(run), 1 / fps) > limit].sum() / power[1:].sum())


# Comparing


def _compare(own: Measurement, other: Measurement, notes: list[str]) -> Against | None:
    """Hold a video against a recording of the same speech."""
    if own.mouth is None or other.mouth is None:
        notes.append(tr("without a face in both videos they cannot be compared", "两个视频须都有人脸才能比较"))
        return None
    a, b = own.curves, other.curves
    lag = _lag(own, other)
    here, there = _paired(a, b, lag)
    known = np.isfinite(here).all(1) & np.isfinite(there).all(1)
    if known.sum() < 25:
        notes.append(tr("the two videos share less than a second with a face", "两个视频共有人脸的时间不足一秒"))
        return None
    here, there = here[known], there[known]
    correlated = sync.correlation(here[:, :3], there[:, :3])
    ratio = here.std(0) / np.maximum(there.std(0), 1e-6)
    if correlated[0] < 0.2:
        notes.append(tr("the mouths hardly move alike: is it the same speech?", "两者嘴部动作几乎不相关：说的是同一段话吗？"))
    points = (here[:, 3:] - here[:, 3:].mean(0) - there[:, 3:] + there[:, 3:].mean(0)).reshape(len(here), -1, 2)
    faces = [np.concatenate([_mean(c.shape), _mean(c.lips)]) for c in (a, b)]
    psnr, ssim = _same_pictures(own, other, lag, notes)
    return Against(
        lag_ms=1000 * lag,
        gap=float(correlated[0]),
        width=float(correlated[1]),
        protrusion=float(correlated[2]),
        motion_ratio=float(ratio[0]),
        width_ratio=float(ratio[1]),
        landmark_distance=float(np.linalg.norm(points, axis=2).mean()),
        shape_distance=_apart(faces[0], faces[1]),
        identity=_likeness(_mean(a.upper), _mean(b.upper)),
        sharpness_mouth=_ratio(own.picture.sharpness_mouth, other.picture.sharpness_mouth),
        sharpness_face=_ratio(own.picture.sharpness_face, other.picture.sharpness_face),
        psnr=psnr,
        ssim=ssim,
    )


def _mean(values: Floats) -> Floats:
    return np.asarray(values[np.isfinite(values.reshape(len(values), -1)).all(1)].mean(0), np.float32)


def _ratio(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _lag(own: Measurement, other: Measurement) -> float:
    """Return the seconds by which the first video runs after the second: roughly by the sounds, then by the mouths."""
    a, b = own.curves, other.curves
    rough = _sound_lag(a.bands, b.bands)
    step = 1 / float(max(own.fps, other.fps))
    lags = rough + np.arange(-round(sync.REACH / step), round(sync.REACH / step) + 1) * step
    scores = []
    for lag in lags:
        here, there = (values[:, :2] for values in _paired(a, b, float(lag)))
        known = np.isfinite(here).all(1) & np.isfinite(there).all(1)
        scores.append(float(sync.correlation(here[known], there[known]).sum()) if known.sum() >= 25 else -2.0)
    best = int(np.argmax(scores))
    # Mouths that hardly move alike do not say when they move: the sounds do.
    return float(lags[best]) if scores[best] > 0.6 else rough


def _sound_lag(a: Floats, b: Floats) -> float:
    """Return the seconds, at most 10, by which the first sound runs after the second; 0 where they are not the same or there is none."""
    if not len(a) or not len(b):
        return 0.0
    x, y = sync.levels(a), sync.levels(b)
    size = 1 << (len(x) + len(y)).bit_length()
    cross = np.fft.irfft((np.fft.rfft(x, size, 0) * np.conj(np.fft.rfft(y, size, 0))).sum(1), size)
    reach = min(10 * sync.TICKS, size // 2 - 1)
    lags = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
    lag = int(lags[int(np.argmax(cross[lags]))])
    first, last = max(0, lag), min(len(x), len(y) + lag)
    here, there = x[first:last].ravel()[:, None], y[first - lag : last - lag].ravel()[:, None]
    same = last - first >= sync.TICKS and sync.correlation(here, there)[0] > _SAME
    return lag / sync.TICKS if same else 0.0


def _paired(a: Curves, b: Curves, lag: float) -> tuple[Array, Array]:
    """Return gap, width, protrusion and lips of both videos at the times of the first, (n, 3 + 2·points) each; NaN where one lacks."""
    rows = [np.concatenate([np.stack([c.gap, c.width, c.protrusion], 1), c.lips.reshape(len(c.gap), -1)], 1) for c in (a, b)]
    at = (a.time - lag - b.time[0]) / max(float(b.time[1] - b.time[0]), 1e-6)
    low = np.floor(at).astype(int)
    valid = (low >= 0) & (low + 1 < len(b.time))
    low = np.clip(low, 0, len(b.time) - 2)
    part = (at - low)[:, None]
    there = rows[1][low] * (1 - part) + rows[1][low + 1] * part
    there[~valid] = np.nan
    return rows[0], there


def _same_pictures(own: Measurement, other: Measurement, lag: float, notes: list[str]) -> tuple[float | None, float | None]:
    """Return PSNR and SSIM outside the lower face, from up to 250 pairs of pictures."""
    if own.size != other.size or own.fps != other.fps:
        notes.append(tr(
            "the pictures differ in size or rate: PSNR and SSIM cannot be told", "两个视频的画面尺寸或帧率不同：无法给出 PSNR 与 SSIM"
        ))  # fmt: skip
        return None, None
    shift = round(lag * float(own.fps))
    first, count = max(0, shift), min(own.frames, other.frames + shift) - max(0, shift)
    every = max(1, count // 250)
    errors, likeness = [], []
    mine, theirs = read_video(own.path).frames, read_video(other.path).frames
    for index in range(first, first + count):
        image = next(f.image for f in mine if f.index == index)
        real = next(f.image for f in theirs if f.index == index - shift)
        if (index - first) % every:
            continue
        outside = np.ones(image.shape[:2], bool)
        for area in (own.curves.area[index], other.curves.area[index - shift]):
            if np.isfinite(area).all():
                _cut_out(outside, area)
        errors.append(float(((image[outside].astype(np.float32) - real[outside]) ** 2).mean()))
        likeness.append(_ssim(_grey(image), _grey(real), outside))
    for frames in (mine, theirs):
        close = getattr(frames, "close", None)
        if close is not None:
            close()
    psnr = 10 * math.log10(255**2 / max(float(np.mean(errors)), 1e-2))
    if psnr < 22:
        notes.append(tr("outside the mouth these are not the same pictures", "嘴部以外的画面并不相同"))
    return psnr, float(np.mean(likeness))


def _cut_out(outside: NDArray[np.bool_], area: Floats) -> None:
    """Take the lower face, with a margin for what moves with it, out of a mask."""
    x0, y0, x1, y1 = (float(v) for v in area)
    grow = 0.15 * (x1 - x0)
    rows = slice(max(0, int(y0 - grow / 2)), max(0, int(y1 + 1.5 * grow)))
    outside[rows, max(0, int(x0 - grow)) : max(0, int(x1 + grow))] = False


def _ssim(a: Image, b: Image, area: NDArray[np.bool_]) -> float:
    """Return the mean structural similarity in an area.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with its Gaussian window.
    """
    import cv2

    x, y = a.astype(np.float32), b.astype(np.float32)

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float32)

    mx, my = mean(x), mean(y)
    xx, yy, xy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    one, two = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = ((2 * mx * my + one) * (2 * xy + two)) / ((mx * mx + my * my + one) * (xx + yy + two))
    return float(found[area].mean())

"""What a clip or a picture of a person is good for, and what is missing in it.

One pass over the clip, with the face known in every frame: how large, sharp and evenly lit it is, how far it turns, what stands before
it, which shapes its mouth takes and how often, how much is said, whether the sound is in time. The numbers are kept with the avatar;
`grades` and `advice` say in words what follows from them, in the language of whoever asks.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huashen import media
from huashen.avatar import Avatar
from huashen.face.align import align
from huashen.face.mediapipe import MediaPipe
from huashen.face.pose import head
from huashen.flow import prefetch
from huashen.footage import Footage
from huashen.measurement import like_speech, speaking
from huashen.ops import sync
from huashen.ops.mesh import LOWER_LIP, OVAL, UPPER_LIP, frame_of
from huashen.types import Floats, Frame, Image
from huashen.words import tr

Use = Literal["mouthbank", "wav2lip", "neural", "puppet"]
Level = Literal["good", "fair", "poor", "no"]

PROFILE = 38.0
"""Degrees of yaw from which a mouth is seen from the side: `mouthbank` takes none from there."""
SHUT, OPEN = 0.02, 0.10
"""Gap of lips that are shut and of a mouth that is open, in distances between the outer eye corners."""
WIDE, ROUND = 0.035, 0.045
"""By how much a mouth is wider, or narrower, than the clip's median to count as spread or rounded."""
_MOVES = 0.010
"""Deviation of the gap within a second from which the mouth is taken to speak."""
_SIDE, _EYES = 160, 0.5
"""Side of the crop that is looked at, pixels, and the share of it between the outer eye corners."""
_LOOKS = 40
"""Pictures of a clip in which other people are looked for."""
_EVERY = 0.2
"""Seconds between the frames whose sharpness, light and cover are judged."""
_CUT = 28.0
"""Mean change of a small picture's grey levels, beyond what its neighbours change, that is a cut."""


@dataclass(frozen=True)
class Appraisal:
    """What was seen and heard. None: not to be judged."""

    seconds: float
    fps: float
    """0 for a picture."""
    faces: float
    """Share of frames with the face."""
    eyes: float
    """Median distance between the outer eye corners, pixels."""
    sharpness: float
    """Root mean square of the Laplacian in the face, grey levels, 80 pixels between the eye corners."""
    blurred: float
    """Share of frames less than half as sharp as the clip's median."""
    brightness: float
    """Median grey level of the face, 0 to 255."""
    light: float
    """Range (5th to 95th percentile) of the face's brightness over its median."""
    yaw: tuple[float, float]
    """5th and 95th percentile of the turn to the sides, degrees."""
    pitch: tuple[float, float]
    profile: float
    """Share of the frames with the face in which it is turned by more than `PROFILE`."""
    covered: float | None
    """Share of the frames in which something of another colour is before the lower face; None with too few frames."""
    cuts: int
    people: float
    """Share of the looks at whole pictures in which another face, at least half as large, is seen."""
    sound: bool
    speech: float
    """Seconds in which something is said and the face is seen."""
    talking: float
    """Seconds in which the mouth moves as in speech."""
    closed: int
    """How many times the lips are shut."""
    open: int
    wide: int
    round: int
    offset: float | None
    """Seconds by which the sound comes after the mouth; None when they do not belong together or there is too little of them."""
    confidence: float
    """Probability that the offset is right within 80 ms."""
    gap: float
    """95th percentile of the inner lip gap, in distances between the outer eye corners."""

    def __post_init__(self) -> None:
        """Take pairs as JSON gives them."""
        for name in ("yaw", "pitch"):
            low, high = getattr(self, name)
            object.__setattr__(self, name, (float(low), float(high)))


@dataclass(frozen=True)
class Grade:
    """How well a material serves a use."""

    use: Use
    level: Level
    because: tuple[str, ...]
    """What keeps it from being better, worst first."""


class _Look:
    """Takes the frames of a clip in order and keeps numbers."""

    def __init__(self, clip: Footage) -> None:
        self._clip = clip
        self._every = max(1, round(_EVERY * float(clip.fps)))
        count = len(clip)
        self._people_every = max(round(float(clip.fps)), -(-count // _LOOKS), 1)
        self._finder = MediaPipe(thorough=False)
        self._small: NDArray[np.float32] | None = None
        self.changes: list[float] = []
        self.sharp: list[float] = []
        self.light: list[float] = []
        self.lower: list[Floats] = []
        self.others: list[bool] = []

    def see(self, index: int, image: Image) -> None:
        """Take frame `index`."""
        import cv2

        small = cv2.resize(image, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32).mean(2)
        self.changes.append(0.0 if self._small is None else float(np.abs(small - self._small).mean()))
        self._small = small
        points = self._clip.points[index]
        if not np.isfinite(points[0, 0]):
            return
        if index % self._every == 0:
            sharp, light, lower = _face(image, points)
            self.sharp.append(sharp)
            self.light.append(light)
            if abs(float(head(points)[1])) < 25:
                self.lower.append(lower)
        if index % self._people_every == self._people_every // 2:
            self.others.append(self._crowded(image, points))

    def _crowded(self, image: Image, points: Floats) -> bool:
        """Return whether another face that could be meant is in the picture."""
        low, high = points[:468, :2].min(0), points[:468, :2].max(0)
        middle, side = (low + high) / 2, float((high - low).max())
        return any(
            max(face.box.width, face.box.height) > 0.5 * side
            and np.hypot((face.box.x0 + face.box.x1) / 2 - middle[0], (face.box.y0 + face.box.y1) / 2 - middle[1]) > 0.6 * side
            for face in self._finder.find(image)
        )


def _face(image: Image, points: Floats) -> tuple[float, float, Floats]:
    """Return how sharp a face is, how bright, and its lower part, small, with the light taken out, (16, 24, 3)."""
    import cv2

    placed = align(points, _SIDE, eyes=_EYES, top=0.35)
    crop = placed.crop(image)
    inside = placed.to_crop(points[:, :2])
    skin = np.zeros((_SIDE, _SIDE), np.uint8)
    oval = inside[OVAL]
    cv2.fillPoly(skin, [np.rint(oval.mean(0) + 0.92 * (oval - oval.mean(0))).astype(np.int32)], (255,))
    mouth = np.zeros_like(skin)
    cv2.fillPoly(mouth, [np.rint(inside[np.concatenate([UPPER_LIP[0], LOWER_LIP[0, -2:0:-1]])]).astype(np.int32)], (255,))
    skin[np.asarray(cv2.dilate(mouth, np.ones((7, 7), np.uint8))) > 0] = 0
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.uint8)
    area = skin > 0
    if not area.any():
        return 0.0, float(grey.mean()), np.zeros((16, 24, 3), np.float32)
    sharp = float(np.sqrt((np.asarray(cv2.Laplacian(grey, cv2.CV_32F))[area] ** 2).mean()))
    nose, chin = inside[[2, 152], 1]
    x0, x1 = np.clip(np.rint(inside[[172, 397], 0]).astype(int), 0, _SIDE - 1)
    y0, y1 = int(np.clip(nose, 0, _SIDE - 2)), int(np.clip(chin, 1, _SIDE))
    part = crop[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    lower = np.asarray(cv2.resize(part, (24, 16), interpolation=cv2.INTER_AREA), np.float32)
    return sharp, float(np.median(grey[area])), lower / max(float(np.median(crop[area])), 8.0)


def appraise(clip: Footage, *, progress: Callable[[int, float, float | None], None] | None = None) -> Appraisal:
    """Look at a whole clip.

    Args:
        clip: prepared.
        progress: called with the frames and seconds that are done, and the seconds of the whole.
    """
    video = media.read_video(clip.path, fps=clip.fps, rate=sync.RATE)
    look, ear = _Look(clip), sync.Bands()
    bands: list[Floats] = []
    whole = float(len(clip) / clip.fps)
    with closing(_drawn(prefetch(video.frames, 4))) as frames:
        for frame in frames:
            if frame.index >= len(clip):
                break
            if len(frame.audio.samples):
                bands.append(ear.hear(frame.audio.samples))
            look.see(frame.index, frame.image)
            if progress is not None:
                progress(frame.index + 1, float((frame.index + 1) / clip.fps), whole)
    heard = np.concatenate([np.zeros((0, sync.BANDS), np.float32), *bands])
    return _judged(clip, look, heard)


def _drawn(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
    yield from frames


def _judged(clip: Footage, look: _Look, bands: Floats) -> Appraisal:
    count, fps = len(clip), float(clip.fps)
    seen = clip.seen()
    curves = np.full((count, 3), np.nan)
    turns = np.full((count, 2), np.nan)
    eyes = np.full(count, np.nan)
    for k in np.flatnonzero(seen):
        points = clip.points[k]
        frame = frame_of(points)
        curves[k] = sync.mouth(frame.local(points))
        turns[k] = head(points)[:2]
        eyes[k] = frame.unit
    side = seen & (np.abs(turns[:, 1]) > PROFILE)
    curves[side] = np.nan
    gap, width = curves[:, 0], curves[:, 1]
    known = np.isfinite(gap)
    usual = float(np.median(width[known])) if known.any() else 0.0
    said = speaking(bands)
    heard = np.zeros(count, bool)
    if said.any() and like_speech(bands, said):
        at = np.rint((np.arange(count) + 0.5) / fps * sync.TICKS).astype(int)
        heard[at < len(said)] = said[at[at < len(said)]]
    sharp = np.array(look.sharp)
    light = np.array(look.light)
    low, high = np.percentile(light, (5, 95)) if len(light) else (0.0, 0.0)
    middle = float(np.median(light)) if len(light) else 0.0
    return Appraisal(
        seconds=_rounded(count / fps),
        fps=_rounded(fps),
        faces=_rounded(float(seen.mean())),
        eyes=_rounded(float(np.nanmedian(eyes))),
        sharpness=_rounded(float(np.median(sharp)) if len(sharp) else 0.0),
        blurred=_rounded(float((sharp < 0.5 * np.median(sharp)).mean()) if len(sharp) else 0.0),
        brightness=_rounded(middle),
        light=_rounded(float(high - low) / max(middle, 1.0)),
        yaw=_range(turns[:, 1]),
        pitch=_range(turns[:, 0]),
        profile=_rounded(float(side.sum() / max(1, seen.sum()))),
        covered=_covered(look.lower),
        cuts=_cuts(np.array(look.changes)),
        people=_rounded(float(np.mean(look.others)) if look.others else 0.0),
        sound=bool(len(bands)),
        speech=_rounded(float((heard & seen).sum() / fps)),
        talking=_rounded(float(_moving(gap, fps).sum() / fps)),
        closed=_times(gap < SHUT),
        open=_times(gap > OPEN),
        wide=_times(width > usual + WIDE),
        round=_times(width < usual - ROUND),
        offset=clip.offset if clip.sure >= sync.SURE else None,
        confidence=_rounded(clip.sure),
        gap=_rounded(float(np.percentile(gap[known], 95)) if known.any() else 0.0),
    )


def appraise_picture(avatar: Avatar) -> Appraisal:
    """Look at a picture."""
    points = avatar.face.landmarks.points
    frame = frame_of(points)
    gap = sync.mouth(frame.local(points))[0]
    sharp, light, _ = _face(avatar.image, points)
    pitch, yaw = (_rounded(float(v)) for v in head(points)[:2])
    size = max(avatar.face.box.width, avatar.face.box.height)
    faces = [face for face in MediaPipe(thorough=False).find(avatar.image) if max(face.box.width, face.box.height) > 0.5 * size]
    return Appraisal(
        seconds=0.0, fps=0.0, faces=1.0, eyes=_rounded(frame.unit), sharpness=_rounded(sharp), blurred=0.0, brightness=_rounded(light),
        light=0.0, yaw=(yaw, yaw), pitch=(pitch, pitch), profile=float(abs(yaw) > PROFILE), covered=None, cuts=0,
        people=float(len(faces) > 1), sound=False, speech=0.0, talking=0.0, closed=int(gap < SHUT), open=int(gap > OPEN), wide=0, round=0,
        offset=None, confidence=0.0, gap=_rounded(gap),
    )  # fmt: skip


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, (5, 95)) if len(known) else (0.0, 0.0)
    return _rounded(float(low)), _rounded(float(high))


def _times(held: NDArray[np.bool_]) -> int:
    """Return how many stretches of frames there are."""
    return int((np.diff(np.concatenate([[0], held.astype(np.int8)])) == 1).sum())


def _moving(gap: NDArray[np.float64], fps: float) -> NDArray[np.bool_]:
    """Return the frames within half a second of which the gap changes as in speech."""
    reach = max(1, round(0.5 * fps))
    known = np.isfinite(gap)
    if known.sum() < 2 * reach:
        return np.zeros(len(gap), bool)
    kernel = np.ones(2 * reach + 1)
    filled = np.where(known, gap, 0.0)
    number = np.maximum(np.convolve(known, kernel, "same"), 1)
    mean = np.convolve(filled, kernel, "same") / number
    spread = np.convolve(filled**2, kernel, "same") / number - mean**2
    return np.asarray(known & (spread > _MOVES**2))


def _cuts(changes: NDArray[np.float64]) -> int:
    """Return how many frames differ from the one before by far more than their neighbours do."""
    if len(changes) < 3:
        return 0
    beside = np.maximum(np.concatenate([[0], changes[:-1]]), np.concatenate([changes[1:], [0]]))
    return int(((changes > _CUT / 2) & (changes > 4 * beside)).sum() + ((changes > _CUT) & (changes <= 4 * beside)).sum())


def _covered(lower: list[Floats]) -> float | None:
    """Return the share of lower faces in which a patch has other colours than in most; None with fewer than a dozen.

    A microphone or a cup drawn before the mouths of five clips strikes out 8 to 40 % of the patches, what the faces do by themselves 7 %
    at most. A hand has the colours of the face and is not told.
    """
    if len(lower) < 12:
        return None
    parts = np.stack(lower)  # (n, 16, 24, 3)
    middle = np.median(parts, 0)
    spread = 1.4826 * np.median(np.abs(parts - middle), 0) + 0.06
    strange = (np.abs(parts - middle) / spread).max(3) > 4.0  # (n, 16, 24)
    return _rounded(float((strange.mean((1, 2)) > 0.075).mean()))


# Saying what follows


_LEVELS: tuple[Level, ...] = ("no", "poor", "fair", "good")


def grades(found: Appraisal) -> tuple[Grade, ...]:
    """Return how well the material serves each use it could serve, with what keeps it from being better."""
    made = []
    for use in ("mouthbank", "wav2lip", "neural") if found.fps else ("puppet", "wav2lip"):
        limits = sorted(_limits(found, use), key=lambda limit: limit[0])
        level = _LEVELS[limits[0][0]] if limits else "good"
        made.append(Grade(use, level, tuple(words for _, words in limits)))
    return tuple(made)


def advice(found: Appraisal) -> tuple[str, ...]:
    """Return in sentences what to know of the material whatever it is used for."""
    said = []
    if found.offset is not None and abs(found.offset) >= 0.03:
        ms = f"{1000 * abs(found.offset):.0f}"
        if found.offset > 0:
            said.append(tr(f"the clip's own sound comes {ms} ms after its mouth; where that sound is used, it is put right",
                           f"视频自身的声音比嘴部晚 {ms} 毫秒；使用该声音时会自动校正"))  # fmt: skip
        else:
            said.append(tr(f"the clip's own sound comes {ms} ms before its mouth; where that sound is used, it is put right",
                           f"视频自身的声音比嘴部早 {ms} 毫秒；使用该声音时会自动校正"))  # fmt: skip
    elif found.sound and found.offset is None:
        said.append(tr("whether sound and mouth are in time cannot be told: too little speech, music, or somebody else's voice",
                       "无法判断声音与嘴部是否同步：说话太少、有音乐，或是别人的声音"))  # fmt: skip
    if found.cuts:
        said.append(tr(f"cuts: {found.cuts}; one take without cuts looks calmer", f"镜头切换：{found.cuts} 处；一镜到底效果更自然"))
    if found.people > 0.1:
        said.append(tr(f"another face of some size is seen in {_share(found.people)} of the looks; make sure with --which who is meant",
                       f"{_share(found.people)} 的抽查画面中还有另一张较大的脸；请用 --which 确认所指的人"))  # fmt: skip
    return tuple(said)


def _limits(found: Appraisal, use: Use) -> Iterator[tuple[int, str]]:
    """Yield what keeps the material from being good for a use: the level it leaves, in words."""
    clip = found.fps > 0
    eyes = {"mouthbank": (80, 45, 25), "wav2lip": (60, 35, 20), "neural": (100, 60, 35), "puppet": (90, 45, 20)}[use]
    if (level := _reached(found.eyes, eyes)) < 3:
        yield level, tr(
            f"the face is small, {found.eyes:.0f} pixels between the eye corners: go nearer, or record in a higher resolution "
            f"({eyes[0]} or more)",
            f"人脸偏小，两外眼角相距 {found.eyes:.0f} 像素：请靠近镜头，或提高录制分辨率（{eyes[0]} 像素以上）",
        )  # fmt: skip
    if (level := _reached(found.sharpness, (8, 4.5, 2))) < 3:
        yield level, tr("the face is soft: focus on it, more light, less compression", "人脸不够清晰：请对焦、加光、降低压缩率")
    if not 55 <= found.brightness <= 225:
        dark = found.brightness < 55
        yield 2, (tr("the face is dark: more light from the front", "人脸偏暗：请增加正面光") if dark else
                  tr("the face is over-exposed: less light, or lower the exposure", "人脸过曝：请减弱光线或降低曝光"))  # fmt: skip
    if not clip:
        yield from _picture_limits(found, use)
        return
    if (level := _reached(found.faces, (0.95, 0.7, 0.3))) < 3:
        yield level, tr(f"{_share(1 - found.faces)} of the frames show no face: cut those parts out",
                        f"{_share(1 - found.faces)} 的帧没有人脸：请剪去这些部分")  # fmt: skip
    if (level := _reached(1 - found.profile, (0.95, 0.75, 0.4))) < 3:
        yield level, tr(f"the face is turned away by more than {PROFILE:.0f}° in {_share(found.profile)} of its frames: look to the camera",
                        f"{_share(found.profile)} 的帧侧转超过 {PROFILE:.0f}°：请面向镜头")  # fmt: skip
    if found.covered is not None and (level := _reached(1 - found.covered, (0.97, 0.85, 0.6))) < 3:
        yield level, tr(f"something is before the mouth in {_share(found.covered)} of the frames: keep microphone, cup and hands away",
                        f"{_share(found.covered)} 的帧中嘴部被遮挡：请移开话筒、杯子和手")  # fmt: skip
    if (level := _reached(1 - found.blurred, (0.9, 0.75, 0.5))) < 3:
        yield level, tr(f"{_share(found.blurred)} of the frames are blurred by motion: more light, a calmer head",
                        f"{_share(found.blurred)} 的帧有运动模糊：请加光，头部动作放缓")  # fmt: skip
    if (level := _reached(-found.light, (-0.2, -0.4, -0.8))) < 3:
        yield level, tr(f"the light on the face changes by {_share(found.light)}: steady light, fixed exposure",
                        f"人脸亮度变化达 {_share(found.light)}：请使用稳定光源并锁定曝光")  # fmt: skip
    if (level := _reached(found.fps, (20, 12, 6))) < 3:
        yield level, tr(f"{found.fps:.3g} frames a second: record at 25 or more", f"每秒仅 {found.fps:.3g} 帧：请以 25 帧或更高录制")
    if use == "mouthbank":
        yield from _mouth_limits(found)
    elif use == "neural":
        yield from _training_limits(found)


def _picture_limits(found: Appraisal, use: Use) -> Iterator[tuple[int, str]]:
    away = abs(found.yaw[0])
    if (level := _reached(-away, (-20, -35, -55))) < 3:
        yield level, tr(f"the face is turned aside by {away:.0f}°: take a picture from the front", f"人脸侧转 {away:.0f}°：请用正面照")
    if use == "puppet" and found.gap > 0.06:
        yield 2, tr("the mouth is open: with shut lips they part and close more truly", "嘴张着：闭唇的照片开合更自然")


def _mouth_limits(found: Appraisal) -> Iterator[tuple[int, str]]:
    if (level := _reached(found.talking, (18, 8, 2))) < 3:
        seconds = f"{found.talking:.0f}"
        yield level, (tr(f"the mouth moves as in speech for {seconds} s only: record one more minute of speech",
                         f"嘴部有说话动作的时间仅 {seconds} 秒：请再录一分钟说话") if level else
                      tr("nobody speaks in it, so there are no teeth to take: record a minute of speech",
                         "其中没有人说话，取不到牙齿等口型：请录一分钟说话"))  # fmt: skip
    for count, needs, words in (
        (found.open, (8, 4, 1), tr("the mouth is wide open {} times only: add words with a as in 'father', laugh, count aloud",
                                   "嘴明显张开仅 {} 次：请多说含 a 的字（啊、大、爸），笑一笑，大声数数")),
        (found.closed, (6, 3, 0), tr("the lips are shut {} times only: add pauses, and words with m, b and p",
                                     "双唇闭合仅 {} 次：请留些停顿，多说含 b、p、m 的字")),
        (found.wide, (4, 2, 0), tr("the mouth is spread {} times only: add words with ee as in 'cheese', smile",
                                   "嘴角拉开仅 {} 次：请多说含 i 的字（一、七、你），笑一笑")),
        (found.round, (4, 2, 0), tr("the lips are rounded {} times only: add words with oo as in 'moon', and w",
                                    "圆唇仅 {} 次：请多说含 u、ü、o 的字（五、鱼、我）")),
    ):  # fmt: skip
        if (level := _reached(count, needs)) < 3:
            yield level, words.format(count)


def _training_limits(found: Appraisal) -> Iterator[tuple[int, str]]:
    if not found.sound:
        yield 0, tr("it has no sound: a network learns from sound and mouth together", "没有声音：网络需要声音与嘴部一起学习")
    elif (level := _reached(found.speech, (180, 60, 20))) < 3:
        minutes = f"{found.speech / 60:.1f}"
        more = max(1, round((180 - found.speech) / 60))
        yield level, tr(f"{minutes} minutes of speech: record {more} more; three in all are good",
                        f"说话共 {minutes} 分钟：请再录 {more} 分钟，共三分钟为佳")  # fmt: skip
    if found.sound and found.offset is None:
        yield 1, tr("the mouth does not surely follow the sound: it must be the person's own voice, without music",
                    "嘴部与声音是否对应不确定：须是本人的声音，且没有音乐")  # fmt: skip
    if found.cuts > 1 + found.seconds / 60:
        yield 2, tr(f"{found.cuts} cuts: give it in one take", f"有 {found.cuts} 处切换：请一镜到底")
    if found.people > 0.1:
        yield 2, tr("other people are in the picture: record alone", "画面中还有别人：请单独录制")
    if found.yaw[1] - found.yaw[0] < 8:
        turn = f"{found.yaw[1] - found.yaw[0]:.0f}°"
        yield 2, tr(f"the head hardly turns ({turn}): turn it gently now and then, so that other views are learnt",
                    f"头部几乎不动（{turn}）：请偶尔缓缓转头，以便学到其他角度")  # fmt: skip


def _reached(value: float, needs: tuple[float, float, float]) -> int:
    """Return 3 for good, 2 for fair, 1 for poor and 0 for none by what is needed for each."""
    return sum(value >= need for need in needs)


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"

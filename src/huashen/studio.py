"""The offline path: a face and words, or recorded speech, become a video file.

Text goes through sentences → voice → driver → talking head → subtitles → file, each stage pulling from the one before, one frame
at a time. Nothing holds the whole sound or video.
"""

import filecmp
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np

import huashen
from huashen import avatar as avatars
from huashen import footage, media, parts, persons, registry, weights
from huashen import options as engine_options
from huashen import subtitles as subtitling
from huashen.audio2face.align import align, check
from huashen.avatar import Avatar
from huashen.errors import InputError, NoSpeechError, OutputError, TooLargeError, UnreadableError
from huashen.files import file_digest, writable
from huashen.footage import Footage
from huashen.subtitles import Cue
from huashen.types import Audio, Frame, Speech, Style, Video
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.stages import Stage
    from huashen.talking_head import TalkingHead
    from huashen.tts import Voice

logger = logging.getLogger(__name__)

CLIP_BY = "mouthbank"
"""The engine that makes a clip speak."""

End = Literal["trim", "live"]
Subtitles = Literal["none", "file", "burn"]
_SUBTITLE_ENDINGS = (".srt", ".vtt")

MAX_CHARACTERS = 1_000_000
"""The longest text: about three days of speech."""
LONG_SIDE = 1920
"""Pictures larger than this become videos of this size, unless another is asked for."""
SIDES = (64, 4096)
"""Smallest and largest side of a video."""
RATES = (1, 120)
"""Fewest and most frames a second."""
LONG_SOUND = 2 * 3600.0
"""Seconds of sound from which it is said beforehand that this will take long."""
LEAST_BITS = 0.015
"""Bits for a pixel and a frame that a video has at least: a small estimate, so that nobody is refused for want of room he does not need."""
QUIET = 10 ** (-50 / 20)
"""Sound that never gets louder than this (-50 dB) has no speech in it."""


@dataclass(frozen=True)
class Progress:
    """How far a video is, or the clip it is made of."""

    frames: int
    seconds: float
    """Of the video, done."""
    total: float | None
    """Seconds of the whole video: known for sound, estimated for text, None where it cannot be."""
    elapsed: float
    """Seconds of work since the first frame."""
    what: Literal["render", "track"] = "render"
    """Rendering the video, or following the face through the clip before that."""
    begun: float = 0.0
    """Seconds that were there when this work began."""

    @property
    def left(self) -> float | None:
        """Seconds of work to go, None while that cannot be said."""
        if self.total is None or self.elapsed < 0.5 or self.seconds <= self.begun:
            return None
        return max(0.0, self.total - self.seconds) * self.elapsed / (self.seconds - self.begun)


@dataclass(frozen=True)
class Result:
    """What was made."""

    path: Path
    seconds: float
    frames: int
    size: tuple[int, int]
    fps: Fraction
    engines: dict[str, str]
    """Engine by capability."""
    subtitles: tuple[Path, ...] = ()
    """Subtitle files beside the video."""
    warnings: tuple[str, ...] = ()
    """What the engines logged as a warning on the way."""


def say(
    text: str | Iterable[str],
    face: str | os.PathLike[str] | Avatar | Footage,
    out: str | os.PathLike[str],
    *,
    voice: str | None = None,
    tts: str | None = None,
    lang: str | None = None,
    speed: float | str = 1.0,
    subtitles: str = "none",
    size: str | int | None = None,
    fps: Fraction | float | str | None = None,
    still: bool = False,
    seed: int = 0,
    which: footage.Which | None = None,
    box: tuple[float, float, float, float] | None = None,
    end: str = "trim",
    style: str | os.PathLike[str] | Style | None = None,
    driver: str | None = None,
    engine: str | None = None,
    options: Mapping[str, object] | None = None,
    stages: Iterable["str | Stage"] = (),
    overwrite: bool = True,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Make a picture or a clip say a text, and write the video.

    Args:
        text: what to say, or its lines as they come; a sentence may run over several lines, an empty line ends it.
        face: a picture with a face, "example" for the portrait that comes along, a clip of a person, the name of a prepared avatar
            (a text without dot and slash; a Path is always a file), or an Avatar or Footage. A clip runs there and back for as long
            as the speech lasts.
        out: the file to make; its ending says the format: .mp4, .mov, .webm, .gif.
        voice, tts, lang: the voice, the engine that speaks, a language tag; guessed from the text without.
        speed: 1 is the voice's own, 1.5 is faster.
        subtitles: "file" writes .srt and .vtt beside the video, "burn" writes into the picture.
        size: see `as_size`.
        fps: see `as_fps`; 25 without it, or a clip's own.
        still: keep head and background still.
        seed: another number, other blinks and nods.
        which: the face that speaks: 0 is the largest; or a point (x, y) in it (in a clip: where it is seen first); or a Path, a picture
            of the one meant.
        box: x0, y0, x1, y1 in the picture's pixels: look for the face there.
        end: what becomes of a clip that is longer than the speech: "trim" ends with the speech, "live" goes on to the clip's end,
            the mouth shut.
        style: how the mouth moves: a clip of somebody who speaks, the name of an avatar made of one, or a Style. Without it a prepared
            picture moves by its own, where one was given, and a clip by what it shows.
        driver, engine: the engines that move the face and render the person.
        options: of the engine that renders, by the names its constructor gives them; texts are read as the kind it says.
        stages: what the frames go through afterwards, in this order: names, with options as in "unsharp:amount=0.5", or stages.
        overwrite: whether an existing file at `out` is replaced, and what there is of an unfinished one thrown away.
        resume: go on with what there is of the same video (see `huashen.parts`); without any, from the beginning.
        progress: called after each frame of the video, and before that of a clip that is prepared.

    Returns:
        What was made.

    Raises:
        InputError: something of the above cannot be used; each kind has its subclass.
        MissingError: an engine's parts or weights are not here.
        OutputError: the video cannot be written.

    Whatever ends the work, no half a file is left behind; what is done of it in parts of ten seconds is, and a note on the error says so.
    """
    captions, ending = as_subtitles(subtitles), as_end(end)
    face = as_known(face, which=which, box=box)
    goal = as_goal(out, overwrite=overwrite, inputs=(face,), beside=_SUBTITLE_ENDINGS if captions == "file" else ())
    pace = None if fps is None else as_fps(fps)
    care = as_stages(stages)
    speaker = registry.load("tts", tts, voice=voice, lang=lang, speed=_number(speed))
    own = _clip_fps(face)
    engine = engine or (CLIP_BY if own else None)
    if not speaker.phones:
        driver = driver or heard_by()
    manner = as_style(style, face, progress=progress)
    head = _head(engine, driver, fps=pace or as_fps(own or 25), still=still, seed=seed, style=manner, options=options)
    told = _Told(characters=sum(len(line.strip()) + 1 for line in text.splitlines()) if isinstance(text, str) else None)
    engines = {"tts": _name("tts", tts), "audio2face": _name("audio2face", driver), "talking_head": _name("talking_head", engine)}
    engines |= _named(care)
    key = _key(
        text, face, voice, tts, lang, speed, captions, size, fps, still, seed, which, box, ending, manner, driver, engine, options, stages
    )
    with (
        _warnings(told) as said,
        closing(_begun(_spoken(speaker, _paragraphs(_checked(text)), told))) as speech,
        _going_on(goal, key, resume=resume, overwrite=overwrite) as there,
    ):
        _planned(face, size)
        avatar = as_avatar(face, size=size, which=which, box=box, progress=progress)
        whole = _ended(speech, avatar, told, ending)
        shown = _through(avatar, told, ending)
        result = _write(head, shown, whole, goal, told, there, care=care, captions=captions, engines=engines, progress=progress)
    return replace(result, warnings=tuple(said))


def sync(
    sound: str | os.PathLike[str],
    face: str | os.PathLike[str] | Avatar | Footage,
    out: str | os.PathLike[str],
    *,
    text: str | None = None,
    lang: str | None = None,
    subtitles: str = "none",
    size: str | int | None = None,
    fps: Fraction | float | str | None = None,
    still: bool = False,
    seed: int = 0,
    which: footage.Which | None = None,
    box: tuple[float, float, float, float] | None = None,
    end: str = "trim",
    style: str | os.PathLike[str] | Style | None = None,
    driver: str | None = None,
    engine: str | None = None,
    options: Mapping[str, object] | None = None,
    stages: Iterable["str | Stage"] = (),
    overwrite: bool = True,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Make a picture or a clip say recorded speech, and write the video.

    Args:
        sound: a sound file, or a video whose sound is taken; that of the very clip that is the face is moved to fit its picture.
        face, out, size, fps, still, seed, which, box, end, style, engine, options, stages, overwrite, resume, progress:
            as in `say`.
        text: what is said, where that is known: it is found in the sound, and lips close exactly where they must. Where it does not
            match, the sound alone counts.
        lang: the text's language tag; guessed without.
        subtitles: as in `say`; they need the text.
        driver: the engine that moves the face; without it the one that hears best, corrected by the text where there is one.

    Returns:
        What was made.

    Raises:
        NoSpeechError: the sound is empty or silent, or the text has nothing to say.
        InputError: subtitles or a language without a text.
        Others: as in `say`.
    """
    captions, ending = as_subtitles(subtitles), as_end(end)
    if text is None and (captions != "none" or lang is not None):
        raise InputError(tr(
            f"{'subtitles' if captions != 'none' else 'a language'} of recorded speech need its text; add --text or --text-file",
            f"录音的{'字幕' if captions != 'none' else '语言设置'}需要其文本；请加上 --text 或 --text-file",
        ))  # fmt: skip
    face = as_known(face, which=which, box=box)
    goal = as_goal(out, overwrite=overwrite, inputs=(face, sound), beside=_SUBTITLE_ENDINGS if captions == "file" else ())
    reader = _reader(lang) if text is not None else None
    spoken = None if reader is None or text is None else _begun(_spoken(reader, _paragraphs(_checked(text)), _Told()))
    own = _clip_fps(face)
    engine = engine or (CLIP_BY if own else None)
    care = as_stages(stages)
    pace = as_fps((own or 25) if fps is None else fps)
    ears = heard_by()
    chosen = driver or (None if text is not None else ears)
    manner = as_style(style, face, progress=progress)
    head = _head(engine, chosen, fps=pace, still=still, seed=seed, style=manner, options=options, ears=None if text is None else ears)
    mover = _name("audio2face", driver or ears)
    engines = {"audio2face": mover if chosen else f"{mover}+text", "talking_head": _name("talking_head", engine), **_named(care)}
    told = _Told()
    with _warnings(told) as said:
        told.whole = _heard(Path(sound))
        _room(goal, _planned(face, size), pace, told.whole)
        key = _key(
            Path(sound), text, lang, captions, face, size, fps, still, seed, which, box, ending, manner, driver or ears, engine, options,
            stages,
        )
        with _going_on(goal, key, resume=resume, overwrite=overwrite) as there:
            avatar = as_avatar(face, size=size, which=which, box=box, progress=progress)
            with closing(_recorded(Path(sound), avatar, told)) as speech:
                known: Iterator[Speech] = speech if spoken is None else align((piece.audio for piece in speech), spoken)
                whole = _ended(known, avatar, told, ending)
                shown = _through(avatar, told, ending)
                result = _write(head, shown, whole, goal, told, there, care=care, captions=captions, engines=engines, progress=progress)
    return replace(result, warnings=tuple(said))


def heard_by() -> str:
    """Return the driver of recorded speech, of which nothing but the sound is known: the best one whose weights are here."""
    return "hear-whisper" if weights.present("whisper_base") else "hear-offline"


def as_fps(value: Fraction | float | str) -> Fraction:
    """Return a frame rate: 25, 30, "29.97" (meant as 30000/1001, as 23.976 and 59.94 are), "30000/1001".

    Raises:
        InputError: it is no number, or outside 1 to 120.
    """
    try:
        rate = Fraction(value.strip() if isinstance(value, str) else value).limit_denominator(1001)
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        rate = Fraction(0)
    for whole in (24, 30, 48, 60, 120):
        film = Fraction(whole * 1000, 1001)
        if abs(rate - film) < Fraction(6, 1000):
            rate = film
    low, high = RATES
    if not low <= rate <= high:
        raise InputError(tr(
            f"fps cannot be '{value}'; give {low} to {high}, such as 25, 29.97 or 30000/1001",
            f"帧率不能是“{value}”；请给出 {low} 到 {high}，例如 25、29.97 或 30000/1001",
        ))  # fmt: skip
    return rate


def as_size(value: str | int | None, own: tuple[int, int], *, within: tuple[int, int] = SIDES) -> tuple[int, int]:
    """Return the size of a video, both sides even.

    Args:
        value: 512 (the long side), "720p" (the short side), "512x512" (exactly that); None: the picture's own, up to 1920.
        own: the picture's (width, height) in pixels.
        within: the shortest and the longest side there may be.

    Raises:
        InputError: it is none of these, or a side is shorter or longer.
    """
    width, height = own
    text = str(value).strip().lower() if value is not None else str(max(SIDES[0], min(LONG_SIDE, max(own))))
    if match := re.fullmatch(r"(\d{1,5})[x×*](\d{1,5})", text):
        width, height = int(match[1]), int(match[2])
    elif match := re.fullmatch(r"(\d{1,5})(p?)", text):
        share = int(match[1]) / (min(own) if match[2] else max(own))
        width, height = round(width * share), round(height * share)
    else:
        raise InputError(
            tr(f"size cannot be '{value}'; give 512, 512x512, 720p or 1080p", f"尺寸不能是“{value}”；请给出 512、512x512、720p 或 1080p")
        )
    low, high = within
    if not (low <= min(width, height) and max(width, height) <= high):
        raise InputError(tr(
            f"a video of {width}×{height} cannot be made; each side must have {low} to {high} pixels, choose another size",
            f"无法生成 {width}×{height} 的视频；每边须为 {low} 到 {high} 像素，请换一个尺寸",
        ))  # fmt: skip
    return width - width % 2, height - height % 2


def as_subtitles(value: str) -> Subtitles:
    """Return a way of showing subtitles.

    Raises:
        InputError: there is none of that name.
    """
    if value not in get_args(Subtitles):
        have = ", ".join(get_args(Subtitles))
        raise InputError(tr(f"subtitles cannot be '{value}'; there are: {have}", f"字幕方式不能是“{value}”；可用的有：{have}"))
    return cast(Subtitles, value)


def as_end(value: str) -> End:
    """Return what becomes of a clip that is longer than the speech.

    Raises:
        InputError: there is none of that name.
    """
    if value not in get_args(End):
        have = ", ".join(get_args(End))
        raise InputError(tr(f"end cannot be '{value}'; there are: {have}", f"结尾方式不能是“{value}”；可用的有：{have}"))
    return cast(End, value)


def as_stages(stages: Iterable["str | Stage"]) -> list["Stage"]:
    """Return what frames go through: stages as they are, and those that texts such as "unsharp:amount=0.5" name.

    Raises:
        UnknownEngineError: there is none of that name.
        InputError: one has no such option.
    """
    given = [stages] if isinstance(stages, str) else stages
    return [engine_options.build("stages", stage) if isinstance(stage, str) else stage for stage in given]


def as_goal(out: str | os.PathLike[str], *, overwrite: bool = True, inputs: Iterable[object] = (), beside: Iterable[str] = ()) -> Path:
    """Return where a video goes, having checked that it can go there before any work is done.

    Args:
        out: the file.
        overwrite: whether it, and those beside it, may be there already.
        inputs: what is read; none of it is ever replaced.
        beside: endings of files that are written under the same name.

    Raises:
        OutputError: the ending is unknown, the folder missing or closed, the file is one of the inputs, or exists and may not be replaced.
    """
    goal = Path(out)
    media.check_ending(goal)
    writable(goal)
    if goal.exists():
        for given in inputs:
            if isinstance(given, str | os.PathLike) and Path(given).exists() and goal.samefile(given):
                raise OutputError(tr(f"{goal} is the input itself; name another output", f"{goal} 就是输入文件；请换一个输出文件名"))
    for file in (goal, *map(goal.with_suffix, beside)):
        if file.exists() and not overwrite:
            raise OutputError(
                tr(f"{file} exists; add -y (overwrite=True) to replace it", f"{file} 已存在；加上 -y（overwrite=True）可替换它")
            )
    return goal


def as_avatar(
    face: str | os.PathLike[str] | Avatar | Footage,
    *,
    size: str | int | None = None,
    which: footage.Which | None = None,
    box: tuple[float, float, float, float] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Avatar | Footage:
    """Read a picture or a clip and prepare who speaks, at the size of the video.

    A size of another shape cuts the picture to it, around the face.

    Args:
        face: a picture, "example", a clip, an avatar's name, an Avatar or a Footage.
        size: see `as_size`.
        which, box: see `say`; in the picture's own pixels.
        progress: called after each frame of a clip that is prepared.

    Raises:
        NoFaceError: no face is found; the text names the file.
    """
    face = as_known(face, which=which, box=box)
    if isinstance(face, Avatar):
        return face.fitted(as_size(size, (face.image.shape[1], face.image.shape[0])))
    if isinstance(face, Footage):
        return face.fitted(as_size(size, face.size))
    if _clip_fps(face):
        clip = footage.prepare(Path(face), which=which, box=box, progress=_tracking(progress))
        return clip.fitted(as_size(size, clip.size))
    path = weights.path("astronaut") if face == "example" else Path(face)
    image = media.read_image(path)
    goal = as_size(size, (image.shape[1], image.shape[0]))
    return avatars.from_image(image, which=which, box=box, name=path.stem, source=path).fitted(goal)


def _tracking(progress: Callable[[Progress], None] | None) -> Callable[[int, float, float | None], None] | None:
    """Return what tells of a clip that is prepared."""
    if progress is None:
        return None
    begin, begun = 0.0, 0.0

    def show(frames: int, seconds: float, whole: float | None) -> None:
        nonlocal begin, begun
        if not begin:
            begin, begun = time.monotonic(), seconds
        progress(Progress(frames, seconds, None if whole is None else max(whole, seconds), time.monotonic() - begin, "track", begun))

    return show


def as_known(
    face: str | os.PathLike[str] | Avatar | Footage,
    *,
    which: footage.Which | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> str | os.PathLike[str] | Avatar | Footage:
    """Return the prepared avatar that a name means; anything else as it is.

    A text without dot and slash that is an avatar's name is the avatar, whatever files there are.

    Raises:
        InputError: it is neither avatar nor file; or a face is chosen in an avatar, which has one.
    """
    if not isinstance(face, str) or face == "example" or not persons.is_name(face):
        return face
    if not persons.exists(face):
        if Path(face).exists():
            return face
        have = ", ".join(persons.names())
        raise UnreadableError(tr(
            f"{face} is neither a file nor a prepared avatar" + (f"; there are: {have}" if have else "; huashen avatar new makes one"),
            f"{face} 既不是文件，也不是已有的数字人" + (f"；已有：{have}" if have else "；可用 huashen avatar new 制作"),
        ))  # fmt: skip
    if which is not None or box is not None:
        raise InputError(tr(f"the face was chosen when the avatar '{face}' was made; leave out --which and --box",
                            f"数字人“{face}”制作时已选定人脸；请去掉 --which 和 --box"))  # fmt: skip
    return persons.find(face).opened()


def as_style(
    style: str | os.PathLike[str] | Style | None,
    face: str | os.PathLike[str] | Avatar | Footage,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Style | None:
    """Return how the mouth of a face shall move: as asked, else as its prepared picture says; None where nobody knows.

    Args:
        style: see `huashen.persons.as_style`.
        face: what `as_known` returned.
        progress: called after each frame of a clip that is prepared.

    Raises:
        InputError: it is neither clip nor avatar, or has too little speech to learn from.
    """
    if style is None:
        return face.style if isinstance(face, Avatar) else None
    return persons.as_style(style, progress=_tracking(progress))


def _planned(face: str | os.PathLike[str] | Avatar | Footage, size: str | int | None) -> tuple[int, int]:
    """Return the size of a video, told from what the file says of itself, before it is read.

    Raises:
        InputError: there can be no video of it.
        UnreadableError: there is no such file, or it is no picture and no video.
    """
    if isinstance(face, Avatar | Footage):
        own = face.size if isinstance(face, Footage) else (face.image.shape[1], face.image.shape[0])
        return as_size(size, own)
    path = weights.path("astronaut") if face == "example" else Path(face)
    try:
        found = media.probe(path)
    except UnreadableError:
        media.read_image(path)  # says what a picture that cannot be read lacks
        raise
    if found.kind == "sound":
        raise UnreadableError(tr(f"{path} is sound; a face comes from a picture or a video", f"{path} 是声音；人脸须来自图片或视频"))
    return as_size(size, found.size)


def _room(goal: Path, size: tuple[int, int], fps: Fraction, seconds: float | None) -> None:
    """Say how long a long video is, and refuse one that the disk cannot hold, before any work."""
    from huashen.terminal import span

    if not seconds:
        return
    if seconds > LONG_SOUND:
        logger.warning(tr("the sound lasts %s; Ctrl-C keeps what is done, and --resume goes on",
                          "声音长 %s；按 Ctrl-C 会保留已完成的部分，--resume 可继续"), span(seconds))  # fmt: skip
    # The pictures lie there twice while the parts are joined, the sound besides.
    need = seconds * (2 * LEAST_BITS / 8 * size[0] * size[1] * float(fps) + 64_000)
    free = shutil.disk_usage(goal.resolve().parent).free
    if need > free:
        raise OutputError(tr(
            f"a video of {span(seconds)} at {size[0]}×{size[1]} takes {need / 1e6:.0f} MB or more, and {free / 1e6:.0f} MB are free "
            f"at {goal.parent}; free some, choose a smaller --size, or write elsewhere",
            f"{span(seconds)}、{size[0]}×{size[1]} 的视频至少需要 {need / 1e6:.0f} MB，而 {goal.parent} 仅剩 {free / 1e6:.0f} MB；"
            "请腾出空间、用 --size 选择更小的尺寸，或写到别处",
        ))  # fmt: skip


def _clip_fps(face: str | os.PathLike[str] | Avatar | Footage) -> Fraction | None:
    """Return the frames a second of a clip; None when a face is something else, or cannot be read, which reading it will say."""
    if isinstance(face, Footage):
        return face.fps
    if isinstance(face, Avatar) or face == "example":
        return None
    try:
        found = media.probe(face)
    except UnreadableError:
        return None
    return min(Fraction(RATES[1]), max(Fraction(RATES[0]), found.fps)) if found.kind == "video" else None


class _Told:
    """What has been told so far, from which the length of the whole is estimated."""

    def __init__(self, *, characters: int | None = None) -> None:
        self.characters = characters
        self.whole: float | None = None
        """Seconds of the whole, once that is known."""
        self.done_characters = 0
        self.seconds = 0.0
        self.threads = {threading.get_ident()}
        """Those that work on this video: their warnings belong to it."""

    def total(self) -> float | None:
        """Return the seconds of the whole, None where it cannot be said."""
        if self.whole is not None:
            return self.whole
        if self.characters is None or not self.done_characters:
            return None
        return max(self.seconds, self.seconds * self.characters / self.done_characters)


def _checked(text: str | Iterable[str]) -> Iterator[str]:
    """Yield the lines of a text, refusing what is no text or longer than a text may be."""
    length = 0
    for line in text.splitlines() if isinstance(text, str) else text:
        length += len(line)
        if length > MAX_CHARACTERS:
            raise TooLargeError(tr(
                f"the text is longer than {MAX_CHARACTERS:,} characters; make several videos of it",
                f"文本超过 {MAX_CHARACTERS:,} 个字符；请分成几个视频",
            ))  # fmt: skip
        if any("\ud800" <= c <= "\udfff" for c in line):
            raise InputError(tr("the text is not valid Unicode; save it as UTF-8", "文本不是有效的 Unicode；请保存为 UTF-8"))
        yield line


_ENDS = re.compile(r"""[.!?。！？…；;][\s"'”’）)」』】》]*$""")


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Join lines that one sentence runs over, and end each paragraph: at an empty line, or at a line that ends a sentence."""
    held = ""
    for line in lines:
        line = line.strip()
        if held and line:
            glue = "" if held[-1] > "\u2e80" and line[0] > "\u2e80" else " "  # Chinese has no spaces between words
            held += glue + line
        else:
            held = held or line
        if held and (not line or _ENDS.search(held) or len(held) > 2000):
            yield held + "\n"
            held = ""
    if held:
        yield held + "\n"


def _spoken(speaker: "Voice", paragraphs: Iterable[str], told: _Told) -> Iterator[Speech]:
    """Yield what a voice says; a paragraph with nothing to say is passed over, a text with nothing to say is not."""
    silent = True
    for paragraph in paragraphs:
        before, done = told.done_characters, 0
        try:
            for speech in speaker.speak(paragraph):
                silent = False
                done += len(speech.text)
                told.done_characters = before + min(done, len(paragraph))
                told.seconds += speech.audio.seconds
                yield speech
        except NoSpeechError:
            logger.info("a paragraph of %d characters has nothing to say", len(paragraph))
        told.done_characters = before + len(paragraph)
    told.whole = told.seconds
    if silent:
        raise NoSpeechError(
            tr("the text has nothing to say: no letter, no character, no number", "文本中没有可说的内容：没有文字，也没有数字")
        )


def _begun(speech: Iterator[Speech]) -> Generator[Speech, None, None]:
    """Draw the first sentence now, so that what is wrong with the text or the voice shows before any other work."""
    first = next(speech)

    def all_of_it() -> Generator[Speech, None, None]:
        yield first
        yield from speech

    return all_of_it()


def _heard(path: Path) -> float | None:
    """Return the length of a sound in seconds, having made sure that there is something to hear."""
    heard = 0
    for piece in media.read_audio(path):
        heard += len(piece.samples)
        if len(piece.samples) and float(np.abs(piece.samples).max()) > QUIET:
            return media.probe(path).seconds
    if not heard:
        raise NoSpeechError(tr(f"{path} has no sound in it", f"{path} 中没有声音"))
    raise NoSpeechError(tr(f"{path} is silent from beginning to end; give a sound with speech", f"{path} 全程静音；请给出有人说话的声音"))


def _reader(lang: str | None) -> "Voice":
    """Return a voice that tells of which sounds a text is made; nobody hears it."""
    check()
    reader: Voice = registry.load("tts", "espeak", lang=lang)
    return reader


def _recorded(path: Path, face: Avatar | Footage, told: _Told) -> Generator[Speech, None, None]:
    """Yield recorded sound; a clip's own for its own picture begins with the picture, and comes as late as the mouth does."""
    own = isinstance(face, Footage) and _same(path, face.path)
    skip = 0
    for k, piece in enumerate(media.read_audio(path, with_picture=own)):
        if k == 0 and isinstance(face, Footage) and own and face.late:
            logger.info("%s: its sound comes %.3f s after its picture and is moved", path, face.late)
            skip = round(face.late * piece.rate)
            if skip < 0:
                piece = Audio(np.concatenate([np.zeros(-skip, np.float32), piece.samples]), piece.rate)
        kept = piece.samples[max(0, skip) :]
        skip = max(0, skip - len(piece.samples))
        if len(kept):
            piece = Audio(kept, piece.rate)
            told.seconds += piece.seconds
            yield Speech(piece)


def _same(one: Path, other: Path) -> bool:
    """Return whether two files hold the same."""
    if one.samefile(other):
        return True
    return one.stat().st_size == other.stat().st_size and filecmp.cmp(one, other, shallow=False)


def _ended(speech: Iterator[Speech], face: Avatar | Footage, told: _Told, end: End) -> Iterator[Speech]:
    """Pass speech on; with "live" let silence follow to the clip's end."""
    if end == "trim":
        return speech
    if isinstance(face, Avatar):
        raise InputError(tr("--end live goes on to the end of a clip, and the face is a picture; leave it out",
                            "--end live 用于播到视频结束，而这里给的是图片；请去掉该选项"))  # fmt: skip
    if told.whole is not None:
        told.whole = max(told.whole, float(len(face) / face.fps))
    return _lived(speech, len(face) / face.fps, told)


def _lived(speech: Iterator[Speech], seconds: Fraction, told: _Told) -> Iterator[Speech]:
    count, rate = 0, 0
    for piece in speech:
        count, rate = count + len(piece.audio.samples), piece.audio.rate
        yield piece
    left = round(seconds * rate) - count
    told.whole = max(float(seconds), count / rate if rate else 0.0)
    while left > 0:
        yield Speech(Audio(np.zeros(min(left, rate), np.float32), rate))
        left -= rate


def _through(face: Avatar | Footage, told: _Told, end: End) -> Avatar | Footage:
    """Return a face; a clip that is to be seen to its very end and no longer goes there before it turns."""
    if isinstance(face, Avatar):
        return face
    return replace(face, through=end == "live" or (told.whole is not None and told.whole <= (len(face) + 1) / face.fps))


def _number(speed: float | str) -> float:
    try:
        return float(speed)
    except ValueError as error:
        raise InputError(
            tr(f"speed cannot be '{speed}'; give a number such as 1.2", f"语速不能是“{speed}”；请给出数字，例如 1.2")
        ) from error


def _name(capability: str, name: str | None) -> str:
    return registry.table(capability).get(name).name if name else registry.table(capability).names()[0]


def _head(
    engine: str | None, driver: str | None, *, fps: Fraction, still: bool, seed: int, style: Style | None,
    options: Mapping[str, object] | None, ears: str | None = None,
) -> "TalkingHead":  # fmt: skip
    """Build what renders, and its driver; without one the driver `ears`, corrected by marks."""
    own = engine_options.checked("talking_head", engine, options or {})
    if driver is None and ears is not None:
        guess = registry.load("audio2face", ears).guess
        mover = registry.load("audio2face", "visemes", still=still, seed=seed, style=style, guess=guess, sure_only=True)
    else:
        mover = registry.load("audio2face", driver, still=still, seed=seed, style=style)
    head: TalkingHead = registry.load("talking_head", engine, driver=mover, fps=fps, **own)
    return head


def _named(stages: Iterable["Stage"]) -> dict[str, str]:
    """Return what is told of the stages that frames go through."""
    names = [type(stage).__name__.lower() for stage in stages]
    return {"stages": "+".join(names)} if names else {}


def _write(
    head: "TalkingHead",
    avatar: Avatar | Footage,
    speech: Iterator[Speech],
    goal: Path,
    told: _Told,
    there: parts.Parts | None,
    *,
    care: Iterable["Stage"] = (),
    captions: Subtitles = "none",
    engines: dict[str, str],
    progress: Callable[[Progress], None] | None,
) -> Result:
    """Render and write a video, with its subtitles."""
    shown, read = tee(speech) if captions != "none" else (speech, iter(()))  # what one reads, the other finds; a sentence or two wait
    done = there.frames if there is not None else 0
    video = _cared_for(head, avatar, shown, tuple(care), done)
    kept: list[Cue] = []
    if captions == "burn":
        video = subtitling.burn(video, subtitling.cues(read))
    elif captions == "file":
        video = replace(video, frames=_noted(video, subtitling.cues(read), kept))
    begin = 0.0

    def on_frame(count: int) -> None:
        nonlocal begin
        begin = begin or time.monotonic()  # from the first frame: preparing the picture says nothing about the pace
        if progress is not None:
            seconds = float(count / video.fps)
            total = told.total()
            whole = None if total is None else max(total, seconds)
            progress(Progress(count, seconds, whole, time.monotonic() - begin, begun=float(done / video.fps)))

    video = replace(video, frames=_enrolled(video.frames, told))
    made = ", ".join(engines.values())
    if there is None:
        written = media.write_video(video, goal, title=avatar.name, engine=made, on_frame=on_frame)
    else:
        written = there.write(video, title=avatar.name, engine=made, on_frame=on_frame)
    files = tuple(goal.with_suffix(ending) for ending in _SUBTITLE_ENDINGS) if captions == "file" else ()
    for file in files:
        subtitling.write(kept, file)
    return Result(written.path, written.seconds, written.frames, written.size, video.fps, engines, files)


def _cared_for(head: "TalkingHead", avatar: Avatar | Footage, speech: Iterator[Speech], care: tuple["Stage", ...], done: int) -> Video:
    """Return the video with its aftercare, without the frames that are done."""
    from huashen.stages import MEMORY, STEP

    # One at least, so that there is something to tell rate and size by; in whole steps, because stages may begin anew that often.
    begin = max(0, done - MEMORY * len(care)) // STEP * STEP if care else max(0, done - 1)
    video = head.animate(avatar, speech, begin=begin)
    rate = video.fps
    if care:
        video = replace(video, frames=(replace(frame, index=frame.index - begin) for frame in video.frames))
        for stage in care:
            video = stage(video)
        if begin and video.fps != rate:
            raise InputError(tr(
                "a stage that changes the frame rate cannot go on in the middle; leave out --resume and add -y to begin anew",
                "会改变帧率的后处理无法从中间继续；请去掉 --resume 并加上 -y 重新开始",
            ))  # fmt: skip
        video = replace(video, frames=(replace(frame, index=frame.index + begin) for frame in video.frames))
    return replace(video, frames=islice(video.frames, done - begin, None))


@contextmanager
def _going_on(goal: Path, key: str | None, *, resume: bool, overwrite: bool) -> Iterator[parts.Parts | None]:
    """Yield what is there of a video; None where parts are no use: a GIF has one palette, and nobody knows what a stream will say."""
    if key is None or goal.suffix.lower() == ".gif":
        yield None
        return
    with parts.going_on(goal, key, resume=resume, overwrite=overwrite) as there:
        yield there


def _key(*given: object) -> str | None:
    """Return a hash of all that a video is made of, None where that cannot be known beforehand."""
    import av

    whole = hashlib.sha256(f"{huashen.__version__} {av.__version__}".encode())
    for value in given:
        if isinstance(value, Iterator):
            return None
        whole.update(f"|{_print(value)}".encode())
    return whole.hexdigest()


def _print(value: object, *, deep: bool = True) -> str:
    """Return what tells a value from others: a file by its contents, an array by its own."""
    if isinstance(value, str | os.PathLike) and os.path.isfile(value):
        return file_digest(Path(value))
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, Footage):
        return " ".join(map(_print, (value.path, value.points, value.fps, value.size, value.goal)))
    if isinstance(value, Avatar):
        return " ".join(map(_print, (value.image, value.mask, value.face.landmarks.points, value.style)))
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_print(value[name], deep=deep)}" for name in sorted(value))
    if isinstance(value, tuple | list):
        return " ".join(_print(one, deep=deep) for one in value)
    if isinstance(value, str | os.PathLike | int | float | Fraction | None):
        return repr(value)
    return f"{type(value).__qualname__} {_print(getattr(value, '__dict__', {}), deep=False) if deep else ''}"  # a stage, built


def _enrolled(frames: Iterator[Frame], told: _Told) -> Iterator[Frame]:
    """Pass frames on, and remember which thread draws them."""
    told.threads.add(threading.get_ident())
    yield from frames


def _noted(video: Video, cues: Iterator[Cue], kept: list[Cue]) -> Iterator[Frame]:
    """Pass a video on and keep the cues it reaches."""
    cue = next(cues, None)
    for frame in video.frames:
        while cue is not None and cue.start <= frame.index / video.fps:
            kept.append(cue)
            cue = next(cues, None)
        yield frame
    kept += [*([cue] if cue else []), *cues]


@contextmanager
def _warnings(told: _Told) -> Iterator[list[str]]:
    """Collect the warnings that are logged meanwhile by the threads that work on a video."""
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread in told.threads and record.getMessage() not in said:
                said.append(record.getMessage())

    collector = Collector(logging.WARNING)
    logging.getLogger("huashen").addHandler(collector)
    try:
        yield said
    finally:
        logging.getLogger("huashen").removeHandler(collector)

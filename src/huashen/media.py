"""Reading and writing pictures, sound and video, one frame at a time, through Pillow and PyAV."""

import json
import logging
import math
import os
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import escape, unescape

import numpy as np

import huashen
from huashen.errors import EngineError, InputError, MissingPartError, NoSpeechError, OutputError, TooLargeError, UnreadableError
from huashen.files import replacing
from huashen.flow import first_sample, prefetch, slices
from huashen.ops import tone
from huashen.ops.audio import downmix
from huashen.ops.image import over
from huashen.types import Audio, Floats, Frame, Image, Video
from huashen.words import tr

if TYPE_CHECKING:
    import av
    import av.container
    import PIL.Image

logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

LARGEST = 12_000
"""Longest side of a picture that is read, pixels."""
WORKING = 4096
"""Longest side of a picture that is worked on, pixels; larger ones are scaled down."""
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
"""IPTC's word for a mix of captured and synthetic elements (a person's photograph made to speak)."""


# Pictures


def read_image(path: PathLike, *, limit: int = WORKING) -> Image:
    """Read a picture as people see it: turned by EXIF, in sRGB, transparent parts over white, the first frame of a moving one.

    Args:
        path: JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF …; HEIC with the extra `heic`. At most 12,000 pixels a side.
        limit: longest side of the result, pixels; a larger picture is scaled down, and the log says so.

    Returns:
        (h, w, 3).

    Raises:
        UnreadableError: it is missing, empty, broken, or no picture.
        TooLargeError: it is larger than 12,000 pixels a side.
        MissingPartError: it is HEIC and its reader is not installed.
    """
    from PIL import Image as Pictures
    from PIL import ImageOps, UnidentifiedImageError

    _check_file(path)
    _register_heic(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns from 89 megapixels and of odd EXIF; sizes are checked below
            with Pictures.open(path) as picture:
                size = picture.size
                if max(size) > LARGEST:
                    raise _too_large(path, size)
                if getattr(picture, "n_frames", 1) > 1:
                    logger.info(tr("%s moves; its first frame is taken", "%s 是动图；取第一帧"), path)
                if max(size) > limit:
                    picture.thumbnail((limit, limit), Pictures.Resampling.LANCZOS)  # a JPEG is already decoded smaller
                    logger.info(tr("%s is %d×%d; scaled down to %d×%d", "%s 为 %d×%d；已缩小为 %d×%d"), path, *size, *picture.size)
                return _flat(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError as error:
        raise UnreadableError(_no_picture(path)) from error
    except Pictures.DecompressionBombError as error:
        raise _too_large(path, None) from error
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error) as error:  # what Pillow's readers raise
        raise UnreadableError(tr(
            f"{path} is broken or only half there ({error}); save it again as JPEG or PNG",
            f"{path} 已损坏或不完整（{error}）；请重新另存为 JPEG 或 PNG",
        )) from error  # fmt: skip


def _too_large(path: PathLike, size: tuple[int, int] | None) -> TooLargeError:
    is_size = f" ({size[0]}×{size[1]})" if size else ""
    return TooLargeError(tr(
        f"{path} is larger than {LARGEST} pixels a side{is_size}; scale it down first",
        f"{path} 的边长超过 {LARGEST} 像素{is_size}；请先缩小",
    ))  # fmt: skip


def _register_heic(path: PathLike) -> None:
    """Let Pillow read HEIC where the file is one, or say what is missing."""
    with open(path, "rb") as file:
        start = file.read(12)
    if start[4:8] != b"ftyp" or start[8:12] not in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"):
        return
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingPartError(tr(
            f"{path} is a HEIC picture; pip install 'huashen[heic]', or save it as JPEG",
            f"{path} 是 HEIC 图片；请 pip install 'huashen[heic]'，或另存为 JPEG",
        )) from error  # fmt: skip
    pillow_heif.register_heif_opener()


def _flat(picture: "PIL.Image.Image") -> Image:
    """Return a picture of any mode as sRGB, over white where it is transparent."""
    if picture.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        values = np.asarray(picture).astype(np.float32)
        top = float(values.max(initial=0))
        white = 1.0 if picture.mode == "F" and top <= 1 else 255.0 if top <= 255 and picture.mode in ("I", "F") else 65535.0
        grey = (np.clip(values / white, 0, 1) * 255 + 0.5).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(grey[..., None], 3, 2))
    if picture.mode == "P" or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        pixels = np.asarray(_srgb(picture.convert("RGBA"), picture.info.get("icc_profile")))
        if (pixels[..., 3] == 255).all():
            return np.ascontiguousarray(pixels[..., :3])
        white_page = np.full((*pixels.shape[:2], 3), 255, np.uint8)
        return over(white_page, pixels[..., :3], pixels[..., 3].astype(np.float32) / np.float32(255))
    picture = _srgb(picture, picture.info.get("icc_profile"))
    return np.array(picture.convert("RGB"))


def _srgb(picture: "PIL.Image.Image", profile: bytes | None) -> "PIL.Image.Image":
    """Bring a picture with a colour profile (phones' Display P3, print's CMYK) to sRGB; one with a broken profile stays."""
    import io

    from PIL import ImageCms

    if not profile:
        return picture
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    try:
        turned = ImageCms.profileToProfile(picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        logger.info("colour profile not used: %s", error)
        return picture
    assert turned is not None
    return turned


def _no_picture(path: PathLike) -> str:
    """Say what a file is that is no picture."""
    try:
        kind = probe(path).kind
    except UnreadableError:
        kind = "image"
    if kind == "video":
        return tr(
            f"{path} is a video, and only a picture will do here; save one of its frames as PNG",
            f"{path} 是视频，此处只能使用图片；请将其中一帧存为 PNG",
        )
    if kind == "sound":
        return tr(f"{path} is sound, not a picture", f"{path} 是声音，不是图片")
    return tr(f"{path} is not a picture; JPEG, PNG or WebP are fine", f"{path} 不是图片；可用 JPEG、PNG 或 WebP")


def write_image(path: PathLike, image: Image, *, engine: str = "", metadata: Mapping[str, str] | None = None) -> None:
    """Write a picture as PNG, JPEG or WebP by the file's ending.

    Args:
        path: where to.
        image: (h, w, 3).
        engine: names of the engines that made it; with one, the file says that it is synthetic.
        metadata: more to say, or to say differently, in that record.

    Raises:
        OutputError: unknown ending, no room, no right.
    """
    from PIL import Image as Pictures
    from PIL.PngImagePlugin import PngInfo

    ending = Path(path).suffix.lower()
    options: dict[str, Any] = {".png": {"compress_level": 4}, ".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".webp": {"quality": 95}}
    if ending not in options:
        raise _unknown_ending(path, options)
    chosen = options[ending]
    if engine:
        record = _record(engine, metadata)
        if ending == ".png":
            chosen["pnginfo"] = PngInfo()
            chosen["pnginfo"].add_text("Comment", _comment(record))
            chosen["pnginfo"].add_itxt("XML:com.adobe.xmp", _xmp(record))
        else:
            chosen["xmp"] = _xmp(record).encode()
            if ending != ".webp":
                chosen["comment"] = _comment(record).encode()
    with replacing(path) as beside:
        Pictures.fromarray(image).save(beside, **chosen)


# What is in a file


@dataclass(frozen=True)
class Probe:
    """What is in a media file."""

    kind: Literal["image", "sound", "video"]
    seconds: float
    """Length; 0 for a picture or when the file does not say."""
    size: tuple[int, int]
    """(width, height) as shown; (0, 0) for sound."""
    fps: Fraction
    """0 for pictures and sound."""
    rate: int
    """Samples a second of its sound; 0 without."""
    channels: int
    """Of its sound; 0 without."""


def probe(path: PathLike) -> Probe:
    """Tell what is in a file.

    Raises:
        UnreadableError: it is missing, empty, broken, or neither picture, sound nor video.
    """
    from PIL import Image as Pictures

    _check_file(path)
    _register_heic(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Pictures.open(path) as still:
                if still.format != "MPEG" and not (still.format == "GIF" and getattr(still, "is_animated", False)):
                    turned = still.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                    size = (still.height, still.width) if turned else still.size
                    return Probe(kind="image", seconds=0.0, size=size, fps=Fraction(0), rate=0, channels=0)
    except (OSError, SyntaxError, ValueError, Pictures.DecompressionBombError):
        pass  # no picture; sound or video, then
    with _opened(path) as container:
        moving = _moving(container)
        sound = container.streams.audio[0] if container.streams.audio else None
        if moving is None and sound is None:
            raise UnreadableError(_no_media(path))
        seconds = float(container.duration or 0) / 1_000_000
        rate, channels = (sound.sample_rate, sound.channels) if sound is not None else (0, 0)
        if moving is None:
            return Probe(kind="sound", seconds=seconds, size=(0, 0), fps=Fraction(0), rate=rate, channels=channels)
        first = next(_decoded(container, moving, path), None)
        if first is None:
            raise UnreadableError(_no_media(path))
        return Probe(kind="video", seconds=seconds, size=_shown(moving, first), fps=_rate(moving), rate=rate, channels=channels)


def _check_file(path: PathLike) -> None:
    """Raise UnreadableError unless there is a file with something in it that may be read."""
    where = Path(path)
    if where.is_dir():
        raise UnreadableError(tr(f"{path} is a folder; name a file", f"{path} 是文件夹；请给出文件名"))
    try:
        with where.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise UnreadableError(tr(f"there is no file {path}; check the name", f"文件 {path} 不存在；请检查文件名")) from error
    except OSError as error:
        reason = error.strerror
        raise UnreadableError(tr(f"cannot read {path} ({reason}); check its rights", f"读不了 {path}（{reason}）；请检查权限")) from error
    if empty:
        raise UnreadableError(tr(f"{path} is empty; give another file", f"{path} 是空文件；请换一个"))


_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dv,eac3,flac,flv,gif,h264,hevc,ivf,loas,matroska,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,mpegvideo,mpjpeg,mxf,nut,ogg,opus,rm,swf,truehd,tta,voc,w64,wav,webm,wv,xwma,yuv4mpegpipe"
)
"""Formats that are read. Not those that name further files or addresses (HLS, DASH, concat), nor FFmpeg's text as video."""


def _no_media(path: PathLike) -> str:
    return tr(
        f"{path} is neither sound nor video, or is broken; WAV, MP3, M4A, MP4, MOV, MKV and WebM are fine",
        f"{path} 不是声音或视频，或已损坏；可用 WAV、MP3、M4A、MP4、MOV、MKV、WebM",
    )


@contextmanager
def _opened(path: PathLike) -> Iterator["av.container.InputContainer"]:
    """Open sound or video, or say why it cannot be."""
    import av

    _check_file(path)
    try:
        # The prefix keeps names with a colon from being taken for an address.
        container = av.open(f"file:{os.fspath(path)}", metadata_errors="replace",
                            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"})  # fmt: skip
    except av.error.FFmpegError as error:
        raise UnreadableError(_no_media(path)) from error
    with container:
        yield container


def _moving(container: "av.container.InputContainer") -> "av.VideoStream | None":
    """Return the stream of moving pictures; a cover picture is none."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def _decoded(container: "av.container.InputContainer", stream: Any, path: PathLike) -> Iterator[Any]:
    """Yield the frames of a stream, passing over broken ones; a file that breaks off keeps what came before. The log says so."""
    import av

    broken = come = 0
    packets = container.demux(stream)
    last = 0.0
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.error.FFmpegError:
            broken += 1
            break
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            broken += 1
            continue
        for frame in frames:
            come += 1
            last = max(last, frame.time or 0.0)
            yield frame
    begin = float((stream.start_time or 0) * (stream.time_base or 0))
    length = float((stream.duration or 0) * (stream.time_base or 0))
    if come and (broken or last + 1.0 < begin + length):
        logger.warning(tr("%s is damaged or breaks off; read up to %.1f s", "%s 已损坏或中断；读到 %.1f 秒"), path, last)


# Sound


def read_audio(path: PathLike, rate: int | None = None, *, with_picture: bool = False) -> Iterator[Audio]:
    """Read sound, or the sound of a video, as one channel, a piece at a time.

    Channels are averaged; empty ones are left out (the file is read twice where there are several).

    Args:
        path: anything FFmpeg reads.
        rate: samples a second of the result; without it, the file's own.
        with_picture: begin when the video's first picture is shown, as `read_video` does, not with the sound's first sample.

    Raises:
        UnreadableError: it is missing, empty, broken, or has no sound.
        NoSpeechError: its sound has no samples.
    """
    pieces = _mono(path, rate, _begin(path) if with_picture else None)
    first = next(pieces, None)  # errors come now, not when the sound is used
    if first is None:
        raise NoSpeechError(tr(f"the sound in {path} has no samples; give a longer one", f"{path} 中的声音没有采样；请换一个更长的"))
    return chain((first,), pieces)


def _begin(path: PathLike) -> Fraction | None:
    """Return when the first picture of a file is shown, seconds; None where there is none or the file does not say."""
    with _opened(path) as container:
        stream = _moving(container)
        first = next(_decoded(container, stream, path), None) if stream is not None else None
        return first.pts * first.time_base if first is not None and first.pts is not None else None


def _mono(path: PathLike, rate: int | None, origin: Fraction | None) -> Iterator[Audio]:
    """Yield sound as one channel, from a moment of the file (silence until its sound begins) or from its first sample on."""
    import soxr

    weights: Floats | None = None
    stream: Any = None
    for channels, own in read_channels(path, origin):
        if len(channels) > 1 and weights is None:
            weights = _weights(path)
        mono = channels[0] if weights is None else np.tensordot(weights, channels, 1)
        if rate is None or rate == own:
            yield Audio(np.ascontiguousarray(mono, np.float32), own)
            continue
        stream = stream or soxr.ResampleStream(own, rate, 1, dtype="float32")
        made = stream.resample_chunk(np.ascontiguousarray(mono, np.float32))
        if len(made):
            yield Audio(made, rate)
    if stream is not None and rate is not None:
        rest = stream.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(rest):
            yield Audio(rest, rate)


def _weights(path: PathLike) -> Floats:
    """Return the weights of a file's channels, heard to the end."""
    total: Any = 0
    for channels, _ in read_channels(path):
        wide = channels.astype(np.float64)
        total = total + wide @ wide.T
    weights = downmix(total)
    if (weights <= 0).any():
        logger.info(tr("%s: its channels are mixed as %s", "%s：声道混合权重为 %s"), path, np.round(weights, 2).tolist())
    return weights


GAP = 0.05
"""Seconds: a longer gap between the times of a sound's pieces is filled with silence."""


def read_channels(path: PathLike, origin: Fraction | None = None) -> Iterator[tuple[Floats, int]]:
    """Yield pieces of a file's sound as (channels, samples) with their rate, in the layout and rate of the first.

    Args:
        path: anything FFmpeg reads.
        origin: seconds of the file to begin at; silence until its sound begins. Its first sample without.
    """
    import av

    with _opened(path) as container:
        if not container.streams.audio:
            raise UnreadableError(tr(f"{path} has no sound; give one that has", f"{path} 没有声音；请换一个有声音的文件"))
        stream = container.streams.audio[0]
        shape: tuple[str, str, int] | None = None
        layout, rate, count = "", 0, 0
        for frame in _decoded(container, stream, path):
            if not rate:
                layout, rate = frame.layout.name, frame.sample_rate
            now = (frame.format.name, frame.layout.name, frame.sample_rate)
            if now != shape:
                shape, resampler = now, av.AudioResampler(format="fltp", layout=layout, rate=rate)
            skip = 0
            if frame.pts is not None:
                time = frame.pts * frame.time_base
                origin = time if origin is None else origin
                gap = round((time - origin) * rate) - count
                if gap > (GAP * rate if count else 0):
                    channels = len(stream.layout.channels)
                    for begin in range(0, gap, rate):
                        yield np.zeros((channels, min(rate, gap - begin)), np.float32), rate
                    count += gap
                elif gap < 0 and count == 0:
                    skip = -gap
            for piece in resampler.resample(frame):
                samples = np.asarray(piece.to_ndarray(), np.float32)
                kept = samples[:, skip:]
                skip = max(0, skip - samples.shape[1])
                count += kept.shape[1]
                if kept.shape[1]:
                    yield kept, rate


# Video


def read_video(path: PathLike, *, fps: Fraction | None = None, rate: int | None = None) -> Video:
    """Read a video as frames at a constant rate, turned as shown, each with its own slice of sound.

    A video of varying rate is brought to a constant one by its timestamps: frame k shows what is shown at (k + ½) / fps. Fields are
    joined to frames, a high dynamic range is brought to an ordinary one (the log says so), what is transparent lies over white, and
    pictures of more than 4096 pixels a side are scaled down.

    Args:
        path: anything FFmpeg reads, a moving GIF among it.
        fps: frames a second of the result; without it, the file's own.
        rate: samples a second of the sound; without it, the file's own.

    Raises:
        UnreadableError: it is missing, empty, broken, or has no moving pictures.
    """
    with _opened(path) as container:
        stream = _moving(container)
        first = next(_decoded(container, stream, path), None) if stream is not None else None
        if stream is None or first is None:
            raise UnreadableError(tr(f"{path} has no moving pictures; give a video", f"{path} 没有视频画面；请给出视频文件"))
        size = _worked(_shown(stream, first))
        if size != _shown(stream, first):
            logger.warning(tr("%s is %d×%d; it is worked on at %d×%d", "%s 为 %d×%d；按 %d×%d 处理"), path, *_shown(stream, first), *size)
        if _is_wide(first):
            logger.warning(tr("%s has a high dynamic range or wide colours; they are brought to those of ordinary screens (SDR, BT.709)",
                              "%s 为高动态范围或广色域视频；已转换为普通屏幕的 SDR（BT.709）"), path)  # fmt: skip
        fps = fps or _rate(stream)
        if container.streams.audio:
            rate = rate or container.streams.audio[0].sample_rate
        else:
            rate = 0
        origin = first.pts * first.time_base if first.pts is not None else Fraction(0)
    return Video(_frames(path, fps, rate, size, origin), fps, size, rate)


def _frames(path: PathLike, fps: Fraction, rate: int, size: tuple[int, int], origin: Fraction) -> Iterator[Frame]:
    """Yield a video's frames at a constant rate with their slices of sound."""
    sound = slices(_mono(path, rate, origin), fps) if rate else iter(())
    index = 0
    screen = _Screen(size)
    for shown, count in _repeated(path, fps, origin):
        image = screen.show(shown)
        for _ in range(count):
            audio = next(sound, None) or _silence(index, rate, fps)
            yield Frame(image, audio, index)
            index += 1


def read_images(path: PathLike, begin: int = 0, *, fps: Fraction, quick: bool = False) -> Iterator[Image]:
    """Yield the pictures of `read_video` from one of its frames on, without reading all that comes before.

    Args:
        path: anything FFmpeg reads.
        begin: the number of the first frame.
        fps: frames a second, as for `read_video`.
        quick: colours may be a few levels off: enough to find a face by, not to be shown. Four times as fast on large pictures.
    """
    size, origin = _outset(path)
    screen = _Screen(size, quick=quick)
    for shown, count in _repeated(path, fps, origin, begin):
        image = screen.show(shown)
        for _ in range(count):
            yield image


def read_parts(path: PathLike, corners: Iterable[tuple[int, int]], size: tuple[int, int], *, fps: Fraction) -> Iterator[Image]:
    """Yield a rectangle of each of the first pictures of `read_video`; where it lies outside the picture, its edge goes on.

    Args:
        path: anything FFmpeg reads.
        corners: x, y of the rectangle's upper left corner, for as many frames as are wanted.
        size: its (width, height).
        fps: frames a second, as for `read_video`.
    """
    whole, origin = _outset(path)
    screen = _Screen(whole)
    wanted = iter(corners)
    for shown, count in _repeated(path, fps, origin):
        for corner in islice(wanted, count):
            columns, rows = (np.clip(np.arange(v, v + n), 0, most - 1) for v, n, most in zip(corner, size, whole, strict=True))
            x0, y0 = int(columns[0]), int(rows[0])
            part = screen.part(shown, (x0, y0), (int(columns[-1]) + 1, int(rows[-1]) + 1), size)
            yield part[rows[:, None] - y0, columns - x0]


def _outset(path: PathLike) -> tuple[tuple[int, int], Fraction]:
    """Return the (width, height) in which a video is worked on, and when its first picture is shown."""
    with _opened(path) as container:
        stream = _moving(container)
        first = next(_decoded(container, stream, path), None) if stream is not None else None
        if stream is None or first is None:
            raise UnreadableError(tr(f"{path} has no moving pictures; give a video", f"{path} 没有视频画面；请给出视频文件"))
        return _worked(_shown(stream, first)), first.pts * first.time_base if first.pts is not None else Fraction(0)


def _silence(index: int, rate: int, fps: Fraction) -> Audio:
    """Return a frame's slice of nothing."""
    length = first_sample(index + 1, rate, fps) - first_sample(index, rate, fps) if rate else 0
    return Audio(np.zeros(length, np.float32), rate)


def _repeated(path: PathLike, fps: Fraction, origin: Fraction, begin: int = 0, *, seek: bool = True) -> Iterator[tuple[Any, int]]:
    """Yield a video's pictures as they are decoded, from one of its frames on, and for how many frames each is shown."""
    with _opened(path) as container:
        stream = _moving(container)
        assert stream is not None
        stream.thread_type = "AUTO"
        shown = begin
        previous: Any = None
        time = end = Fraction(0)
        if begin and seek and stream.time_base:
            early = max(0, begin - 2)  # fields are joined with the help of the frame before
            container.seek(math.floor((early / fps + origin) / stream.time_base), stream=stream)  # to the key frame before it
        for frame in _flat_frames(_decoded(container, stream, path)):
            time = frame.pts * frame.time_base - origin if frame.pts is not None else end
            if previous is None and begin and seek and (frame.pts is None or time * fps > begin):
                yield from _repeated(path, fps, origin, begin, seek=False)  # a file that cannot be entered there
                return
            count = max(0, math.ceil(time * fps - Fraction(1, 2)) - shown)
            if previous is not None and count:
                yield previous, count
                shown += count
            previous = frame
            end = time + (frame.duration * frame.time_base if frame.duration else 1 / fps)
        if previous is not None:
            yield previous, max(1, math.ceil(end * fps - Fraction(1, 2)) - shown)


class _Screen:
    """Turns decoded frames into pictures as they are shown: in RGB, upright, with square pixels, over white, of ordinary brightness.

    Args:
        size: (width, height) of the pictures.
        quick: colours need not be exact.
    """

    def __init__(self, size: tuple[int, int], *, quick: bool = False) -> None:
        from av.video.reformatter import VideoReformatter

        self._size = size
        self._how = _QUICK if quick else _CAREFUL
        self._reformatter = VideoReformatter()  # one for all frames: it keeps its tables
        self._toned: tuple[object, Any] = (None, None)
        self._crop: _Crop | None = None

    def show(self, frame: "av.VideoFrame") -> Image:
        """Return (height, width, 3)."""
        turns = frame.rotation // 90 % 4
        width, height = self._size[::-1] if turns % 2 else self._size
        # Files that do not say are in BT.601 when small and BT.709 when large, as players take them.
        unknown = frame.colorspace == 2
        matrix = (_BT709 if frame.height >= 720 else _BT601) if unknown else None
        clear = frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)
        wide = _is_wide(frame)
        kind = "rgb48le" if wide else "rgba" if clear else "rgb24"
        shown = self._reformatter.reformat(frame, width, height, kind, src_colorspace=matrix, interpolation=self._how, threads=1)
        if wide:
            levels = np.asarray(self._tone(frame, shown).to_ndarray(), np.uint16)
            return np.ascontiguousarray(np.rot90((levels >> 8).astype(np.uint8), turns))
        image = np.asarray(shown.to_ndarray(), np.uint8)
        if clear:
            if (image[..., 3] == 255).all():
                image = image[..., :3]
            else:
                white = np.full((*image.shape[:2], 3), 255, np.uint8)
                image = over(white, image[..., :3], image[..., 3].astype(np.float32) / np.float32(255))
        return np.ascontiguousarray(np.rot90(image, turns))

    def part(self, frame: "av.VideoFrame", low: tuple[int, int], high: tuple[int, int], room: tuple[int, int]) -> Image:
        """Return the rectangle from `low` to before `high`, x and y, of what `show` returns.

        Args:
            frame: as decoded.
            low, high: the rectangle; it lies in the picture.
            room: (width, height) that no rectangle asked for exceeds.
        """
        plain = frame.format.name in ("yuv420p", "yuvj420p") and not frame.rotation % 360 and not _is_wide(frame)
        size = (frame.width, frame.height)
        # A pixel's colours come from its neighbours too, two pixels for each of theirs.
        wide, tall = (min(n, -(-(v + 18) // 2) * 2) for n, v in zip(size, room, strict=True))
        (x0, y0), (x1, y1) = low, high
        if not plain or self._size != size or size[0] % 2 or size[1] % 2 or wide * tall > size[0] * size[1] / 2:
            return self.show(frame)[y0:y1, x0:x1]
        x, y = (max(0, min(v - 8, n - m)) // 2 * 2 for v, n, m in zip(low, size, (wide, tall), strict=True))
        if self._crop is None:
            self._crop = _Crop(frame, wide, tall)
        piece = self._crop.cut(frame, x, y)
        matrix = (_BT709 if frame.height >= 720 else _BT601) if frame.colorspace == 2 else None
        shown = self._reformatter.reformat(piece, format="rgb24", src_colorspace=matrix, interpolation=self._how, threads=1)
        return np.asarray(shown.to_ndarray(), np.uint8)[y0 - y : y1 - y, x0 - x : x1 - x]

    def _tone(self, frame: "av.VideoFrame", shown: "av.VideoFrame") -> "av.VideoFrame":
        """Bring a picture of high dynamic range or wide colours to BT.709, by a table of colours that FFmpeg interpolates in."""
        import av
        from av.filter import Graph

        kind = (frame.color_trc, frame.color_primaries, shown.width, shown.height)
        if self._toned[0] != kind:
            table = tone.table(int(frame.color_trc), int(frame.color_primaries), 64)
            colours = av.VideoFrame.from_ndarray((table * 65280 + 128).astype(np.uint16).reshape(512, 512, 3), "rgb48le")
            colours.pts, colours.time_base = 0, Fraction(1, 1000)
            graph = Graph()  # packed: planes of RGB come out of this filter in another order
            given = {"pix_fmt": "rgb48le", "time_base": "1/1000", "pixel_aspect": "1/1", "colorspace": "gbr", "range": "pc"}
            pictures = graph.add("buffer", video_size=f"{shown.width}x{shown.height}", **given)
            chosen = graph.add("buffer", video_size="512x512", **given)
            mapped = graph.add("haldclut", interp="tetrahedral")
            pictures.link_to(mapped, 0, 0)
            chosen.link_to(mapped, 0, 1)
            mapped.link_to(graph.add("buffersink"))
            graph.configure()
            chosen.push(colours)
            chosen.push(None)
            self._toned = (kind, (graph, pictures, iter(range(2**62))))
        graph, pictures, counter = self._toned[1]
        shown.pts, shown.time_base = next(counter), Fraction(1, 1000)
        pictures.push(shown)
        mapped = graph.vpull()
        assert isinstance(mapped, av.VideoFrame)
        return mapped


class _Crop:
    """Cuts rectangles of one size out of decoded frames, with all that is said of their colours: no constructor lets one say that."""

    def __init__(self, frame: "av.VideoFrame", width: int, height: int) -> None:
        from av.filter import Graph

        self._graph = Graph()
        source = self._graph.add("buffer", video_size=f"{frame.width}x{frame.height}", pix_fmt=frame.format.name, time_base="1/1000",
                                 pixel_aspect="1/1", colorspace=str(int(frame.colorspace)), range=str(int(frame.color_range)))  # fmt: skip
        self._where = self._graph.add("crop", w=str(width), h=str(height), x="0", y="0")
        self._graph.link_nodes(source, self._where, self._graph.add("buffersink")).configure()

    def cut(self, frame: "av.VideoFrame", x: int, y: int) -> "av.VideoFrame":
        """Return the rectangle whose upper left corner is there; both numbers are even."""
        import av

        self._where.process_command("x", str(x))
        self._where.process_command("y", str(y))
        self._graph.vpush(frame)
        found = self._graph.vpull()
        assert isinstance(found, av.VideoFrame)
        return found


def _is_wide(frame: "av.VideoFrame") -> bool:
    """Tell whether a frame has a high dynamic range, or colours an ordinary screen does not show."""
    return int(frame.color_trc) in (tone.PQ, tone.HLG) or int(frame.color_primaries) in (tone.BT2020, tone.P3)


def _flat_frames(frames: Iterable[Any]) -> Iterator[Any]:
    """Pass frames on, those made of two fields brought to one moment (by bwdif: a frame's missing lines from its neighbours)."""
    from av.filter import Graph

    graph: Any = None
    form: object = None
    before: Any = None
    known = False  # whether the frame that comes out first has been given out already
    for frame in frames:
        if frame.interlaced_frame and graph is None:
            form = (frame.width, frame.height, frame.format.name)
            graph = Graph()
            source = graph.add("buffer", video_size=f"{frame.width}x{frame.height}", pix_fmt=frame.format.name,
                               time_base=str(frame.time_base), pixel_aspect="1/1")  # fmt: skip
            graph.link_nodes(
                source, graph.add("bwdif", mode="send_frame", parity="auto", deint="interlaced"), graph.add("buffersink")
            ).configure()
            if before is not None and (before.width, before.height, before.format.name) == form:
                graph.push(before)
                known = True
        if graph is not None and (frame.width, frame.height, frame.format.name) != form:
            graph.push(None)
            yield from islice(_pulled(graph), int(known), None)
            graph, known = None, False
        if graph is None:
            yield frame
            before = frame
            continue
        graph.push(frame)
        for flat in _pulled(graph):
            if not known:
                yield flat
            known = False
    if graph is not None:
        graph.push(None)
        yield from islice(_pulled(graph), int(known), None)


def _shown(stream: "av.VideoStream", frame: "av.VideoFrame") -> tuple[int, int]:
    """Return (width, height) as shown: pixels made square by stretching the width, turned by the file's rotation."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width = max(1, round(frame.width * aspect))
    return (frame.height, width) if frame.rotation // 90 % 2 else (width, frame.height)


def _worked(size: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) in which frames of some size are worked on."""
    share = min(1.0, WORKING / max(size))
    return size if share == 1 else (max(1, round(size[0] * share)), max(1, round(size[1] * share)))


_COMMON = tuple(Fraction(n, d) for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001), (60, 1)))


def _rate(stream: "av.VideoStream") -> Fraction:
    """Return frames a second: a common rate near the mean, else the one whose ticks the frames lie on (some left out), else the mean."""
    mean = Fraction(stream.average_rate or stream.guessed_rate or 25)
    nearest = min(_COMMON, key=lambda rate: abs(rate - mean))
    if abs(nearest - mean) < mean / 200:
        return nearest
    if stream.guessed_rate in _COMMON and stream.guessed_rate > mean:
        return Fraction(stream.guessed_rate)
    return min(mean, Fraction(240)).limit_denominator(1001)


# Writing video


@dataclass(frozen=True)
class Written:
    """A video file that is whole and in its place."""

    path: Path
    frames: int
    seconds: float
    """Length."""
    size: tuple[int, int]
    """(width, height) of the pictures in the file: odd ones are filled up to even by repeating the edge, except in a GIF."""


@dataclass(frozen=True)
class _Ending:
    """How a file of some ending is written."""

    container: str
    picture: str
    sound: str
    crf: int
    """Quality when none is asked for."""
    options: Mapping[str, str]
    """For the picture's codec."""
    ahead: int = 0
    """How many pictures are decoded before one that is shown earlier, at most: pictures between others wait for those."""


_H264 = {"preset": "veryfast"}  # docs/benchmarks.md: twice as fast as "faster", and no larger at equal quality
_VP9 = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "b": "0"}
_ENDINGS: Mapping[str, _Ending] = {
    ".mp4": _Ending("mp4", "libx264", "aac", 18, _H264, ahead=2),
    ".mov": _Ending("mov", "libx264", "aac", 18, _H264, ahead=2),
    ".mkv": _Ending("matroska", "libx264", "aac", 18, _H264, ahead=2),
    ".webm": _Ending("webm", "libvpx-vp9", "libopus", 28, _VP9),
    ".gif": _Ending("gif", "gif", "", 0, {}),
}
VIDEO_ENDINGS = tuple(_ENDINGS)
"""Endings of the video files that can be written."""

GIF_FPS = 25
"""Most frames a second in a GIF: its times are hundredths of a second, and players slow down faster ones."""

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_BT709 = 1  # the same number in swscale (matrix) and in the stream's tags (matrix, primaries, transfer)
_BT601 = 5  # swscale's number
_LIMITED = 1  # range 16–235
_CAREFUL = 0x4 | 0x2000 | 0x4000 | 0x40000
"""swscale's bicubic, with full colour interpolation and exact rounding: without them every picture read is a level too dark."""
_QUICK = 0x4
"""swscale's bicubic as it comes."""


def write_video(
    video: Video,
    path: PathLike,
    *,
    crf: int | None = None,
    title: str = "",
    engine: str = "",
    metadata: Mapping[str, str] | None = None,
    on_frame: Callable[[int], None] | None = None,
) -> Written:
    """Write a video as MP4, MOV, MKV (H.264, AAC), WebM (VP9, Opus) or GIF by the file's ending, in constant memory.

    The frames are drawn in a thread, so that rendering and encoding overlap. The file says that it is synthetic, by which engines
    and when (see `provenance`); it appears in its place only when it is whole.

    Args:
        video: read to its end. A GIF has no sound and at most 25 frames a second; frames between are left out.
        path: where to.
        crf: constant rate factor, smaller is better: H.264 0 to 51, VP9 0 to 63.
        title: a title for players.
        engine: names of the engines that made it.
        metadata: more to say, or to say differently, in the record of its making.
        on_frame: called with the number of frames written so far, after each.

    Raises:
        OutputError: unknown ending, no folder, no room, no right.
        InputError: the video has no frames.
    """
    check_ending(path)
    record = _record(engine, metadata)
    ending = Path(path).suffix.lower()
    with replacing(path) as beside, as_os_error(), closing(prefetch(video.frames)) as frames:
        if ending == ".gif":
            count, size = _write_gif(video, frames, beside, on_frame)
        else:
            count, size = _write_film(video, frames, beside, crf, title, record, on_frame)
        _say_synthetic(beside, record)
    return Written(Path(path), count, float(count / video.fps), size)


def check_ending(path: PathLike) -> None:
    """Raise OutputError unless video can be written to a file of this ending."""
    if Path(path).suffix.lower() not in _ENDINGS:
        raise _unknown_ending(path, _ENDINGS)


def _unknown_ending(path: PathLike, known: Iterable[str]) -> OutputError:
    have = " ".join(known)
    return OutputError(tr(f"{path}: unknown ending; use one of {have}", f"{path}：未知的文件后缀；可用：{have}"))


@contextmanager
def as_os_error() -> Iterator[None]:
    """Raise FFmpeg's errors of the system as OSError, which `replacing` explains, and its others as EngineError."""
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        if error.errno is not None and 0 < error.errno < 1000:
            raise OSError(error.errno, os.strerror(error.errno)) from error
        raise EngineError(tr(f"encoding failed: {error}", f"编码失败：{error}")) from error


def write_part(
    video: Video, frames: Iterable[Frame], path: Path, ending: str, *, crf: int | None = None, on_frame: Callable[[int], None] | None = None
) -> int:
    """Write a stretch of a video for `join`: its pictures encoded as they will be in the end, its sound as it is.

    Args:
        video: what it is a stretch of; its own frames are not read.
        frames: the stretch.
        path: where to, Matroska.
        ending: that of the file in the end.
        crf: see `write_video`.
        on_frame: called with the number of frames written so far, after each.

    Returns:
        How many frames there were.
    """
    import av

    kind = _ENDINGS[ending.lower()]
    container = av.open(f"file:{path}", "w", format="matroska")
    try:
        picture = _PictureWriter(container, kind, video, crf)
        sound: Any = container.add_stream("pcm_f32le", rate=video.rate, layout="mono") if video.rate else None
        heard = 0
        for count, frame in enumerate(frames, 1):
            picture.write(frame.image)
            samples = np.ascontiguousarray(frame.audio.samples, np.float32)
            if sound is not None and len(samples):
                piece = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
                piece.rate, piece.pts, piece.time_base = video.rate, heard, Fraction(1, video.rate)
                heard += len(samples)
                container.mux(sound.encode(piece))
            if on_frame is not None:
                on_frame(count)
        if sound is not None:
            container.mux(sound.encode(None))
        picture.finish()
        container.close()
    except BaseException:
        with suppress(av.error.FFmpegError):
            container.close()
        raise
    return picture.count


def is_whole_part(path: Path, frames: int) -> bool:
    """Tell whether a file of `write_part` can be read to its end and holds so many pictures."""
    import av

    try:
        with av.open(f"file:{path}") as container:
            return frames == sum(1 for packet in container.demux(video=0) if packet.size)
    except (av.error.FFmpegError, IndexError):
        return False


def join(files: Iterable[Path], path: Path, video: Video, *, title: str = "", engine: str = "") -> tuple[int, int]:
    """Make one file of stretches that follow one another, without encoding their pictures again.

    Args:
        files: of `write_part`, all of one video.
        path: where to; the ending that was told to `write_part`.
        video: what they are stretches of.
        title, engine: see `write_video`.

    Returns:
        (width, height) of the pictures in the file.

    Raises:
        InputError: there are none.
    """
    import av

    kind, record = _ENDINGS[path.suffix.lower()], _record(engine, None)
    container = _film(path, kind, title, record)
    picture: Any = None
    sound: _SoundWriter | None = None
    before = decoded = 0  # frames of earlier parts; packets so far
    try:
        for file in files:
            with av.open(f"file:{file}") as part:
                stream = part.streams.video[0]
                if picture is None:
                    picture = container.add_stream_from_template(stream)
                    picture.time_base = 1 / video.fps
                    sound = _SoundWriter(container, kind.sound, video.rate) if video.rate else None
                count = 0
                for packet in part.demux():
                    if not packet.size or packet.pts is None:
                        continue
                    if packet.stream.type == "audio":
                        assert sound is not None
                        for piece in packet.decode():
                            assert isinstance(piece, av.AudioFrame)
                            sound.write(np.asarray(piece.to_ndarray()[0], np.float32))
                        continue
                    assert packet.time_base is not None
                    # Matroska's times are whole milliseconds: the frame's number says it exactly.
                    packet.pts = before + round(packet.pts * packet.time_base * video.fps)
                    packet.dts = decoded - kind.ahead
                    packet.duration, packet.time_base, packet.stream = 1, 1 / video.fps, picture
                    container.mux(packet)
                    count, decoded = count + 1, decoded + 1
                before += count
        if picture is None:
            raise _no_frames()
        size = (picture.codec_context.width, picture.codec_context.height)
        if sound is not None:
            sound.finish()
        container.close()
    except BaseException:
        with suppress(av.error.FFmpegError):
            container.close()
        raise
    _say_synthetic(path, record)
    return size


def _film(path: Path, kind: _Ending, title: str, record: Mapping[str, str]) -> "av.container.OutputContainer":
    """Open a file to write, and say in it what it is."""
    import av

    options = {"movflags": "+faststart"} if kind.container in ("mp4", "mov") else {}
    container = av.open(f"file:{path}", "w", format=kind.container, container_options=options)
    _sign(container, title, record)
    if kind.container in ("matroska", "webm"):
        container.metadata.update({key.upper(): value for key, value in record.items()})
    return container


def sign(container: "av.container.OutputContainer", *, title: str, engine: str) -> None:
    """Say in a container, before anything is written to it, that what it holds is synthetic, and what made it.

    Args:
        container: open to write; formats that keep no such words lose them.
        title: a title for players.
        engine: names of the engines.
    """
    _sign(container, title, _record(engine, None))


def _sign(container: "av.container.OutputContainer", title: str, record: Mapping[str, str]) -> None:
    container.metadata["comment"] = _comment(record)
    if title:
        container.metadata["title"] = title


def _write_film(
    video: Video,
    frames: Iterable[Frame],
    path: Path,
    crf: int | None,
    title: str,
    record: Mapping[str, str],
    on_frame: Callable[[int], None] | None,
) -> tuple[int, tuple[int, int]]:
    """Write everything but GIF; return the number of frames and their size."""
    import av

    kind = _ENDINGS[path.suffix.lower()]
    container = _film(path, kind, title, record)
    try:
        picture = _PictureWriter(container, kind, video, crf)
        sound = _SoundWriter(container, kind.sound, video.rate) if video.rate else None
        for frame in frames:
            picture.write(frame.image)
            if sound is not None:
                sound.write(frame.audio.samples)
            if on_frame is not None:
                on_frame(picture.count)
        if not picture.count:
            raise _no_frames()
        if sound is not None:
            sound.finish()
        picture.finish()
        container.close()
    except BaseException:
        with suppress(av.error.FFmpegError):
            container.close()
        raise
    return picture.count, picture.size


class _PictureWriter:
    """The pictures of a file being written."""

    def __init__(self, container: "av.container.OutputContainer", kind: _Ending, video: Video, crf: int | None) -> None:
        from av.video.reformatter import VideoReformatter

        self.size = (video.size[0] + video.size[0] % 2, video.size[1] + video.size[1] % 2)  # 4:2:0 has one colour for 2×2 pixels
        self.count = 0
        self._video = video
        self._container = container
        quality = {"crf": str(kind.crf if crf is None else crf)}
        stream: Any = container.add_stream(kind.picture, rate=video.fps, options={**kind.options, **quality})
        stream.width, stream.height, stream.pix_fmt = *self.size, "yuv420p"
        context = stream.codec_context
        context.time_base = 1 / video.fps
        context.thread_count = min(os.cpu_count() or 1, 16)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        self._stream = stream
        self._reformatter = VideoReformatter()

    def write(self, image: Image) -> None:
        """Encode a picture."""
        import av

        shown = av.VideoFrame.from_ndarray(_even(_checked(image, self._video.size)), "rgb24")
        shown = self._reformatter.reformat(shown, format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED,
                                           interpolation=_CAREFUL, threads=1)  # fmt: skip
        shown.pts, shown.time_base = self.count, 1 / self._video.fps
        self._container.mux(self._stream.encode(shown))
        self.count += 1

    def finish(self) -> None:
        """Encode what is left."""
        self._container.mux(self._stream.encode(None))


def _no_frames() -> InputError:
    return InputError(tr("the video has no frames; there is nothing to write", "视频没有任何帧；没有可写入的内容"))


def _checked(image: Image, size: tuple[int, int]) -> Image:
    """Return a frame's picture, or raise when it is not what its video promised."""
    if image.shape != (size[1], size[0], 3):
        raise EngineError(tr(
            f"a frame of shape {image.shape} came in a video of {size[0]}×{size[1]}",
            f"视频尺寸为 {size[0]}×{size[1]}，却收到形状为 {image.shape} 的帧",
        ))  # fmt: skip
    return image


def _even(image: Image) -> Image:
    """Return a picture with an even number of rows and columns, the last ones repeated where needed."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return np.ascontiguousarray(image)


class _SoundWriter:
    """The sound of a file being written."""

    def __init__(self, container: "av.container.OutputContainer", codec: str, rate: int) -> None:
        import soxr

        # Opus always plays at 48 kHz; AAC has a list.
        self.rate = 48000 if codec == "libopus" else next((r for r in _AAC_RATES if r >= rate), _AAC_RATES[-1])
        self.container = container
        stream: Any = container.add_stream(codec, rate=self.rate, layout="mono")
        stream.bit_rate = min(128_000, 4 * self.rate)
        self.stream = stream
        self.resampler = soxr.ResampleStream(rate, self.rate, 1, dtype="float32") if rate != self.rate else None
        self.count = 0

    def write(self, samples: Floats) -> None:
        """Encode some samples, (n,) at the video's own rate."""
        if self.resampler is not None:
            samples = self.resampler.resample_chunk(np.ascontiguousarray(samples))
        self._encode(samples)

    def finish(self) -> None:
        """Encode what is left."""
        if self.resampler is not None:
            self._encode(self.resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self.container.mux(self.stream.encode(None))

    def _encode(self, samples: Floats) -> None:
        import av

        if not len(samples):
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], "flt", "mono")
        frame.rate, frame.pts, frame.time_base = self.rate, self.count, Fraction(1, self.rate)
        self.count += len(samples)
        self.container.mux(self.stream.encode(frame))


def _write_gif(video: Video, frames: Iterable[Frame], path: Path, on_frame: Callable[[int], None] | None) -> tuple[int, tuple[int, int]]:
    """Write a GIF with one palette for the whole clip; return the number of frames drawn and their size.

    The frames go to a lossless file beside it while their colours are counted, then from there into the GIF: memory stays constant.
    """
    import av
    from av.filter import Graph

    if video.rate:
        logger.info(tr("a GIF has no sound", "GIF 没有声音"))
    step = math.ceil(video.fps / GIF_FPS)
    beat = step / video.fps
    width, height = video.size
    shape = {"video_size": f"{width}x{height}", "time_base": str(beat), "pixel_aspect": "1/1"}
    with tempfile.TemporaryDirectory(prefix=".huashen-", suffix=".part", dir=path.parent) as folder:
        middle = Path(folder) / "frames.mkv"
        colours = Graph()
        colours.link_nodes(
            colours.add("buffer", pix_fmt="rgb24", **shape), colours.add("palettegen", stats_mode="full"), colours.add("buffersink")
        ).configure()
        count = 0
        with av.open(f"file:{middle}", "w") as container:
            lossless: Any = container.add_stream("libx264rgb", rate=1 / beat, options={"preset": "ultrafast", "qp": "0"})
            lossless.width, lossless.height, lossless.pix_fmt = width, height, "rgb24"
            for count, frame in enumerate(frames, 1):
                if (count - 1) % step == 0:
                    shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(_checked(frame.image, video.size)), "rgb24")
                    shown.pts, shown.time_base = (count - 1) // step, beat
                    colours.push(shown)
                    container.mux(lossless.encode(shown))
                if on_frame is not None:
                    on_frame(count)
            if not count:
                raise _no_frames()
            container.mux(lossless.encode(None))
        colours.push(None)
        palette: Any = colours.pull()

        paint = Graph()
        pictures = paint.add("buffer", pix_fmt="gbrp", **shape)
        chosen = paint.add("buffer", pix_fmt=palette.format.name, **{**shape, "video_size": f"{palette.width}x{palette.height}"})
        dither = paint.add("paletteuse", dither="bayer", bayer_scale="4", diff_mode="rectangle")
        pictures.link_to(dither, 0, 0)
        chosen.link_to(dither, 0, 1)
        dither.link_to(paint.add("buffersink"))
        paint.configure()
        chosen.push(palette)
        chosen.push(None)
        with av.open(f"file:{middle}") as source, av.open(f"file:{path}", "w", format="gif") as container:
            stream: Any = container.add_stream("gif", rate=1 / beat)
            stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
            for index, picture in enumerate(source.decode(video=0)):
                picture.pts, picture.time_base = index, beat
                pictures.push(picture)
                container.mux([packet for shown in _pulled(paint) for packet in stream.encode(shown)])
            pictures.push(None)
            container.mux([packet for shown in _pulled(paint) for packet in stream.encode(shown)])
            container.mux(stream.encode(None))
    return count, video.size


def _pulled(graph: Any) -> Iterator[Any]:
    """Yield what a filter graph has ready."""
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


# Provenance


def provenance(path: PathLike) -> dict[str, str]:
    """Return the record of a file's making that `write_video` and `write_image` leave in it; empty when there is none.

    Keys: synthetic, generator, engine, created (ISO 8601, UTC), digital_source_type (IPTC), and what the maker added.

    Raises:
        UnreadableError: the file is missing or broken.
    """
    from PIL import Image as Pictures

    kind = probe(path)
    if Path(path).suffix.lower() == ".gif":
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 65536))
            text = _gif_comment(file.read())
    elif kind.kind == "image":
        with Pictures.open(path) as picture:
            found = picture.info.get("Comment") or picture.info.get("comment") or unescape(_text(picture.info.get("xmp", b"")))
            text = _text(found)
    else:
        with _opened(path) as container:
            text = next((value for key, value in container.metadata.items() if key.lower() == "comment"), "")
    _, said, rest = text.partition(_SAYS)
    try:
        record = json.JSONDecoder().raw_decode(rest)[0] if said else {}
    except ValueError:
        record = {}  # someone wrote over it
    return {str(key): str(value) for key, value in record.items()}


_SAYS = "Synthetic media made by Huashen. "
_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""The identifier of the box that holds XMP in an MP4 (XMP specification, part 3)."""


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _record(engine: str, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return what a file says of its making."""
    record = {
        "synthetic": "true",
        "generator": f"Huashen {huashen.__version__}",
        "engine": engine,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "digital_source_type": SOURCE_TYPE,
    }
    return record | dict(metadata or {})


def _comment(record: Mapping[str, str]) -> str:
    """Return the record as one line that people and programs can read."""
    return _SAYS + json.dumps(dict(record), ensure_ascii=True)


def _xmp(record: Mapping[str, str]) -> str:
    """Return the record as XMP, with IPTC's word for synthetic media where photo agencies and platforms look for it."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<Iptc4xmpExt:DigitalSourceType>{escape(record['digital_source_type'])}</Iptc4xmpExt:DigitalSourceType>"
        f"<xmp:CreatorTool>{escape(record['generator'])}</xmp:CreatorTool><xmp:CreateDate>{escape(record['created'])}</xmp:CreateDate>"
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{escape(_comment(record))}</rdf:li></rdf:Alt></dc:description>'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )


def _say_synthetic(path: Path, record: Mapping[str, str]) -> None:
    """Add to a written file what its muxer cannot: XMP to MP4 and MOV, a comment to GIF."""
    ending = path.suffix.lower()
    if ending in (".mp4", ".mov"):
        packet = _xmp(record).encode()
        with path.open("ab") as file:
            file.write(struct.pack(">I4s", 24 + len(packet), b"uuid") + _XMP_BOX + packet)
    elif ending == ".gif":
        said = _comment(record).encode()
        blocks = b"".join(bytes([len(said[i : i + 255])]) + said[i : i + 255] for i in range(0, len(said), 255))
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)  # the trailer, which stays last
            file.write(b"\x21\xfe" + blocks + b"\x00\x3b")


def _gif_comment(tail: bytes) -> str:
    """Return the last comment of a GIF that is Huashen's."""
    begin = tail.rfind(b"\x21\xfe")
    said = b""
    while begin >= 0 and begin + 2 < len(tail) and tail[begin + 2]:
        length = tail[begin + 2]
        said += tail[begin + 3 : begin + 3 + length]
        begin += 1 + length
    return said.decode("utf-8", "replace")

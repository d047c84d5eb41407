"""Outputs of a channel: RTMP, RTSP, SRT, HLS and files, through PyAV; each in a thread of its own, none of which can hold up the session.

Time stamps come from a frame's place on the session's timeline and never from a clock: they stay exact for as long as the channel runs,
and go on where they were when a connection was lost and is there again. Where the network or the encoder is too slow, pictures are left
out; sound is dropped only together with the connection.
"""

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from huashen import media
from huashen.errors import InputError, MissingPartError, OutputError
from huashen.types import Audio, Frame
from huashen.words import tr

logger = logging.getLogger(__name__)

SCHEMES = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "srt": "mpegts"}
"""Where a channel may be pushed, and how it is packed."""
PICTURES = 1.0
"""Seconds of pictures that may wait; then the oldest is left out."""
SOUND = 5.0
"""Seconds of sound that may wait; then the connection counts as lost."""
PATIENCE = 8
"""Seconds in which a server must take something."""
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries to reach a server; the last again and again."""
GROUP = 2.0
"""Seconds between key pictures: what platforms ask for."""
SEGMENT, SEGMENTS = 2.0, 8
"""Seconds of an HLS segment, and how many a play-list holds."""
SOUND_RATE = 48_000
"""Hz of what is sent."""
_NONE = np.zeros((0, 0, 3), np.uint8)
"""In a frame that waits: its picture comes too late and is left out."""
_HLS = "delete_segments+independent_segments+program_date_time"

Connection = Literal["connecting", "running", "lost", "failed", "ended"]


@dataclass(frozen=True)
class Condition:
    """How an output does."""

    name: str
    """The address without what is secret in it."""
    state: Connection
    frames: int
    """Pictures written."""
    dropped: int
    """Pictures left out because it was too slow."""
    connections: int
    """How often it was connected, 1 at first."""
    bytes: int
    """Written since the beginning."""
    error: str = ""
    """What went wrong last."""


class Output:
    """Something that takes a channel's frames. Begins at once; `put` never waits.

    Args:
        target: rtmp://, rtmps://, rtsp:// or srt:// address; a folder for HLS (ending in /); a file .mp4, .mkv, .flv, .ts.
        size: (width, height) of the pictures.
        fps: frames a second.
        rate: samples a second of the sound.
        bitrate: bits a second of the picture; by its size without.
        title: a title for players.

    Raises:
        InputError: an address of another kind.
        OutputError: the folder or the file cannot be written.
    """

    def __init__(
        self, target: str, size: tuple[int, int], fps: Fraction, rate: int, *, bitrate: int | None = None, title: str = ""
    ) -> None:
        self._target, self._title = target, title
        self._size, self._fps, self._rate = size, fps, rate
        self._bitrate = bitrate or round(max(600_000, 0.12 * size[0] * size[1] * float(fps)))
        self.name, self._format, self._live = _kind(target)
        self._frames: deque[Frame] = deque()
        self._taking = not self._live  # while nobody is reached nothing is kept: it would be old when somebody is
        self._relay: subprocess.Popen[bytes] | None = None
        self._progress = 0.0
        self._come = threading.Condition()
        self._closing = False
        self._condition = Condition(self.name, "connecting", 0, 0, 0, 0)
        self._thread = threading.Thread(target=self._run, name=f"output {self._format}", daemon=True)
        self._thread.start()

    def condition(self) -> Condition:
        """Return how it does."""
        return self._condition

    def put(self, frame: Frame) -> None:
        """Take a frame; called from the room's own thread."""
        relay = self._relay
        if relay is not None and time.monotonic() - self._progress > PATIENCE:
            relay.kill()  # what it hangs in cannot be interrupted; the thread that feeds it gets an error, and begins again
        with self._come:
            if self._closing or not self._taking:
                return
            self._frames.append(frame)
            late = len(self._frames) - 2 - int(PICTURES * self._fps)
            if late >= 0:
                self._frames[late] = replace(self._frames[late], image=_NONE, drawn=None)
            if len(self._frames) > SOUND * self._fps:
                self._frames.popleft()
            self._come.notify()

    async def close(self) -> None:
        """Write what waits and end: a file is whole then."""
        import asyncio

        await asyncio.to_thread(self.end)

    def end(self) -> None:
        """Write what waits and end; waits for it."""
        with self._come:
            self._closing = True
            self._come.notify()
        if self._relay is not None and self._condition.state != "running":
            self._relay.kill()  # nothing has been taken: there is nothing to finish
        self._thread.join(PATIENCE + 5)

    def _run(self) -> None:
        import av

        failures = 0
        while not self._closing:
            try:
                self._note("connecting")
                self._connected()
                failures = 0
            except (av.FFmpegError, OSError) as error:
                reason = " ".join(str(error).replace(self._target, self.name).split())[:200]
                if not self._live:  # a file that cannot be written will not be writable in a second
                    self._take(now=False)
                    self._condition = replace(self._condition, state="failed", error=reason)
                    logger.warning(
                        tr("%s cannot be written any more (%s); what is there stays", "无法继续写入 %s（%s）；已写入的部分保留"),
                        self.name,
                        reason,
                    )
                    return
                if self._condition.state == "running":
                    failures = 0
                self._condition = replace(self._condition, state="lost", error=reason)
                wait = WAITS[min(failures, len(WAITS) - 1)]
                failures += 1
                logger.warning(
                    tr("%s is not reached (%s); trying again in %.1f s", "无法连接 %s（%s）；%.1f 秒后重试"), self.name, reason, wait
                )
                self._rest(wait)
        self._note("ended")

    def _rest(self, seconds: float) -> None:
        """Wait, but not past the end."""
        until = time.monotonic() + seconds
        with self._come:
            while not self._closing and (left := until - time.monotonic()) > 0:
                self._come.wait(left)

    def _take(self, *, now: bool) -> None:
        """Take frames from now on, or none any more; what waited is forgotten."""
        with self._come:
            self._frames.clear()
            self._taking = now

    def _note(self, state: Connection) -> None:
        self._condition = replace(self._condition, state=state)

    def _connected(self) -> None:
        """Open the target and write to it until the end, or until it breaks."""
        import av

        if not self._live:
            self._write_to(*self._file())
            return
        relay = subprocess.Popen(_relay(self._format), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert relay.stdin is not None
        assert relay.stdout is not None
        assert relay.stderr is not None
        try:
            self._progress, self._relay = time.monotonic(), relay
            if self._closing:  # `end` may have come before there was anything to kill
                relay.kill()
            relay.stdin.write(self._target.encode() + b"\n")
            relay.stdin.flush()
            if self._format != "mpegts":  # the program ffmpeg, which carries that, connects when it has seen some of the stream
                relay.stdin.write(b"%d\n" % len(self._sample) + self._sample)
                relay.stdin.flush()
                if not relay.stdout.read(1):
                    raise OSError
                self._progress = time.monotonic()
            os.set_blocking(relay.stdout.fileno(), False)
            self._take(now=True)
            self._write_to(relay.stdin, "flv", {"flvflags": "no_duration_filesize"}, relay.stdout if self._format == "mpegts" else None)
            relay.stdin.close()
            relay.wait(PATIENCE)
        except (av.FFmpegError, OSError, ValueError, subprocess.TimeoutExpired) as error:
            relay.kill()
            said = relay.stderr.read().decode("utf-8", "replace").strip().splitlines()
            raise OSError(said[-1] if said else tr("the connection broke", "连接中断")) from error
        finally:
            self._take(now=False)
            self._relay = None
            relay.kill()
            relay.wait()
            for pipe in (relay.stdin, relay.stdout, relay.stderr):
                with suppress(OSError):  # what still waited for a process that is gone
                    pipe.close()

    @cached_property
    def _sample(self) -> bytes:
        """A fifth of a second, black and silent, as FLV: it tells a relay what will come before anything does."""
        import av

        place = BytesIO()
        black = np.zeros((self._size[1], self._size[0], 3), np.uint8)
        silence = Audio(np.zeros(int(self._rate / self._fps), np.float32), self._rate)
        with av.open(place, "w", format="flv") as container:
            writer = _Writer(container, self._size, self._fps, self._rate, self._bitrate)
            for k in range(int(self._fps / 5) + 1):
                writer.write(Frame(black, silence, k))
            writer.finish()
        return place.getvalue()

    def _file(self) -> tuple[Any, str, dict[str, str]]:
        """Return what to open for a file or a folder, its format and the format's options."""
        if self._format == "hls":
            folder = Path(self._target)
            length = {"hls_time": str(SEGMENT), "hls_list_size": str(SEGMENTS), "hls_flags": _HLS}
            return str(folder / "live.m3u8"), "hls", {**length, "hls_segment_filename": str(folder / "part%06d.ts")}
        if self._format == "mp4":  # whole after every key picture, whatever happens next
            return self._target, "mp4", {"movflags": "frag_keyframe+delay_moov+default_base_moof+use_metadata_tags"}
        return self._target, self._format, {}

    def _write_to(self, place: Any, kind: str, options: dict[str, str], told: Any = None) -> None:
        """Write to a place what comes.

        Args:
            place: a path, or a relay's standard input.
            kind, options: the format's.
            told: where a relay tells that the server takes what it is given; None: it does.
        """
        import av

        connected = told is None
        new = 1
        with av.open(place, "w", format=kind, options=options, container_options={"flush_packets": "1"}) as container:
            media.sign(container, title=self._title, engine="live")
            writer = _Writer(container, self._size, self._fps, self._rate, self._bitrate)
            while (frame := self._next()) is not None:
                slow = not frame.image.size
                written = writer.write(frame)
                self._progress = time.monotonic() if connected else self._progress
                connected = connected or bool(told.read(1))
                if not connected:
                    continue
                old = self._condition
                self._condition = replace(
                    old, state="running", frames=old.frames + (not slow), dropped=old.dropped + slow, bytes=old.bytes + written,
                    connections=old.connections + new, error="",
                )  # fmt: skip
                new = 0
            writer.finish()

    def _next(self) -> Frame | None:
        """Return the next frame, None at the end."""
        with self._come:
            while not self._frames and not self._closing:
                self._come.wait()
            return self._frames.popleft() if self._frames else None


class _Writer:
    """Encodes frames into one container."""

    def __init__(self, container: Any, size: tuple[int, int], fps: Fraction, rate: int, bitrate: int) -> None:
        import av

        self._container = container
        self._fps, self._rate = fps, rate
        # zerolatency: a platform's viewers wait long enough for what the platform does
        self._picture = container.add_stream("libx264", rate=fps, options={
            "preset": "veryfast", "tune": "zerolatency", "maxrate": str(bitrate * 3 // 2), "bufsize": str(bitrate * 2), "sc_threshold": "0",
        })  # fmt: skip
        self._picture.width, self._picture.height = size[0] // 2 * 2, size[1] // 2 * 2
        self._picture.pix_fmt = "yuv420p"
        self._picture.bit_rate = bitrate
        self._picture.time_base = self._picture.codec_context.time_base = 1 / fps
        self._picture.gop_size = round(GROUP * fps)
        self._sound = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        self._sound.bit_rate = 128_000
        self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE, frame_size=1024)
        self._first: int | None = None
        self._samples = 0

    def write(self, frame: Frame) -> int:
        """Write a frame's sound, and its picture if it has one; return the bytes."""
        import av

        count = 0
        if self._first is None:  # the timeline's own time: after a lost connection it goes on, and never back
            self._first = self._expected = frame.index
            self._samples = round(frame.index * self._rate / self._fps)
        if frame.image.size:
            image = av.VideoFrame.from_ndarray(frame.image[: self._picture.height, : self._picture.width], format="rgb24")
            image.pts, image.time_base = frame.index, 1 / self._fps
            count += self._mux(self._picture.encode(image))
        while self._expected < frame.index:  # frames that are missing were silence to whoever looks on
            self._expected += 1
            count += self._hear(Audio(np.zeros(len(frame.audio.samples), np.float32), self._rate))
        self._expected += 1
        return count + self._hear(frame.audio)

    def finish(self) -> None:
        """Write what the encoders hold."""
        self._mux(self._picture.encode(None))
        for piece in self._resampler.resample(None):
            self._mux(self._sound.encode(piece))
        self._mux(self._sound.encode(None))

    def _hear(self, audio: Audio) -> int:
        import av

        samples = (np.clip(audio.samples, -1, 1) * 32767).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = self._rate, self._samples, Fraction(1, self._rate)
        self._samples += len(samples)
        return sum(self._mux(self._sound.encode(piece)) for piece in self._resampler.resample(sound))

    def _mux(self, packets: Any) -> int:
        count = 0
        for packet in packets:
            count += packet.size
            self._container.mux(packet)
        return count


def _relay(kind: str) -> list[str]:
    """Return the command of the process that carries a stream; see `relay.py`."""
    return [sys.executable, "-m", "huashen.server.relay", kind]


def _kind(target: str) -> tuple[str, str, bool]:
    """Return what to call a target, its format, and whether it is a connection that may come back."""
    parts = urlsplit(target)
    if parts.scheme in SCHEMES:
        if parts.scheme == "srt" and not _knows_srt():
            raise MissingPartError(tr(
                "PyAV's wheel is built without SRT; install the program ffmpeg, or push to rtmp://",
                "PyAV 的安装包不含 SRT；请安装 ffmpeg 程序，或改用 rtmp:// 推流",
            ))  # fmt: skip
        # the last part of an RTMP address is the key to somebody's channel
        shown = parts.path.rpartition("/")[0] + "/…" if parts.path.count("/") > 1 else parts.path
        host = parts.hostname or ""
        return urlunsplit((parts.scheme, host + (f":{parts.port}" if parts.port else ""), shown, "", "")), SCHEMES[parts.scheme], True
    if "://" in target:
        have = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise InputError(tr(f"cannot push to '{parts.scheme}://'; there are: {have}", f"无法推流到“{parts.scheme}://”；可用的有：{have}"))
    path = Path(target)
    if target.endswith("/") or path.is_dir():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(tr(f"{path} cannot be made: {error.strerror}", f"无法创建 {path}：{error.strerror}")) from error
        return str(path), "hls", False
    formats = {".mp4": "mp4", ".mkv": "matroska", ".flv": "flv", ".ts": "mpegts"}
    if path.suffix.lower() not in formats:
        have = ", ".join(formats)
        raise OutputError(tr(f"{path} cannot be recorded to; the ending may be {have}", f"无法录制到 {path}；扩展名可为 {have}"))
    if not path.parent.is_dir():
        raise OutputError(tr(f"there is no folder {path.parent}", f"没有文件夹 {path.parent}"))
    return str(path), formats[path.suffix.lower()], False


def _knows_srt() -> bool:
    """Return whether SRT can be spoken: PyAV's wheels are built without it, the program ffmpeg of most systems with it."""
    return shutil.which("ffmpeg") is not None


def outputs(targets: list[str], size: tuple[int, int], fps: Fraction, rate: int, *, title: str) -> list[Output]:
    """Begin all outputs, or none."""
    begun: list[Output] = []
    try:
        for target in targets:
            begun.append(Output(target, size, fps, rate, title=title))
    except BaseException:
        for output in begun:
            output.end()
        raise
    return begun

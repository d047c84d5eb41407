"""How much memory and time long footage takes: minutes of 1080p are followed and made to speak, as `huashen sync` does it.

    python benchmarks/footage.py [--minutes 20] [--speech 20] [--size 1920x1080] [--clip FILE] [--keep FOLDER] [--json FILE]

A loop of the example portrait speaking (or of a real clip, in the middle of a picture of that size) is encoded once, and its packets are
written again and again until the clip is long enough. Resident memory is read twice a second; drift is the mean of the last minute of
video less that of the first, after the first ten seconds, for following and for rendering each.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
from render import framed, processor, spoken

import huashen
from huashen import footage, media, studio
from huashen.types import Audio, Frame, Image, Speech, Video

DRIFT, PEAK = 20.0, 1000.0
"""Targets, MB."""
LOOP = 20
"""Seconds that are drawn and encoded."""


def within(image: Image, size: tuple[int, int]) -> Image:
    """Return a picture as high as another size, in the middle, its edge going on to both sides."""
    share = min(size[0] / image.shape[1], size[1] / image.shape[0])
    shown = cv2.resize(image, (round(image.shape[1] * share), round(image.shape[0] * share)), interpolation=cv2.INTER_CUBIC)
    across, down = size[0] - shown.shape[1], size[1] - shown.shape[0]
    sides = (down // 2, down - down // 2, across // 2, across - across // 2)
    return np.asarray(cv2.copyMakeBorder(shown, *sides, cv2.BORDER_REPLICATE), np.uint8)


def there_and_back(clip: Path, size: tuple[int, int]) -> Video:
    """Return a loop of a real clip without a jump in it."""
    video = media.read_video(clip, rate=16000)
    half = round(LOOP / 2 * video.fps)
    with tempfile.TemporaryDirectory() as place:
        short = Path(place) / "short.mp4"
        silent = Audio(np.zeros(0, np.float32), 0)
        count = media.write_video(
            Video((Frame(f.image, silent, f.index) for f in islice(video.frames, half)), video.fps, video.size, 0), short, crf=10
        ).frames
        images = [cv2.imencode(".png", image)[1] for image in media.read_images(short, fps=video.fps)]
    order = [*range(count), *range(count - 1, -1, -1)]

    def frames() -> Iterator[Frame]:
        for index, k in enumerate(order):
            yield Frame(within(np.asarray(cv2.imdecode(images[k], cv2.IMREAD_COLOR), np.uint8), size), silent, index)

    return Video(frames(), video.fps, size, 0)


def speaking(size: tuple[int, int]) -> Video:
    """Return a loop of the example portrait speaking."""
    engine = huashen.load("talking_head", driver=huashen.load("audio2face"), fps=Fraction(25))
    video: Video = engine.animate(framed(size, 0.5), [spoken(LOOP)])
    silent = Audio(np.zeros(0, np.float32), 0)
    return replace(video, frames=(replace(frame, audio=silent) for frame in video.frames), rate=0)


def lengthened(loop: Path, sound: Path, goal: Path, seconds: float) -> None:
    """Write a loop's packets again and again, with sound."""
    with av.open(loop) as source, av.open(sound) as heard, av.open(goal, "w") as container:
        stream = source.streams.video[0]
        out: Any = container.add_stream_from_template(stream)
        voice: Any = container.add_stream("aac", rate=heard.streams.audio[0].rate, layout="mono")
        packets = [(p.pts, p.dts, bytes(p), p.is_keyframe) for p in source.demux(stream) if p.size]
        base, rate = stream.time_base, stream.average_rate
        assert base is not None
        assert rate is not None
        length = round(len(packets) / rate / base)
        samples = heard.decode(audio=0)
        told = 0.0
        for again in range(int(np.ceil(seconds / float(len(packets) / rate)))):
            for pts, dts, content, key in packets:
                if pts is None or dts is None or (pts + again * length) * base >= seconds:
                    continue
                packet = av.Packet(content)
                packet.pts, packet.dts, packet.time_base = pts + again * length, dts + again * length, base
                packet.stream, packet.is_keyframe = out, key
                container.mux(packet)
                with suppress(StopIteration):
                    while told < (pts + again * length) * base:
                        piece = next(samples)
                        told = float(piece.time or 0.0) + piece.samples / piece.sample_rate
                        container.mux(voice.encode(piece))
        container.mux(voice.encode(None))


def forever(seconds: float, path: Path) -> None:
    """Write a voice that says its text again and again, no two times quite the same."""
    speech: Speech = spoken(LOOP)
    rate = speech.audio.rate
    dice = np.random.default_rng(0)
    with av.open(path, "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        left, done = round(seconds * rate), 0
        while left > 0:
            samples = speech.audio.samples[:left] + dice.normal(0, 1e-4, min(left, len(speech.audio.samples))).astype(np.float32)
            piece = av.AudioFrame.from_ndarray((np.clip(samples, -1, 1) * 32767).astype(np.int16)[None], "s16", "mono")
            piece.rate, piece.pts, piece.time_base = rate, done, Fraction(1, rate)
            container.mux(stream.encode(piece))
            left, done = left - len(samples), done + len(samples)
        container.mux(stream.encode(None))


class Gauge:
    """Reads resident memory as the work tells of itself."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.readings: dict[str, list[tuple[float, float]]] = {"track": [], "render": []}
        self.peak = {"track": 0.0, "render": 0.0}
        self._begun = self._last = self._said = 0.0

    def follow(self, frames: int, seconds: float, whole: float | None) -> None:
        """Take what `footage.prepare` tells."""
        self._begun = self._begun or time.monotonic()
        self.show(studio.Progress(frames, seconds, whole, time.monotonic() - self._begun, "track"))

    def show(self, progress: studio.Progress) -> None:
        """Take what `studio` tells."""
        now = time.monotonic()
        if now - self._last < 0.5:
            return
        self._last = now
        resident = self._process.memory_info().rss / 1e6
        self.readings[progress.what].append((progress.seconds, resident))
        self.peak[progress.what] = max(self.peak[progress.what], resident)
        if now - self._said > 30:
            self._said = now
            left = "" if progress.left is None else f", {progress.left:.0f} s to go"
            print(f"  {progress.what} {progress.seconds / 60:5.1f} min, {resident:.0f} MB{left}", file=sys.stderr, flush=True)

    def drift(self, what: str) -> float:
        """Return by how many MB memory grew from the first minute to the last."""
        read = self.readings[what]
        begin, end = read[0][0] + 10, read[-1][0]  # what was stopped before goes on in the middle
        span = min(60.0, (end - begin) / 2)
        first = [mb for second, mb in read if begin <= second < begin + span]
        last = [mb for second, mb in read if second >= end - span]
        return float(np.mean(last) - np.mean(first))


def main() -> int:
    """Print the numbers; return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="of footage, 1 or more")
    parser.add_argument("--speech", type=float, help="minutes that are said, 1 or more; as many as of footage without")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--clip", type=Path, help="a real clip instead of the example portrait")
    parser.add_argument("--keep", type=Path, help="make and leave everything in this folder; a clip that is there is used again")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    seconds = given.minutes * 60
    print(f"{date.today()}, {processor()}, {os.cpu_count()} processors, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        loop, sound, clip = folder / "loop.mp4", folder / "speech.wav", folder / "long.mp4"
        if not clip.is_file():
            forever(seconds, sound)  # what the footage itself sounds like
            media.write_video(there_and_back(given.clip, (width, height)) if given.clip else speaking((width, height)), loop)
            lengthened(loop, sound, clip, seconds)
        forever(60 * (given.speech or given.minutes), sound)
        shutil.rmtree(folder / "kept", ignore_errors=True)
        gauge = Gauge()
        began, busy = time.monotonic(), time.process_time()
        person = footage.prepare(clip, folder=folder / "kept", progress=gauge.follow)
        prepared = time.monotonic() - began, time.process_time() - busy
        made = studio.sync(sound, person, folder / "out.mp4", progress=gauge.show)
        rendered = time.monotonic() - began - prepared[0], time.process_time() - busy - prepared[1]
    length, minutes = float(len(person) / person.fps) / 60, made.seconds / 60
    print(f"{length:.1f} minutes of {width}×{height} at {made.fps} frames a second say {minutes:.1f} minutes, {made.frames} frames")
    missed = False
    for what, (clock, work), long in (("track", prepared, length), ("render", rendered, minutes)):
        drift, peak = gauge.drift(what), gauge.peak[what]
        missed |= drift >= DRIFT or peak >= PEAK
        print(f"{what:7} {clock / long:6.1f} s by the clock, {work / long:5.1f} s of the processors for a minute; "
              f"drift {drift:+.1f} MB (target < {DRIFT:.0f}), peak {peak:.0f} MB (target < {PEAK:.0f})")  # fmt: skip
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(f"most of the whole process {whole:.0f} MB, files it reads mapped among it")
    if given.json:
        found = {"minutes": minutes, "peak": whole, "prepared": prepared, "rendered": rendered, "readings": gauge.readings}
        given.json.write_text(json.dumps(found), "utf-8")
    return int(missed or whole >= PEAK)


if __name__ == "__main__":
    sys.exit(main())

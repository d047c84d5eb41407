"""How much memory a long video takes: resident memory while an hour of a small talking picture is drawn and written.

    python benchmarks/memory.py [--minutes 60] [--size 128] [--fps 25] [--file] [--json FILE]

The speech is a voice's own, said again and again; it passes through driver, puppet and, with --file, the encoder and its file (without
it the frames are thrown away, which leaves the encoder's memory out). Resident memory is read once a second of output; drift is the
mean of the last minute of output less that of the first, after the first ten seconds have filled every cache.
"""

import argparse
import itertools
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
from render import processor, spoken

import huashen
from huashen import weights
from huashen.avatar import from_image
from huashen.media import read_image, write_video
from huashen.types import Frame, Speech, Video

DRIFT, PEAK = 20.0, 700.0
"""Targets, MB."""


class Gauge:
    """Passes frames on and reads the process's resident memory, with the output's time, once a second of output."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = fps
        self._process = psutil.Process()
        self.readings: list[tuple[float, float]] = []
        self.peak = 0.0

    def watch(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Pass frames on."""
        every = max(1, int(self._fps))
        for frame in frames:
            if frame.index % every == 0:
                resident = self._process.memory_info().rss / 1e6
                self.readings.append((float(frame.index / self._fps), resident))
                self.peak = max(self.peak, resident)
            yield frame

    def mean(self, begin: float, end: float) -> float:
        """Return the mean resident memory in MB between two seconds of output."""
        return float(np.mean([mb for second, mb in self.readings if begin <= second < end]))


def forever(speech: Speech, seconds: float) -> Iterator[Speech]:
    """Yield a piece of speech again and again, with a trace of fresh noise so that no two are the same."""
    dice = np.random.default_rng(0)
    for _ in range(int(np.ceil(seconds / speech.audio.seconds))):
        noise = dice.normal(0, 1e-4, len(speech.audio.samples)).astype(np.float32)
        yield replace(speech, audio=replace(speech.audio, samples=speech.audio.samples + noise))


def main() -> int:
    """Print the numbers; return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of output, more than 2")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--fps", type=Fraction, default=Fraction(25))
    parser.add_argument("--file", action="store_true", help="encode and write as well")
    parser.add_argument("--limit", type=float, help="stop after this many seconds of work")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{date.today()}, {processor()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    size = (given.size, given.size)
    avatar = from_image(read_image(weights.path("astronaut")), name="astronaut").fitted(size)
    gauge = Gauge(given.fps)
    seconds = given.minutes * 60
    engine = huashen.load("talking_head", driver=huashen.load("audio2face"), fps=given.fps)
    began = time.perf_counter()
    video: Video = engine.animate(avatar, forever(spoken(20.0), seconds))
    frames = itertools.islice(gauge.watch(video.frames), int(seconds * given.fps))
    if given.limit:
        frames = itertools.takewhile(lambda _: time.perf_counter() - began < given.limit, frames)
    stop = threading.Event()

    def tell() -> None:
        while not stop.wait(30):
            second, resident = gauge.readings[-1] if gauge.readings else (0.0, 0.0)
            print(f"  {second / 60:5.1f} min of output, {resident:.0f} MB", file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        if given.file:
            with tempfile.TemporaryDirectory() as place:
                write_video(replace(video, frames=frames), Path(place) / "long.mp4")
        else:
            deque(frames, maxlen=0)
    finally:
        stop.set()
        teller.join()
    done = gauge.readings[-1][0]
    first, last = gauge.mean(10, 70), gauge.mean(done - 60, done + 1)
    minutes = [gauge.mean(60 * k, 60 * k + 60) for k in range(int(done // 60))]
    drift = last - first
    print(f"{done / 60:.1f} minutes of {given.size}×{given.size} at {given.fps} frames a second in {time.perf_counter() - began:.0f} s")
    print(f"first minute {first:.1f} MB, last minute {last:.1f} MB, drift {drift:+.1f} MB (target < {DRIFT:.0f})")
    print(f"peak {gauge.peak:.0f} MB (target < {PEAK:.0f})")
    print("MB in every fifth minute: " + " ".join(f"{mb:.1f}" for mb in minutes[::5]))
    if given.json:
        machine = {"date": str(date.today()), "processor": processor()}
        found = machine | {"minutes": done / 60, "drift": drift, "peak": gauge.peak, "by_minute": minutes}
        given.json.write_text(json.dumps(found, indent=1), "utf-8")
    return int(drift >= DRIFT or gauge.peak >= PEAK)


if __name__ == "__main__":
    sys.exit(main())

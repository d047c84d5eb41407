"""How fast video is written and read, and whether memory stays flat.

    python benchmarks/media.py                 # a minute
    python benchmarks/media.py --minutes 60    # the hour of the promise: small frames, in the time the machine takes

Frames: the example portrait with the middle of its face moved smoothly, which costs an encoder about what a talking head costs.
"""

import argparse
import itertools
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import psutil

from huashen import media, weights
from huashen.flow import first_sample
from huashen.types import Audio, Frame, Image, Video

FPS = Fraction(25)
RATE = 22050


def pictures(size: tuple[int, int], count: int = 50) -> list[Image]:
    """Return a loop of frames."""
    width, height = size
    source = cv2.resize(media.read_image(weights.path("astronaut")), size, interpolation=cv2.INTER_AREA)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    near = np.exp(-(((x / width - 0.45) / 0.15) ** 2) - ((y / height - 0.25) / 0.2) ** 2).astype(np.float32)
    loop = []
    for k in range(count):
        turn = np.float32(2 * np.pi * k / count)
        right, down = 0.006 * height * np.sin(turn), 0.01 * height * np.abs(np.sin(4 * turn))
        loop.append(cv2.remap(source, x + np.float32(right) * near, y + np.float32(down) * near, cv2.INTER_LINEAR))
    return loop


def film(loop: list[Image], count: int) -> Video:
    """Return a video of `count` frames with a tone."""
    height, width = loop[0].shape[:2]

    def frames() -> Iterator[Frame]:
        for k in range(count):
            n = np.arange(first_sample(k, RATE, FPS), first_sample(k + 1, RATE, FPS))
            yield Frame(loop[k % len(loop)], Audio((0.3 * np.sin(n / 20)).astype(np.float32), RATE), k)

    return Video(frames(), FPS, (width, height), RATE, count)


def likeness(path: Path, loop: list[Image]) -> float:
    """Return the PSNR of the first frames read back."""
    frames = itertools.islice(media.read_video(path).frames, 25)
    errors = [np.mean((frame.image.astype(np.float32) - loop[frame.index % len(loop)]) ** 2) for frame in frames]
    return float(10 * np.log10(255**2 / np.mean(errors)))


def speed(folder: Path, ending: str, loop: list[Image], count: int) -> None:
    """Print how fast one kind of file is written and read."""
    path = folder / f"a{ending}"
    height, width = loop[0].shape[:2]
    begin = time.perf_counter()
    media.write_video(film(loop, count), path)
    wrote = time.perf_counter() - begin
    begin = time.perf_counter()
    read = sum(1 for _ in media.read_video(path).frames)
    took = time.perf_counter() - begin
    rate = path.stat().st_size * 8 / float(count / FPS) / 1000
    speeds = f"{count / wrote:.0f} | {read / took:.0f}"
    print(f"| {ending[1:]} | {width}×{height} | {speeds} | {rate:.0f} | {likeness(path, loop):.1f} |", flush=True)


def flatness(folder: Path, minutes: float) -> None:
    """Print how memory grows from the first minute to the last while a long video is written."""
    process = psutil.Process()
    count = round(minutes * 60 * FPS)
    first = min(round(60 * FPS), count // 4)
    sizes: list[int] = []

    def note(done: int) -> None:
        if done % first == 0 or done == count:
            sizes.append(process.memory_info().rss)

    media.write_video(film(pictures((128, 128)), count), folder / "long.mp4", on_frame=note)
    drift, peak = (sizes[-1] - sizes[0]) / 1e6, max(sizes) / 1e6
    since = float(first / FPS)
    print(f"{minutes:g} min of 128×128 MP4: memory drifts by {drift:.1f} MB after {since:.0f} s, peak {peak:.0f} MB\n", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0, help="length of the memory test (default 4)")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of the 512×512 clips (default 12)")
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    count = round(chosen.seconds * FPS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flatness(folder, chosen.minutes)
        print("| file | size | written, fps | read, fps | kbit/s | PSNR, dB |\n| --- | --- | --- | --- | --- | --- |")
        small, large = pictures((512, 512)), pictures((1920, 1080), 25)
        for ending in media.VIDEO_ENDINGS:
            speed(folder, ending, small, count if ending != ".gif" else count // 4)
        for ending in (".mp4", ".webm"):
            speed(folder, ending, large, max(50, count // 4))


if __name__ == "__main__":
    main()

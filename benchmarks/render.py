"""How fast a picture talks: rendering from the first sample to the file, against encoding the same frames alone in the same run.

    python benchmarks/render.py [--seconds 8] [--rounds 3] [--json FILE]

`ratio` is the time of drivers, warp, encoding and file together over the time of encoding and file alone, both of the same frames; each is
the least of the rounds, which alternate. The voice is not counted: it speaks beforehand. What lies between 1 and `ratio` is what a talking
person costs beside its file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np

import huashen
from huashen import weights
from huashen.avatar import Avatar, from_image
from huashen.media import read_image, write_video
from huashen.talking_head.rig import Rig
from huashen.types import Audio, Speech, Video

FPS = Fraction(25)
TEXT = "The quick brown fox jumps over the lazy dog, and my mother bakes a pumpkin pie for Bob. Maybe people will talk about it tomorrow."


@dataclass(frozen=True)
class Pace:
    """One size, measured."""

    what: str
    size: tuple[int, int]
    eyes: float
    """Distance between the outer corners of the eyes, pixels."""
    rig: float
    """Seconds to make the picture ready."""
    fps: float
    """Frames a second to the file."""
    draw: float
    """Frames a second of driving and drawing alone."""
    encode: float
    """Frames a second of encoding and writing alone."""
    ratio: float
    work: float
    """The same ratio in processor time, of all threads together: it depends less on what else the machine does."""
    load: float
    """Processes that wanted a processor in the last minute, on average."""


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def spoken(seconds: float) -> Speech:
    """Return that many seconds of a voice with its marks."""
    pieces = list(huashen.load("tts", lang="en").speak(TEXT))
    marks, begin = [], 0.0
    samples = []
    rate = pieces[0].audio.rate
    while begin < seconds:
        for piece in pieces:
            marks += [replace(m, start=m.start + begin, end=m.end + begin) for m in piece.marks if m.kind == "phone"]
            samples.append(piece.audio.samples)
            begin += piece.audio.seconds
    whole = np.concatenate(samples)[: round(seconds * rate)]
    return Speech(Audio(whole, rate), tuple(m for m in marks if m.end < seconds), aligned=True)


def framed(size: tuple[int, int], share: float) -> Avatar:
    """Return the example portrait in a picture of that size, its head filling `share` of the height."""
    import cv2

    image = read_image(weights.path("astronaut"))
    width, height = size
    # The astronaut's head, chin to crown, is 0.42 of the picture's height.
    scale = share * height / (0.42 * image.shape[0])
    middle = np.array([0.44, 0.22]) * image.shape[1::-1]
    matrix = np.array([[scale, 0, width / 2 - scale * middle[0]], [0, scale, 0.45 * height - scale * middle[1]]])
    drawn = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return from_image(np.asarray(drawn, np.uint8), name="astronaut")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return how many seconds something takes, by the clock and of all processors together."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - busy


def pace(what: str, avatar: Avatar, speech: Speech, rounds: int) -> Pace:
    """Measure one picture."""
    size = (avatar.image.shape[1], avatar.image.shape[0])
    rig = min(timed(lambda: Rig(avatar))[0] for _ in range(2))

    def animated() -> Video:
        return huashen.load("talking_head", driver=huashen.load("audio2face"), fps=FPS).animate(avatar, [speech])

    kept = list(animated().frames)
    whole: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    drawing: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as place:
        for _ in range(rounds):
            for times, make, out in ((whole, animated, "whole.mp4"), (alone, lambda: replace(animated(), frames=iter(kept)), "alone.mp4")):
                video = make()  # prepares the picture, which is a price paid once and told apart
                times.append(timed(lambda video=video, out=out: write_video(video, Path(place) / out)))
            video = animated()
            drawing.append(timed(lambda video=video: deque(video.frames, maxlen=0)))
    points = avatar.face.landmarks.points
    count = len(kept)
    (whole_s, whole_busy), (alone_s, alone_busy) = (np.min(times, axis=0) for times in (whole, alone))
    return Pace(
        what, size, float(np.linalg.norm(points[33, :2] - points[263, :2])), rig, count / whole_s, count / min(drawing)[0],
        count / alone_s, whole_s / alone_s, whole_busy / alone_busy, os.getloadavg()[0],
    )  # fmt: skip


def helped(rounds: int) -> float:
    """Return the seconds `huashen --help` takes, the least of some rounds."""
    command = [sys.executable, "-m", "huashen", "--help"]
    return min(timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))[0] for _ in range(max(5, rounds)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of speech (a quarter as much for the large pictures)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{date.today()}, {processor()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    helping = helped(given.rounds)
    print(f"huashen --help: {helping:.3f} s (target 0.25)\n")
    long, short = spoken(given.seconds), spoken(max(2.0, given.seconds / 4))
    heads = f"{'eyes px':>8}{'rig s':>8}{'to file fps':>13}{'draw fps':>10}{'encode fps':>12}{'ratio':>8}{'work':>7}{'load':>7}"
    print(f"{'picture':36}{heads}  target")
    rows = []
    for what, avatar, speech, target in (
        ("512×512 portrait", framed((512, 512), 0.42), long, "ratio ≤ 2.5, ≥ 60 fps"),
        ("1920×1080, head half the height", framed((1920, 1080), 0.5), short, "≥ 12 fps"),
        ("1080×1920, head half the height", framed((1080, 1920), 0.5), short, "≥ 12 fps"),
    ):
        row = pace(what, avatar, speech, given.rounds)
        rows.append(row)
        print(
            f"{row.what:36}{row.eyes:8.0f}{row.rig:8.2f}{row.fps:13.1f}{row.draw:10.1f}{row.encode:12.1f}{row.ratio:8.2f}"
            f"{row.work:7.2f}{row.load:7.1f}  {target}",
            flush=True,
        )
    if given.json:
        found = {"date": str(date.today()), "processor": processor(), "help": helping, "rows": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(found, ensure_ascii=False, indent=1), "utf-8")


if __name__ == "__main__":
    main()

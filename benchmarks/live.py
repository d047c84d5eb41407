"""How a live session does against the clock: late pictures, latencies, silence after hush, and how many sessions a machine holds.

    python benchmarks/live.py [--minutes 1] [--sessions 1 2 3 4] [--seconds 20] [--face FILE] [--engine NAME] [--json FILE]

Every session talks, idles and is interrupted in turn; its sound and its pictures are taken by two threads, as a transport would, and not
encoded. First sound is counted from `say` to the first sample above -60 dB given out, first picture to the first one of that speech; hush
from the call to the moment from which all sound is silent, and to the moment the first picture is given out whose mouth looks as before
anything was said (within a fifth of how far it differed at most; head and gaze are kept still, so that nothing else moves there).
"""

import argparse
import json
import os
import threading
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

import huashen
from huashen import live, studio
from huashen.footage import Footage
from huashen.live.build import head

TEXT = "The quick brown fox jumps over the lazy dog, and my mother bakes a pumpkin pie for Bob. Maybe people will talk about it tomorrow."
CHINESE = "你好，我是数字人，很高兴认识你。今天天气很好，我们一起去公园走走吧。"
QUIET = 1e-3  # -60 dB


@dataclass(frozen=True)
class Result:
    """One run."""

    sessions: int
    seconds: float
    """Of the run."""
    pictures: int
    late: int
    drift: float
    """Seconds between the clock and the sound given out, at the end; worst session."""
    lag: float
    """Seconds by which a piece of sound came too late, at most."""
    draw: float
    """Mean seconds a picture took."""
    first_sound: tuple[float, float]
    """Seconds: median and worst."""
    first_picture: tuple[float, float]
    hush_sound: tuple[float, float]
    hush_picture: tuple[float, float]
    hush_late: int
    """Pictures that were late between hush and the shut mouth, where that took longest."""
    load: float
    """Cores used by the process."""


class Viewer:
    """Takes the sound and the pictures of one session and measures."""

    def __init__(self, session: live.Session, fps: Fraction, mouth: tuple[slice, slice]) -> None:
        self.session, self.fps = session, fps
        self.loud: list[tuple[float, bool]] = []  # when each sound was given out, and whether anything is in it
        self.seen: list[float] = []
        self.lag = 0.0
        self.count = 0
        self.mouths: list[tuple[float, float]] = []  # when each picture was given out, and how far its mouth differs from the first one's
        self._mouth = mouth
        session.start()
        session.subscribe(lambda event: self.seen.append(event.after) if isinstance(event, live.Seen) else None)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._hear, self._look)]
        for thread in self._threads:
            thread.start()

    def _hear(self) -> None:
        for sound in self.session.sounds():
            now = time.monotonic()
            self.lag = max(self.lag, self.session.stats().lag)
            self.loud.append((now, bool(np.abs(sound.samples).max() > QUIET)))
            self.count += 1

    def _look(self) -> None:
        first: np.ndarray | None = None
        for picture in self.session.pictures():
            now = time.monotonic()
            shown = picture.image[self._mouth].astype(np.int16)
            first = shown if first is None else first
            self.mouths.append((now, float(np.abs(shown - first).mean())))

    def drift(self) -> float:
        """Return how far the sound is from the clock now, a frame at most being on its way."""
        return abs(time.monotonic() - self.session.due(self.count))

    def end(self) -> None:
        """Close the session."""
        self.session.close()
        for thread in self._threads:
            thread.join()


def talk(viewer: Viewer, until: float, latencies: list[float], silences: list[float], closings: list[tuple[float, int]]) -> None:
    """Speak, wait, interrupt, over and over."""
    k = 0
    while time.monotonic() < until:
        asked = time.monotonic()
        said = viewer.session.say(CHINESE if k % 2 else TEXT)
        time.sleep(1.5 if k % 3 == 2 else 6.0)
        sounds = [at for at, loud in viewer.loud if at >= asked and loud]
        if sounds:
            latencies.append(sounds[0] - asked)
        hushed = time.monotonic()
        speaking = not said.done
        viewer.session.hush()
        time.sleep(1.5)
        if speaking:
            after = [at for at, loud in viewer.loud if at >= hushed and loud]
            # The last sound that has anything in it is that of the fade; it lasts a frame.
            silences.append((after[-1] - hushed if after else 0.0) + float(1 / viewer.fps))
            most = max(differs for at, differs in viewer.mouths if asked <= at <= hushed)
            opened = [i for i, (at, differs) in enumerate(viewer.mouths) if at >= hushed and differs > 0.2 * most]
            shut = viewer.mouths[opened[-1] + 1][0] if opened else hushed
            came = sum(hushed <= at <= shut for at, _ in viewer.mouths)
            closings.append((shut - hushed, max(0, round((shut - hushed) * viewer.fps) - came)))
        k += 1


def measure(count: int, seconds: float, args: argparse.Namespace) -> Result:
    """Run so many sessions at once."""
    fps = Fraction(25)
    face = studio.as_avatar(args.face, size="512x512")
    voice = huashen.load("tts")
    list(voice.speak("Warm up. 热身。"))
    engine = head(args.engine or ("mouthbank" if isinstance(face, Footage) else "puppet"), fps=fps, still=True)
    points = (face.points[face.seen()][0] if isinstance(face, Footage) else face.face.landmarks.points)[[61, 291, 0, 17], :2]
    reach = float(np.ptp(points[:, 0])) / 4
    (x0, y0), (x1, y1) = (points.min(0) - reach).astype(int), (points.max(0) + reach).astype(int)
    mouth = slice(y0, y1), slice(x0, x1)
    viewers = [Viewer(live.Session(face, head=engine, voice=voice, fps=fps), fps, mouth) for _ in range(count)]
    time.sleep(1.0)
    latencies: list[float] = []
    silences: list[float] = []
    closings: list[tuple[float, int]] = []
    began, spent = time.monotonic(), time.process_time()
    before = [viewer.session.stats() for viewer in viewers]
    for viewer in viewers:
        viewer.lag = 0.0
    talkers = [threading.Thread(target=talk, args=(viewer, began + seconds, latencies, silences, closings)) for viewer in viewers]
    for talker in talkers:
        talker.start()
        time.sleep(0.37)
    for talker in talkers:
        talker.join()
    took, spent = time.monotonic() - began, time.process_time() - spent
    stats = [viewer.session.stats() for viewer in viewers]
    drift = max(viewer.drift() for viewer in viewers)
    for viewer in viewers:
        viewer.end()
    seen = [after for viewer in viewers for after in viewer.seen]
    pictures, late = (sum(getattr(s, name) for s in stats) - sum(getattr(s, name) for s in before) for name in ("pictures", "late"))
    drawing = float(np.mean([s.draw_seconds for s in stats]))
    return Result(
        count, took, pictures, late, drift, max(viewer.lag for viewer in viewers), drawing, of(latencies), of(seen),
        of(silences), of([shut for shut, _ in closings]), max(closings, default=(0.0, 0))[1], spent / took,
    )  # fmt: skip


def of(values: list[float]) -> tuple[float, float]:
    """Return median and worst."""
    return (float(np.median(values)), max(values)) if values else (float("nan"), float("nan"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the one session runs; 30 for the promise")
    parser.add_argument("--sessions", type=int, nargs="*", default=[2, 3, 4, 5], help="numbers of sessions to try at once")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each of those runs")
    parser.add_argument("--face", default="example")
    parser.add_argument("--engine")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    runs = [(1, 60 * args.minutes), *((count, args.seconds) for count in args.sessions)]
    found = []
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, 512x512 at 25 fps; milliseconds: median / worst")
    print("sessions  minutes     late  drift   lag  draw  first sound  first picture   hush sound   hush mouth (late)  cores")
    for count, seconds in runs:
        r = measure(count, seconds, args)
        found.append(r)
        both = [f"{1000 * a:5.0f} /{1000 * b:5.0f}" for a, b in (r.first_sound, r.first_picture, r.hush_sound, r.hush_picture)]
        print(
            f"{r.sessions:8} {r.seconds / 60:8.1f} {100 * r.late / max(1, r.pictures):7.2f}% {1000 * r.drift:6.0f} {1000 * r.lag:5.0f} "
            f"{1000 * r.draw:5.1f} {both[0]:>12} {both[1]:>14} {both[2]:>12} {both[3]:>12} {r.hush_late:6} {r.load:6.2f}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in found], indent=1))


if __name__ == "__main__":
    main()

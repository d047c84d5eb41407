"""How well a rendered mouth says what is said, measured back from the pixels with the landmark model.

    python benchmarks/quality.py [--real ../shared/real] [--quick] [--json FILE] [PICTURE …]

Several voices say sentences in English, Chinese and both; each picture speaks them; landmarks are found again in every rendered frame
and compared with what the driver asked for. Gaps and widths are in distances between the outer corners of the eyes (points 33 and 263):
the gap between points 13 and 14, the width between 61 and 291. Pictures given by name are measured besides those of the targets.
"""

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import huashen
from huashen import registry, weights
from huashen.avatar import Avatar, from_image
from huashen.errors import MissingError
from huashen.face.mediapipe import MediaPipe
from huashen.face.track import track
from huashen.media import read_image, read_video, write_video
from huashen.types import ARKIT_INDEX, Audio, Frame, Image, Motion, Speech, Video

FPS = Fraction(25)
SENTENCES = {
    "en talk": "Good morning, and welcome to the programme. Today we are going to look at how people learn to speak. "
    "Nobody knows all the answers.",
    "zh talk": "大家早上好，欢迎收看今天的节目。今天我们来看看人是怎样学会说话的。没有人知道所有的答案，但是寻找答案很有意思。",
    "en": "Peter bought a pumpkin pie, but my mother wants more bread. Maybe people from Bombay keep both; bring them home, Bob!",
    "zh": "爸爸妈妈买了苹果和面包。八百标兵奔北坡，北坡炮兵并排跑。你明白吗？",
    "mixed": "我的名字是 Bob Palmer，很高兴 meet you。Please 帮我买一杯 bubble tea，好吗？",
}
PHOTOGRAPHS = ("astronaut", "happy1", "art_5", "full_body_1")
"""Photographs, or pictures like photographs, for which the targets are meant; the others are told for information."""
TALK = " talk"
"""Ending of the names of ordinary sentences, on which openings are measured; the others are full of p, b and m."""
CLOSED = 0.15
OPENING = (0.17, 0.22)
FOLLOWS = 0.90
SETTLE = 0.16
"""Seconds that lips may take to close after the last sound, and to part before the first."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Clip:
    """Something said."""

    name: str
    speech: tuple[Speech, ...]
    closures: tuple[tuple[str, float, float], ...]
    """Every p, b and m with its times."""
    silences: tuple[tuple[float, float], ...]
    """Pauses longer than 0.3 s."""


@dataclass(frozen=True)
class Take:
    """A clip spoken by a picture: what was asked for and what can be seen, one value a frame."""

    driven_gap: Array
    driven_width: Array
    gap: Array
    width: Array


@dataclass
class Check:
    """One line of the report."""

    what: str
    value: str
    wanted: str
    passed: bool | None
    """None: told for information."""
    details: dict[str, object] = field(default_factory=dict)


class Recorder:
    """A driver that keeps what another one drives."""

    def __init__(self, driver: "registry.Any") -> None:
        self._driver = driver
        self.lookahead = driver.lookahead
        self.motions: list[Motion] = []

    def drive(self, speech: Iterable[Speech], fps: Fraction) -> Iterator[Motion]:
        """Pass the motion on."""
        for motion in self._driver.drive(speech, fps):
            self.motions.append(motion)
            yield motion


def clip(name: str, speech: Iterable[Speech]) -> Clip:
    """Collect a voice's sentences with the times of their closures and pauses."""
    pieces = tuple(speech)
    phones, begin = [], 0.0
    for piece in pieces:
        phones += [(m.text, m.start + begin, m.end + begin) for m in piece.marks if m.kind == "phone" and m.text.strip("_ ")]
        begin += piece.audio.seconds
    edges = [0.0, *(t for _, a, b in phones for t in (a, b)), begin]
    silences = tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 0.3)
    return Clip(name, pieces, tuple(p for p in phones if p[0][0] in "pbm"), silences)


def clips(quick: bool) -> list[Clip]:
    """Let every installed voice say what it can."""
    found = []
    for lang, text in SENTENCES.items():
        for engine in registry.table("tts").names():
            if (engine == "flite" and not lang.startswith("en")) or (quick and engine != "espeak"):
                continue
            if registry.missing(registry.table("tts").get(engine)):
                continue
            try:
                voice = huashen.load("tts", engine)
            except MissingError:  # its program is here, its voice is not
                continue
            found.append(clip(f"{engine} {lang}", voice.speak(text)))
    return found


def points_of(frames: Iterable[Image], finder: MediaPipe) -> Array:
    """Return (frames, 478, 2) landmarks; not-a-number where no face is seen."""
    rows = [np.full((478, 2), np.nan) if f is None else f.landmarks.points[:, :2].astype(np.float64) for f in track(frames, finder=finder)]
    return np.stack(rows)


def gap_of(points: Array) -> Array:
    """Return the inner gap between the lips, (frames,)."""
    return np.linalg.norm(points[:, 13] - points[:, 14], axis=-1) / np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)


def width_of(points: Array) -> Array:
    """Return the width of the mouth, (frames,)."""
    return np.linalg.norm(points[:, 61] - points[:, 291], axis=-1) / np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)


def driven(motions: Iterable[Motion]) -> tuple[Array, Array]:
    """Return the gap and the change of width that motions ask for: the linear model both the drivers and the puppet are made for."""
    rows = np.array([m.weights for m in motions], np.float64)
    w = {name: rows[:, i] for name, i in ARKIT_INDEX.items()}
    both = {n: 0.5 * (w[f"{n}Left"] + w[f"{n}Right"]) for n in ("mouthStretch", "mouthSmile", "mouthLowerDown", "mouthUpperUp")}
    parted = 0.30 * w["jawOpen"] + 0.035 * both["mouthUpperUp"] + 0.045 * both["mouthLowerDown"] - 0.03 * w["mouthPucker"]
    gap = np.maximum(parted, 0) * (1 - w["mouthClose"])
    rounded = 0.17 * w["mouthPucker"] + 0.10 * w["mouthFunnel"]
    return gap, 0.13 * both["mouthStretch"] + 0.10 * both["mouthSmile"] - rounded - 0.32 * gap


def take(avatar: Avatar, said: Clip, finder: MediaPipe, *, still: bool = False) -> Take:
    """Let a picture say a clip and measure it."""
    recorder = Recorder(huashen.load("audio2face", still=still))
    video = huashen.load("talking_head", driver=recorder, fps=FPS).animate(avatar, said.speech)
    points = points_of((frame.image for frame in video.frames), finder)
    return Take(*driven(recorder.motions), gap_of(points), width_of(points))


def likeness(one: Array, two: Array) -> float:
    """Return the correlation of two curves where both are known; of unequal ones, as far as the shorter goes."""
    n = min(len(one), len(two))
    one, two = one[:n], two[:n]
    good = np.isfinite(one) & np.isfinite(two)
    if one[good].std() < 1e-6 or two[good].std() < 1e-6:
        return 0.0
    return float(np.corrcoef(one[good], two[good])[0, 1])


def lag(one: Array, two: Array, reach: int = 6) -> float:
    """Return by how many frames the second curve comes after the first: the peak of their correlation, between frames by a parabola."""
    shifts = range(-reach, reach + 1)
    n = len(one)
    found = [likeness(one[max(0, -s) : n - max(0, s)], two[max(0, s) : n + min(0, s)]) for s in shifts]
    best = int(np.clip(np.argmax(found), 1, len(found) - 2))
    left, middle, right = found[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return shifts[best] + (0.5 * (left - right) / bend if abs(bend) > 1e-9 else 0.0)


def frames_about(begin: float, end: float, count: int, *, around: int = 0) -> slice:
    """Return the frames shown between two times, and some around them."""
    first = int(begin * FPS) - around
    return slice(max(0, first), min(count, max(int(np.ceil(end * FPS)), int(begin * FPS) + 1) + around))


def closures(said: Clip, gap: Array, scale: float) -> list[tuple[float, str, float]]:
    """Return for every p, b, m: the least gap within one frame of it in shares of `scale`, the phone, its time; the worst first."""
    found = []
    for phone, begin, end in said.closures:
        found.append((float(np.nanmin(gap[frames_about(begin, end, len(gap), around=1)]) / scale), phone, begin))
    return sorted(found, reverse=True)


def quiet(said: Clip, gap: Array, scale: float) -> list[tuple[float, str, float]]:
    """Return for every pause: the largest gap in it, away from its borders, in shares of `scale`; the worst first."""
    found = []
    for begin, end in said.silences:
        inside = gap[frames_about(begin + (SETTLE if begin else 0.0), end - SETTLE, len(gap))]
        if end - begin > 2 * SETTLE + 1 / FPS and len(inside):
            found.append((float(np.nanmax(inside) / scale), "_", begin))
    return sorted(found, reverse=True)


def speaks(name: str, avatar: Avatar, said: list[Clip], finder: MediaPipe) -> tuple[list[Check], dict[str, Take]]:
    """Measure how a picture says some clips."""
    counts = name in PHOTOGRAPHS
    takes = {c.name: take(avatar, c, finder) for c in said}
    gap = np.concatenate([t.gap for c, t in takes.items() if c.endswith(TALK)])
    asked = np.concatenate([t.driven_gap for c, t in takes.items() if c.endswith(TALK)])
    checks = []

    def add(what: str, value: str, wanted: str, passed: bool, **details: object) -> None:
        checks.append(Check(f"{name}: {what}", value, wanted, passed if counts else None, details))

    high = {c: float(np.nanpercentile(t.gap, 95)) for c, t in takes.items()}
    opening = float(np.nanpercentile(gap, 95))
    add(
        "opening, 95th percentile", f"{opening:.3f} (asked {np.percentile(asked, 95):.3f})", f"{OPENING[0]}–{OPENING[1]}",
        OPENING[0] <= opening <= OPENING[1], clips=high, lost=int(np.isnan(gap).sum()),
    )  # fmt: skip
    for kind, measure in (("p b m", closures), ("pauses", quiet)):
        rows = [(c.name, *row) for c in said for row in measure(c, takes[c.name].gap, high[c.name])]
        if not rows:
            continue
        late = sorted((row for row in rows if row[1] >= CLOSED), key=lambda row: -row[1])
        worst = max(row[1] for row in rows)
        asked_rows = [row for c in said for row in measure(c, takes[c.name].driven_gap, float(np.percentile(takes[c.name].driven_gap, 95)))]
        add(
            f"{kind} closed", f"{len(rows) - len(late)} of {len(rows)}, worst {worst:.2f} (asked {max(r[0] for r in asked_rows):.2f})",
            f"all < {CLOSED}", not late, late=late[:12],
        )  # fmt: skip
    for what, wanted, seen in (
        ("gap follows", [t.driven_gap for t in takes.values()], [t.gap for t in takes.values()]),
        ("width follows", [t.driven_width for t in takes.values()], [t.width for t in takes.values()]),
    ):
        each = [likeness(a, b) for a, b in zip(wanted, seen, strict=True)]
        lags = [lag(a, b) for a, b in zip(wanted, seen, strict=True)]
        both = likeness(np.concatenate(wanted), np.concatenate(seen))
        slope = _slope(np.concatenate(wanted), np.concatenate(seen))
        late = max(lags, key=abs)
        value = f"{both:.3f} (clips {min(each):.3f}–{max(each):.3f}), slope {slope:.2f}"
        add(f"{what}, correlation", value, f"≥ {FOLLOWS}", both >= FOLLOWS)
        add(f"{what}, lag", f"{late:+.2f} frames", "0 ± 1", abs(late) <= 1)
    if len(said) > 1:
        first, second = (takes[c.name] for c in (said[0], said[-1]))
        other = likeness(second.driven_gap, first.gap)
        add("gap against another clip's motion", f"{other:+.2f}", "< 0.4", abs(other) < 0.4)
    return checks, takes


def _slope(asked: Array, seen: Array) -> float:
    good = np.isfinite(seen)
    return float(np.polyfit(asked[good], seen[good], 1)[0])


def silence(name: str, avatar: Avatar, said: Clip, seen: Take, finder: MediaPipe) -> Check:
    """Measure a picture that hears nothing, against what it was asked when it heard something."""
    empty = tuple(Speech(Audio(np.zeros_like(s.audio.samples), s.audio.rate), aligned=True) for s in said.speech)
    still = take(avatar, replace(said, speech=empty), finder)
    rest = likeness(seen.driven_gap, still.gap)
    high = float(np.nanmax(still.gap) / np.nanpercentile(seen.gap, 95))
    value = f"correlation {rest:+.2f}, gap at most {high:.2f}"
    return Check(f"{name}: without sound", value, f"< 0.4, < {CLOSED}", abs(rest) < 0.4 and high < CLOSED)


def around_head(avatar: Avatar, grow: float) -> NDArray[np.bool_]:
    """Return (h, w): what lies outside the box of the face's points grown by a share of its size on every side."""
    points = avatar.face.landmarks.points[:468, :2]
    margin = grow * np.ptp(points, axis=0)
    (x0, y0), (x1, y1) = np.maximum(points.min(0) - margin, 0).astype(int), (points.max(0) + margin).astype(int)
    outside = np.ones(avatar.image.shape[:2], bool)
    outside[y0 : y1 + 1, x0 : x1 + 1] = False
    return outside


def psnr(one: Image, two: Image, where: NDArray[np.bool_]) -> float:
    """Return the peak signal to noise ratio in dB; infinite for equal pixels."""
    error = float(np.mean((one[where].astype(np.float32) - two[where]) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def stillness(name: str, avatar: Avatar, said: Clip) -> list[Check]:
    """Measure what moves outside the head."""
    checks = []
    for still, grow, wanted in ((True, 0.35, 40.0), (False, 1.2, 40.0)):
        outside = around_head(avatar, grow)
        if avatar.mask is not None and not still:
            outside &= avatar.mask < 0.02
        if outside.mean() < 0.02:
            continue
        video = huashen.load("talking_head", driver=huashen.load("audio2face", still=still), fps=FPS).animate(avatar, said.speech)
        worst, flicker, before = float("inf"), 0.0, avatar.image
        for frame in video.frames:
            worst = min(worst, psnr(frame.image, avatar.image, outside))
            flicker = max(flicker, float(np.mean(np.abs(frame.image[outside].astype(np.float32) - before[outside]))))
            before = frame.image
        where = f"outside {1 + 2 * grow:.1f} × the face{'' if still else ' and the person'}, {'--still' if still else 'lively'}"
        checks.append(Check(
            f"{name}: {where}", f"worst frame {worst:.1f} dB, flicker {flicker:.3f} levels, {100 * outside.mean():.0f} % of the picture",
            f"≥ {wanted:.0f} dB", worst >= wanted if name in PHOTOGRAPHS and still else None,
        ))  # fmt: skip
    return checks


def file(name: str, avatar: Avatar, said: Clip, finder: MediaPipe) -> list[Check]:
    """Write an MP4, read it back and find where its sound and its mouth have gone; look at the background in it."""
    recorder = Recorder(huashen.load("audio2face", still=True))
    video = huashen.load("talking_head", driver=recorder, fps=FPS).animate(avatar, said.speech)
    outside = around_head(avatar, 0.35)
    outside = outside[: outside.shape[0] // 2 * 2, : outside.shape[1] // 2 * 2]
    losses: list[float] = []
    sound: list[NDArray[np.float32]] = []

    def shown(frames: Iterable[Frame]) -> Iterator[Image]:
        for frame in frames:
            sound.append(frame.audio.samples)
            image = frame.image[: outside.shape[0], : outside.shape[1]]
            losses.append(psnr(image, avatar.image[: outside.shape[0], : outside.shape[1]], outside))
            yield frame.image

    with tempfile.TemporaryDirectory() as place:
        written = write_video(video, Path(place) / "take.mp4")
        read: Video = read_video(written.path)
        points = points_of(shown(read.frames), finder)
        moving = min(losses)
        # The codec's own loss (8 bits, one colour for four pixels): the picture itself as a video, nothing moving.
        losses.clear()
        rest = (Frame(avatar.image, Audio(np.zeros(640, np.float32), 16000), k) for k in range(25))
        written = write_video(Video(rest, FPS, video.size, 16000), Path(place) / "still.mp4")
        count = len(sound)
        for _ in shown(read_video(written.path).frames):
            pass
        del sound[count:]
    asked, _ = driven(recorder.motions)
    rate = read.rate
    heard = np.concatenate(sound).astype(np.float64)
    original = np.concatenate([m.audio.samples for m in recorder.motions]).astype(np.float64)
    size = 1 << (len(heard) + len(original)).bit_length()
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size)))
    peak = int(np.argmax(match))
    sound_late = (peak - size if peak > size // 2 else peak) / rate * float(FPS)
    n = min(len(asked), len(points))
    picture_late = lag(asked[:n], gap_of(points)[:n])
    apart = picture_late - sound_late
    return [
        Check(
            f"{name}: MP4, mouth after sound", f"{apart:+.2f} frames (sound {sound_late:+.3f}, picture {picture_late:+.2f})",
            "0 ± 1", abs(apart) <= 1,
        ),
        Check(
            f"{name}: MP4, background with --still", f"worst frame {moving:.1f} dB, the picture alone {min(losses):.1f} dB",
            "within 1 dB", moving >= min(losses) - 1,
        ),
        Check(f"{name}: MP4, frames", f"{len(points)} of {len(asked)}", "all", len(points) == len(asked)),
    ]  # fmt: skip


def onset(name: str, avatar: Avatar, finder: MediaPipe) -> Check:
    """Find how long before the sound of a vowel after a pause the lips part."""
    said = clip("onset", huashen.load("tts", "espeak", lang="en").speak("Ah. Ah. Ah. Ah."))
    seen = take(avatar, said, finder, still=True)
    samples = np.concatenate([s.audio.samples for s in said.speech])
    rate = said.speech[0].audio.rate
    block = rate // 200
    loud = np.sqrt(np.mean(samples[: len(samples) // block * block].reshape(-1, block) ** 2, axis=1))
    starts, last = [], -1.0
    for i in np.flatnonzero(loud > 0.1 * loud.max()):
        time = i * block / rate
        if time - last > 0.25:
            starts.append(time)
        last = time
    scale = np.nanpercentile(seen.gap, 95)
    leads = []
    for time in starts:
        first = max(0, int((time - 0.35) * FPS))
        window = seen.gap[first : int((time + 0.35) * FPS)] / scale
        above = np.flatnonzero(window > 0.3)
        if len(above) and above[0] > 0:
            k = int(above[0])
            exact = k - (window[k] - 0.3) / max(window[k] - window[k - 1], 1e-6)
            leads.append(time - float((first + exact + 0.5) / FPS))
    middle = float(np.median(leads)) if leads else float("nan")
    value = f"{middle * 1000:+.0f} ms (median of {len(leads)})"
    return Check(f"{name}: lips part before a vowel's sound", value, "-40…160 ms", -0.04 <= middle <= 0.16)


def report(checks: list[Check]) -> None:
    """Print the table."""
    wide = max(len(c.what) for c in checks) + 2
    value = max(len(c.value) for c in checks) + 2
    for c in checks:
        print(f"{c.what:{wide}}{c.value:{value}}{c.wanted:12}{'' if c.passed is None else 'pass' if c.passed else 'FAIL'}", flush=True)


def pictures(real: Path, names: list[str], more: list[Path]) -> dict[str, Path]:
    """Return the pictures that are there, by name."""
    found = {"astronaut": weights.path("astronaut")}
    for path in sorted((real / "faces").glob("*")):
        if path.stem in names:
            found[path.stem] = path
    return found | {path.stem: path for path in more}


def main() -> int:
    """Print the tables; return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", type=Path, help="more pictures to measure")
    parser.add_argument("--real", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "real")
    parser.add_argument("--only", nargs="+", default=list(PHOTOGRAPHS), help="which of the targets' pictures")
    parser.add_argument("--quick", action="store_true", help="eSpeak NG and the first picture only")
    parser.add_argument("--size", type=int, default=768, help="longest side of the video")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, {FPS} frames a second\n")
    said = clips(given.quick)
    for c in said:
        print(f"{c.name}: {sum(s.audio.seconds for s in c.speech):.1f} s, {len(c.closures)} of p b m, {len(c.silences)} pauses > 0.3 s")
    print()
    finder = MediaPipe()
    checks: list[Check] = []
    found = pictures(given.real, given.only, given.pictures)
    if given.only and "astronaut" not in given.only:
        del found["astronaut"]
    for name, path in list(found.items())[: 1 if given.quick else None]:
        image = read_image(path)
        height, width = image.shape[:2]
        share = min(1.0, given.size / max(height, width))
        avatar = from_image(image, name=name, source=path).fitted((round(width * share / 2) * 2, round(height * share / 2) * 2))
        rows, takes = speaks(name, avatar, said, finder)
        if name == "astronaut":
            rows.append(silence(name, avatar, said[0], takes[said[0].name], finder))
            rows.append(onset(name, avatar, finder))
            rows += file(name, avatar, said[0], finder)
        rows += stillness(name, avatar, said[-1])
        report(rows)
        print()
        checks += rows
    failed = [c for c in checks if c.passed is False]
    print(f"{sum(c.passed is True for c in checks)} targets met, {len(failed)} missed")
    if given.json:
        given.json.write_text(json.dumps([asdict(c) for c in checks], ensure_ascii=False, indent=1, default=str), "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""How well a known text is found in a recording, and what that does to the mouth.

    python benchmarks/align.py [CLIP=TEXTFILE...] [--work FOLDER]

Voices that tell when they say what are the truth: eSpeak at other voices and paces, flite with its own phones. Of real clips with texts
the mouth that is seen is the truth: with and without the text, the sound moved to where a filter that has nothing to do with the driver
finds that it fits the mouth (`huashen.ops.sync`).
"""

import argparse
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from huashen.audio2face.align import align
from huashen.audio2face.learned import Hearing, network
from huashen.audio2face.phones import CHANNELS, aims
from huashen.audio2face.style import lips
from huashen.ops import sync
from huashen.registry import load
from huashen.train.clips import RATE, watch
from huashen.types import ARKIT_INDEX, Audio, Mark, Speech

TEXTS = {
    "en": "The blue pump made a deep bubbling sound before it stopped. My mother bought a map of Paris from a small shop. "
    "We have five big fish, and you may feed them when the bell rings. Who moved the chair, and why?",
    "zh": "妈妈买了一把漂亮的白色雨伞。请把这本书放在桌子上面，不要忘记关门。明天我们一起去爬山，爸爸负责开车。",
}
CASES = (
    ("en", "espeak", {"voice": "m5", "speed": 1.2}, None), ("en", "espeak", {"voice": "f3", "speed": 0.8}, None),
    ("en", "espeak", {"voice": "m5"}, 15.0), ("en", "flite", {"voice": "slt"}, None), ("en", "flite", {"voice": "rms"}, None),
    ("zh", "espeak", {"voice": "m5", "speed": 1.2}, None), ("zh", "espeak", {"voice": "f3", "speed": 0.8}, None),
    ("zh", "espeak", {"voice": "m3"}, 15.0),
)  # fmt: skip
_AT = {name: i for i, name in enumerate(CHANNELS)}


def joined(speech: Iterable[Speech]) -> tuple[np.ndarray, int, list[Mark]]:
    """Return the sound, its rate and the phones with their times in it."""
    sound, marks, begin, rate = [], [], 0.0, 0
    for piece in speech:
        marks += [Mark(m.kind, m.text, m.start + begin, m.end + begin) for m in piece.marks if m.kind == "phone" and aims(m.text)]
        sound.append(piece.audio.samples)
        begin, rate = begin + piece.audio.seconds, piece.audio.rate
    return np.concatenate(sound), rate, marks


@lru_cache(maxsize=1000)
def kind(phone: str) -> str:
    """Return the class of mouth that a phone makes."""
    parts = aims(phone)
    seal = max(aim.seal for aim in parts)
    pose = parts[0].pose
    if seal == 1:
        return "shut"
    if seal > 0.5:
        return "bite"
    if pose[_AT["pucker"]] + pose[_AT["funnel"]] > 0.5:
        return "round"
    if parts[0].kind == "vowel":
        return "open" if pose[_AT["jaw"]] > 0.42 else "narrow"
    return "other"


def classes(marks: list[Mark], seconds: float) -> np.ndarray:
    """Return the class of every hundredth of a second."""
    found = np.full(int(seconds * 100), "rest", object)
    for mark in marks:
        found[round(mark.start * 100) : round(mark.end * 100)] = kind(mark.text)
    return found


def drawn(pieces: list[Speech], fps: int, *, text: bool) -> np.ndarray:
    """Return the weights as `sync` makes them."""
    if text:
        driver = load("audio2face", "visemes", life=False, guess=lambda: Hearing(network()), sure_only=True)
    else:
        driver = load("audio2face", "hear", life=False)
    return np.array([frame.weights for frame in driver.drive(pieces, Fraction(fps))], np.float64)


def synthetic(lang: str, engine: str, voice: dict[str, object], noise: float | None) -> str:
    """Return one line of the table."""
    sound, rate, truth = joined(load("tts", engine, lang=lang if engine == "espeak" else None, **voice).speak(TEXTS[lang]))
    if noise is not None:
        dice = np.random.default_rng(0)
        level = float(np.sqrt(np.mean(sound**2))) * 10 ** (-noise / 20)
        sound = (sound + level * dice.standard_normal(len(sound))).astype(np.float32)
    warnings: list[str] = []
    told = list(align([Audio(sound, rate)], load("tts", "espeak", lang=lang).speak(TEXTS[lang]), warn=warnings.append))
    marks = joined(told)[2]
    seconds = len(sound) / rate
    same = float(np.mean(classes(truth, seconds) == classes(marks, seconds)))
    edges = "                 -"
    if len(marks) == len(truth):  # the same phones
        off = 1e3 * np.abs([a.start - b.start for a, b in zip(truth, marks, strict=True)])
        edges = f"{np.median(off):7.0f} {np.percentile(off, 90):6.0f} ms"
    shut = [mark for mark in truth if kind(mark.text) == "shut"]
    weights = drawn(told, 50, text=True), drawn([Speech(Audio(sound, rate))], 50, text=False)
    closed = [sum(_shut(one, mark) for mark in shut) for one in weights]
    name = f"{lang} {engine} {' '.join(f'{v}' for v in voice.values())}" + ("" if noise is None else f", noise {noise:.0f} dB below")
    said = f"  ({warnings[0]})" if warnings else ""
    return f"{name:38} {len(truth):4} {edges:>19} {100 * same:6.0f} % {closed[0]:5} of {len(shut)} {closed[1]:8}{said}"


def _shut(weights: np.ndarray, mark: Mark) -> bool:
    """Return whether the lips meet in a frame that lies in a phone."""
    begin, end = int(mark.start * 50), max(int(mark.start * 50) + 1, round(mark.end * 50))
    gap, _ = lips(weights[begin:end])
    return bool((weights[begin:end, ARKIT_INDEX["mouthClose"]] > 0.99).any() or gap.min() < 0.003)


def real(clip: Path, text: str, work: Path) -> str:
    """Return how the mouth of a clip is followed without and with its text."""
    seen = watch(clip, work, seconds=40.0)
    match = sync.match(sync.levels(sync.Bands().hear(seen.sound)), seen.time, seen.mouth[:, :3])
    late = match.offset if match is not None and match.confidence > sync.SURE else 0.0
    warnings: list[str] = []
    plain = [Speech(Audio(seen.sound, RATE))]
    told = list(align([Audio(seen.sound, RATE)], load("tts", "espeak").speak(text), warn=warnings.append))
    rows = []
    for pieces, known in ((plain, False), (told, True)):
        curves = lips(drawn(pieces, 50, text=known))
        time = seen.time + late
        good = np.isfinite(seen.mouth[:, 0]) & (time < len(curves[0]) / 50) & (time > 0)
        mine = [np.interp(time[good], (np.arange(len(curve)) + 0.5) / 50, curve) for curve in curves]
        rows.append([np.corrcoef(one, other)[0, 1] for one, other in zip(mine, seen.mouth[good, :2].T, strict=True)])
    shut = [m for m in joined(told)[2] if kind(m.text) == "shut"]
    real_gap = np.interp(np.arange(0, seen.time[-1], 0.01), seen.time, np.nan_to_num(seen.mouth[:, 0], nan=1.0))
    least = [real_gap[int(max(0, m.start - late - 0.02) * 100) : int(max(0.05, m.end - late + 0.02) * 100)].min(initial=1.0) for m in shut]
    rest = f"{np.mean(np.array(least) < 0.03):.2f} of {len(shut)}" if shut else "-"
    said = f"  ({warnings[0]})" if warnings else ""
    (gap, width), (gap_text, width_text) = rows
    return f"{clip.stem:22} {1e3 * late:+6.0f} ms {gap:8.3f} {gap_text:8.3f} {width:9.3f} {width_text:8.3f} {rest:>14}{said}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", metavar="CLIP=TEXTFILE")
    parser.add_argument("--work", type=Path, help="keeps what was measured of the clips")
    given = parser.parse_args()
    print(f"{'voice':38} phones  begins off: median, 90 %   class  p b m shut with text, without")
    for case in CASES:
        print(synthetic(*case), flush=True)
    if given.clips:
        if given.work is None:
            parser.error("clips need --work")
        print(f"\n{'clip':22} sound late gap: heard, with text  width: heard, with text  real lips shut at p b m told")
        for pair in given.clips:
            clip, _, text = pair.partition("=")
            print(real(Path(clip), Path(text).read_text(encoding="utf-8"), given.work), flush=True)


if __name__ == "__main__":
    main()

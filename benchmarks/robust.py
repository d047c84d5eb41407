"""What the mouth does to sounds that are no clean voice: music, noise, claps, silence, two speakers, clipping, a telephone, odd files.

    python benchmarks/robust.py [--driver hear] [FILE...]

A sentence of eSpeak's is the measure: how much the lips' gap moves (standard deviation) beside that, how far it opens at most, for how
much of the time it is open (more than 0.02), and how far bad recordings of the sentence correlate with the good one. Any sound files
are measured likewise.
"""

import argparse
import tempfile
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from huashen.audio2face.style import lips
from huashen.media import read_audio
from huashen.registry import load
from huashen.types import Audio, Speech

RATE = 16000
FPS = 50
SAID = "My mother bought five big apples, and we move the blue boat before Bob opens the map. Who knows what to do now?"
OTHER = "The weather report speaks of heavy rain in the evening. Please remember to bring an umbrella, and a pair of good boots."


def say(text: str, voice: str | None = None) -> np.ndarray:
    """Return a text as eSpeak says it, at RATE."""
    import soxr

    said = list(load("tts", "espeak", lang="en", voice=voice).speak(text))
    sound = np.concatenate([s.audio.samples for s in said])
    return np.asarray(soxr.resample(sound, said[0].audio.rate, RATE), np.float32)


def notes(pitches: list[int], length: float, tone: Callable[[float, np.ndarray], np.ndarray]) -> np.ndarray:
    """Return notes (half tones above A3) one after the other."""
    t = np.arange(round(length * RATE)) / RATE
    return np.concatenate([tone(220 * 2 ** (pitch / 12), t) for pitch in pitches])


def organ(hz: float, t: np.ndarray) -> np.ndarray:
    edge = np.minimum(1, np.minimum(t, t[-1] - t) / 0.02)
    return edge * sum(np.sin(2 * np.pi * k * hz * t) / k**1.3 for k in range(1, 10) if k * hz < RATE / 2)


def fiddle(hz: float, t: np.ndarray) -> np.ndarray:
    phase = 2 * np.pi * hz * t + 0.9 * np.sin(2 * np.pi * 5.5 * t)
    return np.minimum(1, t / 0.06) * sum(np.sin(k * phase) / k for k in range(1, 16) if k * hz < RATE / 2)


def plucked(hz: float, t: np.ndarray) -> np.ndarray:
    return np.exp(-4 * t) * sum(np.sin(2 * np.pi * k * hz * t) / k**1.5 for k in range(1, 8) if k * hz < RATE / 2)


def drums(seconds: float) -> np.ndarray:
    dice = np.random.default_rng(1)
    sound = np.zeros(round(seconds * RATE))
    t = np.arange(RATE // 4) / RATE
    kick, snare, hat = (
        np.sin(2 * np.pi * (50 * t + 4 * (1 - np.exp(-20 * t)))) * np.exp(-12 * t),
        0.7 * dice.standard_normal(len(t)) * np.exp(-22 * t),
        0.3 * np.diff(dice.standard_normal(len(t) + 1)) * np.exp(-60 * t),
    )
    for k in range(int(seconds * 4) - 1):
        i = round(k * RATE / 4)
        for drum, hit in ((kick, k % 4 in (0, 3)), (snare, k % 4 == 2), (hat, True)):
            if hit:
                sound[i : i + len(drum)] += drum
    return sound


def claps(seconds: float) -> np.ndarray:
    dice = np.random.default_rng(2)
    sound = np.zeros(round(seconds * RATE))
    t = np.arange(RATE // 10) / RATE
    for k in range(int(seconds * 3)):
        i = round((k / 3 + dice.uniform(0, 0.05)) * RATE)
        burst = dice.standard_normal(len(t)) * np.exp(-60 * t)
        sound[i : i + len(t)] += burst[: len(sound) - i]
    return sound


def sounds() -> dict[str, np.ndarray]:
    """Return sounds that are no voice, ten seconds or so each, at a level of speech."""
    dice = np.random.default_rng(0)
    t = np.arange(10 * RATE) / RATE
    tune = [0, 4, 7, 4, 9, 7, 5, 2, 0, 4, 5, 7, 12, 11, 7, 4, 2, 5, 4, 0] * 2
    chord = lambda tone: sum(notes([p + shift for p in (0, 5, 7, 0, -4, 3, 5, 0)], 1.2, tone) for shift in (0, 4, 7))  # noqa: E731
    found = {
        "melody, organ": notes(tune, 0.25, organ),
        "melody, fiddle": notes(tune, 0.25, fiddle),
        "melody, plucked": notes(tune, 0.25, plucked),
        "chords, organ": chord(organ),
        "chords, plucked": chord(plucked),
        "drums": drums(10),
        "claps": claps(10),
        "hiss": dice.standard_normal(len(t)),
        "hiss that swells": dice.standard_normal(len(t)) * (1 + 0.7 * np.sin(2 * np.pi * 0.8 * t)),
        "hum of 50 Hz": sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 12)),
        "silence": np.zeros(len(t)),
    }
    return {name: (0.08 * sound / max(float(np.sqrt(np.mean(sound**2))), 1e-6)).astype(np.float32) for name, sound in found.items()}


def stereo(one: np.ndarray, two: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Return what is read of a file with two channels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "two.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((np.clip(np.stack([one, two], 1), -1, 1) * 32767).astype("<i2").tobytes())
        pieces = list(read_audio(path))
    return np.concatenate([piece.samples for piece in pieces]), pieces[0].rate


def main() -> None:
    """Print the table."""
    import soxr

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--driver", default="hear")
    given = parser.parse_args()
    driver = load("audio2face", given.driver, life=False)

    def gap(sound: np.ndarray, rate: int = RATE) -> np.ndarray:
        pieces = [Speech(Audio(np.asarray(sound, np.float32), rate))]
        return lips(np.array([motion.weights for motion in driver.drive(pieces, Fraction(FPS))], np.float64))[0]

    still = np.zeros(RATE // 2, np.float32)
    speech = np.concatenate([still, say(SAID), still])
    plain = gap(speech)
    measure = plain.std()

    def row(name: str, found: np.ndarray, *, against: bool = False) -> None:
        words = f"{found.std() / measure:6.2f} {found[: 2 * FPS].std() / measure:10.2f} {found.max():7.3f} {(found > 0.02).mean():7.2f}"
        n = min(len(found), len(plain))
        words += f" {np.corrcoef(found[:n], plain[:n])[0, 1]:8.2f}" if against else ""
        print(f"{name:34} {words}", flush=True)

    print(f"{'sound':34} motion first 2 s    most    open correlation")
    row("the sentence", plain)
    for name, sound in sounds().items():
        row(name, gap(sound))
    loudest = float(np.abs(speech).max())
    tune = np.resize(sounds()["melody, organ"], len(speech))
    hiss = np.resize(sounds()["hiss"], len(speech))
    level = float(np.sqrt(np.mean(speech**2))) / 0.08
    second = np.resize(say(OTHER), len(speech))
    row("speech, music 10 dB below", gap(speech + 0.316 * level * tune), against=True)
    row("speech, hiss 15 dB below", gap(speech + 0.178 * level * hiss), against=True)
    row("two speakers at once", gap(speech + 0.8 * second), against=True)
    row("clipped at a quarter", gap(np.clip(speech, -loudest / 4, loudest / 4)), against=True)
    row("telephone, 8 kHz", gap(soxr.resample(speech, RATE, 8000), 8000), against=True)
    wide = np.asarray(soxr.resample(speech, RATE, 96000), np.float32)
    row("96 kHz, two channels", gap(*stereo(wide, wide, 96000)), against=True)
    row("one channel empty", gap(*stereo(speech, 0 * speech, RATE)), against=True)
    row("20 dB quieter", gap(0.1 * speech), against=True)
    for file in given.files:
        row(file.name[:34], gap(np.concatenate([piece.samples for piece in read_audio(file, rate=RATE)])))


if __name__ == "__main__":
    main()

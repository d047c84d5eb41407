"""How fast the drivers are, for files and for sound that comes a little at a time, and how soon the first motion comes in a live stream.

    python benchmarks/hear.py [--seconds 60]
"""

import argparse
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from huashen import weights
from huashen.audio2face.learned import Hear
from huashen.registry import load
from huashen.types import Audio, Speech


def talk(seconds: float, rate: int = 16000) -> np.ndarray:
    """Return something like speech: a buzz in syllables, with hiss between them."""
    dice = np.random.default_rng(0)
    t = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    syllable = np.clip(np.sin(2 * np.pi * 4.2 * t), 0, 1)
    return (0.1 * buzz * syllable + 0.01 * dice.standard_normal(len(t)) * (1 - syllable)).astype(np.float32)


def pieces(sound: np.ndarray, size: int) -> Iterator[Speech]:
    """Yield a sound so many samples at a time."""
    for begin in range(0, len(sound), size):
        yield Speech(Audio(sound[begin : begin + size], 16000))


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    sound = talk(parser.parse_args().seconds)
    print("times real time, by the process's own time:")
    print("driver        at once  1 s  40 ms  20 ms  10 ms at a time")
    for name in ("signal", "visemes", "hear", "hear-offline", *(("hear-whisper",) if weights.present("whisper_base") else ())):
        paces = []
        for size in (len(sound), 16000, 640, 320, 160):
            driver = load("audio2face", name)
            begun = time.process_time()
            frames = sum(1 for _ in driver.drive(pieces(sound, size), Fraction(25)))
            paces.append(frames / 25 / (time.process_time() - begun))
        print(f"{name:12} " + "".join(f"{pace:7.0f}" for pace in paces), flush=True)

    come = 0

    def live() -> Iterator[Speech]:
        nonlocal come
        for piece in pieces(sound, 160):
            come += 160
            yield piece

    begun = time.perf_counter()
    driver = Hear()
    built = time.perf_counter() - begun
    begun = time.perf_counter()
    next(driver.drive(live(), Fraction(25)))
    spent = 1e3 * (time.perf_counter() - begun)
    print(f"first frame of 40 ms: out when {come / 16:.0f} ms of sound had come, after {spent:.0f} ms of work")
    print(f"building it: {1e3 * built:.0f} ms")


if __name__ == "__main__":
    main()

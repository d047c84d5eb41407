"""How fast the driver that hears is, and how soon its first motion comes in a live stream.

    python benchmarks/hear.py [--seconds 60]
"""

import argparse
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

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


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    sound = talk(parser.parse_args().seconds)
    for name in ("signal", "visemes", "hear"):
        driver = load("audio2face", name)
        begun, cpu = time.perf_counter(), time.process_time()
        frames = sum(1 for _ in driver.drive([Speech(Audio(sound, 16000))], Fraction(25)))
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        print(f"{name:8} {frames / 25 / wall:5.0f} × real time, {frames / 25 / cpu:5.0f} × by the process's own time")

    come = 0

    def live() -> Iterator[Speech]:
        nonlocal come
        for begin in range(0, len(sound), 160):
            come += 160
            yield Speech(Audio(sound[begin : begin + 160], 16000))

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

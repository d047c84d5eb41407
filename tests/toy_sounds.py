"""Sounds of a room, made: coughs, claps, typing, a fan, a loudspeaker as a microphone hears it; for tests and benchmarks/ears.py."""

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

import huashen
from huashen.types import Transcript

RATE = 16_000
Sound = NDArray[np.float32]


class Deaf:
    """A recogniser that takes every sound for words: what matters is when."""

    lang = "en"

    def begin(self) -> "Deaf":
        return self

    def feed(self, samples: Sound) -> str:
        return "words"

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def finish(self) -> Transcript:
        return Transcript("words", "en")

    def close(self) -> None:
        pass


def noise(seconds: float, seed: int, low: float = 0.0, high: float = RATE / 2) -> Sound:
    """Return noise between two frequencies, its root mean square 1."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    made = np.fft.irfft(spectrum, count)
    return np.asarray(made / np.sqrt(np.mean(made**2)), np.float32)


def cough(seed: int, *, times: int = 2, level: float = 0.12) -> Sound:
    """Return a cough: bursts of broad noise with the throat's resonances, each with a hard onset, 0.1 s of turbulence and a voiced tail."""
    pieces = []
    for k in range(times):
        burst = noise(0.25, seed + k, 150, 6000)
        formed = burst + 2 * noise(0.25, seed + k + 50, 400, 1400)
        time = np.arange(len(burst)) / RATE
        envelope = np.exp(-time / 0.06) * np.minimum(1, time / 0.004)
        tail = 0.6 * np.sin(2 * np.pi * 140 * time) * np.exp(-((time - 0.1) ** 2) / 0.002)
        pieces += [formed * envelope + tail, np.zeros(round(0.12 * RATE))]
    return _at(np.concatenate(pieces), level)


def claps(seed: int, *, times: int = 3, level: float = 0.15) -> Sound:
    """Return hand claps in a room."""
    time = np.arange(round(0.15 * RATE)) / RATE
    one = [noise(0.15, seed + k, 500, 7000) * (np.exp(-time / 0.006) + 0.15 * np.exp(-time / 0.05)) for k in range(times)]
    return _at(np.concatenate([np.concatenate([clap, np.zeros(round(0.25 * RATE))]) for clap in one]), level, peak=True)


def typing(seconds: float, seed: int, *, level: float = 0.03) -> Sound:
    """Return a keyboard: ten clicks a second."""
    made = np.zeros(round(seconds * RATE) + RATE)
    luck = np.random.default_rng(seed)
    time = np.arange(round(0.03 * RATE)) / RATE
    for at in np.cumsum(luck.uniform(0.05, 0.16, round(seconds * 10))):
        begin = round(at * RATE)
        if at < seconds:
            click = noise(0.03, int(luck.integers(1 << 30)), 800, 7500) * np.exp(-time / 0.005)
            made[begin : begin + len(time)] += luck.uniform(0.4, 1) * click
    return _at(made[: round(seconds * RATE)], level, peak=True)


def fan(seconds: float, seed: int, *, level: float = 0.01) -> Sound:
    """Return a fan: low noise and the hum of its blades."""
    time = np.arange(round(seconds * RATE)) / RATE
    hum = sum(np.sin(2 * np.pi * 87 * k * time) / k for k in range(1, 6))
    return _at(noise(seconds, seed, 40, 900) + 0.3 * noise(seconds, seed + 1, 900, 6000) + 0.4 * hum, level)


def room(sound: Sound, *, delay: float, level: float, decay: float = 0.25, seed: int = 0) -> Sound:
    """Return a loudspeaker as a microphone hears it.

    Args:
        sound: what is played.
        delay: seconds from playing to hearing, buffers included.
        level: decibels of what is heard against what is played.
        decay: seconds in which the room loses 60 dB.
        seed: of the room.
    """
    luck = np.random.default_rng(seed)
    time = np.arange(round(decay * RATE)) / RATE
    answer = luck.normal(size=len(time)) * np.exp(-6.9 * time / decay) * 0.12
    answer[0] = 1
    spoken = np.convolve(sound, answer)[: len(sound)]
    spoken = np.convolve(spoken, [1, -0.6])[: len(sound)]  # a small loudspeaker has no bass
    late = np.concatenate([np.zeros(round(delay * RATE)), spoken])[: len(sound)]
    return np.asarray(late * np.sqrt(np.mean(sound**2) / np.mean(spoken**2)) * 10 ** (level / 20), np.float32)


def said(engine: str, text: str, *, level: float = 0.08, **options: Any) -> Sound:
    """Return a text as a voice says it, at 16 kHz and a level of its loud parts."""
    speech = list(huashen.load("tts", engine, **options).speak(text))
    sound = np.concatenate([piece.audio.samples for piece in speech])
    return _at(np.asarray(soxr.resample(sound, speech[0].audio.rate, RATE), np.float32), level)


def mixed(seconds: float, *parts: tuple[float, Sound], floor: float = 3e-4, seed: int = 9) -> Sound:
    """Return sounds laid at their seconds over the quiet noise of a room."""
    made = floor * np.random.default_rng(seed).normal(size=round(seconds * RATE))
    for at, sound in parts:
        begin = round(at * RATE)
        kept = sound[: max(0, len(made) - begin)]
        made[begin : begin + len(kept)] += kept
    return made.astype(np.float32)


def _at(sound: NDArray[Any], level: float, *, peak: bool = False) -> Sound:
    loud = sound[np.abs(sound) > 0.05 * np.abs(sound).max()]
    now = np.abs(sound).max() if peak else np.sqrt(np.mean(loud**2))
    return np.asarray(sound * level / now, np.float32)

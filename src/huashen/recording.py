"""What a recording is like, before anything is made of it: how many channels, how wide its band, whether it is clipped."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huashen.media import PathLike, probe, read_channels

SECONDS = 120.0
"""Seconds of its beginning that are looked at."""
CLIPPED = 0.02
"""Share of the louder samples that lie near the loudest, from which a recording is held to be clipped: speech has at most 0.007 (41 clips),
a sentence cut at 0.7 of its peak 0.03, at a quarter 0.27."""
NARROW = 45.0
"""dB by which the band of a telephone is above what is higher, from which the recording is one of a telephone; speech: 16 to 25."""
_EMPTY = 1e-3  # amplitude beside the loudest channel
_SIZE = 1024
_BINS = 336  # of a quarter of a decibel, from -80 to +4


@dataclass(frozen=True)
class Recording:
    """What a file's sound is like."""

    rate: int
    """Samples a second, Hz."""
    channels: int
    empty: int
    """Channels with nothing in them, beside others that have something."""
    level: float
    """Root mean square, dB below full scale."""
    clipped: float
    """Share of the louder samples that lie near the loudest, 0 to 1."""
    narrow: bool
    """Whether nothing is heard above 4 kHz."""


def inspect(path: PathLike) -> Recording | None:
    """Return what a file's sound is like; None where it has none.

    Raises:
        UnreadableError: it is missing or broken.
    """
    if not probe(path).rate:
        return None
    energy: NDArray[np.float64] = np.zeros(0)
    counts = np.zeros(_BINS)
    power = np.zeros(_SIZE // 2 + 1)
    held = np.zeros(0, np.float32)
    window = np.hanning(_SIZE)
    rate, samples = 0, 0
    for piece, rate in read_channels(path):
        energy = (piece.astype(np.float64) ** 2).sum(1) + (energy if len(energy) else 0)
        decibels = 20 * np.log10(np.clip(np.abs(piece), 1e-4, 1.4))
        counts += np.histogram(decibels, _BINS, (-80.0, 4.0))[0]
        samples += piece.shape[1]
        held = np.concatenate([held, piece[np.argmax(energy)]])
        while len(held) >= _SIZE:
            power += np.abs(np.fft.rfft(held[:_SIZE] * window)) ** 2
            held = held[_SIZE:]
        if samples > SECONDS * rate:
            break
    if not samples:
        return None
    loudest = float(energy.max())
    return Recording(
        rate=rate,
        channels=len(energy),
        empty=int((energy <= _EMPTY**2 * loudest).sum()) if loudest > 0 else 0,
        level=10 * float(np.log10(loudest / samples + 1e-12)),
        clipped=_clipped(counts),
        narrow=rate <= 8000 or _narrow(power, rate),
    )


def _clipped(counts: NDArray[np.float64]) -> float:
    """Return the share of samples less than 14 dB below the loudest that are less than 1 dB below it."""
    above = np.cumsum(counts[::-1])[::-1]
    top = int(np.flatnonzero(above >= max(3.0, 1e-5 * counts.sum()))[-1])  # a click is not the loudest
    return float(above[top - 3] / max(above[top - 56], 1.0)) if top >= 60 else 0.0


def _narrow(power: NDArray[np.float64], rate: int) -> bool:
    hz = np.fft.rfftfreq(_SIZE, 1 / rate)
    band = [float(power[(hz >= low) & (hz < high)].mean()) for low, high in ((300, 3400), (4200, min(7000, rate / 2)))]
    return band[0] > 0 and 10 * float(np.log10(band[0] / max(band[1], 1e-12))) > NARROW

"""Hearing: how loud every band of a stream of sound is, a hundred times a second, whatever its rate and level."""

import math

import numpy as np
from numpy.typing import NDArray

from huashen.types import Floats

TICKS = 100
"""Ticks a second."""
BANDS = 20
_LOW, _HIGH = 80.0, 7600.0  # Hz; speech below and above tells little about the lips
_WINDOW = 0.025  # s, the usual analysis window of speech
_DEPTH = 45.0  # dB below the speaker's own level that still count
_FLOOR_RISE, _LEVEL_FALL = 5.0, 2.0  # dB a second: a floor climbs between two dips of speech, a level outlasts a pause
_VOICE = 4.0  # s of speech over which a voice's bands are averaged
_FIRST_FLOOR = -52.0  # dB: what a stream begins with is the room, unless it is louder than that in a band


class Ear:
    """Turns a stream of sound into band levels relative to the speaker's own level and the room's noise.

    Every tick is computed by itself from the same samples, so how the sound is cut changes nothing, not even a rounding.
    """

    def __init__(self, rate: int, *, bands: int = BANDS) -> None:
        self._rate = rate
        self._half = max(8, round(_WINDOW * rate / 2))
        self._size = 1 << (2 * self._half - 1).bit_length()
        self._window = np.hanning(2 * self._half).astype(np.float64)
        self._bands = _filters(self._size, rate, bands) / (np.sum(self._window**2) * self._size)
        self._held = np.zeros(self._half, np.float32)  # what the first window sees before the beginning
        self._first = -self._half
        self._tick = 0
        self._floor: NDArray[np.float64] | None = None
        self._level = -50.0

    def hear(self, samples: Floats) -> list[NDArray[np.float64]]:
        """Take the next samples and return the ticks they complete.

        Returns:
            One (bands + 1,) a tick: the bands' levels in [0, 1.2] (0: noise floor or nothing, 1: as loud as the speaker gets),
            then the loudness of them all, likewise.
        """
        self._held = np.concatenate([self._held, np.nan_to_num(samples)])
        found = []
        while True:
            begin = self._tick * self._rate // TICKS - self._half - self._first
            if begin + 2 * self._half > len(self._held):
                break
            found.append(self._look(self._held[begin : begin + 2 * self._half]))
            self._tick += 1
        keep = max(0, self._tick * self._rate // TICKS - self._half - self._first)
        self._held = self._held[keep:].copy()
        self._first += keep
        return found

    def _look(self, piece: Floats) -> NDArray[np.float64]:
        spectrum = np.fft.rfft(piece * self._window, self._size)
        energy = self._bands @ (spectrum.real**2 + spectrum.imag**2)
        db = 10 * np.log10(energy + 1e-10)
        loud = 10 * math.log10(float(energy.sum()) + 1e-10)
        if self._floor is None:
            self._floor = np.minimum(db, _FIRST_FLOOR)
        self._floor = np.minimum(np.maximum(db, -95.0), self._floor + _FLOOR_RISE / TICKS)
        noise = 10 * math.log10(float((10 ** (self._floor / 10)).sum()))
        self._level = max(loud, self._level - _LEVEL_FALL / TICKS, noise + 15.0, -60.0)
        found = np.empty(len(db) + 1)
        # A band counts from 4 dB above its noise, or from `_DEPTH` below the speaker's level, whichever is higher.
        bottom = np.maximum(self._floor + 4.0, self._level - _DEPTH)
        found[:-1] = np.minimum(np.maximum((db - bottom) / (self._level - bottom + 1.0), 0.0), 1.2)
        bottom_all = max(noise + 6.0, self._level - _DEPTH)
        found[-1] = min(max((loud - bottom_all) / max(self._level - bottom_all, 1.0), 0.0), 1.2)
        return found


class Even:
    """Takes out of what an ear hears how a voice and its microphone sound: the mean of every band while somebody speaks.

    Args:
        usual: (bands,) that of many voices, which stands for this one's until it has been heard for some seconds.
    """

    def __init__(self, usual: NDArray[np.float64]) -> None:
        self._usual = usual
        self._mean = usual

    def hear(self, tick: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the next tick of an ear with its bands as they would be in the usual voice; what is not heard stays so."""
        bands = tick[:-1]
        self._mean = self._mean + (min(tick[-1], 1.0) / (_VOICE * TICKS)) * (bands - self._mean)
        found = tick.copy()
        found[:-1] = np.maximum(bands - self._mean + self._usual, 0.02) * (bands > 0)
        return found


def _filters(size: int, rate: int, bands: int) -> NDArray[np.float64]:
    """Return triangular filters, evenly spaced on the mel scale, (bands, size // 2 + 1); those above half the rate hear nothing."""
    mel = np.linspace(2595 * np.log10(1 + _LOW / 700), 2595 * np.log10(1 + _HIGH / 700), bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hz = np.arange(size // 2 + 1) * rate / size
    rising = (hz[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz[None]) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling))

"""Mel spectra as Wav2Lip hears: 80 bands, 80 columns a second.

16 kHz; pre-emphasis 0.97; windows of 800 samples every 200, centred, the sound reflected at its ends; 80 Slaney bands from 55 to 7600 Hz
of the magnitude; decibels from -100 to 0 (20 dB taken off first) on the scale -4 to 4.

Source: https://github.com/Rudrabha/Wav2Lip, audio.py and hparams.py; the bands as in Slaney, Auditory Toolbox, 1998.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from huashen.types import Floats

RATE = 16000
"""Samples a second."""
HOP = 200
"""Samples from column to column."""
BANDS = 80
PER_SECOND = RATE / HOP
"""Columns a second."""
REACH = 400
"""Samples on either side of a column's middle that it hears."""
SILENCE = -4.0
"""What every band is when there is no sound."""


def mel(sound: Floats) -> Floats:
    """Return the mel spectrum of a whole sound.

    Args:
        sound: (n,) 16 kHz.

    Returns:
        (80, 1 + n // 200) float32 in [-4, 4]; (80, 0) of no sound.
    """
    stream = Mel()
    return np.stack([*stream.hear(sound), *stream.end()], 1) if len(sound) else np.zeros((BANDS, 0), np.float32)


class Mel:
    """The mel spectrum of a stream.

    Every column is computed by itself, so how the sound is cut changes nothing, not even a rounding.
    """

    def __init__(self) -> None:
        self._held = np.zeros(0)
        """Sound after pre-emphasis, from the first sample of the next column on."""
        self._last = 0.0
        self._begun = False

    def hear(self, sound: Floats) -> list[Floats]:
        """Take (n,) more samples and return the columns (80,) they complete."""
        given = sound.astype(np.float64)
        if not len(given):
            return []
        sharp = given - 0.97 * np.concatenate([[self._last], given[:-1]])
        self._last = float(given[-1])
        self._held = np.concatenate([self._held, sharp])
        if not self._begun:
            if len(self._held) <= REACH:
                return []
            self._held = np.concatenate([self._held[REACH:0:-1], self._held])
            self._begun = True
        return self._columns()

    def end(self) -> list[Floats]:
        """Return the columns that are left when no more sound comes."""
        if not self._begun:
            if not len(self._held):
                return []
            self._held = np.pad(self._held, REACH, mode="reflect")
        else:
            self._held = np.concatenate([self._held, self._held[-2 : -2 - REACH : -1]])
        self._begun = True
        return self._columns()

    def _columns(self) -> list[Floats]:
        found = []
        begin = 0
        while begin + 2 * REACH <= len(self._held):
            found.append(_column(self._held[begin : begin + 2 * REACH]))
            begin += HOP
        self._held = self._held[begin:].copy()
        return found


def _column(piece: NDArray[np.float64]) -> Floats:
    magnitude = np.abs(np.fft.rfft(piece * _window()))
    bands = (_filters() * magnitude).sum(1)  # no matrix product: its rounding would depend on how many columns come at once
    decibels = 20 * np.log10(np.maximum(1e-5, bands)) - 20
    return np.asarray(np.clip(8 * (decibels + 100) / 100 - 4, -4, 4), np.float32)


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2 * REACH) / (2 * REACH))


@lru_cache(maxsize=1)
def _filters() -> NDArray[np.float64]:
    """Return (80, 401): triangles of equal area, evenly spaced on Slaney's scale (linear up to 1 kHz, then logarithmic)."""
    step, knee = 200 / 3, np.log(6.4) / 27
    low, high = 55.0 / step, 15 + np.log(7600.0 / 1000) / knee
    marks = np.linspace(low, high, BANDS + 2)
    edges = np.where(marks < 15, marks * step, 1000 * np.exp(knee * (marks - 15)))
    at = np.linspace(0, RATE / 2, REACH + 1)
    rise = (at - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - at) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.asarray(filters.astype(np.float32), np.float64)  # the reference keeps them in single precision

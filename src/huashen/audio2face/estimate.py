"""A guess of the mouth from the sound alone: a linear filter over 0.24 s of band levels, fitted to real speakers.

The filter tells the gap between the lips and the width of the mouth. It was fitted by ridge regression (`huashen.train.estimate`) to the
landmarks of 23 clips of 19 speakers, nearly all English, each clip moved to where its own sound and picture agree best. On
speakers it was not fitted to, its correlation with the measured gap is 0.43 and with the width 0.37 (0.01 with another clip's sound);
how loud it is, alone, gives 0.08.
"""

import math
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.audio2face.ear import BANDS, TICKS
from huashen.audio2face.phones import CHANNELS
from huashen.types import Audio

DELAY = 12
"""Ticks of sound past a tick's own that its guess needs."""
_REACH, _ROUND = 7, 4
"""Ticks to each side: the loudest of the former, averaged over the latter, says whether somebody speaks."""
_WIDEST, _NARROWEST = 2.6, -2.8  # standard deviations

_AT = {name: i for i, name in enumerate(CHANNELS)}


class Estimate:
    """Guesses the mouth's channels, and how closed the lips are, from what an ear hears."""

    bands = BANDS
    lookahead = 0.19

    def __init__(self) -> None:
        self._taps, self._mean, self._spread = _filter()
        about = np.hanning(2 * _ROUND + 3)[1:-1]
        self._about = about / about.sum()
        self._heard: deque[NDArray[np.float64]] = deque([np.zeros(BANDS + 1)] * DELAY, maxlen=2 * DELAY + 1)

    def take(self, audio: Audio) -> None:
        """Do nothing: ticks are enough."""

    def hear(self, ticks: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Take the next ticks of an ear; return the guess for each tick `DELAY` before them, if that has been.

        Returns:
            (14,) each: the channels, then how closed the lips are.
        """
        return [guess for tick in ticks for guess in self._next(tick)]

    def _next(self, tick: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        self._heard.append(tick)
        if len(self._heard) < 2 * DELAY + 1:
            return []
        window = np.stack(self._heard)
        gap, width = ((self._taps * window).sum(axis=(1, 2)) - self._mean) / self._spread
        loud = window[:, BANDS]
        peaks = [loud[i - _REACH : i + _REACH + 1].max() for i in range(DELAY - _ROUND, DELAY + _ROUND + 1)]
        voice = float(self._about @ peaks)
        return [_mouth(float(gap), float(width), voice)]


def _mouth(gap: float, width: float, voice: float) -> NDArray[np.float64]:
    """Return the channels for a gap and a width in standard deviations of speech, and the loudness about now."""
    awake = _ease((voice - 0.1) / 0.3)
    open_ = max(0.47 + 0.25 * gap, 0.0)
    if open_ > 0.8:  # a shout is no yawn
        open_ = 0.8 + 0.45 * math.tanh((open_ - 0.8) / 0.45)
    open_ *= awake
    wide = awake * 0.04 * min(max(width, _NARROWEST), _WIDEST)  # in distances between the eyes' outer corners
    found = np.zeros(len(CHANNELS) + 1)
    found[_AT["jaw"]] = 0.06 * awake + 0.53 * open_
    found[_AT["lower"]] = 0.06 * awake + 0.42 * open_
    found[_AT["upper"]] = 0.04 * awake + 0.2 * open_
    if wide > 0:
        found[_AT["stretch"]] = wide / 0.19
        found[_AT["smile"]] = 0.6 * wide / 0.19
    else:
        found[_AT["pucker"]] = -wide / 0.24
        found[_AT["funnel"]] = -0.7 * wide / 0.24
    # The filter blunts closures: what it finds nearly closed is closed.
    found[-1] = awake * _ease((0.16 - open_) / 0.16)
    return found


def _ease(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


@lru_cache(maxsize=1)
def _filter() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    with np.load(Path(__file__).with_name("estimate.npz")) as stored:
        return stored["taps"].astype(np.float64), stored["mean"].astype(np.float64), stored["spread"].astype(np.float64)


assert TICKS == 100, "the filter's taps are 10 ms apart"

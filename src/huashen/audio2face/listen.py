"""What the sound about now tells: loudness, a guess of the mouth, beats and pauses."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from huashen.audio2face.ear import TICKS, Ear
from huashen.audio2face.estimate import Estimate
from huashen.audio2face.phones import CHANNELS
from huashen.types import Audio, Floats

_ROUND = 8  # ticks to each side over which loudness is averaged, and over which a beat is the loudest
_QUIET = 0.12
_PAUSE = 14  # ticks of quiet that make a pause


class Guess(Protocol):
    """Guesses the mouth from what an ear of `bands` bands hears."""

    bands: int
    lookahead: float
    """Seconds of sound past a frame that its guess needs."""

    def take(self, audio: Audio) -> None:
        """Take the next piece of sound, before the ticks that the ear makes of it; where these are enough, do nothing."""
        ...

    def hear(self, ticks: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """Take the next ticks; return the guesses, (14,) each, that they complete: one for every tick, in order."""
        ...


class Listener:
    """Keeps the last half second of what an ear heard, and what follows as far as it has come.

    Needs at most `REACH` seconds of sound past the moment it is asked for, or as much as the guess does.

    Args:
        guess: what guesses the mouth; the linear filter without one.
    """

    def __init__(self, guess: Guess | None = None) -> None:
        self._ear: Ear | None = None
        self._estimate = guess or Estimate()
        self._loud: deque[float] = deque()
        self._ticks: list[NDArray[np.float64]] = []  # what nothing has been guessed from yet
        self._guess: deque[NDArray[np.float64]] = deque()
        self._tick = 0  # of the first in both
        self._beat = 0  # the next tick to be judged
        self._pause = 0
        self._quiet = True

    def hear(self, audio: Audio) -> None:
        """Take the next piece of sound."""
        if self._ear is None:
            self._ear = Ear(audio.rate, bands=self._estimate.bands)
        self._estimate.take(audio)
        samples: Floats = np.asarray(audio.samples, np.float32)
        heard = self._ear.hear(samples)
        self._loud.extend(float(tick[-1]) for tick in heard)
        self._ticks += heard

    def forget(self, time: float) -> None:
        """Drop what lies more than half a second before a moment."""
        self._catch_up()
        while self._loud and self._tick < (time - 0.5) * TICKS:
            self._loud.popleft()
            self._tick += 1
            if self._guess:
                self._guess.popleft()

    def loudness(self, time: float) -> float:
        """Return the loudness about a moment beside the speaker's own level: 0 (silence) to 1.2."""
        place = time * TICKS
        ticks = int(np.floor(place)) + np.arange(-_ROUND, _ROUND + 2)
        weights = 1 + np.cos(np.pi * np.clip((ticks - place) / (_ROUND + 1), -1, 1))
        return float(np.sum(weights * self._between(int(ticks[0]), int(ticks[-1]) + 1)) / np.sum(weights))

    def mouth(self, time: float) -> NDArray[np.float64]:
        """Return the channels guessed for a moment and, last, how closed the lips are."""
        self._catch_up()
        place = time * TICKS - self._tick
        low = int(np.floor(place))
        share = place - low
        empty = np.zeros(len(CHANNELS) + 1)
        one = self._guess[low] if 0 <= low < len(self._guess) else empty
        two = self._guess[low + 1] if 0 <= low + 1 < len(self._guess) else empty
        found: NDArray[np.float64] = (1 - share) * one + share * two
        return found

    def _catch_up(self) -> None:
        """Guess when a frame is due, not when sound comes: many small pieces then cost no more than a large one."""
        if self._ticks:
            self._guess.extend(self._estimate.hear(self._ticks))
            self._ticks = []

    def beats(self, until: float) -> Iterator[tuple[float, float]]:
        """Yield (time, strength) of loud moments up to 0.07 s after a moment, once each, 0.08 s late: heads follow the voice."""
        while self._beat <= (until + 0.07) * TICKS:
            around = self._between(self._beat - _ROUND, self._beat + _ROUND + 1)
            here = around[_ROUND]
            # The first of equals, and a rise before it.
            if here > 0.85 and here == max(around) and here not in around[:_ROUND] and min(around[:_ROUND]) < here - 0.12:
                yield self._beat / TICKS + 0.08, min(1.0, here)
            self._beat += 1

    def pauses(self, until: float) -> Iterator[float]:
        """Yield the moments up to this one at which the voice fell silent, once each."""
        while self._pause <= until * TICKS:
            ahead = self._between(self._pause, self._pause + _PAUSE)
            if self._quiet:
                self._quiet = ahead[0] < 2 * _QUIET
            elif max(ahead) < _QUIET:
                self._quiet = True
                yield self._pause / TICKS
            self._pause += 1

    def _between(self, first: int, end: int) -> list[float]:
        """Return the loudness at ticks from `first` to before `end`; 0 where it is not known."""
        known = list(islice(self._loud, max(first - self._tick, 0), max(end - self._tick, 0)))
        before = [0.0] * (min(end, self._tick) - first)
        return [*before, *known, *[0.0] * (end - first - len(before) - len(known))]


REACH = Estimate.lookahead
"""Seconds of sound past a moment that a listener needs for it."""

"""Telling the user's voice from the avatar's own, which the microphone hears too.

A browser cancels most of the echo; what is left, or all of it where nothing cancels, is what was played, later, weaker and coloured by the
room. From the last seconds of both, in bands of frequency, come its delay (the best correlation of the two envelopes) and each band's
loss (the median of their ratio). Bands that hold no more than is then expected are turned down; what is left is somebody else's, if it
rises above what is expected in enough bands.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from huashen.asr import RATE
from huashen.asr.voice import HOP
from huashen.types import Floats

_STEP = 256
"""Samples between two spectra: 16 ms."""
_MEMORY = 190
"""Spectra remembered: 3 s."""
_LONGEST = 62
"""Spectra searched for the delay: 1 s, as browsers' buffers may hold."""
_EDGES = np.geomspace(150, 6500, 17)
_SILENT = 1e-9
"""Band power below which nothing was played."""
_OVER = 7.0
"""Decibels above what is expected that make a band somebody else's."""
_LEFT = 1e-3
"""Power that is left of a band that holds nothing but echo."""
_SHARE = 0.33
"""Share of the bands in which that must be."""
_HALF = 0.5
"""Share of the spectra of the last tenth of a second in which that must be."""
_FIRST = 0.25
"""Power of an echo against what was played, while nothing is known of it."""
_DEC = 0.15
"""Powers of ten that a room's sound loses in 16 ms: 40 dB in 0.4 s."""
_SPAN = 10
"""Spectra over which a room's sound is followed."""


class Echo:
    """Follows the echo of what is played; holds the state of one stream."""

    def __init__(self) -> None:
        hertz = np.fft.rfftfreq(2 * _STEP, 1 / RATE)
        self._bands = np.array([(hertz >= low) & (hertz < high) for low, high in pairwise(_EDGES)], np.float64)
        self._bands /= np.maximum(1, self._bands.sum(axis=1, keepdims=True))
        self._window = np.sin(np.pi * (np.arange(2 * _STEP) + 0.5) / (2 * _STEP))  # its square, laid over itself by half, is 1 everywhere
        self._places = np.interp(np.log(np.maximum(hertz, 1)), np.log(np.sqrt(_EDGES[1:] * _EDGES[:-1])), np.arange(len(_EDGES) - 1))
        self._tails = np.zeros((2, _STEP))
        self._rest = np.zeros(_STEP)
        size = len(self._bands)
        self._heard = np.full((_MEMORY, size), _SILENT)
        self._played = np.full((_MEMORY + _LONGEST, size), _SILENT)
        self._delay = 0
        self._sure = False
        self._loss: NDArray[np.float64] | None = None
        self._floor = np.full(size, 1e-6)
        self._count = 0

    def clean(self, heard: Floats, played: Floats) -> tuple[Floats, bool]:
        """Return a piece without the echo of what was played, 16 ms late, and whether anything of somebody else is in it.

        Args:
            heard: (HOP,) float32 of the microphone.
            played: (HOP,) float32 of what was given out meanwhile.
        """
        mine, theirs = self._spectra(heard, 0), self._spectra(played, 1)
        bands = [np.abs(rows) ** 2 / _STEP**2 @ self._bands.T + _SILENT / 10 for rows in (mine, theirs)]
        for now, given in zip(*bands, strict=True):
            self._heard = np.concatenate([self._heard[1:], now[None]])
            self._played = np.concatenate([self._played[1:], given[None]])
            # the floor falls at once and rises 2 dB a second
            self._floor = np.minimum(np.maximum(now, _SILENT), self._floor * 10 ** (0.2 * _STEP / RATE))
        self._count += 1
        if self._played[-_LONGEST - 30 :].max() <= 10 * _SILENT:
            return self._sound(mine), True  # nothing was played that could come back now
        if self._count % 8 == 0 or self._loss is None:
            self._learn()
        echo = self._echo(len(mine))
        gains = np.sqrt(np.maximum(_LEFT, 1 - 10 ** (_OVER / 10) * echo / bands[0]))
        turned = np.array([np.interp(self._places, np.arange(len(row)), row) for row in gains])
        return self._sound(mine * turned), self._foreign()

    def _spectra(self, piece: Floats, stream: int) -> NDArray[np.complex128]:
        """Return the spectra of two overlapping windows, (2, frequencies)."""
        sound = np.concatenate([self._tails[stream], piece])
        self._tails[stream] = sound[-_STEP:]
        rows = np.array([sound[start : start + 2 * _STEP] for start in range(0, HOP, _STEP)])
        return np.fft.rfft(rows * self._window)

    def _sound(self, spectra: NDArray[np.complex128]) -> Floats:
        """Return the sound of spectra that follow those before."""
        pieces = []
        for row in np.fft.irfft(spectra) * self._window:
            pieces.append(self._rest + row[:_STEP])
            self._rest = row[_STEP:]
        return np.concatenate(pieces).astype(np.float32)

    def _learn(self) -> None:
        """Find the delay, then each band's loss, from what is remembered."""
        loud = self._played > 10 * _SILENT
        if loud[-_LONGEST:].sum() < 15 * 6:  # a quarter of a second of speech in a third of the bands
            return
        heard = 10 * np.log10(self._heard + _SILENT)
        played = 10 * np.log10(self._played + _SILENT)
        best, delay = -1.0, self._delay
        mine = heard - heard.mean(axis=0)
        own = np.sqrt((mine**2).sum()) + 1e-9
        for late in range(_LONGEST):
            theirs = played[_LONGEST - late : _LONGEST - late + _MEMORY]
            theirs = theirs - theirs.mean(axis=0)
            likeness = float((mine * theirs).sum() / (own * (np.sqrt((theirs**2).sum()) + 1e-9)))
            if likeness > best:
                best, delay = likeness, late
        if best > 0.35 or not self._sure:
            self._delay = delay
            self._sure = best > 0.35
        expected = self._expected(_MEMORY)
        active = expected > 30 * _SILENT
        if active.any(axis=1).sum() < 20:
            return
        ratio = np.where(active, np.log10((self._heard + _SILENT) / (expected + _SILENT)), np.nan)
        enough = active.sum(axis=0) >= 12
        loss = np.array([np.nanmedian(column) if many else np.nan for column, many in zip(ratio.T, enough, strict=True)])
        middle = float(np.nanmedian(loss)) if enough.any() else 0.0
        loss = np.where(np.isnan(loss), middle, loss)
        # a user who talks over the avatar raises the ratio: learn a rise slowly, a fall at once
        before = loss if self._loss is None else self._loss
        self._loss = np.where(loss < before, 0.5 * (loss + before), before + np.minimum(0.03, loss - before))

    def _expected(self, count: int) -> NDArray[np.float64]:
        """Return what was played as it should be arriving in the last `count` spectra, smeared by the room, before any loss."""
        end = len(self._played) - self._delay
        rows = [self._played[max(0, end - count - late) : end - late] for late in range(-1, _SPAN)]
        longest = max(len(row) for row in rows)
        spread = np.full((longest, self._played.shape[1]), _SILENT)
        for late, row in zip(range(-1, _SPAN), rows, strict=True):
            weight = 10 ** (-_DEC * max(0, late - 1))
            if len(row):
                spread[-len(row) :] = np.maximum(spread[-len(row) :], weight * row)
        return spread[-count:]

    def _echo(self, count: int) -> NDArray[np.float64]:
        """Return what should be arriving of what was played in the last `count` spectra."""
        if self._loss is None:  # the first moments of the first sound: it may come at any time, and not much weaker
            return np.repeat(_FIRST * self._played[-_LONGEST:].max(axis=0, keepdims=True), count, axis=0)
        return np.asarray(self._expected(count) * 10**self._loss, np.float64)

    def _foreign(self) -> bool:
        """Return whether the last tenth of a second rises above what is expected."""
        count = 6
        mine = self._heard[-count:]
        over = 10 * np.log10(mine / (self._echo(count) + 4 * self._floor + _SILENT))
        bands = over > _OVER
        return bool((bands.mean(axis=1) > _SHARE).mean() > _HALF)

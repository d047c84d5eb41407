"""Whether a mouth moves as its sound does, and how far the two are apart.

A fixed linear filter guesses from the sound how a mouth would move; the guess is compared with how it did move, at every offset. The
same comparison with the mouth's curves turned round against the sound says what chance gives. The filter was fitted to real speakers
by `huashen.train.sync`, which tells how; it serves to measure and has nothing to do with the engines that move mouths, so that none is
judged by what made it.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.types import Floats

RATE = 16000
"""Samples a second of the sound, Hz."""
TICKS = 100
"""Ticks a second, at which the sound is looked at."""
BANDS = 24
CHANNELS = ("gap", "width", "protrusion")
"""The mouth's curves; the filter guesses them and then their rates of change."""
REACH = 0.6
"""Seconds that sound and mouth may be apart, either way."""
SURE = 0.75
"""Confidence from which an offset is told."""

TAPS = np.arange(-24, 25, 4)
"""Ticks before and after a moment at which the filter listens."""
_WEIGHTS = np.array([1, 1, 0.5, 1, 1, 0.5]) / 5.0  # gap and width are measured better than protrusion
_LOW, _HIGH = 80.0, 7600.0  # Hz
_WINDOW, _HOP, _SIZE = 400, RATE // TICKS, 512
_SMOOTH = np.hanning(9)[1:-1] / np.hanning(9)[1:-1].sum()
_DEPTH = 60.0  # dB below the loudest that still count
_FAST = 0.04  # s: the rate of change is taken over twice this, which is what a 25 fps video can show
_LAGS = np.arange(-60, 61)
_GUARD = 1.0  # s: a chance comparison is at least this far from the true place
_TURNS = 200
_LEAST = 25  # frames

Array = NDArray[np.float64]


def mouth(local: Floats) -> tuple[float, float, float]:
    """Return the `CHANNELS` of a face, in distances between the outer corners of the eyes.

    Args:
        local: (≥ 468, 3) points in the face's own frame, as `FaceFrame.local` gives them.
    """
    gap = float(np.linalg.norm(local[[13, 82, 312]] - local[[14, 87, 317]], axis=1).mean())
    width = float(np.linalg.norm(local[61] - local[291]))
    return gap, width, float(local[[61, 291], 2].mean() - local[[0, 13, 14, 17], 2].mean())


class Bands:
    """Looks at a stream of sound a hundred times a second; how it is cut changes nothing."""

    def __init__(self) -> None:
        self._held = np.zeros(_WINDOW // 2, np.float32)  # what the first window sees before the beginning
        self._filters = _filters()
        self._window = np.hanning(_WINDOW)

    def hear(self, samples: Floats) -> Floats:
        """Take the next samples and return the ticks they complete.

        Args:
            samples: (n,) at `RATE`.

        Returns:
            (ticks, BANDS) float32 dB: how loud each band is.
        """
        self._held = np.concatenate([self._held, samples])
        count = max(0, (len(self._held) - _WINDOW) // _HOP + 1)
        if not count:
            return np.zeros((0, BANDS), np.float32)
        pieces = np.lib.stride_tricks.sliding_window_view(self._held, _WINDOW)[: count * _HOP : _HOP]
        power = np.abs(np.fft.rfft(pieces * self._window, _SIZE)) ** 2
        self._held = self._held[count * _HOP :].copy()
        return np.asarray(10 * np.log10(power @ self._filters.T + 1e-7), np.float32)


def _filters() -> Array:
    """Return triangular filters, evenly spaced on the mel scale, (BANDS, _SIZE // 2 + 1)."""
    mel = np.linspace(2595 * np.log10(1 + _LOW / 700), 2595 * np.log10(1 + _HIGH / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hz = np.arange(_SIZE // 2 + 1) * RATE / _SIZE
    rising = (hz[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz[None]) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


def levels(bands: Floats) -> Array:
    """Return what the filter hears: the bands without the room's noise, at one level whatever the recording's, smoothed.

    Args:
        bands: (ticks, BANDS) dB, of the whole sound.
    """
    if not len(bands):
        return np.zeros((0, BANDS))
    heard = np.maximum(bands.astype(np.float64), np.percentile(bands.max(1), 98) - _DEPTH)
    heard = np.maximum(heard, np.percentile(heard, 5, axis=0) + 3)
    heard = (heard - heard.mean(0)) / max(float(heard.std()), 1.0)
    edge = len(_SMOOTH) // 2
    padded = np.pad(heard, ((edge, edge), (0, 0)), mode="edge")
    return np.asarray(sum(weight * padded[i : i + len(heard)] for i, weight in enumerate(_SMOOTH)))


def guess(heard: Array, taps: Array | None = None) -> Array:
    """Return how a mouth would move to a sound, (ticks, 6): the `CHANNELS`, then their rates of change, in no unit.

    Args:
        heard: (ticks, BANDS) as `levels` gives it.
        taps: (len(TAPS), BANDS, 6); the shipped filter without.
    """
    taps = _stored()["taps"] if taps is None else taps
    reach = int(TAPS[-1])
    padded = np.pad(heard, ((reach, reach), (0, 0)), mode="edge") if len(heard) else heard
    found = np.zeros((len(heard), taps.shape[2]))
    for lag, weights in zip(TAPS, taps, strict=True):
        found += padded[reach + lag : reach + lag + len(heard)] @ weights
    return found


def curves(time: Array, mouth: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return a mouth's curves and their rates of change, each with mean 0 and deviation 1, (n, 6), and where they are known.

    Args:
        time: (n,) seconds, the middle of each frame.
        mouth: (n, 3) in the order of `CHANNELS`; NaN where there is no face.
    """
    known = np.isfinite(mouth).all(1)
    if known.sum() < _LEAST:
        return np.zeros((len(mouth), 2 * len(CHANNELS))), np.zeros(len(mouth), bool)
    rows = []
    for column in mouth.T:
        value = (column - column[known].mean()) / max(float(column[known].std()), 1e-6)
        value = np.interp(time, time[known], np.clip(value[known], -3, 3))
        rows.append((value, np.interp(time + _FAST, time, value) - np.interp(time - _FAST, time, value)))
    found = np.stack([row[0] for row in rows] + [row[1] for row in rows], 1)
    return np.asarray((found - found[known].mean(0)) / np.maximum(found[known].std(0), 1e-6)), np.asarray(known)


def correlation(a: Array, b: Array) -> Array:
    """Return the correlation of each column of a with that of b, (c,); 0 where one does not vary."""
    a, b = a - a.mean(0), b - b.mean(0)
    power = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.asarray(np.where(power > 1e-9, (a * b).sum(0) / np.maximum(power, 1e-9), 0.0))


@dataclass(frozen=True)
class Match:
    """How well a mouth and a sound agree at every offset."""

    offset: float
    """Seconds by which the sound comes after the mouth, where they agree best."""
    agreement: float
    """The mean correlation there of the curves with what the filter guesses, weighted; -1 to 1."""
    gap: float
    """The correlation there of the gap alone."""
    chance: float
    """How many standard deviations of what chance gives (curves turned round against the sound) the agreement is above its mean."""
    peak: float
    """By how many such deviations the best offset beats the best one that is more than 0.12 s away."""
    confidence: float
    """Probability, 0 to 1, that the offset is right within 80 ms, were it as likely as not before."""
    traits: Array
    """(5,) what the confidence is made of: 1, agreement, chance, peak, agreement times the root of the seconds; bounded."""
    lags: Array
    """(k,) seconds: the offsets that were tried."""
    scores: Array
    """(k,) the agreement at each."""
    level: float
    """The agreement that chance exceeds in one of twenty places."""


def match(heard: Array, time: Array, mouth: Array, *, taps: Array | None = None) -> Match | None:
    """Find the offset between a sound and a mouth.

    Args:
        heard: (ticks, BANDS) as `levels` gives it.
        time: (n,) seconds, the middle of each frame.
        mouth: (n, 3) in the order of `CHANNELS`; NaN where there is no face.
        taps: another filter than the shipped one; how far that can be trusted is not known, so that the confidence is 0.5.

    Returns:
        None with fewer than a second of face and sound together.
    """
    moves, known = curves(time, mouth)
    guessed = guess(heard, taps)
    place = time * TICKS
    known &= place < len(guessed)
    if known.sum() < _LEAST or np.ptp(time[known]) < 1.0 or not np.any(guessed.std(0) > 1e-9):
        return None
    scores = np.zeros((len(_LAGS), moves.shape[1]))
    for i, lag in enumerate(_LAGS):
        at = np.rint(place + lag).astype(int)
        good = known & (at >= 0) & (at < len(guessed))
        if good.sum() >= _LEAST:
            scores[i] = correlation(guessed[at[good]], moves[good])
    total = scores @ _WEIGHTS
    best = int(np.argmax(total))
    turned = _turned(guessed[np.clip(np.rint(place).astype(int), 0, len(guessed) - 1)], moves, known, time)
    mean, spread = float(turned.mean()), max(float(turned.std()), 1e-3)
    chance = (total[best] - mean) / spread
    away = np.abs(_LAGS - _LAGS[best]) > 12
    peak = (total[best] - total[away].max()) / spread
    seconds = float(known.sum() / len(time) * np.ptp(time))
    traits = np.array([1.0, total[best], min(chance, 12.0), min(peak, 8.0), total[best] * min(seconds, 60.0) ** 0.5])
    logit = float(np.clip(traits @ (_stored()["sure"] if taps is None else np.zeros(len(traits))), -30, 30))
    return Match(
        offset=float(_LAGS[best] + _vertex(total, best)) / TICKS,
        agreement=float(total[best]),
        gap=float(scores[best, 0]),
        chance=float(chance),
        peak=float(peak),
        confidence=1 / (1 + float(np.exp(-logit))),
        traits=traits,
        lags=_LAGS / TICKS,
        scores=total,
        level=mean + 1.645 * spread,
    )


def _turned(guessed: Array, moves: Array, known: NDArray[np.bool_], time: Array) -> Array:
    """Return the agreements that chance gives: the guess turned round in a circle, forwards and backwards."""
    n = len(guessed)
    guard = int(np.ceil(_GUARD * n / max(float(np.ptp(time)), 1e-9)))
    found = []
    for run, (first, last) in ((guessed, (guard, n - guard)), (guessed[::-1], (0, n - 1))):
        for turn in np.unique(np.linspace(first, max(first, last), _TURNS // 2).astype(int)):
            found.append(float(correlation(np.roll(run, turn, 0)[known], moves[known]) @ _WEIGHTS))
    return np.array(found)


def _vertex(values: Array, at: int) -> float:
    """Return how far the top of a parabola through the neighbours 2 ticks off lies from `at`, in ticks."""
    if not 2 <= at < len(values) - 2:
        return 0.0
    left, middle, right = values[at - 2], values[at], values[at + 2]
    bend = left - 2 * middle + right
    return float((left - right) / bend) if bend < -1e-9 else 0.0


@lru_cache(maxsize=1)
def _stored() -> dict[str, Array]:
    with np.load(Path(__file__).with_name("sync.npz")) as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}

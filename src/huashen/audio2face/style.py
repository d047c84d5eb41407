"""How a person's mouth moves, from a clip in which that person speaks.

The mouth that the driver which hears would give to the clip's sound is compared with the one that is seen: people differ by a factor of
three in how far they open it, spread it and round it. How far a factor is above 1 is taken down, because a driver is right only in part and
what it gets wrong grows with it.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from huashen.footage import FRONTAL, SURE, Footage
from huashen.registry import load
from huashen.types import ARKIT_INDEX, Audio, Speech, Style

SECONDS = 60.0
"""Seconds of a clip's beginning that are looked at."""
LEAST = 3.0
"""Seconds of speech that a style needs."""
FOLLOWS = 0.25
"""Correlation of seen and heard gap below which this mouth does not follow this sound."""
_FPS = 50
_UP = 0.6
"""Exponent of factors above 1: of 0.3 to 1, the one at which sizes come nearest without the lips' distance growing (docs/motion.md)."""
_RANGE = 0.4, 1.8
_PARTED = 0.04
_SHUT = 0.012  # what a landmark model says of lips that touch

Array = NDArray[np.float64]


def of(clip: Footage) -> Style | None:
    """Return how the person of a clip speaks; None where the clip has too little speech."""
    from huashen.face.pose import head
    from huashen.media import probe, read_audio
    from huashen.ops.mesh import frame_of

    if not probe(clip.path).rate:
        return None
    count = min(len(clip), round(SECONDS * clip.fps))
    gap, width = np.full(count, np.nan), np.full(count, np.nan)
    for k in np.flatnonzero(clip.seen()[:count]):
        if abs(float(head(clip.points[k])[1])) < FRONTAL:
            local = frame_of(clip.points[k]).local(clip.points[k])
            gap[k], width[k] = np.linalg.norm(local[13] - local[14]), np.linalg.norm(local[61] - local[291])
    late = clip.offset if clip.sure >= SURE else 0.0
    time = np.asarray((np.arange(count) + 0.5) / float(clip.fps) + late, np.float64)
    return fit(_beginning(read_audio(clip.path, 16000, with_picture=True)), time, gap, width)


def _beginning(sound: Iterable[Audio]) -> Iterator[Audio]:
    seconds = 0.0
    for piece in sound:
        yield piece
        seconds += piece.seconds
        if seconds > SECONDS:
            return


def fit(sound: Iterable[Audio], time: Array, gap: Array, width: Array) -> Style | None:
    """Return how somebody's mouth moves; None where there is too little speech, or the mouth does not follow the sound.

    Args:
        sound: what is said, in pieces of one rate.
        time: (n,) seconds in the sound of each picture: by how much the sound is late is taken into account.
        gap, width: (n,) of the mouth, in distances between the outer corners of the eyes; NaN where it is not seen.
    """
    pieces = list(sound)
    if not pieces:
        return None
    frames = list(load("audio2face", "hear", life=False).drive((Speech(piece) for piece in pieces), Fraction(_FPS)))
    weights = np.array([frame.weights for frame in frames], np.float64)
    heard, spread = lips(weights)
    known = np.isfinite(gap) & np.isfinite(width) & (time > 0) & (time < len(frames) / _FPS)
    if known.sum() < 2:
        return None
    place = (np.arange(len(frames)) + 0.5) / _FPS
    rate = 1 / max(float(np.median(np.diff(time))), 1e-3)
    moved = np.interp(time[known], place, np.convolve(heard > 0.01, np.ones(15), "same"))
    speaks = moved > 0.5
    heard, spread = np.interp(time[known], place, heard), np.interp(time[known], place, spread)
    gap, width = gap[known], width[known]
    if speaks.sum() < LEAST * rate or heard.std() < 1e-3 or gap.std() < 1e-3:
        return None
    if np.corrcoef(heard[speaks], gap[speaks])[0, 1] < FOLLOWS:
        return None
    whole = width[speaks].std() / max(float(spread[speaks].std()), 1e-3)
    side = width[speaks] - np.median(width[speaks]), spread[speaks] - np.median(spread[speaks])
    out = np.percentile(side[0], 90) / max(float(np.percentile(side[1], 90)), 5e-3)
    into = np.percentile(side[0], 10) / min(float(np.percentile(side[1], 10)), -5e-3)
    quiet = gap[moved < 1e-6]
    parted = float(np.median(quiet)) - _SHUT if len(quiet) > 0.5 * rate else 0.0
    return Style(
        open=_factor(gap[speaks].std() / heard[speaks].std()),
        wide=_factor(np.sqrt(out * whole)),
        rounded=_factor(np.sqrt(into * whole)),
        parted=round(float(np.clip(parted, 0.0, _PARTED)), 3),
    )


def _factor(ratio: float) -> float:
    return round(float(np.clip(ratio**_UP if ratio > 1 else ratio, *_RANGE)), 3)


def lips(weights: Array) -> tuple[Array, Array]:
    """Return the gap and the change of the width that weights (n, 52) mean, see docs/motion.md."""
    w = {name: weights[:, i] for name, i in ARKIT_INDEX.items()}

    def both(name: str) -> Array:
        return np.asarray((w[f"{name}Left"] + w[f"{name}Right"]) / 2)

    parted = 1 - w["mouthClose"]
    gap = (0.30 * w["jawOpen"] + 0.035 * both("mouthUpperUp") + 0.045 * both("mouthLowerDown") - 0.03 * w["mouthPucker"]) * parted
    width = 0.13 * both("mouthStretch") + 0.10 * both("mouthSmile") - 0.17 * w["mouthPucker"] - 0.10 * w["mouthFunnel"]
    return np.maximum(gap, 0.0), width

"""How loud a voice is, and keeping it there: the same for every engine, so that voices can be exchanged."""

import numpy as np

from huashen.types import Floats

LEVEL = 0.1
"""-20 dBFS: root mean square of speech, silences left out."""
CEILING = 0.89
"""-1 dBFS: no sample is above."""


def loudness(sound: Floats, rate: int) -> float:
    """Return the root mean square of the 20 ms frames that are within 20 dB of the loudest; 0 for silence.

    Args:
        sound: (n,) samples.
        rate: Hz.
    """
    size = rate // 50
    count = len(sound) // size
    if not count:
        return float(np.sqrt(np.mean(sound**2))) if len(sound) else 0.0
    frames = np.sqrt(np.mean(sound[: count * size].reshape(count, size).astype(np.float64) ** 2, axis=1))
    return float(np.sqrt(np.mean(frames[frames >= 0.1 * frames.max()] ** 2)))


def limit(sound: Floats) -> Floats:
    """Bend what is above -3 dBFS so that nothing passes `CEILING`; what is below stays as it is.

    Args:
        sound: (n,) samples of any size.
    """
    knee = 0.7
    size = np.abs(sound)
    bent = knee + (CEILING - knee) * np.tanh((size - knee) / (CEILING - knee))
    return np.where(size > knee, np.sign(sound) * bent, sound).astype(np.float32)

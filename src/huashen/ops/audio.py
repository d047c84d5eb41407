"""Sound: several channels into one."""

import numpy as np
from numpy.typing import NDArray

from huashen.types import Floats


def downmix(covariance: NDArray[np.float64]) -> Floats:
    """Return the weight of each channel in a mix that loses nothing said in any of them.

    Channels that are empty (60 dB under the loudest) are left out, so that one empty channel does not halve the loudness; a channel
    that is the loudest one upside down is turned, so that they do not cancel each other; the others are averaged.

    Args:
        covariance: (c, c) mean of the products of the channels over the whole sound.

    Returns:
        (c,) float32 weights.
    """
    power = np.diag(covariance)
    loudest = int(np.argmax(power))
    if power[loudest] <= 0:
        return np.full(len(power), 1 / len(power), np.float32)
    heard = power > power[loudest] * 1e-6
    likeness = covariance[loudest] / np.sqrt(np.where(heard, power, 1) * power[loudest])
    signs = np.where(likeness < -0.9, -1.0, 1.0)
    return np.asarray(heard * signs / heard.sum(), np.float32)

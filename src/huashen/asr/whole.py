"""An utterance of an engine that hears it as a whole: the sound is kept until it ends."""

from collections.abc import Callable

import numpy as np

from huashen.asr import RATE
from huashen.types import Floats, Transcript

LONGEST = 120
"""Seconds that are kept; what comes later is not heard."""


class Whole:
    """Keeps the sound and hands it over at the end.

    Args:
        hear: from (n,) float32 at `RATE` to what was said.
    """

    def __init__(self, hear: Callable[[Floats], Transcript]) -> None:
        self._hear = hear
        self._pieces: list[Floats] = []
        self._count = 0

    def feed(self, samples: Floats) -> str:
        """Keep some more."""
        if self._count < LONGEST * RATE:
            self._pieces.append(np.array(samples, np.float32))
            self._count += len(samples)
        return ""

    def finish(self) -> Transcript:
        """Return what was said."""
        sound = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.float32)
        self.close()
        return self._hear(sound) if np.any(np.abs(sound) > 1e-4) else Transcript("", "")  # models make up words for pure silence

    def close(self) -> None:
        """Forget it."""
        self._pieces, self._count = [], 0

"""An utterance of an engine that hears it as a whole: the sound is kept until it ends.

It need not wait for the end of the turn: when the speaker falls silent, what was said so far is handed over at once, in a thread
of its own. If he speaks on, that was in vain, but for the words that can be shown meanwhile.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from huashen.asr import RATE
from huashen.errors import HuashenError
from huashen.types import Floats, Transcript

LONGEST = 120
"""Seconds that are kept; what comes later is not heard."""


class Whole:
    """Keeps the sound and hands it over when the speaker pauses or ends.

    Args:
        hear: from (n,) float32 at `RATE` to what was said; is called from one thread at a time.
        early: hand it over at a pause already; not for services that are paid by the call.
    """

    def __init__(self, hear: Callable[[Floats], Transcript], *, early: bool = True) -> None:
        self._hear = hear
        self._early = early
        self._pieces: list[Floats] = []
        self._count = 0
        self._said = -1
        self._guess: _Guess | None = None
        self._shown = ""

    def feed(self, samples: Floats) -> str:
        """Keep some more."""
        if self._count < LONGEST * RATE:
            self._pieces.append(np.array(samples, np.float32))
            self._count += len(samples)
        return self._shown

    def pause(self) -> None:
        """Begin to understand what was said so far."""
        self._said = len(self._pieces)
        if self._early and (self._guess is None or not self._guess.is_alive()):  # two at once would only share the cores
            self._guess = _Guess(self._hear, self._sound(), self._said)

    def resume(self) -> None:
        """Know that what was understood is not all; it can be shown."""
        self._said = -1
        if self._guess is not None and self._guess.transcript is not None:
            self._shown = self._guess.transcript.text

    def finish(self) -> Transcript:
        """Return what was said, up to the last pause."""
        guess, sound, said = self._guess, self._sound(), self._said
        self.close()  # waits for what is being understood: it cannot be stopped
        if guess is not None and guess.said == said and guess.transcript is not None:
            return guess.transcript
        return heard(self._hear, sound)

    def close(self) -> None:
        """Forget it."""
        guess, self._guess = self._guess, None
        if guess is not None:
            guess.join()
        self._pieces, self._count, self._said, self._shown = [], 0, -1, ""

    def _sound(self) -> Floats:
        pieces = self._pieces[: self._said] if self._said >= 0 else self._pieces
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


class _Guess(threading.Thread):
    """What was said up to a pause."""

    def __init__(self, hear: Callable[[Floats], Transcript], sound: Floats, said: int) -> None:
        super().__init__(name="understanding", daemon=True)
        self.said = said
        self.transcript: Transcript | None = None
        """None while it is not known, and when the engine failed: then it is asked again at the end, and tells why."""
        self._hear = hear
        self._sound = sound
        self.start()

    def run(self) -> None:
        with suppress(HuashenError):
            self.transcript = heard(self._hear, self._sound)


def heard(hear: Callable[[Floats], Transcript], sound: Floats) -> Transcript:
    """Return what an engine hears; in pure silence nothing, for which models make up words."""
    return hear(sound) if np.any(np.abs(sound) > 1e-4) else Transcript("", "")

"""A driver that can be steered while it runs: what was asked for can be dropped, and gestures laid over it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from huashen.audio2face import Driver
from huashen.live.gestures import GESTURES, Gesture, ease
from huashen.types import ARKIT, ARKIT_INDEX, Cut, Floats, Motion, Speech

MOUTH = 0.12
"""Seconds in which what was cut off gives way: the mouth and the eyes."""
HEAD = 0.4
"""The same for the head."""
KEPT = 64
"""Frames remembered, from which a cut may begin."""


class Steered:
    """Moves a face as another driver does, and heeds `Speech.cut` and marks of gestures.

    As long as there are none, the motion is the other driver's own, bit for bit. Frames that a cut drops are computed and not given
    out; what follows begins where the last shown frame was and leaves it smoothly.

    Args:
        driver: the other one.
    """

    def __init__(self, driver: Driver) -> None:
        self.lookahead = driver.lookahead
        self._driver = driver

    def drive(self, speech: Iterable[Speech], fps: Fraction) -> Iterator[Motion]:
        """Yield one Motion a frame that is not dropped; see `Driver`."""
        cuts: list[Cut] = []
        waiting: list[tuple[float, Gesture]] = []  # from when, in seconds of the stream
        seconds = 0.0

        def heard() -> Iterator[Speech]:
            nonlocal seconds
            for piece in speech:
                if piece.cut is not None:
                    cuts.append(piece.cut)
                for mark in piece.marks:
                    if mark.kind == "gesture" and mark.text in GESTURES:
                        waiting.append((seconds + mark.start, GESTURES[mark.text]))
                yield piece
                seconds += piece.audio.seconds

        shown: dict[int, Motion] = {}
        begun: list[tuple[float, Gesture]] = []
        left: tuple[Floats, Floats, float] | None = None  # what is left of the motion that was cut off: weights, head, gap of the lips
        since = dropped = 0
        for k, own in enumerate(self._driver.drive(heard(), fps)):
            if any(k < cut.before for cut in cuts):
                dropped += 1
                continue
            motion = _with(own, begun, waiting, float((k + Fraction(1, 2)) / fps)) if begun or waiting else own
            if cuts:
                last = shown.get(cuts[-1].after)
                if last is not None:
                    apart = _gap(last.weights) - _gap(motion.weights)
                    left = np.asarray(last.weights - motion.weights), np.asarray(last.head - motion.head), apart
                    since = k - 1
                cuts.clear()
            if left is not None:
                passed = float((k - since) / fps)
                if passed >= HEAD:
                    left = None
                else:
                    share = 1 - ease(passed / (MOUTH + float(1 / fps)))
                    weights = np.clip(motion.weights + np.float32(share) * left[0], 0, 1)
                    _part(weights, max(0.0, _gap(motion.weights) + share * left[2]))
                    head = motion.head + np.float32(1 - ease(passed / HEAD)) * left[1]
                    motion = replace(motion, weights=weights, head=head)
            motion = replace(motion, dropped=dropped) if dropped else motion
            dropped = 0
            shown[k] = motion
            while next(iter(shown)) <= k - KEPT:  # not just that one: where frames were dropped, more than one is due
                del shown[next(iter(shown))]
            yield motion


_CLOSE = ARKIT_INDEX["mouthClose"]
_OPENS = np.zeros(len(ARKIT), np.float32)
"""What opens the lips, before they close again: the agreed model of docs/architecture.md."""
for _name, _size in (("jawOpen", 0.30), ("mouthUpperUp", 0.0175), ("mouthLowerDown", 0.0225), ("mouthPucker", -0.03)):
    for _full in (_name, f"{_name}Left", f"{_name}Right"):
        if _full in ARKIT_INDEX:
            _OPENS[ARKIT_INDEX[_full]] = _size


def _gap(weights: Floats) -> float:
    """Return how far apart the lips are, in distances between the outer corners of the eyes."""
    return max(0.0, float(_OPENS @ weights)) * (1 - float(weights[_CLOSE]))


def _part(weights: Floats, gap: float) -> None:
    """Set how far the lips close so that they are that far apart: a mean of two poses with shut lips has shut lips."""
    whole = float(_OPENS @ weights)
    if whole > 1e-6:
        weights[_CLOSE] = min(1.0, max(0.0, 1 - gap / whole))


def _with(motion: Motion, begun: list[tuple[float, Gesture]], waiting: list[tuple[float, Gesture]], time: float) -> Motion:
    """Add the gestures of a moment; those that have begun move from one list to the other, those that are over go."""
    due = [item for item in waiting if item[0] <= time]
    waiting[:] = [item for item in waiting if item[0] > time]
    begun += [(max(begin, time), gesture) for begin, gesture in due]
    begun[:] = [(begin, gesture) for begin, gesture in begun if time - begin < gesture.seconds]
    weights, head = np.zeros(len(ARKIT), np.float32), np.zeros(6, np.float32)
    for begin, gesture in begun:
        more, turn = gesture.at(time - begin)
        weights = np.maximum(weights, more)
        head += turn
    return replace(motion, weights=np.minimum(1, motion.weights + weights * (1 - 0.5 * motion.weights)), head=motion.head + head)

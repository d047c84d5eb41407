"""Cutting a stream of speech into frames, each given out as soon as enough sound has come."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from huashen.errors import InputError
from huashen.types import Audio, Floats, Speech
from huashen.words import tr


@dataclass(frozen=True)
class Moment:
    """One frame of a stream."""

    begin: float
    """Seconds."""
    end: float
    """Seconds."""
    audio: Audio
    """The frame's own slice of sound, filled up with silence at the end of the stream."""
    left: float
    """Seconds from the frame's middle to the end of the stream, as far as they can be known: never more than the lookahead."""

    @property
    def middle(self) -> float:
        """Seconds."""
        return (self.begin + self.end) / 2


def moments(speech: Iterable[Speech], fps: Fraction, lookahead: float, hear: Callable[[Speech, int], None]) -> Iterator[Moment]:
    """Yield the frames of a stream.

    Args:
        speech: the pieces, all of one rate.
        fps: frames a second, above 0.
        lookahead: seconds past a frame's end that must have come before it is yielded.
        hear: called with each piece and the number of its first sample, before any frame that needs it; then once with a silent piece,
            `lookahead` long, for what follows the end.

    Raises:
        InputError: the pieces have different rates, or one of the numbers makes no sense.
    """
    fps = Fraction(fps)
    if fps <= 0:
        raise InputError(tr(f"frames a second must be above 0, not {fps}", f"帧率必须大于 0，现为 {fps}"))
    rate = 0
    come = 0  # samples so far
    first = 0  # number of the first sample in `held`
    held: Floats = np.zeros(0, np.float32)
    k = 0
    for piece in speech:
        if rate == 0:
            rate = piece.audio.rate
            if rate <= 0:
                raise InputError(tr(f"sound needs a rate above 0 Hz, not {rate}", f"声音的采样率必须大于 0，现为 {rate}"))
            reach = int(np.ceil(lookahead * rate))
        if piece.audio.rate != rate:
            raise InputError(tr(
                f"the speech changes from {rate} Hz to {piece.audio.rate} Hz; resample it to one rate",
                f"语音的采样率从 {rate} Hz 变为 {piece.audio.rate} Hz；请先统一采样率",
            ))  # fmt: skip
        hear(piece, come)
        samples = np.asarray(piece.audio.samples, np.float32)
        held = np.concatenate([held, samples]) if len(held) else samples
        come += len(samples)
        while (end := _boundary(k + 1, rate, fps)) + reach <= come:
            begin = _boundary(k, rate, fps)
            yield Moment(float(k / fps), float((k + 1) / fps), Audio(held[begin - first : end - first].copy(), rate), lookahead)
            k += 1
        cut = _boundary(k, rate, fps)
        held, first = held[cut - first :].copy(), cut
    if rate == 0:
        return
    hear(Speech(Audio(np.zeros(reach + rate, np.float32), rate), aligned=True), come)
    while (begin := _boundary(k, rate, fps)) < come:
        end = _boundary(k + 1, rate, fps)
        own = np.zeros(end - begin, np.float32)
        rest = held[begin - first : end - first]
        own[: len(rest)] = rest
        left = come / rate - float((k + Fraction(1, 2)) / fps)
        yield Moment(float(k / fps), float((k + 1) / fps), Audio(own, rate), min(lookahead, left))
        k += 1


def _boundary(k: int, rate: int, fps: Fraction) -> int:
    """Return the first sample of frame k: the smallest whole number not below k·rate/fps."""
    return -(-k * rate * fps.denominator // fps.numerator)

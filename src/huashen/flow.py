"""Plumbing for streams: rendering ahead in a thread, and cutting sound into frames and chunks."""

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

import numpy as np

from huashen.errors import InputError
from huashen.types import Audio, Mark, Speech
from huashen.words import tr

T = TypeVar("T")


def prefetch(source: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Draw from a source in a thread, up to `depth` values ahead, so that making and using them overlap.

    The thread ends before this iterator does: at the source's end, on its error (raised here), or when this iterator is closed.

    Args:
        source: anything iterable; one with a `close` (a generator) is closed, in the thread that drew from it.
        depth: values held ready, at least 1.
    """
    ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(depth)
    stop, over = threading.Event(), threading.Event()

    def draw() -> None:
        end: BaseException | None = None
        try:
            try:
                if not stop.is_set():
                    for value in source:
                        if stop.is_set():
                            break
                        ready.put((value,))
            finally:
                close = getattr(source, "close", None)
                if close is not None:
                    close()
        except BaseException as error:  # noqa: BLE001 - raised again by the reader
            end = error
        if not stop.is_set():
            ready.put(end)
        over.set()

    thread = threading.Thread(target=draw, name="prefetch", daemon=True)
    try:
        try:
            thread.start()  # Ctrl-C may strike while this waits for the thread to begin; it runs all the same
        except RuntimeError:
            over.set()
            raise
        while isinstance(got := ready.get(), tuple):
            yield got[0]
        if got is not None:
            raise got
    finally:
        stop.set()
        while not over.wait(0.02):
            while not ready.empty():  # room for a put that waits
                ready.get_nowait()
        if thread.ident is not None:
            thread.join()


def first_sample(index: int, rate: int, fps: Fraction) -> int:
    """Return the first sample of a frame: the smallest n with n / rate ≥ index / fps."""
    return -((-index * rate * fps.denominator) // fps.numerator)


def slices(chunks: Iterable[Audio], fps: Fraction) -> Iterator[Audio]:
    """Cut sound into the slices of frames: slice k holds the samples in [k, k+1)·rate/fps of all chunks joined.

    A slice is yielded as soon as its sound has come; the last one is filled with silence. No sound, no slices.

    Args:
        chunks: sound of one rate; how it is cut does not matter.
        fps: frames a second, at most the rate.

    Raises:
        InputError: the chunks have different rates.
    """
    left = np.zeros(0, np.float32)
    begin = index = rate = 0
    for chunk in chunks:
        rate = rate or chunk.rate
        if chunk.rate != rate:
            raise InputError(tr(
                f"the sound changes from {rate} to {chunk.rate} Hz; resample it to one rate first",
                f"声音的采样率从 {rate} 变为 {chunk.rate} Hz；请先重采样为同一采样率",
            ))  # fmt: skip
        left = np.concatenate((left, chunk.samples))
        while begin + len(left) >= (end := first_sample(index + 1, rate, fps)):
            yield Audio(left[: end - begin], rate)
            left = left[end - begin :]
            begin, index = end, index + 1
    if len(left):
        silence = np.zeros(first_sample(index + 1, rate, fps) - begin - len(left), np.float32)
        yield Audio(np.concatenate((left, silence)), rate)


def rechunk(speech: Iterable[Speech], seconds: float) -> Iterator[Speech]:
    """Cut speech into chunks of at most `seconds`; a mark goes to the chunk in which it starts, its times counted from there.

    The text is cut where the first word of each chunk begins, and spans are counted in the chunk's own text (a span that
    reaches past its end is shortened to it), so that the chunks' texts joined are the text.

    Args:
        speech: what to cut.
        seconds: length of a chunk, rounded to samples, at least one.
    """
    for piece in speech:
        rate = piece.audio.rate
        samples = piece.audio.samples
        length = max(1, round(seconds * rate))
        count = max(1, -(-len(samples) // length))
        homes = [min(max(int(mark.start * rate), 0) // length, count - 1) for mark in piece.marks]
        cuts = [0] * (count + 1)
        cuts[count] = len(piece.text)
        for k in range(count - 1, 0, -1):
            begins = [m.span[0] for m, home in zip(piece.marks, homes, strict=True) if home == k and m.kind == "word"]
            cuts[k] = min([cuts[k + 1], *begins])
        for k in range(count):
            shift = k * length / rate
            marks = tuple(_moved(mark, shift, cuts[k], cuts[k + 1]) for mark, home in zip(piece.marks, homes, strict=True) if home == k)
            audio = Audio(samples[k * length : (k + 1) * length], rate)
            yield replace(piece, audio=audio, marks=marks, text=piece.text[cuts[k] : cuts[k + 1]])


def _moved(mark: Mark, shift: float, begin: int, end: int) -> Mark:
    """Count a mark's times from `shift` seconds, and its span from `begin`, no farther than `end`."""
    span = (0, 0)
    if mark.kind != "phone":
        span = (min(max(mark.span[0], begin), end) - begin, min(max(mark.span[1], begin), end) - begin)
    return replace(mark, start=mark.start - shift, end=mark.end - shift, span=span)

"""Streams: nothing lost, nothing moved, nothing left running."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huashen.errors import InputError
from huashen.flow import first_sample, prefetch, rechunk, slices
from huashen.types import Audio, Mark, Speech

FPS = st.sampled_from([Fraction(25), Fraction(24), Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(50)])
RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000])


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def cut(samples: np.ndarray, places: list[int]) -> list[np.ndarray]:
    return np.split(samples, sorted(place % (len(samples) + 1) for place in places))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9000), RATES, FPS, st.lists(st.integers(0, 9000), max_size=6))
def test_slices_hold_all_the_sound_however_it_comes(count: int, rate: int, fps: Fraction, places: list[int]) -> None:
    sound = noise(count)
    got = list(slices((Audio(part, rate) for part in cut(sound, places)), fps))
    assert len(got) == -(-count * fps.numerator // (rate * fps.denominator))
    for k, piece in enumerate(got):
        # sample n lies in frame k when k / fps <= n / rate < (k + 1) / fps
        inside = [n for n in range(round(k * rate / fps) - 2, round((k + 1) * rate / fps) + 2) if k <= Fraction(n, rate) * fps < k + 1]
        assert len(piece.samples) == len(inside)
        assert inside[0] == first_sample(k, rate, fps)
    joined = np.concatenate([piece.samples for piece in got]) if got else np.zeros(0)
    assert np.array_equal(joined[:count], sound)
    assert not joined[count:].any()


def test_a_slice_comes_as_soon_as_its_sound() -> None:
    asked = []

    def chunks() -> Iterator[Audio]:
        for k in range(4):
            asked.append(k)
            yield Audio(noise(640), 16000)

    next(slices(chunks(), Fraction(25)))
    assert asked == [0]


def test_slices_refuse_a_changing_rate() -> None:
    with pytest.raises(InputError, match="16000 to 8000"):
        list(slices([Audio(noise(10), 16000), Audio(noise(10), 8000)], Fraction(25)))


WORDS = st.lists(st.tuples(st.sampled_from(["你", "好世", "hello ", "it's "]), st.integers(1, 400)), max_size=8)


@settings(max_examples=80, deadline=None)
@given(WORDS, st.integers(0, 300), st.integers(1, 700))
def test_rechunk_keeps_sound_text_and_marks_where_they_are(words: list[tuple[str, int]], tail: int, step: int) -> None:
    rate, text, marks, at = 1000, "“", [], 0
    for word, length in words:
        start, end = at / rate, (at + length) / rate
        marks += [Mark("phone", "a", start, end), Mark("word", word, start, end, span=(len(text), len(text) + len(word)))]
        text, at = text + word, at + length
    whole = Speech(Audio(noise(at + tail), rate), tuple(marks), text, "zh", aligned=True)
    chunks = list(rechunk([whole], step / rate))
    assert np.array_equal(np.concatenate([c.audio.samples for c in chunks]), whole.audio.samples)
    assert "".join(c.text for c in chunks) == text
    assert all(len(c.audio.samples) <= step and c.aligned and c.lang == "zh" for c in chunks)
    moved, begin, before = [], 0.0, 0
    for number, chunk in enumerate(chunks):
        for mark in chunk.marks:
            assert mark.start >= -1e-9
            assert mark.start < chunk.audio.seconds or number == len(chunks) - 1
            moved.append((mark.kind, begin + mark.start, begin + mark.end, (mark.span[0] + before, mark.span[1] + before)))
            if mark.kind == "word":
                assert chunk.text[mark.span[0] : mark.span[1]] == mark.text
        begin, before = begin + chunk.audio.seconds, before + len(chunk.text)
    assert len(moved) == len(marks)
    for (kind, start, end, span), mark in zip(moved, marks, strict=True):
        assert kind == mark.kind
        assert start == pytest.approx(mark.start, abs=1e-9)
        assert end == pytest.approx(mark.end, abs=1e-9)
        assert kind == "phone" or span == mark.span


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


@given(st.lists(st.integers(), max_size=20), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_prefetch_changes_nothing(values: list[int], depth: int) -> None:
    assert list(prefetch(iter(values), depth)) == values
    assert not threads()


def test_prefetch_runs_ahead_no_farther_than_its_depth() -> None:
    drawn = []

    def source() -> Iterator[int]:
        for k in range(100):
            drawn.append(k)
            yield k

    ahead = prefetch(source(), 3)
    assert next(ahead) == 0
    deadline = time.monotonic() + 5
    while len(drawn) < 5 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(drawn) == 5  # one used, three ready, one in hand
    ahead.close()


@pytest.mark.parametrize("taken", [1, 2, 50])
def test_prefetch_closes_its_source_in_the_thread_that_drew_from_it(taken: int) -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    ahead = prefetch(source(), 2)
    for _ in range(taken):
        next(ahead)
    ahead.close()
    assert closed == ["prefetch"]
    assert not threads()


def test_prefetch_raises_the_sources_error_after_its_values() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    ahead = prefetch(source())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)
    assert not threads()


def test_prefetch_ends_its_thread_when_the_reader_fails() -> None:
    def read() -> None:
        for _ in prefetch(iter(range(1000)), 1):
            raise KeyError

    with pytest.raises(KeyError):
        read()
    assert not threads()


def test_ctrl_c_while_the_thread_begins_still_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    began, closed = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        began.set()
        try:
            yield from range(1000)
        finally:
            closed.set()

    start = threading.Thread.start

    def interrupted(self: threading.Thread) -> None:
        start(self)
        if self.name == "prefetch":
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    numbers = source()
    with pytest.raises(KeyboardInterrupt):
        next(prefetch(numbers))
    assert closed.is_set() or not began.is_set()
    numbers.close()  # nobody else runs it any more
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]

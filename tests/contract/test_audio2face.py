"""What every Driver promises (`huashen.audio2face.Driver`)."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huashen.audio2face import TABLE, Driver
from huashen.errors import InputError, MissingWeightsError
from huashen.registry import load
from huashen.types import ARKIT, ARKIT_INDEX, Audio, Mark, Motion, Speech

ENGINES = TABLE.names()
LONGEST = {"hear-whisper": 5.0}
"""Seconds that the drivers for files look ahead."""
RATES = [8000, 11025, 16000, 22050, 24000, 44100, 48000]
FPS = [Fraction(12), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50), Fraction(60)]
PHONES = ["m", "aɪ", "_", "b", "ɛ", "s", "t", "f", "ɹ", "ɛ", "n", "d", "p", "uː", "ʂ", "ɨ", "x", "ɑu", "m", "ɑ", "m", "ɑ", "_"]


def voice(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Return something like speech: a buzz through wandering resonances, in syllables, with hiss between them."""
    dice = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitch = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / rate
    buzz = sum(np.sin(2 * np.pi * k * pitch) / k * (k * 150 < rate / 2) for k in range(1, 20))
    syllable = np.clip(np.sin(2 * np.pi * 4.2 * t + 0.5 * np.sin(2 * np.pi * 0.9 * t)), 0, 1)
    phrase = (np.sin(2 * np.pi * 0.45 * t) > -0.6).astype(float)
    sound = 0.12 * buzz * syllable * phrase + 0.02 * dice.standard_normal(len(t)) * (1 - syllable) * phrase
    return (sound + 1e-4 * dice.standard_normal(len(t))).astype(np.float32)


def spoken(seconds: float = 2.4, rate: int = 16000, *, seed: int = 0, aligned: bool = True) -> Speech:
    """Return speech with one phone every 0.1 s, off the grid of samples."""
    times = np.arange(0.2, seconds - 0.2, 0.1037)
    marks = tuple(Mark("phone", PHONES[i % len(PHONES)], float(a), float(a) + 0.1037, stress=2 * (i % 3 == 1)) for i, a in enumerate(times))
    return Speech(Audio(voice(seconds, rate, seed), rate), marks if aligned else (), aligned=aligned)


def cut(speech: Speech, places: Iterable[int]) -> list[Speech]:
    """Return a speech in pieces that begin at these samples; a mark goes with the piece in which it starts."""
    rate, n = speech.audio.rate, len(speech.audio.samples)
    edges = [0, *sorted({p for p in places if 0 < p < n}), n]
    found = []
    for a, b in pairwise(edges):
        marks = tuple(
            Mark(m.kind, m.text, m.start - a / rate, m.end - a / rate, m.stress)
            for m in speech.marks
            if a <= m.start * rate < b or (b == n and m.start * rate >= n)
        )
        found.append(Speech(Audio(speech.audio.samples[a:b], rate), marks, aligned=speech.aligned))
    return found


def mixed(rate: int = 16000) -> list[Speech]:
    """Return speech with marks, then without, then with again."""
    return [spoken(1.3, rate, seed=1), spoken(1.1, rate, seed=2, aligned=False), spoken(0.9, rate, seed=3)]


def same(one: list[Motion], two: list[Motion]) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.weights, b.weights)
        np.testing.assert_array_equal(a.head, b.head)
        np.testing.assert_array_equal(a.audio.samples, b.audio.samples)


def gap(motions: list[Motion]) -> np.ndarray:
    """Return the inner gap between the lips by the renderer's linear model, in distances between the outer eye corners."""
    w = np.array([m.weights for m in motions], np.float64)
    g = {name: w[:, i] for name, i in ARKIT_INDEX.items()}
    found = (
        0.30 * g["jawOpen"] * (1 - g["mouthClose"])
        + 0.0175 * (g["mouthUpperUpLeft"] + g["mouthUpperUpRight"])
        + 0.0225 * (g["mouthLowerDownLeft"] + g["mouthLowerDownRight"])
        - 0.03 * g["mouthPucker"]
    )
    return np.where(g["mouthClose"] >= 1, 0.0, np.maximum(found, 0.0))


def made(engine: str, **options: Any) -> Driver:
    """Build an engine; skip the test where its weights can neither be found nor fetched."""
    try:
        found: Driver = load("audio2face", engine, **options)
    except MissingWeightsError as error:
        pytest.skip(f"wants weights: {error}")
    return found


@pytest.fixture(params=ENGINES)
def driver(request: pytest.FixtureRequest) -> Driver:
    return made(request.param)


def test_engine_is_a_driver_with_a_finite_lookahead(request: pytest.FixtureRequest, driver: Driver) -> None:
    assert isinstance(driver, Driver)
    assert 0 <= driver.lookahead <= LONGEST.get(request.node.callspec.params["driver"], 0.5)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("fps", FPS, ids=str)
def test_frames_hold_all_the_sound(driver: Driver, rate: int, fps: Fraction) -> None:
    speech = spoken(0.83, rate)
    frames = list(driver.drive([speech], fps))
    n = len(speech.audio.samples)
    assert len(frames) == -(-n * fps.numerator // (rate * fps.denominator))
    joined = np.concatenate([f.audio.samples for f in frames])
    np.testing.assert_array_equal(joined[:n], speech.audio.samples)
    assert not joined[n:].any()
    begins = np.cumsum([0] + [len(f.audio.samples) for f in frames])
    for k, begin in enumerate(begins):
        assert 0 <= begin - k * rate / fps < 1
    assert all(f.audio.rate == rate for f in frames)


def test_motion_is_well_formed(driver: Driver) -> None:
    for frame in driver.drive(mixed(), Fraction(25)):
        assert frame.weights.shape == (len(ARKIT),)
        assert frame.weights.dtype == np.float32
        assert frame.head.shape == (6,)
        assert frame.head.dtype == np.float32
        assert np.all(frame.weights >= 0)
        assert np.all(frame.weights <= 1)
        assert np.all(np.abs(frame.head[:3]) < 15)
        assert np.all(np.abs(frame.head[3:]) < 0.15)


@settings(max_examples=12, deadline=None)
@given(places=st.lists(st.integers(0, 38400), max_size=12), aligned=st.booleans(), engine=st.sampled_from(ENGINES))
def test_chunking_does_not_change_motion(places: list[int], aligned: bool, engine: str) -> None:
    driver = made(engine)
    speech = spoken(2.4, 16000, aligned=aligned)
    same(list(driver.drive([speech], Fraction(25))), list(driver.drive(cut(speech, places), Fraction(25))))


@pytest.mark.parametrize("step", [1, 160, 441, 5000])
def test_small_chunks_of_mixed_speech_do_not_change_motion(driver: Driver, step: int) -> None:
    rate = 8000 if step == 1 else 22050
    whole = mixed(rate)
    if step == 1:
        whole = [spoken(0.3, rate, seed=1), spoken(0.3, rate, seed=2, aligned=False)]
    pieces = [p for s in whole for p in cut(s, range(step, 10**6, step) if step > 1 else range(1, 5000))]
    same(list(driver.drive(whole, Fraction(30000, 1001))), list(driver.drive(pieces, Fraction(30000, 1001))))


def test_sound_of_changing_rate_is_refused(driver: Driver) -> None:
    with pytest.raises(InputError, match="8000"):
        list(driver.drive([spoken(0.5, 16000), spoken(0.5, 8000)], Fraction(25)))


def test_no_sound_gives_no_frames(driver: Driver) -> None:
    assert list(driver.drive([], Fraction(25))) == []
    assert list(driver.drive([Speech(Audio(np.zeros(0, np.float32), 16000))], Fraction(25))) == []


@pytest.mark.parametrize("fps", [Fraction(12), Fraction(25), Fraction(30000, 1001), Fraction(60)], ids=str)
@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_frame_comes_as_soon_as_its_lookahead_has_come(driver: Driver, fps: Fraction, rate: int) -> None:
    pulled = 0
    step = rate // 100

    def live() -> Iterator[Speech]:
        nonlocal pulled
        for piece in cut(spoken(2.0, rate), range(step, 10**6, step)):
            pulled += len(piece.audio.samples)
            yield piece

    total = 2 * rate
    for k, _ in enumerate(driver.drive(live(), fps)):
        needed = min(float((k + 1) / fps) + driver.lookahead, 2.0) * rate
        assert pulled <= min(needed + step + 2, total), k


@pytest.mark.parametrize("marked", [True, False])
def test_in_silence_the_lips_are_closed_and_the_face_lives_on(driver: Driver, marked: bool) -> None:
    quiet = Speech(Audio(np.zeros(16000 * 14, np.float32), 16000), aligned=marked)
    before = spoken(1.4, 16000, aligned=marked)
    frames = list(driver.drive([before, quiet], Fraction(25)))
    after = frames[round(1.4 * 25) + 4 :]
    assert gap(frames[:35]).max() > 0.06
    np.testing.assert_array_equal(gap(after), 0.0)
    blinks = np.array([f.weights[ARKIT_INDEX["eyeBlinkLeft"]] for f in after])
    assert blinks.max() > 0.8
    assert np.ptp([f.head[1] for f in after]) > 0.5


def test_faint_noise_is_silence(driver: Driver) -> None:
    dice = np.random.default_rng(0)
    hiss = Speech(Audio((1e-3 * dice.standard_normal(16000 * 5)).astype(np.float32), 16000))
    frames = list(driver.drive([hiss], Fraction(25)))[50:]
    assert gap(frames).max() < 0.02


def test_same_input_gives_same_motion_even_side_by_side(driver: Driver) -> None:
    alone = list(driver.drive(mixed(), Fraction(25)))
    one, two = driver.drive(mixed(), Fraction(25)), driver.drive(mixed(), Fraction(25))
    pairs = list(zip(one, two, strict=True))
    same(alone, [a for a, _ in pairs])
    same(alone, [b for _, b in pairs])


def test_sound_given_is_not_changed(driver: Driver) -> None:
    speech = spoken(0.7)
    before = speech.audio.samples.copy()
    frames = list(driver.drive([speech], Fraction(25)))
    frames[0].audio.samples[:] = 9.0
    np.testing.assert_array_equal(speech.audio.samples, before)


@pytest.mark.parametrize("engine", ENGINES)
def test_still_moves_no_head_and_still_blinks(engine: str) -> None:
    quiet = Speech(Audio(np.zeros(8000 * 14, np.float32), 8000), aligned=True)
    frames = list(made(engine, still=True).drive([spoken(1.0, 8000), quiet], Fraction(25)))
    assert not any(f.head.any() for f in frames)
    weights = np.array([f.weights for f in frames])
    assert weights[:, ARKIT_INDEX["eyeBlinkRight"]].max() > 0.8
    looks = [i for name, i in ARKIT_INDEX.items() if name.startswith("eyeLook")]
    assert weights[:, looks].max() < 0.06


@pytest.mark.parametrize("engine", ENGINES)
def test_motion_does_not_depend_on_the_frame_rate(engine: str) -> None:
    # Frame k of 25 fps and frame 3k + 1 of 75 fps have the same middle.
    driver = made(engine)
    slow = list(driver.drive(mixed(), Fraction(25)))
    fast = list(driver.drive(mixed(), Fraction(75)))[1::3]
    closed = ARKIT_INDEX["mouthClose"]  # a closure is shown in the frame it falls in, so only this may differ
    for a, b in zip(slow, fast, strict=False):
        np.testing.assert_allclose(np.delete(a.weights, closed), np.delete(b.weights, closed), atol=1e-6)
        np.testing.assert_allclose(a.head, b.head, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_head_begins_and_ends_in_the_pictures_pose(engine: str) -> None:
    frames = list(made(engine, seed=3).drive([spoken(6.0)], Fraction(25)))
    assert np.abs(frames[0].head[:3]).max() < 0.1
    assert np.abs(frames[-1].head[:3]).max() < 0.3
    assert max(np.abs(f.head[:3]).max() for f in frames) > 0.5

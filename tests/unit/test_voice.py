"""Whether what is heard is a voice (`huashen.audio2face.voice`), and that the mouth rests where it is none."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from huashen.audio2face.ear import Ear
from huashen.audio2face.style import lips
from huashen.audio2face.voice import BANDS, LATES, Voice
from huashen.registry import load
from huashen.types import Audio, Floats, Speech

RATE = 16000


@pytest.fixture(scope="module")
def sentence() -> Floats:
    import soxr

    said = list(
        load("tts", "espeak", lang="en").speak("My mother bought five big apples, and we move the blue boat before Bob opens the map.")
    )
    return np.asarray(soxr.resample(np.concatenate([s.audio.samples for s in said]), said[0].audio.rate, RATE), np.float32)


def surely(sound: Floats, rate: int = RATE, *, late: int = LATES[0]) -> np.ndarray:
    voice = Voice(late)
    found = [voice.hear(tick) for tick in Ear(rate, bands=BANDS).hear(np.concatenate([sound, np.zeros(rate // 2, np.float32)]))]
    return np.array([value for value in found if value is not None][late:])[: round(len(sound) / rate * 50) + 4]


def gap(sound: Floats, rate: int = RATE, *, driver: str = "hear") -> np.ndarray:
    frames = load("audio2face", driver, life=False).drive([Speech(Audio(np.asarray(sound, np.float32), rate))], Fraction(50))
    return lips(np.array([frame.weights for frame in frames], np.float64))[0]


def level(sound: np.ndarray) -> Floats:
    return np.asarray(0.08 * sound / np.sqrt(np.mean(sound**2)), np.float32)


def tones(tone: Callable[[float, np.ndarray], np.ndarray], *shifts: int) -> Floats:
    """Return a tune of quarter seconds, in parallel voices some half tones apart."""
    t = np.arange(RATE // 4) / RATE
    tune = [0, 4, 7, 4, 9, 7, 5, 2, 0, 4, 5, 7, 12, 11, 7, 4]
    return level(sum(np.concatenate([tone(220 * 2 ** ((note + shift) / 12), t) for note in tune]) for shift in shifts))


def organ(hz: float, t: np.ndarray) -> np.ndarray:
    return np.minimum(1, np.minimum(t, t[-1] - t) / 0.02) * sum(np.sin(2 * np.pi * k * hz * t) / k**1.3 for k in range(1, 10))


def plucked(hz: float, t: np.ndarray) -> np.ndarray:
    return np.exp(-4 * t) * sum(np.sin(2 * np.pi * k * hz * t) / k**1.5 for k in range(1, 8))


def others() -> dict[str, Floats]:
    dice = np.random.default_rng(0)
    t = np.arange(4 * RATE) / RATE
    bang = dice.standard_normal(len(t)) * np.exp(-30 * (t % 0.25))
    kick = np.sin(2 * np.pi * (50 * (t % 0.5) + 4 * (1 - np.exp(-20 * (t % 0.5))))) * np.exp(-12 * (t % 0.5))
    return {
        "melody": tones(organ, 0), "chords": tones(organ, 0, 4, 7), "guitar": tones(plucked, 0, 4, 7), "drums": level(0.5 * bang + kick),
        "claps": level(dice.standard_normal(len(t)) * np.exp(-60 * (t % 0.33))), "hiss": level(dice.standard_normal(len(t))),
        "hum": level(sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 12))), "silence": np.zeros(len(t), np.float32),
    }  # fmt: skip


@pytest.mark.parametrize("driver", ["hear", "hear-offline"])
@pytest.mark.parametrize("name", list(others()))
def test_what_is_no_voice_moves_the_mouth_little(sentence: Floats, name: str, driver: str) -> None:
    found = gap(others()[name], driver=driver)
    assert found.std() < 0.25 * gap(sentence, driver=driver).std()
    assert found.max() < 0.1
    assert (found > 0.02).mean() < 0.2


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_a_voice_is_one_at_any_rate_and_level(sentence: Floats, rate: int) -> None:
    import soxr

    sound = np.asarray(soxr.resample(sentence, RATE, rate), np.float32)
    for gain in (1.0, 0.05):
        assert np.mean(surely(gain * sound, rate)[:-30] > 0.5) > 0.85


@pytest.mark.parametrize("late", LATES)
def test_a_voice_is_heard_before_music_and_with_music_behind_it(sentence: Floats, late: int) -> None:
    tune = others()["melody"]
    apart = surely(np.concatenate([tune, sentence, tune]), late=late)
    begin, end = len(tune) // 320, (len(tune) + len(sentence)) // 320
    assert apart[25 : begin - 20].mean() < 0.2
    assert apart[begin + 15 : end - 5].mean() > 0.7
    assert apart[end + 60 :].mean() < 0.2
    behind = sentence + 0.2 * np.resize(tune, len(sentence))
    assert np.mean(surely(behind.astype(np.float32), late=late) > 0.5) > 0.6


def test_short_pauses_stay_alive(sentence: Floats) -> None:
    half = len(sentence) // 2
    paused = np.concatenate([sentence[:half], np.zeros(RATE // 5, np.float32), sentence[half:]])
    within = surely(paused)[half // 320 : half // 320 + 10]
    assert within.min() > 0.5


@pytest.mark.parametrize("driver", ["hear", "hear-offline"])
def test_the_mouth_parts_shortly_before_the_first_sound_and_no_earlier(sentence: Floats, driver: str) -> None:
    begin = int(np.flatnonzero(np.abs(sentence) > 0.02)[0])
    word = sentence[begin:]
    dice = np.random.default_rng(0)
    for room in (0.0, 10 ** (-50 / 20), 10 ** (-42 / 20)):  # a quiet room, and one that is not
        still = (room * dice.standard_normal(RATE)).astype(np.float32)
        found = gap(np.concatenate([still, word + (room * dice.standard_normal(len(word))).astype(np.float32)]), driver=driver)
        assert found[: round(0.84 * 50)].max() < 0.02, room
        assert found[50:100].max() > 0.05, room

"""How a person's mouth moves, learned from what is seen and heard (`huashen.audio2face.style`)."""

from fractions import Fraction

import numpy as np
import pytest

from huashen.audio2face.style import fit, lips
from huashen.registry import load
from huashen.types import ARKIT_INDEX, Audio, Mark, Motion, Speech, Style

SAID = "My mother bought five big apples, and we move the blue boat before Bob opens the map. Who knows what to do now?"


@pytest.fixture(scope="module")
def sentence() -> Audio:
    said = list(load("tts", "espeak", lang="en").speak(SAID))
    rate = said[0].audio.rate
    still = np.zeros(rate, np.float32)
    return Audio(np.concatenate([still, *[s.audio.samples for s in said], still]), rate)


def weights(motions: list[Motion]) -> np.ndarray:
    return np.array([m.weights for m in motions], np.float64)


def moved(sound: Audio, style: Style | None = None, engine: str = "hear") -> tuple[np.ndarray, np.ndarray]:
    """Return gap and width, fifty times a second."""
    return lips(weights(list(load("audio2face", engine, life=False, style=style).drive([Speech(sound)], Fraction(50)))))


@pytest.fixture(scope="module")
def average(sentence: Audio) -> tuple[np.ndarray, np.ndarray]:
    return moved(sentence)


def seen(average: tuple[np.ndarray, np.ndarray], sound: Audio, **style: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, gap and width of a person at 25 frames a second, the tracker's tremble included."""
    gap, width = moved(sound, Style(**style)) if style else average
    dice = np.random.default_rng(0)
    time = (np.arange(len(gap) // 2) + 0.5) / 25
    place = (np.arange(len(gap)) + 0.5) / 50
    gap, width = np.interp(time, place, gap), np.interp(time, place, width)
    return time, gap + 0.012 + 0.004 * dice.standard_normal(len(time)), 0.55 + width + 0.003 * dice.standard_normal(len(time))


def test_a_style_is_found_again(average: tuple[np.ndarray, np.ndarray], sentence: Audio) -> None:
    meant = {"open": 0.6, "wide": 0.7, "rounded": 0.55}
    found = fit([sentence], *seen(average, sentence, **meant))
    assert found is not None
    for name, value in meant.items():
        assert getattr(found, name) == pytest.approx(value, abs=0.13), name
    assert found.parted < 0.005
    usual = fit([sentence], *seen(average, sentence))
    assert usual is not None
    assert (usual.open, usual.wide, usual.rounded) == pytest.approx((1, 1, 1), abs=0.15)


def test_a_mouth_that_stays_parted_in_pauses_is_seen_to(average: tuple[np.ndarray, np.ndarray], sentence: Audio) -> None:
    found = fit([sentence], *seen(average, sentence, parted=0.03))
    assert found is not None
    assert found.parted == pytest.approx(0.03, abs=0.008)


def test_late_sound_is_taken_into_account(average: tuple[np.ndarray, np.ndarray], sentence: Audio) -> None:
    time, gap, width = seen(average, sentence, open=0.6)
    late = np.concatenate([np.zeros(round(0.2 * sentence.rate), np.float32), sentence.samples])
    found = fit([Audio(late, sentence.rate)], time + 0.2, gap, width)
    assert found is not None
    assert found.open == pytest.approx(0.6, abs=0.08)


def test_how_the_sound_is_cut_changes_nothing(average: tuple[np.ndarray, np.ndarray], sentence: Audio) -> None:
    pieces = [Audio(part, sentence.rate) for part in np.array_split(sentence.samples, 7)]
    mouth = seen(average, sentence, open=0.8, wide=1.3)
    assert fit(pieces, *mouth) == fit([sentence], *mouth)


def test_no_style_comes_of_silence_of_a_mouth_that_rests_or_of_one_that_says_something_else(
    average: tuple[np.ndarray, np.ndarray], sentence: Audio
) -> None:
    time, gap, width = seen(average, sentence)
    assert fit([], time, gap, width) is None
    assert fit([Audio(np.zeros_like(sentence.samples), sentence.rate)], time, gap, width) is None
    assert fit([sentence], time, gap * np.nan, width) is None
    assert fit([sentence], time, np.full_like(gap, 0.01), width) is None
    assert fit([sentence], time, gap[::-1], width[::-1]) is None
    assert fit([sentence], time[:30], gap[:30], width[:30]) is None


@pytest.mark.parametrize("engine", ["hear", "signal", "visemes"])
def test_every_driver_moves_as_its_style_says(sentence: Audio, engine: str) -> None:
    plain, small = moved(sentence, engine=engine), moved(sentence, Style(open=0.5, wide=0.5, rounded=0.5), engine=engine)
    assert small[0].std() == pytest.approx(0.5 * plain[0].std(), rel=0.12)
    assert small[1].std() == pytest.approx(0.5 * plain[1].std(), rel=0.05)
    parted = moved(sentence, Style(parted=0.03), engine=engine)[0]
    assert parted[10:25] == pytest.approx(0.03, abs=0.004)


def test_a_style_opens_no_closure() -> None:
    marks = tuple(Mark("phone", text, 0.2 + 0.1 * k, 0.3 + 0.1 * k) for k, text in enumerate(["ɑ", "m", "ɑ", "p", "i", "b", "u"]))
    speech = Speech(Audio(np.zeros(16000, np.float32), 16000), marks, aligned=True)
    found = weights(list(load("audio2face", life=False, style=Style(1.8, 1.8, 1.8, 0.04)).drive([speech], Fraction(50))))
    for k in (1, 3, 5):
        frame = found[round((0.23 + 0.1 * k) * 50)]
        assert frame[ARKIT_INDEX["mouthClose"]] == 1
    assert found.max() <= 1

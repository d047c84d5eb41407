"""What every voice promises (the docstring of `huashen.tts.Voice`)."""

import math
import time
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import huashen
from huashen.errors import NoSpeechError, UnknownEngineError
from huashen.registry import missing, table
from huashen.tts import Voice
from huashen.types import Mark, Speech

ENGINES = ["espeak", "flite"]
"""Those that tell their phones and need nothing fetched; test_tts_services.py and test_tts_models.py look at the others."""
ENGLISH = {
    "plain": "Hello there. The quick brown fox jumps over the lazy dog!",
    "digits": "It costs $3.50, or 25% of 1,234; call 911.",
    "dates": "On 2024-03-05 at 10:30 a.m. Dr. Smith met J. R. Jones.",
    "quotes": '"Really?" he said. “Yes,” she said, \'quite\'.',
    "emoji": "Great 😀👍! **Bold** and `code` at https://example.com/a?b=c 🎉",
    "one letter": "A",
    "long": "This is a long sentence without any stop, " * 8 + "and now it ends",
}
OTHERS = {
    "chinese": "你好，我是数字人。今天天气很好！",
    "mixed": "我用 Python 写代码，它在 GitHub 上。This is English. 再见",
    "chinese numbers": "2024年3月5日10:30，气温25℃，涨了3.5%，一共¥1,200。",
}
VOWELS = ("a", "ɑ", "æ", "ɛ", "e", "i", "ɪ", "o", "ɔ", "u", "ʊ", "ʌ", "ə", "ɚ", "ɜ", "ɤ")


@lru_cache(maxsize=4)
def voice(name: str) -> Any:
    """Return an engine; skip, naming what is missing, where it is not installed."""
    lacking = missing(table("tts").get(name))
    if lacking:
        pytest.skip(f"the tts engine {name} needs {', '.join(lacking)}")
    return huashen.load("tts", name)


def marks(speech: Speech, kind: str) -> list[Mark]:
    return [mark for mark in speech.marks if mark.kind == kind]


def level(speech: Speech, start: float, end: float) -> float:
    """Return the root mean square between two times in dB."""
    rate = speech.audio.rate
    piece = speech.audio.samples[round(start * rate) : round(end * rate)]
    return 10 * math.log10(float(np.mean(piece.astype(np.float64) ** 2)) + 1e-10) if len(piece) else -100.0


def check(text: str, speeches: list[Speech], rate: int) -> None:
    assert speeches
    assert "".join(speech.text for speech in speeches) == text
    for speech in speeches:
        samples = speech.audio.samples
        assert speech.audio.rate == rate
        assert speech.aligned
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert len(samples) > 0
        assert np.abs(samples).max() <= 10 ** (-1 / 20)
        phones, words, whole = (marks(speech, kind) for kind in ("phone", "word", "sentence"))
        assert phones
        assert words
        assert len(whole) == 1
        assert speech.text[slice(*whole[0].span)] == whole[0].text == speech.text.strip()
        assert all(mark.text and mark.text[0] not in "ˈˌ" and not any(c.isdigit() for c in mark.text) for mark in phones)
        assert any(mark.stress for mark in phones) or len(phones) < 8
        for row in (phones, words):
            assert all(0 <= mark.start < mark.end <= speech.audio.seconds + 1e-6 for mark in row)
            assert all(a.end <= b.start + 1e-6 for a, b in pairwise(row))
        assert all(speech.text[slice(*mark.span)] == mark.text and any(c.isalnum() for c in mark.text) for mark in words)
        assert all(a.span[1] <= b.span[0] for a, b in pairwise(words))
        times = [mark.start for mark in speech.marks]
        assert times == sorted(times)
        assert level(speech, phones[-1].end + 0.05, speech.audio.seconds) < -50
        assert 0.1 <= speech.audio.seconds - phones[-1].end <= 0.6


@pytest.mark.parametrize("name", ENGINES)
def test_is_a_voice(name: str) -> None:
    assert isinstance(voice(name), Voice)


@pytest.mark.parametrize("case", [*ENGLISH, *OTHERS])
@pytest.mark.parametrize("name", ENGINES)
def test_promises(name: str, case: str) -> None:
    text = {**ENGLISH, **OTHERS}[case]
    if name == "flite" and case in OTHERS:
        with pytest.raises(UnknownEngineError, match="espeak"):
            voice(name).speak(text)
        return
    check(text, list(voice(name).speak(text)), voice(name).rate)


@pytest.mark.parametrize("text", ["", "  \n", "。！？…", "😀👍🏽", "*** --- ```", "“”"])
@pytest.mark.parametrize("name", ENGINES)
def test_nothing_to_say_is_an_error_at_once(name: str, text: str) -> None:
    with pytest.raises(NoSpeechError):
        voice(name).speak(text)


@pytest.mark.parametrize("name", ENGINES)
def test_the_same_text_gives_the_same_sound(name: str) -> None:
    text = "Hello there. " * 2
    first, second = list(voice(name).speak(text)), list(voice(name).speak(text))
    assert all(np.array_equal(a.audio.samples, b.audio.samples) and a.marks == b.marks for a, b in zip(first, second, strict=True))
    assert np.array_equal(first[0].audio.samples, first[1].audio.samples)


@pytest.mark.parametrize("name", ENGINES)
def test_sentences_come_one_at_a_time(name: str) -> None:
    stream = voice(name).speak("One sentence. " * 2000)
    assert next(stream).text == "One sentence. "
    assert next(stream).text == "One sentence. "


@pytest.mark.parametrize("name", ENGINES)
def test_three_thousand_characters_begin_at_once(name: str) -> None:
    text = "Every sentence is spoken alone, as soon as it is known. " * 54
    voice(name)
    begun = time.perf_counter()
    stream = voice(name).speak(text)
    first = next(stream)
    waited = time.perf_counter() - begun
    check(text, [first, *stream], voice(name).rate)
    assert len(text) > 3000
    assert waited < 0.25 * (time.perf_counter() - begun)


@pytest.mark.parametrize("name", ENGINES)
def test_written_words_are_found_where_they_are_spoken(name: str) -> None:
    speech = next(voice(name).speak("Bob paid $3.50 for state-of-the-art maps."))
    assert [mark.text for mark in marks(speech, "word")] == ["Bob", "paid", "$3.50", "for", "state-of-the-art", "maps"]
    first = {mark.text: next(p.text for p in marks(speech, "phone") if p.start >= mark.start - 0.001) for mark in marks(speech, "word")}
    assert first == {"Bob": "b", "paid": "p", "$3.50": "θ", "for": "f", "state-of-the-art": "s", "maps": "m"}


@pytest.mark.parametrize("name", ENGINES)
def test_phones_agree_with_the_sound(name: str) -> None:
    text = "Papa put a map upon a big boat. Tom took ten pots to Bob, and Peter kept a pet cat."
    vowels, closures, pauses = [], [], []
    for speech in voice(name).speak(text):
        row = marks(speech, "phone")
        for before, mark, after in zip(row, row[1:], row[2:], strict=False):
            if mark.text.startswith(VOWELS):
                vowels.append(level(speech, mark.start, mark.end))
            if mark.text in ("p", "t", "k") and before.text.startswith(VOWELS) and after.text.startswith(VOWELS):
                closures.append(level(speech, mark.start + 0.012, mark.start + 0.03))
        pauses += [level(speech, a.end + 0.03, b.start - 0.03) for a, b in pairwise(row) if b.start - a.end > 0.1]
    assert len(vowels) > 15
    assert len(closures) > 3
    assert np.median(vowels) > -25
    assert np.median(closures) < np.median(vowels) - 12
    assert not pauses or max(pauses) < np.median(vowels) - 15


@pytest.mark.parametrize("name", ENGINES)
def test_pace_and_level_are_natural(name: str) -> None:
    text = "A child hears thousands of words before it says the first one. Then, quite suddenly, there is no end to the questions."
    said = list(voice(name).speak(text))
    seconds = sum(speech.audio.seconds for speech in said)
    assert 140 < len(text.split()) / seconds * 60 < 180
    samples = np.concatenate([speech.audio.samples for speech in said])
    loud = samples[np.abs(samples) > 0.01]
    assert -24 < 20 * np.log10(np.sqrt(np.mean(loud.astype(np.float64) ** 2))) < -17


@pytest.mark.parametrize("name", ENGINES)
def test_speed(name: str) -> None:
    voice(name)
    lengths = []
    for speed in (0.5, 1.0, 2.0):
        engine = huashen.load("tts", name, speed=speed)
        lengths.append(sum(speech.audio.seconds for speech in engine.speak("The quick brown fox jumps over the lazy dog.")))
    assert 1.5 < lengths[0] / lengths[1] < 2.4
    assert 1.5 < lengths[1] / lengths[2] < 2.4


@pytest.mark.parametrize("name", ENGINES)
def test_male_and_female_voices_differ_and_unknown_ones_are_told(name: str) -> None:
    low, high = (huashen.load("tts", name, voice=who) for who in ("male", "female"))
    assert not np.array_equal(next(low.speak("Hello")).audio.samples, next(high.speak("Hello")).audio.samples)
    assert voice(name).voices()[:2] == ["female", "male"]
    with pytest.raises(UnknownEngineError, match="female"):
        huashen.load("tts", name, voice="nobody")
    with pytest.raises(UnknownEngineError):
        huashen.load("tts", name, lang="xx")
    with pytest.raises(huashen.HuashenError, match="speed"):
        huashen.load("tts", name, speed=0.1)

"""The text of a recording is found in it: truth are voices that tell when they say what."""

from collections.abc import Iterator

import numpy as np
import pytest

from huashen.audio2face.align import align, sounds_of
from huashen.audio2face.phones import aims
from huashen.registry import load
from huashen.types import Audio, Floats, Mark, Speech

pytest.importorskip("pocketsphinx")

ENGLISH = "The blue pump made a deep bubbling sound before it stopped. My mother bought a map of Paris from a small shop."
CHINESE = "妈妈买了一把漂亮的白色雨伞。请把这本书放在桌子上面，不要忘记关门。"


def said(text: str, **voice: object) -> tuple[Floats, int, list[Mark]]:
    """Return the sound of a text, its rate and its marks, times from the beginning."""
    return joined(load("tts", "espeak", **voice).speak(text))


def joined(speech: Iterator[Speech]) -> tuple[Floats, int, list[Mark]]:
    sound, marks, begin, rate = [], [], 0.0, 0
    for piece in speech:
        marks += [Mark(m.kind, m.text, m.start + begin, m.end + begin, span=m.span) for m in piece.marks]
        sound.append(piece.audio.samples)
        begin, rate = begin + piece.audio.seconds, piece.audio.rate
    return np.concatenate(sound), rate, marks


def pieces(sound: Floats, rate: int, size: int) -> Iterator[Audio]:
    return (Audio(sound[i : i + size], rate) for i in range(0, len(sound), size))


def closures(marks: list[Mark]) -> list[Mark]:
    return [m for m in marks if m.kind == "phone" and any(aim.seal == 1.0 for aim in aims(m.text))]


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_closures_of_another_voice_at_another_pace_are_found(text: str) -> None:
    sound, rate, truth = said(text, voice="m5", speed=1.2)
    warnings: list[str] = []
    found = joined(align(pieces(sound, rate, 5000), load("tts", "espeak").speak(text), warn=warnings.append))
    assert warnings == []
    np.testing.assert_array_equal(found[0], sound)
    one, two = closures(truth), closures(found[2])
    assert len(one) == len(two) >= 8
    apart = [abs(a.start + a.end - b.start - b.end) / 2 for a, b in zip(one, two, strict=True)]
    assert np.median(apart) < 0.02
    assert np.mean([b.start < a.end and b.end > a.start for a, b in zip(one, two, strict=True)]) >= 0.9


def test_another_text_is_noticed_and_gives_no_marks() -> None:
    sound, rate, _ = said(ENGLISH, voice="m5")
    warnings: list[str] = []
    found = list(align(pieces(sound, rate, 9000), load("tts", "espeak").speak(CHINESE), warn=warnings.append))
    assert len(warnings) == 1
    assert "match" in warnings[0]
    assert all(not piece.marks and not piece.aligned for piece in found)
    assert sum(len(piece.audio.samples) for piece in found) == len(sound)


def test_chunking_does_not_change_marks_and_words_stay_in_their_text() -> None:
    sound, rate, _ = said(ENGLISH, voice="m3", speed=0.6)  # longer than a window
    one = list(align(pieces(sound, rate, 1234), load("tts", "espeak").speak(ENGLISH)))
    two = list(align(pieces(sound, rate, 1 << 30), load("tts", "espeak").speak(ENGLISH)))
    assert [(piece.marks, piece.text, piece.aligned) for piece in one] == [(piece.marks, piece.text, piece.aligned) for piece in two]
    words = [(piece.text[m.span[0] : m.span[1]], m.text) for piece in one for m in piece.marks if m.kind == "word"]
    assert [a for a, _ in words] == [b for _, b in words]
    assert " ".join(a for a, _ in words).startswith("The blue pump made a deep")
    assert all(0 <= m.start < piece.audio.seconds for piece in one for m in piece.marks)


def test_silence_before_speech_does_not_confuse() -> None:
    sound, rate, truth = said(CHINESE, voice="m3")
    late = np.concatenate([np.zeros(2 * rate, np.float32), sound])
    found = joined(align(pieces(late, rate, 8000), load("tts", "espeak").speak(CHINESE)))[2]
    one, two = closures(truth), closures(found)
    assert len(one) == len(two)
    assert np.median([abs(b.start - a.start - 2.0) for a, b in zip(one, two, strict=True)]) < 0.03


def test_every_ipa_letter_has_a_sound() -> None:
    assert sounds_of("tʃ") == ("CH",)
    assert sounds_of("p", "zh") == ("B",)
    assert sounds_of("pʰ", "zh") == ("P",)
    assert sounds_of("iː") == ("IY",)
    assert sounds_of("ɲ") == ("N",)
    assert sounds_of("ﬆ") == ("AH",)  # a letter of no chart
    assert sounds_of("_") == ()


def test_lips_meet_at_every_p_b_m_that_is_found_and_a_sound_alone_misses_most() -> None:
    from fractions import Fraction

    from huashen.audio2face.learned import Hearing, network
    from huashen.audio2face.style import lips

    sound, rate, truth = said(ENGLISH, voice="m5", speed=1.1)
    told = list(align(pieces(sound, rate, 5000), load("tts", "espeak").speak(ENGLISH)))
    corrected = load("audio2face", "visemes", life=False, guess=lambda: Hearing(network()), sure_only=True)
    shut = closures(truth)
    found = []
    for driver, speech in ((corrected, told), (load("audio2face", "hear", life=False), [Speech(Audio(sound, rate))])):
        gap, _ = lips(np.array([frame.weights for frame in driver.drive(speech, Fraction(50))], np.float64))
        found.append(np.mean([gap[int(m.start * 50) : round(m.end * 50) + 1].min() < 0.003 for m in shut]))
    assert found[0] >= 0.95
    assert found[1] < 0.8

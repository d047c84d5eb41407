"""Flite's words, stress and sound."""

import shutil
import subprocess

import numpy as np
import pytest

from huashen.errors import EngineError, UnknownEngineError
from huashen.tts import flite
from huashen.tts.flite import IPA, Flite, _align, _ascii
from huashen.tts.loudness import CEILING, limit, loudness

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="needs the program flite")


def test_weak_forms_are_aligned_to_their_words() -> None:
    heard = ["g", "ow", "t", "ax", "dh", "ax", "s", "t", "ao", "r"]
    spelled = [["g", "ow"], ["t", "uw"], ["dh", "iy"], ["s", "t", "ao", "r"]]
    assert _align(heard, spelled) == [0, 0, 1, 1, 2, 2, 3, 3, 3, 3]
    assert _align(["s", "t", "aa", "p"], [["s", "t"], [], ["t", "aa", "p"]]) in ([0, 0, 2, 2], [0, 2, 2, 2])
    assert _align([], [["a"]]) == []


def test_every_phone_has_an_ipa_name() -> None:
    radio = "aa ae ah ao aw ax axr ay b ch d dh dx eh el em en er ey f g hh hv ih iy jh k l m n ng nx ow oy p r s sh t th uh uw v w y z zh"
    assert set(IPA) == set(radio.split())
    assert all(len(name.removesuffix("ː")) in (1, 2) for name in IPA.values())


def test_letters_flite_does_not_know() -> None:
    assert [_ascii(c) for c in "é’ß—你"] == ["e", "'", "ss", " - ", " "]


@needs_flite
def test_phones_words_and_stress() -> None:
    speech = next(Flite().speak("The engineer developed a naïve photograph."))
    row = [mark for mark in speech.marks if mark.kind == "phone"]
    assert [m.text for m in row[:2]] == ["ð", "ə"] or row[1].text == "iː"
    assert [m.text for m in speech.marks if m.kind == "word"] == ["The", "engineer", "developed", "a", "naïve", "photograph"]
    words = [m for m in speech.marks if m.kind == "word"]
    per_word = [[p.text for p in row if w.start - 1e-6 <= p.start < w.end and p.stress] for w in words]
    assert [len(stressed) for stressed in per_word] == [0, 1, 1, 0, 1, 1]


@needs_flite
def test_languages_and_voices_are_checked() -> None:
    with pytest.raises(UnknownEngineError, match="slt"):
        Flite(voice="http://example.com/voice.flitevox")
    with pytest.raises(UnknownEngineError, match="espeak"):
        Flite(lang="zh")
    with pytest.raises(UnknownEngineError, match="espeak"):
        Flite().speak("Bonjour, je suis un humain numérique et vous ?")
    assert next(Flite(lang="en-GB").speak("Bonjour, je suis très content")).audio.seconds > 1


@needs_flite
def test_a_text_is_never_taken_for_an_option_or_a_file() -> None:
    assert next(Flite().speak("-o /etc/passwd; $(reboot) `ls`")).audio.seconds > 1


@needs_flite
def test_failures_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Flite()

    def slow(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("flite", 1)

    monkeypatch.setattr(flite.subprocess, "run", slow)
    with pytest.raises(EngineError, match="longer"):
        next(engine.speak("Hello"))
    monkeypatch.setattr(flite.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, b"", b"no voice\n"))
    with pytest.raises(EngineError, match="no voice"):
        next(engine.speak("Hello"))


def test_loudness_leaves_silence_out_and_scales() -> None:
    tone = np.sin(np.arange(16000) * 0.2).astype(np.float32)
    padded = np.concatenate([tone * 0.2, np.zeros(48000, np.float32)])
    assert loudness(padded, 16000) == pytest.approx(0.2 / np.sqrt(2), rel=0.02)
    assert loudness(padded * 0.1, 16000) == pytest.approx(0.02 / np.sqrt(2), rel=0.02)
    assert loudness(np.zeros(1000, np.float32), 16000) == 0
    assert loudness(np.zeros(0, np.float32), 16000) == 0


def test_limit_bends_only_peaks_and_keeps_their_order() -> None:
    ramp = np.linspace(-3, 3, 1001, dtype=np.float32)
    bent = limit(ramp)
    assert np.abs(bent).max() <= CEILING
    assert np.array_equal(bent[np.abs(ramp) <= 0.7], ramp[np.abs(ramp) <= 0.7])
    assert (np.diff(bent) >= 0).all()

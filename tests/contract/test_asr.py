"""What listening promises: words, the end of a turn, and whose voice it is."""

import numpy as np
import pytest
import soxr

import huashen
from huashen.asr import RATE, Recognizer
from huashen.asr.ears import Ears
from huashen.asr.voice import Loudness
from huashen.registry import missing, table
from huashen.types import Audio, Floats

TEXT = "How much does it cost to rent a bicycle for a week?"


@pytest.fixture(scope="module")
def engine() -> Recognizer:
    made: Recognizer = huashen.load("asr", "pocketsphinx")
    return made


@pytest.fixture(scope="module")
def speech() -> Floats:
    if missing(table("tts").get("flite")):
        pytest.skip("wants the program flite")
    said = list(huashen.load("tts", "flite").speak(TEXT))
    return np.asarray(soxr.resample(np.concatenate([p.audio.samples for p in said]), said[0].audio.rate, RATE), np.float32)


def around(sound: Floats) -> Floats:
    noise = np.random.default_rng(0).normal(0, 1e-4, len(sound) + 2 * RATE)
    noise[RATE : RATE + len(sound)] += sound
    return noise.astype(np.float32)


def events(ears: Ears, sound: Floats, step: int) -> list[tuple[str, float, str]]:
    found = [event for i in range(0, len(sound), step) for event in ears.feed(Audio(sound[i : i + step], RATE))] + ears.finish()
    return [(e.kind, e.at, e.transcript.text if e.transcript else "") for e in found if e.kind != "partial"]


def test_a_turn_is_heard_and_ends_soon_after_the_last_word(engine: Recognizer, speech: Floats) -> None:
    sound = around(speech)
    found = events(Ears(engine, voice=Loudness()), sound, 320)
    assert [kind for kind, _, _ in found] == ["stir", "speech_started", "final"]
    assert "rent a bicycle" in found[-1][2]
    last = np.flatnonzero(np.abs(sound) > 0.02)[-1] / RATE
    assert 0.1 < found[-1][1] - last < 0.65


def test_how_sound_is_cut_changes_nothing(engine: Recognizer, speech: Floats) -> None:
    assert events(Ears(engine, voice=Loudness()), around(speech), 160) == events(Ears(engine, voice=Loudness()), around(speech), 4001)


def test_silence_is_nothing(engine: Recognizer) -> None:
    assert events(Ears(engine, voice=Loudness()), np.zeros(3 * RATE, np.float32), 320) == []
    utterance = engine.begin()
    utterance.feed(np.zeros(RATE, np.float32))
    assert utterance.finish().text == ""


def test_the_avatars_own_voice_does_not_interrupt_it(engine: Recognizer, speech: Floats) -> None:
    played = np.concatenate([np.zeros(RATE // 2, np.float32), speech, speech])
    for gain in (0.1, 0.03):
        heard = gain * np.concatenate([np.zeros(RATE // 5, np.float32), played])[: len(played)]
        heard = (heard + np.random.default_rng(0).normal(0, 3e-4, len(heard))).astype(np.float32)
        ears, control = Ears(engine), Ears(engine)
        pieces = [(Audio(heard[i : i + 512], RATE), Audio(played[i : i + 512], RATE)) for i in range(0, len(heard), 512)]
        found = [event.kind for mine, theirs in pieces for event in ears.feed(mine, theirs)]
        assert "speech_started" not in found
        assert any(event.kind == "speech_started" for mine, _ in pieces for event in control.feed(mine))

"""What a recording is like (`huashen.recording`), and what `huashen measure` says of it."""

import wave
from pathlib import Path

import numpy as np
import pytest

from huashen import measurement
from huashen.errors import UnreadableError
from huashen.ops import sync
from huashen.recording import CLIPPED, inspect
from huashen.registry import load
from huashen.types import Floats


@pytest.fixture(scope="module")
def sentence() -> Floats:
    import soxr

    said = list(
        load("tts", "espeak", lang="en").speak("My mother bought five big apples, and we move the blue boat before Bob opens the map.")
    )
    return np.asarray(soxr.resample(np.concatenate([s.audio.samples for s in said]), said[0].audio.rate, 16000), np.float32)


def written(path: Path, rate: int, *channels: Floats) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(np.stack(channels, 1), -1, 1) * 32767).astype("<i2").tobytes())
    return path


def test_good_speech_has_nothing_to_complain_of(sentence: Floats, tmp_path: Path) -> None:
    found = inspect(written(tmp_path / "good.wav", 16000, sentence))
    assert found is not None
    assert (found.rate, found.channels, found.empty, found.narrow) == (16000, 1, 0, False)
    assert found.clipped < CLIPPED
    assert found.level == pytest.approx(10 * np.log10(np.mean(sentence**2)), abs=0.1)


@pytest.mark.parametrize("share", [0.7, 0.4, 0.2])
def test_clipping_is_noticed_at_any_level(sentence: Floats, tmp_path: Path, share: float) -> None:
    top = share * float(np.abs(sentence).max())
    for gain in (1.0, 0.2):
        found = inspect(written(tmp_path / "clipped.wav", 16000, gain * np.clip(sentence, -top, top)))
        assert found is not None
        assert found.clipped > CLIPPED


def test_an_empty_channel_and_a_telephone_are_noticed(sentence: Floats, tmp_path: Path) -> None:
    import soxr

    found = inspect(written(tmp_path / "empty.wav", 16000, np.zeros_like(sentence), sentence))
    assert found is not None
    assert (found.channels, found.empty, found.narrow) == (2, 1, False)
    phone = np.asarray(soxr.resample(sentence, 16000, 8000), np.float32)
    again = np.asarray(soxr.resample(phone, 8000, 44100), np.float32)
    for name, sound, rate in (("phone", phone, 8000), ("again", again, 44100)):
        found = inspect(written(tmp_path / f"{name}.wav", rate, sound))
        assert found is not None
        assert found.narrow
    wide = np.asarray(soxr.resample(sentence, 16000, 96000), np.float32)
    found = inspect(written(tmp_path / "wide.wav", 96000, wide, wide))
    assert found is not None
    assert (found.rate, found.channels, found.empty, found.narrow) == (96000, 2, 0, False)


def test_silence_is_neither_clipped_nor_empty(tmp_path: Path) -> None:
    found = inspect(written(tmp_path / "silent.wav", 16000, np.zeros(16000, np.float32), np.zeros(16000, np.float32)))
    assert found is not None
    assert (found.empty, found.clipped, found.narrow) == (0, 0.0, False)
    with pytest.raises(UnreadableError):
        inspect(tmp_path / "nothing.wav")


def said_of(sound: Floats, path: Path, *others: Floats) -> tuple[measurement.Sound | None, np.ndarray, str]:
    """Return what the measure finds of a sound, where it hears a voice, and its notes."""
    ear, voices = sync.Bands(), measurement._Voices()
    bands = ear.hear(sound)
    voices.hear(np.concatenate([sound, np.zeros(4000, np.float32)]))
    loud = measurement.speaking(bands)
    said = loud & (voices.found(len(bands)) > 0.5)
    notes: list[str] = []
    found = measurement._sound(inspect(written(path, 16000, sound, *others)), loud, said, notes)
    return found, said, " ".join(notes)


def test_speech_is_heard_as_a_voice_and_nothing_is_said_against_it(sentence: Floats, tmp_path: Path) -> None:
    found, said, notes = said_of(sentence, tmp_path / "speech.wav")
    assert found is not None
    assert found.voice is not None
    assert found.voice > 0.75
    assert said.any()
    assert notes == ""


def test_what_is_no_voice_is_said_to_be_none(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    t = np.arange(6 * 16000) / 16000
    chord = sum(np.sin(2 * np.pi * k * hz * t) / k**1.5 for hz in (220, 277.2, 329.6) for k in range(1, 6))
    sounds = {"music": 0.05 * chord * np.exp(-3 * (t % 0.5)), "noise": 0.05 * dice.standard_normal(len(t))}
    for name, sound in sounds.items():
        found, said, notes = said_of(np.asarray(sound, np.float32), tmp_path / f"{name}.wav")
        assert found is not None
        assert found.voice is not None
        assert found.voice < 0.25
        assert not said.any()
        assert "no voice is heard" in notes
    found, _, notes = said_of(np.zeros(16000, np.float32), tmp_path / "silent.wav")
    assert found is not None
    assert found.voice is None
    assert "silent" in notes


def test_music_after_speech_counts_as_silence(sentence: Floats, tmp_path: Path) -> None:
    t = np.arange(len(sentence)) / 16000
    tune = 0.08 * np.sin(2 * np.pi * 220 * 2 ** (np.floor(3 * t) % 5 / 12) * t)
    found, said, notes = said_of(np.concatenate([sentence, tune]).astype(np.float32), tmp_path / "both.wav")
    assert found is not None
    half = len(said) // 2
    assert said[:half].mean() > 0.5
    assert said[half + 100 :].mean() < 0.05
    assert "counts as silence" in notes


def test_every_fault_is_said(sentence: Floats, tmp_path: Path) -> None:
    top = 0.2 * float(np.abs(sentence).max())
    _, _, notes = said_of(np.clip(sentence, -top, top), tmp_path / "bad.wav", np.zeros_like(sentence))
    assert "clipped" in notes
    assert "1 of 2 channels" in notes

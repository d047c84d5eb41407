"""The mouth from sound alone."""

from fractions import Fraction

import numpy as np
import pytest

from huashen.audio2face.ear import BANDS, Ear
from huashen.audio2face.signal import Signal
from huashen.registry import load
from huashen.types import ARKIT_INDEX, Audio, Floats, Motion, Speech


def vowel(seconds: float, formants: tuple[float, ...], rate: int = 16000, loud: float = 0.2) -> Floats:
    """Return a sung vowel: harmonics of 120 Hz weighted by resonances 90 Hz wide."""
    t = np.arange(round(seconds * rate)) / rate
    sound = np.zeros(len(t))
    for k in range(1, int(min(3900, rate / 2 - 100) / 120)):
        hz = 120 * k
        sound += sum(1 / (1 + ((hz - f) / 90) ** 2) for f in formants) / k**0.5 * np.sin(2 * np.pi * hz * t + k)
    return (loud * sound / np.abs(sound).max()).astype(np.float32)


def babble(rate: int = 16000, loud: float = 0.2) -> Floats:
    """Return syllables ba-bi-ba-bu with pauses."""
    quiet = np.zeros(round(0.09 * rate), np.float32)
    pieces = [np.zeros(round(0.5 * rate), np.float32)]
    for formants in ((750, 1200, 2500), (300, 2300, 3000), (700, 1250, 2400), (320, 800, 2300)) * 2:
        one = vowel(0.16, formants, rate, loud)
        pieces += [one * np.hanning(len(one)).astype(np.float32) ** 0.3, quiet]
    return np.concatenate([*pieces, np.zeros(round(0.5 * rate), np.float32)])


def moved(samples: Floats, rate: int = 16000, fps: int = 50) -> list[Motion]:
    return list(Signal(life=False).drive([Speech(Audio(samples, rate))], Fraction(fps)))


def jaw(motions: list[Motion]) -> np.ndarray:
    return np.array([m.weights[ARKIT_INDEX["jawOpen"]] * (1 - m.weights[ARKIT_INDEX["mouthClose"]]) for m in motions])


def noise(samples: Floats, db: float) -> Floats:
    dice = np.random.default_rng(1)
    return (samples + 10 ** (db / 20) * dice.standard_normal(len(samples))).astype(np.float32)


def test_syllables_open_the_mouth_and_gaps_close_it() -> None:
    values = jaw(moved(noise(babble(), -66)))
    assert values[:20].max() < 0.02
    assert values[-15:].max() < 0.02
    peaks = [values[round((0.5 + 0.25 * i) * 50) : round((0.66 + 0.25 * i) * 50)].max() for i in range(8)]
    dips = [values[round((0.68 + 0.25 * i) * 50) : round((0.75 + 0.25 * i) * 50)].min() for i in range(7)]
    assert min(peaks) > 0.12
    assert np.mean(dips) < 0.6 * np.mean(peaks)


def test_an_a_opens_further_than_an_i_or_a_u_and_a_u_is_narrower() -> None:
    open_, wide = {}, {}
    for name, formants in {"a": (750, 1250, 2500), "i": (290, 2300, 3000), "u": (320, 750, 2300)}.items():
        pieces = [np.zeros(8000, np.float32), *[vowel(0.2, formants) * np.hanning(3200).astype(np.float32) ** 0.3] * 4]
        motions = moved(noise(np.concatenate(pieces), -66))[30:]
        open_[name] = jaw(motions).mean()
        stretch, pucker = ARKIT_INDEX["mouthStretchLeft"], ARKIT_INDEX["mouthPucker"]
        wide[name] = np.mean([m.weights[stretch] - m.weights[pucker] for m in motions])
    assert open_["a"] > 1.15 * open_["i"]
    assert open_["a"] > 1.04 * open_["u"]
    assert wide["u"] < wide["i"] - 0.05
    assert wide["u"] < wide["a"] - 0.05


@pytest.mark.parametrize("db", [-30, -12, 6])
def test_level_does_not_matter(db: float) -> None:
    plain = jaw(moved(noise(babble(), -60)))
    other = jaw(moved((10 ** (db / 20) * noise(babble(), -60)).astype(np.float32)))
    assert np.corrcoef(plain, other)[0, 1] > 0.93
    assert np.percentile(other, 90) == pytest.approx(np.percentile(plain, 90), rel=0.2)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_rate_does_not_matter(rate: int) -> None:
    import soxr

    sound = noise(babble(48000), -60)
    plain = jaw(moved(soxr.resample(sound, 48000, 16000)))
    other = jaw(moved(soxr.resample(sound, 48000, rate).astype(np.float32), rate))
    n = min(len(plain), len(other))
    least = 0.8 if rate == 8000 else 0.95  # 8 kHz has lost the hiss above 4 kHz
    assert np.corrcoef(plain[:n], other[:n])[0, 1] > least


def test_room_noise_is_learned() -> None:
    clean, noisy = jaw(moved(noise(babble(), -66))), jaw(moved(noise(babble(), -45)))
    assert np.corrcoef(clean, noisy)[0, 1] > 0.65
    assert noisy[:20].max() < 0.08


def test_noise_that_begins_later_is_learned_too() -> None:
    dice = np.random.default_rng(2)
    fan = (10 ** (-45 / 20) * dice.standard_normal(16000 * 9)).astype(np.float32)
    values = jaw(moved(np.concatenate([noise(babble(), -80), fan])))
    assert values[: len(babble()) // 320].max() > 0.2
    assert values[-50:].max() < 0.02


def test_ear_is_the_same_however_the_sound_is_cut() -> None:
    sound = noise(babble(22050), -50)
    whole = np.array(Ear(22050).hear(sound))
    ear = Ear(22050)
    parts = np.array([tick for a in range(0, len(sound), 333) for tick in ear.hear(sound[a : a + 333])])
    np.testing.assert_array_equal(whole, parts)
    assert whole.shape[1] == BANDS + 1


def test_ear_finds_a_tone_in_its_band_at_every_rate() -> None:
    for rate in (8000, 16000, 48000):
        t = np.arange(rate) / rate
        heard = np.array(Ear(rate).hear((0.3 * np.sin(2 * np.pi * 1000 * t)).astype(np.float32)))[50, :BANDS]
        edges = 700 * (10 ** (np.linspace(2595 * np.log10(1 + 80 / 700), 2595 * np.log10(1 + 7600 / 700), BANDS + 2) / 2595) - 1)
        assert abs(edges[1:-1][np.argmax(heard)] - 1000) < 160


def test_numbers_that_are_none_do_not_spread() -> None:
    sound = babble()
    sound[9000:9010] = np.nan
    assert all(np.isfinite(m.weights).all() for m in moved(sound))


def test_agrees_with_what_marks_say() -> None:
    spoken = list(load("tts", "espeak").speak("My mother bought five big apples. Do you move the blue boat before Bob?"))
    told = jaw(list(load("audio2face", "visemes", life=False).drive(spoken, Fraction(25))))
    guessed = jaw(list(Signal(life=False).drive(spoken, Fraction(25))))
    wrong = np.roll(guessed, len(guessed) // 2)
    assert np.corrcoef(told, guessed)[0, 1] > 0.35
    assert np.corrcoef(told, guessed)[0, 1] > np.corrcoef(told, wrong)[0, 1] + 0.2


def test_moves_like_speech_and_does_not_flutter() -> None:
    values = jaw(moved(noise(babble(), -60), fps=100))
    turns = np.count_nonzero(np.diff(np.sign(np.diff(values[np.abs(np.gradient(values)) > 1e-4]))))
    assert turns / 2.0 < 24  # a second; eight closures and openings in two seconds are 16 turns

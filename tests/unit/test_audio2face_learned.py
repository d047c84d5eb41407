"""The mouth from sound by the network."""

import time
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from huashen.audio2face.ear import Ear, Even
from huashen.audio2face.learned import FILE, OFFLINE, Hear, Hearing, network
from huashen.registry import load
from huashen.types import ARKIT_INDEX, Audio, Floats, Motion, Speech


def moved(samples: Floats, rate: int = 16000, fps: int = 50) -> list[Motion]:
    return list(Hear(life=False).drive([Speech(Audio(samples, rate))], Fraction(fps)))


def gap(motions: list[Motion]) -> np.ndarray:
    """Return the gap between the lips as docs/motion.md has it."""
    w = {name: np.array([float(m.weights[i]) for m in motions]) for name, i in ARKIT_INDEX.items()}
    found = 0.30 * w["jawOpen"] * (1 - w["mouthClose"]) + 0.035 * w["mouthUpperUpLeft"] + 0.045 * w["mouthLowerDownLeft"]
    return np.where(w["mouthClose"] >= 1, 0.0, np.maximum(found - 0.03 * w["mouthPucker"], 0.0))


@pytest.fixture(scope="module")
def sentence() -> Audio:
    """A sentence of espeak's, between half seconds of a quiet room."""
    text = "My mother bought five big apples, and we move the blue boat before Bob opens the map."
    said = list(load("tts", "espeak", lang="en").speak(text))
    rate = said[0].audio.rate
    still = np.zeros(rate // 2, np.float32)
    sound = np.concatenate([still, *[s.audio.samples for s in said], still])
    hiss = 1e-4 * np.random.default_rng(0).standard_normal(len(sound))
    return Audio((sound + hiss).astype(np.float32), rate)


def test_speech_opens_the_mouth_as_far_as_people_do_and_no_further(sentence: Audio) -> None:
    values = gap(moved(sentence.samples, sentence.rate))
    assert 0.12 < np.percentile(values[25:-25], 95) < 0.24
    assert values.max() < 0.36
    assert values[:15].max() < 0.02
    assert values[-12:].max() < 0.02


def test_lips_do_not_move_faster_than_lips_can(sentence: Audio) -> None:
    values = gap(moved(sentence.samples, sentence.rate))
    speed = np.abs(values[2:] - values[:-2]) * 25  # over 40 ms, as a camera sees it
    assert speed.max() < 5.0  # 3.5 to 4.2 on real people
    assert np.percentile(speed, 95) < 2.5


@pytest.mark.parametrize("rate", [8000, 24000, 44100, 96000])
def test_rate_matters_little(sentence: Audio, rate: int) -> None:
    import soxr

    plain = gap(moved(soxr.resample(sentence.samples, sentence.rate, 16000)))
    other = gap(moved(np.asarray(soxr.resample(sentence.samples, sentence.rate, rate), np.float32), rate))
    n = min(len(plain), len(other))
    assert np.corrcoef(plain[:n], other[:n])[0, 1] > (0.8 if rate == 8000 else 0.95)  # a telephone has no hiss


@pytest.mark.parametrize("db", [-24, 10])
def test_level_does_not_matter(sentence: Audio, db: float) -> None:
    plain = gap(moved(sentence.samples, sentence.rate))
    other = gap(moved((10 ** (db / 20) * sentence.samples).astype(np.float32), sentence.rate))
    assert np.corrcoef(plain, other)[0, 1] > 0.95


def test_music_and_noise_move_the_mouth_less_than_speech(sentence: Audio) -> None:
    dice = np.random.default_rng(3)
    t = np.arange(5 * 16000) / 16000
    chord = sum(np.sin(2 * np.pi * k * hz * t) / k**1.5 for hz in (220, 277.2, 329.6) for k in range(1, 6))
    beat = 0.05 * chord * np.exp(-3 * (t % 0.5))
    hiss = 0.05 * dice.standard_normal(len(t)) * (1 + 0.1 * np.sin(2 * np.pi * 3 * t))
    speech = gap(moved(sentence.samples, sentence.rate)).std()
    assert gap(moved(beat.astype(np.float32)))[50:].std() < 0.7 * speech
    assert gap(moved(hiss.astype(np.float32)))[50:].max() < 0.02


def test_numbers_that_are_none_do_not_spread(sentence: Audio) -> None:
    sound = sentence.samples.copy()
    sound[9000:9010] = np.nan
    assert all(np.isfinite(m.weights).all() for m in moved(sound, sentence.rate))


@pytest.mark.parametrize(("file", "most"), [(FILE, 17), (OFFLINE, 45)])
def test_every_tick_gets_its_guess_in_time_and_in_order(sentence: Audio, file: Path, most: int) -> None:
    hearing = Hearing(network(file))
    late, told = [], 0
    for i, tick in enumerate(Ear(sentence.rate, bands=network(file).bands).hear(sentence.samples)):
        guesses = hearing.hear([tick])
        late += [i - (told + k) for k in range(len(guesses))]
        told += len(guesses)
    assert max(late) <= most  # for `hear` 170 ms, with half a window of 12.5 ms, and one tick more where a frame falls between two
    assert min(late) >= most - 1


def test_another_microphone_is_taken_out_of_what_is_heard_within_seconds() -> None:
    dice = np.random.default_rng(0)
    usual = np.linspace(0.6, 0.3, 20)
    plain = np.append(np.clip(usual + 0.1 * dice.standard_normal((1500, 20)), 0.05, 1), np.ones((1500, 1)), 1)
    tilted = plain.copy()
    tilted[:, :-1] += np.linspace(-0.04, 0.2, 20)
    one, two = Even(usual), Even(usual)
    apart = np.array([np.abs(one.hear(a) - two.hear(b)).mean() for a, b in zip(plain, tilted, strict=True)])
    assert apart[0] > 0.07
    assert apart[1200:].max() < 0.01
    assert not two.hear(np.zeros(21)).any()


@pytest.mark.parametrize("file", [FILE, OFFLINE])
def test_how_many_ticks_come_at_once_changes_nothing(sentence: Audio, file: Path) -> None:
    ticks = Ear(sentence.rate, bands=network(file).bands).hear(sentence.samples)
    whole, hearing, parts, at = Hearing(network(file)).hear(ticks), Hearing(network(file)), [], 0
    for count in np.random.default_rng(1).integers(0, 40, len(ticks)):
        parts += hearing.hear(ticks[at : at + count])
        at += count
    np.testing.assert_array_equal(np.array(parts), np.array(whole))


def test_is_much_faster_than_sound(sentence: Audio) -> None:
    begun, frames = time.process_time(), 0
    for _ in range(3):
        frames += len(list(Hear().drive([Speech(sentence)], Fraction(25))))
    assert frames / 25 / (time.process_time() - begun) > 15  # docs/benchmarks.md has the measured number


def test_a_telephone_two_channels_and_clipping_still_speak(sentence: Audio) -> None:
    import soxr

    plain = gap(moved(soxr.resample(sentence.samples, sentence.rate, 16000)))
    wide = np.asarray(soxr.resample(sentence.samples, sentence.rate, 96000), np.float32)
    narrow = np.asarray(soxr.resample(sentence.samples, sentence.rate, 8000), np.float32)
    loudest = np.abs(sentence.samples).max()
    clipped = np.clip(sentence.samples, -0.25 * loudest, 0.25 * loudest)
    for samples, rate, least in ((wide, 96000, 0.95), (narrow, 8000, 0.8), (clipped, sentence.rate, 0.7)):
        other = gap(moved(samples, rate))
        n = min(len(plain), len(other))
        assert np.corrcoef(plain[:n], other[:n])[0, 1] > least
        assert other[:n].max() < 0.36


def test_an_empty_channel_beside_the_voice_changes_nothing(sentence: Audio, tmp_path: Path) -> None:
    from huashen.media import read_audio

    both = np.stack([sentence.samples, np.zeros_like(sentence.samples)], 1)
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(sentence.rate)
        file.writeframes((np.clip(both, -1, 1) * 32767).astype("<i2").tobytes())
    heard = np.concatenate([piece.samples for piece in read_audio(tmp_path / "stereo.wav")])
    plain, other = gap(moved(sentence.samples, sentence.rate)), gap(moved(heard, sentence.rate))
    n = min(len(plain), len(other))
    assert np.corrcoef(plain[:n], other[:n])[0, 1] > 0.95


def test_silence_keeps_the_mouth_shut_before_between_and_after(sentence: Audio) -> None:
    still = np.zeros(2 * sentence.rate, np.float32)
    said = len(sentence.samples) / sentence.rate
    values = gap(moved(np.concatenate([still, sentence.samples, still, sentence.samples, still]), sentence.rate))
    for begin in (0.3, 2 + said + 0.3, 4 + 2 * said + 0.3):
        assert values[int(begin * 50) : int((begin + 1.4) * 50)].max() < 0.02
    assert gap(moved(np.zeros(3 * 16000, np.float32))).max() == 0


def test_two_voices_at_once_move_one_mouth_as_far_as_one(sentence: Audio) -> None:
    both = sentence.samples + np.roll(sentence.samples, sentence.rate) * np.float32(0.8)
    values = gap(moved(both, sentence.rate))
    assert 0.1 < np.percentile(values[25:-25], 95) < 0.28
    assert values.max() < 0.36


@pytest.mark.parametrize(("engine", "lookahead"), [("hear", 0.2), ("hear-offline", 0.48)])
@pytest.mark.parametrize("fps", [25, 30, 50])
def test_the_first_motion_comes_no_later_than_the_lookahead_and_50_ms(sentence: Audio, fps: int, engine: str, lookahead: float) -> None:
    come = 0

    def live() -> Iterator[Speech]:
        nonlocal come
        for piece in np.array_split(sentence.samples, len(sentence.samples) * 200 // sentence.rate):  # 5 ms each
            come += len(piece)
            yield Speech(Audio(piece, sentence.rate))

    driver = load("audio2face", engine)
    next(driver.drive(live(), Fraction(fps)))
    assert driver.lookahead == lookahead
    assert come / sentence.rate <= driver.lookahead + 0.05


def test_with_a_text_the_guess_looks_as_far_ahead_as_it_needs(sentence: Audio) -> None:
    for file, lookahead in ((FILE, 0.3), (OFFLINE, 0.48)):
        driver = load("audio2face", "visemes", guess=lambda file=file: Hearing(network(file)), sure_only=True, life=False)
        alone = Hear(file=file, life=False)
        assert driver.lookahead == lookahead
        drawn = [list(one.drive([Speech(sentence)], Fraction(25))) for one in (driver, alone)]
        for a, b in zip(*drawn, strict=True):  # nothing is marked, so the guess is all there is
            np.testing.assert_array_equal(a.weights, b.weights)

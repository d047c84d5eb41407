"""Mel spectra: what can be said of them without a reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huashen.ops.mel import BANDS, HOP, RATE, SILENCE, Mel, mel


def noise(count: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(5).standard_normal(count)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(places=st.lists(st.integers(0, 6000), max_size=8))
def test_chunking_does_not_change_columns(places: list[int]) -> None:
    sound = noise(6000)
    stream = Mel()
    columns = [column for piece in np.split(sound, sorted(places)) for column in stream.hear(piece)]
    np.testing.assert_array_equal(np.stack([*columns, *stream.end()], 1), mel(sound))


@pytest.mark.parametrize("count", [1, 2, 199, 200, 400, 401, 402, 999, 1000])
def test_a_sound_of_any_length_has_a_column_every_hop(count: int) -> None:
    assert mel(noise(count)).shape == (BANDS, 1 + count // HOP)


def test_no_sound_has_no_columns() -> None:
    assert mel(np.zeros(0, np.float32)).shape == (BANDS, 0)


def test_silence_is_the_floor() -> None:
    assert np.all(mel(np.zeros(3000, np.float32)) == SILENCE)


def test_a_column_needs_no_more_than_its_reach() -> None:
    stream = Mel()
    assert len(stream.hear(noise(401))) == 1
    assert len(stream.hear(noise(199))) == 1


@pytest.mark.parametrize(("hertz", "lowest", "highest"), [(200, 3, 3), (1000, 25, 26), (4000, 62, 63)])
def test_a_tone_stands_in_its_band(hertz: int, lowest: int, highest: int) -> None:
    # On Slaney's scale 55 Hz is 0.825, 200 Hz 3, 1000 Hz 15, 4000 Hz 35.16 and 7600 Hz 44.5; a band every 0.539.
    tone = (0.5 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)
    assert lowest <= int(np.argmax(mel(tone)[:, 40])) <= highest


def test_ten_times_louder_is_twenty_decibels() -> None:
    soft, loud = mel(0.2 * noise(4000)), mel(2 * noise(4000))
    np.testing.assert_allclose((loud - soft)[:, 3:-3], 20 * 8 / 100, atol=1e-4)

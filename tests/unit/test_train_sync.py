"""Fitting the filter that tells whether a mouth follows its sound."""

import numpy as np
import pytest

from huashen.ops import sync
from huashen.train.sync import Clip, Trial, fit, inputs, logistic, report


def noise_clip(name: str, late: float, taps: np.ndarray, seed: int) -> Clip:
    """A clip whose mouth is what a filter makes of its sound, `late` seconds before it."""
    random = np.random.default_rng(seed)
    bands = (10 * random.standard_normal((1200, sync.BANDS))).astype(np.float32)
    made = sync.guess(sync.levels(bands), taps)
    time = (np.arange(300) + 0.5) / 25
    at = np.clip(np.rint((time + late) * sync.TICKS).astype(int), 0, len(made) - 1)
    return Clip(name, name, bands, time, 0.1 + 0.02 * made[at, :3] / made[:, :3].std(0))


def test_a_known_filter_is_found_again_wherever_the_sound_is() -> None:
    taps = np.random.default_rng(0).standard_normal((len(sync.TAPS), sync.BANDS, 3))
    offsets = {"a": 0.0, "b": 0.2, "c": -0.12, "d": 0.04, "e": 0.0}
    clips = [noise_clip(name, late, taps, seed) for seed, (name, late) in enumerate(offsets.items())]
    unheard = noise_clip("f", 0.16, taps, 9)
    found = fit(clips, offsets)
    match = sync.match(sync.levels(unheard.bands), unheard.time, unheard.mouth, taps=found)
    assert match is not None
    assert match.offset == pytest.approx(0.16, abs=0.011)
    assert match.gap > 0.3
    assert match.confidence == 0.5  # nothing is known of how far a fresh filter can be trusted


def test_what_the_fit_hears_is_what_the_filter_hears() -> None:
    random = np.random.default_rng(1)
    heard, taps = random.standard_normal((80, sync.BANDS)), random.standard_normal((len(sync.TAPS), sync.BANDS, 6))
    place = np.array([0.0, 31.0, 79.0])
    np.testing.assert_allclose(inputs(heard, place) @ taps.reshape(-1, 6), sync.guess(heard, taps)[[0, 31, 79]])


def test_the_confidence_is_the_share_that_is_right() -> None:
    random = np.random.default_rng(2)
    tried = []
    for _ in range(4000):
        height = random.uniform(0, 1)
        right = random.random() < 1 / (1 + np.exp(-(8 * height - 4)))
        tried.append(Trial(5.0, bool(right), 0.0 if right else np.inf, np.array([1.0, height, 0.0, 0.0, 0.0]), height))
    weights = logistic(tried)
    assert weights[1] == pytest.approx(8, rel=0.15)
    assert -weights[0] / weights[1] == pytest.approx(0.5, abs=0.03)
    (line,) = report(tried, weights)
    assert line.startswith("5 s:")

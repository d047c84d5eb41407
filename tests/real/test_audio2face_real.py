"""The drivers that hear, against the mouths of real people."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from huashen.registry import load
from huashen.train.clips import Watched, watch
from huashen.types import ARKIT_INDEX, Audio, Floats, Speech

pytestmark = pytest.mark.real

FPS = Fraction(25)


@pytest.fixture(scope="module")
def speaker(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Fifteen seconds of a clip; the network that ships has learned from it, so its numbers here say only that it does what it did."""
    return watch(real / "clips" / "vasa_5.mp4", tmp_path_factory.mktemp("watched"), seconds=8.0)


def gap(sound: Floats, engine: str) -> np.ndarray:
    """Return the gap between the lips (docs/motion.md)."""
    frames = list(load("audio2face", engine, life=False).drive([Speech(Audio(sound, 16000))], FPS))
    w = {name: np.array([float(m.weights[i]) for m in frames]) for name, i in ARKIT_INDEX.items()}
    found = 0.30 * w["jawOpen"] * (1 - w["mouthClose"]) + 0.035 * w["mouthUpperUpLeft"] + 0.045 * w["mouthLowerDownLeft"]
    return np.maximum(found - 0.03 * w["mouthPucker"], 0.0)


def test_mouth_follows_its_own_sound_and_no_other(speaker: Watched) -> None:
    seen = speaker.mouth[:, 0]
    good = np.isfinite(seen)
    n = min(len(seen), int(len(speaker.sound) / 16000 * FPS))
    good = good[:n]
    heard = gap(speaker.sound, "hear")[:n]
    own = np.corrcoef(heard[good], seen[:n][good])[0, 1]
    assert own > 0.5
    assert own > np.corrcoef(gap(speaker.sound, "signal")[:n][good], seen[:n][good])[0, 1] + 0.1
    backwards = gap(speaker.sound[::-1].copy(), "hear")[:n]
    assert abs(np.corrcoef(backwards[good], seen[:n][good])[0, 1]) < 0.25
    assert 0.15 < np.percentile(heard[good], 95) < 0.26


def test_people_it_never_heard_speak_with_mouths_of_natural_size(real: Path) -> None:
    from huashen.media import read_audio

    for path in sorted((real / "speech").glob("*.wav")):
        sound = np.concatenate([piece.samples for piece in read_audio(path, rate=16000)])[: 10 * 16000]
        found = gap(sound, "hear")
        assert 0.13 < np.percentile(found, 95) < 0.25, path.name
        assert np.abs(np.diff(found)).mean() * 25 / np.percentile(found, 95) < 4.8, path.name
        assert found.min() < 0.01, path.name

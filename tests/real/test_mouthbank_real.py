"""A real clip speaks anew: seconds of it, no more, so that the test stays short."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from huashen import footage, media, studio, trail, weights
from huashen.face.track import track
from huashen.footage import Footage
from huashen.talking_head.bank import Bank
from huashen.talking_head.mouthbank import redrawn
from huashen.types import ARKIT, Audio, Floats, Motion

SECONDS, HELD = 14, 4


@pytest.fixture(scope="module")
def anchor(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """The first seconds of a news anchor."""
    folder = tmp_path_factory.mktemp("clip")
    whole = media.read_video(real / "clips" / "dfrf_cnn2.mp4")
    frames = (frame for frame in islice(whole.frames, SECONDS * 25))
    path = folder / "anchor.mp4"
    media.write_video(replace(whole, frames=frames), path)
    nowhere = np.full((478, 3), np.nan, np.float32)
    faces = track(frame.image for frame in media.read_video(path).frames)
    points = [nowhere if face is None else face.landmarks.points for face in faces]
    return footage.keep(folder / "kept", path, np.stack(points))


def gaps(images: Iterator[np.ndarray]) -> Floats:
    found = []
    for face in track(images):
        assert face is not None
        points = face.landmarks.points
        found.append(np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263]))
    return np.array(found, np.float32)


def test_held_out_frames_are_spoken_again_with_mouths_from_before(anchor: Footage) -> None:
    begin = (SECONDS - HELD) * 25 - 5  # before the clip turns round
    bank = Bank(anchor, until=begin)
    silent = Motion(np.zeros(len(ARKIT), np.float32), np.zeros(6, np.float32), Audio(np.zeros(640, np.float32), 16000))
    span = range(begin, begin + 75)
    wanted = ((silent, float(bank.gap[k]), float(bank.width[k])) for k in span)
    made = [frame.image for frame in redrawn(bank, wanted, Fraction(25), begin=begin)]
    real = list(anchor.images(span))
    assert len(made) == len(real)
    points = anchor.points[span.start : span.stop]
    unit = float(np.linalg.norm(points[0, 33] - points[0, 263]))
    errors = []
    for image, own, face in zip(made, real, points, strict=True):
        x, y = face[[61, 291], :2].mean(0)
        part = (slice(round(y - 0.28 * unit), round(y + 0.40 * unit)), slice(round(x - 0.45 * unit), round(x + 0.45 * unit)))
        errors.append(np.mean((image[part].astype(np.float32) - own[part]) ** 2))
        brows = round(float(face[[105, 334], 1].max()))
        np.testing.assert_array_equal(image[:brows], own[:brows])
    assert 10 * np.log10(255**2 / np.median(errors)) > 26
    opened, true = gaps(iter(made)), gaps(iter(real))
    assert np.corrcoef(opened, true)[0, 1] > 0.75
    assert 0.7 < opened.std() / true.std() < 1.25


def test_lips_are_shut_where_they_shall_be_while_the_clip_speaks(anchor: Footage) -> None:
    bank = Bank(anchor)
    silent = Motion(np.zeros(len(ARKIT), np.float32), np.zeros(6, np.float32), Audio(np.zeros(640, np.float32), 16000))
    made = (frame.image for frame in redrawn(bank, [(silent, *bank.wanted(silent))] * 40, Fraction(25)))
    assert np.percentile(gaps(made), 90) < 0.02
    assert np.percentile(bank.gap[:40], 90) > 0.03


def test_a_clip_given_as_a_file_is_prepared_once_and_speaks(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = media.read_video(real / "clips" / "sad_katie.mp4")
    media.write_video(replace(whole, frames=islice(whole.frames, 50)), tmp_path / "katie.mp4")
    store = weights.folder()
    monkeypatch.setattr(weights, "folder", lambda: store)
    monkeypatch.setattr(footage.config, "home", lambda: tmp_path)
    finder = trail.tracked
    looked = []
    monkeypatch.setattr("huashen.footage.tracked", lambda *given, **options: looked.append(1) or finder(*given, **options))
    for name in ("one", "two"):
        made = studio.sync(real / "clips" / "sad_katie.mp4", tmp_path / "katie.mp4", tmp_path / f"{name}.mp4", size=128)
        assert made.engines["talking_head"] == "mouthbank"
        assert (made.size, made.fps, made.frames) == ((128, 128), 25, 200)  # eight seconds of speech, two of pictures
    assert len(looked) == 1

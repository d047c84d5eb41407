"""One person through the shots of a clip (`huashen.shots`)."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from test_likeness import shot

from huashen import footage, media
from huashen.shots import persons, stretches
from huashen.types import Audio, Frame, Image, Video


def test_stretches_end_at_cuts_and_where_a_face_is_gone_for_long() -> None:
    seen = np.ones(60, bool)
    seen[[10, 11, 12]] = seen[30:45] = False
    cuts = np.repeat([0, 1], [20, 40])
    assert stretches(seen, cuts, Fraction(25)) == [(0, 20), (20, 30), (45, 60)]
    assert stretches(seen, np.zeros(60, int), Fraction(25)) == [(0, 30), (45, 60)]
    assert stretches(np.zeros(9, bool), np.zeros(9, int), Fraction(25)) == []


def test_stretches_join_the_person_they_are_most_like() -> None:
    def alike(one: Any, other: Any) -> float:  # faces are numbers here
        return 4.0 - abs(one - other)

    assert persons([[0, 1], [20], [1], [21, 22], []], [50, 10, 10, 20, 5], alike) == [0, 1, 0, 1, 0]  # type: ignore[list-item]
    assert persons([[], []], [3, 4], alike) == [0, 0]


@pytest.fixture(scope="module")
def interview(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people by turns, then side by side, she nearer to the camera, and he once more: ten frames each."""
    path = tmp_path_factory.mktemp("interview") / "clip.mp4"
    he, again, she = shot(real, "dfrf_cnn2.mp4", 150), shot(real, "dfrf_cnn2.mp4", 700), shot(real, "sad_katie.mp4", 150)

    def wide(image: Image) -> Image:
        return np.pad(image, ((0, 0), (256, 256), (0, 0)), "edge")

    far = cv2.resize(he, (320, 320), interpolation=cv2.INTER_AREA)
    both = np.concatenate([she, np.pad(far, ((96, 96), (96, 96), (0, 0)), "edge")], 1)
    order = [wide(he), wide(she), both, wide(again)]
    silent = Audio(np.zeros(0, np.float32), 0)
    media.write_video(Video((Frame(order[k // 10], silent, k) for k in range(40)), Fraction(25), (1024, 512), 0), path, crf=8)
    return path


@pytest.mark.parametrize("which", [None, (512.0, 250.0)])
def test_the_same_person_is_followed_through_cuts(interview: Path, which: footage.Which | None, tmp_path: Path) -> None:
    clip = footage.prepare(interview, which=which, folder=tmp_path / "kept")
    seen = clip.seen()
    assert seen[:10].all()
    assert not seen[10:20].any()  # she alone: left as she is
    assert seen[20:].all()
    assert (clip.points[20:30, 1, 0] > 512).all()  # he, though she is larger
    assert np.abs(clip.points[30:, 1, 0] - 512).max() < 200

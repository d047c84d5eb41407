"""Faces of all kinds: photographs, paintings, anime, glasses, beards, three-quarter views; and real clips."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from huashen.face import TABLE
from huashen.face.mediapipe import MediaPipe
from huashen.face.track import track

pytestmark = pytest.mark.real

# Outer corner of the eye at the left of the picture, then at the right, as one sees them, in shares of the width and height.
EYES = {
    "art_10.png": ((0.35, 0.424), (0.60, 0.40)), "art_15.png": ((0.245, 0.455), (0.567, 0.43)), "full3.png": ((0.263, 0.45), (0.558, 0.42)),
    "full_body_1.png": ((0.427, 0.203), (0.584, 0.18)), "happy1.png": ((0.359, 0.41), (0.667, 0.406)),
}  # fmt: skip


@pytest.fixture(scope="module")
def finder(weight: Callable[[str], Path]) -> MediaPipe:
    for name in TABLE.get("mediapipe").weights:
        weight(name)
    return MediaPipe()


def frames(path: Path, start: int, stop: int) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= stop:
                return
            if index >= start:
                yield frame.to_ndarray(format="rgb24")


def test_every_kind_of_face_is_found_once(finder: MediaPipe, real: Path) -> None:
    for path in sorted((real / "faces").iterdir()):
        image = np.asarray(Image.open(path).convert("RGB"))
        faces = finder.find(image)
        assert len(faces) == 1, path.name
        points = faces[0].landmarks.points
        eyes = np.linalg.norm(points[33, :2] - points[263, :2])
        assert 0.04 * image.shape[1] < eyes < 0.6 * image.shape[1], path.name
        # An iris lies between its eye's corners; the mouth below the nose, the nose below the eyes, along the face.
        down = points[152, :2] - points[10, :2]
        order = [points[index, :2] @ down for index in (10, 168, 1, 13, 152)]
        assert order == sorted(order), path.name
        for iris, a, b in ((468, 33, 133), (473, 362, 263)):
            share = (points[iris, :2] - points[a, :2]) @ (points[b, :2] - points[a, :2]) / ((points[b, :2] - points[a, :2]) ** 2).sum()
            assert 0.1 < share < 0.9, path.name


def test_eyes_lie_where_one_sees_them(finder: MediaPipe, real: Path) -> None:
    for name, places in EYES.items():
        image = np.asarray(Image.open(real / "faces" / name).convert("RGB"))
        points = finder.find(image)[0].landmarks.points
        for index, place in zip((33, 263), places, strict=True):
            assert points[index, :2] / (image.shape[1], image.shape[0]) == pytest.approx(place, abs=0.03), name


def test_turned_heads_turn_the_right_way(finder: MediaPipe, real: Path) -> None:
    def turn(name: str) -> np.ndarray:
        return finder.find(np.asarray(Image.open(real / "faces" / name).convert("RGB")))[0].head

    assert turn("art_15.png")[1] < -15  # looks to the left of the picture
    assert turn("full3.png")[1] < -10
    assert turn("art_16.jpg")[1] > 6
    assert turn("art_8.jpg")[2] > 10  # the crown leans to the right
    assert turn("full_body_1.png")[2] < -8
    assert turn("art_5.jpg")[:3] == pytest.approx([8, 0, 0], abs=8)


def test_a_scene_without_a_face_gives_none(finder: MediaPipe, real: Path) -> None:
    found = list(track(frames(real / "clips" / "w2l_test.mov", 310, 330), finder=finder))
    assert [f is not None for f in found] == [True] * 8 + [False] * 12  # the graphic begins with picture 318


def test_smoothing_keeps_the_mouth_of_a_talking_person(finder: MediaPipe, real: Path) -> None:
    clip = real / "clips" / "vasa_10.mp4"

    def gap(steady: float) -> np.ndarray:
        points = np.stack([f.landmarks.points for f in track(frames(clip, 0, 60), finder=finder, steady=steady) if f])
        assert len(points) == 60
        lips, eyes = points[:, 13, :2] - points[:, 14, :2], points[:, 33, :2] - points[:, 263, :2]
        return np.linalg.norm(lips, axis=1) / np.linalg.norm(eyes, axis=1)

    raw, smooth = gap(0), gap(0.002)
    assert np.subtract(*np.percentile(raw, (95, 5))) > 0.05  # somebody is talking
    assert np.subtract(*np.percentile(smooth, (95, 5))) == pytest.approx(np.subtract(*np.percentile(raw, (95, 5))), rel=0.02)
    assert np.corrcoef(raw, smooth)[0, 1] > 0.995

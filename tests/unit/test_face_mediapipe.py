"""The arithmetic round MediaPipe's networks, and its numbers on the example portrait."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huashen.errors import InputError
from huashen.face.mediapipe import MediaPipe, Region, _anchors, _from_region, _looks, _merge, cut, region_of

PARITY = Path(__file__).parents[1] / "parity" / "face_mediapipe.npz"


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    """What the MediaPipe package finds; see `origin` inside."""
    with np.load(PARITY) as stored:
        return dict(stored)


def apart(ours: np.ndarray, theirs: np.ndarray, eyes: float) -> tuple[float, float]:
    """Mean and largest distance in the plane, in distances of the outer eye corners."""
    distance = np.linalg.norm(ours[:, :2] - theirs[:, :2], axis=1) / eyes
    return float(distance.mean()), float(distance.max())


@pytest.mark.parametrize(("attention", "passes", "name"), [
    (False, 1, "plain"), (False, 3, "plain_video"), (True, 1, "refined"), (True, 3, "refined_video"),
])  # fmt: skip
def test_points_are_those_of_the_package(
    astronaut: Image.Image, reference: dict[str, np.ndarray], attention: bool, passes: int, name: str
) -> None:
    (face,) = MediaPipe(passes=passes, attention=attention).find(np.asarray(astronaut))
    theirs = reference[name]
    assert len(theirs) == (478 if attention else 468)
    ours = face.landmarks.points[: len(theirs)]
    eyes = float(np.linalg.norm(theirs[33, :2] - theirs[263, :2]))
    mean, most = apart(ours, theirs, eyes)
    assert mean < 0.0005
    assert most < 0.002
    assert np.abs(ours[:, 2] - theirs[:, 2]).max() < 0.002 * eyes


def test_the_iris_network_agrees_with_the_attention_mesh(astronaut: Image.Image, reference: dict[str, np.ndarray]) -> None:
    (face,) = MediaPipe(attention=False).find(np.asarray(astronaut))
    refined = reference["refined"]
    eyes = float(np.linalg.norm(refined[33, :2] - refined[263, :2]))
    mean, most = apart(face.landmarks.points[468:], refined[468:], eyes)
    assert mean < 0.015
    assert most < 0.025


def test_wrong_options_are_refused() -> None:
    with pytest.raises(InputError):
        MediaPipe(passes=0)
    with pytest.raises(InputError):
        MediaPipe(score=1.5)


def test_anchors_are_the_middles_of_cells() -> None:
    assert _anchors(2, 2) == pytest.approx(np.array(
        [[0.25, 0.25], [0.25, 0.25], [0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75], [0.75, 0.75], [0.75, 0.75]]
    ))  # fmt: skip
    assert len(_anchors(16, 2)) + len(_anchors(8, 6)) == 896  # the boxes of the short range network


def test_overlapping_boxes_become_their_weighted_mean() -> None:
    def box(x: float) -> np.ndarray:
        return np.array([[x, 0], [x + 10, 10], *[[x + 5, 5]] * 6], np.float32)

    found = _merge(np.stack([box(0), box(2), box(50)]), np.array([0.6, 0.9, 0.7], np.float32))
    assert [one.score for one in found] == pytest.approx([0.9, 0.7])
    assert found[0].box == pytest.approx([1.2, 0, 11.2, 10])  # (0·0.6 + 2·0.9) / 1.5
    assert found[0].points == pytest.approx(np.tile((6.2, 5.0), (6, 1)))
    assert found[1].box == pytest.approx([50, 0, 60, 10])


@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0])
def test_a_crop_and_its_points_agree(angle: float) -> None:
    yy, xx = np.mgrid[:200, :240]
    image = np.stack([xx, yy, 0 * xx], axis=-1).astype(np.uint8)  # a colour says where it is
    region = Region(120, 100, 80, angle)
    crop = cut(image, region, 160)
    for column, row in ((10, 20), (80, 80), (150, 40)):
        x, y, z = _from_region(np.array([[column, row, 8]], np.float32), region, 160)[0]
        assert crop[row, column, :2].astype(float) == pytest.approx([x, y], abs=1.0)
        assert z == pytest.approx(4)


def test_a_mirrored_crop_is_the_crop_mirrored() -> None:
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (20, 20, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    region = Region(80, 80, 64, 0.3)
    plain, mirrored = cut(image, region, 64), cut(image, region, 64, mirrored=True)
    # column c of the mirror is column 64 - c: positions, not pixels, are mirrored
    assert np.abs(mirrored[:, 1:].astype(int) - plain[:, :0:-1]).max() <= 2


def test_outside_the_picture_is_black_or_its_edge() -> None:
    image = np.full((40, 40, 3), 200, np.uint8)
    assert cut(image, Region(0, 0, 40), 40, border=0)[2, 2].tolist() == [0, 0, 0]
    assert cut(image, Region(0, 0, 40), 40)[2, 2].tolist() == [200, 200, 200]


def test_the_next_region_turns_with_the_eyes() -> None:
    points = np.zeros((468, 3), np.float32)
    points[:, :2] = np.random.default_rng(0).uniform(100, 200, (468, 2))
    points[33, :2], points[263, :2] = (120, 120), (180, 180)
    region = region_of(points)
    assert region.angle == pytest.approx(np.pi / 4)
    assert region.side == pytest.approx(1.5 * np.ptp(points[:, :2], axis=0).max(), rel=1e-5)


@pytest.mark.parametrize("size", [(512, 512), (3000, 700), (700, 3000), (97, 96)])
def test_looks_cover_every_pixel(size: tuple[int, int]) -> None:
    width, height = size
    for regions, _ in _looks(width, height, thorough=True):
        seen = np.zeros((height, width), bool)
        for r in regions:
            x0, y0 = max(0, int(r.x - r.side / 2)), max(0, int(r.y - r.side / 2))
            seen[y0 : int(np.ceil(r.y + r.side / 2)), x0 : int(np.ceil(r.x + r.side / 2))] = True
        assert seen.all()
    assert len(list(_looks(width, height, thorough=False))) == 1

"""The attention mesh: what is done between its four networks, and lips as the MediaPipe package sees them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huashen.face import attention
from huashen.face.attention import AttentionMesh
from huashen.face.mediapipe import MediaPipe
from huashen.ops import mesh

# The inner lip gap between points 13 and 14 in distances between the outer eye corners, by mediapipe 0.10.21,
# FaceMesh(static_image_mode=True, refine_landmarks=True); the plain mesh has art_6 at 0.015 and full_body_1 at 0.018.
GAPS = {
    "art_10.png": 0.0006, "art_15.png": 0.0004, "art_16.jpg": 0.0552, "art_2.jpg": 0.0136, "art_20.png": 0.0018,
    "art_5.jpg": 0.0035, "art_6.png": 0.0633, "art_7.png": 0.0044, "art_8.jpg": 0.0815, "full3.png": 0.0382,
    "full_body_1.png": 0.0467, "happy1.png": 0.1099,
}  # fmt: skip


@pytest.fixture(scope="module")
def network(weight: Callable[[str], Path]) -> AttentionMesh:
    weight("face_landmark_with_attention")
    return AttentionMesh()


def part(indices: list[int], ends: tuple[int, int] = (0, 1)) -> attention._Part:
    return attention._Part(lambda tensor: (tensor,), np.array(indices), ends, np.array([1.5, 2.0], np.float32), (16, 8))


def test_a_crop_is_sampled_as_the_operation_says() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(9, 11, 3)).astype(np.float32)
    matrix = np.array([[0.9, -0.4, 2.0], [0.3, 1.1, -2.0]], np.float32)
    out = attention._sample(features, matrix, (8, 6))
    assert out.shape == (6, 8, 3)
    outside = 0
    for row in range(6):
        for column in range(8):
            x, y = matrix @ (column + 0.5, row + 0.5, 1) - 0.5
            if not (0 <= x <= 10 and 0 <= y <= 8):
                outside += 1
                assert (out[row, column] == 0).all()
                continue
            value = np.zeros(3)
            for cy in range(9):
                for cx in range(11):
                    value += max(0, 1 - abs(x - cx)) * max(0, 1 - abs(y - cy)) * features[cy, cx]
            assert out[row, column] == pytest.approx(value, abs=1e-5)
    assert 5 < outside < 30  # both cases are seen


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.5])
def test_a_crop_lies_level_round_its_points(angle: float) -> None:
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    box = np.array([[-6, 0], [6, 0], [0, -2], [0, 2]])  # 12 wide, 4 high, level between the first two
    points = (box @ turn.T + (20, 30)).astype(np.float32)
    matrix = attention._to_features(points, part([0, 1, 2, 3]))
    corners = np.array([[0, 0], [16, 0], [16, 8], [0, 8], [8, 4]], np.float32)
    goal = np.array([[-9, -4], [9, -4], [9, 4], [-9, 4], [0, 0]]) @ turn.T + (20, 30)  # 1.5 times as wide, twice as high
    assert attention._moved(corners, matrix) == pytest.approx(goal, abs=1e-4)


def test_the_file_names_the_lips_and_the_eyes(network: AttentionMesh) -> None:
    lips, right, left = network._parts
    assert set(lips.indices) == set(mesh.UPPER_LIP.ravel()) | set(mesh.LOWER_LIP.ravel())
    assert lips.ends == (61, 291)
    for eye, upper, lower, ends in (
        (right, mesh.RIGHT_EYE_UPPER, mesh.RIGHT_EYE_LOWER, (33, 133)), (left, mesh.LEFT_EYE_UPPER, mesh.LEFT_EYE_LOWER, (362, 263)),
    ):  # fmt: skip
        assert set(eye.indices[:16]) == set(upper) | set(lower)  # the irises take the depth of these
        assert len(set(eye.indices)) == 71
        assert eye.ends == ends


def test_what_is_not_refined_is_the_mesh(network: AttentionMesh) -> None:
    crop = np.random.default_rng(0).uniform(size=(192, 192, 3)).astype(np.float32)
    points, presence = network.fit(crop)
    plain, _, _ = network._base(crop[None])
    plain = plain.reshape(468, 3)
    refined = np.concatenate([p.indices for p in network._parts])
    still = np.setdiff1d(np.arange(468), refined)
    assert points.shape == (478, 3)
    assert points.dtype == np.float32
    assert np.array_equal(points[still], plain[still])
    assert np.array_equal(points[:468, 2], plain[:, 2])  # no part has a depth of its own
    assert (points[refined, :2] != plain[refined, :2]).any(axis=1).all()
    for iris, eye in ((slice(468, 473), network._parts[1]), (slice(473, 478), network._parts[2])):
        assert points[iris, 2] == pytest.approx(plain[eye.indices[:16], 2].mean())
    assert presence < 0  # noise is no face


def test_a_face_is_certain(network: AttentionMesh, astronaut: Image.Image) -> None:
    face = np.asarray(astronaut.crop((130, 10, 322, 202)), np.float32) / 255
    assert network.fit(face)[1] > 4
    assert network.fit(face[::-1].copy())[1] < network.fit(face)[1]


@pytest.mark.real
def test_lips_part_as_far_as_the_package_sees_them(weight: Callable[[str], Path], real: Path) -> None:
    for name in ("face_detection_short_range", "face_detection_full_range", "face_landmark_with_attention"):
        weight(name)
    finder = MediaPipe(passes=1)
    for name, theirs in GAPS.items():
        with Image.open(real / "faces" / name) as picture:
            points = finder.find(np.asarray(picture.convert("RGB")))[0].landmarks.points[:, :2]
        gap = np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263])
        assert gap == pytest.approx(theirs, abs=0.003), name

"""Head pose: signs, inverses, and the fit to a mesh."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huashen.face.pose import MODEL, STILL, angles, head, rotation

NOSE = np.array([0.0, 0.0, -1.0])  # a nose points towards the viewer


def mesh(turn: tuple[float, float, float], scale: float = 130.0) -> np.ndarray:
    """A mean face turned, in pixels of a picture; the points no one looks at are nowhere."""
    points = np.full((478, 3), np.nan, np.float32)
    points[list(STILL)] = MODEL @ rotation(np.array(turn, np.float32)).T * scale + (300, 200, 7)
    return points


def test_signs_are_those_of_the_head_convention() -> None:
    x, y, _ = rotation(np.array([20, 0, 0], np.float32)) @ NOSE
    assert y == pytest.approx(np.sin(np.radians(20)))  # pitch: + looks down, y runs down
    assert x == pytest.approx(0)
    x, y, _ = rotation(np.array([0, 20, 0], np.float32)) @ NOSE
    assert x == pytest.approx(np.sin(np.radians(20)))  # yaw: + turns to the viewer's right
    assert y == pytest.approx(0)
    x, y, _ = rotation(np.array([0, 0, 20], np.float32)) @ (0, -1, 0)
    assert x == pytest.approx(np.sin(np.radians(20)))  # roll: + tilts clockwise, the crown goes right


@given(st.floats(-80, 80), st.floats(-80, 80), st.floats(-170, 170))
def test_angles_undo_rotation(pitch: float, yaw: float, roll: float) -> None:
    assert angles(rotation(np.array([pitch, yaw, roll]))) == pytest.approx([pitch, yaw, roll, 0, 0, 0], abs=1e-3)


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(-170, 170), st.floats(20, 2000))
def test_a_turned_mean_face_gives_its_turn(pitch: float, yaw: float, roll: float, scale: float) -> None:
    assert head(mesh((pitch, yaw, roll), scale)) == pytest.approx([pitch, yaw, roll, 0, 0, 0], abs=0.05)


def test_a_mirrored_face_turns_the_other_way() -> None:
    pairs = {33: 263, 133: 362, 130: 359, 243: 463, 21: 251, 54: 284, 103: 332, 67: 297, 162: 389, 127: 356, 234: 454,
             71: 301, 143: 372, 116: 345, 122: 351}  # fmt: skip
    other = {**pairs, **{b: a for a, b in pairs.items()}}
    points = mesh((10, 25, -8))
    mirrored = points.copy()
    for index in STILL:
        mirrored[index] = points[other.get(index, index)] * (-1, 1, 1)
    assert head(mirrored) == pytest.approx([10, -25, 8, 0, 0, 0], abs=0.2)


def test_noise_moves_the_pose_little() -> None:
    rng = np.random.default_rng(0)
    points = mesh((5, -12, 3))
    noisy = points + rng.normal(0, 0.01 * 130, points.shape).astype(np.float32)
    assert head(noisy) == pytest.approx(head(points), abs=1.0)

"""The standard crop of a face and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huashen.errors import InputError
from huashen.face.align import Alignment, align
from huashen.face.pose import MODEL, STILL


def mesh(angle: float, scale: float, x: float, y: float) -> np.ndarray:
    c, s = np.cos(np.radians(angle)) * scale, np.sin(np.radians(angle)) * scale
    points = np.zeros((478, 3), np.float32)
    points[list(STILL), :2] = MODEL[:, :2] @ np.array([[c, s], [-s, c]]) + (x, y)
    return points


@given(st.floats(-180, 180), st.floats(30, 900), st.floats(-500, 3000), st.floats(-500, 3000))
def test_eyes_come_to_their_place_however_the_face_lies(angle: float, scale: float, x: float, y: float) -> None:
    points = mesh(angle, scale, x, y)
    eyes = align(points, 256, eyes=0.4, top=0.35).to_crop(points)[[33, 263], :2]
    assert eyes[0] == pytest.approx([256 * 0.3, 256 * 0.35], abs=0.6)
    assert eyes[1] == pytest.approx([256 * 0.7, 256 * 0.35], abs=0.6)


def test_points_go_there_and_back() -> None:
    rng = np.random.default_rng(0)
    way = align(mesh(33, 120, 300, 220), 192)
    points = rng.uniform(0, 600, (50, 3)).astype(np.float32)
    assert way.to_picture(way.to_crop(points)) == pytest.approx(points, abs=1e-2)
    assert way.to_crop(points)[:, 2] == pytest.approx(points[:, 2] * way.scale)


def test_the_crop_shows_what_lies_at_the_points() -> None:
    yy, xx = np.mgrid[:400, :500]
    image = np.stack([xx / 2, yy / 2, 0 * xx], axis=-1).astype(np.uint8)  # a colour says where it is, in steps of two pixels
    way = align(mesh(20, 100, 250, 200), 128)
    crop = way.crop(image)
    at = way.to_picture(np.array([[30, 40], [90, 100]], np.float32))
    for (x, y), (column, row) in zip(at, [(30, 40), (90, 100)], strict=True):
        assert crop[row, column, :2].astype(float) == pytest.approx([x / 2, y / 2], abs=1.01)


def test_a_much_smaller_crop_averages_and_stays_in_place() -> None:
    yy, xx = np.mgrid[:1200, :1200]
    stripes = ((xx % 2) * 255).astype(np.uint8)
    image = np.stack([stripes, xx // 5, yy // 5], axis=-1).astype(np.uint8)
    way = align(mesh(0, 700, 600, 600), 64)
    assert way.scale < 0.5
    crop = way.crop(image)
    assert np.abs(crop[5:-5, 5:-5, 0].astype(float) - 127).max() < 14
    x, y = way.to_picture(np.array([[20, 30]], np.float32))[0]
    assert crop[30, 20, 1:].astype(float) == pytest.approx([x / 5, y / 5], abs=1.5)


def test_pasting_the_own_crop_changes_little_and_only_inside() -> None:
    yy, xx = np.mgrid[:300, :300]
    image = np.stack([xx * 0.8, yy * 0.8, (xx + yy) * 0.4], axis=-1).astype(np.uint8)
    before = image.copy()
    way = align(mesh(-25, 60, 150, 140), 160)
    mask = np.zeros((160, 160), np.float32)
    mask[30:130, 30:130] = 1
    out = way.paste(image, way.crop(image), mask)
    assert np.abs(out.astype(int) - image).max() <= 2
    assert np.array_equal(image, before)
    black = way.paste(image, np.zeros((160, 160, 3), np.uint8), mask)
    corners = way.to_picture(np.array([[29, 29], [130, 29], [130, 130], [29, 130]], np.float32))
    changed = np.argwhere((black != image).any(axis=-1))[:, ::-1]
    assert (changed >= corners.min(axis=0) - 1.5).all()
    assert (changed <= corners.max(axis=0) + 1.5).all()
    middle = way.to_picture(np.array([[80, 80]], np.float32))[0].round().astype(int)
    assert (black[middle[1], middle[0]] == 0).all()


def test_a_face_outside_the_picture_is_not_pasted() -> None:
    image = np.full((50, 50, 3), 9, np.uint8)
    way = align(mesh(0, 60, 900, 900), 64)
    assert np.array_equal(way.paste(image, way.crop(image) * 0, np.ones((64, 64), np.float32)), image)


def test_points_in_one_place_are_refused() -> None:
    with pytest.raises(InputError):
        align(np.zeros((478, 3), np.float32), 128)


def test_inverse_undoes_the_matrix() -> None:
    way = Alignment(np.array([[0.3, -0.4, 11.0], [0.4, 0.3, -5.0]]), 64)
    both = np.vstack([way.matrix, (0, 0, 1)]) @ np.vstack([way.inverse, (0, 0, 1)])
    assert both == pytest.approx(np.eye(3), abs=1e-12)
    assert way.scale == pytest.approx(0.5)

"""How blurred a picture is, and drawn teeth that are no sharper."""

import cv2
import numpy as np
import pytest

from huashen.ops import mouth
from huashen.ops.image import blur_of
from huashen.types import Image


def squares(blur: float, *, noise: float = 0.0) -> Image:
    dice = np.random.default_rng(0)
    drawn = np.full((200, 200), 60, np.float32)
    for _ in range(12):
        x, y = (int(v) for v in dice.integers(0, 170, 2))
        cv2.rectangle(drawn, (x, y), (x + 60, y + 50), float(dice.integers(40, 220)), -1)
    if blur:
        drawn = cv2.GaussianBlur(drawn, (0, 0), blur)
    drawn = drawn + dice.normal(0, noise, drawn.shape)
    return np.repeat(np.clip(drawn, 0, 255).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("blur", [1.5, 2.0, 3.0, 4.0])
def test_blur_is_read_off_the_sharpest_edges(blur: float, noise: float) -> None:
    assert blur_of(squares(blur, noise=noise)) == pytest.approx(blur, rel=0.12)


def test_a_sharp_picture_is_as_sharp_as_pixels_can_be_and_an_empty_one_counts_as_sharp() -> None:
    assert blur_of(squares(0)) == pytest.approx(0.75, abs=0.1)
    assert blur_of(np.full((40, 40, 3), 90, np.uint8)) == pytest.approx(0.3)


def test_softened_teeth_keep_their_colour_and_lose_their_edges() -> None:
    colours = mouth.palette(np.array([200.0, 160, 140], np.float32), np.array([180.0, 100, 100], np.float32))
    row = mouth.teeth(
        colours, widths=mouth.UPPER_TEETH, edge=mouth.UPPER_EDGE, height=9.5 * mouth.MM, up=True, half=0.3, bow=0.0, scale=200
    )
    soft = mouth.softened(row, 3.0)
    assert mouth.softened(row, 0.1) is row
    assert np.abs(np.diff(soft.alpha, axis=0)).max() < 0.4 * np.abs(np.diff(row.alpha, axis=0)).max()
    both = (row.alpha > 0.99) & (soft.alpha > 0.99)
    np.testing.assert_allclose(soft.colour[both].mean(0), row.colour[both].mean(0), atol=3)
    rim = (soft.alpha > 0.05) & (row.alpha < 0.05)
    assert rim.any()
    assert soft.colour[rim].mean() > 0.4 * row.colour[both].mean(), "a dark rim"

"""Filling holes (`huashen.ops.fill`)."""

import numpy as np
import pytest

from huashen.ops.fill import fill, go_on


def holed(shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    known = np.ones(shape, np.float32)
    known[20:45, 25:60] = 0
    return known


@pytest.mark.parametrize("filling", [fill, lambda image, known: go_on(image, known, reach=10)], ids=["fill", "go_on"])
class TestBoth:
    def test_what_is_known_is_kept_to_the_pixel(self, filling) -> None:
        image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        known = holed()
        found = filling(image, known)
        np.testing.assert_array_equal(found[known == 1], image[known == 1])
        assert found.dtype == np.uint8

    def test_what_is_hidden_does_not_show(self, filling) -> None:
        image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        other = image.copy()
        known = holed()
        other[known == 0] = 255 - other[known == 0]
        np.testing.assert_array_equal(filling(image, known), filling(other, known))

    def test_one_colour_stays_one_colour(self, filling) -> None:
        image = np.full((60, 80, 3), (40, 130, 220), np.uint8)
        image[holed() == 0] = 0
        assert np.abs(filling(image, holed()).astype(int) - (40, 130, 220)).max() <= 1

    def test_the_inputs_are_not_changed(self, filling) -> None:
        image, known = np.random.default_rng(2).integers(0, 256, (60, 80, 3), dtype=np.uint8), holed()
        before = image.tobytes(), known.tobytes()
        filling(image, known)
        assert (image.tobytes(), known.tobytes()) == before

    def test_nothing_to_fill_is_the_picture_itself(self, filling) -> None:
        image = np.random.default_rng(3).integers(0, 256, (33, 21, 3), dtype=np.uint8)
        np.testing.assert_array_equal(filling(image, np.ones((33, 21), np.float32)), image)

    def test_a_picture_with_nothing_known_gives_no_nonsense(self, filling) -> None:
        found = filling(np.full((16, 16, 3), 90, np.uint8), np.zeros((16, 16), np.float32))
        assert found.shape == (16, 16, 3)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 3), (64, 9)], ids=str)
    def test_small_and_narrow_pictures_are_filled(self, filling, shape: tuple[int, int]) -> None:
        known = np.ones(shape, np.float32)
        known[shape[0] // 2, shape[1] // 2] = 0
        assert filling(np.full((*shape, 3), 77, np.uint8), known).shape == (*shape, 3)


def test_a_ramp_is_continued_smoothly() -> None:
    y, x = np.mgrid[:60, :80]
    image = np.stack([2 * x + 20, 3 * y + 20, 0 * x + 50], -1).astype(np.uint8)
    known = holed()
    empty = image.copy()
    empty[known == 0] = 0
    found = fill(empty, known).astype(int)
    # A membrane over a plane is the plane.
    assert np.abs(found - image).mean(axis=-1)[known == 0].mean() < 8
    assert np.abs(found - image).max() < 40


def test_filled_values_lie_between_those_at_the_edge() -> None:
    image = np.full((60, 80, 3), 100, np.uint8)
    image[:, 40:] = 180
    known = holed()
    found = fill(image, known)[known == 0]
    assert found.min() >= 99
    assert found.max() <= 181


def test_texture_goes_on_into_the_hole() -> None:
    """Stripes that end at a hole are seen in it again; a smooth filling has none."""
    stripes = np.where(np.arange(120) // 3 % 2 == 0, 60, 200).astype(np.uint8)
    image = np.repeat(np.repeat(stripes[None, :, None], 90, 0), 3, 2)
    known = np.ones((90, 120), np.float32)
    known[50:] = 0
    inside = (slice(54, 60), slice(10, 110))
    assert go_on(image, known, reach=30)[inside].astype(float).std() > 40
    assert fill(image, known)[inside].astype(float).std() < 25


def test_far_from_the_edge_only_the_smooth_filling_is_left() -> None:
    image = np.random.default_rng(4).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    known = np.ones((90, 60), np.float32)
    known[20:] = 0
    np.testing.assert_allclose(go_on(image, known, reach=10)[60:], fill(image, known)[60:], atol=1)

"""Another background behind a picture's person."""

from dataclasses import replace

import numpy as np
import pytest

from huashen.avatar import Avatar
from huashen.backdrop import NAMES, placed
from huashen.errors import InputError
from huashen.types import Box, Face, Landmarks


@pytest.fixture
def avatar() -> Avatar:
    """A red square person before blue, with an edge of mixed colours one pixel wide."""
    mask = np.zeros((80, 100), np.float32)
    mask[20:60, 30:70] = 1
    mask[19, 30:70] = 0.5
    person, wall = np.array([200, 30, 30], np.float32), np.array([10, 20, 220], np.float32)
    image = mask[..., None] * person + (1 - mask[..., None]) * wall
    points = np.tile(np.array([50, 40, 0], np.float32), (478, 1))
    return Avatar(np.rint(image).astype(np.uint8), Face(Box(30, 20, 70, 60), Landmarks(points), 1.0), mask, "me")


@pytest.mark.parametrize("name", ["studio", "green", "white", "black", "blue", "#203040"])
def test_the_old_background_is_gone_and_the_person_stays(avatar: Avatar, name: str) -> None:
    before = avatar.image.copy()
    made = placed(avatar, name).image
    assert np.array_equal(avatar.image, before)
    assert np.abs(made[25:55, 35:65].astype(int) - avatar.image[25:55, 35:65]).max() <= 1
    behind = {"green": (0, 177, 64), "white": (255, 255, 255), "black": (0, 0, 0), "blue": (0, 71, 187), "#203040": (32, 48, 64)}.get(name)
    if behind:
        assert np.abs(made[5, 5].astype(int) - behind).max() <= 1
        # at the edge half of the person's own red is left, and none of the old wall
        wanted = 0.5 * np.array([200, 30, 30]) + 0.5 * np.array(behind)
        assert np.abs(made[19, 50] - wanted).max() < 25


def test_blur_takes_nothing_of_the_person_into_the_background(avatar: Avatar) -> None:
    made = placed(avatar, "blur").image
    assert np.abs(made[10, 50].astype(int) - (10, 20, 220)).max() < 12
    assert np.abs(made[40, 50].astype(int) - (200, 30, 30)).max() <= 1
    assert placed(avatar, "original") is avatar


@pytest.mark.parametrize("name", [name for name in NAMES if name != "original"])
def test_a_person_who_cannot_be_told_from_the_background_is_refused(avatar: Avatar, name: str) -> None:
    with pytest.raises(InputError, match="me cannot be told"):
        placed(replace(avatar, mask=None), name)


@pytest.mark.parametrize("name", ["beach", "#12", "#gggggg", ""])
def test_an_unknown_background_is_told(avatar: Avatar, name: str) -> None:
    with pytest.raises(InputError, match="studio"):
        placed(avatar, name)

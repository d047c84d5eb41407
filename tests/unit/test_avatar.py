"""Preparing a person (`huashen.avatar`)."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from huashen.avatar import Avatar, from_image
from huashen.errors import InputError, NoFaceError
from huashen.face.mediapipe import MediaPipe
from huashen.types import Image
from synthetic import portrait


@pytest.fixture(scope="module")
def image(astronaut: Picture.Image) -> Image:
    return np.asarray(astronaut)


@pytest.fixture(scope="module")
def two(image: Image) -> Image:
    """A large face on the left and the same, two thirds as large, on the right."""
    found = np.full((512, 860, 3), 128, np.uint8)
    found[:, :512] = image
    found[60:400, 520:860] = np.asarray(Picture.fromarray(image).resize((340, 340), Picture.Resampling.LANCZOS))
    return found


def middle(avatar: Avatar) -> np.ndarray:
    return avatar.face.landmarks.points[:468, :2].mean(0)


def test_the_person_is_told_from_the_background(image: Image) -> None:
    avatar = from_image(image, name="astronaut", source=Path("x/astronaut.png"))
    assert avatar.mask is not None
    assert avatar.mask.shape == (512, 512)
    assert avatar.mask.dtype == np.float32
    x, y = middle(avatar).astype(int)
    assert avatar.mask[y - 20 : y + 20, x - 20 : x + 20].min() > 0.95
    assert avatar.mask[30:100, 20:80].mean() < 0.3, "the flag is not the person"
    assert (avatar.name, avatar.source) == ("astronaut", Path("x/astronaut.png"))
    with pytest.raises(FrozenInstanceError):
        avatar.name = "other"  # type: ignore[misc]


def test_the_largest_face_speaks_unless_another_is_named(two: Image) -> None:
    assert middle(from_image(two))[0] < 512
    assert middle(from_image(two, which=0))[0] < 512
    assert middle(from_image(two, which=1))[0] > 520


@pytest.mark.parametrize(("point", "right"), [((690, 170), True), ((859, 0), True), ((220, 120), False), ((0, 511), False)])
def test_a_point_names_the_face_nearest_to_it(two: Image, point: tuple[float, float], right: bool) -> None:
    assert bool(middle(from_image(two, which=point))[0] > 512) is right


@pytest.mark.parametrize("which", [2, -1])
def test_a_face_that_is_not_there_is_refused(two: Image, which: int) -> None:
    with pytest.raises(InputError, match=r"2 face|2 张") as caught:
        from_image(two, which=which, source=Path("group.png"))
    assert "group.png" in str(caught.value)


def test_a_box_limits_the_search_and_points_stay_in_the_picture(two: Image) -> None:
    inside = from_image(two, box=(530, 70, 850, 380))
    assert middle(inside)[0] > 520
    free = from_image(two, which=1)
    unit = float(np.linalg.norm(free.face.landmarks.points[33] - free.face.landmarks.points[263]))
    apart = np.linalg.norm((inside.face.landmarks.points - free.face.landmarks.points)[:468, :2], axis=1)
    assert apart.mean() < 0.05 * unit
    assert inside.face.box.x0 == pytest.approx(free.face.box.x0, abs=0.1 * unit)
    assert inside.image.shape == two.shape


@pytest.mark.parametrize("box", [(0, 0, 900, 100), (-5, 0, 100, 100), (300, 300, 200, 400), (10, 10, 20, 300)], ids=str)
def test_a_box_outside_the_picture_is_refused(two: Image, box: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="860x512"):
        from_image(two, box=box)


def test_a_picture_without_a_face_is_refused_by_name(two: Image) -> None:
    y, x = np.mgrid[:120, :160]
    stripes = np.stack([x, y, x + y], -1).astype(np.uint8)
    with pytest.raises(NoFaceError, match=r"meadow\.png.*--box") as caught:
        from_image(stripes, source=Path("meadow.png"))
    assert "\n" not in str(caught.value)
    with pytest.raises(NoFaceError, match=r"box|方框"):
        from_image(two, box=(0, 400, 100, 500))


def test_the_picture_is_not_copied_or_changed(image: Image) -> None:
    before = image.tobytes()
    avatar = from_image(image)
    assert avatar.image is image
    assert image.tobytes() == before


@pytest.mark.parametrize("size", [(256, 256), (300, 200), (180, 320), (700, 640), (1024, 512)], ids=str)
def test_at_another_size_the_points_stay_on_the_face(image: Image, size: tuple[int, int]) -> None:
    avatar = from_image(image).fitted(size)
    assert avatar.image.shape == (size[1], size[0], 3)
    assert avatar.image.dtype == np.uint8
    assert avatar.mask is not None
    assert avatar.mask.shape == (size[1], size[0])
    found = MediaPipe().find(avatar.image)[0].landmarks.points[:468]
    unit = float(np.linalg.norm(found[33, :2] - found[263, :2]))
    apart = np.linalg.norm((found - avatar.face.landmarks.points[:468])[:, :2], axis=1) / unit
    assert apart.mean() < 0.03
    box, points = avatar.face.box, avatar.face.landmarks.points[:468]
    np.testing.assert_allclose((box.x0, box.y0, box.x1, box.y1), (*points[:, :2].min(0), *points[:, :2].max(0)), atol=0.5)
    assert np.ptp(points[:, 2]) / unit == pytest.approx(np.ptp(from_image(image).face.landmarks.points[:468, 2]) / 61, rel=0.25)


def test_the_same_size_is_the_same_avatar() -> None:
    avatar = portrait((96, 80))
    assert avatar.fitted((96, 80)) is avatar


@pytest.mark.parametrize("shift", [(0, 0), (90, 0), (-90, 40)], ids=str)
def test_another_shape_is_cut_round_the_face(shift: tuple[int, int]) -> None:
    avatar = portrait((300, 200), share=0.2)
    moved = np.roll(avatar.image, shift[0], 1)
    points = avatar.face.landmarks.points + np.array([shift[0], 0, 0], np.float32)
    tall = Avatar(moved, type(avatar.face)(avatar.face.box, type(avatar.face.landmarks)(points), 1.0)).fitted((100, 200))
    x = tall.face.landmarks.points[:468, 0].mean()
    assert 40 <= x <= 60
    # What is cut out is the picture itself.
    left = round(float(points[:468, 0].mean() - x))
    np.testing.assert_allclose(tall.image.astype(int), moved[:, left : left + 100], atol=2)


def test_the_fitted_avatar_shares_nothing_with_the_first() -> None:
    avatar = portrait((128, 128))
    before = avatar.image.tobytes(), avatar.face.landmarks.points.tobytes()
    smaller = avatar.fitted((64, 96))
    smaller.image[:] = 0
    smaller.face.landmarks.points[:] = 0
    assert (avatar.image.tobytes(), avatar.face.landmarks.points.tobytes()) == before

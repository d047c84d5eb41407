"""The puppet: what moves, what does not, and how far, on a drawn face and measured with the landmark model on the example portrait."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Picture

from huashen.avatar import Avatar, from_image
from huashen.face.mediapipe import MediaPipe
from huashen.talking_head.rig import JAW, Rig
from huashen.types import ARKIT, ARKIT_INDEX, Floats, Image
from synthetic import outside, portrait

AHEAD = np.zeros(6, np.float32)


def weights(**values: float) -> Floats:
    """Return (52,) weights; a name without a side sets both."""
    found = np.zeros(len(ARKIT), np.float32)
    for name, value in values.items():
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in ARKIT_INDEX:
                found[ARKIT_INDEX[full]] = value
    assert np.count_nonzero(found) >= np.count_nonzero(list(values.values())), "a name is no blend shape"
    return found


def pose(**degrees: float) -> Floats:
    return np.array([degrees.get(name, 0.0) for name in ("pitch", "yaw", "roll", "x", "y", "z")], np.float32)


def psnr(one: Image, two: Image, where: np.ndarray) -> float:
    error = float(np.mean((one[where].astype(np.float64) - two[where]) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


@pytest.fixture(scope="module")
def drawn() -> Avatar:
    return portrait((160, 176))


@pytest.fixture(scope="module")
def drawn_rig(drawn: Avatar) -> Rig:
    return Rig(drawn)


@pytest.fixture(scope="module")
def finder() -> MediaPipe:
    return MediaPipe()


@pytest.fixture(scope="module")
def person(astronaut: Picture.Image) -> Avatar:
    return from_image(np.asarray(astronaut))


@pytest.fixture(scope="module")
def rig(person: Avatar) -> Rig:
    return Rig(person)


def seen(finder: MediaPipe, image: Image) -> Floats:
    """Return (478, 2) landmarks in distances between the eyes' outer corners, from the point between them."""
    found = finder.find(image)
    assert found, "the drawn frame shows no face any more"
    points = found[0].landmarks.points[:, :2]
    return (points - points[[33, 263]].mean(0)) / np.linalg.norm(points[33] - points[263])


def gap(points: Floats) -> float:
    return float(np.linalg.norm(points[13] - points[14]))


def width(points: Floats) -> float:
    return float(np.linalg.norm(points[61] - points[291]))


def eye_openness(points: Floats) -> float:
    """Return the mean height of both eyes over their width (Soukupova and Cech, Real-Time Eye Blink Detection, 2016)."""
    ratios = [
        (np.linalg.norm(points[a] - points[b]) + np.linalg.norm(points[c] - points[d])) / 2 / np.linalg.norm(points[e] - points[f])
        for a, b, c, d, e, f in ((160, 144, 158, 153, 33, 133), (385, 380, 387, 373, 362, 263))
    ]
    return float(np.mean(ratios))


# On a drawn face


def test_at_rest_a_picture_with_a_shut_mouth_stays_as_it_is(drawn: Avatar, drawn_rig: Rig) -> None:
    np.testing.assert_array_equal(drawn_rig.draw(weights(), AHEAD), drawn.image)


def test_at_rest_an_open_mouth_is_shut_and_nothing_outside_the_face_changes() -> None:
    open_mouthed = portrait((160, 176), shut=False)
    image = Rig(open_mouthed).draw(weights(), AHEAD)
    elsewhere = outside(image, open_mouthed.face.landmarks.points, 0.1)
    np.testing.assert_array_equal(image[elsewhere], open_mouthed.image[elsewhere])
    eyes = np.zeros(image.shape[:2], bool)
    eyes[: int(open_mouthed.face.landmarks.points[[33, 263], 1].max())] = True
    assert psnr(image, open_mouthed.image, eyes) > 40
    assert not np.array_equal(image, open_mouthed.image)


def test_expressions_leave_everything_outside_the_head_alone(drawn: Avatar, drawn_rig: Rig) -> None:
    elsewhere = outside(drawn.image, drawn.face.landmarks.points, 0.35)
    assert elsewhere.mean() > 0.3
    dice = np.random.default_rng(0)
    for _ in range(12):
        image = drawn_rig.draw(dice.uniform(0, 1, len(ARKIT)).astype(np.float32), AHEAD)
        np.testing.assert_array_equal(image[elsewhere], drawn.image[elsewhere])


def test_a_line_behind_the_person_stays_while_the_head_turns() -> None:
    """The line lies beside the head, within reach of its motion, where the mask says there is background."""
    avatar = portrait((256, 192), share=0.2)
    image = avatar.image.copy()
    image[:, 30:33] = (255, 255, 0)
    image[8:10] = (255, 0, 0)
    avatar = replace(avatar, image=image)
    rig = Rig(avatar)
    for turn in (pose(yaw=8, roll=4), pose(pitch=-6, x=0.05), pose(yaw=-8, pitch=5, z=-0.1)):
        drawn = rig.draw(weights(jawOpen=0.5), turn)
        np.testing.assert_array_equal(drawn[:, 30:33], image[:, 30:33])
        np.testing.assert_array_equal(drawn[8:10, :60], image[8:10, :60])
        assert not np.array_equal(drawn, image)


@settings(max_examples=25, deadline=None)
@given(
    shapes=arrays(np.float32, len(ARKIT), elements=st.floats(0, 1, width=32)),
    head=arrays(np.float32, 6, elements=st.floats(-1, 1, width=32)),
)
def test_any_motion_draws_a_picture(drawn: Avatar, drawn_rig: Rig, shapes: Floats, head: Floats) -> None:
    image = drawn_rig.draw(shapes, head * np.array([15, 15, 15, 0.2, 0.2, 0.2], np.float32))
    assert image.shape == drawn.image.shape
    assert image.dtype == np.uint8
    assert not np.shares_memory(image, drawn.image)


def test_drawing_leaves_no_trace_in_the_rig(drawn_rig: Rig) -> None:
    wide_open, turned = weights(jawOpen=0.9, eyeBlink=0.7), pose(yaw=6, pitch=3)
    first = drawn_rig.draw(weights(jawOpen=0.3), AHEAD)
    drawn_rig.draw(wide_open, turned)
    np.testing.assert_array_equal(drawn_rig.draw(weights(jawOpen=0.3), AHEAD), first)


@pytest.mark.parametrize("name", ["jawOpen", "mouthClose", "mouthPucker", "mouthStretch", "eyeBlink", "eyeLookDown", "browInnerUp"])
def test_a_little_more_motion_changes_the_picture_a_little(drawn_rig: Rig, name: str) -> None:
    """No shape jumps anywhere on its way, as a threshold in the drawing would make it do."""
    base = {"jawOpen": 0.4} if name == "mouthClose" else {}
    frames = [drawn_rig.draw(weights(**{**base, name: float(v)}), AHEAD).astype(np.float32) for v in np.linspace(0, 1, 26)]
    steps = np.array([np.abs(b - a).mean() for a, b in pairwise(frames)])
    assert steps.max() < 4 * steps.mean() + 0.02


def test_turns_come_back_to_rest_continuously(drawn: Avatar, drawn_rig: Rig) -> None:
    image = drawn_rig.draw(weights(), pose(yaw=0.02, pitch=0.02))
    assert np.abs(image.astype(np.float32) - drawn.image).mean() < 1.0


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (131, 66), (1920, 1080)], ids=str)
def test_pictures_of_any_size_and_shape_are_drawn(size: tuple[int, int]) -> None:
    avatar = portrait(size)
    rig = Rig(avatar)
    image = rig.draw(weights(jawOpen=0.7, eyeBlink=0.5), pose(yaw=5, pitch=-3))
    assert image.shape == avatar.image.shape
    points = avatar.face.landmarks.points
    mouth = points[13, :2].round().astype(int)
    changed = np.abs(image.astype(int) - avatar.image).max(-1)
    assert changed[mouth[1], mouth[0]] > 25, "the mouth does not open"


@pytest.mark.parametrize("place", [(0.12, 0.5), (0.9, 0.3), (0.5, 0.02), (0.5, 0.99)], ids=str)
def test_a_face_cut_by_the_picture_s_edge_is_drawn(place: tuple[float, float]) -> None:
    """A head half outside the frame is a picture people have."""
    whole = portrait((300, 300), share=0.15)
    x0, y0 = (int(v) for v in (150 - place[0] * 120, 141 - place[1] * 120))
    points = whole.face.landmarks.points - np.array([x0, y0, 0], np.float32)
    face = replace(whole.face, landmarks=replace(whole.face.landmarks, points=points))
    assert whole.mask is not None
    cut = (slice(y0, y0 + 120), slice(x0, x0 + 120))
    avatar = replace(whole, image=np.ascontiguousarray(whole.image[cut]), mask=np.ascontiguousarray(whole.mask[cut]), face=face)
    image = Rig(avatar).draw(weights(jawOpen=0.6, eyeBlink=1, mouthPucker=0.4), pose(yaw=-6, roll=3))
    assert image.shape == (120, 120, 3)


def test_drawn_teeth_are_as_soft_as_the_picture() -> None:
    """How steep the edges between teeth and dark are, against what they are where the picture is sharp."""

    def steep(blur: float) -> float:
        drawn = portrait((480, 480), share=0.3)
        image = cv2.GaussianBlur(drawn.image, (0, 0), blur) if blur else drawn.image
        shown = Rig(replace(drawn, image=np.ascontiguousarray(image))).draw(weights(jawOpen=0.8), pose())
        x, y = drawn.face.landmarks.points[13, :2].astype(int)
        unit = float(np.linalg.norm(drawn.face.landmarks.points[33] - drawn.face.landmarks.points[263]))
        inside = shown[y - 2 : round(y + 0.12 * unit), round(x - 0.06 * unit) : round(x + 0.06 * unit)].astype(int)
        return float(np.abs(np.diff(inside.mean((1, 2)))).max())

    assert steep(3.0) < 0.6 * steep(0)


def test_a_person_without_a_mask_is_drawn() -> None:
    avatar = portrait((96, 96), masked=False)
    image = Rig(avatar).draw(weights(jawOpen=0.5), pose(yaw=5))
    assert not np.array_equal(image, avatar.image)


# Measured with the landmark model on the example portrait


def test_an_open_mouth_shuts_at_rest(rig: Rig, finder: MediaPipe) -> None:
    assert gap(seen(finder, rig.draw(weights(), AHEAD))) < 0.025


def test_the_gap_follows_the_jaw_as_the_drivers_reckon(rig: Rig, finder: MediaPipe) -> None:
    asked = np.array([0.2, 0.4, 0.6, 0.8])
    found = np.array([gap(seen(finder, rig.draw(weights(jawOpen=float(jaw)), AHEAD))) for jaw in asked])
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(found, JAW * asked, atol=0.04)


@pytest.mark.parametrize("jaw", [0.1, 0.3])
def test_lips_that_close_are_closed_whatever_the_jaw_does(rig: Rig, finder: MediaPipe, jaw: float) -> None:
    assert gap(seen(finder, rig.draw(weights(jawOpen=jaw, mouthClose=1.0), AHEAD))) < 0.15 * 0.19


def test_puckered_lips_are_narrow_and_stretched_ones_wide(rig: Rig, finder: MediaPipe) -> None:
    rest = width(seen(finder, rig.draw(weights(), AHEAD)))
    round_ = width(seen(finder, rig.draw(weights(mouthPucker=0.8), AHEAD)))
    wide = width(seen(finder, rig.draw(weights(mouthStretch=0.8), AHEAD)))
    assert round_ < rest - 0.06
    assert wide > rest + 0.04


def test_a_smile_is_let_go_as_lips_round(person: Avatar, rig: Rig) -> None:
    def raised(**values: float) -> float:
        """How far the corners stand above the middle of the lips, in units of the picture's own."""
        points = person.face.landmarks.points[:468, :2] + rig.speak(weights(**values))[2]
        return float(points[[13, 14], 1].mean() - points[[61, 291], 1].mean())

    smiling = raised()
    assert smiling > 0.04 * rig.face.unit
    assert raised(mouthPucker=0.9) < 0.4 * smiling
    assert raised(mouthFunnel=0.6) < 0.8 * smiling


@pytest.mark.parametrize("shape", [(0.9, 0.0, 0.05), (0.3, 0.6, 0.5), (0.5, 0.3, 0.2)])
def test_skin_drawn_together_beside_the_mouth_shows_no_holes(astronaut: Picture.Image, shape: tuple[float, float, float]) -> None:
    close = from_image(np.asarray(astronaut.crop((66, 0, 386, 320)).resize((640, 640), Picture.Resampling.BICUBIC)))
    rig = Rig(close)
    rounded = weights(mouthPucker=shape[0], mouthFunnel=shape[1], jawOpen=shape[2])
    picture, unit = rig.draw(rounded, AHEAD), rig.face.unit
    now = close.face.landmarks.points[:468, :2] + rig.speak(rounded)[2]
    for corner, outward in ((61, -1), (291, 1)):
        x, y = now[corner]
        left, right = sorted((x + outward * 0.04 * unit, x + outward * 0.3 * unit))
        beside = picture[int(y - 0.12 * unit) : int(y + 0.12 * unit), int(left) : int(right)]
        assert beside.sum(-1).min() > 20, "a black hole; the darkest pixel there is 79 at rest"


def test_a_blink_shuts_the_eyes(rig: Rig, finder: MediaPipe) -> None:
    opened = eye_openness(seen(finder, rig.draw(weights(), AHEAD)))
    half = eye_openness(seen(finder, rig.draw(weights(eyeBlink=0.5), AHEAD)))
    shut = eye_openness(seen(finder, rig.draw(weights(eyeBlink=1.0), AHEAD)))
    assert shut < 0.35 * opened
    assert shut < half < opened


def test_the_rims_of_glasses_stay_before_a_lid_that_shuts(astronaut: Picture.Image) -> None:
    person = from_image(np.asarray(astronaut.crop((140, 0, 320, 200)).resize((540, 600), Picture.Resampling.LANCZOS)))
    points = person.face.landmarks.points[:, :2]
    worn, (rims, inside) = person.image.copy(), np.zeros((2, *person.image.shape[:2]), np.uint8)
    for outer, inner, upper in ((33, 133, 159), (263, 362, 386)):
        wide = float(np.linalg.norm(points[outer] - points[inner]))
        middle = (points[outer] + points[inner]) / 2
        top = (middle[1] - points[upper, 1]) / wide + 0.12  # the rim crosses the lid
        x, y = round(middle[0]), round(middle[1] + (0.65 - top) / 2 * wide)
        for canvas, colour, line in ((worn, (30, 26, 24), 3), (rims, (255,), 3), (inside, (255,), -1)):
            cv2.ellipse(canvas, (x, y), (round(0.85 * wide), round((0.65 + top) / 2 * wide)), 0, 0, 360, colour, line, cv2.LINE_AA)
    glasses = replace(person, image=worn)
    shut = Rig(glasses).draw(weights(eyeBlink=1.0), AHEAD)
    where = rims > 250
    assert np.abs(shut[where].astype(int) - worn[where]).mean() < 6
    bare = Rig(person).draw(weights(eyeBlink=1.0), AHEAD)
    beside = (inside > 0) & (cv2.dilate(rims, np.ones((7, 7), np.uint8)) == 0)
    assert np.abs(shut[beside].astype(int) - bare[beside]).mean() < 0.3 * np.abs(person.image[beside].astype(int) - bare[beside]).mean()


def test_who_wears_no_glasses_has_none(rig: Rig, drawn_rig: Rig) -> None:
    assert all(eye._glasses is None for eye in [*rig._eyes, *drawn_rig._eyes])


def test_one_eye_can_blink_alone(rig: Rig, person: Avatar) -> None:
    image = rig.draw(weights(eyeBlinkLeft=1.0), AHEAD)
    plain = rig.draw(weights(), AHEAD)
    change = np.abs(image.astype(np.float32) - plain).mean(-1)
    right, left = (person.face.landmarks.points[list(eye), :2].mean(0).round().astype(int) for eye in ((33, 133), (263, 362)))
    assert change[left[1] - 3 : left[1] + 4, left[0] - 5 : left[0] + 6].mean() > 20
    assert change[right[1] - 8 : right[1] + 9, right[0] - 12 : right[0] + 13].max() == 0


def test_eyes_look_where_they_are_told(rig: Rig, finder: MediaPipe) -> None:
    plain = seen(finder, rig.draw(weights(), AHEAD))
    right = seen(finder, rig.draw(weights(eyeLookOutLeft=0.7, eyeLookInRight=0.7), AHEAD))
    left = seen(finder, rig.draw(weights(eyeLookInLeft=0.7, eyeLookOutRight=0.7), AHEAD))
    for iris in (468, 473):
        assert right[iris, 0] > plain[iris, 0] + 0.01
        assert left[iris, 0] < plain[iris, 0] - 0.01


def test_the_head_turns_the_way_it_is_told(rig: Rig, finder: MediaPipe) -> None:
    plain = seen(finder, rig.draw(weights(), AHEAD))
    for sign in (1, -1):
        yawed = seen(finder, rig.draw(weights(), pose(yaw=sign * 8)))
        assert sign * (yawed[4, 0] - plain[4, 0]) > 0.03, "the nose goes to the side the head turns to"
        pitched = seen(finder, rig.draw(weights(), pose(pitch=sign * 8)))
        assert sign * (pitched[4, 1] - plain[4, 1]) > 0.02, "the nose goes down when the head does"
        rolled = seen(finder, rig.draw(weights(), pose(roll=sign * 6)))
        slope = np.rad2deg(np.arctan2(*(rolled[263] - rolled[33])[::-1])) - np.rad2deg(np.arctan2(*(plain[263] - plain[33])[::-1]))
        assert slope == pytest.approx(sign * 6, abs=1.5)


def test_the_head_shifts_and_comes_nearer(rig: Rig, person: Avatar, finder: MediaPipe) -> None:
    eyes = person.face.landmarks.points[[33, 263], :2]
    unit = np.linalg.norm(eyes[1] - eyes[0])
    moved = finder.find(rig.draw(weights(), pose(x=0.1, y=-0.05)))[0].landmarks.points[[33, 263], :2]
    np.testing.assert_allclose((moved - eyes).mean(0) / unit, (0.1, -0.05), atol=0.02)
    nearer = finder.find(rig.draw(weights(), pose(z=-0.5)))[0].landmarks.points[[33, 263], :2]
    assert np.linalg.norm(nearer[1] - nearer[0]) / unit == pytest.approx(1 / (1 - 0.5 / 7), abs=0.02)


def test_far_from_the_head_the_portrait_stays_to_the_pixel(rig: Rig, person: Avatar) -> None:
    elsewhere = outside(person.image, person.face.landmarks.points, 0.35)
    wide, round_ = {"jawOpen": 1, "mouthStretch": 1, "browInnerUp": 1}, {"jawOpen": 0.5, "mouthPucker": 1, "cheekPuff": 1, "eyeBlink": 1}
    for shapes in (weights(), weights(**wide), weights(**round_)):
        assert psnr(rig.draw(shapes, AHEAD), person.image, elsewhere) > 60


def test_brows_rise_and_fall(rig: Rig, finder: MediaPipe) -> None:
    plain = seen(finder, rig.draw(weights(), AHEAD))
    up = seen(finder, rig.draw(weights(browInnerUp=1, browOuterUp=1), AHEAD))
    down = seen(finder, rig.draw(weights(browDown=1), AHEAD))
    brows = [105, 334, 66, 296]
    assert up[brows, 1].mean() < plain[brows, 1].mean() - 0.008
    assert down[brows, 1].mean() > plain[brows, 1].mean() + 0.004

"""Every kind of picture talks: photographs, paintings, drawings, glasses, a robot, faces small in the picture."""

from pathlib import Path

import numpy as np
import pytest

from huashen.avatar import from_image
from huashen.face.mediapipe import MediaPipe
from huashen.media import read_image
from huashen.talking_head.rig import Rig
from huashen.types import ARKIT_INDEX, Floats, Image

pytestmark = pytest.mark.real
AHEAD = np.zeros(6, np.float32)
FACES = (
    "art_10.png", "art_15.png", "art_16.jpg", "art_2.jpg", "art_20.png", "art_5.jpg", "art_6.png", "art_7.png", "art_8.jpg",
    "full3.png", "full_body_1.png", "happy1.png",
)  # fmt: skip
LONGEST = 768


def weights(**values: float) -> Floats:
    found = np.zeros(52, np.float32)
    for name, value in values.items():
        found[ARKIT_INDEX[name]] = value
    return found


@pytest.fixture(scope="module")
def finder() -> MediaPipe:
    return MediaPipe()


def gap(finder: MediaPipe, image: Image) -> float:
    """Return the inner gap between the lips in distances between the eyes' outer corners."""
    points = finder.find(image)[0].landmarks.points[:, :2]
    return float(np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263]))


@pytest.mark.parametrize("name", FACES)
def test_a_face_opens_shuts_blinks_and_turns(name: str, real: Path, finder: MediaPipe) -> None:
    image = read_image(real / "faces" / name)
    height, width = image.shape[:2]
    share = min(1.0, LONGEST / max(height, width))
    avatar = from_image(image, source=Path(name)).fitted((round(width * share), round(height * share)))
    rig = Rig(avatar)
    shut = rig.draw(weights(), AHEAD)
    opened = rig.draw(weights(jawOpen=0.65, mouthLowerDownLeft=0.3, mouthLowerDownRight=0.3), AHEAD)
    pressed = rig.draw(weights(jawOpen=0.25, mouthClose=1.0), AHEAD)
    gaps = [gap(finder, picture) for picture in (shut, pressed, opened)]
    assert gaps[0] < 0.035
    assert gaps[1] < 0.035
    assert gaps[2] > 0.10
    blink = rig.draw(weights(eyeBlinkLeft=1.0, eyeBlinkRight=1.0), AHEAD)
    points = avatar.face.landmarks.points
    unit = float(np.linalg.norm(points[33] - points[263]))
    for iris in (468, 473):
        x, y = points[iris, :2].round().astype(int)
        reach = max(1, round(0.03 * unit))
        patch = (slice(y - reach, y + reach + 1), slice(x - reach, x + reach + 1))
        assert np.abs(blink[patch].astype(int) - shut[patch]).mean() > 5, "the lid does not cover the iris"
    turned = rig.draw(weights(), np.array([2, 7, 3, 0, 0, 0], np.float32))
    assert finder.find(turned), "a turned head is no face any more"
    for picture in (shut, opened, pressed, blink, turned):
        assert picture.shape == avatar.image.shape
        assert picture.std() > 0.8 * avatar.image.std()

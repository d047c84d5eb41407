"""Who is meant by a picture (`huashen.face.likeness`)."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from huashen import footage, media
from huashen.avatar import from_image
from huashen.errors import InputError, NoFaceError
from huashen.face import likeness
from huashen.types import Audio, Frame, Image, Video


def shot(real: Path, name: str, index: int) -> Image:
    return next(iter(media.read_images(real / "clips" / name, index, fps=Fraction(25))))


@pytest.fixture(scope="module")
def two(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture and a clip of two people side by side, and a portrait of each from another moment."""
    folder = tmp_path_factory.mktemp("two")
    both = np.concatenate([shot(real, "dfrf_cnn2.mp4", 150), shot(real, "sad_katie.mp4", 150)], 1)
    media.write_image(folder / "both.png", both)
    silent = Audio(np.zeros(0, np.float32), 0)
    frames = (Frame(both, silent, k) for k in range(8))
    media.write_video(Video(frames, Fraction(25), (1024, 512), 0), folder / "both.mp4")
    for name, clip in (("left", "dfrf_cnn2.mp4"), ("right", "sad_katie.mp4"), ("stranger", "vr_face2.mp4")):
        media.write_image(folder / f"{name}.png", shot(real, clip, 40))
    return folder


def test_the_one_in_the_reference_speaks(two: Path) -> None:
    both = media.read_image(two / "both.png")
    for name, low, high in (("left", 0, 512), ("right", 512, 1024)):
        box = from_image(both, which=two / f"{name}.png").face.box
        assert low < (box.x0 + box.x1) / 2 < high


def test_the_one_in_the_reference_is_followed_in_a_clip(two: Path, tmp_path: Path) -> None:
    clip = footage.prepare(two / "both.mp4", which=two / "right.png", folder=tmp_path / "kept")
    assert clip.seen().all()
    assert (clip.points[:, 1, 0] > 512).all()


@pytest.mark.parametrize(("scores", "said"), [([0.3, -1.0], "nobody in both"), ([2.0, 1.5, -1.0], "two people in both"), ([0.1], "nobody")])
def test_a_near_call_is_left_to_the_user(scores: list[float], said: str) -> None:
    with pytest.raises(InputError, match=rf"{said}.*choose by --which x,y"):
        likeness._surely(scores, "me.jpg", "both.png")
    assert likeness._surely([0.0, 3.0, 1.0], "me.jpg", "both.png") == 1


def test_a_reference_shows_one_face(two: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shows 2 faces; cut the one out"):
        likeness.reference(two / "both.png")
    media.write_image(tmp_path / "grey.png", np.full((128, 128, 3), 128, np.uint8))
    with pytest.raises(NoFaceError, match="shall say who is meant"):
        likeness.reference(tmp_path / "grey.png")


def test_a_face_is_most_like_itself(astronaut: Picture.Image, two: Path) -> None:
    image = np.asarray(astronaut)
    face = from_image(image).face
    own = likeness.looks(image, face)
    darker = likeness.looks((image * 0.7).astype(np.uint8), face)
    assert likeness.likeness(own, own) > likeness.likeness(own, darker) > 3.0
    assert likeness.likeness(own, likeness.reference(two / "stranger.png")) < 2.5


def test_votes_outvote_a_single_slip() -> None:
    votes = {0: True, 5: False, 10: True, 15: True, 20: False, 25: False, 30: False}
    np.testing.assert_array_equal(footage._meant(votes, 34), np.arange(34) < 20)

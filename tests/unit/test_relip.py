"""A clip made to speak, through the whole writer: what has no face in it stays as it is, in order and in time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from test_media import psnr, wav

from huashen import media, studio
from huashen.footage import Footage
from huashen.types import Audio, Frame, Image, Video
from synthetic import clip, outside

SIZE = (160, 160)
CUTAWAY = range(24, 47)


def graphic(number: int) -> Image:
    """A picture that says its number: six stripes, dark or light."""
    image = np.full((*SIZE[::-1], 3), (30, 60, 120), np.uint8)
    for bit in range(6):
        image[:, 24 * bit + 8 : 24 * bit + 28] = 210 if number >> bit & 1 else 40
    return image


def number(image: Image) -> int:
    return sum((int(image[:, 24 * bit + 12 : 24 * bit + 24].mean()) > 125) << bit for bit in range(6))


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """A person who speaks, with a graphic between."""
    return clip(tmp_path_factory.mktemp("cut"), SIZE, frames=64, without=CUTAWAY, cutaway=graphic)


@pytest.fixture(scope="module")
def made(cut: Footage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What it says anew, to the clip's end."""
    folder = tmp_path_factory.mktemp("made")
    t = np.arange(32000) / 16000
    buzz = 0.3 * np.sin(2 * np.pi * 140 * t) * np.clip(np.sin(2 * np.pi * 4 * t), 0, 1)
    sound = wav(folder / "a.wav", buzz[:, None], 16000)
    studio.sync(sound, cut, folder / "made.mp4", driver="signal", end="live")
    return folder / "made.mp4"


@pytest.fixture(scope="module")
def plain(cut: Footage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip's own frames, written at the same settings."""
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    silent = Audio(np.zeros(0, np.float32), 0)

    def frames() -> Iterator[Frame]:
        for index, image in enumerate(media.read_images(cut.path, fps=cut.fps)):
            yield Frame(image, silent, index)

    media.write_video(Video(frames(), cut.fps, SIZE, 0), path)
    return path


def pictures(path: Path) -> list[Image]:
    return list(media.read_images(path, fps=Fraction(25)))


def excess(ours: Image, theirs: Image, own: Image, where: np.ndarray) -> float:
    """Return as PSNR by how much a picture is further from the clip's than the encoder alone puts it."""
    a, b = (((image.astype(float) - own) ** 2)[where].mean() for image in (ours, theirs))
    return float(10 * np.log10(255**2 / max(a - b, 1e-9)))


def test_frames_without_the_face_are_lost_by_the_encoder_only(cut: Footage, made: Path, plain: Path) -> None:
    ours, theirs, own = pictures(made), pictures(plain), pictures(cut.path)
    assert len(ours) == len(theirs) == len(own) == 64
    everywhere = np.ones(SIZE[::-1], bool)
    for k in CUTAWAY:
        assert excess(ours[k], theirs[k], own[k], everywhere) > 45
        assert psnr(ours[k], own[k + 1 if k + 1 in CUTAWAY else k - 1]) < 25  # another frame would not pass
    changed = [excess(ours[k], theirs[k], own[k], ~outside(own[k], cut.points[k], 0)) for k in range(64) if k not in CUTAWAY]
    assert min(changed) < 35  # and the mouths are others


def test_what_surrounds_the_face_is_lost_by_the_encoder_only(cut: Footage, made: Path, plain: Path) -> None:
    ours, theirs, own = pictures(made), pictures(plain), pictures(cut.path)
    losses = []
    for k in range(64):
        if k not in CUTAWAY:
            where = outside(own[k], cut.points[k], 0.3)
            losses.append([((image.astype(float) - own[k]) ** 2)[where].mean() for image in (ours[k], theirs[k])])
    a, b = np.mean(losses, axis=0)  # where the encoder spends its bits changes from frame to frame
    assert 10 * np.log10(255**2 / max(a - b, 1e-9)) > 45


def test_frames_stay_in_order_and_in_time(made: Path, plain: Path) -> None:
    shown = pictures(made)
    assert [number(shown[k]) for k in CUTAWAY] == list(CUTAWAY)
    times = []
    for path in (made, plain):
        with av.open(path) as container:
            times.append(sorted(p.pts * p.time_base for p in container.demux(video=0) if p.size))
    assert times[0] == times[1] == [Fraction(k, 25) for k in range(64)]

"""Clips and sounds that nobody hoped for, through the command line: one line before long work, or the video all the same."""

import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture
from test_media import wav

from huashen import footage, media, studio
from huashen.cli import main
from huashen.types import Audio, Frame, Image, Video

SILENT = Audio(np.zeros(0, np.float32), 0)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: object) -> Path:
    """A working folder, and a home without clips that has the weights."""
    from huashen import weights

    kept = weights.folder()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "weights").symlink_to(kept)
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    t = np.arange(16000) / 16000
    wav(tmp_path / "a.wav", (0.3 * np.sin(2 * np.pi * 140 * t) * np.clip(np.sin(2 * np.pi * 4 * t), 0, 1))[:, None], 16000)
    return tmp_path


@pytest.fixture(scope="module")
def face(astronaut: Picture.Image) -> Image:
    return np.asarray(astronaut.crop((60, 0, 360, 300)).resize((160, 160)), np.uint8)


def written(path: Path, images: Iterator[Image], size: tuple[int, int] = (160, 160), fps: Fraction = Fraction(25)) -> Path:
    media.write_video(Video((Frame(image, SILENT, k) for k, image in enumerate(images)), fps, size, 0), path)
    return path


def swaying(face: Image, count: int) -> Iterator[Image]:
    return (np.roll(face, round(3 * np.sin(k / 5)), 1) for k in range(count))


def sync(capsys: pytest.CaptureFixture[str], face: str, *more: str, sound: str = "a.wav") -> tuple[int, str]:
    code = main(["sync", sound, "--face", face, "-o", "out.mp4", "-q", *more])
    return code, capsys.readouterr().err


def unwritten(place: Path) -> bool:
    return not [path for path in place.iterdir() if path.name.startswith((".", "out"))] and not footage.kept()


@pytest.mark.parametrize(("faces", "said"), [(0, "shows no face in its 30 frames"), (3, "shows a face in 3 of its 30 frames")])
def test_a_clip_with_hardly_a_face(faces: int, said: str, capsys: pytest.CaptureFixture[str], place: Path, face: Image) -> None:
    grey = np.full_like(face, 120)
    written(place / "clip.mp4", (face if 12 <= k < 12 + faces else grey for k in range(30)))
    code, told = sync(capsys, "clip.mp4")
    assert (code, told.count("\n")) == (2, 1)
    assert f"clip.mp4 {said}" in told
    assert unwritten(place)


def test_a_long_clip_without_a_face_is_not_followed(
    capsys: pytest.CaptureFixture[str], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(place / "clip.mp4", (np.full((160, 160, 3), k % 250, np.uint8) for k in range(40)), fps=Fraction(1))
    monkeypatch.setattr("huashen.trail.LOOKS", 4)
    monkeypatch.setattr("huashen.trail.follow", lambda *_, **__: pytest.fail("it was followed"))
    code, told = sync(capsys, "clip.mp4")
    assert (code, told.count("\n")) == (2, 1)
    assert "no face found in 4 frames from all over clip.mp4" in told
    assert unwritten(place)


def test_what_is_there_of_a_clip_that_breaks_off_speaks(capsys: pytest.CaptureFixture[str], place: Path, face: Image) -> None:
    dice = np.random.default_rng(0)
    noisy = (np.clip(image + dice.normal(0, 6, image.shape), 0, 255).astype(np.uint8) for image in swaying(face, 75))
    content = written(place / "clip.mp4", noisy).read_bytes()
    (place / "clip.mp4").write_bytes(content[: len(content) // 2])
    code, told = sync(capsys, "clip.mp4")
    assert (code, told.count("\n")) == (0, 1)
    assert "clip.mp4 is damaged or breaks off; read up to" in told
    assert len(list(media.read_images(place / "out.mp4", fps=Fraction(25)))) == 25


@pytest.mark.parametrize("fps", [5, 120])
def test_few_and_many_frames_a_second_are_kept(fps: int, capsys: pytest.CaptureFixture[str], place: Path, face: Image) -> None:
    written(place / "clip.mp4", swaying(face, 12), fps=Fraction(fps))
    assert sync(capsys, "clip.mp4") == (0, "")
    found = media.probe(place / "out.mp4")
    assert (found.fps, found.size) == (fps, (160, 160))
    assert len(list(media.read_images(place / "out.mp4", fps=Fraction(fps)))) == fps


@pytest.mark.parametrize("side", [64, 320])
def test_tiny_and_huge_clips(
    side: int, capsys: pytest.CaptureFixture[str], place: Path, face: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "WORKING", 256)  # as 8K is to 4096
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA if side < 160 else cv2.INTER_CUBIC)
    written(place / "clip.mp4", iter([large] * 6), (side, side), Fraction(6))
    code, told = sync(capsys, "clip.mp4")
    assert code == 0
    assert told.strip() == ("" if side == 64 else "huashen: clip.mp4 is 320×320; it is worked on at 256×256")
    assert media.probe(place / "out.mp4").size == (min(side, 256), min(side, 256))


def test_a_size_that_cannot_be_is_said_before_the_clip_is_followed(
    capsys: pytest.CaptureFixture[str], place: Path, face: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(place / "clip.mp4", iter([face] * 6))
    monkeypatch.setattr(footage, "tracked", lambda *_, **__: pytest.fail("it was followed"))
    for words in (["sync", "a.wav"], ["say", "hello there"]):
        assert main([*words, "--face", "clip.mp4", "-o", "out.mp4", "--size", "20x20"]) == 2
        assert "a video of 20×20 cannot be made" in capsys.readouterr().err
    code, told = sync(capsys, "a.wav")
    assert (code, told) == (2, "huashen: a.wav is sound; a face comes from a picture or a video\n")
    assert unwritten(place)


def test_a_short_disk_is_said_before_the_clip_is_followed(
    capsys: pytest.CaptureFixture[str], place: Path, face: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(place / "clip.mp4", iter([face] * 6))
    monkeypatch.setattr(footage, "tracked", lambda *_, **__: pytest.fail("it was followed"))
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=50_000_000))
    code, told = sync(capsys, "clip.mp4")
    assert (code, told.count("\n")) == (4, 1)
    assert "preparing clip.mp4 takes about 100 MB" in told
    assert "50 MB are free" in told
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    code, told = sync(capsys, "clip.mp4")
    assert (code, told.count("\n")) == (4, 1)
    assert "a video of 1.0 s at 160×160 takes 0 MB or more, and 0 MB are free" in told
    assert unwritten(place)


def test_long_sound_is_said_to_be_long(
    capsys: pytest.CaptureFixture[str], place: Path, face: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(place / "clip.mp4", iter([face] * 6))
    monkeypatch.setattr(studio, "LONG_SOUND", 0.5)
    code, told = sync(capsys, "clip.mp4")
    assert (code, told) == (0, "huashen: the sound lasts 1.0 s; Ctrl-C keeps what is done, and --resume goes on\n")


def test_a_disk_that_fills_up_while_a_clip_is_followed_keeps_what_is_done(
    capsys: pytest.CaptureFixture[str], place: Path, face: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from huashen import trail

    written(place / "clip.mp4", iter([face] * 12))
    whole, calls = trail.follow, []

    def follow(images: Iterator[Image], **given: object) -> Iterator[object]:
        for k, one in enumerate(whole(images, **given)):  # type: ignore[arg-type]
            if k == 7 and not calls:
                calls.append(k)
                raise OSError(errno.ENOSPC, "full")
            yield one

    monkeypatch.setattr(trail, "follow", follow)
    code, told = sync(capsys, "clip.mp4")
    assert (code, told.count("\n")) == (4, 1)
    assert "no room left on the disk" in told
    assert "what was followed of clip.mp4 so far is kept" in told
    kept = next((place / "home" / "footage").glob("*.trail"))
    assert kept.stat().st_size == 7 * trail.RECORD.itemsize
    assert sync(capsys, "clip.mp4")[0] == 0
    assert len(footage.kept()) == 1

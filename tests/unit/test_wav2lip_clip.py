"""Wav2Lip on a clip: what it leaves alone, how the mouth comes and goes, that neither batches nor chunks change a frame. Toy networks."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

import toy_wav2lip
from huashen.footage import Footage
from huashen.registry import load
from huashen.talking_head.wav2lip import Shot, Wav2Lip
from huashen.types import Audio, Floats, Frame, Image, Speech
from synthetic import clip

RATE = 16000
LOST = range(14, 22)
"""Frames of the clip in which the face is not found."""


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    toy_wav2lip.copying(folder / "copy.onnx")
    toy_wav2lip.flat(folder / "flat.onnx")
    toy_wav2lip.random(folder / "random.onnx")
    return folder


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """A person who speaks in a clip of 40 frames, not to be seen in some."""
    return clip(tmp_path_factory.mktemp("clip"), (128, 120), without=LOST)


def said(seconds: float, *, silent: tuple[float, float] = (0, 0)) -> Speech:
    """Return noise as loud as speech, with a stretch of silence."""
    sound = 0.1 * np.random.default_rng(1).standard_normal(round(seconds * RATE))
    sound[round(silent[0] * RATE) : round(silent[1] * RATE)] = 0
    return Speech(Audio(sound.astype(np.float32), RATE))


def made(engine: Wav2Lip, footage: Footage, *speech: Speech) -> list[Frame]:
    return list(engine.animate(footage, speech).frames)


def own(footage: Footage, count: int, fps: Fraction = Fraction(25)) -> list[Image]:
    """Return what the clip itself shows in the first frames."""
    return [footage.shown(image) for image in footage.images(islice(footage.order(fps), count))]


def changes(frames: list[Frame], footage: Footage) -> Floats:
    """Return how far each frame differs from the clip, grey levels over the whole picture."""
    pairs = zip(frames, own(footage, len(frames)), strict=True)
    return np.array([np.abs(frame.image.astype(np.float32) - image).mean() for frame, image in pairs], np.float32)


def shown_lost(footage: Footage, count: int, fps: Fraction = Fraction(25)) -> list[bool]:
    """Return for the first frames of a video whether the clip shows no face there."""
    return [k in LOST for k in islice(footage.order(fps), count)]


def test_a_network_that_changes_nothing_gives_the_clip_there_and_back(toys: Path, person: Footage) -> None:
    frames = made(Wav2Lip(weights=toys / "copy.onnx"), person, said(3.6))
    assert len(frames) == 90
    for frame, image in zip(frames, own(person, 90), strict=True):
        np.testing.assert_array_equal(frame.image, image)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(10)], ids=str)
def test_sound_and_picture_stay_together(toys: Path, person: Footage, fps: Fraction) -> None:
    """Frame k shows the clip at its own speed and carries its own stretch of the sound."""
    speech = said(2.0)
    frames = made(Wav2Lip(weights=toys / "copy.onnx", fps=fps), person, speech)
    assert len(frames) == -(-2 * fps.numerator // fps.denominator)
    joined = np.concatenate([frame.audio.samples for frame in frames])
    np.testing.assert_array_equal(joined[: 2 * RATE], speech.audio.samples)
    for k, (frame, image) in enumerate(zip(frames, own(person, len(frames), fps), strict=True)):
        assert frame.index == k
        assert abs(sum(len(f.audio.samples) for f in frames[:k]) - k * RATE / fps) < 1
        np.testing.assert_array_equal(frame.image, image)


def test_frames_without_a_face_pass_untouched_and_nothing_jumps(toys: Path, person: Footage) -> None:
    frames = made(Wav2Lip(weights=toys / "flat.onnx"), person, said(3.0))
    away, lost = changes(frames, person), np.array(shown_lost(person, len(frames)))
    assert not away[lost].any()
    assert lost.sum() >= 2 * len(LOST)
    full = float(np.median(away[~lost]))
    assert full > 0.5
    assert np.abs(np.diff(away)).max() < 0.35 * full
    first = int(np.flatnonzero(lost)[0])
    assert np.all(np.diff(away[first - 5 : first + 1]) < 0), "the mouth does not fade before the face is lost"
    for frame, gone in zip(frames, lost, strict=True):
        assert frame.drawn is not None
        assert bool(frame.drawn.mask.size) is not gone


def opening(image: Image, points: Floats) -> float:
    """Return how much of a drawn mouth's surroundings is as dark as its inside."""
    x, y = points[[61, 291], :2].mean(0)
    unit = float(np.linalg.norm(points[33] - points[263]))
    part = image[round(y - 0.1 * unit) : round(y + 0.45 * unit), round(x - 0.2 * unit) : round(x + 0.2 * unit)]
    return float((part.max(2) < 110).mean())


@pytest.mark.parametrize("options", [{}, {"rotate": True, "crop": (4, -1, 0, 110)}], ids=["whole", "framed"])
def test_in_silence_the_mouth_shuts_gently_though_the_clip_speaks(toys: Path, tmp_path: Path, options: dict) -> None:
    footage = clip(tmp_path, (128, 120))
    engine = Wav2Lip(weights=toys / "copy.onnx", **options)
    frames = made(engine, footage, said(3.0, silent=(1.0, 2.0)))
    clips = [Shot(image, footage.face(k)) for image, k in zip(own(footage, 75), islice(footage.order(Fraction(25)), 75), strict=True)]
    shown = [engine._framing(shot).image for shot in clips]
    points = [engine._framing(shot).face.landmarks.points for shot in clips]  # type: ignore[union-attr]
    away = np.array([np.abs(frame.image.astype(np.float32) - image).mean() for frame, image in zip(frames, shown, strict=True)])
    assert not away[2:23].any(), "where somebody speaks the network's mouth is shown, which is the clip's here"
    if not options:
        opened = np.array([opening(frame.image, p) for frame, p in zip(frames, points, strict=True)])
        speaks = np.array([opening(image, p) for image, p in zip(shown, points, strict=True)])
        assert speaks[28:47].max() > 0.3
        assert opened[28:47].max() < 0.1
    assert away[28:47].max() > 0.3
    for frame, image in zip(frames, shown, strict=True):
        assert frame.drawn is not None
        changed = np.any(frame.image != image, 2)
        (x, y), (tall, wide) = frame.drawn.corner, frame.drawn.mask.shape
        if tall:
            changed[y : y + tall, x : x + wide][frame.drawn.mask > 0] = False
            np.testing.assert_array_equal(frame.drawn.before, image[y : y + tall, x : x + wide])
        assert not changed.any()


def test_what_plain_shows_in_silence_is_the_network_s(toys: Path, tmp_path: Path) -> None:
    footage = clip(tmp_path, (128, 120))
    frames = made(Wav2Lip(weights=toys / "copy.onnx", paste="plain"), footage, said(1.0, silent=(0.0, 1.0)))
    assert changes(frames, footage).max() < 1.5  # its box, enlarged from 96 pixels


@pytest.mark.parametrize("name", ["flat", "copy"])
def test_a_video_taken_up_in_the_middle_is_the_rest_of_the_whole(toys: Path, person: Footage, name: str) -> None:
    engine, speech = Wav2Lip(weights=toys / f"{name}.onnx"), said(2.4, silent=(0.8, 1.5))
    whole = made(engine, person, speech)
    for begin in (9, 26):
        rest = list(engine.animate(person, [speech], begin=begin).frames)
        assert [frame.index for frame in rest] == list(range(begin, 60))
        for one, two in zip(whole[begin:], rest, strict=True):
            np.testing.assert_array_equal(one.image, two.image)


@pytest.mark.parametrize("batch", [2, 5, 16])
def test_batches_do_not_change_frames(toys: Path, person: Footage, batch: int) -> None:
    speech = said(1.6, silent=(0.2, 0.5))
    alone = made(Wav2Lip(weights=toys / "random.onnx"), person, speech)
    together = made(Wav2Lip(weights=toys / "random.onnx", batch=batch), person, speech)
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.audio.samples, two.audio.samples)


@pytest.mark.parametrize("paste", ["blend", "plain"])
def test_chunks_do_not_change_frames(toys: Path, person: Footage, paste: str) -> None:
    speech = said(1.4, silent=(0.5, 0.9))
    samples = speech.audio.samples
    whole = made(Wav2Lip(weights=toys / "random.onnx", paste=paste), person, speech)
    dice = np.random.default_rng(2)
    for places in ([1, 639, 640, 641], range(500, len(samples), 500), sorted(dice.choice(len(samples) - 1, 7, replace=False) + 1)):
        pieces = [Speech(Audio(samples[a:b], RATE)) for a, b in pairwise([0, *places, len(samples)])]
        for one, two in zip(whole, made(Wav2Lip(weights=toys / "random.onnx", paste=paste), person, *pieces), strict=True):
            np.testing.assert_array_equal(one.image, two.image)


@pytest.mark.parametrize("size", [(200, 96), (96, 200), (64, 64)], ids=str)
def test_wide_tall_and_small_clips_are_drawn_where_the_mouth_is(toys: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    footage = clip(tmp_path, size)
    frames = made(Wav2Lip(weights=toys / "flat.onnx"), footage, said(0.6))
    for k, (frame, image) in enumerate(zip(frames, own(footage, len(frames)), strict=True)):
        away = np.abs(frame.image.astype(int) - image).max(2)
        points = footage.points[k]
        (x, y), unit = points[[13, 14], :2].mean(0), float(np.linalg.norm(points[33] - points[263]))
        assert away[int(y), int(x)] > 20
        rows, columns = np.nonzero(away)
        assert np.abs(columns - x).max() < 1.1 * unit
        assert y - 0.8 * unit < rows.min() < rows.max() < y + 1.1 * unit


@pytest.mark.parametrize("goal", [(64, 60), (96, 120), (256, 240)], ids=str)
def test_another_size_changes_the_patch_that_is_told_with_the_picture(toys: Path, tmp_path: Path, goal: tuple[int, int]) -> None:
    footage = clip(tmp_path, (128, 120)).fitted(goal)
    frames = made(Wav2Lip(weights=toys / "flat.onnx"), footage, said(0.5))
    for frame, image in zip(frames, own(footage, len(frames)), strict=True):
        assert frame.image.shape[1::-1] == goal
        patch = frame.drawn
        assert patch is not None
        assert patch.before.shape[:2] == patch.mask.shape
        (x, y), (tall, wide) = patch.corner, patch.mask.shape
        away = np.abs(frame.image.astype(int) - image).max(2)
        spot = away[y : y + tall, x : x + wide]
        assert spot.shape == (tall, wide)
        assert spot.max() > 20
        spot[patch.mask > 0] = 0
        assert away.max() <= 10, "something was drawn where none was told"  # a cubic enlargement rings
        np.testing.assert_array_equal(patch.before, image[y : y + tall, x : x + wide])


def test_a_face_turned_away_keeps_its_own_mouth_and_one_that_turns_fades(toys: Path, tmp_path: Path) -> None:
    footage = clip(tmp_path, (128, 120))
    points = footage.points.copy()
    for k in range(len(points)):  # the head turns to the side from frame 10 to 30
        angle = np.radians(np.clip((k - 10) / 20, 0, 1) * 85)
        middle = points[k].mean(0)
        flat = points[k] - middle
        x = flat[:, 0] * np.cos(angle) + flat[:, 2] * np.sin(angle)
        z = flat[:, 2] * np.cos(angle) - flat[:, 0] * np.sin(angle)
        points[k] = np.stack([x, flat[:, 1], z], 1) + middle
    turning = replace(footage, points=points)
    assert abs(float(turning.face(5).head[1])) < 15  # type: ignore[union-attr]
    assert abs(float(turning.face(32).head[1])) > 70  # type: ignore[union-attr]
    away = changes(made(Wav2Lip(weights=toys / "flat.onnx"), turning, said(1.4)), turning)
    assert away[3:12].min() > 0.5
    assert not away[31:35].any()
    assert np.abs(np.diff(away[:35])).max() < 0.35 * away.max()


@pytest.mark.parametrize("name", ["flat", "random"])
def test_plain_replaces_the_box_of_every_face_and_tells_it(toys: Path, person: Footage, name: str) -> None:
    frames = made(Wav2Lip(weights=toys / f"{name}.onnx", paste="plain"), person, said(1.2))
    for k, (frame, image) in enumerate(zip(frames, own(person, len(frames)), strict=True)):
        changed = np.any(frame.image != image, 2)
        assert frame.drawn is not None
        if shown_lost(person, k + 1)[k]:
            assert not changed.any()
            continue
        (x, y), (tall, wide) = frame.drawn.corner, frame.drawn.mask.shape
        assert changed[y : y + tall, x : x + wide].mean() > 0.9
        changed[y : y + tall, x : x + wide] = False
        assert not changed.any()


def test_stages_touch_the_drawn_mouth_only(toys: Path, person: Footage) -> None:
    video = Wav2Lip(weights=toys / "random.onnx").animate(person, [said(1.2)])
    for name in ("blend", "steady", "unsharp"):
        video = load("stages", name)(video)
    count = 0
    for frame, image in zip(video.frames, own(person, 30), strict=True):
        away = np.any(frame.image != image, 2)
        assert frame.drawn is not None
        (x, y), (tall, wide) = frame.drawn.corner, frame.drawn.mask.shape
        if tall:
            away[y : y + tall, x : x + wide][frame.drawn.mask > 0] = False
        assert not away.any()
        count += 1
    assert count == 30


def test_frames_come_while_the_sound_is_still_coming(toys: Path, person: Footage) -> None:
    engine = Wav2Lip(weights=toys / "copy.onnx")
    read = 0

    def live() -> Iterator[Speech]:
        nonlocal read
        for piece in np.array_split(said(1.6).audio.samples, 160):
            read += len(piece)
            yield Speech(Audio(piece, RATE))

    for frame in engine.animate(person, live()).frames:
        assert read / RATE <= min(1.6, (frame.index + 1) / 25 + engine.lookahead + 0.011)

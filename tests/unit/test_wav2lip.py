"""Wav2Lip's engine round its network: pasting, silence, faces lost and found, options, weights. The networks are toys."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, repeat
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PictureFile

import toy_wav2lip
from huashen import weights
from huashen.avatar import Avatar
from huashen.errors import InputError, MissingPartError, MissingWeightsError, UnreadableError
from huashen.face.mediapipe import MediaPipe, region_of
from huashen.registry import load
from huashen.talking_head import opening, wav2lip
from huashen.talking_head.opening import BEFORE
from huashen.talking_head.rig import Rig
from huashen.talking_head.wav2lip import Shot, Wav2Lip
from huashen.types import ARKIT, ARKIT_INDEX, Audio, Box, Face, Floats, Image, Landmarks, Speech
from synthetic import landmarks, outside, portrait

RATE = 16000


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    toy_wav2lip.copying(folder / "copy.onnx")
    toy_wav2lip.copying(folder / "loud.onnx", heard=0.1)
    toy_wav2lip.flat(folder / "flat.onnx")
    toy_wav2lip.random(folder / "random.onnx")
    return folder


@pytest.fixture(scope="module")
def person() -> Avatar:
    """A drawn face with fine grain, 320 × 320."""
    drawn = portrait((320, 320), share=0.28)
    grain = np.random.default_rng(0).normal(0, 6, drawn.image.shape)
    image = np.clip(drawn.image + grain, 0, 255).astype(np.uint8)
    image.setflags(write=False)
    return replace(drawn, image=image)


def said(seconds: float, *, silent: tuple[float, float] = (0, 0), rate: int = RATE) -> Speech:
    """Return noise as loud as speech, with a stretch of silence."""
    sound = 0.1 * np.random.default_rng(1).standard_normal(round(seconds * rate))
    sound[round(silent[0] * rate) : round(silent[1] * rate)] = 0
    return Speech(Audio(sound.astype(np.float32), rate))


def leaning(avatar: Avatar, degrees: float) -> Avatar:
    """Return an avatar whose picture is turned about its middle."""
    height, width = avatar.image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    image = cv2.warpAffine(avatar.image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    points = avatar.face.landmarks.points.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return replace(avatar, image=image, face=replace(avatar.face, landmarks=Landmarks(points.astype(np.float32))))


def spoken(engine: Wav2Lip, avatar: Avatar, speech: Speech) -> list[Image]:
    return [frame.image for frame in engine.redub(repeat(Shot(avatar.image, avatar.face)), [speech])]


def change(one: Image, two: Image) -> float:
    return float(np.abs(one.astype(np.float32) - two).mean())


def sharpness(image: Image) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


# Pasting


@pytest.mark.parametrize("degrees", [0, 2, 20, -35])
def test_a_network_that_changes_nothing_changes_nothing(toys: Path, person: Avatar, degrees: float) -> None:
    avatar = leaning(person, degrees)
    for image in spoken(Wav2Lip(weights=toys / "copy.onnx"), avatar, said(0.2)):
        np.testing.assert_array_equal(image, avatar.image)


@pytest.mark.parametrize("degrees", [0, 20])
def test_a_wrong_overall_colour_is_put_right(toys: Path, person: Avatar, degrees: float) -> None:
    avatar = leaning(person, degrees)
    crude = spoken(Wav2Lip(weights=toys / "loud.onnx", paste="plain"), avatar, said(0.3))[2]
    fine = spoken(Wav2Lip(weights=toys / "loud.onnx"), avatar, said(0.3))[2]
    assert change(fine, avatar.image) < 0.03 * change(crude, avatar.image)


@pytest.mark.parametrize("degrees", [0, 4, 20])
def test_nothing_of_the_old_mouth_shines_through_the_new_one(toys: Path, person: Avatar, degrees: float) -> None:
    avatar = leaning(person, degrees)
    image = spoken(Wav2Lip(weights=toys / "flat.onnx"), avatar, said(0.3))[3]
    x, y = avatar.face.landmarks.points[13, :2].astype(int)
    assert np.ptp(image[y - 6 : y + 7, x - 10 : x + 11].astype(int), axis=(0, 1)).max() <= 2


@pytest.mark.parametrize("degrees", [0, 20])
def test_only_the_lower_face_is_touched_and_its_edge_is_soft(toys: Path, person: Avatar, degrees: float) -> None:
    flat = replace(person, image=np.full_like(person.image, 128))
    avatar = leaning(flat, degrees)
    points = avatar.face.landmarks.points
    image = spoken(Wav2Lip(weights=toys / "random.onnx"), avatar, said(0.3))[2].astype(int)
    away = np.abs(image - 128).max(2)
    assert away[outside(avatar.image, points, 0.12)].max() == 0
    for eye in (33, 133, 362, 263, 10, 168):
        x, y = points[eye, :2].astype(int)
        assert away[y - 2 : y + 3, x - 2 : x + 3].max() == 0
    x, y = points[13, :2].astype(int)
    assert away[y, x] > 20, "the mouth is not drawn"
    steps = max(np.abs(np.diff(away, axis=axis)).max() for axis in (0, 1))
    assert steps < 0.25 * away.max(), "there is a seam"


def test_plain_replaces_the_whole_box_and_nothing_else(toys: Path, person: Avatar) -> None:
    image = spoken(Wav2Lip(weights=toys / "random.onnx", paste="plain", box=(60, 250, 80, 240)), person, said(0.2))[1]
    changed = np.any(image != person.image, 2)
    assert changed[60:250, 80:240].mean() > 0.95
    changed[60:250, 80:240] = False
    assert not changed.any()


def test_detail_that_the_network_cannot_hold_is_kept(toys: Path, person: Avatar) -> None:
    jaw = person.face.landmarks.points[wav2lip.JAW, :2]
    (x0, y0), (x1, y1) = jaw.min(0).astype(int), jaw.max(0).astype(int)
    source = sharpness(person.image[y0:y1, x0:x1])
    plain = spoken(Wav2Lip(weights=toys / "loud.onnx", paste="plain"), person, said(0.3))[2]
    blended = spoken(Wav2Lip(weights=toys / "loud.onnx"), person, said(0.3))[2]
    assert sharpness(plain[y0:y1, x0:x1]) < 0.5 * source
    assert sharpness(blended[y0:y1, x0:x1]) > 0.9 * source


def test_teeth_drawn_anew_stand_out_more_than_the_network_draws_them(toys: Path, person: Avatar) -> None:
    """Teeth 0.06 of the face wide, as blurred as a network of 96 pixels draws them; no bright or dark rims beside them."""
    bars = 0.55 + 0.2 * np.sign(np.sin(np.arange(96) * 2 * np.pi / 6))
    teeth = cv2.GaussianBlur(np.tile(bars, (96, 1)).astype(np.float32), (0, 0), 1.2)
    swing = {}
    for paste in ("plain", "blend"):
        engine = Wav2Lip(weights=toys / "copy.onnx", paste=paste)
        engine._network = lambda mel, face: np.broadcast_to(teeth, (len(mel), 3, 96, 96)).astype(np.float32)
        image = spoken(engine, person, said(0.3))[3].astype(int)
        x, y = person.face.landmarks.points[13, :2].astype(int)
        swing[paste] = np.ptp(image[y, x - 20 : x + 21, 1])
    assert 1.2 * swing["plain"] < swing["blend"] < 1.6 * swing["plain"]


def test_the_picture_s_own_teeth_come_back_where_the_network_draws_them_again(toys: Path, person: Avatar) -> None:
    image = person.image.copy()
    x, y = person.face.landmarks.points[13, :2].astype(int)
    image[y - 4 : y + 5, x - 20 : x + 21] = np.where(np.arange(41) % 4 < 2, 235, 150)[None, :, None]
    avatar = replace(person, image=image)
    bars = np.where(np.arange(41) % 4 < 2, 1.0, -1.0)[4:-4]
    plain, blended = (
        float((bars * spoken(Wav2Lip(weights=toys / "loud.onnx", paste=paste), avatar, said(0.3))[3][y, x - 16 : x + 17, 1]).mean() / 42.5)
        for paste in ("plain", "blend")
    )
    assert plain < 0.75
    assert blended > 0.9


# A mouth that opens too fast


@pytest.fixture(scope="module")
def opened(astronaut: PictureFile.Image) -> tuple[Avatar, list[Image]]:
    """A portrait, and pictures of it with the jaw shut and open: 0.0, 0.1, … 0.9."""
    image = np.asarray(astronaut)
    avatar = Avatar(image, MediaPipe().find(image)[0])
    rig, pictures = Rig(avatar), []
    for step in range(10):
        weights = np.zeros(len(ARKIT), np.float32)
        weights[ARKIT_INDEX["jawOpen"]] = step / 10
        pictures.append(rig.draw(weights, np.zeros(6, np.float32)))
    return avatar, pictures


def drawing(toys: Path, opened: tuple[Avatar, list[Image]], order: list[int], *, begin: int = 0) -> tuple[list[Image], Floats]:
    """Return what comes of a network that draws the portrait with its jaw open so far, and how far the lips are then apart."""
    avatar, pictures = opened
    engine = Wav2Lip(weights=toys / "copy.onnx")
    where = engine._place(Shot(avatar.image, avatar.face))
    faces = [wav2lip._Blended(replace(where, image=picture), 96).face[3:] for picture in pictures]
    waiting = iter(order[max(0, begin - BEFORE) :])
    engine._network = lambda mel, face: np.stack([faces[next(waiting)] for _ in mel])
    shots = repeat(Shot(avatar.image, avatar.face), len(order))
    images = [frame.image for frame in engine.redub(shots, [said(2.0)], begin=begin)]
    finder, gaps = MediaPipe(), []
    for image in images:
        face = finder.fit(image, region_of(avatar.face.landmarks.points), passes=1)
        assert face is not None
        points = face.landmarks.points
        gaps.append(np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263]))
    return images, np.array(gaps, np.float32)


def test_a_mouth_suddenly_wide_opens_as_fast_as_mouths_do(
    toys: Path, opened: tuple[Avatar, list[Image]], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [0] * 4 + [9] * 4 + [0] * 3 + [9] + [0] * 2
    images, eased = drawing(toys, opened, order)
    monkeypatch.setattr(opening, "FASTEST", 1e6)
    raw, drawn = drawing(toys, opened, order)
    most = 4.2 / 25
    assert np.diff(drawn).max() > most + 0.05, "the network opens the mouth too fast"
    assert np.diff(eased).max() < most + 0.02
    assert eased[11] < drawn[11] - 0.04, "a mouth wide for one frame"
    np.testing.assert_allclose(eased[6:8], drawn[6:8], atol=0.01)
    for k in (*range(4), *range(6, 11), 12, 13):  # open for long enough, or shutting: as drawn
        np.testing.assert_array_equal(images[k], raw[k])


def test_a_mouth_that_opens_as_mouths_do_is_left_alone(
    toys: Path, opened: tuple[Avatar, list[Image]], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [0, 0, 2, 4, 6, 8, 9, 9, 5, 1, 0]
    images, _ = drawing(toys, opened, order)
    monkeypatch.setattr(opening, "FASTEST", 1e6)
    for one, two in zip(images, drawing(toys, opened, order)[0], strict=True):
        np.testing.assert_array_equal(one, two)


def test_easing_goes_on_where_it_was_stopped(toys: Path, opened: tuple[Avatar, list[Image]]) -> None:
    order = [0] * 4 + [9] * 3
    whole, _ = drawing(toys, opened, order)
    for begin in (4, 5):
        rest, _ = drawing(toys, opened, order, begin=begin)
        for one, two in zip(whole[begin:], rest, strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_face_at_the_picture_s_edge_is_drawn(toys: Path, person: Avatar) -> None:
    low = int(person.face.landmarks.points[152, 1]) - 4
    cut = replace(person, image=np.ascontiguousarray(person.image[:low, :170]))
    for paste in ("blend", "plain"):
        image = spoken(Wav2Lip(weights=toys / "random.onnx", paste=paste), cut, said(0.2))[1]
        assert image.shape == cut.image.shape
        assert change(image, cut.image) > 0.1


def test_a_larger_crop_and_a_network_for_one_frame_at_a_time(tmp_path: Path, person: Avatar) -> None:
    large = Wav2Lip(weights=toy_wav2lip.copying(tmp_path / "large.onnx", side=192), batch=3)
    np.testing.assert_array_equal(spoken(large, person, said(0.2))[3], person.image)
    single = Wav2Lip(weights=toy_wav2lip.random(tmp_path / "one.onnx", batch=1), batch=4)
    many = Wav2Lip(weights=toy_wav2lip.random(tmp_path / "many.onnx"), batch=4)
    for one, two in zip(spoken(single, person, said(0.3)), spoken(many, person, said(0.3)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_side_views_keep_the_picture_s_own_mouth(toys: Path, person: Avatar, caplog: pytest.LogCaptureFixture) -> None:
    def turned(degrees: float) -> Avatar:
        return replace(person, face=replace(person.face, head=np.array([0, degrees, 0, 0, 0, 0], np.float32)))

    engine = Wav2Lip(weights=toys / "random.onnx")
    front, half, side = (change(spoken(engine, turned(yaw), said(0.2))[1], person.image) for yaw in (30, -57.5, 75))
    assert front > 0.5
    assert 0.3 * front < half < 0.7 * front
    assert side == 0
    list(engine.animate(turned(50), [said(0.1)]).frames)
    assert "puppet" in caplog.text


# Silence


def test_the_mouth_is_the_picture_s_own_in_silence_and_goes_there_gently(toys: Path, person: Avatar) -> None:
    images = spoken(Wav2Lip(weights=toys / "flat.onnx"), person, said(3.0, silent=(1.0, 2.0)))
    changes = np.array([change(image, person.image) for image in images])
    middle = slice(28, 47)  # 0.12 s after the silence begins to 0.1 s before it ends
    assert changes[middle].max() == 0
    speech = np.median(changes[5:20])
    assert speech > 0.5
    assert changes[:22].min() > 0.5 * speech
    assert np.abs(np.diff(changes)).max() < 0.6 * speech, "the mouth jumps"


def test_the_published_way_draws_in_silence_too(toys: Path, person: Avatar) -> None:
    images = spoken(Wav2Lip(weights=toys / "flat.onnx", paste="plain"), person, said(1.0, silent=(0, 1)))
    assert min(change(image, person.image) for image in images) > 1


def test_short_stops_within_words_do_not_shut_the_mouth(toys: Path, person: Avatar) -> None:
    images = spoken(Wav2Lip(weights=toys / "flat.onnx"), person, said(1.2, silent=(0.5, 0.58)))
    changes = [change(image, person.image) for image in images]
    assert min(changes[8:20]) > 0.6 * np.median(changes[2:8])


def test_noise_of_the_room_is_silence(toys: Path, person: Avatar) -> None:
    speech = said(2.0, silent=(1.0, 2.0))
    room = 0.002 * np.random.default_rng(3).standard_normal(len(speech.audio.samples)).astype(np.float32)
    images = spoken(Wav2Lip(weights=toys / "flat.onnx"), person, Speech(Audio(speech.audio.samples + room, RATE)))
    np.testing.assert_array_equal(images[40], person.image)


# Pictures from elsewhere


def test_pictures_without_a_face_pass_untouched_and_nothing_jumps(toys: Path, person: Avatar) -> None:
    seen = [Shot(person.image, person.face if k < 20 or k >= 30 else None) for k in range(50)]
    images = [frame.image for frame in Wav2Lip(weights=toys / "flat.onnx").redub(seen, [said(2.0)])]
    changes = np.array([change(image, person.image) for image in images])
    assert len(images) == 50
    assert not changes[20:30].any()
    assert np.all(np.diff(changes[15:20]) < 0)
    assert np.all(np.diff(changes[30:35]) > 0)
    assert np.abs(np.diff(changes)).max() < 0.35 * np.median(changes[:15])


def test_frames_end_with_the_pictures_or_the_sound(toys: Path, person: Avatar) -> None:
    engine = Wav2Lip(weights=toys / "copy.onnx", batch=4)
    shot = Shot(person.image, person.face)
    assert len(list(engine.redub([shot] * 7, [said(1.0)]))) == 7
    assert len(list(engine.redub(repeat(shot), [said(0.5)]))) == 13


@pytest.mark.parametrize("count", [1, 3, 5, 6, 23])
def test_boxes_are_averaged_as_the_published_script_does(toys: Path, count: int) -> None:
    dice = np.random.default_rng(count)
    shots = []
    for _ in range(count):
        points = landmarks((160, 160)) + dice.integers(-6, 7, (1, 3)).astype(np.float32)
        shots.append(Shot(np.zeros((160, 160, 3), np.uint8), Face(Box(0, 0, 1, 1), Landmarks(points), 1.0)))
    found = np.array([place.where for place in Wav2Lip(weights=toys / "copy.onnx", paste="plain")._placed(shots)])
    raw = np.array([place.where for place in Wav2Lip(weights=toys / "copy.onnx", paste="plain", no_smooth=True)._placed(shots)])
    low, high = (np.array([f(shot.face.landmarks.points[:468, :2], 0) for shot in shots]).astype(int) for f in (np.min, np.max))
    np.testing.assert_array_equal(raw, np.concatenate([low, high + np.array([0, 10])], 1))
    for i in range(count):  # in place, whole numbers, the last five over and over
        window = raw[count - 5 if count >= 5 else 0 :] if i + 5 > count else raw[i : i + 5]
        raw[i] = np.mean(window, 0)
    np.testing.assert_array_equal(found, raw)


def test_static_shows_the_first_picture_only(toys: Path, person: Avatar) -> None:
    other = Shot(np.zeros_like(person.image), person.face)
    frames = list(Wav2Lip(weights=toys / "copy.onnx", static=True).redub([Shot(person.image, person.face), other], [said(0.4)]))
    assert len(frames) == 10
    assert all(np.array_equal(frame.image, person.image) for frame in frames)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"resize_factor": 2}, (160, 160)),
        ({"rotate": True}, (320, 320)),
        ({"crop": (40, -1, 30, 300)}, (270, 280)),
        ({"resize_factor": 2, "rotate": True, "crop": (10, 150, 5, -1)}, (155, 140)),
    ],
)
def test_pictures_are_made_smaller_turned_and_cut_with_their_faces(
    toys: Path, person: Avatar, options: dict, size: tuple[int, int]
) -> None:
    dotted = person.image.copy()
    marks = person.face.landmarks.points[[33, 263, 152], :2].round().astype(int)
    for x, y in marks:
        cv2.circle(dotted, (int(x), int(y)), 4, (0, 255, 0), -1)
    shot = Wav2Lip(weights=toys / "copy.onnx", **options)._framing(Shot(dotted, person.face))
    assert shot.image.shape[1::-1] == size
    assert shot.face is not None
    for x, y in shot.face.landmarks.points[[33, 263, 152], :2].round().astype(int):
        assert tuple(shot.image[y, x]) == (0, 255, 0)
    video = Wav2Lip(weights=toys / "copy.onnx", **options).animate(replace(person, image=dotted), [said(0.1)])
    assert video.size == size
    assert next(video.frames).image.shape[1::-1] == size


def test_pads_grow_the_box(toys: Path, person: Avatar) -> None:
    shots = [Shot(person.image, person.face)]
    plain, padded = (
        next(iter(Wav2Lip(weights=toys / "copy.onnx", paste="plain", pads=pads)._placed(shots))).where
        for pads in ((0, 0, 0, 0), (1, 2, 3, 4))
    )
    np.testing.assert_array_equal(padded - plain, [-3, -1, 4, 2])


def test_batches_do_not_change_frames(toys: Path, person: Avatar) -> None:
    speech = said(1.0, silent=(0.3, 0.7))
    alone = spoken(Wav2Lip(weights=toys / "random.onnx"), person, speech)
    for one, two in zip(alone, spoken(Wav2Lip(weights=toys / "random.onnx", batch=7), person, speech), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("batch", [1, 3])
def test_frames_come_within_the_lookahead_at_any_rate(toys: Path, rate: int, batch: int) -> None:
    drawn = portrait((64, 64))
    engine = Wav2Lip(weights=toys / "copy.onnx", batch=batch)
    read = 0

    def live() -> Iterator[Speech]:
        nonlocal read
        samples = said(1.2, rate=rate).audio.samples
        for piece in np.array_split(samples, 120):  # 10 ms each
            read += len(piece)
            yield Speech(Audio(piece, rate))

    for frame in engine.redub(repeat(Shot(drawn.image, drawn.face)), live()):
        assert read / rate <= min(1.2, (frame.index + 1) / 25 + engine.lookahead + 0.011)


def test_the_rest_of_a_picture_lives_round_the_drawn_mouth(toys: Path, person: Avatar) -> None:
    engine = Wav2Lip(weights=toys / "flat.onnx", driver=load("audio2face", seed=2))
    images = [frame.image.astype(int) for frame in engine.animate(person, [said(1.0)]).frames]
    x, y = person.face.landmarks.points[13, :2].astype(int)
    assert all(image[y, x, 1] > image[y, x, 0] + 80 for image in images), "the mouth is not the drawn one"
    eyes = person.face.landmarks.points[[33, 263], :2].astype(int)
    above = slice(eyes[:, 1].min() - 20, eyes[:, 1].max() + 20), slice(eyes[0, 0] - 10, eyes[1, 0] + 10)
    assert max(np.abs(a[above] - b[above]).mean() for a, b in pairwise(images)) > 0.3, "the eyes stand still"


# Options and weights


@pytest.mark.parametrize("options", [{"paste": "glue"}, {"batch": 0}, {"resize_factor": 0}, {"fps": Fraction(0)}])
def test_options_that_make_no_sense_are_refused(toys: Path, options: dict) -> None:
    with pytest.raises(InputError):
        Wav2Lip(weights=toys / "copy.onnx", **options)


@pytest.mark.parametrize("options", [{"box": (0, 400, 0, 100)}, {"box": (50, 50, 0, 100)}, {"crop": (300, 200, 0, -1)}])
def test_places_outside_the_picture_are_refused(toys: Path, person: Avatar, options: dict) -> None:
    with pytest.raises(InputError, match="320x320"):
        Wav2Lip(weights=toys / "copy.onnx", **options).animate(person, [said(0.2)])


def test_missing_weights_are_told_with_the_way_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError) as caught:
        load("talking_head", "wav2lip", driver=None)
    text = str(caught.value)
    for part in ("wav2lip_gan.pth", "github.com/Rudrabha/Wav2Lip", "non-commercial", "huashen weights import"):
        assert part in text
    assert "\n" not in text


def test_an_export_laid_into_the_store_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: Avatar) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    weights.folder().mkdir()
    toy_wav2lip.copying(weights.folder() / "wav2lip.onnx")
    np.testing.assert_array_equal(spoken(Wav2Lip(), person, said(0.2))[1], person.image)


def test_files_that_are_no_wav2lip_are_refused_by_name(toys: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"none\.pth"):
        Wav2Lip(weights=tmp_path / "none.pth")
    (tmp_path / "broken.onnx").write_bytes((toys / "copy.onnx").read_bytes()[:100])
    with pytest.raises(UnreadableError, match=r"broken\.onnx"):
        Wav2Lip(weights=tmp_path / "broken.onnx")
    with pytest.raises(UnreadableError, match="picture"):
        Wav2Lip(weights=toy_wav2lip.copying(tmp_path / "other.onnx", names=("sound", "picture")))


def test_a_checkpoint_needs_torch_only_to_be_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import huashen.nets

    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "huashen.nets.wav2lip", raising=False)
    monkeypatch.delattr(huashen.nets, "wav2lip", raising=False)  # another test may have imported it already
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "some.pth").write_bytes(b"weights")
    with pytest.raises(MissingPartError, match="torch"):
        Wav2Lip(weights=tmp_path / "some.pth")


def test_a_checkpoint_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: Avatar) -> None:
    torch = pytest.importorskip("torch", reason="wants torch: pip install 'huashen[wav2lip]'")
    from huashen.nets.wav2lip import Generator, Layout

    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    torch.manual_seed(0)
    state = Generator(Layout.published(factor=16)).state_dict()
    file = tmp_path / "small.pth"
    torch.save({"state_dict": state, "optimizer": None, "global_step": 7, "global_epoch": 1}, file)
    first = spoken(Wav2Lip(weights=file), person, said(0.2))
    (made,) = weights.folder().iterdir()
    before = made.stat().st_mtime_ns
    monkeypatch.setitem(__import__("sys").modules, "huashen.nets.wav2lip", None)  # a second conversion would fail
    second = spoken(Wav2Lip(weights=file), person, said(0.2))
    assert made.stat().st_mtime_ns == before
    np.testing.assert_array_equal(first[2], second[2])


def test_checkpoints_that_are_none_or_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="wants torch: pip install 'huashen[wav2lip]'")
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("run",))

    contents = {
        "text.pth": lambda file: file.write_bytes(b"not a checkpoint"),
        "empty.pth": lambda file: file.write_bytes(b""),
        "evil.pth": lambda file: file.write_bytes(pickle.dumps({"state_dict": Evil()}, 2)),
        "other.pth": lambda file: torch.save({"state_dict": {"layer.weight": torch.zeros(2, 2)}}, file),
        "list.pth": lambda file: torch.save([1, 2], file),
    }
    for name, write in contents.items():
        write(tmp_path / name)
        with pytest.raises(UnreadableError, match=name):
            Wav2Lip(weights=tmp_path / name)

"""Aftercare: what each stage is there for, on drawn pictures whose truth is known."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from huashen.errors import InputError
from huashen.registry import load
from huashen.stages.area import area
from huashen.stages.denoise import noise_of
from huashen.types import Audio, Floats, Frame, Image, Patch, Video

SILENCE = Audio(np.zeros(0, np.float32), 0)
dice = np.random.default_rng(0)
SPOTS = dice.integers(20, 235, (40, 48, 3)).astype(np.uint8)
SCENE = cv2.GaussianBlur(cv2.resize(SPOTS, (288, 240), interpolation=cv2.INTER_CUBIC), (0, 0), 1)
"""A picture of soft spots, 288 × 240."""


def shown(x: float = 0.0, y: float = 0.0) -> Image:
    """Return the middle of the scene, 240 × 200, moved by x and y pixels."""
    return np.asarray(cv2.warpAffine(SCENE, np.array([[1, 0, x - 24], [0, 1, y - 20]]), (240, 200), flags=cv2.INTER_CUBIC), np.uint8)


def through(name: str, images: list[Image], patches: list[Patch] | None = None, **options: Any) -> list[Image]:
    """Return what a stage makes of pictures."""
    height, width = images[0].shape[:2]
    frames = (Frame(image, SILENCE, k, patches[k] if patches else None) for k, image in enumerate(images))
    return [frame.image for frame in load("stages", name, **options)(Video(frames, Fraction(25), (width, height), 0)).frames]


def grained(images: list[Image], sigma: float) -> list[Image]:
    return [np.clip(np.rint(image + dice.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8) for image in images]


def psnr(one: Image, two: Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(np.float64) - two) ** 2)))


def sharpness(image: Image) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std())


# Unsharp


def test_an_edge_grows_steeper_and_no_rim_appears() -> None:
    row = np.where(np.arange(80) < 40, 60, 180).astype(np.float32)
    image = np.repeat(np.rint(cv2.GaussianBlur(np.tile(row, (40, 1)), (0, 0), 1.5))[..., None], 3, 2).astype(np.uint8)
    (out,) = through("unsharp", [image], halo=0.0)
    assert np.abs(np.diff(out[20, :, 0].astype(int))).max() > 1.08 * np.abs(np.diff(image[20, :, 0].astype(int))).max()
    assert out.min() == 60
    assert out.max() == 180
    (free,) = through("unsharp", [image], amount=2.0, noise=0.0, halo=255.0)
    assert free.max() > 183, "the control shows no rim either"
    (some,) = through("unsharp", [image], amount=2.0, noise=0.0)
    assert some.max() <= 182
    assert some.min() >= 58


def test_noise_is_not_sharpened() -> None:
    image = np.clip(np.rint(128 + dice.normal(0, 0.7, (80, 80, 1))) + np.zeros(3), 0, 255).astype(np.uint8)
    (out,) = through("unsharp", [image])
    assert out.astype(float).std() < 1.3 * image.astype(float).std()
    (crude,) = through("unsharp", [image], noise=0.0, halo=255.0)
    assert crude.astype(float).std() > 1.45 * image.astype(float).std(), "the control is no sharper"


def test_sharpening_keeps_colours() -> None:
    image = shown()
    (out,) = through("unsharp", [image])
    assert sharpness(out) > 1.15 * sharpness(image)
    inside = ((out > 0) & (out < 255) & (image > 0) & (image < 255)).all(2)
    away = (out.astype(int) - image)[inside]
    assert np.ptp(away, axis=1).max() <= 1, "colours are sharpened differently"


# Blend


def pasted(*, hard: bool = True) -> tuple[Image, Image, Patch]:
    """Return a picture, the same with a box of other light, brighter to the right, and the patch."""
    image = shown()
    y0, y1, x0, x1 = 50, 150, 60, 180
    before = image[y0:y1, x0:x1].copy()
    slope = np.linspace(-12, 24, x1 - x0, dtype=np.float32)[None, :, None] * np.array([1, 0.8, 0.5], np.float32)
    mask: Floats = np.ones(before.shape[:2], np.float32)
    if not hard:
        mask[:] = 0
        mask[12:-12, 12:-12] = 1
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 4), np.float32)
    made = image.copy()
    made[y0:y1, x0:x1] = np.clip(before + slope * mask[..., None], 0, 255).astype(np.uint8)
    return image, made, Patch(mask, before, (x0, y0))


@pytest.mark.parametrize("hard", [True, False])
def test_another_light_is_taken_off_to_the_middle(hard: bool) -> None:
    image, made, patch = pasted(hard=hard)
    (out,) = through("blend", [made], [patch])
    wrong = np.abs(made.astype(int) - image)[50:150, 60:180].mean()
    assert np.abs(out.astype(int) - image)[50:150, 60:180].mean() < (0.15 if hard else 0.5) * wrong
    assert np.abs(out.astype(int) - image)[90:110, 110:130].mean() < 3


def test_what_was_drawn_stays_inside_and_its_edge_vanishes() -> None:
    image, made, patch = pasted()
    cv2.circle(made, (120, 100), 16, (200, 30, 30), -1)
    (out,) = through("blend", [made], [patch])
    assert out[100, 120, 0] > 180
    assert out[100, 120, 1] < 45
    step = np.abs(out[60:140, 60].astype(int) - image[60:140, 60]).mean()
    assert step < 1, "there is a step at the edge"


def test_a_frame_that_does_not_tell_passes_as_it_is() -> None:
    image = shown()
    np.testing.assert_array_equal(through("blend", [image])[0], image)


# Denoise


def test_noise_is_measured() -> None:
    flat = np.full((160, 160), 128, np.uint8)
    for sigma in (2.0, 6.0, 12.0):
        noisy = np.clip(np.rint(flat + dice.normal(0, sigma, flat.shape)), 0, 255).astype(np.uint8)
        assert noise_of(noisy) == pytest.approx(sigma, rel=0.12)
    assert noise_of(flat) == 0


def test_noise_goes_and_detail_stays() -> None:
    clean = [shown(0.7 * k, 0.3 * k) for k in range(16)]
    noisy = grained(clean, 6)
    out = through("denoise", noisy)
    gain = np.mean([psnr(a, c) - psnr(b, c) for a, b, c in zip(out[6:], noisy[6:], clean[6:], strict=True)])
    assert gain > 5
    assert np.mean([sharpness(a) for a in out[6:]]) > 0.95 * np.mean([sharpness(c) for c in clean[6:]])


def test_a_clean_video_is_left_alone() -> None:
    clean = [shown(0.7 * k, 0.3 * k) for k in range(6)]
    for one, two in zip(through("denoise", clean), clean, strict=True):
        assert psnr(one, two) > 48 if not np.array_equal(one, two) else True


def test_no_ghost_of_what_was_there_remains() -> None:
    noisy = grained([shown()] * 8 + [255 - shown()] * 3, 6)
    out = through("denoise", noisy)
    assert psnr(out[8], 255 - shown()) > psnr(noisy[8], 255 - shown())


# Steady


def shaken(count: int, *, by: float = 1.5, drift: float = 0.0) -> tuple[list[Image], np.ndarray]:
    path = np.random.default_rng(4).normal(0, by, (count, 2)) + drift * np.arange(count)[:, None]
    return [shown(x, y) for x, y in path], path


def wander(images: list[Image]) -> np.ndarray:
    """Return (n, 2): where the scene is in each picture, pixels."""

    def middle(image: Image) -> Image:
        return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[24:-24, 24:-24])

    def found(image: Image) -> Floats:
        start = np.eye(2, 3, dtype=np.float32)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-5)
        return np.asarray(cv2.findTransformECC(middle(shown()), middle(image), start, cv2.MOTION_TRANSLATION, stop, None, 9)[1][:, 2])

    return np.array([found(image) for image in images])


def tremble(path: np.ndarray) -> float:
    return float(np.sqrt((np.diff(path, 2, axis=0) ** 2).sum(1).mean()))


def test_trembling_is_taken_off() -> None:
    images, path = shaken(40)
    found = wander(images)
    np.testing.assert_allclose(found, path, atol=0.25)
    out = wander(through("steady", images))
    assert tremble(out) < 0.15 * tremble(found)


def test_a_motion_that_goes_somewhere_stays_to_its_ends() -> None:
    images, path = shaken(40, by=0.0, drift=0.15)
    out = wander(through("steady", images))
    np.testing.assert_allclose(out, path, atol=0.3)


def test_a_still_picture_stays_bit_for_bit() -> None:
    for out in through("steady", [shown()] * 12):
        np.testing.assert_array_equal(out, shown())


def test_a_cut_is_no_motion() -> None:
    images = [shown()] * 10 + [shown()[:, ::-1].copy()] * 10
    for out, image in zip(through("steady", images), images, strict=True):
        np.testing.assert_array_equal(out, image)


def test_a_drawn_part_that_trembles_is_held_against_what_lies_round_it() -> None:
    """The head moves on slowly; the part drawn into it trembles besides."""
    shakes = np.random.default_rng(6).normal(0, 1.2, (30, 2))
    y0, y1, x0, x1 = 40, 160, 50, 190
    images, patches, own = [], [], []
    for k, (x, y) in enumerate(shakes):
        image = shown(0.5 * k, 0)
        before = image[y0:y1, x0:x1].copy()
        image[y0:y1, x0:x1] = shown(0.5 * k + x, y)[y0:y1, x0:x1]
        images.append(image)
        patches.append(Patch(np.ones(before.shape[:2], np.float32), before, (x0, y0)))
        own.append(before)
    out = through("steady", images, patches)

    def apart(pictures: list[Image]) -> float:
        inner = [(i[y0 + 20 : y1 - 20, x0 + 20 : x1 - 20].astype(float), o[20:-20, 20:-20]) for i, o in zip(pictures, own, strict=True)]
        return float(np.mean([np.abs(b - a).mean() for a, b in pairwise([a - b for a, b in inner])]))

    assert apart(out) < 0.35 * apart(images)
    for a, b in zip(out, images, strict=True):
        np.testing.assert_array_equal(a[:y0], b[:y0])


# All


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unsharp", {"amount": -1.0}),
        ("unsharp", {"radius": 0.0}),
        ("blend", {"feather": 0.0}),
        ("blend", {"colour": 2.0}),
        ("denoise", {"strength": -1.0}),
        ("steady", {"frames": 0.0}),
        ("steady", {"most": 1.0}),
    ],
)
def test_options_that_make_no_sense_are_refused(name: str, options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=name):
        load("stages", name, **options)


def test_the_area_is_what_was_drawn_with_a_margin_inside_the_picture() -> None:
    mask = np.ones((10, 20), np.float32)
    frame = Frame(np.zeros((40, 50, 3), np.uint8), SILENCE, 0, Patch(mask, np.zeros((10, 20, 3), np.uint8), (2, 25)))
    found = area(frame, 8)
    assert found is not None
    assert (found.rows, found.columns) == (slice(17, 40), slice(0, 30))
    assert found.share is not None
    assert found.share.sum() == 200
    assert found.share[8:18, 2:22].min() == 1
    assert area(Frame(frame.image, SILENCE, 0, Patch(mask * 0, frame.image[:10, :20], (0, 0)))) is None

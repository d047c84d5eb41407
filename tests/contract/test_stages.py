"""What every Stage promises (`huashen.stages.Stage`)."""

import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pytest

from huashen import registry
from huashen.flow import first_sample
from huashen.stages import MEMORY, STEP, TABLE, Stage, denoise
from huashen.types import Audio, Floats, Frame, Image, Patch, Video

RATE, FPS = 16000, Fraction(30000, 1001)
SIZE = (112, 96)


@pytest.fixture(scope="module", params=TABLE.names())
def stage(request: pytest.FixtureRequest) -> Any:
    lacking = registry.missing(TABLE.get(request.param))
    if lacking:
        pytest.skip(f"wants {', '.join(lacking)}")
    return registry.load("stages", request.param)


def picture(k: int, size: tuple[int, int] = SIZE) -> Image:
    """Return a textured picture that trembles, drifts and is noisy."""
    width, height = size
    dice = np.random.default_rng(k)
    scene = np.random.default_rng(5).integers(0, 255, (height // 6 + 4, width // 6 + 4, 3)).astype(np.uint8)
    large = cv2.resize(scene, (width + 24, height + 24), interpolation=cv2.INTER_CUBIC)
    x, y = 8 + 0.2 * k + dice.normal(0, 0.8), 8 + dice.normal(0, 0.8)
    moved = cv2.warpAffine(large, np.array([[1, 0, -x], [0, 1, -y]]), size, flags=cv2.INTER_CUBIC)
    image: Image = np.clip(moved + dice.normal(0, 5, moved.shape), 0, 255).astype(np.uint8)
    image.setflags(write=False)
    return image


def painted(image: Image, k: int, *, soft: bool = True) -> tuple[Image, Patch]:
    """Return a picture with a patch of another light that trembles by itself, and the word of it."""
    mask: Floats = np.zeros((60, 66), np.float32)
    cv2.ellipse(mask, (33, 30), (28, 25), 0, 0, 360, 1.0, -1)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 2) if soft else np.ones_like(mask), np.float32)
    x, y = 22 + k % 3, 18
    before = image[y : y + 60, x : x + 66].copy()
    shift = np.random.default_rng(100 + k).normal(0, 1, 2)
    new = cv2.warpAffine(before, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (66, 60), borderMode=cv2.BORDER_REPLICATE) + 12.0
    image = image.copy()
    image[y : y + 60, x : x + 66] = np.clip(before + (new - before) * mask[..., None], 0, 255).astype(np.uint8)
    for array in (mask, before, image):
        array.setflags(write=False)
    return image, Patch(mask, before, (x, y))


def sound(k: int) -> Audio:
    samples = np.arange(first_sample(k, RATE, FPS), first_sample(k + 1, RATE, FPS), dtype=np.float32) / 1e6
    samples.setflags(write=False)
    return Audio(samples, RATE)


def frames(count: int, *, drawn: bool = False, without: range = range(0)) -> Iterator[Frame]:
    """Yield frames nobody may write to."""
    nothing = Patch(np.zeros((0, 0), np.float32), np.zeros((0, 0, 3), np.uint8), (0, 0))
    for k in range(count):
        image, patch = painted(picture(k), k) if drawn else (picture(k), None)
        yield Frame(picture(k), sound(k), k, nothing) if k in without else Frame(image, sound(k), k, patch)


def video(count: int, **how: Any) -> Video:
    return Video(frames(count, **how), FPS, SIZE, RATE, count)


def test_it_is_a_stage(stage: Any) -> None:
    assert isinstance(stage, Stage)
    assert isinstance(stage.lookahead_frames, int)
    assert stage.lookahead_frames >= 0


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 17])
def test_frames_keep_number_order_size_and_sound(stage: Stage, count: int, drawn: bool) -> None:
    made = stage(video(count, drawn=drawn))
    out = list(made.frames)
    assert made.rate == RATE
    assert [frame.index for frame in out] == list(range(len(out)))
    assert made.length in (None, len(out))
    if made.fps == FPS:
        assert len(out) == count
    for frame in out:
        assert frame.image.shape == (made.size[1], made.size[0], 3)
        assert frame.image.dtype == np.uint8
        assert frame.audio.rate == RATE
    joined = np.concatenate([np.zeros(0, np.float32), *(frame.audio.samples for frame in out)])
    np.testing.assert_array_equal(joined, np.arange(first_sample(count, RATE, FPS), dtype=np.float32) / 1e6)


def test_it_does_something(stage: Stage) -> None:
    pairs = zip(stage(video(12, drawn=True)).frames, frames(12, drawn=True), strict=True)
    changed = [np.abs(a.image.astype(int) - b.image).mean() for a, b in pairs]
    assert np.median(changed) > 0.02


def test_only_what_was_drawn_is_touched_and_the_word_is_passed_on(stage: Stage) -> None:
    made = stage(video(20, drawn=True, without=range(8, 12)))
    if made.size != SIZE or made.fps != FPS:
        pytest.skip("another size or rate")
    for one, two in zip(made.frames, frames(20, drawn=True, without=range(8, 12)), strict=True):
        away = np.abs(one.image.astype(int) - two.image).max(2)
        assert one.drawn is not None
        assert two.drawn is not None
        assert one.drawn.corner == two.drawn.corner
        tall, wide = two.drawn.mask.shape
        x, y = two.drawn.corner
        if tall:
            away[y : y + tall, x : x + wide][two.drawn.mask > 0] = 0
        assert not away.any()


@pytest.mark.parametrize("drawn", [False, True])
def test_frames_that_come_later_do_not_change_those_before(stage: Stage, drawn: bool) -> None:
    """The first frames of a long video are those of a short one, but for its end."""
    short = [frame.image for frame in stage(video(14, drawn=drawn)).frames]
    long = [frame.image for frame in stage(video(30, drawn=drawn)).frames]
    for k in range(14 - stage.lookahead_frames):
        np.testing.assert_array_equal(short[k], long[k])


def test_what_was_long_ago_hardly_counts(stage: Stage) -> None:
    """Work that goes on in the middle lets a stage see some frames before, and none may tell the difference."""
    whole = [frame.image for frame in stage(video(70)).frames]
    late = [frame.image for frame in stage(Video(islice(frames(70), 15, None), FPS, SIZE, RATE)).frames]
    for one, two in zip(whole[65:], late[50:], strict=True):
        assert np.abs(one.astype(int) - two).mean() < 0.3


def test_a_frame_comes_as_soon_as_its_lookahead_has(stage: Stage) -> None:
    read = 0

    def live() -> Iterator[Frame]:
        nonlocal read
        for frame in frames(25):
            read += 1
            yield frame

    made = stage(Video(live(), FPS, SIZE, RATE))
    for frame in made.frames:
        assert read <= min(25, float(frame.index * FPS / made.fps) + 1 + stage.lookahead_frames)


def test_two_videos_at_once_do_not_meet(stage: Stage) -> None:
    alone = [frame.image for frame in stage(video(14)).frames]
    other = Video((replace(frame, image=frame.image[:, ::-1]) for frame in frames(14)), FPS, SIZE, RATE)
    together = [frame.image for frame, _ in zip(stage(video(14)).frames, stage(other).frames, strict=True)]
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_is_written_into_a_frame_does_not_show_in_the_next(stage: Stage) -> None:
    clean = [frame.image.copy() for frame in stage(video(10)).frames]
    given = (replace(frame, image=frame.image.copy()) for frame in frames(10))
    for frame, image in zip(stage(Video(given, FPS, SIZE, RATE)).frames, clean, strict=True):
        np.testing.assert_array_equal(frame.image, image)
        frame.image[:] = 0


def test_cuts_and_another_patch_are_survived(stage: Stage) -> None:
    def stream() -> Iterator[Frame]:
        for k in range(24):
            image = picture(k) if k < 8 else 255 - picture(k)
            if k < 4 or 12 <= k < 16:
                yield Frame(image, sound(k), k)
            else:
                image, patch = painted(image, k, soft=k < 16)
                yield Frame(image, sound(k), k, patch)

    assert len(list(stage(Video(stream(), FPS, SIZE, RATE)).frames)) == 24


def test_pictures_as_small_as_can_be(stage: Stage) -> None:
    for size in ((2, 2), (64, 2), (3, 70)):
        shots = (Frame(np.full((size[1], size[0], 3), 90 + k, np.uint8), sound(k), k) for k in range(8))
        assert sum(1 for _ in stage(Video(shots, FPS, size, RATE)).frames) == 8


def test_memory_does_not_grow_with_length(stage: Stage) -> None:
    stream = stage(video(200, drawn=True)).frames

    def held(count: int) -> int:
        for _, _frame in zip(range(count), stream, strict=False):
            pass
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        held(40)
        before = held(20)
        after = held(80)
    finally:
        tracemalloc.stop()
    assert after - before < 4 * SIZE[0] * SIZE[1] * 3


@pytest.mark.parametrize("drawn", [False, True])
def test_work_that_was_stopped_goes_on_exactly(stage: Any, drawn: bool) -> None:
    count, begin = STEP + MEMORY + 24, STEP
    whole = list(stage(video(count, drawn=drawn)).frames)
    rest = (replace(frame, index=frame.index - begin) for frame in islice(frames(count, drawn=drawn), begin, None))
    again = list(stage(Video(rest, FPS, SIZE, RATE)).frames)
    for one, two in zip(whole[begin + MEMORY :], again[MEMORY:], strict=True):
        np.testing.assert_array_equal(one.image, two.image)


def test_two_stages_go_on_exactly_too() -> None:
    both = registry.load("stages", "denoise"), registry.load("stages", "steady")
    count, begin = STEP + 2 * MEMORY + 10, STEP

    def through(made: Video) -> list[Frame]:
        for one in both:
            made = one(made)
        return list(made.frames)

    whole = through(video(count))
    rest = (replace(frame, index=frame.index - begin) for frame in islice(frames(count), begin, None))
    for one, two in zip(whole[begin + 2 * MEMORY :], through(Video(rest, FPS, SIZE, RATE))[2 * MEMORY :], strict=True):
        np.testing.assert_array_equal(one.image, two.image)


def test_nothing_is_seen_of_averages_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against averages that are never begun anew: the noise was of 5 grey levels."""
    anew = [frame.image.astype(np.float32) for frame in registry.load("stages", "denoise")(video(STEP + 6)).frames]
    monkeypatch.setattr(denoise, "STEP", 10**6)
    on = [frame.image.astype(np.float32) for frame in registry.load("stages", "denoise")(video(STEP + 6)).frames]
    apart = np.array([np.abs(one - two).mean() for one, two in zip(anew, on, strict=True)])
    assert not apart[:STEP].any()
    assert 0 < apart[STEP:].max() < 1.0

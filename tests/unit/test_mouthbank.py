"""What mouthbank draws on a drawn clip: the mouth wanted, and nothing else."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from huashen.errors import InputError
from huashen.footage import Footage
from huashen.ops import mesh
from huashen.registry import load
from huashen.talking_head.mouthbank import AHEAD, POINTS, REACH, Bank, Mouthbank, _fitted, redrawn
from huashen.types import ARKIT, ARKIT_INDEX, Audio, Floats, Image, Motion, Speech
from synthetic import clip, portrait

SILENT = Audio(np.zeros(640, np.float32), 16000)


def motion(**weights: float) -> Motion:
    found = np.zeros(len(ARKIT), np.float32)
    for name, value in weights.items():
        found[ARKIT_INDEX[name]] = value
    return Motion(found, np.zeros(6, np.float32), SILENT)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    return clip(tmp_path_factory.mktemp("clip"), (160, 180), frames=52)


@pytest.fixture(scope="module")
def bank(drawn: Footage) -> Bank:
    return Bank(drawn)


def opening(image: Image, points: Floats) -> float:
    """Return how much of a drawn mouth's surroundings is as dark as its inside."""
    x, y = points[[61, 291], :2].mean(0)
    unit = float(np.linalg.norm(points[33] - points[263]))
    part = image[round(y - 0.1 * unit) : round(y + 0.45 * unit), round(x - 0.2 * unit) : round(x + 0.2 * unit)]
    return float((part.max(2) < 110).mean())


def drawn_at(bank: Bank, gap: float, count: int = 26) -> list[Image]:
    wanted = ((motion(), gap, float(np.nanmedian(bank.width))) for _ in range(count))
    return [frame.image for frame in redrawn(bank, wanted, Fraction(25))]


def test_the_mouth_wanted_is_drawn_whatever_the_clip_does(bank: Bank) -> None:
    points = bank.footage.points
    shut = [opening(image, points[k]) for k, image in enumerate(drawn_at(bank, 0.0))]
    wide = [opening(image, points[k]) for k, image in enumerate(drawn_at(bank, float(np.nanmax(bank.gap))))]
    own = [opening(image, points[k]) for k, image in enumerate(bank.footage.images(range(26)))]
    assert max(own) > 0.3 > 0.08 > min(own), "the clip opens and closes its mouth"
    assert max(shut) < 0.4 * max(own)
    assert min(wide) > 0.6 * max(own)


def test_nothing_but_the_lower_face_changes(bank: Bank) -> None:
    frames = bank.footage.images(range(26))
    for k, (image, own) in enumerate(zip(drawn_at(bank, 0.1), frames, strict=True)):
        nose = int(bank.footage.points[k, 1, 1])
        np.testing.assert_array_equal(image[: nose - 8], own[: nose - 8])


def test_frames_without_the_face_pass_through_untouched(tmp_path: Path) -> None:
    footage = clip(tmp_path, (96, 96), frames=44, without=range(14, 20))
    made = drawn_at(Bank(footage), 0.2, 30)
    own = list(footage.images(range(30)))
    for k in range(14, 20):
        np.testing.assert_array_equal(made[k], own[k])
    change = [float(np.abs(a.astype(int) - b).max()) for a, b in zip(made, own, strict=True)]
    assert max(change) > 40


def test_what_a_motion_asks_is_scaled_to_the_person(bank: Bank) -> None:
    shut, wide = bank.wanted(motion())[0], bank.wanted(motion(jawOpen=0.9))[0]
    assert shut == pytest.approx(bank.shut)
    assert 0.7 * np.nanmax(bank.gap) < wide < 1.2 * np.nanmax(bank.gap)
    assert bank.wanted(motion(jawOpen=0.9, mouthClose=1.0))[0] == pytest.approx(bank.shut)
    narrow, rest, broad = (bank.wanted(m)[1] for m in (motion(mouthPucker=1), motion(), motion(mouthStretchLeft=1, mouthStretchRight=1)))
    assert narrow < rest < broad


def test_the_clips_own_curve_is_found_as_the_clip_itself(bank: Bank) -> None:
    wanted = [(float(bank.gap[k]), float(bank.width[k]), k) for k in range(40)]
    path = list(bank.search(iter(wanted)))
    assert len(path) == 40
    assert np.mean(np.abs(np.diff(path)) <= 2) > 0.8, "units follow each other in the clip"
    assert np.abs(bank.gap[path] - bank.gap[:40]).max() < 0.35 * np.nanmax(bank.gap)


def test_a_unit_comes_as_soon_as_what_lies_ahead_is_known(bank: Bank) -> None:
    asked = 0

    def wanted() -> object:
        nonlocal asked
        for k in range(30):
            asked += 1
            yield 0.1, 0.5, k

    for count, _ in enumerate(bank.search(wanted())):
        assert asked <= count + AHEAD + 1


def test_a_shape_is_fitted_exactly_within_reach_and_never_turned_inside_out(bank: Bank) -> None:
    where = {int(p): i for i, p in enumerate(POINTS)}
    over, under = ([where[int(p)] for p in row[3]] for row in (mesh.UPPER_LIP, mesh.LOWER_LIP))
    for k in (0, 3, 6):
        shape = bank.poses.shape[k]
        have = bank.gap[k]
        for gap in (max(0.0, have - 0.9 * REACH), have + 0.5 * REACH):
            fitted = _fitted(shape, gap, float(bank.width[k]))
            assert np.linalg.norm(fitted[where[13]] - fitted[where[14]]) == pytest.approx(gap, abs=0.012)
            assert (fitted[under, 1] - fitted[over, 1]).min() > -1e-6
        fitted = _fitted(shape, have, float(bank.width[k]) + 0.03)
        assert np.linalg.norm(fitted[where[61]] - fitted[where[291]]) == pytest.approx(bank.width[k] + 0.03, abs=0.004)


def test_a_mouth_that_never_opens_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the mouth hardly opens in drawn\.mp4") as caught:
        Bank(clip(tmp_path, (96, 96), gap=0.01))
    assert "\n" not in str(caught.value)


def test_a_clip_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="12 frames only"):
        Bank(clip(tmp_path, (96, 96), frames=12))


def test_a_picture_is_refused() -> None:
    with pytest.raises(InputError, match="give --face a video"):
        Mouthbank(driver=load("audio2face")).animate(portrait((64, 64)), [Speech(SILENT)])

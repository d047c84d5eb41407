"""What mouthbank draws on a drawn clip: the mouth wanted, and nothing else."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from huashen.errors import InputError
from huashen.footage import Footage
from huashen.ops import mesh
from huashen.registry import load
from huashen.talking_head.bank import Bank, Region
from huashen.talking_head.lowerface import LIPS, POINTS, REACH, STRAY, drifted, fitted, gap_of, misplaced, width_of
from huashen.talking_head.mouthbank import Mouthbank, redrawn
from huashen.talking_head.units import AHEAD
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


def test_a_silent_mouth_is_shut_and_one_that_is_shut_stays(bank: Bank) -> None:
    points = bank.footage.points
    for k, own in enumerate(bank.footage.images(range(26))):
        image = bank.silent(own, k)
        if bank.gap[k] < bank.shut + 0.02:
            assert image is own
        else:
            assert opening(image, points[k]) < 0.12
            nose = int(points[k, 1, 1])
            np.testing.assert_array_equal(image[: nose - 8], own[: nose - 8])
    assert max(opening(own, points[k]) for k, own in enumerate(bank.footage.images(range(26)))) > 0.3


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
            made = fitted(shape, gap, float(bank.width[k]))
            assert np.linalg.norm(made[where[13]] - made[where[14]]) == pytest.approx(gap, abs=0.012)
            assert (made[under, 1] - made[over, 1]).min() > -1e-6
        made = fitted(shape, have, float(bank.width[k]) + 0.03)
        assert np.linalg.norm(made[where[61]] - made[where[291]]) == pytest.approx(bank.width[k] + 0.03, abs=0.004)


def test_what_lips_are_off_is_told_from_how_they_open(bank: Bank) -> None:
    """Shapes made by a rule, and moved: the moves are found, whatever the mouth does."""
    dice = np.random.default_rng(0)
    mean = bank.poses.shape[0]
    gaps, widths = dice.uniform(0.02, 0.25, 200), dice.uniform(0.45, 0.6, 200)
    shapes = np.stack([fitted(mean, gap, width) for gap, width in zip(gaps, widths, strict=True)])
    shapes[:, :LIPS] -= shapes[:, :LIPS].mean(1, keepdims=True)
    told = np.stack([gap_of(shapes), width_of(shapes)], 1)
    moves = dice.normal(0, 0.008, (200, 3))
    moves[-1] = 0.5, 0, 0  # not learned from, and too far to be believed
    shapes[:, :LIPS] += (told @ np.array([[0.0, 0.4, 0.1], [0.1, -0.2, 0.3]]) + moves)[:, None]
    shapes[50] = np.nan
    units = np.array([k for k in range(199) if k != 50])
    found = misplaced(shapes, units)
    assert not found[50].any()
    away = found[units] - (moves[units] - moves[units].mean(0))
    assert np.abs(away).max() < 0.009
    assert np.sqrt((away**2).mean()) < 0.25 * moves[units].std()
    assert found[199, 0] == pytest.approx(STRAY)


def test_a_drift_stays_and_trembling_goes_but_not_over_a_cut() -> None:
    broken = np.zeros(60, bool)
    broken[[0, 30]] = True
    steps = np.where(np.arange(60) < 30, 0.0, 1.0)[:, None]
    np.testing.assert_allclose(drifted(steps, broken), steps, atol=1e-12)
    assert np.abs(np.diff(drifted(steps, np.arange(60) == 0)[:, 0])).max() < 0.3
    trembling = np.random.default_rng(0).normal(0, 1, (60, 2))
    assert np.diff(drifted(trembling, broken), axis=0)[5:25].std() < 0.25 * np.diff(trembling, axis=0).std()
    slow = np.sin(np.arange(60) / 15)[:, None]
    assert np.abs(drifted(slow, broken) - slow).max() < 0.12


def test_a_mouth_that_never_opens_in_the_clip_is_drawn_open(tmp_path: Path) -> None:
    bank = Bank(clip(tmp_path, (160, 180), gap=0.01))
    points = bank.footage.points
    assert bank.lack(bank.shut) == 0
    assert bank.lack(bank.wanted(motion(jawOpen=0.7))[0]) == 1
    shut = [opening(image, points[k]) for k, image in enumerate(drawn_at(bank, bank.shut))]
    wide = [opening(image, points[k]) for k, image in enumerate(drawn_at(bank, 0.15))]
    assert max(shut) < 0.06
    assert min(wide) > max(shut) + 0.05


def test_a_mouth_comes_to_be_drawn_smoothly(tmp_path: Path) -> None:
    bank = Bank(clip(tmp_path, (96, 96), gap=0.05))
    most = float(np.nanmax(bank.gap))
    lacks = np.array([bank.lack(gap) for gap in (0.5 * most, most, most + 0.03, most + 0.04, most + 0.09)])
    assert lacks[1] == 0
    assert lacks[-1] == 1
    assert (np.diff(lacks) >= 0).all()
    assert 0 < lacks[2] < 1


def test_a_short_clip_speaks_all_the_same(tmp_path: Path) -> None:
    made = drawn_at(Bank(clip(tmp_path, (96, 96), frames=12)), 0.1, 20)
    assert len(made) == 20


def test_a_clip_that_never_shows_the_front_is_refused_in_one_line(tmp_path: Path) -> None:
    footage = clip(tmp_path, (96, 96), frames=12)
    aside = footage.points.copy()
    middle = aside[:, :468].mean(1, keepdims=True)
    turn = np.array([[np.cos(1.2), 0, np.sin(1.2)], [0, 1, 0], [-np.sin(1.2), 0, np.cos(1.2)]], np.float32)
    with pytest.raises(InputError, match=r"drawn\.mp4 never shows the mouth from the front") as caught:
        Bank(replace(footage, points=(aside - middle) @ turn.T + middle))
    assert "\n" not in str(caught.value)


def test_only_the_lips_change_where_only_the_mouth_is_wanted(drawn: Footage) -> None:
    changed = []
    regions: tuple[Region, ...] = ("mouth", "lower-face")
    for region in regions:
        most = 0
        for image, own, points in zip(drawn_at(Bank(drawn, region=region), 0.2, 14), drawn.images(range(14)), drawn.points, strict=False):
            x, y = (round(float(v)) for v in points[152, :2])
            chin = slice(y - 2, y + 3), slice(x - 8, x + 8)
            most = max(most, int(np.abs(image[chin].astype(int) - own[chin]).max()))
        changed.append(most)
    assert changed[0] < 0.5 * changed[1]


@pytest.mark.parametrize("region", ["mouth", "lower-face"])
def test_lips_that_open_wide_do_not_fold_over_the_skin_below_them(drawn: Footage, region: Region) -> None:
    bank = Bank(drawn, region=region)
    own = bank.poses.shape[0]
    assert bank.gap[0] < 0.03
    full = own
    for gap in (0.07, 0.14, 0.21, 0.28):  # in steps, for one goes 0.07 at most
        full = fitted(full, gap, float(bank.width[0]))
    lips = full[:LIPS]
    goal = np.concatenate([lips, own[LIPS:] + bank._follow[LIPS:, None] * bank._chin.moved(own, lips)])
    at = {int(point): i for i, point in enumerate(POINTS)}
    down = goal[[at[i] for i in (14, 17, 18, 200, 199, 175)], 1]
    assert gap_of(goal) == pytest.approx(0.28, abs=0.01)
    assert np.diff(down).min() > 0.01


def test_what_comes_before_the_mouth_is_told_and_the_clips_own_mouth_stays(tmp_path: Path) -> None:
    free = clip(tmp_path, (160, 180), frames=80)
    mouths = np.array(free.mouths)
    mouths[30:40, :, 20:] = (40, 60, 120)
    bank = Bank(replace(free, mouths=mouths))
    assert (bank.hidden[30:40] > 0.5).all()
    assert (bank.hidden[:26] == 0).all()
    assert (Bank(free).hidden == 0).all()
    made = drawn_at(bank, 0.2, 60)
    change = [float(np.abs(a.astype(int) - b).max()) for a, b in zip(made, free.images(range(60)), strict=False)]
    assert max(change[30:40]) == 0
    assert max(change[:26]) > 40
    assert not set(range(30, 40)) & set(bank.search((0.2, 0.5, k) for k in range(60)))


def test_a_picture_is_refused() -> None:
    with pytest.raises(InputError, match="give --face a video"):
        Mouthbank(driver=load("audio2face")).animate(portrait((64, 64)), [Speech(SILENT)])

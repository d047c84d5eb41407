"""Following a face: choice, smoothing, loss, laziness; the engine is a stand-in that sees what it is told."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from huashen.errors import InputError
from huashen.face.mediapipe import Region, moved
from huashen.face.pose import MODEL, STILL
from huashen.face.track import _eased, _steadied, choose, is_cut, track
from huashen.face.track import follow as followed
from huashen.types import Box, Face, Floats, Image, Landmarks


def face(x: float, y: float, scale: float = 100.0, shake: float = 0.0, seed: int = 0) -> Face:
    """A face made of the mean face's points, its outer eye corners `scale` pixels apart."""
    rng = np.random.default_rng(seed)
    points = np.repeat(MODEL[:1], 478, axis=0)
    points[list(STILL)] = MODEL
    points = points * scale + (x, y, 0) + rng.normal(0, shake * scale, points.shape)
    plain = Face(Box(0, 0, 1, 1), Landmarks(points.astype(np.float32)), 1.0)
    return moved(plain, points.astype(np.float32))


class Scripted:
    """Finds in picture k (its first value says which) the faces of a script."""

    def __init__(self, script: list[list[Face]]) -> None:
        self.script = script
        self.finds = 0

    def _seen(self, image: Image) -> list[Face]:
        return sorted(self.script[int(image[0, 0, 0])], key=lambda f: -f.box.width)

    def find(self, image: Image) -> list[Face]:
        self.finds += 1
        return self._seen(image)

    def look(self, image: Image, regions: Iterable[Region]) -> list[Face]:
        def inside(f: Face) -> bool:
            x, y = (f.box.x0 + f.box.x1) / 2, (f.box.y0 + f.box.y1) / 2
            return any(abs(x - r.x) < r.side / 2 and abs(y - r.y) < r.side / 2 for r in regions)

        return [f for f in self._seen(image) if inside(f)]

    def fit(self, image: Image, region: Region, *, passes: int | None = None) -> Face | None:
        for f in self._seen(image):
            if np.hypot(f.box.x0 + f.box.x1 - 2 * region.x, f.box.y0 + f.box.y1 - 2 * region.y) < region.side / 2:
                return f
        return None


def pictures(count: int) -> Iterator[Image]:
    for k in range(count):
        yield np.full((400, 600, 3), k, np.uint8)


def follow(script: list[list[Face]], **options: Any) -> list[Face | None]:
    return list(track(pictures(len(script)), finder=Scripted(script), **options))  # type: ignore[arg-type]


def middle(f: Face | None) -> float:
    assert f is not None
    return (f.box.x0 + f.box.x1) / 2


def test_choose_by_size_and_by_place() -> None:
    large, small = face(100, 100, 120), face(400, 100, 60)
    assert choose([large, small]) is large
    assert choose([large, small], 1) is small
    assert choose([large, small], 2) is None
    assert choose([large, small], (390, 120)) is small
    assert choose([], (0, 0)) is None


def test_the_same_person_is_followed_when_another_becomes_larger() -> None:
    script = [[face(100, 200, 80), face(450, 200, 60 + 2 * k)] for k in range(25)]
    assert all(middle(f) < 300 for f in follow(script))
    assert all(middle(f) > 300 for f in follow(script, which=1))
    assert all(middle(f) > 300 for f in follow(script, which=(500, 150)))


def test_a_face_that_goes_and_comes_back() -> None:
    script = [[face(200, 200)]] * 3 + [[]] * 4 + [[face(420, 150)]] * 3
    found = follow(script)
    assert [f is not None for f in found] == [True] * 3 + [False] * 4 + [True] * 3
    assert middle(found[-1]) == pytest.approx(middle(face(420, 150)), abs=1e-3)  # not dragged from where it was


def test_tiles_are_searched_now_and_then_only() -> None:
    finder = Scripted([[]] * 60)
    assert list(track(pictures(60), finder=finder)) == [None] * 60  # type: ignore[arg-type]
    assert finder.finds == 3


def test_smoothing_follows_its_formula() -> None:
    before = face(200, 200).landmarks.points
    eyes = float(np.hypot(*(before[33, :2] - before[263, :2])))
    for times, share in ((1.0, 0.5), (3.0, 0.9), (0.1, 0.2)):
        after = _steadied(before, before + np.array([0.002 * eyes * times, 0, 0], np.float32), 0.002)
        assert (after - before)[:, 0] == pytest.approx(0.002 * eyes * times * share, rel=0.02)


def test_smoothing_removes_jitter_and_keeps_motion() -> None:
    still = [[face(200, 200, shake=0.0007, seed=k)] for k in range(40)]
    def jitter(found: list[Face | None]) -> float:
        points = np.stack([f.landmarks.points for f in found if f])
        return float(np.sqrt((np.diff(points, axis=0) ** 2).mean()))
    assert jitter(follow(still)) < 0.45 * jitter(follow(still, steady=0))

    def opened(gap: float) -> Face:
        points: Floats = face(200, 200).landmarks.points.copy()
        points[14, 1] += 100 * gap
        return moved(face(200, 200), points)

    truth = 0.1 + 0.1 * np.sin(np.arange(50) * 2 * np.pi / 5)  # five openings a second: as fast as people speak
    found = follow([[opened(g)] for g in truth])
    seen = np.array([f.landmarks.points[14, 1] - f.landmarks.points[13, 1] for f in found if f]) / 100
    assert np.ptp(seen[5:]) == pytest.approx(np.ptp(truth[5:]), rel=0.02)
    assert np.abs(seen - truth).max() < 0.002


def test_the_crop_rests_on_a_still_face_and_jumps_with_a_moving_one() -> None:
    here = Region(100, 100, 200, 0.1)
    near = _eased(here, Region(100.2, 100, 200, 0.1))
    assert near.x - 100 < 0.003
    far = _eased(here, Region(140, 90, 230, 0.4))
    assert (far.x, far.y, far.side, far.angle) == pytest.approx((140, 90, 230, 0.4), rel=0.01)
    round_the_back = _eased(Region(0, 0, 100, 3.1), Region(0, 0, 100, -3.1))
    assert round_the_back.angle > 3.1


def test_following_goes_on_as_if_it_had_never_stopped() -> None:
    script = [[face(200 + 3 * k, 200, shake=0.001, seed=k)] if k not in (7, 8, 20) else [] for k in range(30)]
    images = list(pictures(30))
    whole = list(followed(images, finder=Scripted(script)))  # type: ignore[arg-type]
    for stop in (1, 5, 8, 9, 21, 29):
        rest = list(followed(images[stop:], finder=Scripted(script), after=whole[stop - 1][1]))  # type: ignore[arg-type]
        for (ours, trail), (theirs, other) in zip(rest, whole[stop:], strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None and theirs is not None:
                np.testing.assert_array_equal(ours.landmarks.points, theirs.landmarks.points)
            assert (trail.region, trail.lost, trail.cuts) == (other.region, other.lost, other.cuts)


def shot(seed: int) -> Image:
    small = np.random.default_rng(seed).integers(0, 200, (5, 7, 3), np.uint8)
    return np.repeat(np.repeat(small, 80, 0), 86, 1)[:400, :600]


def test_after_a_cut_the_one_meant_is_looked_for_anew() -> None:
    """Where the face was, somebody else is after the cut; the one meant, the larger, is elsewhere."""
    script = [[face(150, 200, 60)]] * 6 + [[face(450, 200, 90), face(150, 200, 60)]] * 6
    images = [shot(1).copy() for _ in range(6)] + [shot(2).copy() for _ in range(6)]
    for k, image in enumerate(images):
        image[0, 0] = k
    found = [one for one, _ in followed(images, finder=Scripted(script))]  # type: ignore[arg-type]
    assert all(middle(f) < 300 for f in found[:6])
    assert all(middle(f) > 300 for f in found[6:])


def test_a_cut_is_told_from_motion_flashes_and_fading_light() -> None:
    from huashen.face.track import _scene

    one, two = _scene(shot(1)), _scene(shot(2))
    assert is_cut(one, two)
    assert not is_cut(one, _scene(np.roll(shot(1), 12, 1)))
    assert not is_cut(one, _scene(np.clip(shot(1).astype(int) + 55, 0, 255).astype(np.uint8)))  # a flash
    near = shot(1).copy()
    near[100:300, 100:320] = 250  # something large comes into the picture
    assert not is_cut(one, _scene(near))


def test_nothing_is_read_ahead() -> None:
    read = 0

    def counted() -> Iterator[Image]:
        nonlocal read
        for image in pictures(5):
            read += 1
            yield image

    found = track(counted(), finder=Scripted([[face(200, 200)]] * 5))  # type: ignore[arg-type]
    assert read == 0
    next(found)
    assert read == 1


def test_wrong_options_are_refused_at_once() -> None:
    with pytest.raises(InputError):
        track([], finder=Scripted([]), steady=-1)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        track([], finder=Scripted([]), which=-1)  # type: ignore[arg-type]

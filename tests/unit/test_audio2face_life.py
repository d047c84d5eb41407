"""A face that lives, by human numbers."""

import numpy as np
import pytest

from huashen.audio2face.life import Life
from huashen.types import ARKIT_INDEX, HEAD


def curves(
    seconds: float, rate: float = 100, *, phase: float = 0.0, pauses: tuple[float, ...] = (), beats: tuple[float, ...] = (), **options
):
    life = Life(**options)
    for time in pauses:
        life.pause(time)
    for time in beats:
        life.beat(time, 1.0)
    time = (np.arange(int(seconds * rate)) + phase) / rate
    found = [life.at(float(t)) for t in time]
    return time, np.array([w for w, _ in found]), np.array([h for _, h in found])


def begins(blink: np.ndarray) -> np.ndarray:
    return np.flatnonzero((blink[1:] > 0.5) & (blink[:-1] <= 0.5))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_blinks_are_as_frequent_and_uneven_as_human_ones(seed: int) -> None:
    _, weights, _ = curves(400, 25, seed=seed)
    times = begins(weights[:, ARKIT_INDEX["eyeBlinkLeft"]]) / 25
    gaps = np.diff(times)
    assert 12 <= len(times) / (400 / 60) <= 22
    assert np.std(gaps) / np.mean(gaps) > 0.4
    assert gaps.max() < 13
    assert 0.02 < np.mean(gaps < 0.6) < 0.3


def test_lids_fall_faster_than_they_rise() -> None:
    time, weights, _ = curves(8, 1000, seed=1)
    blink = weights[:, ARKIT_INDEX["eyeBlinkLeft"]]
    first = begins(blink)[0]
    hill = slice(first - 150, first + 400)
    part = blink[hill]
    peak = int(np.argmax(part))
    fall = (peak - np.flatnonzero(part[:peak] < 0.05)[-1]) / 1000
    rise = (np.flatnonzero(part[peak:] < 0.05)[0]) / 1000
    assert 0.05 < fall < 0.09
    assert 0.14 < rise < 0.21
    assert time[hill][peak] > 0.3


def test_phrase_ends_draw_blinks() -> None:
    pauses = tuple(np.arange(3.0, 400, 6.0))
    _, weights, _ = curves(400, 25, pauses=pauses)
    times = begins(weights[:, ARKIT_INDEX["eyeBlinkLeft"]]) / 25
    near = [np.any((times > p) & (times < p + 0.25)) for p in pauses]
    assert 0.3 < np.mean(near) < 0.75  # by chance alone 0.25 s of 4 would hold one in 16


def test_same_life_at_every_frame_rate() -> None:
    # With phase ½, frame k of 25 fps has the middle of frame 3k + 1 of 75 fps.
    beats, pauses = (1.0, 2.1, 5.5, 6.7), (3.0, 8.0)
    _, w25, h25 = curves(20, 25, phase=0.5, beats=beats, pauses=pauses, seed=5)
    _, w75, h75 = curves(20, 75, phase=0.5, beats=beats, pauses=pauses, seed=5)
    np.testing.assert_allclose(w25, w75[1::3], atol=1e-6)
    np.testing.assert_allclose(h25, h75[1::3], atol=1e-6)


def test_seeds_are_different_people() -> None:
    _, one, _ = curves(30, 25, seed=1)
    _, two, _ = curves(30, 25, seed=2)
    _, again, _ = curves(30, 25, seed=1)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - two).max() > 0.5


@pytest.mark.parametrize("seed", [0, 4])
def test_head_sways_gently_and_smoothly_from_rest(seed: int) -> None:
    _, _, head = curves(80, 50, seed=seed)
    assert not head[0].any()
    assert np.abs(head[:13, :3]).max() < 0.9  # a quarter of a second
    for name, low, high in (("pitch", 0.6, 2.0), ("yaw", 0.9, 3.0), ("roll", 0.5, 1.8)):
        assert low < head[:, HEAD.index(name)].std() < high
    assert np.abs(head[:, :3]).max() < 8
    assert np.abs(np.diff(head[:, :3], axis=0)).max() * 50 < 25  # degrees a second


def test_head_comes_back_before_the_end() -> None:
    life = Life(seed=1)
    pose = [life.at(10 + 0.01 * i, left=0.3 - 0.01 * i)[1] for i in range(31)]
    assert np.abs(pose[0]).max() > 0.2
    assert np.abs(pose[-1]).max() < 1e-5


def test_stress_nods_and_raises_brows() -> None:
    beats = tuple(np.arange(2.0, 60, 1.0))
    time, calm, still = curves(60, 50, seed=2)
    _, weights, head = curves(60, 50, seed=2, beats=beats)
    nod = head[:, 0] - still[:, 0]
    assert nod.max() > 1.0
    assert nod.min() > -0.01  # a nod goes down
    peaks = time[(nod > 0.8 * nod.max())]
    assert np.all(np.abs((peaks - 0.03 + 0.5) % 1.0 - 0.5) < 0.15)
    brows = weights[:, ARKIT_INDEX["browInnerUp"]] - calm[:, ARKIT_INDEX["browInnerUp"]]
    assert 0.1 < brows.max() < 0.5
    assert 0.2 < np.mean([nod[(time > b) & (time < b + 0.1)].max() > 0.4 for b in beats]) < 0.95


def test_gaze_stays_with_the_viewer_and_leaves_for_moments_only() -> None:
    _, weights, head = curves(200, 50, seed=1)
    look = {name: weights[:, ARKIT_INDEX[f"eyeLook{name}"]] for name in ("OutLeft", "InLeft", "UpLeft", "DownLeft", "InRight")}
    yaw = 32 * (look["OutLeft"] - look["InLeft"]) + head[:, 1]  # where the eyes point, head and all
    pitch = 32 * (look["DownLeft"] - look["UpLeft"]) + head[:, 0]
    away = np.hypot(yaw, pitch) > 4.5
    assert 0.01 < np.mean(away) < 0.15
    edges = np.flatnonzero(np.diff(np.concatenate([[0], away.astype(int), [0]])))
    assert np.max(edges[1::2] - edges[::2]) / 50 < 1.3
    np.testing.assert_allclose(look["OutLeft"], look["InRight"])  # both eyes look at one place
    jumps = np.abs(np.diff(yaw)) * 50
    assert jumps.max() > 60  # saccades, not drift


def test_eyelids_follow_the_gaze_down() -> None:
    _, weights, _ = curves(60, 50, seed=3)
    down = weights[:, ARKIT_INDEX["eyeLookDownLeft"]]
    lid = weights[:, ARKIT_INDEX["eyeBlinkLeft"]]
    assert down.max() > 0.1
    assert np.all(lid >= 0.35 * down - 1e-6)
    assert np.median(lid[down == 0]) == 0


def test_still_keeps_the_head_exactly_still() -> None:
    _, weights, head = curves(60, 50, still=True, beats=(2.0, 4.0), seed=1)
    assert not head.any()
    assert weights[:, ARKIT_INDEX["eyeBlinkLeft"]].max() > 0.9
    assert weights[:, [i for n, i in ARKIT_INDEX.items() if n.startswith("eyeLook")]].max() < 0.06

"""Tone mapping against its standards' own numbers."""

import numpy as np
import pytest

from huashen.ops import tone


def test_known_points_of_the_curves() -> None:
    # SMPTE ST 2084: 100 cd/m² is signalled as 0.5081; BT.2408: 203 cd/m² as 0.5807 in PQ and 0.75 in HLG
    assert tone._pq_light(np.array([0.5081])) * tone.WHITE == pytest.approx(100, rel=0.002)
    assert tone._pq_light(np.array([0.5807])) == pytest.approx(1, rel=0.002)
    assert tone._hlg_light(np.full((1, 3), 0.75)) == pytest.approx(1, rel=0.005)
    assert tone._hlg_light(np.ones((1, 3))) * tone.WHITE == pytest.approx(tone.PEAK, rel=1e-3)


def test_the_matrix_is_that_of_bt_2087_undone() -> None:
    there = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    np.testing.assert_allclose(tone._to_709(tone.BT2020) @ there, np.eye(3), atol=5e-4)
    np.testing.assert_allclose(tone._to_709(tone.BT709), np.eye(3), atol=1e-12)


def test_light_is_bent_above_the_knee_only_and_never_out_of_order() -> None:
    light = np.linspace(0, tone.PEAK / tone.WHITE, 500)
    bent = tone._bent(light)
    np.testing.assert_allclose(bent[light < 0.4], light[light < 0.4], rtol=1e-6)
    assert (np.diff(bent) > -1e-9).all()
    assert bent[-1] == pytest.approx(1, abs=1e-3)


def test_wide_colours_without_high_range_keep_their_greys() -> None:
    made = tone.table(14, tone.BT2020, 9)
    grey = made[range(9), range(9), range(9)]
    np.testing.assert_allclose(grey, np.linspace(0, 1, 9)[:, None].repeat(3, 1), atol=1e-3)
    assert made[0, 0, 8].tolist() == [1, 0, 0]  # red of BT.2020 lies outside BT.709: as red as that can be

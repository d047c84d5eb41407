"""Smooth warps (`huashen.ops.warp`)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huashen.ops import warp
from huashen.ops.warp import Grid, Spline


def scattered(count: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform((10, 20), (210, 160), (count, 2)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    matrix=st.lists(st.floats(-2, 2), min_size=6, max_size=6),
    smooth=st.sampled_from([0.0, 1e-3, 1.0]),
    seed=st.integers(0, 99),
)
def test_a_spline_continues_an_affine_map_exactly(matrix: list[float], smooth: float, seed: int) -> None:
    """Bending costs nothing there, so smoothing changes nothing either."""
    linear, shift = np.reshape(matrix[:4], (2, 2)), np.array(matrix[4:]) * 50
    anchors = scattered(seed=seed)
    found = Spline(anchors, (anchors @ linear.T + shift).astype(np.float32), smooth=smooth)
    far = np.array([[-300.0, 500.0], [100.0, 80.0], [900.0, -20.0]], np.float32)
    np.testing.assert_allclose(found(far), far @ linear.T + shift, atol=0.15)
    near = scattered(50, seed + 1)
    np.testing.assert_allclose(found(near), near @ linear.T + shift, atol=0.02)


def test_a_spline_goes_through_its_anchors_and_a_smooth_one_near_them() -> None:
    anchors = scattered()
    values = np.random.default_rng(1).normal(0, 5, (40, 3)).astype(np.float32)
    exact = Spline(anchors, values, smooth=0.0)(anchors)
    np.testing.assert_allclose(exact, values, atol=0.02)
    loose = Spline(anchors, values, smooth=0.1)(anchors)
    assert 0.1 < np.abs(loose - values).mean() < 5


def test_a_spline_agrees_with_the_definition() -> None:
    """Solved densely in double precision from Bookstein's formula: U(r) = r² log r², an affine part, and no bending at infinity."""
    anchors, values = scattered(12).astype(np.float64), np.random.default_rng(2).normal(0, 5, (12, 1))
    scale = 100.0
    p = anchors / scale

    def bend(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        square = ((a[:, None] - b[None]) ** 2).sum(-1)
        return square * np.log(np.where(square > 0, square, 1))

    ones = np.concatenate([np.ones((12, 1)), p], 1)
    system = np.block([[bend(p, p), ones], [ones.T, np.zeros((3, 3))]])
    solved = np.linalg.solve(system, np.concatenate([values, np.zeros((3, 1))]))
    at = scattered(30, 3).astype(np.float64)
    wanted = bend(at / scale, p) @ solved[:12] + np.concatenate([np.ones((30, 1)), at / scale], 1) @ solved[12:]
    found = Spline(anchors.astype(np.float32), values.astype(np.float32), smooth=0.0)(at.astype(np.float32))
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_a_spline_on_every_second_node_is_close_to_the_one_on_every_node() -> None:
    anchors = scattered(12)
    spline = Spline(anchors, np.random.default_rng(4).normal(0, 3, (12, 2)).astype(np.float32))
    grid = Grid(10, 20, 4, 41, 33)
    fine = spline.on(grid)
    assert fine.shape == (33, 41, 2)
    # OpenCV's cubic kernel (a = -0.75) leaves a plane by up to 0.05 of the step between two nodes.
    between = max(np.abs(np.diff(fine[::2, ::2], axis=axis)).max() for axis in (0, 1))
    np.testing.assert_allclose(spline.on(grid, every=2)[4:-4, 4:-4], fine[4:-4, 4:-4], atol=0.08 * between)


def smooth_field(grid: Grid, size: float, seed: int) -> np.ndarray:
    """Return displacements of at most `size` pixels whose slope stays far below 1, fading to 0 at the border."""
    dice = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, np.pi, grid.columns), np.linspace(0, np.pi, grid.rows))
    waves = [np.sin(x * dice.integers(1, 3)) * np.sin(y * dice.integers(1, 3)) for _ in range(2)]
    return (size * np.stack(waves, -1)).astype(np.float32)


@pytest.mark.parametrize("step", [1, 3, 8])
@pytest.mark.parametrize("seed", range(3))
def test_an_inverted_warp_brings_every_point_back(step: int, seed: int) -> None:
    grid = Grid(5, -7, step, 240 // step, 200 // step)
    forward = smooth_field(grid, 9.0, seed)
    back = warp.invert(grid, forward, rounds=12)
    nodes = grid.nodes()
    # Where a place came from, moved forward, must be the place itself; the grid's own coordinates: nodes.
    came = nodes + back
    moved = warp.sample(forward, (came - nodes[0, 0]) / step, sharp=False)
    inner = (slice(2, -2), slice(2, -2))
    # OpenCV fetches at 1/32 of a cell, which is what is left.
    np.testing.assert_allclose((came + moved)[inner], nodes[inner], atol=0.02 + 0.01 * step)


def test_four_rounds_are_enough_for_what_a_face_does() -> None:
    """Displacements of a wide open mouth: 20 pixels within 200, a slope of 0.2."""
    grid = Grid(0, 0, 4, 60, 50)
    forward = smooth_field(grid, 12.0, 5)
    few, many = warp.invert(grid, forward), warp.invert(grid, forward, rounds=30)
    assert np.abs(few - many).max() < 0.15


def test_an_inverted_shift_is_the_shift_backwards() -> None:
    grid = Grid(0, 0, 4, 20, 20)
    forward = np.broadcast_to(np.array([3.0, -2.0], np.float32), (20, 20, 2))
    np.testing.assert_array_equal(warp.invert(grid, forward), -forward)


def test_nodes_are_the_middles_of_their_cells() -> None:
    nodes = Grid(10, 20, 4, 3, 2).nodes()
    assert nodes.shape == (2, 3, 2)
    np.testing.assert_array_equal(nodes[0, 0], (11.5, 21.5))
    np.testing.assert_array_equal(nodes[1, 2], (19.5, 25.5))


@settings(max_examples=100, deadline=None)
@given(
    place=st.tuples(st.integers(-20, 20), st.integers(-20, 20)), step=st.integers(1, 9),
    x=st.tuples(st.floats(-60, 200), st.floats(0.1, 120)), y=st.tuples(st.floats(-60, 200), st.floats(0.1, 120)),
)  # fmt: skip
def test_a_part_of_a_grid_is_the_smallest_that_covers(
    place: tuple[int, int], step: int, x: tuple[float, float], y: tuple[float, float]
) -> None:
    grid = Grid(*place, step, 12, 9)
    x0, x1, y0, y1 = x[0], x[0] + x[1], y[0], y[0] + y[1]
    part, (rows, columns) = grid.part(x0, y0, x1, y1)
    np.testing.assert_array_equal(part.nodes(), grid.nodes()[rows, columns])
    assert part.columns >= 1
    assert part.rows >= 1
    for low, high, begin, length, first, covered in (
        (x0, x1, grid.x0, grid.width, part.x0, part.width), (y0, y1, grid.y0, grid.height, part.y0, part.height),
    ):  # fmt: skip
        if high > begin and low < begin + length:  # they meet: all that is shared is covered, with less than a step to spare
            assert first <= max(low, begin) + 1e-6
            assert first + covered >= min(high, begin + length) - 1e-6
            assert max(low, begin) - first < step + 1e-6
            assert first + covered - min(high, begin + length) <= step + 1e-6


def test_cover_covers() -> None:
    grid = warp.cover(3.7, -2.2, 50.1, 9.9, step=4)
    assert (grid.x0, grid.y0) == (3, -3)
    assert grid.x0 + grid.width >= 50.1
    assert grid.y0 + grid.height >= 9.9
    small = warp.cover(5, 5, 5.5, 5.5, step=4)
    assert (small.columns, small.rows) == (2, 2)


def test_sampling_at_the_pixels_gives_the_pixels_and_outside_the_border_goes_on() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    x, y = np.meshgrid(np.arange(11, dtype=np.float32), np.arange(9, dtype=np.float32))
    for sharp in (True, False):
        np.testing.assert_array_equal(warp.sample(image, np.stack([x, y], -1), sharp=sharp), image)
        outside = warp.sample(image, np.array([[[-50.0, -50.0], [99.0, 4.0]]]), sharp=sharp)
        np.testing.assert_array_equal(outside[0], [image[0, 0], image[4, 10]])


def test_making_a_grid_fine_keeps_its_nodes_values_where_the_nodes_are() -> None:
    grid = Grid(0, 0, 3, 7, 5)
    plane = (grid.nodes() @ np.array([[2.0, 0.5], [1.0, -1.0]])).astype(np.float32)
    fine = warp.fine(grid, plane)
    assert fine.shape == (15, 21, 2)
    np.testing.assert_allclose(fine[1::3, 1::3], plane, atol=1e-4)
    # Between the nodes a plane stays a plane.
    np.testing.assert_allclose(fine[4, 5], np.array([5.0, 4.0]) @ np.array([[2.0, 0.5], [1.0, -1.0]]), atol=1e-4)


def test_a_feather_is_a_smooth_symmetric_step() -> None:
    at = np.linspace(-3, 3, 61)
    found = warp.feather(at, 2.0)
    assert found[at <= -2].max() == 0
    assert found[at >= 2].min() == 1
    assert np.all(np.diff(found) >= 0)
    np.testing.assert_allclose(found + found[::-1], 1, atol=1e-6)

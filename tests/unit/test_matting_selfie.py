"""The guided filter of the matting against its definition."""

import numpy as np
import pytest

from huashen.matting.selfie import guided


def filtered(guide: np.ndarray, target: np.ndarray, radius: int, eps: float) -> np.ndarray:
    line = guided(guide, target, radius, eps)
    return (line[..., :3] * guide).sum(axis=-1) + line[..., 3]


def test_a_linear_function_of_the_colour_comes_back() -> None:
    rng = np.random.default_rng(0)
    guide = rng.random((60, 70, 3)).astype(np.float32)
    target = (0.5 * guide[..., 0] - 0.3 * guide[..., 1] + 0.8 * guide[..., 2] + 0.1).astype(np.float32)
    assert filtered(guide, target, 4, 1e-6) == pytest.approx(target, abs=2e-3)


def test_a_flat_picture_only_blurs() -> None:
    rng = np.random.default_rng(0)
    target = rng.random((40, 40)).astype(np.float32)
    out = filtered(np.full((40, 40, 3), 0.4, np.float32), target, 3, 1e-3)
    at = [[target[y - 3 : y + 4, x - 3 : x + 4].mean() for x in range(3, 37)] for y in range(3, 37)]
    want = [[np.array(at)[y - 3 : y + 4, x - 3 : x + 4].mean() for x in range(3, 31)] for y in range(3, 31)]  # the mean of means
    assert out[6:34, 6:34] == pytest.approx(np.array(want), abs=1e-4)


def test_one_pixel_follows_the_paper() -> None:
    rng = np.random.default_rng(1)
    guide, target = rng.random((9, 9, 3)).astype(np.float32), rng.random((9, 9)).astype(np.float32)
    eps = 0.02
    factors, added = [], []
    for y in range(3, 6):
        for x in range(3, 6):  # the windows that hold the middle pixel, equation 19 for each
            colours = guide[y - 1 : y + 2, x - 1 : x + 2].reshape(9, 3).astype(float)
            values = target[y - 1 : y + 2, x - 1 : x + 2].ravel().astype(float)
            covariance = np.cov(colours.T, bias=True) + eps * np.eye(3)
            a = np.linalg.solve(covariance, (colours * values[:, None]).mean(axis=0) - colours.mean(axis=0) * values.mean())
            factors.append(a)
            added.append(values.mean() - a @ colours.mean(axis=0))
    assert guided(guide, target, 1, eps)[4, 4] == pytest.approx([*np.mean(factors, axis=0), np.mean(added)], abs=1e-4)


def test_a_soft_edge_moves_onto_the_pictures() -> None:
    yy, xx = np.mgrid[:120, :120]
    disk = np.hypot(xx - 60, yy - 60) < 35
    rng = np.random.default_rng(0)
    guide = np.where(disk[..., None], (0.8, 0.5, 0.4), (0.2, 0.5, 0.7)) + rng.normal(0, 0.02, (120, 120, 3))
    soft = 1 / (1 + np.exp((np.hypot(xx - 62, yy - 59) - 35) / 4))
    out = filtered(guide.astype(np.float32), soft.astype(np.float32), 8, 1e-4)
    # The filter widens an edge, which the engine's steepening undoes; where it crosses one half is what counts.
    assert ((soft > 0.5) != disk).sum() > 150
    assert ((out > 0.5) != disk).sum() < 10

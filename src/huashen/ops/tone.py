"""High dynamic range and wide colours brought to what ordinary screens show (BT.709)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from huashen.types import Floats

Array = NDArray[np.float64]

PEAK = 1000.0
"""Nits to which the brightest light is taken to go: what nearly all such footage is graded to, and HLG's nominal screen."""
WHITE = 203.0
"""Nits of a white sheet in such footage (ITU-R BT.2408), which becomes white."""

BT709, BT2020, P3 = 1, 9, 12
"""ITU-T H.273's numbers of primaries."""
PQ, HLG = 16, 18
"""H.273's numbers of transfer functions."""

_PRIMARIES = {
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)


def table(transfer: int, primaries: int, steps: int) -> Floats:
    """Return what becomes of a colour, for a grid of colours.

    Bright light is bent as by ITU-R BT.2390's curve, on the brightest of the three channels so that hues stay; what lies outside
    BT.709's colours is cut off. The result is meant for a screen of gamma 2.4 (BT.1886).

    Args:
        transfer: H.273's number; anything but PQ and HLG is taken as gamma 2.4.
        primaries: H.273's number; unknown ones are taken as BT.709's.
        steps: along each side.

    Returns:
        (steps, steps, steps, 3) by blue, green and red, 0 to 1.
    """
    side = np.linspace(0, 1, steps)
    blue, green, red = np.meshgrid(side, side, side, indexing="ij")
    light = _LIGHT.get(transfer, _gamma)(np.stack([red, green, blue], -1))
    if transfer in _LIGHT:
        top = np.maximum(light.max(-1, keepdims=True), 1e-6)
        light = light * (_bent(top) / top)
    flat = np.clip(light @ _to_709(primaries).T, 0, 1)
    return np.asarray(flat ** (1 / 2.4), np.float32)


def _gamma(signal: Array) -> Array:
    return np.asarray(signal**2.4)


def _pq_light(signal: Array) -> Array:
    """Return light, white is 1 (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return np.asarray((np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * 10_000 / WHITE)


def _pq_signal(light: Array) -> Array:
    """Undo `_pq_light`."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (light * WHITE / 10_000) ** m1
    return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def _hlg_light(signal: Array) -> Array:
    """Return light as on a screen of 1000 nits, white is 1 (ITU-R BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = scene @ np.array([0.2627, 0.6780, 0.0593])
    return np.asarray(PEAK / WHITE * scene * np.maximum(luma, 1e-9)[..., None] ** 0.2)


_LIGHT: dict[int, Callable[[Array], Array]] = {PQ: _pq_light, HLG: _hlg_light}


def _bent(light: Array) -> Array:
    """Bring light up to `PEAK` below 1 (ITU-R BT.2390, 5.4.1: a Hermite spline above a knee, in the scale of PQ)."""
    whole = _pq_signal(np.array(PEAK / WHITE))
    goal = float(_pq_signal(np.array(1.0)) / whole)
    given = np.clip(_pq_signal(light) / whole, 0, 1)
    knee = 1.5 * goal - 0.5
    t = np.clip((given - knee) / (1 - knee), 0, 1)
    curve = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * goal
    return _pq_light(np.where(given < knee, given, curve) * whole)


def _to_709(primaries: int) -> Array:
    """Return the matrix from linear RGB of some primaries to BT.709's."""
    return np.asarray(np.linalg.inv(_to_xyz(BT709)) @ _to_xyz(primaries if primaries in _PRIMARIES else BT709))


def _to_xyz(primaries: int) -> Array:
    corners = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _PRIMARIES[primaries]]).T
    x, y = _D65
    return np.asarray(corners * np.linalg.solve(corners, np.array([x / y, 1, (1 - x - y) / y])))

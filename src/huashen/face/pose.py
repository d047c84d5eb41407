"""Head pose from the face mesh."""

import math

import numpy as np

from huashen.types import Floats


def head(points: Floats) -> Floats:
    """Return how the head is turned against the camera.

    Args:
        points: (≥ 468, 3) mesh points, pixels.

    Returns:
        (6,) in the order of `HEAD`: degrees, then zeros.
    """
    across = points[454] - points[234]
    down = points[152] - points[10]
    across, down = across / np.linalg.norm(across), down / np.linalg.norm(down)
    yaw = math.asin(float(np.clip(across[2], -1, 1)))
    pitch = -math.asin(float(np.clip(down[2], -1, 1)))
    roll = math.atan2(float(across[1]), float(across[0]))
    return np.array([math.degrees(pitch), math.degrees(yaw), math.degrees(roll), 0, 0, 0], np.float32)

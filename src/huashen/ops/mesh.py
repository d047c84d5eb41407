"""Names for points of MediaPipe's face mesh, and the frame of a face in space.

Left and right are the person's. Rows of a lip run from the person's right corner to the left one.

Source: google-ai-edge/mediapipe, face_mesh_connections and canonical_face_model_uv_visualization (Apache-2.0).
"""

from dataclasses import dataclass

import numpy as np

from huashen.types import Floats

UPPER_LIP = np.array([
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
    [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306],
    [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292],
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
])  # fmt: skip
"""(4, 11): from the outer to the inner edge."""
LOWER_LIP = np.array([
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
    [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306],
    [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292],
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
])  # fmt: skip
"""(4, 11): from the outer to the inner edge."""

RIGHT_EYE_UPPER = np.array([33, 246, 161, 160, 159, 158, 157, 173, 133])
RIGHT_EYE_LOWER = np.array([33, 7, 163, 144, 145, 153, 154, 155, 133])
LEFT_EYE_UPPER = np.array([263, 466, 388, 387, 386, 385, 384, 398, 362])
LEFT_EYE_LOWER = np.array([263, 249, 390, 373, 374, 380, 381, 382, 362])
"""Rows of the eyes' edges from the outer to the inner corner."""
RIGHT_IRIS = np.arange(468, 473)
LEFT_IRIS = np.arange(473, 478)

RIGHT_BROW = np.array([46, 53, 52, 65, 55, 70, 63, 105, 66, 107])
LEFT_BROW = np.array([276, 283, 282, 295, 285, 300, 293, 334, 296, 336])
"""Lower edge then upper edge, each from the outer to the inner end."""

OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])  # fmt: skip
"""The face's outline, clockwise as seen from the forehead."""

PAIRS = np.array([[33, 263], [133, 362], [61, 291], [234, 454], [127, 356], [172, 397], [105, 334], [129, 358]])
"""Points that mirror each other: the person's right, then left."""


@dataclass(frozen=True)
class FaceFrame:
    """Where a face is and how it is turned: x to the person's left (the viewer's right), y down the face, z into the head."""

    centre: Floats
    """(3,) pixels: between the outer corners of the eyes."""
    axes: Floats
    """(3, 3): rows are the unit vectors of x, y and z in the picture's coordinates."""
    unit: float
    """The distance between the outer corners of the eyes in space, pixels (about 90 mm on an adult)."""

    def local(self, points: Floats) -> Floats:
        """Turn (n, 3) pixels into the face's own coordinates, in units of `unit`."""
        return np.asarray((points - self.centre) @ self.axes.T / self.unit, np.float32)

    def shift(self, deltas: Floats) -> Floats:
        """Turn (…, 3) shifts in the face's coordinates into (…, 2) pixels in the picture."""
        # Not a matrix product: BLAS would start threads for it, which take the processors from the encoder.
        across, down, deep = self.axes[:, :2] * np.float32(self.unit)
        return np.asarray(deltas[..., :1] * across + deltas[..., 1:2] * down + deltas[..., 2:] * deep, np.float32)


def frame_of(points: Floats) -> FaceFrame:
    """Find the frame of a face from its (478, 3) landmarks."""
    mesh = points[:468].astype(np.float64)
    x = (mesh[PAIRS[:, 1]] - mesh[PAIRS[:, 0]]).sum(0)
    x /= np.linalg.norm(x)
    y = mesh[152] - mesh[10]
    y -= x * (x @ y)
    y /= np.linalg.norm(y)
    z = np.cross(x, y)
    eyes = mesh[[33, 263]]
    return FaceFrame(
        centre=eyes.mean(0).astype(np.float32),
        axes=np.stack([x, y, z]).astype(np.float32),
        unit=float(np.linalg.norm(eyes[1] - eyes[0])),
    )

"""Seams: what was drawn anew takes the light and colour of the skin round it, and its edge vanishes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from huashen.errors import InputError
from huashen.types import Floats, Frame, Image, Patch, Video
from huashen.words import tr

DRAWN = 0.02
"""Share from which a pixel counts as drawn."""
MOST = 48.0
"""Grey levels of difference at the edge that count as light and colour; more is something else that lies there."""

FINE = 96
"""Shorter side at which the membrane is worked out, pixels."""


class Blend:
    """Lays a membrane over what was drawn: along its edge the difference to the picture before, inwards its smooth continuation.

    Frames that do not say what was drawn (`Frame.drawn`) pass as they are.

    Args:
        feather: width of the edge over which old and new picture mix, in shares of the patch's shorter side.
        colour: how much of the difference in colour and light is taken off, 0 to 1.

    Raises:
        InputError: one of them makes no sense.
    """

    lookahead_frames = 0

    def __init__(self, *, feather: float = 0.08, colour: float = 1.0) -> None:
        if not (0 < feather <= 0.5 and 0 <= colour <= 1):
            raise InputError(tr("blend: feather goes up to 0.5, colour from 0 to 1", "blend：feather 最大为 0.5，colour 为 0 到 1"))
        self._feather, self._colour = feather, colour

    def __call__(self, video: Video) -> Video:
        """Return the video, blended as it is read."""
        return replace(video, frames=self._blended(video.frames))

    def _blended(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        last: Patch | None = None
        edge: _Edge | None = None
        for frame in frames:
            patch = frame.drawn
            if patch is None or not patch.mask.size or not patch.mask.any():
                yield frame
                continue
            if edge is None or last is None or patch.corner != last.corner or not np.array_equal(patch.mask, last.mask):
                edge, last = _Edge(patch, frame.image.shape[:2], self._feather), patch
            image = frame.image.copy()
            tall, wide = patch.mask.shape
            spot = image[patch.corner[1] : patch.corner[1] + tall, patch.corner[0] : patch.corner[0] + wide]
            new = spot + self._colour * edge.membrane(patch.before, spot)
            old = patch.before.astype(np.float32)
            mixed = old + (new - old) * edge.inner[..., None]
            spot[edge.area] = np.clip(np.rint(mixed[edge.area]), 0, 255).astype(np.uint8)
            yield replace(frame, image=image)


class _Edge:
    """The edge of a patch, and what follows from it for every frame that has the same."""

    def __init__(self, patch: Patch, size: tuple[int, int], feather: float) -> None:
        import cv2

        self.area: NDArray[np.bool_] = patch.mask > DRAWN
        tall, wide = patch.mask.shape
        (x, y), (height, width) = patch.corner, size
        # Where the patch ends with the picture there is no seam: the distance is not counted from there.
        ends = ((int(y > 0), int(y + tall < height)), (int(x > 0), int(x + wide < width)))

        def depth(area: NDArray[np.bool_]) -> Floats:
            away = cv2.distanceTransform(np.pad(area.astype(np.uint8), ends), cv2.DIST_L2, 3)
            return np.asarray(away[ends[0][0] : ends[0][0] + tall, ends[1][0] : ends[1][0] + wide], np.float32)

        reach = max(3.0, feather * min(patch.mask.shape))
        share = np.clip(depth(self.area) / reach, 0, 1)
        self.inner = np.asarray(share * share * (3 - 2 * share), np.float32)
        scale = min(1.0, FINE / min(tall, wide))
        self._small = max(4, round(wide * scale)), max(4, round(tall * scale))
        solid = patch.mask > 0.25 * float(patch.mask.max())  # the rim of a soft edge hardly shows what was drawn
        rim = np.where(solid, np.clip(1.2 - depth(solid) / reach, 0, 1) * patch.mask, 0).astype(np.float32)
        self._rim = np.minimum(np.asarray(cv2.resize(rim, self._small, interpolation=cv2.INTER_AREA), np.float32), 1)
        self._mask = patch.mask
        self._strong = np.maximum(cv2.resize(patch.mask, self._small, interpolation=cv2.INTER_AREA), 0.1)[..., None]
        self._smooth = max(0.5, reach * scale / 2)

    def membrane(self, before: Image, now: Image) -> Floats:
        """Return (h, w, 3) what to add to a drawn patch so that it agrees with the picture before at its edge."""
        import cv2

        # It is smooth: worked out small, then enlarged.
        small, whole = self._small, now.shape[1::-1]
        difference = cv2.resize(before, small, interpolation=cv2.INTER_AREA).astype(np.float32)
        difference -= cv2.resize(now, small, interpolation=cv2.INTER_AREA)
        difference /= self._strong  # that of the drawn share alone
        # Beyond what light and colour explain, a difference counts less and less: hair or a hand that only one of the two shows.
        trust = np.asarray(self._rim / (1 + (np.abs(difference).max(2) / MOST) ** 4), np.float32)
        weight = np.maximum(cv2.GaussianBlur(trust, (0, 0), self._smooth), 1e-4)
        smooth = cv2.GaussianBlur(difference * trust[..., None], (0, 0), self._smooth) / weight[..., None]
        large = cv2.resize(_spread(np.asarray(smooth, np.float32), trust), whole, interpolation=cv2.INTER_LINEAR)
        return np.asarray(large * self._mask[..., None], np.float32)


def _spread(values: Floats, weight: Floats) -> Floats:
    """Continue values smoothly to where their weight is 0: averages of ever larger surroundings, finer ones where there are some.

    Args:
        values: (h, w, 3).
        weight: (h, w) in [0, 1].

    Source: the pull-push of Gortler et al., The Lumigraph, SIGGRAPH 1996.
    """
    import cv2

    height, width = weight.shape
    if min(height, width) <= 2:
        mean = (values * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)
        return np.asarray(values * weight[..., None] + mean * (1 - weight[..., None]), np.float32)
    below = cv2.pyrDown(weight)
    sums = cv2.pyrDown(values * weight[..., None])
    coarse = _spread(np.asarray(sums / np.maximum(below, 1e-6)[..., None], np.float32), np.asarray(np.minimum(4 * below, 1), np.float32))
    far = cv2.pyrUp(coarse, dstsize=(width, height))
    return np.asarray(values * weight[..., None] + far * (1 - weight[..., None]), np.float32)

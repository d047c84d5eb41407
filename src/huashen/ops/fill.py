"""Filling holes in pictures."""

import numpy as np

from huashen.types import Floats, Image


def fill(image: Image, known: Floats) -> Image:
    """Fill what is not known smoothly from what is, coarse to fine.

    Args:
        image: (h, w, 3) uint8.
        known: (h, w) float32, 1 where the picture is to be kept, 0 where it is a hole.

    Returns:
        (h, w, 3) uint8, equal to `image` where `known` is 1.

    Source: Gortler et al., The Lumigraph, 1996, section 3.4 (pull-push), relaxed to a membrane on the way back.
    """
    import cv2

    levels = [(image.astype(np.float32) * known[..., None], known.astype(np.float32))]
    while min(levels[-1][1].shape) > 4:
        colour, weight = (np.asarray(cv2.GaussianBlur(layer, (5, 5), 1.0)[::2, ::2], np.float32) for layer in levels[-1])
        levels.append((colour, weight))
    colour, weight = levels[-1]
    filled = colour / np.maximum(weight, 1e-6)[..., None]
    for colour, weight in reversed(levels[:-1]):
        up = cv2.resize(filled, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR)
        share = np.minimum(weight * 4, 1)[..., None]
        filled = colour / np.maximum(weight, 1e-6)[..., None] * share + up * (1 - share)
        # A membrane between the hole's edges shows no plateau beside them.
        hole = (weight < 0.999)[..., None]
        for _ in range(12):
            filled = np.where(hole, cv2.blur(filled, (3, 3)), filled)
    return np.asarray(np.clip(np.where(known[..., None] >= 1, image, filled), 0, 255).round(), np.uint8)


def go_on(image: Image, known: Floats, *, reach: float) -> Image:
    """Let a picture go on into a hole with its own texture, by mirroring it at the hole's edge.

    Args:
        image: (h, w, 3) uint8.
        known: (h, w) float32, 1 where the picture is to be kept, 0 where it is a hole.
        reach: how many pixels from the edge the mirrored texture fades into a smooth filling.

    Returns:
        (h, w, 3) uint8, equal to `image` where `known` is 1.
    """
    import cv2

    smooth = fill(image, known)
    kept = known >= 1
    if kept.all() or not kept.any():
        return smooth
    distance, labels = cv2.distanceTransformWithLabels((~kept).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    seeds = np.zeros((int(labels.max()) + 1, 2), np.float32)
    y, x = np.nonzero(kept)
    seeds[labels[y, x]] = np.stack([x, y], -1)
    rows, columns = np.mgrid[: known.shape[0], : known.shape[1]].astype(np.float32)
    # Smoothing where the nearest known pixel lies keeps a ragged edge from tearing the texture.
    nearest = cv2.blur(seeds[labels], (7, 7))
    mirrored = 2 * nearest - np.stack([columns, rows], -1)
    texture = cv2.remap(smooth, mirrored, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)  # type: ignore[call-overload]
    share = np.clip(1.5 - distance / reach, 0, 1)
    mixed = cv2.blendLinear(texture, smooth, share, 1 - share)
    return np.asarray(np.where(kept[..., None], image, mixed), np.uint8)

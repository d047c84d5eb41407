"""Another background behind the person in a picture."""

from dataclasses import replace

import numpy as np

from huashen.avatar import Avatar
from huashen.errors import InputError
from huashen.types import Image
from huashen.words import tr

COLOURS = {"green": (0, 177, 64), "white": (255, 255, 255), "black": (0, 0, 0), "blue": (0, 71, 187)}
"""Plain ones; green and blue are those of chroma keying."""
NAMES = ("original", "blur", "studio", *COLOURS)
"""What a background may be called; besides "#rrggbb"."""


def placed(avatar: Avatar, background: str) -> Avatar:
    """Return an avatar before another background.

    Args:
        avatar: with a mask that tells the person from the background.
        background: one of `NAMES`, or a colour "#rrggbb".

    Raises:
        InputError: no such background, or the person cannot be told from the present one.
    """
    if background == "original":
        return avatar
    _check(background)
    if avatar.mask is None:
        raise InputError(tr(
            f"the person in {avatar.name or 'the picture'} cannot be told from the background; keep that, or choose another picture",
            f"无法把 {avatar.name or '图片'} 中的人物与背景分开；请换一张图片，或保留原背景",
        ))  # fmt: skip
    height, width = avatar.image.shape[:2]
    behind = _behind(background, avatar)
    share = avatar.mask[..., None]
    front = _without_spill(avatar, width, height)
    mixed = front * share + behind.astype(np.float32) * (1 - share)
    return replace(avatar, image=np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def _check(background: str) -> None:
    if background not in NAMES and _hex(background) is None:
        have = ", ".join(NAMES)
        raise InputError(tr(
            f"the background cannot be '{background}'; there are: {have}, or a colour such as #203040",
            f"背景不能是“{background}”；可用的有：{have}，或颜色值，例如 #203040",
        ))  # fmt: skip


def _behind(background: str, avatar: Avatar) -> Image:
    """Paint a background of the avatar's size."""
    height, width = avatar.image.shape[:2]
    if background == "blur":
        return _blurred(avatar)
    if background == "studio":  # a wall lit from behind the head
        x, y = avatar.face.landmarks.points[:468, :2].mean(0)
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        far = np.sqrt(((columns - x) / width) ** 2 + ((rows - y * 0.9) / height) ** 2)
        light = np.clip(1 - 0.95 * far, 0.15, 1)[..., None]
        noise = np.random.default_rng(0).normal(0, 0.8, (height, width, 1))  # else the gradient shows steps after encoding
        return np.asarray(np.clip(light * (126, 138, 160) + noise, 0, 255), np.uint8)
    colour = COLOURS.get(background) or _hex(background)
    assert colour is not None, "looked at by _check"
    out = np.empty((height, width, 3), np.uint8)
    out[:] = colour
    return out


def _hex(value: str) -> tuple[int, int, int] | None:
    if len(value) != 7 or value[0] != "#":
        return None
    try:
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:], 16)
    except ValueError:
        return None


def _blurred(avatar: Avatar) -> Image:
    """Blur what is not the person, without the person's colours in it: each pixel is the mean of the background's share near it."""
    import cv2

    assert avatar.mask is not None
    share = (1 - avatar.mask)[..., None] + np.float32(1e-4)
    sigma = 0.02 * max(avatar.image.shape[:2])
    sums = cv2.GaussianBlur(np.concatenate([avatar.image * share, share], 2).astype(np.float32), (0, 0), sigma)
    wide = cv2.GaussianBlur(np.concatenate([avatar.image * share, share], 2).astype(np.float32), (0, 0), sigma * 6)
    near = sums + 0.02 * wide  # far inside the person there is no background nearby: the wider mean fills it
    return np.asarray(np.clip(near[..., :3] / near[..., 3:], 0, 255), np.uint8)


def _without_spill(avatar: Avatar, width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the person's own colours: at the edge the old background is taken out of the mixture."""
    import cv2

    assert avatar.mask is not None
    solid = (avatar.mask > 0.95).astype(np.float32)[..., None]
    sigma = 0.006 * max(width, height) + 0.5
    sums = cv2.GaussianBlur(np.concatenate([avatar.image * solid, solid], 2).astype(np.float32), (0, 0), sigma)
    own = sums[..., :3] / np.maximum(sums[..., 3:], 1e-3)
    trust = np.clip((avatar.mask - 0.5) / 0.45, 0, 1)[..., None] * np.minimum(1, sums[..., 3:] / 1e-2)
    known = np.minimum(1, sums[..., 3:] / 1e-2)
    return np.asarray(avatar.image * (trust + (1 - known) * (1 - trust)) + own * known * (1 - trust), np.float32)

"""Another background behind the person in a picture, or in the frames of a video."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from huashen import registry
from huashen.avatar import Avatar
from huashen.errors import InputError
from huashen.types import Floats, Frame, Image, Video
from huashen.words import tr

COLOURS = {"green": (0, 177, 64), "white": (255, 255, 255), "black": (0, 0, 0), "blue": (0, 71, 187)}
"""Plain ones; green and blue are those of chroma keying."""
WORK = 160
"""Longest side on which the edges of a moving person are found: half the time of a picture's 512, masks differ by 0.0009 on average."""
BLUR_SIDE = 256
"""Longest side on which a background is blurred."""
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
    check(background)
    if avatar.mask is None:
        raise InputError(tr(
            f"the person in {avatar.name or 'the picture'} cannot be told from the background; keep that, or choose another picture",
            f"无法把 {avatar.name or '图片'} 中的人物与背景分开；请换一张图片，或保留原背景",
        ))  # fmt: skip
    x, y = avatar.face.landmarks.points[:468, :2].mean(0)
    return replace(avatar, image=_mixed(avatar.image, avatar.mask, _behind(background, avatar.image, avatar.mask, (x, y))))


class Backdrop:
    """Puts another background behind the person in every frame of a video; needs no frame but its own.

    Args:
        background: one of `NAMES`, or a colour "#rrggbb".

    Raises:
        InputError: no such background.
        MissingError: what tells people from the background is not here.
    """

    lookahead_frames = 0

    def __init__(self, background: str) -> None:
        check(background)
        self._background = background
        self._matting = registry.load("matting", work=WORK)

    def __call__(self, video: Video) -> Video:
        """Return the video before the background, as it is read."""
        return replace(video, frames=self._placed(video.frames))

    def _placed(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        painted: Image | None = None
        for frame in frames:
            if self._background == "original":
                yield frame
                continue
            mask = self._matting.mask(frame.image)
            if painted is None or painted.shape != frame.image.shape or self._background == "blur":
                height, width = mask.shape
                painted = _behind(self._background, frame.image, mask, (width / 2, 0.42 * height))
            yield replace(frame, image=_mixed(frame.image, mask, painted), drawn=None)


def _mixed(image: Image, mask: Floats, behind: Image) -> Image:
    """Return a person before a background; where the two are mixed the old background is taken out of the person's colours."""
    import cv2

    out = np.asarray(cv2.copyTo(image, (mask > 0.5).astype(np.uint8), behind.copy()), np.uint8)
    edge = np.nonzero(cv2.inRange(mask, 0.002, 0.998))
    share = mask[edge][:, None]
    own, known = _own(image, mask, edge)
    trust = np.clip((share - 0.5) / 0.45, 0, 1) * known
    front = image[edge] * (trust + (1 - known) * (1 - trust)) + own * known * (1 - trust)
    out[edge] = np.clip(np.rint(front * share + behind[edge] * (1 - share)), 0, 255).astype(np.uint8)
    return out


def _own(image: Image, mask: Floats, edge: tuple[NDArray[np.intp], ...]) -> tuple[Floats, Floats]:
    """Return, for the pixels of the edge, the colour of the person near by, (n, 3), and how well it is known, (n, 1)."""
    import cv2

    height, width = mask.shape
    size = (max(1, width // 2), max(1, height // 2))  # colours near by have no fine detail
    solid = (cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0.95).astype(np.float32)[..., None]
    half = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    sums = cv2.GaussianBlur(np.concatenate([half * solid, solid], 2), (0, 0), 0.003 * max(width, height) + 0.25)
    spot = sums[np.minimum(edge[0] // 2, size[1] - 1), np.minimum(edge[1] // 2, size[0] - 1)]
    return np.asarray(spot[:, :3] / np.maximum(spot[:, 3:], 1e-3)), np.asarray(np.minimum(1, spot[:, 3:] / 1e-2))


def check(background: str) -> None:
    """Look whether there is such a background.

    Raises:
        InputError: there is none.
    """
    if background not in NAMES and _hex(background) is None:
        have = ", ".join(NAMES)
        raise InputError(tr(
            f"the background cannot be '{background}'; there are: {have}, or a colour such as #203040",
            f"背景不能是“{background}”；可用的有：{have}，或颜色值，例如 #203040",
        ))  # fmt: skip


def _behind(background: str, image: Image, mask: Floats, centre: tuple[float, float]) -> Image:
    """Paint a background of a picture's size; the light is behind the head, whose centre is given."""
    height, width = mask.shape
    if background == "blur":
        return _blurred(image, mask)
    if background == "studio":  # a wall lit from behind the head
        x, y = centre
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        far = np.sqrt(((columns - x) / width) ** 2 + ((rows - y * 0.9) / height) ** 2)
        light = np.clip(1 - 0.95 * far, 0.15, 1)[..., None]
        noise = np.random.default_rng(0).normal(0, 0.8, (height, width, 1))  # else the gradient shows steps after encoding
        return np.asarray(np.clip(light * (126, 138, 160) + noise, 0, 255), np.uint8)
    colour = COLOURS.get(background) or _hex(background)
    assert colour is not None, "looked at by check"
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


def _blurred(image: Image, mask: Floats) -> Image:
    """Blur what is not the person, without the person's colours in it: each pixel is the mean of the background's share near it."""
    import cv2

    height, width = mask.shape
    scale = min(1.0, BLUR_SIDE / max(height, width))  # what is blurred has no fine detail
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = (1 - np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA)))[..., None] + np.float32(1e-4)
    sigma = 0.02 * max(size)
    parts = np.concatenate([small * share, share], 2)
    sums = cv2.GaussianBlur(parts, (0, 0), sigma)
    tiny = cv2.resize(parts, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    wide = cv2.resize(cv2.GaussianBlur(tiny, (0, 0), sigma * 1.5), size, interpolation=cv2.INTER_LINEAR)
    near = sums + 0.02 * wide  # far inside the person there is no background nearby: the wider mean fills it
    found = np.clip(near[..., :3] / near[..., 3:], 0, 255)
    return np.asarray(np.rint(cv2.resize(found, (width, height), interpolation=cv2.INTER_CUBIC)).clip(0, 255), np.uint8)

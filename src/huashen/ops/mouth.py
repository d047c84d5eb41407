"""The inside of a mouth: teeth, tongue and cavity, drawn for one face's size, colours and light.

Coordinates are in units of the distance between the outer eye corners (about 90 mm), with the origin at the middle of the closed
lips; x to the viewer's right, y down. Sizes of teeth are the averages of Wheeler's Dental Anatomy.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from huashen.types import Floats, Image

MM = 1 / 90
UPPER_TEETH = np.array([8.5, 6.5, 7.6, 7.0, 6.8, 10.0]) * MM
"""Widths from the middle outwards: incisors, canine, premolars, molar."""
LOWER_TEETH = np.array([5.3, 5.7, 6.8, 7.0, 7.1, 10.5]) * MM
UPPER_EDGE = 2.0 * MM
"""How far the upper incisors reach below the closed lips' line."""
LOWER_EDGE = -0.6 * MM
"""How far the lower incisors' edge lies below the closed lips' line while the jaw is shut."""


@dataclass(frozen=True)
class Layer:
    """A picture with alpha, placed in the mouth's coordinates."""

    colour: Image
    """(h, w, 3) uint8."""
    alpha: Floats
    """(h, w) float32."""
    origin: tuple[float, float]
    """The mouth's coordinates of the first pixel's centre."""
    scale: float
    """Pixels a unit."""


@dataclass(frozen=True)
class Palette:
    """The colours of one mouth, uint8 RGB as floats."""

    teeth: Floats
    gum: Floats
    tongue: Floats
    cavity: Floats


def palette(skin: Floats, lip: Floats) -> Palette:
    """Choose a mouth's colours from the picture's own skin and lips, so that light and style agree.

    Args:
        skin: (3,) mean colour of the lit skin round the mouth, 0 to 255.
        lip: (3,) mean colour of the lips, 0 to 255.
    """
    light = float(skin @ np.array([0.299, 0.587, 0.114]))
    tint = skin / max(light, 1.0)
    teeth = np.clip((0.62 + 0.38 * tint) * min(1.03 * light, 216.0), 0, 238)
    return Palette(
        teeth=teeth.astype(np.float32),
        gum=np.asarray(0.62 * lip + 0.1 * skin, np.float32),
        tongue=np.asarray(0.66 * lip + 0.20 * skin * np.array([1.0, 0.62, 0.6]), np.float32),
        cavity=np.asarray(0.24 * lip + np.array([8.0, 2.0, 2.0]), np.float32),
    )


def teeth(
    colours: Palette, *, widths: NDArray[np.floating], edge: float, height: float, up: bool, half: float, bow: float, scale: float
) -> Layer:
    """Draw a row of teeth on its arch, seen from the front.

    Args:
        colours: the mouth's colours.
        widths: (n,) widths from the middle outwards, before the arch foreshortens them.
        edge: y of the biting edge in the middle.
        height: how tall the crowns are.
        up: whether the roots are above (upper teeth).
        half: half of the mouth's width; the row is fitted to it.
        bow: how much higher the row stands at the corners of the mouth than in the middle (a smile lifts them).
        scale: pixels a unit.
    """
    reach = half * 1.15
    shape = (int(np.ceil((height + 0.10 + max(bow, 0)) * scale)), int(np.ceil(2 * reach * scale)))
    top = (edge - height - 0.04 if up else edge - 0.04) - max(bow, 0)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x, y = x / scale - reach, y / scale + top
    # On an arch of radius r a tooth at arc length s is seen at r·sin(s / r).
    radius = 0.30
    borders = radius * np.sin(np.minimum(np.concatenate([[0], np.cumsum(widths)]) / radius, np.pi / 2))
    side = np.abs(x)
    which = np.clip(np.searchsorted(borders, side, side="right") - 1, 0, len(widths) - 1)
    left, right = borders[which], borders[np.minimum(which + 1, len(widths))]
    inside = (side - left) / np.maximum(right - left, 1e-4)
    curve = -((0.012 if up else -0.006) + bow) * (side / half) ** 2
    lengths = np.array([0.0, 0.006, 0.0, 0.006, 0.010, 0.014] if up else [0.0, 0.001, -0.002, 0.005, 0.008, 0.010])
    bite = edge + curve + (-1 if up else 1) * lengths[which]
    rounding = 0.008 * np.abs(2 * inside - 1) ** 6
    blur = max(0.8 / scale, 0.0022)
    past = (bite - rounding - y) if up else (y - bite - rounding)
    alpha = np.clip(past / blur + 0.5, 0, 1)
    alpha *= np.clip((half * 1.1 - side) / (half * 0.12), 0, 1)
    crown = np.clip(past / height, 0, 1)
    shade = 1 - 0.62 * np.clip(side / (half * 1.02), 0, 1) ** 2.2
    shade *= 0.93 + 0.09 * np.sin(np.pi * np.clip(inside, 0, 1)) - 0.05 * crown
    gap = np.minimum(inside, 1 - inside) * (right - left)
    shade *= 1 - 0.22 * np.exp(-((gap / 0.0035) ** 2)) * (0.35 + 0.65 * np.clip(1 - crown * 1.2, 0, 1))
    shade *= 1.0 if up else 0.74
    gums = np.clip((crown - 0.80) / 0.14 + 0.25 * np.abs(2 * inside - 1) ** 2, 0, 1)[..., None]
    colour = colours.teeth * (1 - gums) + colours.gum * gums
    colour = colour * np.clip(shade, 0, 1.05)[..., None]
    return Layer(np.clip(colour, 0, 255).astype(np.uint8), alpha.astype(np.float32), (-reach, top), scale)


def tongue(colours: Palette, *, half: float, scale: float) -> Layer:
    """Draw the tongue as it lies behind the lower teeth; its middle top is at y = 0."""
    wide, tall = half * 0.92, 0.26
    shape = (int(np.ceil((tall + 0.06) * scale)), int(np.ceil(2.2 * wide * scale)))
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    x, y = x / scale - 1.1 * wide, y / scale - 0.03
    top = 0.075 * (np.abs(x) / wide) ** 2.4
    alpha = np.clip((y - top) / 0.022 + 0.5, 0, 1) * np.clip((1.05 * wide - np.abs(x)) / (0.18 * wide), 0, 1)
    groove = 0.16 * np.exp(-((x / 0.026) ** 2)) * np.clip(y / 0.05, 0, 1)
    back = np.clip((y - top) / 0.09, 0, 1)  # it comes out of the dark
    shade = (0.62 + 0.38 * back) * (0.98 - groove - 0.40 * (x / wide) ** 2)
    colour = colours.tongue * shade[..., None]
    return Layer(np.clip(colour, 0, 255).astype(np.uint8), alpha.astype(np.float32), (-1.1 * wide, -0.03), scale)


def softened(layer: Layer, blur: float) -> Layer:
    """Return a layer blurred by a standard deviation in its own pixels: what is drawn sharply does not suit a soft picture."""
    import cv2

    if blur < 0.3:
        return layer
    seen = cv2.GaussianBlur(layer.colour.astype(np.float32) * layer.alpha[..., None], (0, 0), blur)
    alpha = cv2.GaussianBlur(layer.alpha, (0, 0), blur)
    # Where nothing was drawn the nearest colour goes on, for fetching between pixels mixes it in.
    colour = np.where(alpha[..., None] > 0.004, seen / np.maximum(alpha, 0.004)[..., None], layer.colour)
    return replace(layer, colour=np.clip(colour + 0.5, 0, 255).astype(np.uint8), alpha=np.asarray(alpha, np.float32))

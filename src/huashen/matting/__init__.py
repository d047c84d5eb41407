"""Telling people from the background."""

from typing import Protocol, runtime_checkable

from huashen.registry import Entry, Registry
from huashen.types import Floats, Image


@runtime_checkable
class Matting(Protocol):
    """Gives the share of a person in every pixel.

    Promises: the mask has the picture's height and width, float32 in [0, 1]; the picture is not changed.
    """

    def mask(self, image: Image) -> Floats:
        """Return (h, w) float32: 1 where a person is, 0 where none is."""
        ...


TABLE = Registry(
    "matting",
    Entry(
        name="selfie", target="huashen.matting.selfie:Selfie", licence="Apache-2.0",
        about=("MediaPipe's selfie segmentation with a guided filter for the edges", "MediaPipe 自拍分割，并以引导滤波细化边缘"),
        modules=("ai_edge_litert",), weights=("selfie_segmentation",),
        source="https://github.com/google-ai-edge/mediapipe 0.10.21",
    ),
)  # fmt: skip

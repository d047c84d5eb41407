"""Aftercare: what may be done to the frames of a finished video."""

from typing import Protocol, runtime_checkable

from huashen.registry import Entry, Registry
from huashen.types import Video

MEMORY = 50
"""Frames before a frame that matter for what becomes of it: none remembers more."""
STEP = 32
"""Work that was stopped goes on at a multiple of so many frames, for stages may begin anew that often."""


@runtime_checkable
class Stage(Protocol):
    """Makes a video of a video, as it is read; stages follow one another in any order.

    Promises: frames are numbered from 0, all of the size that the returned video states; their sounds joined are those of the frames
    taken in, sample by sample; where the rate stays, so does the number of frames, and frame k is made of frame k. Arrays given are not
    written to. What a frame becomes depends on that video alone: a stage may be used for many, also at once. Memory does not grow with
    length: a frame depends on at most `MEMORY` frames before it, and on its number modulo `STEP`. Where a frame says what of it was drawn
    anew (`Frame.drawn`), the rest of the picture is not touched, and the word is passed on; a picture that changes size brings its patch
    to that size, or says None.
    """

    lookahead_frames: int
    """How many frames past its own it needs before a frame comes."""

    def __call__(self, video: Video) -> Video:
        """Return the video, rendered as it is read."""
        ...


TABLE = Registry(
    "stages",
    Entry(
        name="blend", target="huashen.stages.blend:Blend", licence="Apache-2.0",
        about=("Makes what was drawn anew agree with the skin round it: colour, light and seam",
               "让重绘部分的颜色、光照与周围皮肤一致，消除接缝"),
        source="after Farbman et al., Coordinates for Instant Image Cloning, SIGGRAPH 2009",
    ),
    Entry(
        name="unsharp", target="huashen.stages.unsharp:Unsharp", licence="Apache-2.0",
        about=("Sharpens, without bright rims and without sharpening noise", "锐化：不产生亮边，也不放大噪点"),
    ),
    Entry(
        name="denoise", target="huashen.stages.denoise:Denoise", licence="Apache-2.0",
        about=("Takes noise off along the motion, as much as there is", "沿运动方向去除噪点，强度随噪点多少自动调整"),
    ),
    Entry(
        name="steady", target="huashen.stages.steady:Steady", licence="Apache-2.0",
        about=("Takes trembling off, and leaves the motion", "消除抖动，保留正常运动"),
    ),
)  # fmt: skip

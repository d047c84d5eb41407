"""The words everyone speaks: frozen values that pass between the stages.

Images are (h, w, 3) uint8 RGB. Sound is (n,) float32 in [-1, 1], one channel. Points are (n, 2) or (n, 3) x, y(, z) in pixels,
x to the right, y down, z away from the viewer. Boxes are x0, y0, x1, y1. Sizes are (width, height). Times are seconds, counted
from the beginning of the value that carries them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

ARKIT: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""Apple's 52 blend shapes, in alphabetical order within each part; `Motion.weights` follows it. Left is the person's left."""

ARKIT_INDEX: dict[str, int] = {name: i for i, name in enumerate(ARKIT)}

HEAD: tuple[str, ...] = ("pitch", "yaw", "roll", "x", "y", "z")
"""What `Motion.head` holds: degrees (pitch: + looks down; yaw: + turns to the viewer's right; roll: + tilts clockwise as seen),
then shifts in distances between the outer corners of the eyes (x: + right, y: + down, z: + away)."""


@dataclass(frozen=True)
class Audio:
    """A piece of sound."""

    samples: Floats
    """(n,) float32 in [-1, 1]."""
    rate: int
    """Samples a second, Hz."""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class Mark:
    """What is said from when to when."""

    kind: Literal["phone", "word", "sentence", "gesture"]
    text: str
    """A phone: one IPA segment, length sign kept, without stress or tone signs ("" or "_" is a pause). A word or sentence: as written.
    A gesture: its name, see `huashen.live.gestures`."""
    start: float
    """Seconds from the beginning of the speech that carries it."""
    end: float
    """Seconds; may lie beyond the end of the carrying chunk."""
    stress: int = 0
    """Phones: 0 none, 1 secondary, 2 primary stress of their syllable."""
    span: tuple[int, int] = (0, 0)
    """Words and sentences: first and one-past-last character in `Speech.text`."""


@dataclass(frozen=True)
class Cut:
    """What a live stream takes back: frames that were asked for and shall not be shown after all."""

    before: int
    """Frames of the stream (counted from 0) before this one are dropped, if they have not been given out: what they hear stays heard."""
    after: int
    """The last frame that was shown: what follows begins from there without a jump; -1: none was."""


@dataclass(frozen=True)
class Speech:
    """A piece of sound with what is said in it. A chunk carries the marks that *start* within its own sound."""

    audio: Audio
    marks: tuple[Mark, ...] = ()
    text: str = ""
    lang: str = ""
    """BCP 47 tag such as "en" or "zh"; empty when unknown."""
    aligned: bool = False
    """Whether `marks` tell everything that is said here (then a stretch without phones is silence)."""
    cut: Cut | None = None
    """Live streams only: what of the frames before is dropped."""


@dataclass(frozen=True)
class Style:
    """How somebody's mouth moves in speech, beside the average one that drivers have: factors, 1 as the average does."""

    open: float = 1.0
    """How far the mouth opens."""
    wide: float = 1.0
    """How far it spreads."""
    rounded: float = 1.0
    """How far it narrows and rounds."""
    parted: float = 0.0
    """How far the lips stay apart in pauses, in distances between the outer corners of the eyes."""


@dataclass(frozen=True)
class Motion:
    """What the face does during one frame."""

    weights: Floats
    """(52,) float32, in the order of `ARKIT`, mostly in [0, 1]."""
    head: Floats
    """(6,) float32, in the order of `HEAD`, relative to the pose in the picture."""
    audio: Audio
    """The frame's own slice of sound."""
    dropped: int = 0
    """Live streams only: how many frames were dropped before this one; who holds frames back drops them too."""


@dataclass(frozen=True)
class Patch:
    """The part of a picture that was drawn anew: for stages that touch nothing else."""

    mask: Floats
    """(h, w) float32 in [0, 1]: how far it replaces what was there. (0, 0): the picture is as it was."""
    before: Image
    """(h, w, 3) uint8 RGB: what was there."""
    corner: tuple[int, int]
    """x, y of its upper left pixel; all of it lies in the picture."""


@dataclass(frozen=True)
class Frame:
    """One picture and the sound that belongs to it."""

    image: Image
    """(h, w, 3) uint8 RGB."""
    audio: Audio
    """Samples [k, k+1)·rate/fps of frame k."""
    index: int
    """k, from 0; frames dropped on the way are counted."""
    drawn: Patch | None = None
    """What of the picture was drawn anew; None: all of it, or nobody knows."""


@dataclass(frozen=True)
class Video:
    """A stream of frames, read once."""

    frames: Iterator[Frame]
    fps: Fraction
    size: tuple[int, int]
    """(width, height)."""
    rate: int
    """Samples a second of the frames' sound; 0 when there is none."""
    length: int | None = None
    """Number of frames when it is known beforehand."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, x1 and y1 exclusive; may reach outside the picture."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y1 - self.y0


@dataclass(frozen=True)
class Landmarks:
    """Points of a face in MediaPipe's numbering."""

    points: Floats
    """(478, 3) float32: 468 of the face mesh, then 5 of each iris (right eye of the person first: 468-472, then 473-477).
    z has the scale of x, 0 near the head's centre plane, negative towards the viewer."""


@dataclass(frozen=True)
class Face:
    """A face found in a picture."""

    box: Box
    landmarks: Landmarks
    score: float
    """0 to 1: how sure the engine is that this is a face."""
    head: Floats = field(default_factory=lambda: np.zeros(6, np.float32))
    """(6,) absolute pose in the order of `HEAD`: degrees against the camera axis; shifts are 0."""


@dataclass(frozen=True)
class Transcript:
    """What was heard."""

    text: str
    lang: str
    marks: tuple[Mark, ...] = ()
    final: bool = True

"""One picture to a talking person, by warping the picture itself; the drawing is in `rig`."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain

from huashen.audio2face import Driver
from huashen.avatar import Avatar
from huashen.errors import InputError, NoSpeechError
from huashen.footage import Footage
from huashen.talking_head.rig import Rig
from huashen.types import Frame, Motion, Speech, Video
from huashen.words import tr


class Puppet:
    """Animates an avatar's own picture.

    Args:
        driver: makes motion from speech.
        fps: frames a second.
        size: (width, height) of the video; the avatar's picture's own when None. Another shape is cut round the face.
    """

    def __init__(self, *, driver: Driver, fps: Fraction = Fraction(25), size: tuple[int, int] | None = None) -> None:
        self.lookahead = driver.lookahead
        self._driver = driver
        self._fps = fps
        self._size = size

    def animate(self, avatar: Avatar | Footage, speech: Iterable[Speech], *, begin: int = 0) -> Video:
        """Return the video, rendered as it is read.

        Raises:
            InputError: the avatar is a clip.
            NoSpeechError: there is no sound at all.
        """
        if isinstance(avatar, Footage):
            raise InputError(tr(
                f"puppet moves a picture, and {avatar.path.name} is a clip; use --engine mouthbank, or give --face a picture",
                f"puppet 只能驱动图片，而 {avatar.path.name} 是视频；请使用 --engine mouthbank，或用 --face 给出图片",
            ))  # fmt: skip
        avatar = avatar.fitted(self._size) if self._size else avatar
        motions = self._driver.drive(speech, self._fps)
        first = next(motions, None)
        if first is None:
            raise NoSpeechError(tr("there is no sound to speak", "没有可说的声音"))
        rig = Rig(avatar)
        height, width = avatar.image.shape[:2]
        return Video(_frames(rig, chain([first], motions), begin), self._fps, (width, height), first.audio.rate)


def _frames(rig: Rig, motions: Iterable[Motion], begin: int) -> Iterator[Frame]:
    index = -1
    for motion in motions:
        index += 1 + motion.dropped
        if index >= begin:
            yield Frame(rig.draw(motion.weights, motion.head), motion.audio, index)

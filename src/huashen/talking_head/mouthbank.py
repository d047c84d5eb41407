"""A clip's own mouths, put in another order: what a person says anew is drawn with that person's lips, teeth and skin.

The way of a frame: `Motion` → the gap and width wanted, by the agreed model, scaled to how far this person opens the mouth → the unit
(a frame of the clip) whose mouth comes nearest, found for a whole stretch at once so that the clip's own frames follow each other
where they can (`units.Search`) → the lips' shape, mixed over where two stretches meet and fitted exactly; chin and jaw follow the lips
(`lowerface`) → the clip's frame is warped to that shape → the units' mouths, warped to the same shape, morphed into one, as blurred as the
frame and in its light, are laid over it.

What the clip does not show, a mouth open in a clip where nobody speaks, is drawn on its calmest frame as the puppet draws (`rig`), and that
is one more mouth to lay. Where a hand or an object is before the mouth, or the face is turned away, the clip's own mouth stays.

Both warps end on the same points, so nothing has to be found at the seam.

Source: Bregler, Covell and Slaney, Video Rewrite, SIGGRAPH 1997; Suwajanakorn, Seitz and Kemelmacher-Shlizerman, Synthesizing Obama,
ACM Transactions on Graphics 36(4), 2017.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain

from huashen.audio2face import Driver
from huashen.avatar import Avatar
from huashen.errors import InputError, NoSpeechError
from huashen.footage import Footage
from huashen.talking_head.bank import MIX, Bank, Region
from huashen.talking_head.units import AHEAD
from huashen.types import Frame, Motion, Speech, Video
from huashen.words import tr


class Mouthbank:
    """Makes the person in a clip say something else.

    Args:
        driver: makes motion from speech.
        fps: frames a second; a clip of another rate is shown at its own speed.
        size: (width, height) of the video; the clip's own when None. Another shape is cut round the face.
        region: what is drawn anew.
    """

    def __init__(
        self, *, driver: Driver, fps: Fraction = Fraction(25), size: tuple[int, int] | None = None, region: Region = "lower-face"
    ) -> None:
        self.lookahead = driver.lookahead + float((AHEAD + len(MIX) // 2) / fps)
        self._driver = driver
        self._fps = fps
        self._size = size
        self._region: Region = region

    def animate(self, avatar: Avatar | Footage, speech: Iterable[Speech], *, begin: int = 0) -> Video:
        """Return the video, rendered as it is read.

        Raises:
            InputError: the avatar is a picture, or a clip that never shows the mouth from the front.
            NoSpeechError: there is no sound at all.
        """
        if isinstance(avatar, Avatar):
            raise InputError(tr(
                "mouthbank takes mouths from a clip, and a picture has one only; give --face a video, or use --engine puppet",
                "mouthbank 需要从视频中取口型，图片不行；请用 --face 给出视频，或使用 --engine puppet",
            ))  # fmt: skip
        footage = avatar.fitted(self._size) if self._size else avatar
        bank = Bank(footage, region=self._region)
        motions = self._driver.drive(speech, self._fps)
        first = next(motions, None)
        if first is None:
            raise NoSpeechError(tr("there is no sound to speak", "没有可说的声音"))
        frames = self._frames(bank, chain([first], motions), begin)
        return Video(frames, self._fps, footage.goal or footage.size, first.audio.rate)

    def _frames(self, bank: "Bank", motions: Iterable[Motion], begin: int) -> Iterator[Frame]:
        wanted = ((motion, *bank.wanted(motion)) for motion in motions)
        yield from redrawn(bank, wanted, self._fps, undrawn=begin)


def redrawn(
    bank: "Bank", wanted: Iterable[tuple[Motion, float, float]], fps: Fraction, *, begin: int = 0, undrawn: int = 0
) -> Iterator[Frame]:
    """Yield frames whose mouths are as wanted.

    Args:
        bank: where frames and mouths come from.
        wanted: for each frame its motion, whose sound it carries, and the gap and the width of the mouth.
        fps: frames a second.
        begin: how many frames of the clip's order to pass over.
        undrawn: how many frames at the beginning are there already: their mouths are chosen, but not drawn and not given out.
    """
    footage = bank.footage
    shown, pictured = _from(footage.order(fps), begin), _from(footage.order(fps), begin + undrawn)
    held: deque[tuple[Motion, float, float, int]] = deque()
    again: deque[int] = deque()  # frames of the clip that were to be shown with what was dropped
    source = iter(wanted)
    cut: tuple[Motion, float, float] | None = None  # what comes after frames that were dropped

    def asked() -> Iterator[tuple[float, float, int]]:
        nonlocal cut
        first, cut = cut, None
        for motion, gap, width in chain([first] if first else [], source):
            if motion.dropped and held:
                cut = motion, gap, width
                return
            k = again.popleft() if again else next(shown)
            held.append((motion, gap, width, k))
            lacks.append(bank.lack(gap))
            yield gap, width, k

    images = footage.images(pictured)
    reach = len(MIX) // 2
    near: deque[int] = deque()
    lacks: deque[float] = deque()
    index = -1

    def drawn() -> Iterator[Frame]:
        nonlocal index
        motion, gap, width, k = held.popleft()
        index += 1 + motion.dropped
        places = range(at - reach, at + reach + 1)
        units = [near[min(max(i, 0), len(near) - 1)] for i in places]
        lack = sum(share * lacks[min(max(i, 0), len(lacks) - 1)] for share, i in zip(MIX, places, strict=True))
        if index >= undrawn:
            yield Frame(footage.shown(bank.draw(next(images), k, motion, gap, width, units, float(lack))), motion.audio, index)

    at = 0  # where in `near` and `lacks` the frame is that comes next
    after: int | None = None
    while True:
        for unit in bank.search(asked(), after):
            if cut is not None:
                break
            near.append(unit)
            if len(near) > at + reach:
                yield from drawn()
                if at == reach:
                    near.popleft()
                    lacks.popleft()
                else:
                    at += 1
        if cut is None:
            break
        # Frames that wait here are dropped as well; the clip goes on where it is.
        again.extendleft(k for _, _, _, k in reversed(held))
        index += sum(1 + motion.dropped for motion, _, _, _ in held)
        held.clear()
        near, lacks = deque(list(near)[:at]), deque(list(lacks)[:at])
        after = near[-1] if near else None
    while at < len(near):
        yield from drawn()
        at += 1


def _from(order: Iterator[int], begin: int) -> Iterator[int]:
    for _ in range(begin):
        next(order)
    return order

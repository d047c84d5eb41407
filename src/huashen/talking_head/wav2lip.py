"""Wav2Lip: the mouth of a picture, or of any stream of pictures, drawn anew by the published network.

The way of a frame: a `Shot` (a picture and its face, wherever they come from) → `Wav2Lip.redub` pairs it with its stretch of mel → a
patch (`_Plain` or `_Blended`) cuts the face out → the network draws it → the patch lays it back. An avatar made of one picture gives the
same shot again and again, and the head's own life (blinks, gaze, sway) is drawn round the new mouth afterwards.

`paste="plain"` is the published inference's arithmetic, bit for bit. What the default does better is told in docs/wav2lip.md.

Source: Prajwal et al., A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild, ACM Multimedia 2020;
https://github.com/Rudrabha/Wav2Lip, inference.py.
"""

import hashlib
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain, islice, repeat, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from huashen import device
from huashen import weights as store
from huashen.audio2face import Driver
from huashen.audio2face.stream import Moment, moments
from huashen.avatar import Avatar
from huashen.errors import InputError, MissingPartError, NoSpeechError, UnreadableError
from huashen.files import replacing
from huashen.footage import Footage
from huashen.ops import mel as sound
from huashen.talking_head.opening import BEFORE, Opening
from huashen.types import ARKIT, Box, Face, Floats, Frame, Image, Landmarks, Motion, Patch, Speech, Video
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.talking_head.rig import Rig

logger = logging.getLogger(__name__)

CARDS = ("wav2lip_gan", "wav2lip")
"""The published weights, those preferred first: the second follows the sound a little closer, the first draws sharper teeth."""
COLUMNS = 16
"""Columns of mel a frame hears."""
WINDOW = 5
"""Frames over which boxes are averaged, and over which the mouth comes and goes where a face is found and lost."""
JAW = np.array([361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132])
"""Points of the mesh along the jaw, from below one ear to below the other."""
CHEEKS = np.array([205, 98, 2, 327, 425])
"""Points from one cheek under the nose to the other."""
UPRIGHT = 0.05
"""Radians up to which a face counts as upright."""
ALIKE = 12.0
"""Grey levels of change at which the picture's own detail is given up to a third."""
SHARPEN = 0.7
"""How much what was really drawn anew is sharpened."""
AROUND = 8
"""Columns of mel (0.1 s) on either side of a frame in which speech counts for it."""
FADE = 3
"""Frames in which a mouth that was cut off, live, gives way to the next."""
_RESAMPLER = 0.125
"""Seconds by which a resampler may lag (soxr at its worst, 8 to 16 kHz: 0.115)."""
NOTHING = Patch(np.zeros((0, 0), np.float32), np.zeros((0, 0, 3), np.uint8), (0, 0))
"""What is told of a frame in which nothing was drawn."""
_MOUTH = np.array([name.startswith(("jaw", "mouth", "cheekPuff", "tongue")) for name in ARKIT])

Where = Any
"""An array of numbers that say where a face is, see `_Place.where`, or None."""
Paste = Literal["blend", "plain"]
Network = Callable[[Floats, Floats], Floats]
"""From (b, 1, 80, 16) mel and (b, 6, size, size) face to (b, 3, size, size)."""


@dataclass(frozen=True)
class Shot:
    """One picture of whoever speaks."""

    image: Image
    """(h, w, 3) uint8 RGB."""
    face: Face | None
    """The face that speaks; None where it is not to be seen."""
    silent: Callable[[], Image] | None = None
    """Gives that picture with the mouth shut, which may be speaking; without it, it stays as it is where nothing is said."""


class Wav2Lip:
    """Draws mouths that fit the sound, with the published network.

    Args:
        driver: gives the life of a single picture besides its mouth; without one it stands still.
        fps: frames a second.
        size: (width, height) of an avatar's video; its picture's own when None.
        weights: a checkpoint, an ONNX export with the inputs mel and face, or a card's name; whichever is in the store when None.
        paste: "blend": within the outline of the lower face, colour and fine detail matched, the picture's own mouth where nothing is
            said; "plain": the whole box replaced, as published.
        pads: pixels added to the face's box at the top, bottom, left and right; negative ones take away.
        resize_factor: the picture is made smaller by this whole number first.
        rotate: turn the picture a quarter clockwise after that.
        crop: rows and columns (top, bottom, left, right) cut out after that; -1 for bottom or right is the picture's end.
        box: a constant (top, bottom, left, right) instead of where the face is found.
        no_smooth: do not average boxes over five frames.
        static: use the first picture only, and let it stand still.
        batch: frames drawn at once; each one more delays a live stream by a frame.

    Raises:
        MissingWeightsError: there are none; the text says where to get them.
        MissingPartError: a package to run or convert them is missing.
        UnreadableError: the file is none that it can use.
        InputError: an option makes no sense.
    """

    def __init__(
        self,
        *,
        driver: Driver | None = None,
        fps: Fraction = Fraction(25),
        size: tuple[int, int] | None = None,
        weights: str | Path | None = None,
        paste: Paste = "blend",
        pads: tuple[int, int, int, int] = (0, 10, 0, 0),
        resize_factor: int = 1,
        rotate: bool = False,
        crop: tuple[int, int, int, int] = (0, -1, 0, -1),
        box: tuple[int, int, int, int] | None = None,
        no_smooth: bool = False,
        static: bool = False,
        batch: int = 1,
    ) -> None:
        if paste not in ("blend", "plain"):
            raise InputError(tr(f"paste cannot be '{paste}'; there are: blend, plain", f"paste 不能是“{paste}”；可用的有：blend, plain"))
        if batch < 1 or resize_factor < 1 or fps <= 0:
            raise InputError(tr("batch, resize_factor and fps must be at least 1", "batch、resize_factor 与 fps 至少为 1"))
        self._network, self._side = _network(weights)
        self._driver = None if static or paste == "plain" else driver
        self._fps, self._size, self._batch = fps, size, batch
        self._plain, self._pads, self._box = paste == "plain", pads, box
        self._framing = partial(_framed, factor=resize_factor, turned=rotate, crop=crop)
        self._smooth, self._static = not no_smooth, static
        hears = (COLUMNS - 1) / sound.PER_SECOND + sound.REACH / sound.RATE + _RESAMPLER
        self._hears = max(0.0, hears - float(1 / fps))
        self.lookahead = max(self._hears + float((batch - 1) / fps), driver.lookahead if driver else 0.0)

    def animate(self, avatar: Avatar | Footage, speech: Iterable[Speech], *, begin: int = 0) -> Video:
        """Return the video, rendered as it is read.

        Raises:
            NoSpeechError: there is no sound at all.
        """
        if isinstance(avatar, Footage):
            return self._dubbed(avatar.fitted(self._size) if self._size else avatar, speech, begin)
        shot = self._framing(Shot(avatar.image, avatar.face))
        if shot.image is not avatar.image and shot.face is not None:
            mask = None if avatar.mask is None else self._framing(Shot((avatar.mask * 255).astype(np.uint8), None)).image
            shares = None if mask is None else np.asarray(mask / 255, np.float32)
            avatar = replace(avatar, image=shot.image, face=shot.face, mask=shares)
        avatar = avatar.fitted(self._size) if self._size else avatar
        _warn_of_side_view(avatar.face)
        if self._driver is None:
            frames = self._redubbed(repeat(Shot(avatar.image, avatar.face)), speech, begin)
        else:
            from huashen.talking_head.rig import Rig

            rig = Rig(avatar)
            shut = rig.draw(np.zeros(len(ARKIT), np.float32), np.zeros(6, np.float32))  # the mouth of one who is silent
            speech, heard = tee(speech)
            frames = _alive(rig, self._redubbed(repeat(Shot(shut, avatar.face)), speech, begin), self._driver.drive(heard, self._fps))
        first = next(frames, None)
        if first is None:
            raise NoSpeechError(tr("there is no sound to speak", "没有可说的声音"))
        height, width = avatar.image.shape[:2]
        return Video(chain([first], frames), self._fps, (width, height), first.audio.rate)

    def _dubbed(self, footage: Footage, speech: Iterable[Speech], begin: int) -> Video:
        """Draw the mouths of a clip anew."""
        first = max(0, begin - BEFORE)
        shown, faces = islice(footage.order(self._fps), first, None), footage.order(self._fps)
        unseen = repeat(np.zeros((footage.size[1], footage.size[0], 3), np.uint8), first)
        images = chain(unseen, footage.images(shown))
        silent = self._silent(footage)
        shots = (
            Shot(image, footage.face(index), partial(silent, image, index) if silent else None)
            for image, index in zip(images, faces, strict=True)
        )
        frames = (_shown(frame, footage) for frame in self.redub(shots, speech, begin=begin))
        one = next(frames, None)
        if one is None:
            raise NoSpeechError(tr("there is no sound to speak", "没有可说的声音"))
        height, width = one.image.shape[:2]
        return Video(chain([one], frames), self._fps, (width, height), one.audio.rate)

    def _silent(self, footage: Footage) -> Callable[..., Image] | None:
        """Return what shuts the mouth in a clip's frame; None as published, and where the clip's own mouth cannot be had."""
        if self._plain:
            return None
        from huashen.talking_head.bank import Bank

        try:
            return Bank(footage).silent
        except InputError:  # never seen from the front: nothing is drawn there either
            return None

    def redub(self, shots: Iterable[Shot], speech: Iterable[Speech], *, begin: int = 0) -> Iterator[Frame]:
        """Yield a frame a shot, its mouth drawn anew, for as long as there are both shots and sound.

        Nothing else of a picture is touched, and one without a face passes as it is; each frame tells what was drawn.

        Args:
            shots: pictures of one size, `fps` a second.
            speech: what is said, of one rate.
            begin: how many frames at the beginning are not drawn and not given out.
        """
        shots = map(self._framing, shots)
        return self._redubbed(chain([first], repeat(first)) if self._static and (first := next(shots, None)) else shots, speech, begin)

    def _redubbed(self, shots: Iterable[Shot], speech: Iterable[Speech], begin: int) -> Iterator[Frame]:
        """Pair pictures with sound, draw a batch of mouths at once, and lay them back."""
        index = -1
        places = self._placed(shots)
        patch: _Plain | _Blended | None = None
        made: _Place | None = None
        pairs = zip(self._heard(speech), places, strict=False)
        opening = Opening(self._fps)
        while batch := list(islice(pairs, self._batch)):
            if index + sum(1 + heard.dropped for heard, _ in batch) < begin - BEFORE:
                index += sum(1 + heard.dropped for heard, _ in batch)
                continue
            jobs: list[tuple[_Plain | _Blended | None, float, _Place]] = []
            windows: list[Floats] = []
            for heard, given in batch:
                share = given.share * (1.0 if self._plain else heard.voiced)
                place = given if self._plain or heard.voiced == 1 else given.silenced()
                if place.where is None or share <= 0:
                    jobs.append((None, 0.0, place))
                    continue
                if patch is None or made is None or not place.same(made):  # a single picture is prepared once
                    patch, made = (_Plain if self._plain else _Blended)(place, self._side), place
                jobs.append((patch, share, place))
                windows.append(heard.mel)
            drawn = iter(())
            if windows:
                faces = np.stack([patch.face for patch, _, _ in jobs if patch is not None])
                drawn = iter(self._network(np.stack(windows)[:, None], faces))
            for (heard, given), (patch_, share, place) in zip(batch, jobs, strict=True):
                index += 1 + heard.dropped
                mouth = None if patch_ is None else next(drawn)
                if heard.dropped or patch_ is None:
                    opening.forget()
                if isinstance(patch_, _Blended) and mouth is not None and place.face is not None:
                    mouth = opening.eased(mouth, partial(patch_.paste, share=share), place.face, patch_.onto)
                if index < begin:
                    continue
                if patch_ is None or mouth is None:
                    yield Frame(place.image.copy(), heard.moment.audio, index, _changed(given.image, place.image, NOTHING))
                else:
                    told = _changed(given.image, place.image, patch_.told(share))
                    yield Frame(patch_.paste(mouth, share), heard.moment.audio, index, told)

    def _heard(self, speech: Iterable[Speech]) -> Iterator["_Heard"]:
        """Yield every frame's own sound, the mel it hears, and how far anything is said in it."""
        ear = _Ear(self._fps, repeat_last=self._plain)
        waiting: deque[Moment] = deque()
        index = dropped = before = 0

        def fed() -> Iterator[Speech]:
            nonlocal before
            for piece in speech:
                if piece.cut is not None:
                    before = max(before, piece.cut.before)
                yield piece
            ear.end()

        for moment in moments(fed(), self._fps, self._hears, lambda piece, first: ear.hear(piece.audio.samples, piece.audio.rate)):
            waiting.append(moment)
            while waiting and ear.ready(index):
                if index < before:
                    waiting.popleft()
                    dropped += 1
                else:
                    yield _Heard(waiting.popleft(), *ear.frame(index), dropped)
                    dropped = 0
                index += 1
        for moment in waiting:
            yield _Heard(moment, *ear.frame(index))
            index += 1

    def _placed(self, shots: Iterable[Shot]) -> Iterator["_Place"]:
        """Say where in each picture the face is, evenly over time; where it comes or goes, the mouth comes and goes gently."""
        run: deque[_Place] = deque()  # those with a face that are not yet given out
        before: Where | None = None  # the last box given out
        since = WINDOW  # frames since the face was found; a stream begins as if it had long been there

        def shown(left: int) -> _Place:
            place = run.popleft()
            return place if self._plain else replace(place, share=place.share * min(1.0, since / WINDOW, left / WINDOW))

        ended: list[Shot | None] = [None]
        for shot in chain(shots, ended):
            place = None if shot is None else replace(self._place(shot), silent=shot.silent)
            if place is not None and place.where is not None:
                run.append(place)
                if len(run) == WINDOW:
                    before = run[0].where
                    if self._smooth:
                        before[:] = np.mean([other.where for other in run], 0)
                    since += 1
                    yield shown(WINDOW)
                continue
            # The published script averages a clip's last five boxes, in place: those it has already averaged among them.
            left = [other.where for other in run]
            for where in left if self._smooth else ():
                where[:] = np.mean(left if before is None else [before, *left], 0)
            while run:
                since += 1
                yield shown(WINDOW if place is None else len(run))
            before, since = None, 0
            if place is not None:
                yield place

    def _place(self, shot: Shot) -> "_Place":
        """Say where a face's box lies, padded."""
        height, width = shot.image.shape[:2]
        top, bottom, left, right = self._pads
        share = 1.0
        if self._box is not None:
            y0, y1, x0, x1 = self._box
            if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
                raise InputError(tr(
                    f"the box (top, bottom, left, right) {self._box} does not lie in the picture of {width}x{height}",
                    f"方框（上、下、左、右）{self._box} 不在 {width}x{height} 的画面之内",
                ))  # fmt: skip
            corners = np.array([x0, y0, x1, y1], np.float64)
            if self._plain:
                return _Place(shot.image, shot.face, corners, share)
        elif shot.face is None:
            return _Place(shot.image, None, None, 0.0)
        elif self._plain:
            low, high = _extent(shot.face.landmarks.points[:468, :2])
            x0, y0, x1, y1 = (int(v) for v in (*low, *high))  # the published detector's boxes are whole numbers
            corners = np.array([max(0, x0 - left), max(0, y0 - top), min(width, x1 + right), min(height, y1 + bottom)], np.int64)
            return _Place(shot.image, shot.face, corners if corners[0] < corners[2] and corners[1] < corners[3] else None, share)
        roll = 0.0
        if shot.face is not None:
            points = shot.face.landmarks.points[:468, :2].astype(np.float64)
            share = _facing(shot.face)
        if self._box is None:
            away = points[263] - points[33]
            roll = math.atan2(away[1], away[0])
            roll = roll if abs(roll) > UPRIGHT else 0.0
            turn = _turn(roll)
            low, high = _extent(points @ turn.T)
            corners = np.array([low[0] - left, low[1] - top, high[0] + right, high[1] + bottom])
        middle = np.linalg.inv(_turn(roll)) @ ((corners[:2] + corners[2:]) / 2)
        where = np.array([*middle, *np.maximum(corners[2:] - corners[:2], 8), roll])
        return _Place(shot.image, shot.face, where, share)


@dataclass(frozen=True)
class _Heard:
    """What belongs to one frame of sound."""

    moment: Moment
    mel: Floats
    """(80, 16)."""
    voiced: float
    """0 where nothing is said, 1 in speech."""
    dropped: int = 0
    """How many frames were dropped before it."""


@dataclass(frozen=True)
class _Place:
    """Where in a picture the mouth is to be drawn."""

    image: Image
    face: Face | None
    where: Where
    """Plain: left, top, right, bottom. Blended: middle x and y, width, height, and the angle by which it leans. None: nowhere."""
    share: float
    """How far the drawn mouth replaces the picture's own."""
    silent: Callable[[], Image] | None = None
    """Gives the picture with the mouth shut."""

    def silenced(self) -> "_Place":
        """Return the same place in a picture whose mouth is shut."""
        return self if self.silent is None else replace(self, image=self.silent())

    def same(self, other: "_Place") -> bool:
        """Return whether the same patch does for both."""
        return self.image is other.image and np.array_equal(np.asarray(self.where), np.asarray(other.where))


class _Ear:
    """Hears a stream: the mel of each frame, and whether anything is said.

    Something is said while the sound is within 30 dB of the speaker's own level, which falls by 2 dB a second, and above -55 dB.
    """

    def __init__(self, fps: Fraction, *, repeat_last: bool) -> None:
        self._step = 80.0 / float(fps)  # rounded as the published script rounds it
        self._fps = fps
        self._repeat = repeat_last
        self._mel = sound.Mel()
        self._columns: deque[Floats] = deque()
        self._said: deque[bool] = deque()
        self._first = 0  # number of the first column held
        self._rest: Floats = np.zeros(0, np.float32)
        self._level = -20.0
        self._resampler: Any = None
        self._ended = False

    def hear(self, samples: Floats, rate: int) -> None:
        """Take more sound; after the end, none."""
        if self._ended:
            return
        if rate != sound.RATE:
            import soxr

            self._resampler = self._resampler or soxr.ResampleStream(rate, sound.RATE, 1, dtype="float32")
            samples = self._resampler.resample_chunk(np.ascontiguousarray(samples, np.float32))
        self._take(samples)

    def end(self) -> None:
        """Say that no more sound comes."""
        if self._resampler is not None:
            self._take(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._columns.extend(self._mel.end())
        self._ended = True

    def ready(self, index: int) -> bool:
        """Return whether all a frame hears has come."""
        return self._ended or self._start(index) + COLUMNS <= self._first + len(self._columns)

    def frame(self, index: int) -> tuple[Floats, float]:
        """Return the (80, 16) mel of a frame and how far anything is said in it; frames are asked for in order."""
        start = self._start(index)
        come = self._first + len(self._columns)
        begin = max(0, min(start, come - COLUMNS)) if self._ended and self._repeat else start
        window = np.full((sound.BANDS, COLUMNS), sound.SILENCE, np.float32)
        for i in range(begin, min(begin + COLUMNS, come)):
            window[:, i - begin] = self._columns[i - self._first]
        middle = int((index + 0.5) * self._step)
        near = range(middle - AROUND, min(middle + AROUND, start + COLUMNS))
        said = sum(self._said[i - self._first] for i in near if 0 <= i - self._first < len(self._said)) / (2 * AROUND)
        # The last window is asked for again and again after the end; everything before the next frame's surroundings may go.
        keep = min(self._start(index + 1), int((index + 1.5) * self._step)) - AROUND
        if self._repeat:
            keep = min(keep, come - COLUMNS)
        while self._first < keep and self._columns:
            self._columns.popleft()
            if self._said:
                self._said.popleft()
            self._first += 1
        share = min(1.0, 2 * said)
        return window, share * share * (3 - 2 * share)

    def _start(self, index: int) -> int:
        return int(index * self._step)

    def _take(self, samples: Floats) -> None:
        self._columns.extend(self._mel.hear(samples))
        self._rest = np.concatenate([self._rest, samples])
        whole = len(self._rest) // sound.HOP * sound.HOP
        for piece in self._rest[:whole].reshape(-1, sound.HOP):
            level = 10 * math.log10(float(np.mean(piece.astype(np.float64) ** 2)) + 1e-12)
            self._level = max(level, self._level - 2 / sound.PER_SECOND, -30.0)
            self._said.append(level > max(-55.0, self._level - 30))
        self._rest = self._rest[whole:].copy()


class _Plain:
    """The published way: the box is cut out, drawn, and put back whole."""

    def __init__(self, place: _Place, side: int) -> None:
        import cv2

        assert place.where is not None
        x0, y0, x1, y1 = (int(v) for v in place.where)
        self._image = place.image
        self._rows, self._columns, self._size = slice(y0, y1), slice(x0, x1), (x1 - x0, y1 - y0)
        crop = place.image[self._rows, self._columns, ::-1]
        self.face = _tensor(np.asarray(cv2.resize(np.ascontiguousarray(crop), (side, side)), np.uint8))

    def paste(self, drawn: Floats, share: float) -> Image:
        """Return the picture with a drawn face (3, side, side), BGR in [0, 1]."""
        import cv2

        out = self._image.copy()
        face = (drawn.transpose(1, 2, 0) * 255.0).astype(np.uint8)
        out[self._rows, self._columns] = cv2.resize(face, self._size)[..., ::-1]
        return out

    def told(self, share: float) -> Patch:
        """Return what `paste` replaces."""
        before = self._image[self._rows, self._columns]
        return Patch(np.ones(before.shape[:2], np.float32), before, (self._columns.start, self._rows.start))


class _Blended:
    """The better way: upright, within the outline of the lower face, its colour and its fine detail kept."""

    def __init__(self, place: _Place, side: int) -> None:
        import cv2

        assert place.where is not None
        x, y, wide, tall, roll = (float(v) for v in place.where)
        size = width, height = max(8, round(wide)), max(8, round(tall))
        turn = _turn(roll)
        shift = (np.array(size) - 1) / 2 - turn @ (x, y)
        if not roll:
            shift = np.rint(shift)
        matrix = np.concatenate([turn, shift[:, None]], 1)
        self._image, self._upright, self._side = place.image, not roll, side
        own = cv2.warpAffine(place.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        shrinks = min(size) > side
        small = cv2.resize(own, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        self.face = _tensor(np.ascontiguousarray(small[..., ::-1]))
        self._small = small.astype(np.float32)
        across = np.array([side / width, side / height])
        self.onto = np.concatenate([turn, shift[:, None] + 0.5], 1) * across[:, None] - [[0, 0, 0.5]]
        """(2, 3): from the picture's pixels to those of `face`."""
        points = None if place.face is None else place.face.landmarks.points[:468, :2] @ turn.T + shift
        mask = _mask(size, points)
        rows, columns = np.flatnonzero(mask.max(1) > 0.004), np.flatnonzero(mask.max(0) > 0.004)
        (y0, y1), (x0, x1) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
        self._mask = np.ascontiguousarray(mask[y0:y1, x0:x1])
        self._own = own[y0:y1, x0:x1].astype(np.float32)
        self._scale = np.array([[width / side, 0, (width / side - 1) / 2 - x0], [0, height / side, (height / side - 1) / 2 - y0]])
        self._fine = self._own - self._large(self._small)
        self._find_way_back(matrix[:, 2] - (x0, y0), turn)
        self._told: Floats | None = None
        self._rim = _Rim(np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA), np.float32))

    def paste(self, drawn: Floats, share: float) -> Image:
        """Return the picture with a drawn face (3, side, side), BGR in [0, 1], `share` of it."""
        import cv2

        face = np.ascontiguousarray(drawn[::-1].transpose(1, 2, 0)) * np.float32(255)
        face += self._rim.offset(self._small - face)
        soft = self._side / 96
        moved = cv2.GaussianBlur(np.abs(self._small - face).max(2), (0, 0), 1.5 * soft)
        kept = np.exp(-((moved / ALIKE) ** 2))
        face += ((1 - kept) * SHARPEN)[..., None] * (face - cv2.GaussianBlur(face, (0, 0), 1.2 * soft))
        fine = self._large(kept)
        new = self._large(face) + fine[..., None] * self._fine
        give = self._mask * np.float32(share)
        change = self._returned((new - self._own) * give[..., None])
        if self._lost is not None:
            change -= self._returned(give * (1 - fine))[..., None] * self._lost
        out = self._image.copy()
        spot = out[self._rows, self._columns]
        spot[:] = np.clip(np.rint(spot + change), 0, 255).astype(np.uint8)
        return out

    def told(self, share: float) -> Patch:
        """Return what `paste` replaces with that share."""
        if self._told is None:
            self._told = np.ascontiguousarray(self._returned(self._mask))
        mask = self._told if share == 1 else self._told * np.float32(share)
        return Patch(mask, self._image[self._rows, self._columns], (self._columns.start, self._rows.start))

    def _large(self, small: Floats) -> Floats:
        """Bring what has the network's size to the size of the face, where it is replaced."""
        import cv2

        size = (self._mask.shape[1], self._mask.shape[0])
        return np.asarray(cv2.warpAffine(small, self._scale, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)

    def _find_way_back(self, shift: NDArray[np.float64], turn: NDArray[np.float64]) -> None:
        """Work out where in the picture the patch lies: `turn` and `shift` bring the picture's pixels to the patch's."""
        height, width = self._image.shape[:2]
        tall, wide = self._mask.shape
        corners = (np.array([[0, 0], [wide, 0], [0, tall], [wide, tall]]) - shift) @ turn  # the inverse of a turn is its transpose
        x0, y0 = (int(v) for v in np.clip(np.floor(corners.min(0)), 0, (width, height)))
        x1, y1 = (int(v) for v in np.clip(np.ceil(corners.max(0)), (x0, y0), (width, height)))
        self._rows, self._columns = slice(y0, y1), slice(x0, x1)
        self._back = np.concatenate([turn.T, (-turn.T @ shift - (x0, y0))[:, None]], 1)
        self._corner = round(x0 + shift[0]), round(y0 + shift[1])
        # What turning a picture upright and back loses of it: it has to go as well where something else is drawn.
        self._lost: Floats | None = None
        if not self._upright:
            self._lost = self._image[self._rows, self._columns] - self._returned(self._own)

    def _returned(self, values: Floats) -> Floats:
        """Bring what lies on the patch to the pixels of the picture under it."""
        import cv2

        tall, wide = self._rows.stop - self._rows.start, self._columns.stop - self._columns.start
        if self._upright or not tall or not wide:
            left, above = self._corner
            return values[above : above + tall, left : left + wide]
        size = (wide, tall)
        return np.asarray(cv2.warpAffine(values, self._back, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)


class _Rim:
    """Matches colours: the difference along the upper edge of the mask, where a drawn face should be as it was, laid over all of it."""

    def __init__(self, mask: Floats) -> None:
        side = len(mask)
        y, x = (np.mgrid[:side, :side] / side - 0.5).astype(np.float32)
        self._plane = np.stack([np.ones_like(x), x], -1)  # how it goes on downwards cannot be told from a narrow edge
        self._where = (mask > 0.03) & (mask < 0.7) & (y < 0.25)
        self._fit = np.linalg.pinv(self._plane[self._where]).astype(np.float32) if self._where.sum() >= 12 else None

    def offset(self, difference: Floats) -> Floats:
        """Return what to add to a drawn face: a slope from left to right in each colour, of at most 30 grey levels."""
        if self._fit is None:
            return np.zeros_like(difference)
        return np.asarray(np.clip(self._plane @ (self._fit @ difference[self._where]), -30, 30), np.float32)


def _mask(size: tuple[int, int], points: NDArray[np.float64] | None) -> Floats:
    """Return (h, w) in [0, 1]: the lower face, soft at its edge, 0 on the rim of the box.

    Args:
        size: (width, height) of the box.
        points: (468, 2) mesh points in the box; without them the lower face of a mean one is taken.
    """
    import cv2

    width, height = size
    mask = np.zeros((height, width), np.float32)
    if points is None:
        cv2.ellipse(mask, ((0.5 * width, 0.70 * height), (0.62 * width, 0.46 * height), 0), 1.0, -1, cv2.LINE_AA)
    else:
        jaw = points[JAW] + 0.06 * (points[JAW] - points[1])  # a chin that goes down stays inside
        outline = np.concatenate([jaw, points[CHEEKS]])
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 1.0, cv2.LINE_AA, shift=4)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.035 * width)), np.float32)
    y, x = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in (height, width))
    return np.asarray(mask * np.clip(np.minimum(x[None], y[:, None]) / max(2.0, 0.06 * width), 0, 1), np.float32)


def _tensor(crop: Image) -> Floats:
    """Return (6, side, side): a BGR crop with its lower half black, then the crop, in [0, 1]."""
    hidden = crop.copy()
    hidden[len(crop) // 2 :] = 0
    return np.ascontiguousarray((np.concatenate([hidden, crop], 2) / 255.0).astype(np.float32).transpose(2, 0, 1))


def _extent(points: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    return points.min(0), points.max(0)


def _turn(roll: float) -> NDArray[np.float64]:
    """Return the matrix that brings a face leaning by `roll` radians upright."""
    c, s = math.cos(roll), math.sin(roll)
    return np.array([[c, s], [-s, c]])


def _facing(face: Face) -> float:
    """Return 1 for a face that Wav2Lip can draw, falling to 0 from 45 to 70 degrees of turning away."""
    return float(np.clip((70 - abs(float(face.head[1]))) / 25, 0, 1))


def _warn_of_side_view(face: Face) -> None:
    turned = abs(float(face.head[1]))
    if turned > 40:
        logger.warning(tr(
            f"the face is turned away by {turned:.0f}°, and Wav2Lip draws side views badly; take --engine puppet or another picture",
            f"人脸侧转了 {turned:.0f}°，Wav2Lip 画侧脸效果差；请改用 --engine puppet 或换一张图片",
        ))  # fmt: skip


def _alive(rig: "Rig", frames: Iterator[Frame], motions: Iterator[Motion]) -> Iterator[Frame]:
    """Let the rest of a picture live round its mouth: blinks, gaze, brows, the sway of the head.

    The mouth is drawn on the picture at rest, where the network sees a steady, upright face; then all of it is moved together.
    """
    import cv2

    place = -1
    before: Image | None = None
    since = FADE
    for frame, motion in zip(frames, motions, strict=True):
        place += 1 + motion.dropped
        # Where frames were dropped one may hear of it a frame before the other, and is waited for.
        while frame.index < place:
            frame = next(frames)
        while place < frame.index:
            motion = next(motions)
            place += 1 + motion.dropped
        since = 0 if motion.dropped else since + 1
        spoken = frame.image
        if before is not None and since < FADE:  # the mouth that was cut off gives way
            spoken = np.asarray(cv2.addWeighted(before, 1 - (since + 1) / (FADE + 1), spoken, (since + 1) / (FADE + 1), 0), np.uint8)
        else:
            before = spoken
        weights = np.where(_MOUTH, np.float32(0), motion.weights)
        yield replace(frame, image=rig.draw(weights, motion.head, spoken=spoken), drawn=None)  # all of the picture is


def _changed(before: Image, after: Image, drawn: Patch) -> Patch:
    """Return what was replaced in all: what was drawn, and what a picture was changed in before that."""
    if before is after:
        return drawn
    apart = np.any(before != after, axis=2)
    rows, columns = np.flatnonzero(apart.any(1)), np.flatnonzero(apart.any(0))
    if not len(rows):
        return drawn
    (x, y), (tall, wide) = drawn.corner, drawn.mask.shape
    if not drawn.mask.size:
        x, y = int(columns[0]), int(rows[0])
    x0, y0 = min(x, int(columns[0])), min(y, int(rows[0]))
    x1, y1 = max(x + wide, int(columns[-1]) + 1), max(y + tall, int(rows[-1]) + 1)
    mask = apart[y0:y1, x0:x1].astype(np.float32)
    if drawn.mask.size:
        spot = mask[y - y0 : y - y0 + tall, x - x0 : x - x0 + wide]
        np.maximum(spot, drawn.mask, out=spot)
    return Patch(mask, before[y0:y1, x0:x1], (x0, y0))


def _shown(frame: Frame, footage: Footage) -> Frame:
    """Bring a frame of a clip, and what it tells, to the size of the video."""
    image = footage.shown(frame.image)
    if image is frame.image or frame.drawn is None or not frame.drawn.mask.size:
        return replace(frame, image=image)
    (x, y), (tall, wide) = frame.drawn.corner, frame.drawn.mask.shape
    before, mask = frame.image.copy(), np.zeros(frame.image.shape[:2], np.uint8)
    before[y : y + tall, x : x + wide] = frame.drawn.before
    mask[y : y + tall, x : x + wide] = np.rint(255 * frame.drawn.mask)
    mask = footage.shown(mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return replace(frame, image=image, drawn=NOTHING)
    spot = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    drawn = Patch(np.asarray(mask[spot] / 255, np.float32), footage.shown(before)[spot], (spot[1].start, spot[0].start))
    return replace(frame, image=image, drawn=drawn)


def _framed(shot: Shot, *, factor: int, turned: bool, crop: tuple[int, int, int, int]) -> Shot:
    """Make a picture smaller, turn it and cut it, and its face with it."""
    import cv2

    given = top, bottom, left, right = crop
    if factor == 1 and not turned and crop == (0, -1, 0, -1):
        return shot
    image: Image = shot.image
    height, width = image.shape[:2]
    way = np.eye(3)
    if factor > 1:
        small = (max(1, width // factor), max(1, height // factor))
        image = np.asarray(cv2.resize(image, small), image.dtype)
        across, down = small[0] / width, small[1] / height
        way = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    if turned:
        way = np.array([[0, -1, image.shape[0] - 1], [1, 0, 0], [0, 0, 1]]) @ way
        image = np.asarray(cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE), image.dtype)
    height, width = image.shape[:2]
    bottom, right = height if bottom == -1 else bottom, width if right == -1 else right
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise InputError(tr(
            f"crop (top, bottom, left, right) {crop} does not lie in the picture of {width}x{height}",
            f"裁剪（上、下、左、右）{crop} 不在 {width}x{height} 的画面之内",
        ))  # fmt: skip
    way = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ way
    image = np.ascontiguousarray(image[top:bottom, left:right])
    if shot.face is None:
        return Shot(image, None)
    shut = shot.silent
    silent = None if shut is None else lambda: _framed(Shot(shut(), None), factor=factor, turned=turned, crop=given).image
    points = shot.face.landmarks.points * np.float32(math.sqrt(abs(np.linalg.det(way[:2, :2]))))  # z keeps the scale of x
    points[:, :2] = shot.face.landmarks.points[:, :2] @ way[:2, :2].T + way[:2, 2]
    old = shot.face.box
    ends = np.array([[old.x0, old.y0], [old.x1, old.y1]]) @ way[:2, :2].T + way[:2, 2]
    low, high = _extent(ends)
    box = Box(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return Shot(image, replace(shot.face, landmarks=Landmarks(points.astype(np.float32)), box=box), silent)


def _network(chosen: str | Path | None) -> tuple[Network, int]:
    """Return a network and the side of its crop."""
    file = _file(chosen)
    session = device.onnx(file if file.suffix.lower() == ".onnx" else _converted(file))
    inputs = {given.name: given.shape for given in session.get_inputs()}
    if not {"mel", "face"} <= inputs.keys() or len(inputs["face"]) != 4:
        have = ", ".join(inputs)
        raise UnreadableError(tr(
            f"{file} is no Wav2Lip: its inputs are {have}, not mel and face", f"{file} 不是 Wav2Lip：其输入为 {have}，而非 mel 与 face"
        ))  # fmt: skip
    side = inputs["face"][-1] if isinstance(inputs["face"][-1], int) else 96
    one = inputs["face"][0] == 1

    def run(mel: Floats, face: Floats) -> Floats:
        if one and len(mel) > 1:  # an export for one frame at a time
            return np.concatenate([run(mel[i : i + 1], face[i : i + 1]) for i in range(len(mel))])
        return np.asarray(session.run(None, {"mel": mel, "face": face})[0], np.float32)

    return run, side


def _file(chosen: str | Path | None) -> Path:
    """Return the file of weights meant."""
    if chosen is None:
        exports = [file for name in CARDS if (file := store.folder() / f"{name}.onnx").is_file()]  # laid there by hand
        return exports[0] if exports else store.path(next((name for name in CARDS if store.present(name)), CARDS[0]))
    if str(chosen) in store.CARDS:
        return store.path(str(chosen))
    file = Path(chosen).expanduser()
    if not file.is_file():
        raise UnreadableError(tr(f"{chosen} is neither a file nor the name of weights", f"{chosen} 既不是文件，也不是权重名称"))
    return file


def _converted(file: Path) -> Path:
    """Return a checkpoint as ONNX, made once and kept in the store under the checkpoint's hash."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    goal = store.folder() / f"{file.stem}-{digest[:12]}.onnx"
    if goal.is_file():
        return goal
    try:
        from huashen.nets import wav2lip
    except ImportError as error:
        raise MissingPartError(tr(
            f"{file.name} has to be converted once, which needs torch; pip install 'huashen[wav2lip]'",
            f"{file.name} 需要转换一次，这一步需要 torch；pip install 'huashen[wav2lip]'",
        )) from error  # fmt: skip
    logger.info("converting %s to %s", file, goal)
    net = wav2lip.generator(file)
    goal.parent.mkdir(parents=True, exist_ok=True)
    with replacing(goal) as beside:
        wav2lip.save_onnx(net, beside)
    return goal

"""What stands in a session's line: texts being spoken, sound fed in, clips."""

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from huashen.errors import InputError, TooLargeError
from huashen.live.gestures import GESTURES, directions
from huashen.types import Audio, Frame, Image, Mark, Speech
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.tts import Voice

logger = logging.getLogger(__name__)

AHEAD = 2
"""Sentences spoken before they are needed."""
BUFFERED = 0.1
"""Seconds of fed sound that must have come before it begins, and again where it has run dry."""
MOST = 600.0
"""Seconds of fed sound that may wait."""
READ = 5.0
"""Seconds of sound that are read ahead from an iterable."""
FRAMES = 12
"""Frames of a clip that are read ahead."""
GESTURE_LEAD = 0.1
"""Seconds by which a gesture in a text comes before its word."""
CLOSING = ",.;:!?)，。；：！？、…）”’》」"
"""What belongs to the words before it."""


@dataclass
class Piece:
    """A sentence or a stretch of sound at the session's rate, and how much of it is used up."""

    speech: Speech
    taken: int = 0
    """Samples that have their place on the timeline."""
    given: int = 0
    """Samples that have been given out."""

    @property
    def size(self) -> int:
        """Samples."""
        return len(self.speech.audio.samples)

    def part(self, begin: int, end: int) -> Speech:
        """Return some of its sound with the marks that start in it."""
        rate = self.speech.audio.rate
        shift = begin / rate
        last = end >= self.size
        marks = tuple(
            replace(mark, start=mark.start - shift, end=mark.end - shift)
            for mark in self.speech.marks
            if begin <= round(mark.start * rate) and (last or round(mark.start * rate) < end)
        )
        return Speech(Audio(self.speech.audio.samples[begin:end], rate), marks, "", self.speech.lang, self.speech.aligned)

    def heard(self, given: int) -> str:
        """Return the text whose sound lies in the first samples."""
        text = self.speech.text
        if given >= self.size:
            return text
        words = [mark for mark in self.speech.marks if mark.kind == "word"]
        if not words:
            return _whole_words(text, int(len(text) * given / self.size))
        time = given / self.speech.audio.rate + 0.01
        said = [mark for mark in words if mark.end <= time]
        if len(said) == len(words):
            return text
        return text[: max((mark.span[1] for mark in said), default=0)]

    def word_before(self, given: int) -> int:
        """Return the sample at which the word begins that is being said there; the place itself between words."""
        rate = self.speech.audio.rate
        for mark in self.speech.marks:
            if mark.kind == "word" and mark.start < given / rate < mark.end:
                return max(0, int(mark.start * rate) - rate // 100)
        return given

    def ready(self) -> bool:
        """Return whether it can have its place now."""
        return True

    def drop(self) -> None:
        """Take back what has no place yet."""
        self.taken = self.size


class Film(Piece):
    """A video in the line, read ahead in a thread; what is counted of it are frames.

    Args:
        frames: as they come.
        size: (width, height) of what is shown.
        rate, samples: of a second's and a frame's sound.
        lock: the session's.
        name: the gesture that it is, if it is one.
        melt: seconds in which it and what stands beside it give way to each other; 0 cuts.
    """

    def __init__(
        self, frames: Iterable[Frame], size: tuple[int, int], rate: int, samples: int, lock: threading.Condition, *,
        name: str = "", melt: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(Speech(Audio(np.zeros(0, np.float32), rate), aligned=True))
        self.name, self.melt = name, melt
        self.error: BaseException | None = None
        """What went wrong while it was read."""
        self._frames = frames
        self._pixels = size
        self._samples = samples
        self._lock = lock
        self._held: deque[Frame] = deque()
        self._last: Image | None = None
        self._unwanted = False
        self._whole = False  # all of it has been read, or it is not wanted any more
        self._thread: threading.Thread | None = None

    @property
    def size(self) -> int:
        """Frames; as long as they are not known more than there are."""
        return self.taken + len(self._held) if self._whole else sys.maxsize

    @property
    def running(self) -> bool:
        """Whether it has begun: then it is not left before its end, however slowly it is read."""
        return self._last is not None

    def ready(self) -> bool:
        """Return whether it can begin, or go on."""
        return self._whole or (bool(self._held) and (self.running or len(self._held) >= FRAMES // 2))

    def heard(self, given: int) -> str:
        """Return nothing: it has no text."""
        return ""

    def take(self) -> Frame:
        """Return its next frame; the last picture again and silence, with no index, while the next is not there."""
        if not self._held:
            assert self._last is not None
            return Frame(self._last, Audio(np.zeros(self._samples, np.float32), self.speech.audio.rate), -1)
        frame = self._held.popleft()
        self._last = frame.image
        self.taken += 1
        self._lock.notify_all()
        return frame

    def back(self, frame: Frame) -> None:
        """Put back a frame that was taken and not shown."""
        if frame.index >= 0 and not self._unwanted:
            self._held.appendleft(frame)
            self.taken -= 1

    def drop(self) -> None:
        """Take back what has no place yet."""
        self._held.clear()
        self._whole = self._unwanted = True

    def start(self) -> None:
        """Begin to read it ahead."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="film", daemon=True)
            self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait for its thread; return whether it has ended."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:  # noqa: BLE001 - told by the item in which it stands
            with self._lock:
                if not self._unwanted:
                    self.error = error
        with self._lock:
            self._whole = True
            self._lock.notify_all()

    def _read(self) -> None:
        frames = iter(self._frames)
        try:
            for frame in frames:
                samples = np.zeros(self._samples, np.float32)
                own = frame.audio.samples[: self._samples]
                samples[: len(own)] = own
                shown = replace(frame, image=fitted(frame.image, self._pixels), audio=Audio(samples, self.speech.audio.rate))
                with self._lock:
                    while not self._unwanted and len(self._held) >= FRAMES:
                        self._lock.wait()
                    if self._unwanted:
                        return
                    self._held.append(shown)
                    self._lock.notify_all()
        finally:
            if isinstance(frames, Generator):
                frames.close()


def _whole_words(text: str, count: int) -> str:
    """Return the first characters of a text, less the word that would be cut; a Chinese character is a word."""
    while 0 < count < len(text) and text[count - 1].isalnum() and text[count].isalnum() and text[count] < "\u2e80":
        count -= 1
    return text[:count]


class Item:
    """Something that stands in the line until all of it has been given out, or it is taken back."""

    def __init__(self, number: int, asked: float, lock: threading.Condition) -> None:
        self.id = number
        """Its number in the session, from 1."""
        self.asked = asked
        """When it was asked for, by the session's clock."""
        self.error: BaseException | None = None
        """What went wrong."""
        self.hushed = False
        """Whether it was taken back."""
        self.started: float | None = None
        """Seconds after it was asked for until its first sound was given out."""
        self.seen: float | None = None
        """The same for its first picture."""
        self.begun = -1  # the position of its first sound
        self.ended = False
        self._lock = lock
        self._pieces: deque[Piece] = deque()
        self._finished = False  # nothing more will come
        self._past: list[str] = []  # the texts of the pieces given out
        self._thread: threading.Thread | None = None
        self._prepared = threading.Event()
        self._done = threading.Event()

    def heard(self) -> str:
        """Return the text whose sound has been given out so far."""
        with self._lock:
            return self.heard_but({})

    @property
    def done(self) -> bool:
        """Whether it is over: all given out, taken back, or failed."""
        return self._done.is_set()

    def prepared(self, timeout: float | None = None) -> bool:
        """Wait until there is something of it to give out, or it is over; return whether that is so."""
        return self._prepared.wait(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over; return whether it is.

        Raises:
            HuashenError and others: what went wrong with the text or the voice.
        """
        over = self._done.wait(timeout)
        if self.error is not None:
            raise self.error
        return over

    # What the session does with it, holding the lock.

    def heard_but(self, less: dict[int, int]) -> str:
        """Return the text that was heard, when of some pieces (by `id`) so many samples less were."""
        return "".join(self._past) + "".join(piece.heard(max(0, piece.given - less.get(id(piece), 0))) for piece in self._pieces)

    def peek(self) -> Piece | None:
        """Return what comes next of it, None as long as nothing does."""
        return next((piece for piece in self._pieces if piece.taken < piece.size), None)

    def ready(self) -> bool:
        """Return whether something of it can have its place now."""
        piece = self.peek()
        return piece is not None and piece.ready()

    def may(self, lead: float) -> bool:
        """Return whether its next sound may have its place, where so many seconds more are needed before they can come."""
        return True

    def known(self) -> float:
        """Return how many seconds of it are certain to follow each other from now on."""
        return float("inf")

    def over(self) -> bool:
        """Return whether all of it has its place on the timeline."""
        return self._finished and self.peek() is None

    def all_given(self) -> bool:
        """Return whether all of it has been given out."""
        return self._finished and self.error is None and all(piece.given >= piece.size for piece in self._pieces)

    def forget(self) -> None:
        """Drop what has been given out."""
        while self._pieces and self._pieces[0].given >= self._pieces[0].size:
            piece = self._pieces.popleft()
            self._past.append(piece.speech.text)
            if isinstance(piece, Film):
                self.error = self.error or piece.error
            self._lock.notify_all()

    def cancel(self) -> None:
        """Take back what has not been given out."""
        self.hushed = True
        self._finished = True
        for piece in self._pieces:
            piece.drop()
        self.settle()

    def settle(self) -> None:
        """Note that it is over."""
        self.ended = True
        self._prepared.set()
        self._done.set()
        self._lock.notify_all()

    def start(self) -> None:
        """Begin to prepare it."""

    def join(self, timeout: float) -> bool:
        """Wait for its thread; return whether it has ended."""
        if self._thread is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, work: Callable[[], None], name: str) -> None:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again by `wait`, told in `Ended`
                with self._lock:
                    if not self.hushed:
                        self.error = error
            with self._lock:
                self._finished = True
                self._prepared.set()
                self._lock.notify_all()

        if self._thread is None:
            self._thread = threading.Thread(target=run, name=name, daemon=True)
            self._thread.start()

    def _add(self, piece: Piece) -> None:
        """Append a piece; the lock is held."""
        self._pieces.append(piece)
        self._prepared.set()
        self._lock.notify_all()


class Saying(Item):
    """A text that is being said."""

    def __init__(
        self, number: int, asked: float, lock: threading.Condition, text: str | Iterable[str], voice: "Voice", rate: int,
        known: Callable[[str], bool], acted: Callable[[str], Film | None],
    ) -> None:  # fmt: skip
        super().__init__(number, asked, lock)
        self._text = text
        self._voice = voice
        self._rate = rate
        self._known = known
        self._acted = acted
        self._films: list[Film] = []

    def start(self) -> None:
        """Begin to read the text and to speak it ahead, in a thread."""
        self._run(self._speak, f"saying {self.id}")

    def cancel(self) -> None:
        """Take it back; a text that comes as a stream is closed: at once if it can be, else when its next piece comes."""
        super().cancel()
        close = getattr(self._text, "close", None)
        if close is not None and not isinstance(self._text, Generator):  # a generator may be running in the thread, which closes it
            close()

    def join(self, timeout: float) -> bool:
        """Wait for its threads; return whether they have ended."""
        return super().join(timeout) and all(film.join(timeout) for film in self._films)

    def _speak(self) -> None:
        from huashen.tts import text as texts

        pieces = [self._text] if isinstance(self._text, str) else self._read()
        held: list[str] = []  # gestures of what has nothing to be said
        try:
            for sentence in texts.sentences(pieces):
                for part, gestures, film in self._scenes(*directions(sentence, self._known)):
                    if self.hushed:
                        return
                    gestures = [*((0, name) for name in held), *gestures]
                    if texts.sayable(part):
                        held = []
                        for speech in self._voice.speak(part):
                            here = [(at, name) for at, name in gestures if at <= len(speech.text)]
                            gestures = [(at - len(speech.text), name) for at, name in gestures if at > len(speech.text)]
                            if not self._put(Piece(_gesturing(resampled(speech, self._rate), here))):
                                return
                    else:
                        held = [name for _, name in gestures]
                    if film is not None and not self._put(film):
                        return
            if held:
                silence = Speech(Audio(np.zeros(self._rate // 5, np.float32), self._rate), aligned=True)
                self._put(Piece(_gesturing(silence, [(0, name) for name in held])))
        finally:
            if isinstance(self._text, Generator):
                self._text.close()

    def _scenes(self, text: str, gestures: list[tuple[int, str]]) -> Iterator[tuple[str, list[tuple[int, str]], Film | None]]:
        """Cut a sentence where a gesture is a clip: yield what is said before it, what the face does meanwhile, and the clip."""
        begin = 0
        here: list[tuple[int, str]] = []
        for at, name in gestures:
            film = self._acted(name)
            if film is None:
                here += [(at - begin, name)] * (name in GESTURES)
                continue
            end = at
            while end < len(text) and text[end] in CLOSING:
                end += 1
            yield (text[begin:at].rstrip() + text[at:end] if end > at else text[begin:at]), here, film
            begin, here = end, []
        yield text[begin:], here, None

    def _read(self) -> Iterator[str]:
        for piece in self._text:
            if self.hushed:
                return
            yield piece

    def _put(self, piece: Piece) -> bool:
        """Append a sentence, or a clip, once there is room; return False when it is not wanted any more."""
        with self._lock:
            while not self.hushed and sum(piece.taken == 0 for piece in self._pieces) >= AHEAD:
                self._lock.wait()
            if not self.hushed:
                if isinstance(piece, Film):
                    self._films = [*(film for film in self._films if not film.join(0.0)), piece]
                    piece.start()
                self._add(piece)
            return not self.hushed


class Feed(Item):
    """Sound that somebody gives bit by bit; usable from any thread."""

    def __init__(self, number: int, asked: float, lock: threading.Condition, rate: int, source: Iterable[Audio | Speech] | None) -> None:
        super().__init__(number, asked, lock)
        self._rate = rate
        self._source = source
        self._dry = True
        self._resampler: tuple[int, Any] | None = None

    def write(self, sound: Audio | Speech) -> None:
        """Append sound of any rate, or speech with its marks at the session's rate.

        Raises:
            TooLargeError: more waits than may.
            InputError: it has ended, or speech has another rate.
        """
        speech = self._converted(sound)
        with self._lock:
            if self._finished:
                if self.hushed:
                    return
                raise InputError(tr("this feed has ended; begin a new one", "该输入已结束；请重新开始"))
            if self._waiting() > MOST:
                raise TooLargeError(tr(
                    f"more than {MOST:.0f} s of sound wait to be heard; feed it more slowly", f"等待播放的声音已超过 {MOST:.0f} 秒；请放慢"
                ))  # fmt: skip
            if len(speech.audio.samples):
                self._append(speech)

    def end(self) -> None:
        """Say that no more sound follows; what has come is still heard."""
        with self._lock:
            if not self._finished:
                self._flush()
            self._finished = True
            self._prepared.set()
            self._lock.notify_all()

    def _flush(self) -> None:
        """Append what a resampler holds back; the lock is held."""
        if self._resampler is not None and not self.hushed:
            rest = np.asarray(self._resampler[1].resample_chunk(np.zeros(0, np.float32), last=True), np.float32)
            self._resampler = None
            if len(rest):
                self._append(Speech(Audio(rest, self._rate)))

    def start(self) -> None:
        """Begin to read the sound given as an iterable, in a thread."""
        if self._source is not None:
            self._run(self._read, f"feed {self.id}")

    def may(self, lead: float) -> bool:
        """Return whether it may go on; where it begins, or has run dry, only if what has come outlasts the lead."""
        if self._finished:
            return True
        if self.peek() is None:
            self._dry = True
        elif self._dry:
            self._dry = self._waiting() < BUFFERED + max(0.0, lead) - 1e-6
        return not self._dry

    def known(self) -> float:
        """Return the seconds that have come, less what is kept against jitter."""
        return float("inf") if self._finished else max(0.0, self._waiting() - BUFFERED)

    def _append(self, speech: Speech) -> None:
        """Append sound, to the last piece where both are short."""
        last = self._pieces[-1] if self._pieces else None
        if last is None or last.taken or last.size > self._rate * BUFFERED / 4 or last.speech.marks or speech.marks:
            self._add(Piece(speech))
            return
        joined = np.concatenate([last.speech.audio.samples, speech.audio.samples])
        last.speech = replace(last.speech, audio=Audio(joined, self._rate), text=last.speech.text + speech.text)
        self._lock.notify_all()

    def _waiting(self) -> float:
        return sum(piece.size - piece.taken for piece in self._pieces) / self._rate

    def _read(self) -> None:
        assert self._source is not None
        for sound in self._source:
            with self._lock:
                while not self.hushed and self._waiting() > READ:
                    self._lock.wait()
                if self.hushed:
                    return
            self.write(sound)
        with self._lock:
            self._flush()

    def _converted(self, sound: Audio | Speech) -> Speech:
        import soxr

        speech = sound if isinstance(sound, Speech) else Speech(sound)
        own = speech.audio.rate
        if own == self._rate:
            return speech
        if speech.marks:
            raise InputError(tr(
                f"speech with marks must have the session's {self._rate} Hz, not {own}",
                f"带标注的语音采样率应为会话的 {self._rate} Hz，而不是 {own}",
            ))  # fmt: skip
        if self._resampler is None or self._resampler[0] != own:
            self._resampler = (own, soxr.ResampleStream(own, self._rate, 1, dtype="float32"))
        samples = np.asarray(self._resampler[1].resample_chunk(speech.audio.samples), np.float32)
        return replace(speech, audio=Audio(samples, self._rate))


class Clip(Item):
    """A ready video, shown in place of the person who speaks."""

    def __init__(self, number: int, asked: float, lock: threading.Condition, film: Film) -> None:
        super().__init__(number, asked, lock)
        self._film = film
        self._pieces.append(film)
        self._finished = True

    def start(self) -> None:
        """Begin to read it ahead, in a thread."""
        self._film.start()

    def ready(self) -> bool:
        """Return whether it can begin, or go on, or is over."""
        return self._film.ready()

    def join(self, timeout: float) -> bool:
        """Wait for its thread; return whether it has ended."""
        return self._film.join(timeout)

    def prepared(self, timeout: float | None = None) -> bool:
        """Wait until there is something of it to show, or it is over; return whether that is so."""
        with self._lock:
            return self._lock.wait_for(lambda: self.ended or self._film.ready(), timeout)


def resampled(speech: Speech, rate: int) -> Speech:
    """Return speech at another rate; marks are in seconds and stay."""
    import soxr

    own = speech.audio.rate
    if own == rate:
        return speech
    samples = np.asarray(soxr.resample(speech.audio.samples, own, rate), np.float32)
    return replace(speech, audio=Audio(samples, rate))


def fitted(image: Image, size: tuple[int, int]) -> Image:
    """Return a picture at a size (width, height), whole, with black beside it where its shape is another."""
    import cv2

    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    wide, tall = max(1, min(size[0], round(width * scale))), max(1, min(size[1], round(height * scale)))
    small = cv2.resize(image, (wide, tall), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    out = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = (size[0] - wide) // 2, (size[1] - tall) // 2
    out[y : y + tall, x : x + wide] = small
    return out


def _gesturing(speech: Speech, gestures: list[tuple[int, str]]) -> Speech:
    """Return speech with marks of gestures, each a little before the word that follows its place in the text."""
    if not gestures:
        return speech
    words = [mark for mark in speech.marks if mark.kind == "word"]
    marks = list(speech.marks)
    for at, name in gestures:
        word = next((mark for mark in words if mark.span[0] >= at), None)
        if word is not None:
            start = word.start
        elif words:
            start = words[-1].end
        else:
            start = speech.audio.seconds * at / max(1, len(speech.text))
        start = min(max(0.0, start - GESTURE_LEAD), max(0.0, speech.audio.seconds - 0.001))
        marks.append(Mark("gesture", name, start, start))
    marks.sort(key=lambda mark: mark.start)
    return replace(speech, marks=tuple(marks))

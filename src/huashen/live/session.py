"""A person who talks now: what is asked for goes into a line, sound and pictures come out against the clock.

Sound is the clock. The timeline (`timeline.Timeline`) says which sound belongs to which frame; it is written when somebody needs it and may
be rewritten for as long as its sound has not been given out. Two read it: whoever takes the sound, and the talking head, which reads ahead
by its lookahead and may lag behind when drawing is slow. The head's stream never ends and is never restarted; where the timeline is
rewritten, a `Cut` travels with the sound and drops what the head was asked for and has not shown. So a sentence that begins, or is cut off,
does not wait for silence or words that the head has already heard.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from huashen import media
from huashen.avatar import Avatar
from huashen.errors import EngineError, InputError
from huashen.flow import prefetch
from huashen.footage import Footage
from huashen.live import events
from huashen.live.clock import Clock, Monotonic
from huashen.live.events import Event
from huashen.live.gestures import ALIASES, GESTURES
from huashen.live.gestures import name as plain_name
from huashen.live.items import Clip, Feed, Film, Item, Saying
from huashen.live.timeline import Tick, Timeline
from huashen.types import Audio, Cut, Floats, Frame, Image, Mark, Speech, Video
from huashen.words import tr

if TYPE_CHECKING:
    from huashen.stages import Stage
    from huashen.talking_head import TalkingHead
    from huashen.tts import Voice

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Item)

RATE = 48000
"""The rate of the sound where a voice's own does not come out even for a frame."""
FADE = 0.015
"""Seconds in which sound that is cut off fades."""
SETTLE = 0.3
"""Seconds of silence after which every driver has closed the mouth."""
STALL = 1.0
"""Seconds by which whoever takes the sound may fall behind; beyond, the timeline stands still until the sound is taken again."""
MELT = 0.24
"""Seconds in which the face and a gesture's clip give way to each other."""
BEHIND = 5.0
"""Seconds of sound that are kept for a head that draws too slowly; older ones it never hears."""
WAITING = 1000
"""How many things may stand in the line."""


@dataclass(frozen=True)
class Picture:
    """What is to be seen from a moment on."""

    image: Image
    """(h, w, 3) uint8 RGB."""
    index: int
    """Its place on the timeline: it belongs to the sound from index / fps on."""
    late: bool = False
    """Whether it is an older one, shown again because that place's own was not ready."""


class _Drawn(NamedTuple):
    """A picture that is ready."""

    place: int
    """Its place on the timeline."""
    image: Image
    frame: int
    """Which of the head's stream it is; -1: it is a film's."""
    film: Film | None = None


@dataclass(frozen=True)
class Stats:
    """How a session has done so far."""

    seconds: float
    """Of sound given out."""
    pictures: int
    """Places on the timeline whose pictures were asked for."""
    late: int
    """Those of them that were not ready in time."""
    drawn: int
    """Pictures drawn by the head."""
    draw_seconds: float
    """Mean time a picture took, by the session's clock."""
    lag: float
    """Seconds by which the latest sound was given out after it was due."""
    stalled: float
    """Seconds for which nobody took the sound, by which the timeline was moved."""
    first_sound: float | None
    """Seconds from the last thing asked for to its first sound."""
    first_picture: float | None
    """Seconds from the last thing asked for to its first picture."""
    waiting: int
    """How many things stand in the line."""


def check_stages(stages: "Iterable[Stage]") -> None:
    """Look whether stages can be live.

    Raises:
        InputError: one of them needs frames that are still to come.
    """
    for stage in stages:
        if stage.lookahead_frames:
            name = type(stage).__name__.lower()
            raise InputError(tr(
                f"the stage '{name}' needs {stage.lookahead_frames} frames more than there are yet and cannot be live; leave it out",
                f"后处理“{name}”需要预读 {stage.lookahead_frames} 帧，无法用于直播；请去掉它",
            ))  # fmt: skip


class Session:
    """A live session. Its methods may be called from any thread; none but the iterators and `start` waits.

    Args:
        face: who speaks; at the size of the video.
        head: a talking head whose driver is a `Steered` one, at the session's frames a second; it may be shared between sessions.
        voice: what speaks texts; without it there is only `feed` and `play`. It may be shared too.
        fps: frames a second.
        rate: samples a second of the sound that comes out; the voice's own when None, or 48000.
        clock: what to run against; the machine's when None.
        ahead: pictures drawn before they are due.
        patient: wait for every picture instead of showing one late: for files, and for clocks that do not wait.
        clips: videos for gestures, by name ("wave"): they are shown in the face's place.
        stages: what the person's pictures go through, in this order (clips do not); those that need later frames cannot be live.

    Raises:
        InputError: the numbers do not go together.
        UnreadableError: one of the clips is no video.
    """

    def __init__(
        self,
        face: Avatar | Footage,
        *,
        head: "TalkingHead",
        voice: "Voice | None" = None,
        fps: Fraction = Fraction(25),
        rate: int | None = None,
        clock: Clock | None = None,
        ahead: int = 2,
        patient: bool = False,
        clips: Mapping[str, str | Path] | None = None,
        stages: "Iterable[Stage]" = (),
    ) -> None:
        if rate is None:
            rate = voice.rate if voice is not None and voice.rate % fps == 0 else RATE
        if fps <= 0 or rate <= 0 or rate % fps:
            raise InputError(tr(
                f"{rate} Hz do not come out even at {fps} frames a second; take 24, 25, 30, 50 or 60 frames and 48000 Hz",
                f"{rate} Hz 无法被每秒 {fps} 帧整除；请使用 24、25、30、50 或 60 帧与 48000 Hz",
            ))  # fmt: skip
        if head.lookahead == float("inf"):
            raise InputError(tr(
                "this engine needs all the sound before its first picture and cannot be live; choose another",
                "该引擎需要全部声音才能输出第一帧，无法用于直播；请换一个",
            ))  # fmt: skip
        if ahead < 1:
            raise InputError(tr(f"ahead must be at least 1, not {ahead}", f"ahead 至少为 1，现为 {ahead}"))
        care = list(stages)
        check_stages(care)
        self.fps = fps
        self.rate = rate
        self.samples = int(rate / fps)
        """Samples of a frame."""
        self.size: tuple[int, int] = face.size if isinstance(face, Footage) else (face.image.shape[1], face.image.shape[0])
        """(width, height) of the pictures."""
        if isinstance(face, Footage) and face.goal is not None:
            self.size = face.goal
        for stage in care:
            self.size = stage(Video(iter(()), fps, self.size, rate)).size
        self._face, self._head, self._voice, self._stages = face, head, voice, care
        self._clock = clock or Monotonic()
        self._ahead, self._patient = ahead, patient
        self._clips = {plain_name(name): clip for name, clip in (clips or {}).items()}
        for clip in self._clips.values():
            media.read_video(clip, fps=fps, rate=rate)
        self._lock = threading.Condition(threading.RLock())
        drawn = ahead + 1 + (2 if care else 0)  # `prefetch` holds one, and draws one
        self._timeline = Timeline(rate, self.samples, int(np.ceil(head.lookahead * float(fps))) + drawn)
        self._items: list[Item] = []  # all whose thread may run, or that are not over
        self._count = 0
        self._given = -1  # the last position whose sound was given out
        self._begun: float | None = None  # the clock at position 0
        self._fade_in = False
        self._lag = self._stalled = 0.0
        # What the head's thread keeps.
        self._thread: threading.Thread | None = None
        self._closing = False
        self._error: BaseException | None = None
        self._want = 0  # the next position to be drawn
        self._fed = 0  # the next position the head hears
        self._stream = 0  # frames the head was given
        self._places: dict[int, int] = {}  # from a frame of the head's stream to its position, as long as it is wanted
        self._gestures: list[str] = []
        # Pictures: those drawn and not yet due, and the one that is shown.
        self._ready: deque[_Drawn] = deque()
        self._shown: _Drawn | None = None
        self._melting: tuple[int, int, Image] | None = None  # from which place on, for how many, what gives way
        self._spare: _Drawn | None = None  # drawn for a place whose picture is to be another, in case that one is late
        self._asked_pictures = -1
        self._pictures = self._late = self._drawn = 0
        self._drawing = self._usual = 0.0
        self._listeners: list[Callable[[Event], None]] = []
        self._events: deque[Event] = deque()
        self._telling = threading.RLock()
        self._told_by: int | None = None
        self._latest: Item | None = None

    # --- asking for something ----------------------------------------------------------------------------------------------------

    def say(self, text: str | Iterable[str]) -> Saying:
        """Say a text after all that stands in the line; return at once.

        Args:
            text: whole, or as it comes, such as a language model's answer: it is spoken sentence by sentence. Names of gestures in
                brackets are done, not said: "Welcome! [smile]".

        Raises:
            InputError: the session has no voice, is closed, or too much waits.
        """
        if self._voice is None:
            raise InputError(tr("this session has no voice; give it one, or feed it sound", "该会话没有语音引擎；请指定一个或直接输入声音"))
        voice = self._voice
        return self._line_up(lambda n, asked: Saying(n, asked, self._lock, text, voice, self.rate, self._knows, self._acted))

    def feed(self, sound: Audio | Speech | Iterable[Audio | Speech] | None = None) -> Feed:
        """Let sound be heard, and the face move to it, after all that stands in the line; return at once.

        Args:
            sound: all of it, or as it comes; None: it is written to what is returned, which is to be ended.
        """
        source = None if sound is None or isinstance(sound, Audio | Speech) else sound
        found = self._line_up(lambda n, asked: Feed(n, asked, self._lock, self.rate, source))
        if isinstance(sound, Audio | Speech):
            found.write(sound)
            found.end()
        return found

    def play(self, clip: str | Path | Video) -> Clip:
        """Show a ready video with its own sound after all that stands in the line; return at once.

        Args:
            clip: a file, or a Video at the session's `fps` and `rate` (or silent).

        Raises:
            UnreadableError: the file is no video.
            InputError: a Video of other rates.
        """
        if not isinstance(clip, Video):
            video = media.read_video(clip, fps=self.fps, rate=self.rate)
        else:
            video = clip
        if video.fps != self.fps or video.rate not in (0, self.rate):
            raise InputError(tr(
                f"a clip at {float(video.fps):g} frames a second and {video.rate} Hz does not fit a session at {float(self.fps):g} and "
                f"{self.rate}; read it with fps= and rate=",
                f"片段（每秒 {float(video.fps):g} 帧、{video.rate} Hz）与会话（每秒 {float(self.fps):g} 帧、{self.rate} Hz）不符；"
                "读取时请指定 fps= 与 rate=",
            ))  # fmt: skip
        film = Film(video.frames, self.size, self.rate, self.samples, self._lock)
        return self._line_up(lambda n, asked: Clip(n, asked, self._lock, film))

    def express(self, gesture: str) -> None:
        """Do a gesture now, whatever is being said.

        Args:
            gesture: one of `gestures()`, in English or Chinese. One that is a clip waits for its turn in the line.

        Raises:
            InputError: there is none of that name.
        """
        plain = plain_name(gesture)
        film = self._acted(plain)
        if film is not None:
            self._line_up(lambda n, asked: Clip(n, asked, self._lock, film))
        elif plain in GESTURES:
            with self._lock:
                self._gestures.append(plain)
        else:
            have = ", ".join(self.gestures())
            raise InputError(tr(f"there is no gesture '{gesture}'; there are: {have}", f"没有“{gesture}”这个动作；可用的有：{have}"))

    def gestures(self) -> list[str]:
        """Return the names of what `express` knows."""
        return [*GESTURES, *(name for name in self._clips if name not in GESTURES)]

    def hush(self, *, unheard: float = 0.0) -> str:
        """Stop at once and forget everything in the line; return the text that was heard of what was being said.

        Sound fades within 15 ms from the next frame on, and the mouth closes.

        Args:
            unheard: seconds of sound that were given out and have not been heard yet, where that is known (a player's buffer).
        """
        with self._lock:
            less = self._timeline.heard_but(self._given, round(unheard * self.rate))
            gone = self._stop()
            heard = []
            for item in self._items:
                if not item.ended:
                    text = item.heard_but(less)
                    heard.append(text)
                    whole = item.all_given()
                    item.cancel()
                    self._events.append(events.Ended(self._now(), item.id, text, whole=whole))
            said = "".join(heard)
            self._timeline.clear()
            self._timeline.paused = False
            self._gestures.clear()
            self._after_stop(gone)
            self._events.append(events.Hushed(self._now(), said))
            self._tidy()
        self._tell()
        return said

    def pause(self) -> None:
        """Let the sound and the mouth rest in the middle of what is being said; the line waits."""
        with self._lock:
            if self._timeline.paused:
                return
            gone = self._stop()
            self._timeline.paused = True
            if self._timeline.line:
                piece = self._timeline.line[0].peek()
                if piece is not None and piece.given:
                    piece.taken = piece.given = piece.word_before(piece.given)
            self._after_stop(gone)
            self._events.append(events.Paused(self._now()))
        self._tell()

    def resume(self) -> None:
        """Go on where `pause` stopped, from the beginning of the word that was cut."""
        with self._lock:
            if not self._timeline.paused:
                return
            self._timeline.paused = False
            self._fade_in = True
            self._hurry()
            self._events.append(events.Resumed(self._now()))
        self._tell()

    @property
    def speaking(self) -> bool:
        """Whether anything that was asked for is not over."""
        with self._lock:
            return any(not item.ended for item in self._items)

    @property
    def waiting(self) -> int:
        """How many things stand in the line."""
        with self._lock:
            return len(self._timeline.line)

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call a function at every event; return what ends that.

        It is called by the thread in which the event happened, in order, and must return soon: in an asyncio programme it should pass the
        event on by `loop.call_soon_threadsafe`.
        """
        with self._lock:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._lock, suppress(ValueError):
                self._listeners.remove(listener)

        return unsubscribe

    # --- taking sound and pictures -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin drawing and wait for the first picture; the iterators do so themselves.

        Raises:
            HuashenError and others: what the head or the driver cannot do.
        """
        with self._lock:
            self._check_open()
            if self._thread is None:
                self._thread = threading.Thread(target=self._draw, name="session", daemon=True)
                self._thread.start()
            while self._error is None and not self._ready and self._shown is None and not self._closing:
                self._lock.wait()
            self._check()

    def due(self, index: int) -> float:
        """Return when a frame is due, by the session's clock; the first call after `start` begins the timeline."""
        with self._lock:
            if self._begun is None:
                self._begun = self._clock.now()
            late = self._clock.now() - (self._begun + float((self._given + 1) / self.fps))
            if late > STALL:  # nobody took the sound: it comes later, none is lost
                self._begun += late
                self._stalled += late
            return self._begun + float(index / self.fps)

    def sound(self, index: int) -> Audio:
        """Return a frame's sound, without waiting; each may be taken several times, but not long after the newest.

        Args:
            index: its place on the timeline; the next to come, or one of the last few.

        Raises:
            InputError: it is gone.
        """
        with self._lock:
            self._check()
            if not self._timeline.has(index):
                raise InputError(tr(f"the sound of frame {index} is gone", f"第 {index} 帧的声音已不在"))
            self._hurry()
            while self._given < index:
                self._give(self._tick(self._given + 1))
            self._given = max(self._given, index)
            kept = min(self._given - int(2 * self.fps), self._fed)
            self._timeline.forget(max(kept, self._given - int(BEHIND * self.fps)))
            self._timeline.shown(min(self._want, self._given + 1))
            tick = self._tick(index)
            self._lock.notify_all()
        self._tell()
        return Audio(tick.sound, self.rate)

    def picture(self, index: int) -> Picture:
        """Return what is to be seen at a place on the timeline, without waiting (unless the session is patient).

        Args:
            index: not below the last one asked for.
        """
        with self._lock:
            self._check()
            self._asked_pictures = max(self._asked_pictures, index)
            if self._patient:
                self._lock.notify_all()
                while self._want <= index and self._error is None and not self._closing:
                    self._lock.wait()
                self._check()
            while self._ready and self._ready[0].place <= index:
                self._shown = self._ready.popleft()
            if self._spare is not None and self._spare.place <= index:
                if self._spare.place == index and (self._shown is None or self._shown.place < index):
                    self._shown = self._spare
                self._spare = None
            if self._shown is None:
                raise EngineError(tr("the session has not been started", "会话尚未开始"))
            place, image = self._shown.place, self._shown.image
            late = place < index
            self._pictures += 1
            if late:
                self._late += 1
                self._events.append(events.Late(float(index / self.fps), index))
            for item in self._items:
                if item.seen is None and 0 <= item.begun <= place:
                    item.seen = self._clock.now() - item.asked
                    self._events.append(events.Seen(float(place / self.fps), item.id, item.seen))
            self._tidy()
            self._lock.notify_all()
        self._tell()
        return Picture(image, index, late)

    def frames(self) -> Iterator[Frame]:
        """Yield a frame at every tick of the clock, with exactly its sound; where its picture is late the one before is shown again.

        The timeline goes on where others left it. If the caller is late, frames follow each other at once until it is in time again.
        """
        self.start()
        index = self._given + 1
        while not self._closing:
            self._clock.wait(self.due(index))
            if self._closing:
                return
            audio = self.sound(index)
            yield Frame(self.picture(index).image, audio, index)
            index += 1

    def sounds(self) -> Iterator[Audio]:
        """Yield the sound, a frame's length at a time, each when it is due; nothing is ever left out, slow pictures do not matter."""
        self.start()
        index = self._given + 1
        while not self._closing:
            self._clock.wait(self.due(index))
            if self._closing:
                return
            yield self.sound(index)
            index += 1

    def pictures(self) -> Iterator[Picture]:
        """Yield the pictures, each when it is due; if the caller is late, or a picture is, it is left out."""
        self.start()
        index = self._given + 1
        while not self._closing:
            self._clock.wait(self.due(index))
            if self._closing:
                return
            now = int((self._clock.now() - self.due(0)) * self.fps)
            index = max(index, now)
            picture = self.picture(index)
            if not picture.late:
                yield picture
            index += 1

    def stats(self) -> Stats:
        """Return how the session has done so far."""
        with self._lock:
            seconds = float((self._given + 1) / self.fps)
            last = self._latest
            return Stats(
                seconds, self._pictures, self._late, self._drawn, self._drawing / max(1, self._drawn), self._lag, self._stalled,
                last.started if last else None, last.seen if last else None, len(self._timeline.line),
            )  # fmt: skip

    # --- ending ------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop everything; no thread is left, unless a text or a voice does not return within two seconds."""
        with self._lock:
            self._closing = True
            items = list(self._items)
            for item in items:
                if not item.ended:
                    item.cancel()
            self._timeline.clear()
            self._lock.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        for item in items:
            if not item.join(2.0):
                logger.warning("the text or the voice of saying %d does not return; its thread ends when it does", item.id)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- the line ----------------------------------------------------------------------------------------------------------------

    def _knows(self, gesture: str) -> bool:
        """Return whether a name in brackets is a gesture: then it is not said, also where nobody can do it."""
        return gesture in GESTURES or gesture in self._clips or gesture in ALIASES.values()

    def _acted(self, gesture: str) -> Film | None:
        """Return the clip that a gesture is, if it is one."""
        clip = self._clips.get(gesture)
        if clip is None:
            return None
        frames = media.read_video(clip, fps=self.fps, rate=self.rate).frames
        return Film(frames, self.size, self.rate, self.samples, self._lock, name=gesture, melt=MELT)

    def _line_up(self, make: Callable[[int, float], T]) -> T:
        """Put something at the end of the line."""
        with self._lock:
            self._check_open()
            if len(self._timeline.line) >= WAITING:
                raise InputError(tr(f"{WAITING} things wait already; hush, or wait", f"已有 {WAITING} 项在等待；请稍候，或先停止"))
            self._count += 1
            item = make(self._count, self._clock.now())
            self._items.append(item)
            self._timeline.line.append(item)
            self._latest = item
            self._prepare()
        return item

    def _prepare(self) -> None:
        """Let the first two in the line get ready; the others would only hold threads and memory."""
        for item in islice(self._timeline.line, 2):
            item.start()

    def _tidy(self) -> None:
        """Forget what is over."""
        self._items = [item for item in self._items if not item.ended or not item.join(0.0) or (item.begun >= 0 and item.seen is None)]
        self._prepare()

    # --- sound -------------------------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        """Return where on the timeline the next sound will be, in seconds."""
        return float((self._given + 1) / self.fps)

    def _tick(self, position: int) -> Tick:
        """Return a tick; who is patient waits for a film that is read slowly."""
        while self._patient and position >= self._timeline.end:
            while self._timeline.starving() and not self._closing:
                self._lock.wait()
            self._timeline.tick(self._timeline.end)
        return self._timeline.tick(position)

    def _give(self, tick: Tick) -> None:
        """Note that a tick's sound is given out."""
        self._given = self._timeline.given = tick.position
        if self._begun is not None:
            self._lag = max(0.0, self._clock.now() - self._begun - float(tick.position / self.fps))
        if self._fade_in and tick.spans:
            self._fade_in = False
            count = min(len(tick.sound), round(FADE * self.rate))
            tick.sound = np.concatenate([tick.sound[:count] * np.linspace(0, 1, count, dtype=np.float32), tick.sound[count:]])
        at = float(tick.position / self.fps)
        if tick.film is not None and tick.owner is not None and tick.frame is not None:
            self._begin(tick.owner, tick.position)
            if tick.film.name and not tick.film.given:
                self._events.append(events.Gestured(at, tick.film.name))
            tick.film.given += tick.frame.index >= 0
            tick.owner.forget()
        offset = 0
        for item, piece, begin, end in tick.spans:
            self._begin(item, tick.position)
            for mark in piece.speech.marks:
                if begin <= round(mark.start * self.rate) < end or (begin == 0 and mark.start < 0):
                    self._tell_mark(mark, item, at + (offset - begin) / self.rate)
            piece.given = end
            offset += end - begin
            item.forget()
        for item in tick.ends:
            if not item.ended:
                item.forget()
                item.settle()
                error = "" if item.error is None else str(item.error) or type(item.error).__name__
                self._events.append(events.Ended(at, item.id, item.heard_but({}), whole=item.error is None, error=error))
        if tick.ends:
            self._tidy()

    def _begin(self, item: Item, position: int) -> None:
        if item.begun < 0:
            item.begun = position
            item.started = self._clock.now() - item.asked
            self._events.append(events.Started(float(position / self.fps), item.id, item.started))

    def _tell_mark(self, mark: Mark, item: Item, shift: float) -> None:
        at, until = shift + mark.start, shift + mark.end
        if mark.kind == "word":
            self._events.append(events.Word(at, item.id, mark.text, mark.span, until))
        elif mark.kind == "sentence":
            self._events.append(events.Sentence(at, item.id, mark.text, until))
        elif mark.kind == "gesture":
            self._events.append(events.Gestured(at, mark.text))

    def _stop(self) -> list[Tick]:
        """Take back everything from the next sound on, and the pictures with it."""
        gone = self._timeline.revoke(self._given + 1, filler=int(np.ceil(SETTLE * self.fps)))
        self._rewind(self._given + 1)
        return gone

    def _after_stop(self, gone: list[Tick]) -> None:
        """Let the sound that was taken back fade instead of breaking off."""
        if not gone or gone[0].idle:
            return
        count = round(FADE * self.rate)
        tick = self._tick(self._given + 1)
        tail = gone[0].sound[:count] * np.linspace(1, 0, min(count, len(gone[0].sound)), dtype=np.float32)
        tick.sound = np.concatenate([tail, tick.sound[len(tail) :]])
        tick.fades = True

    def _hurry(self) -> None:
        """Let what is ready begin before the silence that is already decided is over."""
        line = self._timeline.line
        if self._timeline.paused or self._thread is None:
            return
        self._timeline.pass_over()
        if not line:
            return
        item = line[0]
        if not item.ready():
            return
        end = self._timeline.end
        margin = max(self._given + 1, self._want if self._patient else self._given + 2)
        idle = self._timeline.idle_from(min(margin, end))
        known = item.known()
        if known < float("inf"):
            idle = max(idle, self._given + 1 + self._timeline.reach - int(known * self.fps))
        if idle < end and item.may(self._timeline.lead(idle)):  # else it would not begin there, and the head be cut off again and again
            self._timeline.revoke(idle)
            self._rewind(idle)

    def _rewind(self, position: int) -> None:
        """Let the head begin again at a position; what it draws for later ones is not wanted."""
        self._want = min(self._want, position)
        self._fed = min(self._fed, position)
        self._places = {frame: place for frame, place in self._places.items() if place < position}
        while self._ready and self._ready[-1].place >= position:
            picture = self._ready.pop()
            self._spare = picture if picture.place == position else None
        self._lock.notify_all()

    # --- the head's thread -------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        """Draw pictures, a few before they are due, until the session is closed."""
        frames: Iterator[Frame] = iter(())
        drawn: Iterator[Frame] = iter(())
        try:
            video = self._head.animate(self._face, self._heard())
            drawn = video.frames
            if self._stages:  # the next picture is drawn while this one goes through them
                drawn = prefetch(drawn, 1)
                video = replace(video, frames=self._wanted(drawn))
            for stage in self._stages:
                video = stage(video)
            frames = video.frames
            while True:
                with self._lock:
                    while not self._closing and self._want > max(self._given, self._asked_pictures) + self._ahead:
                        self._lock.wait()
                    if self._closing:
                        break
                    if not self._patient and self._want <= self._given and self._shown is not None:
                        self._want = self._given + 1 + int(self._usual * self.fps)  # it is too late for those before
                    tick = self._tick(self._want)
                    self._prepare()
                    if tick.film is not None and tick.frame is not None:
                        self._show(_Drawn(self._want, tick.frame.image, -1, tick.film))
                        continue
                    begin = self._clock.now()
                frame = next(frames)
                with self._lock:
                    self._drawn += 1
                    took = self._clock.now() - begin
                    self._drawing += took
                    self._usual += 0.2 * (took - self._usual)
                    place = self._places.pop(frame.index, None)
                    if place is not None and place >= self._want:
                        self._show(_Drawn(place, frame.image, frame.index))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever takes sound or pictures
            with self._lock:
                self._error = error
                self._lock.notify_all()
        finally:
            for stream in (frames, drawn):
                close = getattr(stream, "close", None)
                if close is not None:
                    close()

    def _wanted(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Leave out pictures that were drawn ahead and are not wanted any more, so that the next need not wait for the stages."""
        for frame in frames:
            with self._lock:
                wanted = self._places.get(frame.index, -1) >= self._want or self._tick(self._want).film is not None
                self._drawn += not wanted
            if wanted:
                yield frame

    def _show(self, picture: _Drawn) -> None:
        self._ready.append(picture._replace(image=self._melted(picture)))
        self._want = picture.place + 1
        self._lock.notify_all()

    def _melted(self, picture: _Drawn) -> Image:
        """Return a picture, into which the one before melts where the face gives way to a gesture's clip, or comes back."""
        import cv2

        last = self._ready[-1] if self._ready else self._shown
        if last is not None and last.film is not picture.film:
            seconds = max(film.melt for film in (last.film, picture.film) if film is not None)
            self._melting = (picture.place, round(seconds * self.fps), last.image) if seconds else None
        if self._melting is None:
            return picture.image
        begin, count, before = self._melting
        share = (picture.place - begin + 1) / (count + 1)
        if not 0 < share < 1:
            self._melting = None if share >= 1 else self._melting
            return picture.image
        return np.asarray(cv2.addWeighted(before, 1 - share, picture.image, share, 0), np.uint8)

    def _heard(self) -> Iterator[Speech]:
        """Yield what the head hears: the timeline's sound, one frame at a time, without end."""
        while True:
            with self._lock:
                if self._closing:
                    return
                self._hurry()
                pieces = self._next_heard()
                self._prepare()
            yield from pieces

    def _next_heard(self) -> list[Speech]:
        """Return the sound of the next frame of the head's stream, after what has to come before it."""
        before = self._fed
        jumped = self._fed < self._want or not self._timeline.has(self._fed)
        if jumped:
            self._fed = self._want if self._timeline.has(self._want) else self._given + 1
        tick = self._tick(self._fed)
        if tick.film is not None:  # the head is not seen; it looks ahead at silence
            self._stream += 1
            return [self._silence()]
        pieces = list(tick.fed)
        heard = (self._tick(k) for k in range(before, self._fed + 1) if self._timeline.has(k))
        filler = max((one.filler for one in heard if one.cut), default=0)  # also that of one it is too late for
        behind = [frame for frame, place in self._places.items() if place < self._want]
        if tick.cut or jumped:
            cut = Cut(self._stream + filler, self._frame_shown())
        elif behind and not self._patient:
            wanted = [frame for frame, place in self._places.items() if place >= self._want]
            cut = Cut(min(wanted, default=self._stream), self._frame_shown())
        else:
            cut = None
        for frame in behind:
            del self._places[frame]
        tick.cut = False
        pieces = [*(self._silence() for _ in range(filler)), *pieces]
        self._stream += filler
        self._places[self._stream] = self._fed
        self._stream += 1
        self._fed += 1
        if self._gestures:
            marks = tuple(Mark("gesture", gesture, -1.0, 0.0) for gesture in self._gestures)
            pieces[0] = replace(pieces[0], marks=(*marks, *pieces[0].marks))
            self._events.extend(events.Gestured(self._now(), gesture) for gesture in self._gestures)
            self._gestures.clear()
        if cut is not None:
            pieces[0] = replace(pieces[0], cut=cut)
        return pieces

    def _silence(self) -> Speech:
        quiet: Floats = np.zeros(self.samples, np.float32)
        return Speech(Audio(quiet, self.rate), aligned=True)

    def _frame_shown(self) -> int:
        """Return which frame of the head's stream comes before what is drawn next."""
        last = self._ready[-1] if self._ready else self._shown
        return last.frame if last is not None else -1

    # --- events and errors -------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Pass events on, in order, not holding the lock."""
        if self._told_by == threading.get_ident():
            return  # a listener asked for something: what comes of it is told when it returns
        with self._telling:
            self._told_by = threading.get_ident()
            try:
                while True:
                    with self._lock:
                        if not self._events:
                            return
                        event = self._events.popleft()
                        listeners = list(self._listeners)
                    for listener in listeners:
                        listener(event)
            finally:
                self._told_by = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _check_open(self) -> None:
        self._check()
        if self._closing:
            raise InputError(tr("the session is closed", "会话已关闭"))

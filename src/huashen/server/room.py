"""A session on the server: the person who talks, who sees it, and what is said between them."""

import json
import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from huashen import live
from huashen.chat import Reply
from huashen.chat.aloud import without_code
from huashen.chat.conversation import Conversation
from huashen.errors import HuashenError, InputError
from huashen.live.gestures import Unbracketed
from huashen.server.camera import Camera
from huashen.server.hearing import Played, follow
from huashen.server.house import House, Seen, as_fps
from huashen.server.playlist import Playlist
from huashen.server.push import Output, outputs
from huashen.types import Audio, Frame
from huashen.words import tr

logger = logging.getLogger(__name__)

CHOICES = ("face", "tts", "voice", "lang", "engine", "driver", "style", "chat", "size", "fps", "background")
"""What a client may ask for when it opens a session."""
SIZES = (128, 1280)
"""Smallest and longest side of a live picture."""
SOUND_WAITS = 250
"""Pieces of the microphone's sound (20 to 40 ms each) that may wait for recognition; older ones are dropped."""


class Viewer(Protocol):
    """One connection to a browser. `put`, `tell` and `silence` may be called from any thread and do not wait."""

    def put(self, frame: Frame) -> None: ...
    def tell(self, event: dict[str, Any]) -> None: ...
    def silence(self) -> None: ...
    async def alive(self) -> bool: ...
    async def close(self) -> None: ...


class BusyError(InputError):
    """Too much waits to be said."""


class Room:
    """A live session with its viewers and its conversation; everything in it is its own, but for the prepared face.

    Args:
        house: what is on offer.
        wish: what the client asks for; what it does not say is as `house.defaults` has it.
        id: a secret of its own without.

    Raises:
        InputError: a wish that cannot be met.
        MissingError: an engine's parts are not here.
    """

    def __init__(self, house: House, wish: dict[str, Any], *, id: str | None = None) -> None:
        self._house = house
        asked = _checked(wish)
        self.face = house.face(asked.get("face"))
        chosen = {**house.defaults, **asked}
        self.fps = as_fps(chosen.get("fps") or 25)
        self.background = chosen.get("background") or "original"
        self.id = id or secrets.token_urlsafe(16)
        self.begun = self.renewed = time.monotonic()
        self.failed: BaseException | None = None
        self.viewers: list[Viewer] = []
        self.outputs: list[Output | Camera] = []
        """Where a channel goes; they last as long as it does."""
        self._playlist: Playlist | None = None
        chat = chosen.get("chat") or next(iter(house.chats), "none")
        if chat != "none" and chat not in house.chats:
            have = ", ".join([*house.chats, "none"])
            raise InputError(tr(f"chat cannot be '{chat}'; there are: {have}", f"chat 不能是“{chat}”；可用的有：{have}"))
        self._talk = Conversation(house.chats[chat]) if chat != "none" else None
        self._live = _built(house, self.face, chosen, self.fps)
        self._listeners: list[Callable[[dict[str, Any]], None]] = []
        self._lock = threading.RLock()
        self._ending = False
        self._threads: list[threading.Thread] = []
        self._requests: deque[float] = deque()
        self._answers: dict[int, _Timed] = {}
        self._sentences: dict[int, str] = {}
        self._state = ""
        self._heard: queue.Queue[Audio | None] = queue.Queue(SOUND_WAITS)
        self._ears = house.ears() if house.ears is not None else None
        self._played = Played()
        self._live.subscribe(self._happened)

    def begin(self) -> None:
        """Let the person live: from now on there are frames."""
        works = [(self._run, "room")] + ([(self._hear, "ears")] if self._ears is not None else [])
        for work, name in works:
            # in the language of whoever opened the session
            thread = threading.Thread(target=copy_context().run, args=(work,), name=f"{name} {self.id[:4]}", daemon=True)
            self._threads.append(thread)
            thread.start()
        if self._playlist is not None:
            self._playlist.begin()

    def values(self, *, secret: bool) -> dict[str, Any]:
        """Return what a client is told about the session; its id only to whom it belongs."""
        width, height = self._live.size
        values: dict[str, Any] = {
            "face": self.face.name, "size": [width, height], "fps": str(self.fps), "rate": self._live.rate, "background": self.background,
            "outputs": [asdict(output.condition()) for output in self.outputs],
            "seconds": round(time.monotonic() - self.begun, 1), "state": self._state or "idle", **self.numbers(),
        }  # fmt: skip
        if secret:
            values |= {
                "id": self.id, "webrtc": True, "codec": "h264", "ice_servers": self._house.ice_servers, "lease": self._house.limits.lease,
                "gestures": self._live.gestures(),
            }  # fmt: skip
        return values

    def numbers(self) -> dict[str, float]:
        """Return counts for the metrics."""
        stats = self._live.stats()
        return {"frames": stats.pictures, "late_frames": stats.late, "draw_seconds": stats.draw_seconds, "lag_seconds": stats.lag,
                "waiting": stats.waiting, "viewers": len(self.viewers)}  # fmt: skip

    # ------------------------------------------------------------ who is there

    def renew(self) -> None:
        """Note that somebody is there."""
        self.renewed = time.monotonic()

    def allowed(self) -> bool:
        """Count a request; return whether it is within what a session may ask in a minute."""
        now = time.monotonic()
        while self._requests and now - self._requests[0] > 60:
            self._requests.popleft()
        self._requests.append(now)
        return len(self._requests) <= self._house.limits.requests

    def join(self, viewer: Viewer) -> None:
        """Let a viewer see the session from now on."""
        with self._lock:
            self.viewers.append(viewer)
        self.renew()
        viewer.tell({"type": "state", "value": self._state or "idle"})

    def leave(self, viewer: Viewer) -> None:
        """Let a viewer go."""
        with self._lock:
            self.viewers = [other for other in self.viewers if other is not viewer]

    async def only(self, viewer: Viewer | None) -> None:
        """Close every other viewer."""
        for other in list(self.viewers):
            if other is not viewer:
                await other.close()

    def subscribe(self, listener: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call a function at every event, from any thread; return what ends that."""
        with self._lock:
            self._listeners.append(listener)

        def stop() -> None:
            with self._lock, suppress(ValueError):
                self._listeners.remove(listener)

        return stop

    async def close(self) -> None:
        """End it: no thread is left, and whoever looks is told."""
        import asyncio

        self._ending = True
        self._tell({"type": "closed"})
        if self._talk is not None:
            self._talk.hush()
        with suppress(queue.Full):
            self._heard.put_nowait(None)
        if self._playlist is not None:
            await asyncio.to_thread(self._playlist.end)
        await asyncio.to_thread(self._live.close)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        await self.only(None)
        for output in self.outputs:
            await output.close()

    def send_to(self, targets: list[str], playlist: Path | None, *, camera: str | None = None) -> None:
        """Make a channel of it: what it shows goes to outputs too, and a play-list keeps it busy.

        Args:
            targets: see `push.Output`.
            playlist: see `playlist.read`.
            camera: a virtual camera, see `camera.Camera`.

        Raises:
            InputError, OutputError, MissingPartError: one of them cannot be used; none has begun then.
        """
        if playlist is not None:
            self._playlist = Playlist(self._live, playlist)
        cameras = [Camera(camera, self._live.size, self.fps)] if camera else []
        try:
            self.outputs = [*cameras, *outputs(targets, self._live.size, self.fps, self._live.rate, title=self.face.name)]
        except BaseException:
            for shown in cameras:
                shown.end()
            raise

    # ------------------------------------------------------------ what is asked of it

    def say(self, text: str) -> int:
        """Have a text said after what waits already; return its number.

        Raises:
            BusyError: too much waits.
        """
        if self._live.waiting >= self._house.limits.waiting:
            most = self._house.limits.waiting
            raise BusyError(tr(f"{most} texts wait already; hush first, or wait", f"已有 {most} 段文本在等待；请稍候或先打断"))
        timed = _Timed()
        return self._spoken(iter((text,)), timed, lambda: None)

    def ask(self, text: str, *, ended: float = 0.0) -> int:
        """Have a question answered; what was being said before is cut off. Return the answer's number.

        Args:
            text: the question; where nobody answers it is said itself.
            ended: when its last word was spoken (monotonic seconds); 0 for one that was typed.

        Raises:
            InputError: it is empty or too long.
        """
        self.hush()
        if self._talk is None:
            return self.say(text)
        timed = _Timed(ended)
        timed.text = time.monotonic()
        self._change("thinking")
        reply = self._talk.ask(text)
        sources = [_named(source) for source in reply.sources[:1]] if reply.known else []
        return self._spoken(reply, timed, reply.close, sources)

    def hush(self) -> str:
        """Stop at once; return what was heard of what was being said."""
        heard = self._live.hush()
        if self._talk is not None:
            self._talk.hush(heard if self._answers else None)
        for viewer in list(self.viewers):
            viewer.silence()
        return heard

    def pause(self) -> None:
        """Hold still: somebody may be about to speak."""
        if self._live.speaking:
            self._live.pause()

    def resume(self) -> None:
        """Go on: nobody spoke."""
        self._live.resume()
        self._change("speaking" if self._live.speaking else "idle")

    def attend(self) -> None:
        """Show that the user is being listened to."""
        self._change("listening")

    def tell_heard(self, text: str, *, final: bool) -> None:
        """Tell what the user says."""
        self._tell({"type": "heard", "text": text, "final": final})

    def report(self, text: str) -> None:
        """Tell what went wrong."""
        self._tell({"type": "error", "text": text})

    def express(self, name: str) -> None:
        """Do a gesture.

        Raises:
            InputError: there is none of that name.
        """
        self._live.express(name)

    def listen(self, sound: Audio) -> None:
        """Take the microphone's sound; never waits."""
        self.renew()
        if self._ears is None:
            return
        while True:
            try:
                return self._heard.put_nowait(sound)
            except queue.Full:
                with suppress(queue.Empty):
                    self._heard.get_nowait()

    def told(self, message: Any, viewer: Viewer) -> None:
        """Take what a browser says beside its sound."""
        self.renew()
        if not isinstance(message, str) or len(message) > 2000:
            return
        try:
            value = json.loads(message)
        except (ValueError, RecursionError):
            return
        if isinstance(value, dict) and value.get("type") == "ping":
            viewer.tell({"type": "pong", "at": value.get("at")})
            viewer.tell({"type": "timings", "late": self._live.stats().late})

    # ------------------------------------------------------------ its threads

    def _run(self) -> None:
        """Pass frames on for as long as the session lasts."""
        try:
            for frame in self._live.frames():
                self._played.put(frame.audio)
                for viewer in list(self.viewers):
                    viewer.put(frame)
                for output in self.outputs:
                    output.put(frame)
        except HuashenError as error:
            self.failed = error
            self._tell({"type": "error", "text": str(error)})
        except Exception as error:  # the session ends; whoever watches over it finds the reason here
            self.failed = error
            logger.exception("a session failed")
            self._tell({"type": "error", "text": tr("something unforeseen happened", "发生了意外错误")})

    def _hear(self) -> None:
        """Follow the microphone: what is said is answered, and interrupts."""
        assert self._ears is not None
        follow(self, self._ears, self._heard, self._played)

    def _spoken(self, pieces: Iterator[str], timed: "_Timed", stop: Callable[[], None], sources: list[str] | None = None) -> int:
        """Say what comes, and tell it as text too."""
        number: list[int] = []
        known = threading.Event()

        def told() -> Iterator[str]:
            known.wait()
            shown = Unbracketed()
            for piece in pieces:
                timed.answer = timed.answer or time.monotonic()
                if text := shown.add(piece):
                    self._tell({"type": "answer", "id": number[0], "text": text})
                yield piece
            rest = shown.rest()
            if rest or (sources and timed.answer):
                self._tell({"type": "answer", "id": number[0], "text": rest, **({"sources": sources} if sources and timed.answer else {})})

        saying = self._live.say(Reply(without_code(told()), cancel=stop))
        number.append(saying.id)
        self._answers[saying.id] = timed
        known.set()
        return saying.id

    def _happened(self, event: live.Event) -> None:
        """Pass on what the session tells."""
        match event:
            case live.Started(id=number):
                if timed := self._answers.get(number):
                    timed.sound = time.monotonic()
                self._change("speaking")
                self._tell({"type": "started", "id": number, "at": event.at})
            case live.Seen(id=number):
                if timed := self._answers.get(number):
                    timed.frame = time.monotonic()
                    self._tell({"type": "timings", **timed.values()})
            case live.Sentence(id=number, text=text):
                self._sentences[number] = text
                self._tell({"type": "sentence", "id": number, "text": text, "at": event.at, "until": event.until})
            case live.Word(id=number, span=span):
                sentence = self._sentences.get(number, "")
                self._tell({"type": "word", "id": number, "sentence": sentence, "begin": span[0], "end": span[1], "at": event.at})
            case live.Ended(id=number):
                self._answers.pop(number, None)
                self._sentences.pop(number, None)
                kind = "ended" if event.whole else "hushed"
                self._tell({"type": kind, "id": number, "heard": event.heard.strip(), "at": event.at})
                if event.error:
                    self._tell({"type": "error", "text": event.error})
                if not self._live.speaking:
                    self._change("idle")
            case live.Gestured(name=name):
                self._tell({"type": "gesture", "name": name, "at": event.at})
            case _:
                pass

    def _change(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._tell({"type": "state", "value": state})

    def _tell(self, event: dict[str, Any]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for viewer in list(self.viewers):
            viewer.tell(event)
        for listener in listeners:
            listener(event)


def rehearse(house: House) -> None:
    """Prepare every face, build what a client without wishes would get, and let it go: a house's own mistakes show before anybody comes.

    Raises:
        InputError, MissingError and others: as `Room`.
    """
    chosen = _checked(house.defaults)
    fps = as_fps(chosen.get("fps") or 25)
    for seen in house.faces:
        house.prepare(seen, chosen.get("size"), chosen.get("background") or "original")
    _built(house, house.face(None), chosen, fps).close()


def _built(house: House, face: Seen, chosen: dict[str, Any], fps: Fraction) -> live.Session:
    background = chosen.get("background") or "original"
    person = house.prepare(face, chosen.get("size"), background)
    options = {name: chosen[name] for name in ("tts", "voice", "lang", "engine", "driver") if chosen.get(name)}
    style = house.manner(chosen.get("style"))
    return live.build(person, fps=fps, clips=house.gestures, stages=house.care(person, background), style=style, **options)


class _Timed:
    """When what happened on the way from a question to its answer; monotonic seconds, 0: not yet."""

    def __init__(self, heard: float = 0.0) -> None:
        self.heard = heard
        self.begun = time.monotonic()
        self.text = self.answer = self.sound = self.frame = 0.0

    def values(self) -> dict[str, float | None]:
        """Return the milliseconds of each step."""

        def between(a: float, b: float) -> float | None:
            return round((b - a) * 1000, 1) if a and b and b >= a else None

        start = self.heard or self.begun
        steps = {"text": (self.heard, self.text), "answer": (self.text, self.answer), "sound": (self.answer, self.sound)}
        steps |= {"frame": (self.sound, self.frame), "total": (start, self.sound)}
        return {name: between(a, b) for name, (a, b) in steps.items()}


def _named(source: Any) -> str:
    return f"{source.file}: {source.place}" if source.place else str(source.file)


def _checked(wish: dict[str, Any]) -> dict[str, Any]:
    """Return a client's wishes, having looked that they are some."""
    from huashen import studio

    for name, value in wish.items():
        if name not in CHOICES:
            have = ", ".join(CHOICES)
            raise InputError(tr(f"a session has no '{name}'; there are: {have}", f"会话没有“{name}”这一项；可用的有：{have}"))
        if not isinstance(value, str | int | float) or isinstance(value, bool) or len(str(value)) > 200:
            raise InputError(tr(f"'{name}' must be a short text or a number", f"“{name}”须为短文本或数字"))
    asked = {name: value for name, value in wish.items() if value != ""}
    voice = str(asked.get("voice", ""))  # some engines take a path for a voice: not from a stranger
    if "/" in voice or "\\" in voice or voice.startswith(".") or voice.lower().endswith((".wav", ".onnx")):
        raise InputError(tr("'voice' must be a voice's name, not a file", "“voice”须为嗓音名称，不能是文件"))
    if "size" in asked:
        studio.as_size(asked["size"], (512, 512), within=SIZES)
    for name in set(asked) - {"size", "fps"}:
        if not isinstance(asked[name], str):
            raise InputError(tr(f"'{name}' must be a text", f"“{name}”须为文本"))
    return asked

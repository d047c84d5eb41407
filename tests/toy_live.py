"""Toys for tests of the service: a voice of plain tones and a head that flashes exactly while they sound, so that times can be measured."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from huashen.audio2face import Driver
from huashen.avatar import Avatar
from huashen.errors import NoFaceError
from huashen.registry import Entry, Registry
from huashen.server import run
from huashen.server.house import House, Limits, Seen
from huashen.types import Audio, Frame, Mark, Motion, Speech, Video
from synthetic import portrait

RATE, WORD = 16_000, 0.4
LOUD = 0.05
"""Root mean square of a sound that counts as loud."""
SIDE = 128


class Tones:
    """Says every word as a tone of 0.4 s, and "-" as silence of that length."""

    rate = RATE
    phones = True

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0) -> None:
        self._hz = 330 if voice == "low" else 440

    @staticmethod
    def voices() -> list[str]:
        return ["high", "low"]

    def speak(self, text: str) -> Iterator[Speech]:
        words = text.split()
        size = round(WORD * RATE)
        tone = (0.5 * np.sin(2 * np.pi * self._hz * np.arange(size) / RATE)).astype(np.float32)
        sound = np.concatenate([np.zeros_like(tone) if word.strip(".") == "-" else tone for word in words])
        marks, at = [Mark("sentence", text.strip(), 0.0, WORD * len(words), span=(0, len(text)))], 0
        for k, word in enumerate(words):
            begin = text.index(word, at)
            at = begin + len(word)
            marks.append(Mark("word", word, WORD * k, WORD * (k + 1), span=(begin, at)))
        yield Speech(Audio(sound, RATE), tuple(marks), text, "en", aligned=True)


class Flash:
    """White exactly while its frame's sound is loud, else the face's own picture."""

    def __init__(self, *, driver: Driver, fps: Fraction) -> None:
        self.lookahead = driver.lookahead
        self._driver, self._fps = driver, fps

    def animate(self, avatar: Avatar, speech: Iterable[Speech], *, begin: int = 0) -> Video:
        height, width = avatar.image.shape[:2]
        return Video(self._frames(avatar, self._driver.drive(speech, self._fps)), self._fps, (width, height), RATE)

    def _frames(self, avatar: Avatar, motions: Iterator[Motion]) -> Iterator[Frame]:
        index = -1
        for motion in motions:
            index += 1 + motion.dropped
            loud = float(np.sqrt(np.mean(motion.audio.samples**2))) > LOUD
            image = np.full_like(avatar.image, 235) if loud else avatar.image.copy()
            yield Frame(image, motion.audio, index)


class ToyHouse(House):
    """Knows a face from its file's name: nothing is looked for in pictures, but for one that says it has none."""

    def may_have_style(self, seen: Seen) -> bool:
        return seen.name == "blue"

    def _make(self, seen: Seen, size: str | int | None, background: str) -> Avatar:
        if Path(seen.source).is_file() and b"faceless" in Path(seen.source).read_bytes():
            raise NoFaceError("no face here")
        shade = {"red": (150, 20, 20), "blue": (20, 20, 150)}.get(seen.name, (40, 90, 40))
        avatar = portrait((SIDE, SIDE))
        avatar.image[:] = shade
        return avatar


def install(monkeypatch: Any) -> None:
    """Put the toys at the head of their tables."""
    from huashen import talking_head, tts

    about = ("toy", "玩具")
    voice = Entry("tones", "toy_live:Tones", "Apache-2.0", about)
    head = Entry("flash", "toy_live:Flash", "Apache-2.0", about)
    monkeypatch.setattr(tts, "TABLE", Registry("tts", voice, *tts.TABLE.entries))
    monkeypatch.setattr(talking_head, "TABLE", Registry("talking_head", head, *talking_head.TABLE.entries))


def house(**more: Any) -> ToyHouse:
    """Return a house with a red and a blue face."""
    limits = Limits(**{"sessions": 3, "requests": 10_000, **more.pop("limits", {})})
    defaults = {"tts": "tones", "engine": "flash", "driver": "visemes", "size": str(SIDE), "fps": 25, "background": "original"}
    return ToyHouse([Seen("f0", "red", "red"), Seen("f1", "blue", "blue")], defaults, limits=limits, folder=Path(), **more)


@contextmanager
def served(home: House, *, host: str = "127.0.0.1", token: str = "", **more: Any) -> Iterator[str]:
    """Serve in a thread; give the address, without a slash at its end. When it is left no thread is."""
    address: list[str] = []
    up, stop = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def ready(found: str) -> None:
        address.append(found.partition("#")[0].rstrip("/").replace("0.0.0.0", "127.0.0.1"))
        up.set()

    def work(serve: Callable[..., None] = run.serve) -> None:
        try:
            serve(home, host=host, port=0, token=token, ready=ready, until=stop.is_set, **more)
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failed.append(error)
        up.set()

    thread = threading.Thread(target=work, name="service")
    thread.start()
    try:
        assert up.wait(60)
        if failed:
            raise failed[0]
        yield address[0]
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert not failed, failed

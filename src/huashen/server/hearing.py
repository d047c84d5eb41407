"""A session's ear: what the microphone gives interrupts, resumes and asks."""

import logging
import queue
import time
from typing import TYPE_CHECKING

import numpy as np

from huashen.errors import EngineError
from huashen.types import Audio, Floats

if TYPE_CHECKING:
    from huashen.asr.ears import Ears, Heard
    from huashen.server.room import Room

logger = logging.getLogger(__name__)

KEPT = 1.0
"""Seconds of what was given out that are kept for comparing, while nothing comes from the microphone."""


class Played:
    """What the avatar gave out lately, to be told from the user's voice; written by one thread and read by another."""

    def __init__(self) -> None:
        self._pieces: queue.SimpleQueue[Audio] = queue.SimpleQueue()
        self._held: Floats = np.zeros(0, np.float32)
        self._rate = 0

    def put(self, audio: Audio) -> None:
        """Note what is given out now."""
        if self._pieces.qsize() < 500:
            self._pieces.put(audio)

    def take(self, seconds: float) -> Audio | None:
        """Return as much of it as fits what the microphone gave in the same time; None while there is nothing."""
        while not self._pieces.empty():
            piece = self._pieces.get()
            self._rate = piece.rate
            self._held = np.concatenate([self._held, piece.samples])
        if not self._rate:
            return None
        self._held = self._held[-round((KEPT + seconds) * self._rate) :]
        count = round(seconds * self._rate)
        taken, self._held = self._held[:count], self._held[count:]
        return Audio(taken, self._rate)


def follow(room: "Room", ears: "Ears", sound: "queue.Queue[Audio | None]", played: Played) -> None:
    """Listen until None comes.

    Args:
        room: which is interrupted, goes on, and is asked.
        ears: tell what happens at the microphone.
        sound: from the microphone.
        played: what the room gave out.
    """
    try:
        while (piece := sound.get()) is not None:
            try:
                events = ears.feed(piece, played.take(piece.seconds))
            except EngineError as error:
                ears.reset()
                room.resume()
                room.report(str(error))
                continue
            for event in events:
                _act(room, event, ears)
    finally:
        ears.reset()


def _act(room: "Room", event: "Heard", ears: "Ears") -> None:
    match event.kind:
        case "stir":
            room.pause()
        case "false_alarm":
            room.resume()
        case "speech_started":
            room.hush()
            room.attend()
        case "partial" if event.transcript is not None:
            room.tell_heard(event.transcript.text, final=False)
        case "final" if event.transcript is not None:
            room.tell_heard(event.transcript.text, final=True)
            room.ask(event.transcript.text, ended=time.monotonic() - ears.silence)

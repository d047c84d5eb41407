"""Listening in a conversation: when the user begins, what is said, when the turn ends, and what only sounded like it.

The microphone stays open while the avatar talks. Its own voice in the microphone does not count (`echo`); a sound that may be
speech makes the avatar hold its breath ("stir"); if it goes on as speech the avatar is interrupted ("speech_started"), and if it was a
cough, a door
or a noise, the avatar goes on ("false_alarm").
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from huashen.asr import RATE, Recognizer, Utterance
from huashen.asr.echo import Echo
from huashen.asr.voice import HOP, Detector, detector
from huashen.errors import InputError
from huashen.types import Audio, Floats, Transcript
from huashen.words import tr

PIECE = HOP / RATE
"""Seconds of a piece."""
_ON, _OFF = 0.5, 0.3
"""Probability at which speech begins and below which it pauses."""
_STIR = 0.096
"""Seconds of speech-like sound that make the avatar hold its breath."""
_BEFORE = 0.4
"""Seconds before the first sign of speech that the recogniser hears too: words begin softly."""
_SHORT = 0.15
"""Seconds of speech that count when the avatar is silent: a "yes"."""
_LONGEST = 30.0
"""Seconds after which a turn ends even if the user speaks on."""
_PAUSE = 0.192
"""Seconds of silence after which the recogniser is told of it: longer than a stop consonant's."""
_EVERY = 0.16
"""Seconds between two looks at the partial words."""


@dataclass(frozen=True)
class Heard:
    """Something that happened at the microphone."""

    kind: Literal["stir", "false_alarm", "speech_started", "partial", "final"]
    """stir: maybe speech; then false_alarm or speech_started; then partial as words come; then final, or false_alarm if there were none."""
    at: float
    """Seconds of sound since the beginning of the stream."""
    transcript: Transcript | None = None
    """With partial and final; marks count from the beginning of the stream."""


class Ears:
    """Follows one microphone. Used by one thread at a time.

    Args:
        recognizer: the engine that understands; may be shared.
        silence: seconds of silence that end the user's turn.
        least: seconds of speech that interrupt the avatar while it talks.
        voice: what tells speech from other sounds; the best that is here without it.
        early: let the recogniser begin with what was said at each pause, which brings the words sooner and costs more of the processor.

    Raises:
        InputError: a time lies outside its limits.
    """

    def __init__(
        self, recognizer: Recognizer, *, silence: float = 0.4, least: float = 0.3, voice: Detector | None = None, early: bool = True
    ) -> None:
        if not 0.2 <= silence <= 5 or not 0.1 <= least <= 2:
            raise InputError(tr("silence may be 0.2 to 5 s and least 0.1 to 2 s", "silence 可为 0.2 到 5 秒，least 可为 0.1 到 2 秒"))
        self._recognizer = recognizer
        self._silence = silence
        self._least = least
        self._early = early
        self._voice = voice or detector()
        self._echo = Echo()
        self._resamplers: dict[tuple[str, int], Any] = {}
        self._heard = np.zeros(0, np.float32)
        self._played = np.zeros(0, np.float32)
        self._before: deque[Floats] = deque(maxlen=round(_BEFORE / PIECE))
        self._state: Literal["idle", "maybe", "speech"] = "idle"
        self._utterance: Utterance | None = None
        self._pieces = 0
        self._began = 0
        self._voiced = 0
        self._quiet = 0
        self._stirred = False
        self._paused = False
        self._during = False
        self._shown = ""
        self._fed = 0

    @property
    def silence(self) -> float:
        """Seconds of silence that end the user's turn."""
        return self._silence

    @property
    def seconds(self) -> float:
        """Seconds of sound listened to."""
        return self._pieces * PIECE

    def feed(self, heard: Audio, played: Audio | None = None) -> list[Heard]:
        """Listen on; return what happened, in order. How the sound is cut changes nothing.

        Args:
            heard: what the microphone gave, at any rate.
            played: what the avatar gave out in the same time, at any rate; None or silence while it is silent.

        Raises:
            EngineError: a recognition service failed; the turn is lost, and the next can be heard.
        """
        self._heard = np.concatenate([self._heard, self._at_rate("heard", heard)])
        given = self._at_rate("played", played) if played is not None else np.zeros(0, np.float32)
        self._played = np.concatenate([self._played, given])
        events: list[Heard] = []
        while len(self._heard) >= HOP:
            piece, self._heard = self._heard[:HOP], self._heard[HOP:]
            said, self._played = self._played[:HOP], self._played[HOP:]
            if len(said) < HOP:
                said = np.concatenate([said, np.zeros(HOP - len(said), np.float32)])
            events += self._hear(piece, said)
        return events

    def finish(self) -> list[Heard]:
        """Return what was still being said when the sound ended."""
        return self._end() if self._state == "speech" else self._calm()

    def reset(self) -> None:
        """Forget what is being said."""
        if self._utterance is not None:
            self._utterance.close()
        self._utterance = None
        self._state = "idle"
        self._stirred = False

    def _at_rate(self, name: str, sound: Audio) -> Floats:
        if sound.rate == RATE:
            return np.asarray(sound.samples, np.float32)
        import soxr

        stream = self._resamplers.get((name, sound.rate))
        if stream is None:
            stream = self._resamplers[name, sound.rate] = soxr.ResampleStream(sound.rate, RATE, 1, dtype="float32", quality="MQ")
        return np.asarray(stream.resample_chunk(np.ascontiguousarray(sound.samples, np.float32)), np.float32)

    def _hear(self, piece: Floats, played: Floats) -> list[Heard]:
        """Take in one piece."""
        self._pieces += 1
        talking = bool(np.abs(played).max() > 1e-3)
        piece, foreign = self._echo.clean(piece, played)
        likely = self._voice.hear(piece)
        self._during = talking or (self._during and self._state != "idle")
        speaks = foreign and likely > (_ON if self._state == "idle" or self._quiet else _OFF)
        if self._state == "idle":
            if not speaks:
                self._before.append(piece)
                return []
            self._state, self._began, self._voiced, self._quiet, self._shown, self._fed = "maybe", self._pieces - 1, 0, 0, "", 0
            self._paused = False
            self._utterance = self._recognizer.begin()
            for earlier in self._before:
                self._utterance.feed(earlier)
        assert self._utterance is not None
        if speaks and self._paused:
            self._utterance.resume()
            self._paused = False
        self._voiced += speaks
        self._quiet = 0 if speaks else self._quiet + 1
        words = self._utterance.feed(piece)
        if self._early and self._state == "speech" and not self._paused and self._quiet * PIECE >= _PAUSE:
            self._utterance.pause()
            self._paused = True
        self._before.append(piece)
        return self._maybe() if self._state == "maybe" else self._speech(words)

    def _maybe(self) -> list[Heard]:
        voiced = self._voiced * PIECE
        events = []
        if not self._stirred and voiced >= _STIR:
            self._stirred = True
            events.append(Heard("stir", self.seconds))
        if voiced >= (self._least if self._during else _SHORT):
            self._state = "speech"
            events.append(Heard("speech_started", self.seconds))
        elif self._quiet * PIECE >= 0.25:
            events += self._calm()
        return events

    def _speech(self, words: str) -> list[Heard]:
        self._fed += 1
        events = []
        if words != self._shown and self._fed * PIECE >= _EVERY:
            self._shown, self._fed = words, 0
            if words:
                events.append(Heard("partial", self.seconds, Transcript(words, self._recognizer.lang, final=False)))
        if self._quiet * PIECE >= self._silence or (self._pieces - self._began) * PIECE >= _LONGEST:
            events += self._end()
        return events

    def _calm(self) -> list[Heard]:
        """Go back to waiting: it was no speech."""
        stirred = self._stirred
        self.reset()
        return [Heard("false_alarm", self.seconds)] if stirred else []

    def _end(self) -> list[Heard]:
        """End the turn."""
        utterance, self._utterance = self._utterance, None
        begin = max(0, self._began - round(_BEFORE / PIECE)) * PIECE
        self._state, self._stirred = "idle", False
        assert utterance is not None
        transcript = utterance.finish()
        if not transcript.text:
            return [Heard("false_alarm", self.seconds)]
        marks = tuple(replace(mark, start=mark.start + begin, end=mark.end + begin) for mark in transcript.marks)
        return [Heard("final", self.seconds, replace(transcript, marks=marks))]


def listen(recognizer: Recognizer, sound: Iterable[Audio], *, silence: float = 0.6) -> Iterator[Transcript]:
    """Yield what is said in a recording or a stream, a turn at a time, as soon as it ends; marks count from its beginning.

    Args:
        recognizer: the engine.
        sound: at any rate.
        silence: seconds that part two turns.
    """
    ears = Ears(recognizer, silence=silence, early=False)
    try:
        for piece in sound:
            for event in ears.feed(piece):
                if event.kind == "final" and event.transcript is not None:
                    yield event.transcript
        for event in ears.finish():
            if event.kind == "final" and event.transcript is not None:
                yield event.transcript
    finally:
        ears.reset()

"""Utterances that are heard as a whole: understanding begins at a pause, and what is said after it is not lost."""

import threading

import numpy as np
import pytest

from huashen.asr import RATE, Transcript
from huashen.asr.ears import Ears
from huashen.asr.voice import HOP
from huashen.asr.whole import Whole
from huashen.errors import EngineError
from huashen.types import Audio, Floats


class Counting:
    """Hears how many tenths of a second are loud; waits to be let go."""

    lang = "en"

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.began = threading.Event()
        self.let = threading.Event()
        self.let.set()
        self.fails = False

    def begin(self) -> Whole:
        return Whole(self.hear)

    def hear(self, sound: Floats) -> Transcript:
        self.lengths.append(len(sound))
        self.began.set()
        self.let.wait(10)
        if self.fails:
            raise EngineError("broken")
        return Transcript(f"{round(np.count_nonzero(np.abs(sound) > 0.1) / 1600)}", "en")


class Loud:
    """Takes all that is loud for a voice."""

    def hear(self, piece: Floats) -> float:
        return float(np.abs(piece).max() > 0.1)


def tone(seconds: float, level: float = 0.5) -> Floats:
    return np.full(round(seconds * RATE), level, np.float32)


def heard(engine: Counting, *sounds: Floats, early: bool = True) -> list[tuple[str, str]]:
    ears = Ears(engine, voice=Loud(), early=early)  # type: ignore[arg-type]
    events = []
    sound = np.concatenate(sounds)
    for k in range(0, len(sound), HOP):
        events += ears.feed(Audio(sound[k : k + HOP], RATE))
    events += ears.finish()
    return [(event.kind, event.transcript.text) for event in events if event.transcript is not None]


def test_understanding_begins_at_the_pause_and_is_done_once() -> None:
    engine = Counting()
    assert heard(engine, tone(0.5, 0), tone(1.0), tone(1.0, 0))[-1] == ("final", "10")
    assert len(engine.lengths) == 1
    assert engine.lengths[0] < (0.4 + 1.0 + 0.3) * RATE  # up to the pause, not to the end of the turn


def test_what_is_said_after_a_pause_is_heard_too() -> None:
    engine = Counting()
    events = heard(engine, tone(0.5, 0), tone(1.0), tone(0.3, 0), tone(0.5), tone(1.0, 0))
    assert events[-1] == ("final", "15")
    assert len(engine.lengths) == 2


def test_words_up_to_a_pause_are_shown_when_one_speaks_on() -> None:
    utterance = Counting().begin()
    utterance.feed(tone(1.0))
    utterance.pause()
    while utterance.feed(tone(0.01, 0)) == "":
        utterance.resume()
    assert utterance.feed(tone(0.5)) == "10"
    assert utterance.finish().text == "15"


def test_two_are_never_understood_at_once() -> None:
    engine = Counting()
    engine.let.clear()
    utterance = engine.begin()
    utterance.feed(tone(1.0))
    utterance.pause()
    assert engine.began.wait(10)
    utterance.resume()
    utterance.feed(tone(0.5))
    utterance.pause()  # the first is still being understood
    utterance.feed(tone(0.2, 0))
    assert len(engine.lengths) == 1
    engine.let.set()
    assert utterance.finish().text == "15"
    assert engine.lengths == [RATE, round(1.5 * RATE)]  # up to the second pause: when it was understood changes nothing


def test_who_waits_for_the_end_hears_the_same() -> None:
    parts = tone(0.5, 0), tone(1.0), tone(0.3, 0), tone(0.5), tone(1.0, 0)
    engine = Counting()
    assert heard(engine, *parts, early=False)[-1] == ("final", "15")
    assert len(engine.lengths) == 1


def test_a_failure_at_a_pause_is_told_at_the_end() -> None:
    engine = Counting()
    engine.fails = True
    utterance = engine.begin()
    utterance.feed(tone(1.0))
    utterance.pause()
    with pytest.raises(EngineError, match="broken"):
        utterance.finish()


def test_nothing_is_left_running() -> None:
    utterance = Counting().begin()
    utterance.feed(tone(1.0))
    utterance.pause()
    utterance.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "understanding"]

"""Who is speaking: coughs, claps, keys, a fan, the avatar's own voice in a room, and the user over all of it (tests/toy_sounds.py)."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

import toy_sounds as sounds
from huashen.asr.ears import Ears
from huashen.types import Audio
from toy_sounds import RATE, Deaf, Sound


@pytest.fixture(autouse=True)
def _silero(weight: Callable[[str], Path]) -> None:
    weight("silero_vad")


def events(heard: Sound, played: Sound | None = None) -> list[tuple[str, float]]:
    ears = Ears(Deaf())
    found = []
    for k in range(0, len(heard), 320):
        theirs = None if played is None else Audio(played[k : k + 320], RATE)
        found += [(event.kind, event.at) for event in ears.feed(Audio(heard[k : k + 320], RATE), theirs)]
    return [event for event in found if event[0] != "partial"]


@lru_cache(maxsize=1)
def talk() -> Sound:
    """What the avatar says, 11 s."""
    text = "The museum opens at nine and closes at six. A day's ticket is twelve euros, and children go free. You may also join a tour."
    voice = sounds.said("espeak", text, voice="female")
    return np.concatenate([np.zeros(RATE // 2, np.float32), voice, voice])[: 11 * RATE]


@lru_cache(maxsize=1)
def user() -> Sound:
    return sounds.said("espeak", "Wait, how much is it for students?", voice="male", level=0.08)


def began(found: list[tuple[str, float]]) -> list[float]:
    return [at for kind, at in found if kind == "speech_started"]


NOISES = {
    "cough": sounds.cough(1, level=0.15), "loud cough": sounds.cough(4, times=3, level=0.3), "claps": sounds.claps(1, level=0.4),
    "typing": sounds.typing(3, 1, level=0.1), "fan": sounds.fan(4, 1, level=0.05),
}  # fmt: skip


@pytest.mark.parametrize("name", NOISES)
def test_what_is_no_speech_does_not_interrupt(name: str) -> None:
    echo = sounds.room(talk(), delay=0.1, level=-20)
    found = events(sounds.mixed(11, (0, echo), (6, NOISES[name])), talk())
    assert not began(found)
    assert [kind for kind, _ in found] == ["stir", "false_alarm"] * (len(found) // 2)


def test_a_cough_holds_the_breath_and_lets_go() -> None:
    """Alone a cough may stir: what was about to be said goes on within half a second, and no turn begins."""
    stirred = 0
    for seed in range(6):
        found = events(sounds.mixed(3, (1, sounds.cough(seed, times=1 + seed % 2, level=0.15))))
        assert not began(found)
        stirred += bool(found)
        for (kind, at), (after, later) in zip(found[::2], found[1::2], strict=True):
            assert (kind, after) == ("stir", "false_alarm")
            assert later - at < 0.5
    assert stirred


@pytest.mark.parametrize(
    ("level", "delay", "decay"), [(-20, 0.05, 0.15), (-14, 0.3, 0.5), (-10, 0.1, 0.3), (-6, 0.2, 0.15), (-6, 0.05, 0.5)]
)
def test_its_own_voice_in_a_room_does_not_interrupt_it(level: float, delay: float, decay: float) -> None:
    echo = sounds.room(talk(), delay=delay, level=level, decay=decay)
    assert not began(events(sounds.mixed(11, (0, echo)), talk()))
    assert began(events(sounds.mixed(11, (0, echo))))  # nobody told the ears what was played: then it is somebody's voice


@pytest.mark.parametrize(("level", "delay"), [(-30, 0.1), (-20, 0.3), (-14, 0.05)])
def test_the_user_is_heard_over_the_avatars_voice(level: float, delay: float) -> None:
    echo = sounds.room(talk(), delay=delay, level=level)
    found = began(events(sounds.mixed(11, (0, echo), (7, user())), talk()))
    assert found
    assert 7 < found[0] < 8.5


def test_the_user_is_heard_in_a_fans_noise() -> None:
    for ratio in (20, 10):
        found = events(sounds.mixed(6, (0, sounds.fan(6, 1, level=0.08 * 10 ** (-ratio / 20))), (2.5, user())))
        assert [kind for kind, _ in found] == ["stir", "speech_started", "final"]
        assert 2.5 < began(found)[0] < 3.2


def test_whisper_hears_where_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from huashen.server import house

    asked: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(house.registry, "load", lambda capability, name, **options: asked.append((name, options)))
    monkeypatch.setattr(house.registry, "missing", lambda entry: [])
    for present in (True, False):
        monkeypatch.setattr(house.weights, "present", lambda name, present=present: present)
        house.ears(None, "zh-CN" if present else "en")
        if present:
            house.ears(None, None)
    house.ears("sherpa-onnx:/models/sense-voice", "zh")
    house.ears("pocketsphinx", "zh")  # it takes no language but English, and is asked for none
    assert house.ears("none") is None
    assert asked == [
        ("faster-whisper", {"lang": "zh-CN"}), ("faster-whisper", {"lang": "en"}), ("pocketsphinx", {}),
        ("sherpa-onnx", {"model": "/models/sense-voice", "lang": "zh"}), ("pocketsphinx", {}),
    ]  # fmt: skip

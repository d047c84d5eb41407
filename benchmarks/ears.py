"""How well the ears tell the user's voice from everything else a microphone hears.

Made sounds (tests/toy_sounds.py) and synthetic voices, at the levels and delays of a laptop or a telephone without echo cancelling:
    python benchmarks/ears.py [--pitch]        # --pitch: the detector that needs no weights

False: what is no speech, or the avatar's own, interrupts it. Missed: the user speaks and is not heard within 1.2 s.
Held: how long a cough makes the avatar hold its breath.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import toy_sounds as sounds
from huashen.asr.ears import Ears
from huashen.asr.voice import Loudness
from huashen.types import Audio
from toy_sounds import RATE, Deaf, Sound

AVATAR = {
    "en": "The museum opens at nine and closes at six. A day's ticket is twelve euros, and children go free. You may also join a tour.",
    "zh": "博物馆早上九点开门，下午六点关门。门票十二欧元，孩子免费。您也可以参加导游团，每天两次，大约一个小时。",
}
USER = {"en": "Wait, how much is it for students?", "zh": "等一下，学生票要多少钱？"}


def events(heard: Sound, played: Sound | None = None, *, plain: bool = False) -> list[tuple[str, float]]:
    """Return what the ears say and when, but for partial words."""
    ears = Ears(Deaf(), voice=Loudness() if plain else None)
    found = []
    for k in range(0, len(heard), 320):
        theirs = None if played is None else Audio(played[k : k + 320], RATE)
        found += [(event.kind, event.at) for event in ears.feed(Audio(heard[k : k + 320], RATE), theirs)]
    return [event for event in found if event[0] != "partial"]


def talk(lang: str) -> Sound:
    """Return what the avatar says, twice; the first seconds teach the ears the room."""
    voice = sounds.said("espeak", AVATAR[lang], voice="female")
    return np.concatenate([np.zeros(RATE // 2, np.float32), voice, np.zeros(RATE // 3, np.float32), voice])


def interrupted(found: list[tuple[str, float]], first: float = 0.0, last: float = 1e9) -> bool:
    """Return whether somebody began to speak between two times."""
    return any(kind == "speech_started" and first <= at <= last for kind, at in found)


def noises() -> Iterator[tuple[str, list[Sound]]]:
    """Yield sounds that are no speech, several of each kind."""
    for level in (0.05, 0.15, 0.3):
        yield f"cough {level}", [sounds.cough(seed, times=1 + seed % 3, level=level) for seed in range(8)]
    for level in (0.1, 0.4):
        yield f"claps {level}", [sounds.claps(seed, level=level) for seed in range(6)]
    for level in (0.03, 0.1):
        yield f"typing {level}", [sounds.typing(3, seed, level=level) for seed in range(6)]
    for level in (0.01, 0.05):
        yield f"fan {level}", [sounds.fan(4, seed, level=level) for seed in range(4)]


def measure(*, plain: bool) -> None:
    """Print the tables."""
    begun = time.process_time()
    listened = 0.0
    played = talk("en")
    echo = sounds.room(played, delay=0.1, level=-20)
    print("no speech | alone: turns, stirs, held s at most | while the avatar talks: interruptions, stirs, held s at most")
    for name, given in noises():
        alone = [events(sounds.mixed(4, (1, sound)), plain=plain) for sound in given]
        over = [events(sounds.mixed(12, (0, echo), (6, sound)), played[: 12 * RATE], plain=plain) for sound in given]
        listened += 16 * len(given)
        told = []
        for found in (alone, over):
            held = [later - at for row in found for (kind, at), (_, later) in pairwise(row) if kind == "stir"]
            told.append(f"{sum(map(interrupted, found))}/{len(given)}, {len(held)}, {max(held, default=0):.2f}")
        print(f"{name:11s} | {' | '.join(told)}")
    talks = {lang: talk(lang) for lang in AVATAR}
    users = {lang: sounds.said("espeak", text, voice="male", level=0.08) for lang, text in USER.items()}
    print("\nits own voice, dB | false, over delays of 50 to 300 ms, rooms of 0.15 and 0.5 s, both languages | the user over it: missed")
    for level in (-30, -20, -14, -10, -6):
        false = missed = trials = 0
        for lang, played in talks.items():
            for decay in (0.15, 0.5):
                for delay in (0.05, 0.1, 0.2, 0.3):
                    echo = sounds.mixed(len(played) / RATE, (0, sounds.room(played, delay=delay, level=level, decay=decay, seed=trials)))
                    false += interrupted(events(echo, played, plain=plain))
                    at = len(played) / RATE - 5.0
                    both = echo.copy()
                    user = users[lang][: len(both) - round(at * RATE)]
                    both[round(at * RATE) :][: len(user)] += user
                    missed += not interrupted(events(both, played, plain=plain), at, at + 1.2)
                    trials += 1
                    listened += 2 * len(echo) / RATE
        print(f"{level:4d} | {false}/{trials} | {missed}/{trials}")
    print("\nthe user in a fan's noise, dB above it | missed")
    for ratio in (20, 10, 5, 0):
        rows = []
        for user in users.values():
            for seed in range(4):
                hum = sounds.fan(6, seed, level=0.08 * 10 ** (-ratio / 20))
                rows.append(events(sounds.mixed(6, (0, hum), (2.5, user)), plain=plain))
                listened += 6
        print(f"{ratio:3d} | {sum(not interrupted(row, 2.5, 3.7) for row in rows)}/{len(rows)}")
    print(f"\n{listened:.0f} s of sound took {time.process_time() - begun:.0f} s of processor time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pitch", action="store_true", help="listen with the detector that needs no weights")
    given: Any = parser.parse_args()
    measure(plain=given.pitch)

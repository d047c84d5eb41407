"""Stage directions: what a face does when it is told to, over whatever it does besides."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from huashen.types import ARKIT, ARKIT_INDEX, Floats


@dataclass(frozen=True)
class Gesture:
    """A movement with a beginning and an end."""

    seconds: float
    weights: dict[str, float]
    """ARKit's names, without Left or Right both; at full size."""
    head: dict[str, Callable[[float], float]]
    """From seconds since the beginning to degrees, by the names in `HEAD`: 0 pitch, 1 yaw, 2 roll."""
    rise: float = 0.3
    fall: float = 0.5

    def at(self, time: float) -> tuple[Floats, Floats]:
        """Return what to add to the weights, (52,), and to the head, (6,), so many seconds after the beginning."""
        weights = np.zeros(len(ARKIT), np.float32)
        head = np.zeros(6, np.float32)
        size = ease(time / self.rise) * ease((self.seconds - time) / self.fall)
        for name, value in self.weights.items():
            for full in (name, f"{name}Left", f"{name}Right"):
                if full in ARKIT_INDEX:
                    weights[ARKIT_INDEX[full]] = size * value
        for axis, curve in self.head.items():
            head[("pitch", "yaw", "roll").index(axis)] = size * curve(time)
        return weights, head


def ease(x: float) -> float:
    """Return a smooth step from 0 at x ≤ 0 to 1 at x ≥ 1."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _wave(size: float, hz: float) -> Callable[[float], float]:
    return lambda t: size * float(np.sin(2 * np.pi * hz * t))


def _hold(size: float) -> Callable[[float], float]:
    return lambda t: size


GESTURES: dict[str, Gesture] = {
    "smile": Gesture(2.6, {"mouthSmile": 0.55, "cheekSquint": 0.4, "eyeSquint": 0.2, "browOuterUp": 0.08}, {}, 0.35, 0.8),
    "laugh": Gesture(2.0, {"mouthSmile": 0.8, "cheekSquint": 0.7, "eyeSquint": 0.45, "mouthUpperUp": 0.25, "jawOpen": 0.12},
                     {"pitch": _wave(1.5, 2.2)}, 0.25, 0.7),
    "nod": Gesture(1.3, {}, {"pitch": lambda t: 4.5 * (1 - float(np.cos(2 * np.pi * t / 0.62))) / 2}, 0.15, 0.3),
    "shake": Gesture(1.5, {"browInnerUp": 0.1}, {"yaw": _wave(5.0, 1.45)}, 0.2, 0.4),
    "tilt": Gesture(1.8, {"browOuterUp": 0.12}, {"roll": _hold(5.0)}, 0.4, 0.6),
    "bow": Gesture(1.6, {"eyeLookDown": 0.15}, {"pitch": _hold(9.0)}, 0.6, 0.7),
    "surprise": Gesture(1.6, {"browInnerUp": 0.65, "browOuterUp": 0.6, "eyeWide": 0.5}, {"pitch": _hold(-1.5)}, 0.15, 0.6),
    "frown": Gesture(2.2, {"browDown": 0.5, "eyeSquint": 0.15, "mouthPress": 0.15}, {}, 0.35, 0.6),
    "sad": Gesture(3.0, {"browInnerUp": 0.5, "mouthFrown": 0.45, "eyeLookDown": 0.12}, {"pitch": _hold(2.5)}, 0.6, 0.9),
    "think": Gesture(2.2, {"eyeLookUp": 0.3, "eyeLookOutLeft": 0.25, "eyeLookInRight": 0.25, "browInnerUp": 0.15, "mouthPress": 0.15},
                     {"roll": _hold(-2.5), "pitch": _hold(-1.5)}, 0.3, 0.4),
    "wink": Gesture(0.55, {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.6, "mouthSmileLeft": 0.3}, {"roll": _hold(1.5)}, 0.12, 0.25),
}  # fmt: skip
"""What every face can do. Left is the person's left; pitch + looks down, roll + tilts clockwise as seen."""

ALIASES: dict[str, str] = {
    "微笑": "smile", "笑": "smile", "大笑": "laugh", "点头": "nod", "摇头": "shake", "歪头": "tilt", "鞠躬": "bow", "惊讶": "surprise",
    "皱眉": "frown", "难过": "sad", "伤心": "sad", "思考": "think", "眨眼": "wink", "挥手": "wave", "招手": "wave",
    "smiles": "smile", "smiling": "smile", "happy": "smile", "laughs": "laugh", "nods": "nod", "shakes head": "shake", "no": "shake",
    "bows": "bow", "surprised": "surprise", "thinking": "think", "thinks": "think", "winks": "wink", "waves": "wave",
}  # fmt: skip
"""Other spellings of gestures, those of which a face needs a clip ("wave") among them."""

LONGEST = 40
"""Characters of the longest direction, with room to spare: what is open for longer is none."""
_DIRECTION = re.compile(r"[\[【]\s*([^\[\]【】\n]{1,24}?)\s*[\]】]")


def name(written: str) -> str:
    """Return the plain name of a gesture as somebody wrote it."""
    plain = written.strip().lower()
    return ALIASES.get(plain, plain)


class Unbracketed:
    """Takes the stage directions out of a text that comes in pieces, such as one that is shown while it is being spoken."""

    def __init__(self) -> None:
        self._text = ""
        self._given = 0
        self._names = {*GESTURES, *ALIASES.values()}

    def add(self, piece: str) -> str:
        """Return what is certain of the text so far and was not returned before."""
        self._text += piece
        opened = max(self._text.rfind("["), self._text.rfind("【"))
        open_still = opened >= 0 and len(self._text) - opened < LONGEST and not _DIRECTION.match(self._text, opened)
        return self._new(self._text[:opened] if open_still else self._text)

    def rest(self) -> str:
        """Return what is left when nothing more comes."""
        return self._new(self._text)

    def _new(self, text: str) -> str:
        clean = directions(text, self._names.__contains__)[0]
        given, self._given = self._given, max(self._given, len(clean))
        return clean[given:]


def directions(text: str, known: Callable[[str], bool]) -> tuple[str, list[tuple[int, str]]]:
    """Take the stage directions out of a text.

    Args:
        text: "Hello [smile] there."; what stands in brackets and is no gesture stays.
        known: whether there is a gesture of that plain name.

    Returns:
        The text without them, and for each the place in it and its name.
    """
    found: list[tuple[int, str]] = []
    parts: list[str] = []
    length = done = 0
    for match in _DIRECTION.finditer(text):
        gesture = name(match[1])
        if not known(gesture):
            continue
        before = text[done : match.start()]
        after = text[match.end() : match.end() + 1]
        if (before[-1:].isspace() or length + len(before) == 0) and (after.isspace() or not after):  # no two spaces where it stood
            done = match.end() + len(after)
        else:
            done = match.end()
        parts.append(before)
        length += len(before)
        found.append((length, gesture))
    parts.append(text[done:])
    return "".join(parts), found

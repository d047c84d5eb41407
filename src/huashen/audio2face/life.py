"""What a face does besides speaking: blinks, gaze, sway of the head, nods and brows with the stress, breath, a trace of a smile.

Everything is a function of time, the seed, and the beats and pauses of the speech, so the frame rate and the cutting of the sound
change nothing. Sources of the numbers: Bentivoglio et al., Analysis of blink rate patterns in normal subjects, 1997 (17 a minute at
rest, 26 in talk); Evinger et al., Eyelid movements, 1991 (lids fall in about 75 ms and take twice that to rise); Bahill et al.,
The main sequence, 1975 (a saccade lasts 21 ms + 2.2 ms a degree); Hadar et al., Head movement correlates of juncture and stress, 1983.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huashen.types import ARKIT, ARKIT_INDEX, Floats

_REST = 0.8  # s: how long the head takes to leave and reach the picture's own pose
_EYE_RANGE = 32.0  # degrees the eye turns when an eyeLook shape is 1
_BLINK_FALL, _BLINK_RISE = 0.075, 0.17  # s
_NOD_BEFORE, _NOD_AFTER = 0.16, 0.34  # s around the stressed vowel
_SWAY = {"pitch": 1.1, "yaw": 1.7, "roll": 0.95, "x": 0.016, "y": 0.008, "z": 0.012}  # standard deviations, degrees and eye distances


@dataclass(frozen=True)
class _Bump:
    """A nod with its brows, or a blink."""

    time: float
    size: float
    brow: float = 0.0


class Life:
    """Living behaviour, one object a stream: tell it beats and pauses in order of time, then ask for moments in order of time.

    Promises: the same seed, beats and pauses give the same life at every frame rate; with `still` the head does not move at all and the
    eyes hardly, while blinks stay; at time 0 everything is at rest.

    Args:
        still: no motion of the head and of the gaze.
        seed: another number is another person's restlessness.
    """

    def __init__(self, *, still: bool = False, seed: int = 0) -> None:
        self._still = still
        self._sway = {name: _Noise(seed, i, 0.06, 0.75) for i, name in enumerate(_SWAY)}
        self._fine = [_Noise(seed, 20 + i, 0.8, 2.2) for i in range(3)]
        self._drift = [_Noise(seed, 30 + i, 0.3, 1.6) for i in range(2)]
        self._smile = _Noise(seed, 40, 0.03, 0.2)
        self._brow = _Noise(seed, 41, 0.05, 0.4)
        self._breath_phase = _Noise(seed, 42, 0.03, 0.1)
        self._blink_dice = np.random.default_rng([seed, 1])
        self._gaze_dice = np.random.default_rng([seed, 2])
        self._beat_dice = np.random.default_rng([seed, 3])
        person = np.random.default_rng([seed, 4])
        self.lopsided = float(person.uniform(-0.05, 0.05))
        """How much more the left side does than the right."""
        self._lag = float(person.uniform(0.0, 0.008))  # s by which one lid follows the other
        self._nods: list[_Bump] = []
        self._last_nod = -9.0
        self._pauses: list[float] = []
        self._blinks: list[_Bump] = []
        self._last_blink = 0.0
        self._next_blink = self._interval() * 0.6
        # (from when, yaw, pitch) of the last few places looked at; the last one is to come.
        self._looks = [(0.0, 0.0, 0.0), (float(self._gaze_dice.uniform(0.5, 1.4)), 0.0, 0.0)]
        self._draw_look()

    def beat(self, time: float, strength: float) -> None:
        """Tell of a stressed moment, at least 0.25 s ahead if it is to be met.

        Args:
            time: seconds.
            strength: 0 to 1.
        """
        luck = float(self._beat_dice.random())
        lean = float(self._beat_dice.uniform(0.6, 1.15))
        if time - self._last_nod < 0.42 or luck > 0.25 + 0.5 * strength:
            return
        self._last_nod = time
        brow = float(np.clip((lean - 0.82) * 2.6, 0.0, 1.0)) * strength
        self._nods.append(_Bump(time, strength * lean, brow))

    def pause(self, time: float) -> None:
        """Tell of the end of a phrase: eyes like to blink then.

        Args:
            time: seconds.
        """
        self._pauses.append(time)

    def at(self, time: float, *, left: float = 9.0) -> tuple[Floats, Floats]:
        """Return the face's own motion at a moment not before the last one asked for.

        Args:
            time: seconds from the beginning.
            left: seconds to the end of the stream as far as known; the head is back in the picture's pose when it comes to 0.

        Returns:
            (52,) weights to be added to the speech's, and (6,) of the head.
        """
        weights = np.zeros(len(ARKIT), np.float64)
        head = np.zeros(6, np.float64)
        rest = _ease(time / _REST) * _ease(left / 0.3)
        self._advance(time)
        nod, brow = self._nodding(time)
        if not self._still:
            for i, (name, size) in enumerate(_SWAY.items()):
                head[i] = self._sway[name].at(time) * size
            for i, noise in enumerate(self._fine):
                head[i] += noise.at(time) * 0.12
            breath = self._breath(time)
            head[0] += 1.9 * nod - 0.2 * breath
            head[4] += 0.008 * nod - 0.005 * breath
            head *= rest
        yaw, pitch = self._gaze(time)
        calm = 0.12 if self._still else 1.0
        # The eyes stay with the viewer while the head moves (vestibulo-ocular reflex); the picture's own pose is the viewer's place.
        yaw = calm * rest * (yaw + 0.25 * self._drift[0].at(time)) - 0.85 * head[1]
        pitch = calm * rest * (pitch + 0.18 * self._drift[1].at(time)) - 0.85 * head[0]
        _look(weights, yaw, pitch)
        blink_left, blink_right = self._lids(time)
        down = max(0.0, pitch) / _EYE_RANGE
        _put(weights, "eyeBlinkLeft", max(blink_left, 0.35 * down))
        _put(weights, "eyeBlinkRight", max(blink_right, 0.35 * down))
        open_ = 1 - max(blink_left, blink_right)
        quiet = 0.5 if self._still else 1.0
        wide = rest * quiet * max(0.0, 0.25 * max(0.0, -pitch) / _EYE_RANGE + 0.12 * brow)
        _put(weights, "eyeWideLeft", wide * open_)
        _put(weights, "eyeWideRight", wide * open_)
        raised = rest * quiet * (0.34 * brow + 0.05 * max(0.0, self._brow.at(time)))
        _put(weights, "browInnerUp", raised)
        _put(weights, "browOuterUpLeft", raised * (0.75 + 2 * self.lopsided))
        _put(weights, "browOuterUpRight", raised * (0.75 - 2 * self.lopsided))
        smile = rest * quiet * 0.05 * _ease(0.5 + 0.5 * self._smile.at(time))
        _put(weights, "mouthSmileLeft", smile * (1 + 2 * self.lopsided))
        _put(weights, "mouthSmileRight", smile * (1 - 2 * self.lopsided))
        _put(weights, "cheekSquintLeft", 0.5 * smile)
        _put(weights, "cheekSquintRight", 0.5 * smile)
        return weights.astype(np.float32), head.astype(np.float32)

    def _advance(self, time: float) -> None:
        """Let everything happen that falls before a moment, in order of time."""
        while True:
            pause = self._pauses[0] + 0.06 if self._pauses else np.inf
            if min(pause, self._next_blink) > time:
                break
            if pause < self._next_blink:
                self._pauses.pop(0)
                due = self._blink_dice.random() < 0.6 and pause - self._last_blink > 1.2
                if due:
                    self._blink(pause)
            else:
                self._blink(self._next_blink)
        self._blinks = [b for b in self._blinks if b.time > time - 1.0]
        self._nods = [n for n in self._nods if n.time > time - 1.0]
        while self._looks[-1][0] <= time:
            self._draw_look()

    def _blink(self, time: float) -> None:
        self._blinks.append(_Bump(time, float(self._blink_dice.uniform(0.94, 1.0))))
        if self._blink_dice.random() < 0.12:
            self._blinks.append(_Bump(time + float(self._blink_dice.uniform(0.28, 0.4)), float(self._blink_dice.uniform(0.85, 1.0))))
        self._last_blink = self._blinks[-1].time
        self._next_blink = self._last_blink + self._interval()

    def _interval(self) -> float:
        # Log-normal, median 3.4 s: about 15 a minute with the doubles and those at phrase ends.
        return float(np.clip(self._blink_dice.lognormal(np.log(3.4), 0.55), 0.9, 12.0))

    def _lids(self, time: float) -> tuple[float, float]:
        left = right = 0.0
        for blink in self._blinks:
            left = max(left, blink.size * _blink_shape(time - blink.time))
            right = max(right, blink.size * _blink_shape(time - blink.time - self._lag))
        return left, right

    def _draw_look(self) -> None:
        """Draw where the eyes go next: mostly about the viewer's eyes and mouth, seldom aside, and then not for long."""
        dice = self._gaze_dice
        was_aside = abs(self._looks[-1][1]) > 3.5
        stay = float(dice.uniform(0.35, 0.9)) if was_aside else float(np.clip(dice.lognormal(np.log(1.1), 0.6), 0.3, 4.0))
        aside = dice.random() < 0.14 and not was_aside
        if aside:
            yaw, pitch = float(dice.uniform(5.0, 10.0)) * (1 if dice.random() < 0.5 else -1), float(dice.uniform(-4.0, 4.5))
        else:
            yaw, pitch = float(dice.normal(0, 1.0)), float(dice.normal(0.1, 0.7))
        # The last entry is when the look before it ends and where the eyes go then.
        self._looks = [*self._looks[-2:], (self._looks[-1][0] + stay, yaw, pitch)]

    def _gaze(self, time: float) -> tuple[float, float]:
        yaw, pitch = self._looks[0][1:]
        for (_, yaw0, pitch0), (begin, yaw1, pitch1) in zip(self._looks, self._looks[1:], strict=False):
            size = float(np.hypot(yaw1 - yaw0, pitch1 - pitch0))
            done = _ease((time - begin) / (0.021 + 0.0022 * size + 0.01))
            yaw += (yaw1 - yaw0) * done
            pitch += (pitch1 - pitch0) * done
        return yaw, pitch

    def _nodding(self, time: float) -> tuple[float, float]:
        nod = brow = 0.0
        for beat in self._nods:
            nod += beat.size * _bump(time - beat.time - 0.03, _NOD_BEFORE, _NOD_AFTER)
            brow += beat.brow * _bump(time - beat.time - 0.03, 0.2, 0.5)
        return min(nod, 1.4), min(brow, 1.0)

    def _breath(self, time: float) -> float:
        return float(np.sin(2 * np.pi * 0.24 * time + 0.7 * self._breath_phase.at(time)))


class _Noise:
    """Smooth, band-limited noise of standard deviation 1 that never repeats: a sum of waves whose size falls with frequency."""

    def __init__(self, seed: int, stream: int, low: float, high: float) -> None:
        dice = np.random.default_rng([seed, 100 + stream])
        hz = np.geomspace(low, high, 9) * dice.uniform(0.92, 1.08, 9)
        self._turn: NDArray[np.float64] = 2 * np.pi * hz
        self._phase: NDArray[np.float64] = dice.uniform(0, 2 * np.pi, 9)
        size = hz**-0.75
        self._size: NDArray[np.float64] = size * np.sqrt(2 / np.sum(size**2))

    def at(self, time: float) -> float:
        return float((self._size * np.sin(self._turn * time + self._phase)).sum())


def _ease(x: float) -> float:
    """Return a smooth step from 0 at x ≤ 0 to 1 at x ≥ 1."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _bump(x: float, before: float, after: float) -> float:
    """Return a smooth hill, 1 at x = 0, gone at -before and at after."""
    return _ease(1 + x / before) if x < 0 else _ease(1 - x / after)


def _blink_shape(x: float) -> float:
    """Return how far the lids have fallen, x seconds after they began to."""
    if x <= 0:
        return 0.0
    if x < _BLINK_FALL:
        return _ease(x / _BLINK_FALL)
    x -= _BLINK_FALL + 0.012  # the lids rest on each other for a moment
    return 1.0 if x < 0 else (1 - _ease(x / _BLINK_RISE)) if x < _BLINK_RISE else 0.0


def _look(weights: NDArray[np.float64], yaw: float, pitch: float) -> None:
    """Turn the eyes: yaw degrees to the viewer's right, pitch degrees down. The viewer's right is the person's left."""
    side, up = np.clip(yaw / _EYE_RANGE, -1, 1), np.clip(pitch / _EYE_RANGE, -1, 1)
    _put(weights, "eyeLookOutLeft", max(0.0, side))
    _put(weights, "eyeLookInRight", max(0.0, side))
    _put(weights, "eyeLookInLeft", max(0.0, -side))
    _put(weights, "eyeLookOutRight", max(0.0, -side))
    for eye in ("Left", "Right"):
        _put(weights, f"eyeLookDown{eye}", max(0.0, up))
        _put(weights, f"eyeLookUp{eye}", max(0.0, -up))


def _put(weights: NDArray[np.float64], name: str, value: float) -> None:
    weights[ARKIT_INDEX[name]] = value

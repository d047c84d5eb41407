"""The mouth from phone marks: dominance functions with hard closures, and the face's own life.

Every part of a phone pulls each articulator towards its aim; how strongly depends on how much it insists and on how far away in time
it is, each articulator having its own reach (Cohen and Massaro, Modeling Coarticulation in Synthetic Visual Speech, 1993). Two things
differ from the paper: the functions have a flat top over the phone's core and end altogether at a finite distance, so that vowels are
reached and the lookahead is finite; and the lips of p b m f v close by a separate rule that nothing can average away.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from huashen.audio2face.life import Life
from huashen.audio2face.listen import Guess, Listener
from huashen.audio2face.phones import CHANNELS, Aim, aims, blend
from huashen.audio2face.stream import moments
from huashen.types import Motion, Speech, Style

_AT = {name: i for i, name in enumerate(CHANNELS)}

# Seconds over which a channel is drawn towards a phone before its core and let go after it: the jaw is slow, rounding comes early
# and spreads wide (up to 0.2 s: Perkell and Matthies 1992), the inner lips are quick.
_BEFORE = {"jaw": 0.145, "upper": 0.12, "lower": 0.12, "pucker": 0.21, "funnel": 0.2, "stretch": 0.14, "smile": 0.14, "dimple": 0.12}
_AFTER = {"jaw": 0.155, "upper": 0.115, "lower": 0.115, "pucker": 0.15, "funnel": 0.15, "stretch": 0.13, "smile": 0.13, "dimple": 0.12}
_B: NDArray[np.float64] = np.array([_BEFORE.get(name, 0.075) for name in CHANNELS])
_A: NDArray[np.float64] = np.array([_AFTER.get(name, 0.075) for name in CHANNELS])
# How much rest insists: hardly for jaw and lips, more for what only single sounds use.
_REST: NDArray[np.float64] = np.array([0.001 if name in _BEFORE else 0.25 for name in CHANNELS])
_SETTLE, _PART = (-0.06, 0.1), (-0.12, 0.04)  # s from the last sound, to the next: from when to when the mouth closes, and opens
_PAUSE = 0.12  # s: shorter gaps between phones are no pauses
# Where nothing else is near, the nearest phone holds the mouth; among others this is nothing.
_TAIL, _FAR = 0.02, 0.24
_AHEAD = 0.25  # s: nothing that begins later is heeded
_BEHIND = 0.4
_NOD_AHEAD = 0.18  # s: a nod begins 0.13 s before its vowel
_SLACK = np.array([0.2, 0.1, 0.16])  # jaw, upper and lower lip as any consonant leaves them: hurry takes only what is beyond
_SURE = 0.06  # s over which a sure sound takes over from the guess, and hands back
_CLOSE, _OPEN = 0.085, 0.085  # s the lips take to meet and to part
_LIPS: NDArray[np.float64] = np.array([float(name in ("pucker", "funnel", "stretch", "smile")) for name in CHANNELS])
_TICKS = 1024  # parts of a sample that times are rounded to, so that cutting a stream cannot move a mark by a rounding


@dataclass(frozen=True)
class _Part:
    """A part of a phone in the stream's time."""

    begin: float
    end: float
    core: tuple[float, float]
    pose: NDArray[np.float64]
    grip: NDArray[np.float64]
    seal: float
    held: tuple[float, float]
    """From when to when the lips are as closed as `seal` says."""
    sure: NDArray[np.float64]
    """For each channel how far this determines it whoever speaks, in [0, 1]."""


class Visemes:
    """Moves the face by what is said; by the sound where nothing tells what is said.

    Args:
        still: keep head and gaze (almost) still; blinks stay.
        seed: which person's blinks, glances and sway.
        amplitude: size of the mouth's movements, 1 for natural speech; 0 to 2.
        life: whether there is anything besides the mouth.
        style: how this person's mouth moves; an average one without.
        guess: begins for each stream what guesses the mouth where nothing tells what is said; the linear filter without it.
        sure_only: of what marks tell, take only what no sound tells as surely (lips that meet, rounding, hisses); guess the rest.
    """

    lookahead = 0.3

    def __init__(
        self, *, still: bool = False, seed: int = 0, amplitude: float = 1.0, life: bool = True, style: Style | None = None,
        guess: Callable[[], Guess] | None = None, sure_only: bool = False,
    ) -> None:  # fmt: skip
        self._still = still
        self._seed = seed
        self._amplitude = amplitude
        self._lively = life
        self._style = style
        self._guess = guess
        self._sure_only = sure_only
        if guess is not None:
            self.lookahead = max(self.lookahead, guess().lookahead)

    def drive(self, speech: Iterable[Speech], fps: Fraction) -> Iterator[Motion]:
        """Yield one Motion a frame; see `Driver`."""
        score = _Score(self._guess() if self._guess is not None else None, sure_only=self._sure_only)
        life = Life(still=self._still, seed=self._seed)
        for moment in moments(speech, fps, self.lookahead, score.hear):
            for time, strength in score.beats(moment.end):
                life.beat(time, strength)
            for time in score.pauses(moment.end):
                life.pause(time)
            own = life.at(moment.middle, left=moment.left) if self._lively else None
            yield Motion(*blend(score.mouth(moment.begin, moment.end), self._amplitude, own, life.lopsided, self._style), moment.audio)


class _Score:
    """What is known of the stream about now: the phones, where marks tell everything, and what the sound tells."""

    def __init__(self, guess: Guess | None = None, *, sure_only: bool = False) -> None:
        self._sure_only = sure_only
        self._rate = 0
        self._listener = Listener(guess)
        self._parts: deque[_Part] = deque()
        self._spans: deque[tuple[float, float]] = deque()  # phones, begin and end
        self._told: deque[tuple[float, float]] = deque()  # where marks tell everything
        self._stresses: deque[tuple[float, float]] = deque()
        self._ended = -9.0  # end of the last phone whose pause was told

    def hear(self, piece: Speech, first: int) -> None:
        """Take the next piece, whose first sample has the number `first`."""
        self._rate = piece.audio.rate
        self._listener.hear(piece.audio)
        begin, end = first / self._rate, (first + len(piece.audio.samples)) / self._rate
        if piece.aligned:
            if self._told and self._told[-1][1] == begin:
                begin = self._told.pop()[0]
            self._told.append((begin, end))
        for mark in piece.marks:
            if mark.kind == "phone":
                self._add(self._time(mark.start, first), self._time(mark.end, first), aims(mark.text), mark.stress)

    def _time(self, seconds: float, first: int) -> float:
        return (round(seconds * self._rate * _TICKS) + first * _TICKS) / (self._rate * _TICKS)

    def _add(self, begin: float, end: float, found: tuple[Aim, ...], stress: int) -> None:
        if not found or end <= begin:
            return
        self._spans.append((begin, end))
        vowel = next((aim for aim in found if aim.kind == "vowel"), None)
        if vowel is not None and stress == 2:
            self._stresses.append((begin, min(1.0, 0.55 + 0.45 * min(1.0, (end - begin) / 0.15))))
        for aim in found:
            self._parts.append(_part(aim, begin, end, stress))

    def beats(self, until: float) -> list[tuple[float, float]]:
        """Return the beats within reach, once each: stressed vowels, or loud moments where nothing tells what is said."""
        found = [beat for beat in self._listener.beats(until) if self._share_told(beat[0]) < 0.5]
        while self._stresses and self._stresses[0][0] < until + _NOD_AHEAD:
            time, strength = self._stresses.popleft()
            found.append((time, strength * (0.6 + 0.5 * self._listener.loudness(time))))
        return sorted(found)

    def pauses(self, until: float) -> list[float]:
        """Return the ends of phrases up to a moment, once each."""
        found = [pause for pause in self._listener.pauses(until) if self._share_told(pause) < 0.5]
        for begin, end in self._gaps(until):
            if self._ended < begin <= until and end - begin > 0.15:
                self._ended = begin
                found.append(begin)
        return sorted(found)

    def mouth(self, begin: float, end: float) -> NDArray[np.float64]:
        """Return the channels and, last, how closed the lips are, for a frame from `begin` to `end`."""
        self._forget(begin)
        time = (begin + end) / 2
        told = self._share_told(time)
        mouth = np.zeros(len(CHANNELS) + 1)
        if self._sure_only:
            guess = self._listener.mouth(time)
            sure = told * self._sure(time)
            mouth[:-1] = guess[:-1] + sure * (self._spoken(begin, end)[:-1] - guess[:-1]) if sure.any() else guess[:-1]
            near = [p for p in self._parts if p.begin < time + _AHEAD and p.end > time - _BEHIND]
            mouth[-1] = max(guess[-1], told * self._seal(near, begin, end))
            return mouth
        if told > 0:
            mouth += told * self._spoken(begin, end)
        if told < 1:
            mouth += (1 - told) * self._listener.mouth(time)
        return mouth

    def _sure(self, time: float) -> NDArray[np.float64]:
        """Return for each channel how far the sounds about a moment determine it whoever speaks, eased over `_SURE`."""
        found = np.zeros(len(CHANNELS))
        for part in self._parts:
            away = max(part.held[0] - time, time - part.core[1], 0.0)
            if away < _SURE:
                found = np.maximum(found, part.sure * _ease(1 - away / _SURE))
        return found

    def _forget(self, time: float) -> None:
        while self._parts and self._parts[0].end < time - _BEHIND:
            self._parts.popleft()
        while len(self._spans) > 1 and self._spans[1][1] < time - _BEHIND:
            self._spans.popleft()
        while self._told and self._told[0][1] < time - 1.0:
            self._told.popleft()
        self._listener.forget(time)

    def _spoken(self, begin: float, end: float) -> NDArray[np.float64]:
        time = (begin + end) / 2
        near = [p for p in self._parts if p.begin < time + _AHEAD and p.end > time - _BEHIND]
        pull = np.zeros(len(CHANNELS))
        weight = _REST.copy()
        for part in near:
            before, after = part.core[0] - time, time - part.core[1]
            away = max(before, after, 0.0)
            grip = part.grip * (_fall(away / (_B if before > 0 else _A)) + _TAIL * _fall(away / _FAR))
            weight += grip
            pull += grip * part.pose
        found = np.zeros(len(CHANNELS) + 1)
        found[:-1] = pull / weight * (1 - self._silence(time))
        size = 0.97 + 0.2 * self._listener.loudness(time)
        found[[_AT["jaw"], _AT["upper"], _AT["lower"]]] *= size
        found[-1] = self._seal(near, begin, end)
        return found

    def _seal(self, near: list[_Part], begin: float, end: float) -> float:
        """Return how closed the lips are: fully in the frame in which a closure has its middle, however short it is."""
        time = (begin + end) / 2
        closed = [p for p in near if p.seal > 0]
        best = 0.0
        for i, part in enumerate(closed):
            if part.seal == 1.0 and begin <= sum(part.held) / 2 < end:
                return 1.0
            # Between two closures close together the lips have half the way each.
            room_before = part.held[0] - closed[i - 1].held[1] if i else np.inf
            room_after = closed[i + 1].held[0] - part.held[1] if i + 1 < len(closed) else np.inf
            before = (part.held[0] - time) / min(_CLOSE, max(0.02, 0.5 * room_before))
            after = (time - part.held[1]) / min(_OPEN, max(0.02, 0.5 * room_after))
            best = max(best, part.seal * float(_ease(1 - max(before, after, 0.0))))
        return best

    def _gaps(self, time: float) -> Iterator[tuple[float, float]]:
        """Yield the pauses about a moment, the last one open-ended."""
        last = -np.inf
        for begin, end in self._spans:
            if begin >= time + _AHEAD:
                break
            if begin - last > _PAUSE:
                yield last, begin
            last = max(last, end)
        if time + _AHEAD - last > _PAUSE:
            yield last, np.inf

    def _silence(self, time: float) -> float:
        """Return how much a moment belongs to a pause: 0 while something is said."""
        best = 0.0
        for begin, end in self._gaps(time):
            depth = min(1.0, (end - begin - _PAUSE) / 0.15)
            closing = _ease((time - begin - _SETTLE[0]) / (_SETTLE[1] - _SETTLE[0]))
            parting = _ease((time - end - _PART[0]) / (_PART[1] - _PART[0]))
            best = max(best, depth * closing * (1 - parting))
        return best

    def _share_told(self, time: float) -> float:
        """Return how far the marks tell everything about a moment, changing smoothly over 0.12 s."""
        low, high = time - 0.06, time + 0.06
        told = [*self._told, *self._spans]
        told.sort()
        covered, reach = 0.0, low
        for begin, end in told:
            if end > reach and begin < high:
                covered += min(end, high) - max(begin, reach)
                reach = end
                if reach >= high:
                    break
        # The sound begins at 0: what lies before it is as told as what follows.
        if low < 0 and self._told and self._told[0][0] == 0.0:
            covered += min(0.0, high) - low
        return float(_ease(covered / (high - low)))


def _part(aim: Aim, begin: float, end: float, stress: int) -> _Part:
    length = end - begin
    from_, to = begin + aim.share[0] * length, begin + aim.share[1] * length
    own = to - from_
    pose = aim.pose.astype(np.float64)
    if aim.kind == "vowel":
        # A hurried vowel is not reached (undershoot: Lindblom 1963); a stressed one is.
        size = (0.8 + 0.2 * min(1.0, own / 0.1)) * (0.92, 1.0, 1.06)[stress]
        pose[:3] = np.minimum(pose[:3], _SLACK) + np.maximum(0.0, pose[:3] - _SLACK) * size
        begun = from_ + min(0.3 * own, 0.06)
        core = (begun, max(to - min(max(0.28 * own, 0.03), 0.05), begun))
    elif aim.kind == "stop":
        core = (from_, from_ + 0.6 * own)
    else:
        core = (from_ + min(0.15 * own, 0.03), to - min(0.2 * own, 0.04))
    # A stop's lips part at its burst, before the mark ends; a nasal's when it ends.
    held = (from_, from_ + (0.6 if aim.kind == "stop" else 0.88) * own)
    grip = aim.grip.astype(np.float64)
    sure = np.clip((grip - 0.4) / 0.6, 0.0, 1.0)
    if aim.kind == "vowel":  # how far a vowel opens is the speaker's; whether it is round is not
        sure = sure * _LIPS if pose[_AT["pucker"]] > 0.3 else np.zeros(len(CHANNELS))
    return _Part(from_, to, core, pose, grip, aim.seal, held, sure)


def _fall(x: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return a smooth fall from 1 at 0 to 0 at 1 and beyond."""
    rest = np.maximum(0.0, 1 - np.asarray(x, np.float64) ** 2)
    return rest * rest * rest


def _ease(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)

"""The mouth from the sound alone, by a small network that learned from talking people what their mouths do (`huashen.train.audio2face`).

Its card, with what it was trained on and how well it does on people it never heard, is docs/models/audio2face.md.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.audio2face.ear import Even
from huashen.audio2face.life import Life
from huashen.audio2face.listen import Guess, Listener
from huashen.audio2face.phones import CHANNELS, blend
from huashen.audio2face.stream import moments
from huashen.audio2face.voice import LATES, Voice
from huashen.errors import InputError
from huashen.types import Audio, Motion, Speech, Style
from huashen.words import tr

FILE = Path(__file__).with_name("hear.onnx")
OFFLINE = Path(__file__).with_name("hear_offline.onnx")
"""A network that looks as far ahead as back: for files."""
_TOP = 0.21
"""What the 95th percentile of a speaker's gap is here, in distances between the outer eye corners: 0.17 to 0.22 on real people."""
_WIDE = 0.045  # the same for a standard deviation of the width
_BACK, _REACH, _ROUND = 12, 7, 4
"""Ticks back and ahead: the loudest within, averaged over the last to each side, says whether somebody speaks. Mouths stay open between
two words: with 7 ticks back, and only 0.4 held to be loud, the gap's correlation is 0.035 less."""

STEPS = 50
"""Steps of the network a second: one every second tick."""
_WAKE, _REST = 0.4, 0.12
"""Share of the way that being awake goes to whether a voice is heard, in a step: up, and down."""

_AT = {name: i for i, name in enumerate(CHANNELS)}

Array = NDArray[np.float64]


class Heard:
    """Moves the face by a guess at what mouth goes with the sound; heeds no marks."""

    def __init__(
        self, guess: Callable[[], Guess], lookahead: float, *, still: bool, seed: int, amplitude: float, life: bool, style: Style | None,
    ) -> None:  # fmt: skip
        self._still = still
        self._seed = seed
        self._amplitude = amplitude
        self._lively = life
        self._style = style
        self.guess = guess
        """Returns what guesses the mouth of one stream."""
        self.lookahead = lookahead

    def drive(self, speech: Iterable[Speech], fps: Fraction) -> Iterator[Motion]:
        """Yield one Motion a frame; see `Driver`."""
        listener = Listener(self.guess())
        life = Life(still=self._still, seed=self._seed)
        for moment in moments(speech, fps, self.lookahead, lambda piece, first: listener.hear(piece.audio)):
            for time, strength in listener.beats(moment.end):
                life.beat(time, strength)
            for time in listener.pauses(moment.end):
                life.pause(time)
            own = life.at(moment.middle, left=moment.left) if self._lively else None
            yield Motion(*blend(listener.mouth(moment.middle), self._amplitude, own, life.lopsided, self._style), moment.audio)
            listener.forget(moment.begin)


class Hear(Heard):
    """Moves the face by what a network hears in the voice; heeds no marks.

    Args:
        still: keep head and gaze (almost) still; blinks stay.
        seed: which person's blinks, glances and sway.
        amplitude: size of the mouth's movements, 1 for natural speech; 0 to 2.
        life: whether there is anything besides the mouth.
        style: how this person's mouth moves; an average one without.
        file: another network, written by `huashen.train.audio2face`.
    """

    def __init__(
        self, *, still: bool = False, seed: int = 0, amplitude: float = 1.0, life: bool = True, style: Style | None = None,
        file: Path = FILE,
    ) -> None:  # fmt: skip
        found = network(file)
        super().__init__(
            partial(Hearing, found), found.lookahead, still=still, seed=seed, amplitude=amplitude, life=life, style=style,
        )  # fmt: skip


HearOffline = partial(Hear, file=OFFLINE)
"""The same by a network that looks farther ahead."""


@dataclass(frozen=True)
class Network:
    """The network, a few steps at a time, and what its numbers mean."""

    session: Any
    """onnxruntime's; takes `heard` (1, bands + 1, 2 (block - 1) + enter), `state`, and how many `steps` of the block count; gives
    `mouth` (block, channels) and the next state."""
    bands: int
    enter: int
    """Ticks a step takes; the last two are new."""
    block: int
    ahead: int
    """Steps by which its answer is late."""
    channels: tuple[str, ...]
    gap: tuple[Array, Array]
    """What the network says of the gap, and the share of the speaker's 95th percentile that is as frequent."""
    usual: Array
    """(bands,) for `Even`."""
    rest: NDArray[np.float32]
    """The state after long silence."""

    @property
    def lookahead(self) -> float:
        """Seconds of sound past a frame's own: the steps, half an analysis window and the step after the frame."""
        return round(self.ahead / STEPS + 0.04, 3)

    def run(self, heard: NDArray[np.float32], state: NDArray[np.float32]) -> tuple[Array, NDArray[np.float32]]:
        """Return the mouth at every step, (n, channels), for (2 (n - 1) + enter, bands + 1), and the next state.

        Blocks have one size, whatever is in them, so that what comes at once changes nothing, not even a rounding.
        """
        n = (len(heard) - self.enter) // 2 + 1
        found = np.empty((n, len(self.channels)))
        block = np.zeros((1, self.bands + 1, 2 * (self.block - 1) + self.enter), np.float32)
        for i in range(0, n, self.block):
            count = min(self.block, n - i)
            ticks = heard[2 * i : 2 * (i + count - 1) + self.enter]
            block[0, :, : len(ticks)] = ticks.T
            mouth, state = self.session.run(("mouth", "after"), {"heard": block, "state": state, "steps": np.array([count])})
            found[i : i + count] = mouth[:count]
        return found, state


@lru_cache(maxsize=4)
def network(file: Path = FILE) -> Network:
    """Load a network that `huashen.train.audio2face` wrote.

    Raises:
        InputError: it answers before `Voice` can tell whether a voice is heard.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a step is too small to share
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["huashen"])
    if card["ahead"] < min(LATES):
        raise InputError(tr(
            f"{file} looks {card['ahead']} steps ahead; {min(LATES)} are needed to tell whether a voice is heard",
            f"{file} 只向前看 {card['ahead']} 步；判断有无人声需要 {min(LATES)} 步",
        ))  # fmt: skip
    shape = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    rest = np.zeros(shape["state"], np.float32)
    _, bands, ticks = shape["heard"]
    loaded = Network(
        session, bands - 1, card["enter"], (ticks - card["enter"]) // 2 + 1, card["ahead"], tuple(card["channels"]),
        (np.array(card["gap"][0]), np.array(card["gap"][1])), np.array(card["usual"]), rest,
    )  # fmt: skip
    silence = np.zeros((2 * shape["state"][2], bands), np.float32)  # longer than it remembers
    _, rest[:] = loaded.run(silence, rest)
    return loaded


class Hearing:
    """One stream's guess of the mouth; see `huashen.audio2face.listen.Guess`."""

    def __init__(self, network: Network) -> None:
        self.bands = network.bands
        self.lookahead = network.lookahead
        self._network = network
        self._even = Even(network.usual)
        self._state = network.rest
        self._ticks: list[Array] = [np.zeros(network.bands + 1)] * (network.enter - 1)  # what the next step takes, as far as it has come
        self._count = 0
        self._late = 2 * network.ahead  # ticks
        heard = self._late + _BACK + _ROUND + 1  # as many as must be known before the tick that the network has come to, and after it
        self._loud: deque[float] = deque([0.0] * heard, maxlen=heard)
        self._last: Array | None = None
        late = max(late for late in LATES if late <= network.ahead)
        self._gate = Voice(late)
        early = network.ahead - late + 1
        self._surely: deque[float] = deque([0.0] * early, maxlen=early)  # that a voice is heard, from the step that the network has come to
        self._speaks = 0.0
        about = np.hanning(2 * _ROUND + 3)[1:-1]
        self._about: list[float] = (about / about.sum()).tolist()

    def take(self, audio: Audio) -> None:
        """Do nothing: ticks are enough."""

    def hear(self, ticks: Sequence[Array]) -> list[Array]:
        """Take the next ticks; return the guesses for the ticks that they complete."""
        steps = []
        for tick in ticks:
            self._loud.append(float(tick[-1]))
            heard = self._gate.hear(tick)
            if heard is not None:  # a step falls on every even tick, counted from 0
                self._surely.append(heard)
                heard = self._surely[0]
                self._speaks += (_WAKE if heard > self._speaks else _REST) * (heard - self._speaks)
                steps.append((self._count >= self._late, self._awake()))
            self._count += 1
        self._ticks += [self._even.hear(tick) for tick in ticks]
        if not steps:
            return []
        mouths, self._state = self._network.run(np.array(self._ticks, np.float32), self._state)
        self._ticks = self._ticks[2 * len(steps) :]
        found = []
        for said, (told, awake) in zip(mouths, steps, strict=True):
            if told:
                before, self._last = self._last, self._mouth(said, awake)
                found += [self._last] if before is None else [(before + self._last) / 2, self._last]
        return found

    def _awake(self) -> float:
        """Return how far the mouth may move at the tick that the network has come to: somebody speaks, and not too softly."""
        loud = list(self._loud)
        about = sum(share * max(loud[i : i + _BACK + _REACH + 1]) for i, share in enumerate(self._about))
        return _ease((about - 0.03) / 0.12) * _ease((self._speaks - 0.4) / 0.4)

    def _mouth(self, said: Array, awake: float) -> Array:
        """Return the channels, and how closed the lips are, for what the network says."""
        value = dict(zip(self._network.channels, np.clip(said, -3.0, 3.0).tolist(), strict=True))
        share = awake * float(np.interp(value["gap"], *self._network.gap))
        wide = awake * _WIDE * value["width"]
        found = np.zeros(len(CHANNELS) + 1)
        if wide > 0:
            high = min(max(0.5 + 0.25 * value["corners"], 0.0), 1.0)
            found[_AT["stretch"]] = (1 - 0.5 * high) * wide / 0.13
            found[_AT["smile"]] = 0.5 * high * wide / 0.10
        else:
            out = min(max(0.45 + 0.25 * share + 0.1 * value["protrusion"], 0.0), 0.9)  # open and round is a funnel
            found[_AT["pucker"]] = (1 - out) * -wide / 0.17
            found[_AT["funnel"]] = out * -wide / 0.10
        lips = awake * 0.05 + 0.45 * share
        found[_AT["upper"]] = max(0.0, 0.45 * lips + awake * 0.05 * value["upper"])
        found[_AT["lower"]] = max(0.0, lips + awake * 0.07 * value["lower"])
        own = 0.035 * found[_AT["upper"]] + 0.045 * found[_AT["lower"]] - 0.03 * found[_AT["pucker"]]
        found[_AT["jaw"]] = max(0.0, (_TOP * share - own) / 0.30) + 0.05 * awake
        # The less of a lip is seen while the mouth is nearly closed, the more it is rolled in.
        near = awake * _ease((0.5 - share) / 0.4)
        found[_AT["roll"]] = near * 0.15 * max(0.0, -value["upper_lip"])
        found[_AT["tuck"]] = near * 0.15 * max(0.0, -value["lower_lip"])
        found[-1] = awake * _ease((0.1 - share) / 0.09)
        return found


def _ease(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)

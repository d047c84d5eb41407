"""The mouth from what Whisper's encoder makes of the sound: nearer to the real one than `hear`, seconds late, for files.

The encoder's weights are the user's (`huashen weights get whisper_base`); the small networks that read the mouth out of its layers ship.
Their card is docs/models/audio2face.md.
"""

import json
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from huashen import weights
from huashen.audio2face.learned import Heard, Hearing, Network
from huashen.audio2face.whisper import RATE, STEPS, Encoder
from huashen.types import Audio, Floats, Style

FILE = Path(__file__).with_name("hear_whisper.npz")
LAYERS = (2, 4)
"""The encoder's layers that are read, counted from 1; the later ones know more of words and less of sounds."""
_BACK, HOP, AHEAD = 1.0, 4.0, 0.5
"""Seconds of a window: heard before, kept, and heard after."""
ROUND = (0.25, 0.5, 0.25)
"""How what is read is smoothed over three steps."""
BANDS = 40

Array = NDArray[np.float64]


class Windows:
    """The encoder over a stream of sound, in windows that begin at fixed moments: how the sound is cut changes nothing.

    Args:
        encoder: of `LAYERS` at least.
        rate: of the sound, Hz.
    """

    def __init__(self, encoder: Encoder, rate: int) -> None:
        self._encoder = encoder
        self._rate = rate
        self._count = 0
        self._first = -round(_BACK * rate)  # the number of the first sample held
        self._held = np.zeros(-self._first, np.float32)

    def hear(self, samples: Floats) -> list[Floats]:
        """Take the next samples; return (`STEPS` · 4, size) for every window they complete."""
        self._held = np.concatenate([self._held, np.nan_to_num(samples)])
        found = []
        while self._first + len(self._held) >= round((self._count * HOP + HOP + AHEAD) * self._rate):
            begin, end = (round((self._count * HOP + t) * self._rate) - self._first for t in (-_BACK, HOP + AHEAD))
            layers = self._encoder.hear(_resampled(self._held[begin:end], self._rate))
            back, hop = round(_BACK * STEPS), round(HOP * STEPS)
            found.append(np.concatenate([layers[i - 1][back : back + hop] for i in LAYERS], 1))
            self._count += 1
            drop = round((self._count * HOP - _BACK) * self._rate) - self._first
            self._held, self._first = self._held[drop:].copy(), self._first + drop
        return found


def _resampled(sound: Floats, rate: int) -> Floats:
    if rate != RATE:
        import soxr

        sound = np.asarray(soxr.resample(sound, rate, RATE), np.float32)
    size = round((_BACK + HOP + AHEAD) * RATE)
    return np.pad(sound[:size], (0, max(0, size - len(sound))))


@dataclass(frozen=True)
class Reader:
    """The networks that read the mouth out of the encoder's layers; their mean counts."""

    values: dict[str, Floats]
    count: int
    """Of networks."""
    layers: tuple[tuple[int, int], ...]
    """Of each layer the distance between its three taps, and how many steps it looks ahead."""
    channels: tuple[str, ...]
    gap: tuple[Array, Array]
    """As in `huashen.audio2face.learned.Network`."""
    usual: Array
    """As there."""

    @property
    def reach(self) -> int:
        """Steps it looks ahead, and back."""
        return sum(ahead for _, ahead in self.layers) + 1

    def own(self, heard: Floats) -> Floats:
        """Return what the encoder holds in the networks' measure."""
        return np.asarray((heard - self.values["mean"]) / self.values["size"], np.float32)

    def read(self, heard: Floats) -> Array:
        """Return the mouth, (n, channels), for (n + 2 reach, size) in the networks' measure."""
        return np.asarray(sum(self._read(heard, i) for i in range(self.count)), np.float64) / self.count

    def _read(self, heard: Floats, net: int) -> Floats:
        own = {name.removeprefix(f"{net}."): values for name, values in self.values.items() if name.startswith(f"{net}.")}
        x = np.maximum(heard @ own["enter"] + own["enter_bias"], 0.0)
        for i, (gap, ahead) in enumerate(self.layers):
            n = len(x) - 2 * gap
            y = np.concatenate([x[k * gap : k * gap + n] for k in range(3)], 1) @ own[f"wide{i}"] + own[f"wide{i}_bias"]
            x = x[2 * gap - ahead : 2 * gap - ahead + n] + np.maximum(y, 0.0) @ own[f"point{i}"] + own[f"point{i}_bias"]
        before, now, after = ROUND
        x = before * x[:-2] + now * x[1:-1] + after * x[2:]
        return np.asarray(x @ own["leave"] + own["leave_bias"], np.float32)


@lru_cache(maxsize=2)
def reader(file: Path = FILE) -> Reader:
    """Load what `huashen.train.whispered` wrote."""
    with np.load(file) as stored:
        values = {name: stored[name].astype(np.float32) for name in stored.files if name != "card"}
        card = json.loads(str(stored["card"]))
    layers = tuple((gap, ahead) for gap, ahead in card["layers"])
    gap = np.array(card["gap"][0]), np.array(card["gap"][1])
    return Reader(values, card["count"], layers, tuple(card["channels"]), gap, np.array(card["usual"]))


@lru_cache(maxsize=1)
def _encoder(file: Path) -> Encoder:
    return Encoder(file, layers=max(LAYERS))


class Whispering:
    """One stream's mouth, told a fixed number of steps late: to `Hearing` what its network is."""

    bands = BANDS
    enter = 2

    def __init__(self, encoder: Encoder, reader: Reader) -> None:
        self.channels, self.gap, self.usual = reader.channels, reader.gap, reader.usual
        self.rest = np.zeros(0, np.float32)
        # A step may be the first that a window, or what is read of it, leaves to the next.
        self.ahead = round((HOP + AHEAD) * STEPS) + reader.reach
        self.lookahead = round(self.ahead / STEPS + 0.04, 3)
        self._encoder, self._reader = encoder, reader
        self._windows: Windows | None = None
        self._held = np.zeros((2 * reader.reach, len(reader.values["mean"])), np.float32)
        self._told: deque[Array] = deque(np.zeros((self.ahead, len(reader.channels))))
        self._early = reader.reach  # steps before the first that the networks are asked for

    def take(self, audio: Audio) -> None:
        """Take the next piece of sound, before the ear's ticks of it."""
        self._windows = self._windows or Windows(self._encoder, audio.rate)
        for window in self._windows.hear(np.asarray(audio.samples, np.float32)):
            self._held = np.concatenate([self._held, self._reader.own(window)])
            mouth = self._reader.read(self._held)
            self._held = self._held[-2 * self._reader.reach :].copy()
            self._told.extend(mouth[self._early :])
            self._early = 0

    def run(self, ticks: NDArray[np.float32], state: NDArray[np.float32]) -> tuple[Array, NDArray[np.float32]]:
        """Return the mouth at as many steps as come with the ticks, each `ahead` steps late."""
        return np.array([self._told.popleft() for _ in range(len(ticks) // 2)]), state


class _Guess(Hearing):
    def __init__(self, whispering: Whispering) -> None:
        super().__init__(cast(Network, whispering))  # it has all of one that is asked for
        self._whispering = whispering

    def take(self, audio: Audio) -> None:
        """Take the next piece of sound."""
        self._whispering.take(audio)


class HearWhisper(Heard):
    """Moves the face by what Whisper's encoder hears in the voice; heeds no marks.

    Args:
        still, seed, amplitude, life, style: as those of `Hear`.
        file: another reader, written by `huashen.train.whispered`.

    Raises:
        MissingWeightsError: Whisper's weights are neither here nor can be fetched.
    """

    def __init__(
        self, *, still: bool = False, seed: int = 0, amplitude: float = 1.0, life: bool = True, style: Style | None = None,
        file: Path = FILE,
    ) -> None:  # fmt: skip
        encoder, read = _encoder(weights.path("whisper_base")), reader(file)
        lookahead = Whispering(encoder, read).lookahead
        super().__init__(
            lambda: _Guess(Whispering(encoder, read)), lookahead, still=still, seed=seed, amplitude=amplitude, life=life, style=style,
        )  # fmt: skip

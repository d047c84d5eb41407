"""Whether what is heard is a voice: a small recurrent network tells speech from music, drums, noise and hum, fifty times a second.

It hears what the ear hears, knows no words and no language, and was trained by `huashen.train.voice`.
"""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BANDS = 40
"""Bands of the ear it listens with."""
LATES = 8, 22
"""Steps of two ticks by which its answers are late: what it says after a step is about the moments that many steps before. The later is
the surer."""

Array = NDArray[np.float64]


class Voice:
    """Tells of one stream how surely somebody speaks.

    Every step is computed by itself, so how the sound is cut changes nothing.

    Args:
        late: which of `LATES` is to be answered.
    """

    def __init__(self, late: int = LATES[0]) -> None:
        self._net = _network()
        self._answer = LATES.index(late)
        self._state = self._net["rest"]
        self._before = np.zeros(BANDS + 1)
        self._even = True

    def hear(self, tick: Array) -> float | None:
        """Take the next tick of an ear of `BANDS` bands.

        Returns:
            After every even one, counted from 0, the probability, 0 to 1, that somebody spoke `late` steps before.
        """
        before, self._before, even = self._before, tick, self._even
        self._even = not even
        if not even:
            return None
        self._state = _step(self._net, np.concatenate([before, tick]), self._state)
        said = float(self._net["leave"][self._answer] @ self._state) + float(self._net["leave_bias"][self._answer])
        return 1 / (1 + math.exp(-said))


def _step(net: dict[str, Array], heard: Array, state: Array) -> Array:
    """Return a gated recurrent unit's next state (Cho et al. 2014, the reset inside as in cuDNN)."""
    entered = np.maximum(net["enter"] @ heard + net["enter_bias"], 0.0)
    own, kept = net["input"] @ entered + net["input_bias"], net["state"] @ state + net["state_bias"]
    size = len(state)
    gates = 1 / (1 + np.exp(-(own[: 2 * size] + kept[: 2 * size])))
    new = np.tanh(own[2 * size :] + gates[:size] * kept[2 * size :])
    after: Array = new + gates[size:] * (state - new)
    return after


@lru_cache(maxsize=1)
def _network() -> dict[str, Array]:
    with np.load(Path(__file__).with_name("voice.npz")) as stored:
        raw = {name: stored[name].astype(np.float64) for name in stored.files}
    net = {
        "enter": raw["enter_weight"], "enter_bias": raw["enter_bias"],
        "input": raw["remember_weight_ih_l0"], "input_bias": raw["remember_bias_ih_l0"],
        "state": raw["remember_weight_hh_l0"], "state_bias": raw["remember_bias_hh_l0"],
        "leave": raw["leave_weight"], "leave_bias": raw["leave_bias"],
    }  # fmt: skip
    rest = np.zeros(len(raw["leave_weight"][0]))
    for _ in range(500):  # after ten seconds of silence
        rest = _step(net, np.zeros(2 * (BANDS + 1)), rest)
    net["rest"] = rest
    return net

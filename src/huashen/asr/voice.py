"""Whether somebody speaks: a probability for each 32 ms of sound.

`Silero` is a small network that hears speech through noise; it is fetched once from a package on the package index.
`Loudness` needs nothing: it listens for a voice's pitch well above the noise floor, which it follows.
Both are fed pieces of `HOP` samples, in order.
"""

import functools
import logging
from typing import Any, Protocol

import numpy as np

from huashen import weights
from huashen.asr import RATE
from huashen.errors import MissingWeightsError, OutputError
from huashen.types import Floats
from huashen.words import tr

logger = logging.getLogger(__name__)

HOP = 512
"""Samples of a piece: 32 ms."""
_CONTEXT = 64
"""Samples before its piece that the network sees."""


class Detector(Protocol):
    """Tells of each piece of sound how likely somebody speaks in it. Holds the state of one stream."""

    def hear(self, piece: Floats) -> float:
        """Return the probability of speech, 0 to 1.

        Args:
            piece: (HOP,) float32 at `RATE`.
        """
        ...


def detector() -> Detector:
    """Return a detector for a new stream: the network where its weights are here or can be fetched, else the one that needs none."""
    try:
        return Silero()
    except (MissingWeightsError, OutputError) as error:
        logger.info(tr("listening by loudness and pitch only: %s", "仅凭响度和音高判断是否有人说话：%s"), error)
        return Loudness()


@functools.cache
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # half a millisecond of work: threads cost more than they give
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(weights.path("silero_vad")), options, providers=["CPUExecutionProvider"])


class Silero:
    """Silero VAD 6.

    Raises:
        MissingWeightsError: its weights are not here and cannot be fetched.

    Source: https://github.com/snakers4/silero-vad, MIT.
    """

    def __init__(self) -> None:
        self._net = _session()
        self._state = np.zeros((2, 1, 128), np.float32)
        self._input = np.zeros((1, _CONTEXT + HOP), np.float32)
        self._rate = np.array(RATE, np.int64)

    def hear(self, piece: Floats) -> float:
        """Return the probability of speech."""
        self._input[0, :_CONTEXT] = self._input[0, HOP:]
        self._input[0, _CONTEXT:] = piece
        speaks, self._state = self._net.run(None, {"input": self._input, "state": self._state, "sr": self._rate})
        return float(speaks[0, 0])


class Loudness:
    """Pitch and loudness against a noise floor that follows the quietest moments of the last seconds."""

    _BLOCKS, _BLOCK = 8, 12
    """The floor is the least of 8 blocks of 12 pieces: 3 s."""

    def __init__(self) -> None:
        self._least = [np.inf] * self._BLOCKS
        self._now = np.inf
        self._count = 0
        self._before = np.zeros(HOP, np.float32)
        self._smooth = 0.0

    def hear(self, piece: Floats) -> float:
        """Return the probability of speech."""
        sound = np.concatenate([self._before, piece]).astype(np.float64)
        self._before = np.array(piece, np.float32)
        sound -= sound.mean()
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
        hertz = np.fft.rfftfreq(len(sound), 1 / RATE)
        level = float(np.sqrt(power[(hertz > 150) & (hertz < 4000)].sum()) / len(sound))
        self._now = min(self._now, level)
        self._count += 1
        if self._count % self._BLOCK == 0:
            self._least = [*self._least[1:], self._now]
            self._now = np.inf
        floor = max(min(*self._least, self._now), 1e-5)
        over = 20 * np.log10(level / floor + 1e-9)
        likeness = np.fft.irfft(power * (hertz < 1500))
        first, past = RATE // 400, RATE // 75  # a voice's period: 75 to 400 Hz
        pitch = float(likeness[first:past].max() / (likeness[0] + 1e-12))
        score = (over - 9) / 4 + (pitch - 0.45) * 6
        self._smooth = 0.5 * self._smooth + 0.5 * float(np.clip(score, -4, 4))
        return float(1 / (1 + np.exp(-1.6 * self._smooth)))

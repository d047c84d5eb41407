"""The first layers of Whisper's encoder, from the file that faster-whisper runs: what a recogniser makes of sound before it has words.

NumPy computes them: a layer is half a dozen matrix products, so neither torch is needed nor CTranslate2, which gives the last one only.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from huashen.errors import UnreadableError
from huashen.types import Floats
from huashen.words import tr

RATE = 16000
STEPS = 50
"""Steps a second."""
_HOP, _WINDOW, _MELS = 160, 400, 80
_TYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class Encoder:
    """Turns sound into what the encoder's layers hold, fifty times a second.

    Args:
        file: `model.bin` of a Whisper model converted for CTranslate2, in float32 or float16.
        layers: how many layers to compute.

    Source: Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022; checked against CTranslate2's own encoder.

    Raises:
        UnreadableError: the file is not such a model.
    """

    def __init__(self, file: Path, *, layers: int) -> None:
        kept = ("conv", "position", "num_heads", "layer_norm", *(f"layer_{i}/" for i in range(layers)))
        found = _read(file, lambda name: name.startswith(kept))
        self._values = {name: values.astype(np.float32) for name, values in found.items() if values.ndim}
        self._heads = int(found["num_heads"])
        self._layers = layers
        self._first = [self._taps(f"conv{i}") for i in (1, 2)]
        self._filters = _filters()
        self._hann = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)

    def hear(self, sound: Floats) -> list[Floats]:
        """Return what each layer holds.

        Args:
            sound: (n,) at `RATE`, 30 seconds at most; n a multiple of 320.

        Returns:
            For each layer (n / 320, size), step k about the moment k / `STEPS`.
        """
        x = self._mel(sound)
        for (weight, bias), stride in zip(self._first, (1, 2), strict=True):
            around = np.pad(x, ((1, 1), (0, 0)))
            n = len(x)
            x = _gelu(np.concatenate([around[k : k + n : stride] for k in range(3)], 1) @ weight + bias)
        x = x + self._values["position_encodings/encodings"][: len(x)]
        found = []
        for i in range(self._layers):
            x = x + self._attend(self._normed(x, f"layer_{i}/self_attention/layer_norm"), f"layer_{i}/self_attention")
            inner = _gelu(self._linear(self._normed(x, f"layer_{i}/ffn/layer_norm"), f"layer_{i}/ffn/linear_0"))
            x = x + self._linear(inner, f"layer_{i}/ffn/linear_1")
            found.append(x)
        return found

    def _taps(self, name: str) -> tuple[Floats, Floats]:
        weight = self._values[f"{name}/weight"]  # (out, in, 3)
        return np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, len(weight))), self._values[f"{name}/bias"]

    def _mel(self, sound: Floats) -> Floats:
        around = np.concatenate([sound[_WINDOW // 2 : 0 : -1], sound, np.zeros(_WINDOW, np.float32)])
        frames = np.lib.stride_tricks.sliding_window_view(around, _WINDOW)[::_HOP][: len(sound) // _HOP]
        spectrum = np.fft.rfft(frames * self._hann)
        energy = (spectrum.real**2 + spectrum.imag**2) @ self._filters.T
        level = np.log10(np.maximum(energy, 1e-10))
        return np.asarray((np.maximum(level, level.max() - 8.0) + 4.0) / 4.0, np.float32)

    def _linear(self, x: Floats, name: str) -> Floats:
        return np.asarray(x @ self._values[f"{name}/weight"].T + self._values[f"{name}/bias"], np.float32)

    def _normed(self, x: Floats, name: str) -> Floats:
        about = x - x.mean(1, keepdims=True)
        size = np.sqrt((about**2).mean(1, keepdims=True) + 1e-5)
        return np.asarray(about / size * self._values[f"{name}/gamma"] + self._values[f"{name}/beta"], np.float32)

    def _attend(self, x: Floats, name: str) -> Floats:
        n, size = x.shape
        parts = self._linear(x, f"{name}/linear_0").reshape(n, 3, self._heads, -1)
        query, key, value = parts.transpose(1, 2, 0, 3)  # (heads, n, size / heads)
        score = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(size / self._heads))
        share = np.exp(score - score.max(2, keepdims=True))
        share /= share.sum(2, keepdims=True)
        return self._linear((share @ value).transpose(1, 0, 2).reshape(n, size), f"{name}/linear_1")


def _gelu(x: Floats) -> Floats:
    """The usual approximation, within 0.0005 of the exact function."""
    return np.asarray(0.5 * x * (1 + np.tanh(np.float32(0.7978846) * (x + np.float32(0.044715) * x * x * x))), np.float32)


def _filters() -> NDArray[np.float64]:
    """Return Whisper's mel filters, Slaney's, (80, 201)."""
    mel = np.linspace(0.0, 15.0 + 27.0 * np.log(RATE / 2 / 1000) / np.log(6.4), _MELS + 2)
    hz = np.where(mel < 15.0, 200.0 / 3 * mel, 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0)))
    places = np.fft.rfftfreq(_WINDOW, 1 / RATE)
    rising = (places[None] - hz[:-2, None]) / np.diff(hz)[:-1, None]
    falling = (hz[2:, None] - places[None]) / np.diff(hz)[1:, None]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (hz[2:] - hz[:-2]))[:, None])


def _read(file: Path, wanted: Callable[[str], bool]) -> dict[str, NDArray[np.generic]]:
    """Return the encoder's arrays whose names are wanted."""
    try:
        with file.open("rb") as stream:
            version, spec, _, count = _number(stream, "I"), _name(stream), _number(stream, "I"), _number(stream, "I")
            if version not in (5, 6) or spec != "WhisperSpec":
                raise ValueError(f"{spec} {version}")
            found = {}
            for _ in range(count):
                name = _name(stream)
                shape = [_number(stream, "I") for _ in range(_number(stream, "B"))]
                kind, size = _number(stream, "B"), _number(stream, "I")
                own = name.removeprefix("encoder/")
                if own == name or not wanted(own):
                    stream.seek(size, 1)
                    continue
                found[own] = np.frombuffer(stream.read(size), _TYPES[kind]).reshape(shape)
    except (OSError, ValueError, KeyError, struct.error) as error:
        reason = " ".join(str(error).split())[:120]
        raise UnreadableError(tr(
            f"{file} is no Whisper model for CTranslate2 ({reason})", f"{file} 不是 CTranslate2 格式的 Whisper 模型（{reason}）"
        )) from error  # fmt: skip
    return found


def _number(stream: BinaryIO, kind: str) -> int:
    return int(struct.unpack(f"<{kind}", stream.read(struct.calcsize(kind)))[0])


def _name(stream: BinaryIO) -> str:
    return stream.read(_number(stream, "H")).rstrip(b"\0").decode()

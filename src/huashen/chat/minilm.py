"""all-MiniLM-L6-v2 in NumPy: a small network that understands English, from which the English reader was made (see `huashen.chat.rerank`).

Source: Wang et al. 2020, arXiv:2002.10957; sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), with the names of its checkpoint. Our own
files hold the same tensors in whole numbers, matrices with a step for each output, words with one for each word.
"""

import json
import struct
import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.chat.encoder import LONG, Encoder, Floats
from huashen.errors import UnreadableError
from huashen.words import tr

PLACES = 2 * LONG + 3
"""Tokens of a question and a passage in one; places beyond are not kept."""
STEP = 0.25
"""What matrices and words are rounded to, in standard deviations of those of an output or a word."""
_EMBEDDINGS = "embeddings.word_embeddings.weight"
_LAYER = "encoder.layer.{}.".format
_PARTS = (
    "attention.output.dense.weight", "attention.output.dense.bias", "attention.output.LayerNorm.weight", "attention.output.LayerNorm.bias",
    "intermediate.dense.weight", "intermediate.dense.bias", "output.dense.weight", "output.dense.bias",
    "output.LayerNorm.weight", "output.LayerNorm.bias",
)  # fmt: skip
_QKV = tuple(f"attention.self.{name}" for name in ("query", "key", "value"))


class MiniLM(Encoder):
    """The network. One may serve many threads.

    Args:
        tensors: the checkpoint's, by name; matrices (out, in).
        vocabulary: pieces of words in the order of their numbers; pieces within a word begin with "##".

    Raises:
        KeyError: a tensor or a special piece is missing.
        ValueError: shapes do not fit.
    """

    epsilon = 1e-12
    heads = 12

    def __init__(self, tensors: Mapping[str, Floats], vocabulary: list[str]) -> None:
        self.vocabulary = vocabulary
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self._begin, self._end, self._unknown = (self._numbers[piece] for piece in ("[CLS]", "[SEP]", "[UNK]"))
        self.words = len(vocabulary)
        self.vectors = tensors[_EMBEDDINGS]
        if len(self.vectors) != self.words:
            raise ValueError(f"{self.words} pieces, {len(self.vectors)} vectors")
        self.width = self.vectors.shape[1]
        places = tensors["embeddings.position_embeddings.weight"]
        self.place = places[:PLACES] + tensors["embeddings.token_type_embeddings.weight"][0]
        self.first = (tensors["embeddings.LayerNorm.weight"], tensors["embeddings.LayerNorm.bias"])
        self.stack = []
        while _LAYER(len(self.stack)) + _PARTS[0] in tensors:
            name = _LAYER(len(self.stack))
            qkv = np.concatenate([tensors[f"{name}{part}.weight"].T for part in _QKV], axis=1)
            qkv_b = np.concatenate([tensors[f"{name}{part}.bias"] for part in _QKV])
            rest = (tensors[name + part] for part in _PARTS)
            self.stack.append((qkv, qkv_b, *(np.ascontiguousarray(value.T) for value in rest)))
        if not self.stack or any(layer[0].shape != (self.width, 3 * self.width) for layer in self.stack):
            raise ValueError("layers")

    def tokens(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces, each the longest that fits (WordPiece; Wu et al. 2016, arXiv:1609.08144)."""
        made: list[int] = []
        for word in _words(text):
            made += self._pieces(word)
        return [self._begin, *made[:LONG], self._end]

    def _pieces(self, word: str) -> list[int]:
        made: list[int] = []
        start = 0
        while start < len(word):
            inner = "##" if start else ""
            end = next((end for end in range(len(word), start, -1) if inner + word[start:end] in self._numbers), start)
            if end == start or len(word) > 100:
                return [self._unknown]
            made.append(self._numbers[inner + word[start:end]])
            start = end
        return made

    def rows(self, numbers: NDArray[np.int64]) -> Floats:
        return self.vectors[numbers]


def _words(text: str) -> list[str]:
    """Return a text's words and signs, in small letters without accents, as BERT's tokenizer for lower case has them."""
    spaced = []
    for character in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(character)
        if kind == "Mn" or (kind[0] == "C" and not character.isspace()):
            continue
        alone = kind[0] == "P" or (character.isascii() and not character.isalnum()) or "\u3400" <= character <= "\u9fff"
        spaced.append(f" {character} " if alone else character)
    return "".join(spaced).split()


def published(folder: Path) -> MiniLM:
    """Read the checkpoint as it is published: model.safetensors and vocab.txt.

    Raises:
        UnreadableError: they are not there, or something else.
    """
    try:
        raw = (folder / "model.safetensors").read_bytes()
        (size,) = struct.unpack_from("<Q", raw)
        tensors = {}
        for name, said in json.loads(raw[8 : 8 + size]).items():
            if said.get("dtype") == "F32":
                start, end = said["data_offsets"]
                tensors[name] = np.frombuffer(raw[8 + size + start : 8 + size + end], "<f4").reshape(said["shape"])
        return MiniLM(tensors, (folder / "vocab.txt").read_text("utf-8").removesuffix("\n").split("\n"))
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise UnreadableError(tr(
            f"{folder} does not hold all-MiniLM-L6-v2: {error}", f"{folder} 中没有 all-MiniLM-L6-v2：{error}",
        )) from error  # fmt: skip


def packed(network: MiniLM) -> dict[str, NDArray[Any]]:
    """Return the network as our files hold it."""
    made: dict[str, NDArray[Any]] = {"vocabulary": np.frombuffer("\n".join(network.vocabulary).encode(), np.uint8)}
    made |= _rounded(_EMBEDDINGS, network.vectors)
    made["embeddings.position_embeddings.weight"] = network.place.astype(np.float16)
    made["embeddings.token_type_embeddings.weight"] = np.zeros((1, network.width), np.float16)  # it is in the places
    for name, value in zip(("weight", "bias"), network.first, strict=True):
        made[f"embeddings.LayerNorm.{name}"] = value.astype(np.float16)
    for k, (qkv, qkv_b, *rest) in enumerate(network.stack):
        name = _LAYER(k)
        for part, weight, bias in zip(_QKV, np.split(qkv, 3, axis=1), np.split(qkv_b, 3), strict=True):
            made |= _rounded(f"{name}{part}.weight", weight.T) | {f"{name}{part}.bias": bias.astype(np.float16)}
        for part, value in zip(_PARTS, rest, strict=True):
            made |= _rounded(name + part, value.T) if value.ndim == 2 else {name + part: value.astype(np.float16)}
    return made


def _rounded(name: str, value: Floats) -> dict[str, NDArray[Any]]:
    """Return a matrix in whole numbers, with a step for each of its rows."""
    step = np.maximum(STEP * value.std(1) + 1e-12, 6e-8).astype(np.float16)
    whole = np.round(value / step.astype(np.float32)[:, None])
    return {name: np.clip(whole, -127, 127).astype(np.int8), f"{name}.step": step}


def read(path: Path) -> MiniLM:
    """Read a network as `packed` makes it.

    Raises:
        UnreadableError: it is something else, or broken.
    """
    try:
        with np.load(path) as arrays:
            tensors = {name: arrays[name].astype(np.float32) for name in arrays.files if name.startswith("e") and not name.endswith("step")}
            for name in tensors:
                if f"{name}.step" in arrays.files:
                    tensors[name] *= arrays[f"{name}.step"].astype(np.float32)[:, None]
            return MiniLM(tensors, arrays["vocabulary"].tobytes().decode().split("\n"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableError(tr(f"{path} is not a reader that can be read ({error})", f"{path} 不是可读的阅读模型（{error}）")) from error

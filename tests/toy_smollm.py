"""A tiny language model in the file format of SmolLM2's."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.chat.smollm import BLOCK

Floats = NDArray[np.float32]
WIDTH, HEADS, PAIRS, INNER, LAYERS, EPSILON, BASE = 64, 4, 2, 96, 2, 1e-5, 10000.0
MERGES = ["a b", "Ġ ab", "c a", "ab ab", "Ġab ab", "Ġ Y", "ĠY e", "ĠYe s", "Ġ N", "ĠN o"]
"""Joins, the first learned first."""


def _signs() -> list[str]:
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in own] + [chr(256 + k) for k in range(256 - len(own))]


PIECES = ["<|end|>", *_signs(), *(merge.replace(" ", "") for merge in MERGES)]


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _list(values: list[str]) -> bytes:
    return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(_text, values))


def _fours(x: Floats) -> tuple[bytes, Floats]:
    """Return a matrix in blocks of four-bit numbers with a factor and a least, and what of it is left."""
    blocks = x.reshape(-1, BLOCK)
    least = blocks.min(1).astype(np.float16)
    factor = ((blocks.max(1) - least) / 15).astype(np.float16)
    whole = np.clip(np.round((blocks - least[:, None]) / factor[:, None].astype(np.float32)), 0, 15).astype(np.uint8)
    packed = np.concatenate([factor[:, None].view("u1"), least[:, None].view("u1"), whole[:, :16] | whole[:, 16:] << 4], 1)
    left = whole * factor.astype(np.float32)[:, None] + least.astype(np.float32)[:, None]
    return packed.tobytes(), left.reshape(x.shape).astype(np.float32)


def _eights(x: Floats) -> tuple[bytes, Floats]:
    blocks = x.reshape(-1, BLOCK)
    factor = (np.abs(blocks).max(1) / 127).astype(np.float16)
    whole = np.round(blocks / factor[:, None].astype(np.float32)).astype(np.int8)
    packed = np.concatenate([factor[:, None].view("u1"), whole.view("u1")], 1)
    return packed.tobytes(), (whole * factor.astype(np.float32)[:, None]).reshape(x.shape).astype(np.float32)


def write(path: Path) -> dict[str, Floats]:
    """Write the file; return its numbers by name, matrices (out, in)."""
    random = np.random.default_rng(1)
    side = WIDTH // HEADS * PAIRS
    shapes = {"token_embd.weight": (len(PIECES), WIDTH), "output_norm.weight": (WIDTH,)}
    for k in range(LAYERS):
        shapes |= {f"blk.{k}.{name}.weight": shape for name, shape in {
            "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "attn_q": (WIDTH, WIDTH), "attn_k": (side, WIDTH), "attn_v": (side, WIDTH),
            "attn_output": (WIDTH, WIDTH), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER),
        }.items()}  # fmt: skip
    said = {
        "general.architecture": struct.pack("<I", 8) + _text("llama"), "llama.block_count": struct.pack("<II", 4, LAYERS),
        "llama.embedding_length": struct.pack("<II", 4, WIDTH), "llama.attention.head_count": struct.pack("<II", 4, HEADS),
        "llama.attention.head_count_kv": struct.pack("<II", 4, PAIRS), "llama.rope.freq_base": struct.pack("<If", 6, BASE),
        "llama.attention.layer_norm_rms_epsilon": struct.pack("<If", 6, EPSILON), "tokenizer.ggml.tokens": _list(PIECES),
        "tokenizer.ggml.merges": _list(MERGES), "tokenizer.ggml.unknown_token_id": struct.pack("<II", 4, 0),
        "tokenizer.ggml.add_bos_token": struct.pack("<I?", 7, False),
    }  # fmt: skip
    head, body, numbers = b"", b"", {}
    for name, shape in shapes.items():
        x = random.normal(1 if "norm" in name else 0, 0.3, shape).astype(np.float32)
        kind, (packed, left) = (0, (x.tobytes(), x)) if x.ndim == 1 else (8, _eights(x)) if name.startswith("token") else (3, _fours(x))
        numbers[name] = left
        dims = shape[::-1]
        head += _text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(body))
        body += packed + bytes(-len(packed) % 32)
    start = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(said)) + b"".join(_text(name) + value for name, value in said.items()) + head
    path.write_bytes(start + bytes(-len(start) % 32) + body)
    return numbers

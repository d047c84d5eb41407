"""A tiny network of MiniLM's layout, with random numbers."""

import numpy as np

from huashen.chat.encoder import Floats
from huashen.chat.minilm import MiniLM

WIDTH, INNER, LAYERS, PLACES = 48, 96, 2, 400
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "ab", "ca", "##a", "##b", "##ba", "we"]
PIECES += ["cafe", "is", "£", "##7", "-", ".", "'", "s", "?", "猫"]


def tensors() -> dict[str, Floats]:
    """Return a checkpoint's tensors, by name."""
    random = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(PIECES), WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,), "embeddings.LayerNorm.bias": (WIDTH,),
    }  # fmt: skip
    for k in range(LAYERS):
        name = f"encoder.layer.{k}."
        sizes = {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH), "attention.self.value": (WIDTH, WIDTH)}
        sizes |= {"attention.output.dense": (WIDTH, WIDTH), "intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
        for part, shape in sizes.items():
            shapes |= {f"{name}{part}.weight": shape, f"{name}{part}.bias": shape[:1]}
        for part in ("attention.output", "output"):
            shapes |= {f"{name}{part}.LayerNorm.{kind}": (WIDTH,) for kind in ("weight", "bias")}
    return {name: random.normal(0, 0.5 if name[:2] == "em" else 0.2, shape).astype(np.float32) for name, shape in shapes.items()}


def network() -> MiniLM:
    """Return the network."""
    return MiniLM(tensors(), PIECES)

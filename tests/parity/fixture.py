"""Weights and inputs of a parity case, drawn anew from the names of its tensors.

A case is a folder: `spec.json` (the keys, shapes and types of a published checkpoint, and how the inputs are drawn) and `expected.npz`
(what the published implementation gave for them: float32, CPU).
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def load(case: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a case's spec and what is expected."""
    with np.load(HERE / case / "expected.npz") as stored:
        return json.loads((HERE / case / "spec.json").read_text()), dict(stored)


def weights(spec: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the state dict of a case."""
    return {key: _draw(key, tuple(of["shape"]), of["dtype"]) for key, of in spec["state_dict"].items()}


def inputs(spec: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the inputs of a case, uniform between their bounds."""
    found = {}
    for name, of in spec["inputs"].items():
        dice = np.random.default_rng(zlib.crc32(f"input::{name}".encode()))
        found[name] = dice.uniform(of["low"], of["high"], of["shape"]).astype(np.float32)
    return found


def _draw(name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Return the tensor of that name: the same wherever it is drawn."""
    dice = np.random.default_rng(zlib.crc32(name.encode()))
    if kind.startswith("int"):
        return np.zeros(shape, kind)
    if name.endswith("running_var"):
        return dice.uniform(0.5, 1.5, shape).astype(kind)
    if name.endswith(("running_mean", "bias")):
        return dice.normal(0.0, 0.05, shape).astype(kind)
    if len(shape) <= 1:  # scales of norms
        return dice.uniform(0.8, 1.2, shape).astype(kind)
    return dice.normal(0.0, (1.0 / int(np.prod(shape[1:]))) ** 0.5, shape).astype(kind)

"""Networks with Wav2Lip's inputs and outputs, small enough to make in a test."""

from pathlib import Path

import numpy as np

from huashen.nets.onnx import Graph


def copying(file: Path, *, side: int = 96, heard: float = 0.0, names: tuple[str, str] = ("mel", "face")) -> Path:
    """Write a network that gives back the reference face, its colours pushed by what it hears.

    Args:
        file: where to.
        side: side of the crop.
        heard: grey levels in [0, 1] that full loudness in all bands adds.
        names: of the inputs.
    """
    graph = Graph("toy")
    mel, face = graph.input(names[0], ("b", 1, 80, 16)), graph.input(names[1], ("b", 6, side, side))
    pick = np.zeros((3, 6, 1, 1), np.float32)
    pick[[0, 1, 2], [3, 4, 5]] = 1
    seen = graph.convolve(face, pick, np.zeros(3, np.float32))
    weight = np.full((3, 1, 80, 16), heard / (80 * 16 * 8), np.float32)  # mel goes from -4 to 4
    push = graph.convolve(mel, weight, np.full(3, heard / 2, np.float32))
    ends = (graph.constant(np.array(end, np.float32)) for end in (0.0, 1.0))
    graph.output("frames", graph.apply("Clip", graph.apply("Add", seen, push), *ends), ("b", 3, side, side))
    graph.save(file)
    return file


def random(file: Path, *, side: int = 96, seed: int = 0, batch: int | str = "b") -> Path:
    """Write a network of random weights that heeds both its inputs, for one frame at a time or any number."""
    dice = np.random.default_rng(seed)
    graph = Graph("toy")
    mel, face = graph.input("mel", (batch, 1, 80, 16)), graph.input("face", (batch, 6, side, side))
    seen = graph.convolve(face, dice.normal(0, 0.2, (3, 6, 3, 3)).astype(np.float32), np.zeros(3, np.float32), pad=1)
    heard = graph.convolve(mel, dice.normal(0, 0.05, (3, 1, 80, 16)).astype(np.float32), np.zeros(3, np.float32))
    graph.output("frames", graph.apply("Sigmoid", graph.apply("Add", seen, heard)), (batch, 3, side, side))
    graph.save(file)
    return file


def flat(file: Path, colour: tuple[float, float, float] = (0.1, 0.9, 0.1)) -> Path:
    """Write a network that paints everything in one colour, BGR in [0, 1], whatever it hears."""
    graph = Graph("toy")
    mel, face = graph.input("mel", ("b", 1, 80, 16)), graph.input("face", ("b", 6, 96, 96))
    seen = graph.convolve(face, np.zeros((3, 6, 1, 1), np.float32), np.array(colour, np.float32))
    heard = graph.convolve(mel, np.zeros((3, 1, 80, 16), np.float32), np.zeros(3, np.float32))
    graph.output("frames", graph.apply("Add", seen, heard), ("b", 3, 96, 96))
    graph.save(file)
    return file

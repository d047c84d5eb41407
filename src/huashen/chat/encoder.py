"""A text encoder of BERT's kind (Devlin et al. 2019, arXiv:1810.04805) in NumPy: what the networks of document search share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Layer = Sequence[Floats]
"""Queries, keys and values in one, what attention found, norm, wide, back, norm: each a matrix (in, out) and a bias, or weight and bias."""
LONG = 160
"""Tokens of a text; passages are shorter, what lies beyond is left out."""
_TOKENS = 1024
"""Tokens that go through the network at a time."""


class Encoder:
    """The network; a subclass reads its weights and cuts its texts. One may serve many threads."""

    width: int
    heads: int
    epsilon: float
    stack: list[Layer]
    asked = told = ""
    """What a question and a passage begin with."""
    parted = 1
    """Ends that stand between a question and a passage which are read in one go."""
    words: int
    """How many it knows."""
    place: Floats
    """Places, with the one type of token, (places, width)."""
    first: tuple[Floats, Floats]
    """The norm before the first layer: weight and bias."""
    _begin: int
    _end: int

    def tokens(self, text: str) -> list[int]:
        """Return the numbers of a text's tokens, between begin and end."""
        raise NotImplementedError

    def rows(self, numbers: NDArray[np.int64]) -> Floats:
        """Return the words' vectors, (tokens, width)."""
        raise NotImplementedError

    def pair(self, question: Sequence[int], passage: Sequence[int]) -> list[int]:
        """Return a question and a passage as one text, to be read in one go."""
        return [*question, *[question[-1]] * (self.parted - 1), *passage[1:]]

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

    def begun(self, batch: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
        """Return what enters the first layer, (texts, tokens of the longest, width), and which tokens are there (1) or only fill up (0)."""
        b, t = len(batch), max(map(len, batch))
        ids, there = np.full((b, t), self._end), np.zeros((b, t), np.float32)
        for row, numbers in enumerate(batch):
            ids[row, : len(numbers)] = numbers
            there[row, : len(numbers)] = 1
        x = self.rows(ids.ravel()).reshape(b, t, self.width) + self.place[:t]
        return _normal(x, *self.first, self.epsilon), there

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


def _normal(x: Floats, weight: Floats, bias: Floats, epsilon: float) -> Floats:
    x = x - x.mean(-1, keepdims=True)
    made: Floats = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(epsilon)) * weight + bias
    return made


def _gelu(x: Floats) -> Floats:
    """Return x·Φ(x) in its usual approximation, 0.001 off at most."""
    made: Floats = np.float32(0.5) * x * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x)))
    return made

"""Does a passage answer a question? The reranker reads both in one go, where `meaning` compares what it made of each by itself.

It is multilingual-e5-small (`e5`), whose upper layers and end `huashen.train.reranker` trained to tell a passage that answers from one that
only speaks of the same thing (cross-encoder; Nogueira & Cho 2019, arXiv:1901.04085). `reranker.npz` holds the difference to E5; its card is
docs/models/reranker.md.
"""

import functools
import zipfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.chat.e5 import E5, Floats
from huashen.errors import UnreadableError
from huashen.words import tr

TOKENS = 640
"""Tokens that are read for a question at most; the passages that fit in come first."""


class Reranker:
    """The network. One may serve many threads.

    Args:
        base: what it was trained from.
        learned: the difference, as `huashen.train.reranker` writes it; what the package ships when None.

    Raises:
        UnreadableError: the file does not belong to `base`, or is broken.
    """

    def __init__(self, base: E5, learned: Path | None = None) -> None:
        self._base = base
        try:
            if learned is None:
                learned = Path(str(resources.files("huashen").joinpath("chat/reranker.npz")))
            with np.load(learned) as arrays:
                self._read(dict(arrays))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UnreadableError(tr(
                f"{learned} is not a reranker for this network ({error})", f"{learned} 不是适用于该网络的重排模型（{error}）",
            )) from error  # fmt: skip

    def _read(self, arrays: dict[str, NDArray[Any]]) -> None:
        frozen = len(self._base.stack) - len({name.split(".")[0] for name in arrays if name[0].isdigit()})
        self.stack = list(self._base.stack[:frozen])
        for k, before in enumerate(self._base.stack[frozen:]):
            values = []
            for place, was in enumerate(before):
                value = arrays[f"{k}.{place}"].astype(np.float32)
                if f"{k}.{place}.step" in arrays:
                    value *= arrays[f"{k}.{place}.step"].astype(np.float32)
                values.append(np.ascontiguousarray(was + value))
            self.stack.append(tuple(values))
        self.final, self.end = ((arrays[name].astype(np.float32), arrays[f"{name}.bias"].astype(np.float32)) for name in ("final", "end"))

    def answers(self, question: str, passages: Sequence[str]) -> Floats:
        """Return how well passages answer, in the order given, as many as can be read: at 0 it is as likely as that none answers."""
        asked = self._base.tokens(f"query: {question}")
        pairs: list[list[int]] = []
        for text in passages:
            pair = [*asked, asked[-1], *_tokens(self._base, f"passage: {text}")[1:]]
            if pairs and sum(map(len, pairs)) + len(pair) > TOKENS:
                break
            pairs.append(pair)
        states, there = self._base.run(pairs, self.stack)
        mean = (states * there[..., None]).sum(1) / there.sum(1, keepdims=True)
        inner = np.tanh(np.concatenate([states[:, 0], mean], -1) @ self.final[0] + self.final[1])
        made: Floats = (inner @ self.end[0] + self.end[1])[:, 0]
        return made


@functools.lru_cache(4096)
def _tokens(base: E5, text: str) -> tuple[int, ...]:
    return tuple(base.tokens(text))


@functools.cache
def shipped(base: E5) -> Reranker:
    """Return the one that the package ships."""
    return Reranker(base)

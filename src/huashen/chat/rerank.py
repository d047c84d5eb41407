"""Does a passage answer a question? The reranker reads both in one go, where `meaning` compares what it made of each by itself.

There are two, trained by `huashen.train.reranker` to tell a passage that answers from one that only speaks of the same thing
(cross-encoder; Nogueira & Cho 2019, arXiv:1901.04085). One is multilingual-e5-small (`e5`) with other layers; `reranker.npz`
holds the difference to E5. The other was all-MiniLM-L6-v2 (`minilm`), is whole in `english.npz` and reads English, where E5 is not
there. Their card is docs/models/reranker.md.
"""

import functools
import zipfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.chat import minilm
from huashen.chat.encoder import Encoder, Floats, Layer
from huashen.errors import UnreadableError
from huashen.words import tr

TOKENS = 640
"""Tokens that are read for a question at most; the passages that fit in come first."""


class Reranker:
    """The network. One may serve many threads.

    Args:
        base: what it was trained from.
        learned: what it learned, as `huashen.train.reranker` writes it: the difference to `base`, or the end alone where `base` was read
            from the same file; what the package ships for E5 when None.

    Raises:
        UnreadableError: the file does not belong to `base`, or is broken.
    """

    def __init__(self, base: Encoder, learned: Path | None = None) -> None:
        self._base = base
        learned = learned or _here("reranker.npz")
        try:
            with np.load(learned) as arrays:
                self._read({name: arrays[name] for name in arrays.files if name[0].isdigit() or name.startswith(("final", "end"))})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UnreadableError(tr(
                f"{learned} is not a reranker for this network ({error})", f"{learned} 不是适用于该网络的重排模型（{error}）",
            )) from error  # fmt: skip

    def _read(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.stack: list[Layer] = []
        for k, before in enumerate(self._base.stack):
            if "0.0" not in arrays:  # the base is what was learned, but for the end
                self.stack.append(before)
                continue
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
        base = self._base
        asked = base.tokens(base.asked + question)
        pairs: list[list[int]] = []
        for text in passages:
            pair = base.pair(asked, _tokens(base, base.told + text))
            if pairs and sum(map(len, pairs)) + len(pair) > TOKENS:
                break
            pairs.append(pair)
        states, there = base.run(pairs, self.stack)
        mean = (states * there[..., None]).sum(1) / there.sum(1, keepdims=True)
        inner = np.tanh(np.concatenate([states[:, 0], mean], -1) @ self.final[0] + self.final[1])
        made: Floats = (inner @ self.end[0] + self.end[1])[:, 0]
        return made


def _here(name: str) -> Path:
    return Path(str(resources.files("huashen").joinpath(f"chat/{name}")))


@functools.lru_cache(4096)
def _tokens(base: Encoder, text: str) -> tuple[int, ...]:
    return tuple(base.tokens(text))


@functools.cache
def english() -> Reranker:
    """Return the one that the package ships for English."""
    path = _here("english.npz")
    return Reranker(minilm.read(path), path)


@functools.cache
def shipped(base: Encoder) -> Reranker:
    """Return the one that the package ships for E5."""
    return Reranker(base)

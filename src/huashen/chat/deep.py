"""Reads English passages and questions with a small language model, which knows more of the world than the networks of `rerank`.

It is SmolLM2-135M (`smollm`) with what `huashen.train.deep` taught it: to each of its matrices something of low rank is added (Hu et al.
2021, arXiv:2106.09685), and the state of the last token says how well the passage answers. The passage comes first, so what was read of
it is kept, and a question that is put to it costs its own few tokens. What it and E5's reranker say is averaged: together they
err less than either. Its card is docs/models/reranker.md.
"""

import functools
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen import weights
from huashen.chat.smollm import MATRICES, Floats, Past, SmolLM
from huashen.errors import UnreadableError
from huashen.words import tr

CARD = "smollm2_135m"
SCALE = 2.0
"""What is added to a matrix counts so much."""
PASSAGE, QUESTION = 160, 96
"""Tokens that are read of either."""
TOKENS = 640
"""Tokens of passages that are read for a question at most; the first ones come first, and what was read before costs nothing."""
KEPT = 8000
"""Tokens of passages that are kept as read, the last ones asked for: 184 MB."""
_PART = 4
"""Passages that are read in one go."""


def asked(question: str) -> str:
    """Return a question as it is put after a passage."""
    return f"\n\nQuestion: {question}\nAnswer:"


class Deep:
    """The network. One may serve many threads.

    Args:
        base: what it was trained from.
        learned: what it learned, as `huashen.train.deep` writes it; what the package ships when None.

    Raises:
        UnreadableError: the file does not belong to `base`, or is broken.
    """

    def __init__(self, base: SmolLM, learned: Path | None = None) -> None:
        self._base = base
        learned = learned or Path(str(resources.files("huashen").joinpath("chat/deep.npz")))
        try:
            with np.load(learned) as arrays:
                self._read({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UnreadableError(tr(
                f"{learned} is not a reader for this network ({error})", f"{learned} 不是适用于该网络的阅读模型（{error}）",
            )) from error  # fmt: skip
        self._kept: OrderedDict[str, Past] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def _read(self, arrays: dict[str, NDArray[Any]]) -> None:
        def whole(name: str) -> Floats:
            made: Floats = arrays[name].astype(np.float32) * arrays[f"{name}.step"].astype(np.float32)[:, None]
            return made

        self._layers = []
        for k in range(self._base.count):
            layer = self._base.layer(k)
            for part in MATRICES:
                layer.matrices[part] += SCALE * whole(f"{k}.{part}.b") @ whole(f"{k}.{part}.a")
            self._layers.append(layer)
        self._end, self._bias = arrays["end"].astype(np.float32), np.float32(arrays["bias"])

    def answers(self, question: str, passages: Sequence[str]) -> Floats:
        """Return how well passages answer, in the order given, as many as can be read: at 0 it is as likely as that none answers."""
        pasts = self._pasts(passages)
        ids = self._base.tokens(asked(" ".join(question.split())))[:QUESTION]
        states, _ = self._base.run([ids] * len(pasts), self._layers, pasts)
        return np.array([state[-1] @ self._end + self._bias for state in states], np.float32)

    def warm(self, passages: Sequence[str]) -> None:
        """Read passages before they are asked for, where all of them can be kept."""
        if sum(len(self._base.tokens(text)[:PASSAGE]) for text in passages) <= KEPT:
            for start in range(0, len(passages), _PART):
                self._pasts(passages[start : start + _PART])

    def _pasts(self, passages: Sequence[str]) -> list[Past]:
        """Return what passages leave, up to the first that would make it too much at once."""
        with self._lock:
            found = {text: self._kept[text] for text in passages if text in self._kept}
            for text in found:
                self._kept.move_to_end(text)
        missing: dict[str, list[int]] = {}
        for text in passages:
            if text not in found and text not in missing:
                tokens = self._base.tokens(text)[:PASSAGE]
                if missing and sum(map(len, missing.values())) + len(tokens) > TOKENS:
                    break
                missing[text] = tokens
        if missing:
            _, read = self._base.run(list(missing.values()), self._layers)
            for text, past in zip(missing, read, strict=True):
                found[text] = Past(past.keys.astype(np.float16), past.values.astype(np.float16))
            with self._lock:
                for text in missing.keys() - self._kept.keys():
                    self._kept[text] = found[text]
                    self._held += found[text].keys.shape[2]
                while self._held > KEPT and len(self._kept) > 1:
                    self._held -= self._kept.popitem(last=False)[1].keys.shape[2]
        made = []
        for text in passages:
            if text not in found:
                break
            made.append(found[text])
        return made


@functools.cache
def shipped() -> Deep | None:
    """Return the one that the package ships, or None where the weights of what it was trained from are not there."""
    return Deep(SmolLM(weights.path(CARD))) if weights.present(CARD) else None

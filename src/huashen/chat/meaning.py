"""How near a question comes to passages in meaning, by `e5`: as a whole, and word by word.

Word by word means: each token of the question seeks its most alike token in the passage, and what they find is averaged, each with its
weight (late interaction; Khattab & Zaharia 2020, arXiv:2004.12832). `head.npz` holds the maps of the network's states that make good
answers come near, and the tokens' weights; `benchmarks/chat_fit.py` fits them.
"""

import functools
import hashlib
import itertools
import logging
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen import config, weights
from huashen.chat import deep
from huashen.chat.deep import Deep
from huashen.chat.documents import Passage
from huashen.chat.e5 import E5
from huashen.chat.encoder import Floats
from huashen.chat.rerank import Reranker, english, shipped
from huashen.errors import MissingWeightsError, OutputError
from huashen.files import replacing
from huashen.tts.text import guess
from huashen.words import tr

logger = logging.getLogger(__name__)

CARD = "multilingual_e5_small"
FOR = {CARD: ("understands what a question means", "理解问题含义"), deep.CARD: ("reads English better", "更好地阅读英文")}
MOST = 5000
"""Passages; more would take minutes to read for their meaning."""
MANY = 150
"""Passages that take some seconds, which is said."""
_OTHER = {"zh", "ja", "ko", "ru", "ar", "hi", "th", "el", "he"}
_PREFIX = 3
"""Tokens of "query: " and "passage: " with the begin."""
_PART = 64
"""Passages read for their meaning at a time."""


@functools.cache
def _network(path: Path) -> E5:
    return E5(path)


@functools.cache
def head() -> dict[str, Floats]:
    """Return the fitted maps."""
    with resources.as_file(resources.files("huashen").joinpath("chat/head.npz")) as path, np.load(path) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}


def network() -> E5 | None:
    """Return the network; None, with a line that says how to get it, where its weights are not there."""
    if not weights.present(CARD):
        logger.warning(tr(
            "words are compared, and English passages read; to compare what they mean too: huashen weights get %s",
            "只比较词语，并阅读英文段落；如需同时比较含义：huashen weights get %s",
        ), CARD)  # fmt: skip
        return None
    return _network(weights.path(CARD))


def fetch(tell: Callable[[str], None], *, english: bool) -> None:
    """Fetch the weights where they are not there and may be fetched. What failed is tried again a day later.

    Args:
        tell: is told what happens.
        english: whether all documents are English: then what reads them better is wanted too.
    """
    failed = config.home() / "chat" / "not-fetched"
    for name in (CARD, deep.CARD) if english else (CARD,):
        recent = failed.exists() and time.time() - failed.stat().st_mtime < 86_400
        if weights.present(name) or config.offline() or recent:
            continue
        card = weights.card(name)
        tell(tr(
            f"fetching {card.file} once ({card.bytes / 1e6:.0f} MB, licence {card.licence}), which {FOR[name][0]} …",
            f"首次使用，正在获取{FOR[name][1]}的 {card.file}（{card.bytes / 1e6:.0f} MB，许可证 {card.licence}）…",
        ))  # fmt: skip
        try:
            weights.get(name)
        except MissingWeightsError as error:
            tell(str(error))
            failed.parent.mkdir(parents=True, exist_ok=True)
            failed.touch()


def spelled(passage: Passage) -> str:
    """Return a passage with what stands above it, as the network reads it."""
    return "\n".join(dict.fromkeys(part for part in (passage.heading.split(" › ")[-1], passage.question, passage.text) if part))


def in_english(passages: Sequence[Passage]) -> bool:
    """Return whether passages are English: nine of ten at least, as a short row tells little of its language, and none in other letters."""
    told = Counter(guess(spelled(passage)) for passage in passages)
    return told["en"] >= 0.9 * len(passages) and not told.keys() & _OTHER


class Meaning:
    """Passages as vectors. One may serve many threads.

    Args:
        network: what makes them.
        passages: in the order of the answers of `near`.
        kept: a file of vectors made earlier; those that are missing are made, those no longer wanted dropped.
        reranker: what reads passages together with a question; the one that the package ships when None.
        reader: what reads the best of them too, where the question is English; the passages are, all.
    """

    def __init__(
        self, network: E5, passages: Sequence[Passage], kept: Path | None = None, *, reranker: Reranker | None = None,
        reader: Deep | None = None,
    ) -> None:  # fmt: skip
        self._network = network
        self._reranker = reranker or shipped(network)
        self._texts = texts = [spelled(passage) for passage in passages]
        self._reader = reader
        keys = [hashlib.sha256(text.encode(errors="replace")).digest()[:16] for text in texts]
        made = _read(kept) if kept else {}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in made}
        wanted = list(missing)
        if len(wanted) > MANY:
            logger.warning(tr("reading %d passages for what they mean, once …", "正在理解 %d 段文字的含义，仅此一次…"), len(wanted))
        for start in range(0, len(wanted), _PART):
            part = wanted[start : start + _PART]
            for key, states in zip(part, network.states([f"passage: {missing[key]}" for key in part]), strict=True):
                made[key] = (_whole(states), _bytes(_words(states)))
        if kept and (missing or len(made) > len(set(keys))):
            _write(kept, {key: made[key] for key in keys})
        self._whole = np.stack([made[key][0] for key in keys])
        self._words = np.concatenate([made[key][1] for key in keys])
        self._starts = np.cumsum([0, *(len(made[key][1]) for key in keys[:-1])])

    def near(self, question: str) -> tuple[Floats, Floats]:
        """Return how near each passage is as a whole and word by word, -1 to 1."""
        states = self._network.states([f"query: {question}"])[0]
        words = _words(states)  # (tokens, size)
        maps = head()
        weight = np.logaddexp(0, states[_PREFIX:-1] @ maps["weight"] + maps["bias"])
        best = np.empty((len(self._starts), len(words)), np.float32)
        ends = np.append(self._starts[1:], len(self._words))
        for first in range(0, len(self._starts), 512):
            past = min(first + 512, len(self._starts))
            part = self._words[self._starts[first] : ends[past - 1]].astype(np.float32) @ (words / np.float32(127)).T
            best[first:past] = np.maximum.reduceat(part, self._starts[first:past] - self._starts[first])
        each: Floats = best @ (weight / weight.sum())
        return self._whole.astype(np.float32) @ _whole(states).astype(np.float32), each

    def answers(self, question: str, numbers: Sequence[int]) -> Floats:
        """Return how well some passages answer, in the order given, as many as could be read (see `huashen.chat.rerank`)."""
        return self._reranker.answers(question, [self._texts[number] for number in numbers])

    def deeper(self, question: str, numbers: Sequence[int]) -> Floats:
        """Return the same as told by the deeper reader; of none where there is none (see `huashen.chat.deep`)."""
        return self._reader.answers(question, [self._texts[number] for number in numbers]) if self._reader else np.zeros(0, np.float32)

    def by(self, question: str) -> str:
        """Return by what passages are found."""
        return "deep" if self._reader and guess(question) == "en" else "meaning"


class Reading:
    """What is known of passages where the network of embeddings is not there: how well English ones answer English questions.

    Args:
        passages: in the order of their numbers.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._texts = [spelled(passage) for passage in passages]
        if any(guess(text) == "en" for text in self._texts):
            english()  # half a second, here and not at the first question

    def near(self, question: str) -> None:
        """Return nothing: how near they are in meaning is not known."""

    def answers(self, question: str, numbers: Sequence[int]) -> Floats:
        """Return how well some passages answer, in the order given, up to the first that cannot be read (see `huashen.chat.rerank`)."""
        texts = [self._texts[number] for number in numbers] if guess(question) == "en" else []
        readable = list(itertools.takewhile(lambda text: guess(text) == "en", texts))
        return english().answers(question, readable) if readable else np.zeros(0, np.float32)

    def deeper(self, question: str, numbers: Sequence[int]) -> Floats:
        """Return nothing: there is no deeper reader here."""
        return np.zeros(0, np.float32)

    def by(self, question: str) -> str:
        """Return by what passages are found."""
        return "reading"


def _unit(x: NDArray[Any]) -> Floats:
    made: Floats = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return made


def _whole(states: Floats) -> NDArray[np.float16]:
    """Return a text's vector, of length 1."""
    maps = head()
    return _unit((states.mean(0) - maps["whole_mean"]) @ maps["whole"]).astype(np.float16)


def _words(states: Floats) -> Floats:
    """Return the vectors of a text's tokens, each of length 1; of a text without any, that of the end."""
    maps = head()
    own = states[_PREFIX:-1] if len(states) > _PREFIX + 1 else states[-1:]
    made: Floats = _unit((own - maps["words_mean"]) @ maps["words"])
    return made


def _bytes(x: Floats) -> NDArray[np.int8]:
    return np.round(x * 127).astype(np.int8)


def _stamp() -> str:
    """Return what kept vectors depend on."""
    return f"{weights.card(CARD).sha256} {sum(float(np.abs(value).sum()) for value in head().values()):.3f}"


Vectors = dict[bytes, tuple[NDArray[np.float16], NDArray[np.int8]]]


def _read(kept: Path) -> Vectors:
    """Return the vectors that were kept; none when there are none or they are of no use any more."""
    try:
        with kept.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["stamp"]) == _stamp():
                words, at = arrays["words"], np.cumsum(arrays["counts"])[:-1]
                return {bytes(key): pair for key, *pair in zip(arrays["keys"], arrays["whole"], np.split(words, at), strict=True)}  # type: ignore[misc]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # made again
    return {}


def _write(kept: Path, vectors: Vectors) -> None:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as beside:
            beside.touch(mode=0o600)
            np.savez(
                beside, stamp=np.array(_stamp()), keys=np.array([list(key) for key in vectors], np.uint8),
                whole=np.stack([pair[0] for pair in vectors.values()]), words=np.concatenate([pair[1] for pair in vectors.values()]),
                counts=np.array([len(pair[1]) for pair in vectors.values()]),
            )  # fmt: skip
    except (OSError, OutputError) as error:  # a store that cannot be written costs time, nothing else
        logger.info(tr("vectors were not kept: %s", "向量未能保存：%s"), error)

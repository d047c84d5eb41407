"""The user's documents as a searchable whole that follows their changes."""

import logging
import threading
import time
from pathlib import Path

from huashen.chat import Source
from huashen.chat.documents import Passage, files, passages, stamp
from huashen.chat.search import Hit, Index
from huashen.errors import InputError
from huashen.tts.text import guess, sentences
from huashen.words import tr

logger = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks at whether a document has changed."""
SPOKEN = 360
"""Columns of an answer (a Chinese character takes two): about half a minute of speech."""


class Library:
    """Documents and their index. One may serve many conversations.

    Args:
        documents: a folder, or one document.

    Raises:
        InputError: none is named.
        UnreadableError: there is nothing to read.
        TooLargeError: there is too much.
    """

    def __init__(self, documents: str | Path | None) -> None:
        if documents is None or not str(documents):
            raise InputError(tr("say where the documents are, such as documents=docs/", "请指明文档所在位置，例如 documents=docs/"))
        self._place = Path(documents).expanduser()
        self._lock = threading.Lock()
        self._stamp = stamp(files(self._place))
        self._index = Index(passages(self._place))
        self._looked = time.monotonic()

    @property
    def index(self) -> Index:
        """The index, made again when a document has changed, come or gone."""
        with self._lock:
            if time.monotonic() - self._looked > LOOK:
                try:
                    now = stamp(files(self._place))
                    if now != self._stamp:
                        self._index = Index(passages(self._place))
                        self._stamp = now
                except InputError as error:  # the folder is being moved: what was read serves on
                    logger.warning("%s", error)
                self._looked = time.monotonic()
            return self._index

    def search(self, question: str, *, count: int) -> list[Hit]:
        """Return the passages that fit a question best, the best first."""
        return self.index.search(question, count=count)


def source_of(hit: Hit, text: str = "") -> Source:
    """Return where a passage is from, with its text or the part that is told."""
    passage = hit.passage
    return Source(passage.file, passage.place, text or passage.text, round(hit.sure, 3))


def told(passage: Passage, question: str) -> str:
    """Return what of a passage is told: all of it, or, of a long one, the sentences around the one that fits best."""
    if _columns(passage.text) <= SPOKEN:
        return passage.text
    parts = list(sentences(passage.text))
    inner = Index([Passage("", "", "", "", part) for part in parts])
    best = inner.search(question, count=1)
    first = parts.index(best[0].passage.text) if best else 0
    past = first + 1
    while past < len(parts) and _columns("".join(parts[first : past + 1])) <= SPOKEN:
        past += 1
    while first > 0 and _columns("".join(parts[first - 1 : past])) <= SPOKEN:
        first -= 1
    return "".join(parts[first:past]).strip()


def _columns(text: str) -> int:
    return sum(2 if character > "\u2e7f" else 1 for character in text)


def unknown(question: str) -> str:
    """Return the words for not knowing, in the language of the question."""
    if guess(question) == "zh":
        return "这个问题在我的资料里没有找到答案。"
    return "I don't know; my documents do not say anything about that."

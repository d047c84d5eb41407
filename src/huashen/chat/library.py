"""The user's documents as a searchable whole that follows their changes."""

import logging
import threading
import time
from pathlib import Path

from huashen.chat import Source, deep, meaning
from huashen.chat.documents import Passage, files, kept_at, passages, stamp
from huashen.chat.search import Hit, Index
from huashen.errors import InputError
from huashen.tts.text import guess, sentences
from huashen.words import tr

logger = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks at whether a document has changed."""
SPOKEN = 240
"""Columns of an answer (a Chinese character takes two): about a quarter of a minute of speech."""


class Library:
    """Documents and their index. One may serve many conversations.

    Args:
        documents: a folder, or one document.
        embeddings: whether networks are asked what passages mean: where the weights of `huashen.chat.meaning` are there, how near they
            come to a question; and whether the best answer it. Without, only words are compared.

    Raises:
        InputError: none is named.
        UnreadableError: there is nothing to read.
        TooLargeError: there is too much.
    """

    def __init__(self, documents: str | Path | None, *, embeddings: bool = True) -> None:
        if documents is None or not str(documents):
            raise InputError(tr("say where the documents are, such as documents=docs/", "请指明文档所在位置，例如 documents=docs/"))
        self._place = Path(documents).expanduser()
        self._network = meaning.network() if embeddings else None
        self._networks = embeddings
        self._lock = threading.Lock()
        self._stamp = stamp(files(self._place))
        self._index = self._built()
        self._looked = time.monotonic()

    def _built(self) -> Index:
        found = passages(self._place)
        if not self._networks:
            return Index(found)
        if self._network is None:
            return Index(found, meaning.Reading(found))
        if len(found) > meaning.MOST:
            logger.warning(tr(
                "%d passages: words are compared, and English ones read; up to %d, meaning is compared too",
                "共 %d 段：只比较词语，并阅读英文段落；%d 段以内也比较含义",
            ), len(found), meaning.MOST)  # fmt: skip
            return Index(found, meaning.Reading(found))
        reader = deep.shipped() if meaning.in_english(found) else None
        if reader:  # so that the first questions do not wait for it
            threading.Thread(target=reader.warm, args=([meaning.spelled(passage) for passage in found],), name="warm", daemon=True).start()
        return Index(found, meaning.Meaning(self._network, found, kept_at(self._place, ".npz"), reader=reader))

    @property
    def index(self) -> Index:
        """The index, made again when a document has changed, come or gone."""
        with self._lock:
            if time.monotonic() - self._looked > LOOK:
                try:
                    now = stamp(files(self._place))
                    if now != self._stamp:
                        self._index = self._built()
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
    """Return what of a passage is said: all of it, or, of a long one, the sentences around the one that fits best."""
    text = aloud(passage.text)
    if _columns(text) <= SPOKEN:
        return text
    parts = list(sentences(text))
    inner = Index([Passage("", "", "", "", part) for part in parts])
    best = inner.search(question, count=1)
    first = parts.index(best[0].passage.text) if best else 0
    past = first + 1
    while past < len(parts) and _columns("".join(parts[first : past + 1])) <= SPOKEN:
        past += 1
    while first > 0 and _columns("".join(parts[first - 1 : past])) <= SPOKEN:
        first -= 1
    return "".join(parts[first:past]).strip()


def aloud(text: str) -> str:
    """Return a passage as one says it: a table's row and a list as a sentence with commas."""
    zh = guess(text) == "zh"
    comma, end = ("，", "。") if zh else (", ", ".")
    cells = text.split("; ")
    if "\n" not in text and len(cells) > 1 and all(": " in cell for cell in cells[1:]):  # as `documents` writes a row
        named = [cell.replace(": ", "" if zh else " ", 1) for cell in cells[1:]]
        first = cells[0] if ": " not in cells[0] else cells[0].replace(": ", "" if zh else " ", 1)
        return f"{first}{'：' if zh else ': '}{comma.join(named)}".rstrip(".。") + end
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    made = ""
    for here, after in zip(lines, [*lines[1:], ""], strict=True):
        made += here
        if after:
            made += (" " if not zh else "") if here[-1] in ".!?。！？:：;；,，、" else comma
    return made if len(lines) < 2 or made[-1] in ".!?。！？" else made + end


def _columns(text: str) -> int:
    return sum(2 if character > "\u2e7f" else 1 for character in text)


def unknown(question: str) -> str:
    """Return the words for not knowing, in the language of the question."""
    if guess(question) == "zh":
        return "这个问题在我的资料里没有找到答案。"
    return "I don't know; my documents do not say anything about that."


def perhaps(question: str) -> str:
    """Return the words before an answer that may be none, in the language of the question."""
    if guess(question) == "zh":
        return "我不太确定，不过资料里提到："
    return "I'm not sure, but my documents say this: "

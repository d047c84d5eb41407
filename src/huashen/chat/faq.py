"""Answers out of the user's documents, word for word, without a model; and an honest "I don't know"."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from huashen.chat import Message, Reply
from huashen.chat.library import Library, perhaps, source_of, told, unknown
from huashen.chat.prompt import fitting
from huashen.errors import InputError
from huashen.tts.text import sentences
from huashen.words import tr

USUALLY = {"words": (0.6, 0.45), "reading": (0.35, 0.25), "meaning": (0.35, 0.2), "deep": (0.35, 0.2)}
"""How sure a passage has to be, by what found it (`Hit.by`), to be said, and to be said with the words that one is not sure. The first of
the two is where, cross-validated (docs/chat.md), nine of ten questions that were never answered get none but for a hint."""


class Faq:
    """A search for the passage that answers.

    Args:
        documents: a folder of documents (Markdown, text, CSV, PDF, DOCX), or one.
        threshold: 0 to 1: how sure it has to be of an answer; lower answers more and errs more; the usual one when None.
        unsure: 0 to 1: how sure it has to be to say what it found with the words that it is not sure; 1: never; the usual when None.
        embeddings: whether sentence embeddings are used, where their weights are there.
        count: sources returned with an answer.
        max_question: characters of a question.

    Raises:
        InputError: no documents are named, there are none, or the threshold lies outside.
    """

    def __init__(
        self, *, documents: str | Path | None = None, threshold: float | None = None,
        unsure: float | None = None, embeddings: bool = True, count: int = 3, max_question: int = 1000,
    ) -> None:  # fmt: skip
        for value in (threshold, unsure):
            if value is not None and not 0 <= value <= 1:
                raise InputError(tr(f"the threshold cannot be {value}; give 0 to 1", f"阈值不能是 {value}；请给出 0 到 1"))
        self.library = Library(documents, embeddings=embeddings)
        self._threshold = threshold
        self._unsure = unsure
        self._count = count
        self._max_question = max_question

    def reply(self, question: str, history: Sequence[Message] = ()) -> Reply:
        """Answer a question (see `Chat`); it stands for itself, earlier turns play no part."""
        asked = fitting(question, self._max_question)
        hits = self.library.search(asked, count=self._count)
        usual = USUALLY[hits[0].by] if hits else (1.0, 1.0)
        threshold = usual[0] if self._threshold is None else self._threshold
        least = min(threshold, usual[1] if self._unsure is None else self._unsure)
        if not hits or hits[0].sure < least:
            return Reply(iter((unknown(asked),)), known=False)
        answer = told(hits[0].passage, asked)
        sources = (source_of(hits[0], answer), *(source_of(hit) for hit in hits[1:] if hit.sure >= least))
        return Reply(self._said(answer if hits[0].sure >= threshold else f"{perhaps(asked)}{answer}"), sources=sources)

    @staticmethod
    def _said(answer: str) -> Iterator[str]:
        yield from sentences(answer)

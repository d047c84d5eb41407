"""Answers in conversation: from a language model, from the user's own documents, or from both."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from huashen.registry import Entry, Registry


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Source:
    """Where an answer comes from."""

    file: str
    """The file's path below the folder of documents."""
    place: str
    """Where in it: its heading, page or row; empty for a file of one passage."""
    text: str
    """The passage."""
    score: float
    """How sure the search is that it answers the question, 0 to 1."""


class Reply:
    """An answer as it comes: an iterator of pieces of text that can be stopped from any thread.

    Args:
        pieces: the text in pieces; errors it raises reach the reader.
        sources: where the answer comes from, best first.
        known: False when the engine says that it does not know.
        cancel: called once by `close`, from whichever thread, to end what `pieces` may be waiting for.
    """

    def __init__(
        self, pieces: Iterator[str], *, sources: tuple[Source, ...] = (), known: bool = True, cancel: Callable[[], None] | None = None
    ) -> None:
        self._pieces = pieces
        self._cancel = cancel
        self._closed = False
        self.sources = sources
        self.known = known

    def __iter__(self) -> "Reply":
        return self

    def __next__(self) -> str:
        if self._closed:
            raise StopIteration
        try:
            piece = next(self._pieces)
        except Exception:
            if self._closed:  # the stop itself broke what was being waited for
                raise StopIteration from None
            raise
        if self._closed:
            raise StopIteration
        return piece

    def close(self) -> None:
        """Stop at once: a request in progress is closed, a reader that waits gets the end, no further piece comes."""
        if not self._closed:
            self._closed = True
            if self._cancel is not None:
                self._cancel()


@runtime_checkable
class Chat(Protocol):
    """Answers a question.

    Promises: `reply` returns before anything is fetched over a network; pieces come as soon as they are there and none is empty;
    joined they are the answer; `close` ends the reply within 0.2 s from any thread, and no piece comes after it; two replies at a time
    do not disturb each other; an empty question raises InputError.
    """

    def reply(self, question: str, history: Sequence[Message] = ()) -> Reply:
        """Answer a question.

        Args:
            question: what the user said.
            history: the turns before it, oldest first.

        Raises:
            InputError: the question is empty or too long.
            EngineError: while reading: the service failed or cut the answer off.
        """
        ...


TABLE = Registry(
    "chat",
    Entry(
        name="faq", target="huashen.chat.faq:Faq", licence="Apache-2.0",
        about=("Answers from your own files (Markdown, text, CSV, PDF, DOCX) with the source, without a model; says when it does not know",
               "从您自己的文件（Markdown、文本、CSV、PDF、DOCX）中找答案并注明出处，无需模型；不知道时如实说明"),
        modules=("snowballstemmer", "pypdf"),
        source="BM25: Robertson & Zaragoza 2009; E5: Wang et al. 2024, arXiv:2402.05672; SmolLM2: Allal et al. 2025, arXiv:2502.02737",
    ),
    Entry(
        name="openai", target="huashen.chat.openai:OpenAI", licence="Apache-2.0 / the service's own",
        about=("Any server that speaks OpenAI's protocol: OpenAI, GLM-4 behind vLLM, Ollama, DashScope …; needs its address and model",
               "任何兼容 OpenAI 协议的服务：OpenAI、vLLM 上的 GLM-4、Ollama、DashScope（通义千问）等；需给出地址和模型名"),
        modules=("httpx",), source="https://platform.openai.com/docs/api-reference/chat",
    ),
    Entry(
        name="rag", target="huashen.chat.rag:Rag", licence="Apache-2.0 / the service's own",
        about=("Both together: a language model that is shown the fitting passages of your files, and names them",
               "两者结合：把您文件中相关的段落交给语言模型作答，并注明出处"),
        modules=("httpx", "snowballstemmer", "pypdf"), source="Lewis et al. 2020, arXiv:2005.11401",
    ),
)  # fmt: skip

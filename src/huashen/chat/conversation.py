"""A conversation: what was asked, and of the answers what was heard."""

import threading
from collections.abc import Iterator

from huashen.chat import Chat, Message, Reply


class Conversation:
    """The turns of one user with one engine. Not more than one answer at a time: asking again stops the one before.

    Args:
        chat: the engine that answers; may be shared with other conversations.
        limit: turns remembered; the oldest go first.
    """

    def __init__(self, chat: Chat, *, limit: int = 200) -> None:
        self._chat = chat
        self._limit = limit
        self._turns: list[Message] = []
        self._reply: Reply | None = None
        self._lock = threading.Lock()

    @property
    def history(self) -> tuple[Message, ...]:
        """The turns so far, oldest first."""
        with self._lock:
            return tuple(self._turns)

    def ask(self, question: str) -> Reply:
        """Ask, and return the answer as it comes. What is read of it is remembered as heard until `heard` says less.

        Raises:
            InputError: the question is empty or too long.
        """
        self.hush()
        with self._lock:
            reply = self._chat.reply(question, tuple(self._turns))
            self._turns = [*self._turns, Message("user", question.strip())][-self._limit :]
            turn = object()
            self._turn = turn

        def pieces() -> Iterator[str]:
            said = ""
            for piece in reply:
                said += piece
                with self._lock:
                    if self._turn is not turn:
                        return
                    self._put(said)
                yield piece

        self._reply = Reply(pieces(), sources=reply.sources, known=reply.known, cancel=reply.close)
        return self._reply

    def hush(self, heard: str | None = None) -> None:
        """Stop the answer.

        Args:
            heard: the part of it that the user has heard; without it, everything that was read.
        """
        if self._reply is not None:
            self._reply.close()
            self._reply = None
        with self._lock:
            self._turn = object()
            if heard is not None:
                self._put(heard)

    def forget(self) -> None:
        """Stop the answer and forget all turns."""
        self.hush()
        with self._lock:
            self._turns = []

    def _put(self, said: str) -> None:
        """Make the answer to the last question what was said; nothing said: no answer."""
        if self._turns and self._turns[-1].role == "assistant":
            self._turns.pop()
        if self._turns and said.strip():
            self._turns.append(Message("assistant", said.strip()))

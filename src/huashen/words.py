"""Every text a user sees, in Chinese and in English, side by side where it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from huashen.config import language

_asked: ContextVar[Literal["en", "zh"] | None] = ContextVar("language", default=None)


def tr(en: str, zh: str) -> str:
    """Return the text in the user's language: that of `speaking`, else `HUASHEN_LANG` (en or zh), else the locale's, else English."""
    return zh if (_asked.get() or language()) == "zh" else en


@contextmanager
def speaking(lang: Literal["en", "zh"] | None) -> Iterator[None]:
    """Make texts of this language: a server's clients have languages of their own. None: the user's."""
    before = _asked.set(lang)
    try:
        yield
    finally:
        _asked.reset(before)

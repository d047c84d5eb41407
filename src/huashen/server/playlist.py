"""A channel's play-list: clips, texts and pauses, over and over, without a gap between them."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huashen import live
from huashen.errors import HuashenError, InputError, UnreadableError
from huashen.words import tr

logger = logging.getLogger(__name__)

AHEAD = 2
"""Items that stand in the session's line: the one that runs, and the one that is made ready behind it."""
LOOK = 0.1
"""Seconds between two looks at the line."""
MOST = 10_000
"""Lines of a play-list."""
MOST_BYTES = 5_000_000


@dataclass(frozen=True)
class Entry:
    """One line of a play-list."""

    kind: Literal["clip", "say", "pause"]
    value: str
    line: int


def read(path: Path) -> list[Entry]:
    """Read a play-list.

    A line is `say: text`, `pause: seconds`, or a clip's path, counted from the play-list's folder. Empty lines and those
    that begin with # are passed over.

    Raises:
        UnreadableError: the file cannot be read.
        InputError: a line means nothing, or there is none.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(tr(f"{path} is larger than {MOST_BYTES} bytes", f"{path} 超过 {MOST_BYTES} 字节"))
        lines = path.read_text(encoding="utf-8-sig").splitlines()[:MOST]
    except UnicodeDecodeError as error:
        raise UnreadableError(tr(f"{path} is not UTF-8 text; save it as UTF-8", f"{path} 不是 UTF-8 文本；请另存为 UTF-8")) from error
    except FileNotFoundError as error:
        raise UnreadableError(tr(f"there is no file {path}; check the name", f"文件 {path} 不存在；请检查文件名")) from error
    except OSError as error:
        raise UnreadableError(tr(f"{path} cannot be read ({error.strerror})", f"无法读取 {path}（{error.strerror}）")) from error
    entries = [
        _entry(text.strip(), number, path) for number, text in enumerate(lines, 1) if text.strip() and not text.lstrip().startswith("#")
    ]
    if not entries:
        raise InputError(
            tr(f"{path} has no items; write a clip's path or 'say: text' on a line", f"{path} 中没有内容；每行写视频路径或“say: 文本”")
        )
    return entries


def _entry(text: str, number: int, path: Path) -> Entry:
    head, colon, rest = text.replace("：", ":", 1).partition(":")
    kind = {"say": "say", "说": "say", "pause": "pause", "停": "pause"}.get(head.strip().lower()) if colon else None
    if kind == "say" and rest.strip():
        return Entry("say", rest.strip(), number)
    if kind == "pause":
        try:
            if 0 < float(rest) <= 86_400:
                return Entry("pause", rest.strip(), number)
        except ValueError:
            pass
        raise InputError(tr(
            f"{path}, line {number}: a pause has 0 to 86400 seconds, such as 'pause: 2.5'",
                f"{path} 第 {number} 行：停顿为 0 到 86400 秒，例如“pause: 2.5”"
        ))  # fmt: skip
    return Entry("clip", str(path.parent / text), number)


class Playlist:
    """Keeps a session busy from a play-list, in a thread; the file is read again when it has changed.

    Args:
        session: what speaks and shows.
        path: the play-list.

    Raises:
        InputError, UnreadableError: it cannot be used; told before anything runs.
    """

    def __init__(self, session: live.Session, path: Path) -> None:
        self._session = session
        self._path = path
        self._entries = read(path)
        self._stamp = path.stat().st_mtime_ns
        self._stop = threading.Event()
        self.rounds = 0
        """How often it has been gone through."""
        self._thread = threading.Thread(target=self._run, name="play-list", daemon=True)

    def begin(self) -> None:
        """Begin to play."""
        self._thread.start()

    def end(self) -> None:
        """Play nothing more; waits for the thread."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            played = 0
            for entry in self._entries:
                while self._session.waiting >= AHEAD and not self._stop.wait(LOOK):
                    pass
                if self._stop.is_set():
                    return
                try:
                    self._play(entry)
                    played += 1
                except HuashenError as error:
                    logger.warning(tr("%s, line %d is passed over: %s", "跳过 %s 第 %d 行：%s"), self._path.name, entry.line, error)
                if self._changed():
                    break
            else:
                self.rounds += 1
            if not played:
                self._stop.wait(2.0)  # a list of nothing but mistakes must not spin

    def _play(self, entry: Entry) -> None:
        if entry.kind == "say":
            self._session.say(entry.value)
        elif entry.kind == "clip":
            self._session.play(entry.value)
        else:
            while self._session.waiting and not self._stop.wait(LOOK):
                pass
            self._stop.wait(float(entry.value))

    def _changed(self) -> bool:
        """Read the file again if it has changed; one that cannot be used is left alone, with a word."""
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            self._entries = read(self._path)
        except (HuashenError, OSError) as error:
            logger.warning(tr("the play-list goes on as it was: %s", "节目单保持不变：%s"), error)
            return False
        return True

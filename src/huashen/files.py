"""Writing files so that a reader never sees half of one."""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from huashen.errors import OutputError
from huashen.words import tr


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside the goal; on leaving without an error move it into place, otherwise remove it.

    The name beside keeps the goal's ending, so a writer that looks at the ending still works. A goal that is a link is followed.

    Raises:
        OutputError: the goal is no file or its folder does not exist (before any work), may not be written to, or the disk is full.
    """
    with explained(path):
        goal = writable(path)
        beside = goal.with_name(f".huashen-{secrets.token_hex(4)}.part{goal.suffix}")
        try:
            yield beside
            os.replace(beside, goal)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise errors of the system about room and rights as OutputError, which names a file and says what to do."""
    try:
        yield
    except OSError as error:
        text = _reason(error.errno, path)
        if text is None:
            raise
        raise OutputError(text) from error


@contextmanager
def alone(lock: Path, busy: str) -> Iterator[None]:
    """Hold a file that nobody else may hold meanwhile; it is let go when the process ends, however that ends.

    Args:
        lock: the file; made where it is not there.
        busy: what to say when another process holds it.

    Raises:
        OutputError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: there a second process fails when it replaces a file that is open
        yield
        return
    with lock.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(busy) from error
        yield


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, read once as long as it stays the same."""
    state = path.stat()
    return _digest(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(64)
def _digest(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def writable(path: str | os.PathLike[str]) -> Path:
    """Return the real place of a file that is to be made, links followed, having checked before any work that it can be made there.

    Raises:
        OutputError: it is a folder, a device or a pipe; its folder does not exist or may not be written to; its name is too long.
    """
    goal = Path(os.path.realpath(path))
    try:
        if goal.is_dir():
            raise OutputError(tr(f"{path} is a folder; name a file", f"{path} 是文件夹；请给出文件名"))
        if goal.exists() and not goal.is_file():
            raise OutputError(tr(f"{path} is a device or a pipe; name a file", f"{path} 是设备或管道；请给出文件名"))
        if not goal.parent.is_dir():
            folder = Path(path).parent
            raise OutputError(tr(f"the folder {folder} does not exist; make it first", f"文件夹 {folder} 不存在；请先创建"))
    except OSError as error:
        raise OutputError(_reason(error.errno, path) or str(error)) from error
    if not os.access(goal.parent, os.W_OK | os.X_OK):
        raise OutputError(_reason(errno.EACCES, path) or str(path))
    return goal


def _reason(number: int | None, path: str | os.PathLike[str]) -> str | None:
    """Return what to tell the user about a failed write, or None where the failure is not about the place."""
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return tr(f"no room left on the disk while writing {path}; free some and run again", f"写入 {path} 时磁盘已满；请腾出空间后重试")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return tr(f"no right to write {path}; choose another place", f"没有写入 {path} 的权限；请换个位置")
    if number == errno.ENOENT:
        return tr(f"{path} cannot be made there; choose another place", f"无法在该处创建 {path}；请换个位置")
    if number == errno.ENAMETOOLONG:
        return tr(f"the name {path} is too long; choose a shorter one", f"文件名 {path} 太长；请换个短些的")
    return None

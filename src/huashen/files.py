"""Writing files so that a reader never sees half of one."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huashen.errors import OutputError
from huashen.words import tr


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside the goal; on leaving without an error move it into place, otherwise remove it.

    The temporary name keeps the goal's ending, so a writer that looks at the ending still works.

    Raises:
        OutputError: the folder does not exist, may not be written to, or the disk is full.
    """
    goal = Path(path)
    beside = goal.with_name(f".{goal.stem}.{secrets.token_hex(4)}.part{goal.suffix}")
    if goal.is_dir():
        raise OutputError(tr(f"{goal} is a folder; name a file", f"{goal} 是文件夹；请给出文件名"))
    if not goal.parent.is_dir():
        raise OutputError(tr(f"the folder {goal.parent} does not exist; make it first", f"文件夹 {goal.parent} 不存在；请先创建"))
    try:
        yield beside
        os.replace(beside, goal)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OutputError(tr(
                f"no room left on the disk while writing {goal}; free some and run again",
                f"写入 {goal} 时磁盘已满；请腾出空间后重试",
            )) from error  # fmt: skip
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutputError(tr(f"no right to write {goal}; choose another place", f"没有写入 {goal} 的权限；请换个位置")) from error
        raise
    finally:
        beside.unlink(missing_ok=True)

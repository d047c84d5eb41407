"""A video written in parts, so that work that was stopped, or whose machine went down, goes on where it was.

While `a.mp4` is made, a folder `a.mp4.part` lies beside it:

- `manifest.json`: of which inputs and options it is made, and its rate and size;
- `00000000-00000250.mkv`: the frames 0 to 249 with their sound, the pictures as they will be, the sound not compressed.

A part gets its name when it is whole. When all are there, the pictures are joined as they are and the sound is encoded in one piece, so
that a video made in two goes is, bit for bit, the one made in one (but for the stage `denoise`, docs/stages.md); then the folder goes.
Anybody may delete it at any time.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from math import ceil
from pathlib import Path

from huashen import media
from huashen.errors import InputError, OutputError
from huashen.files import alone, explained, replacing
from huashen.flow import prefetch
from huashen.types import Video
from huashen.words import tr

FORMAT = 1
SECONDS = 10
"""Length of a part: what is lost at most."""


@dataclass
class Parts:
    """What is there of a video that is being made."""

    goal: Path
    key: str
    """What it is made of."""
    files: list[Path] = field(default_factory=list)
    """The parts, one after the other."""
    frames: int = 0
    """How many frames they hold."""
    told: dict[str, object] = field(default_factory=dict)
    """The manifest."""

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return _folder(self.goal)

    def write(
        self, video: Video, *, title: str = "", engine: str = "", on_frame: Callable[[int], None] | None = None
    ) -> media.Written:
        """Write the frames that are not there yet, then the file, and remove the parts.

        Args:
            video: its frames from the first that is not there on.
            title, engine: see `media.write_video`.
            on_frame: called with the number of frames there are so far, after each.

        Raises:
            InputError: the video has no frames, or not the size or rate of the parts.
            OutputError: no room, no right.
        """
        manifest = {"format": FORMAT, "key": self.key, "fps": str(video.fps), "size": list(video.size), "rate": video.rate}
        if self.frames and self.told != manifest:
            raise _stale(self)
        length = ceil(SECONDS * video.fps)
        with replacing(self.goal) as beside, media.as_os_error(), closing(prefetch(video.frames)) as frames:
            (self.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
            self.told = manifest
            while (first := next(frames, None)) is not None:
                part = chain([first], islice(frames, length - 1))
                half = self.folder / "unfinished.mkv"
                count = media.write_part(video, part, half, beside.suffix, on_frame=_counted(on_frame, self.frames))
                whole = self.folder / f"{self.frames:08d}-{self.frames + count:08d}.mkv"
                half.replace(whole)
                self.files.append(whole)
                self.frames += count
            size = media.join(self.files, beside, video, title=title, engine=engine)
        return media.Written(self.goal, self.frames, float(self.frames / video.fps), size)


@contextmanager
def going_on(goal: Path, key: str, *, resume: bool, overwrite: bool) -> Iterator[Parts]:
    """Yield what is there of a video; on leaving remove it, unless an error leaves with parts that are worth keeping: then a note says so.

    Args:
        goal: the file to make.
        key: what it is made of, a hash.
        resume: go on with what is there. Without it a new beginning is made.
        overwrite: whether a new beginning may throw away what is there.

    Raises:
        InputError: what is there was made of something else.
        OutputError: there is something that may not be thrown away, another process is at it, or nothing can be written there.
    """
    folder = _folder(goal)
    with explained(goal):
        folder.mkdir(exist_ok=True)
    busy = tr(f"{goal} is being written by another huashen; wait for it, or name another output",
              f"另一个 huashen 正在写入 {goal}；请等待其完成，或换一个输出文件名")  # fmt: skip
    with alone(folder / "lock", busy):
        parts = _found(goal, key)
        if parts.frames and resume and parts.told.get("key") != key:
            raise _stale(parts)
        if parts.frames and not resume:
            if not overwrite:
                raise OutputError(tr(
                    f"{folder} holds {_long(parts)} of an unfinished video; add --resume to go on with it, or -y to begin anew",
                    f"{folder} 中保存着未完成视频的 {_long(parts)}；加上 --resume 可继续，加上 -y 则重新开始",
                ))  # fmt: skip
            parts = Parts(goal, key)
        try:
            if not parts.frames:
                _clear(folder)
            yield parts
        except BaseException as error:
            if parts.frames:
                error.add_note(tr(
                    f"{_long(parts)} of it is kept in {folder}; the same command with --resume goes on",
                    f"其中 {_long(parts)} 已保存在 {folder}；用同一命令加上 --resume 即可继续",
                ))  # fmt: skip
            else:
                _remove(folder)
            raise
        _remove(folder)


def _counted(tell: Callable[[int], None] | None, before: int) -> Callable[[int], None] | None:
    """Count on from the frames there were before."""
    return None if tell is None else lambda count: tell(before + count)


def _folder(goal: Path) -> Path:
    real = Path(os.path.realpath(goal))
    return real.with_name(f"{real.name}.part")


def _found(goal: Path, key: str) -> Parts:
    """Return what lies there, as far as it is whole and without a gap."""
    parts = Parts(goal, key)
    try:
        parts.told = json.loads((parts.folder / "manifest.json").read_text(encoding="utf-8"))
        found = sorted(path for path in parts.folder.iterdir() if re.fullmatch(r"\d{8,}-\d{8,}\.mkv", path.name))
    except (OSError, ValueError):
        return parts
    if parts.told.get("format") != FORMAT:
        return parts
    for path in found:
        begin, end = (int(word) for word in path.stem.split("-"))
        if begin != parts.frames or not media.is_whole_part(path, end - begin):
            break
        parts.files.append(path)
        parts.frames = end
    return parts


def _stale(parts: Parts) -> InputError:
    return InputError(tr(
        f"{parts.folder} was made with other inputs or options; give the same as then, or leave out --resume and add -y to begin anew",
        f"{parts.folder} 由不同的输入或选项生成；请使用与当时相同的命令，或去掉 --resume 并加上 -y 重新开始",
    ))  # fmt: skip


def _long(parts: Parts) -> str:
    from huashen.terminal import span

    return span(float(parts.frames / Fraction(str(parts.told.get("fps", "25")))))


def _clear(folder: Path) -> None:
    """Remove what we put there."""
    for path in folder.iterdir():
        if path.suffix == ".mkv" or path.name == "manifest.json":
            path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Remove the folder, unless somebody put something else there."""
    _clear(folder)
    (folder / "lock").unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()

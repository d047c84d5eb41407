"""What the command line shows: help and tables that count Chinese characters as two columns, the words of typer's own errors, progress."""

import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huashen.words import tr

if TYPE_CHECKING:
    from huashen.studio import Progress

_CLOSING = "，。；：！？、）》”’…"


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese characters take two."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrap(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` columns, at spaces and between Chinese characters but not before their punctuation."""
    pieces = re.findall(rf"\s+|[^\s\u2e80-\uffef]+[{_CLOSING}]*|[\u2e80-\uffef][{_CLOSING}]*", text)
    lines = [""]
    for piece in pieces:
        if lines[-1] and columns(lines[-1]) + columns(piece.rstrip()) > width:
            lines.append("")
        if lines[-1] or not piece.isspace():
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def table(rows: Sequence[Sequence[str]], *, gap: int = 2) -> str:
    """Lay rows out in columns; the last is as wide as it needs to be."""
    widths = [max(columns(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return "\n".join(
        "".join(cell + " " * (width - columns(cell) + gap) for cell, width in zip(row, widths, strict=False)) + row[-1] for row in rows
    ).rstrip()


def _entries(rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    left = min(34, max(columns(first) for first, _ in rows))
    for first, second in rows:
        lines = wrap(second, max(24, width - left - 4))
        if columns(first) > left:
            yield f"  {first}"
        else:
            yield f"  {first}{' ' * (left - columns(first) + 2)}{lines.pop(0)}".rstrip()
        yield from (f"{' ' * (left + 4)}{line}" for line in lines)


def help_text(command: Any, context: Any) -> str:
    """Return a typer command's help in the user's language.

    Args:
        command: a TyperCommand or TyperGroup.
        context: the context it runs in.
    """
    width = min(110, max(60, shutil.get_terminal_size((100, 24)).columns))
    words = {"[OPTIONS]": tr("[OPTIONS]", "[选项]"), "COMMAND [ARGS]...": tr("COMMAND …", "命令 …")}
    usage = [words.get(piece, piece).strip("{}") for piece in command.collect_usage_pieces(context)]
    lines = [tr("Usage: ", "用法：") + " ".join([context.command_path, *usage]), ""]
    for paragraph in (command.help or "").split("\n"):
        lines += wrap(paragraph, width)
    parameters = command.get_params(context)
    options = [p for p in parameters if p.param_type_name == "option"]
    panels = dict.fromkeys(getattr(p, "rich_help_panel", None) for p in options)
    for title, rows in (
        (tr("Commands:", "命令："), [(name, c.help.split("\n")[0]) for name, c in getattr(command, "commands", {}).items()]),
        (tr("Arguments:", "参数："), [(p.metavar or p.name, p.help or "") for p in parameters if p.param_type_name == "argument"]),
        *((panel or tr("Options:", "选项："), [_option(p) for p in options if getattr(p, "rich_help_panel", None) == panel])
          for panel in sorted(panels, key=bool)),
    ):  # fmt: skip
        if rows:
            lines += ["", title, *_entries(rows, width)]
    return "\n".join(lines)


def _option(parameter: Any) -> tuple[str, str]:
    if parameter.name == "help":
        return "--help", tr("show this and leave", "显示本说明并退出")
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:  # --browser/--no-browser: what is not so already is what somebody wants to write
        names += "/" + ", ".join(parameter.secondary_opts)
    return f"{names} {parameter.metavar or ''}".rstrip(), parameter.help or ""


def usage_words(error: Any) -> str:
    """Return one line, in the user's language, for an error typer raises about the command line itself."""
    message = " ".join(str(error.format_message()).split()).rstrip(".")
    kind = type(error).__name__
    hint: Any = getattr(error, "param", None)
    name = (hint.metavar or hint.name) if getattr(hint, "param_type_name", "") == "argument" else max(getattr(hint, "opts", [""]), key=len)
    quoted = next(iter(re.findall(r"'([^']*)'", message)), "")
    if kind == "NoSuchOption":
        near = ", ".join(sorted(error.possibilities or ()))
        said = tr(f"no option {error.option_name}", f"没有选项 {error.option_name}") + (tr(f" ({near}?)", f"（{near}？）") if near else "")
    elif kind == "MissingParameter":
        said = tr(f"{name} is missing", f"缺少 {name}")
    elif kind == "BadParameter":
        said = _bad_value(name, message)
    elif kind == "BadOptionUsage" and "not take" in message:
        said = tr(f"{error.option_name} takes no value", f"{error.option_name} 不需要值")
    elif kind == "BadOptionUsage":
        said = tr(f"{error.option_name} needs a value", f"{error.option_name} 需要一个值")
    elif message.startswith("No such command"):
        near = "".join(re.findall(r" Did you mean ([^?]*)", message))
        said = tr(f"no command '{quoted}'", f"没有命令“{quoted}”") + (tr(f" ({near}?)", f"（{near}？）") if near else "")
    elif message.startswith("Got unexpected extra argument"):
        extra = message.partition("(s) (")[2] or message.rpartition(" (")[2]
        extra = extra.removesuffix(")")
        said = tr(f"too many words: {extra}; put a text with spaces in quotes", f"多余的参数：{extra}；含空格的文本请加引号")
    else:
        said = message
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "huashen"
    return tr(f"{said}; see: {command} --help", f"{said}；请看：{command} --help")


def _bad_value(name: str, message: str) -> str:
    """Say what a word on the command line has to be, as far as typer's own message tells."""
    if limit := re.search(r"(greater|less) than or equal to (\S+)$", message):
        least = limit[1] == "greater"
        return tr(
            f"{name} must be {limit[2]} or {'more' if least else 'less'}", f"{name} 必须{'不小于' if least else '不大于'} {limit[2]}"
        )  # fmt: skip
    if "valid integer" in message or "valid number" in message:
        return tr(f"{name} must be a number", f"{name} 必须是数字")
    return tr(f"{name} cannot take that value", f"{name} 的值无效")


class Meter:
    """Shows progress on standard error: one live line on a terminal, elsewhere a line every few seconds."""

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self.name = name
        self.quiet = quiet
        self.live = sys.stderr.isatty()
        self._every = 0.2 if self.live else 5.0
        self._next = time.monotonic() + self._every
        self._drawn = 0

    def show(self, progress: "Progress") -> None:
        """Show how far a video is, unless it was shown just now."""
        now = time.monotonic()
        if self.quiet or now < self._next or progress.elapsed < 0.5:
            return
        self._next = now + self._every
        total = "" if progress.total is None else tr(f" of about {span(progress.total)}", f" / 约 {span(progress.total)}")
        left = "" if progress.left is None else tr(f", {span(progress.left)} to go", f"，还需 {span(progress.left)}")
        what = tr("following the face, ", "跟踪人脸，") if progress.what == "track" else ""
        line = tr(
            f"{self.name}: {what}{progress.frames} frames, {span(progress.seconds)}{total}{left}",
            f"{self.name}：{what}{progress.frames} 帧，{span(progress.seconds)}{total}{left}",
        )
        if not self.live:
            _write(line + "\n")
            return
        line = line if columns(line) < shutil.get_terminal_size().columns else f"{progress.frames}"
        _write("\r" + line + " " * max(0, self._drawn - columns(line)))
        self._drawn = columns(line)

    def clear(self) -> None:
        """Wipe the live line, so that the next message stands alone."""
        if self._drawn:
            _write("\r" + " " * self._drawn + "\r")
            self._drawn = 0


def span(seconds: float) -> str:
    """Write a time: 4.2 s, 3:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def short(path: Path | str) -> str:
    """Write a path with ~ for the home folder."""
    text, own = str(path), str(Path.home())
    return "~" + text[len(own) :] if own != "/" and text.startswith(own + "/") else text


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()

"""The command line. Only the standard library and typer are loaded before a command runs; every message is one line."""

import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from huashen import config, terminal
from huashen.cli import making, serving, state, talking  # noqa: F401 - their commands register themselves, in this order
from huashen.cli.avatars import avatar
from huashen.cli.parts import app, note, put
from huashen.cli.training import training
from huashen.cli.voices import voices
from huashen.cli.weights import store
from huashen.errors import HuashenError, StoppedError
from huashen.words import tr


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help=tr("show the version and leave", "显示版本并退出"))] = False,
) -> None:
    """Show the version, or help when there is no command."""
    if version:
        from huashen import __version__

        put(f"huashen {__version__}")
    elif context.invoked_subcommand is None:
        put(context.get_help())


app.add_typer(voices, name="voices")
app.add_typer(avatar, name="avatar")
app.add_typer(store, name="weights")
app.add_typer(training, name="train")


class _Notes(logging.Handler):
    """Shows each warning once, in one line."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._shown:
            self._shown.add(text)
            note(text)


@contextmanager
def _logging(*, debug: bool) -> Iterator[None]:
    """Show what is logged: warnings as one line each, everything with --debug."""
    handler: logging.Handler = logging.StreamHandler() if debug else _Notes()
    handler.setFormatter(logging.Formatter("%(relativeCreated)d %(name)s: %(message)s"))
    logger = logging.getLogger("huashen")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _hush() -> None:
    """Keep what libraries write past Python (LiteRT greets on the error stream) out of sight; our own words still go there."""
    try:
        sys.stderr = os.fdopen(os.dup(2), "w", encoding=sys.stderr.encoding, errors="replace", buffering=1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    except OSError:  # a stream that is no file
        pass


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; every error becomes one line on standard error.

    Args:
        arguments: the words after "huashen"; this process's own when None.
    """
    config.one_thread_for_matrices()
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    debug = "--debug" in given[:end]
    given = [word for i, word in enumerate(given) if word != "--debug" or i >= end]
    if arguments is None:
        for name in ("SIGTERM", "SIGHUP"):  # whoever is told to stop leaves nothing half-written either
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _stop)
        hushed = debug or sys.stderr is None
        sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - closed by whoever started us; for the rest of the process
        sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr):  # a console that knows no Chinese shows question marks, not an error
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        if not hushed:
            _hush()
    with _logging(debug=debug):
        return _run(given, debug=debug)


def _run(given: list[str], *, debug: bool) -> int:
    try:
        command = typer.main.get_command(app)
        with command.make_context("huashen", given) as context:
            command.invoke(context)
        return 0
    except typer.Exit as error:
        return int(error.exit_code)
    except KeyboardInterrupt as error:
        kept = "; ".join(getattr(error, "__notes__", ()))
        note(tr("stopped; ", "已停止；") + (kept or tr("nothing was written", "没有写出任何文件")))
        return 128 + int(error.args[0]) if error.args else StoppedError.exit_code
    except BrokenPipeError:  # whoever read our output has gone; Python would complain once more on closing it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except HuashenError as error:
        if debug:
            traceback.print_exc()
        note("; ".join([str(error), *getattr(error, "__notes__", ())]))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last door: whatever it is, the user gets one line
        if debug:
            traceback.print_exc()
        if hasattr(error, "format_message"):  # typer's own: something is wrong with the command line
            note(terminal.usage_words(error))
            return 2
        what = f"{type(error).__name__}: {error}"
        note(
            tr(
                f"something unforeseen happened ({what}); run it again with --debug to see where",
                f"发生了意外错误（{what}）；加上 --debug 重新运行可查看位置",
            )
        )
        return 1

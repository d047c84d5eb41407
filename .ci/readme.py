"""Run the commands of Markdown files, so that what a README says is true.

    python .ci/readme.py README.md …

The blocks marked bash, sh or python of one file run in order in one temporary folder, which already holds me.jpg (the example portrait),
speech.wav and text.txt. A block after a comment `<!-- not run: reason -->` is passed over, and listed.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHELL = ("bash", "sh", "shell", "console")
LIMIT = 300
"""Seconds a block may take."""


@dataclass(frozen=True)
class Block:
    """A block of code."""

    line: int
    kind: str
    code: str
    excuse: str
    """Why it is not run; empty: it is."""


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown text that are shell or Python."""
    lines = text.splitlines()
    i = 0
    excuse = ""
    while i < len(lines):
        if note := re.fullmatch(r"\s*<!--\s*not run:\s*(.+?)\s*-->\s*", lines[i]):
            excuse = note[1]
        elif fence := re.fullmatch(r"(\s*)(`{3,}|~{3,})\s*([\w-]*).*", lines[i]):
            indent, mark, kind = fence.groups()
            begin = i + 1
            i = begin
            while i < len(lines) and lines[i].strip() != mark:
                i += 1
            if i == len(lines):
                raise SystemExit(f"line {begin}: the block does not end")
            code = "\n".join(line.removeprefix(indent) for line in lines[begin:i])
            if kind in SHELL or kind == "python":
                yield Block(begin, kind, code, excuse)
            excuse = ""
        elif lines[i].strip():
            excuse = ""
        i += 1


def furnish(folder: Path) -> None:
    """Put the files that READMEs speak of into a folder."""
    import huashen
    from huashen import media, weights

    media.write_image(folder / "me.jpg", media.read_image(weights.path("astronaut")))
    (folder / "text.txt").write_text("你好，我是数字人。今天天气不错。\nHello, this comes from a file.\n", encoding="utf-8")
    with wave.open(str(folder / "speech.wav"), "wb") as sound:
        speech = next(huashen.load("tts").speak("Hello, this is a recording."))
        sound.setparams((1, 2, speech.audio.rate, 0, "NONE", ""))
        sound.writeframes((speech.audio.samples * 32767).astype("<i2").tobytes())


def run(block: Block, folder: Path) -> str:
    """Run a block; return what is wrong, or nothing."""
    if block.kind == "python":
        command = [sys.executable, "-W", "error", "-c", block.code]
    else:
        code = "\n".join(re.sub(r"^\$ ", "", line) for line in block.code.splitlines())
        command = ["bash", "-euo", "pipefail", "-c", code]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    try:
        ran = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"still running after {LIMIT} s"
    return "" if ran.returncode == 0 else f"exit code {ran.returncode}\n{(ran.stdout + ran.stderr)[-2000:]}"


def main(files: list[str]) -> int:
    """Run the blocks of files; return how many failed."""
    failed = 0
    for file in map(Path, files):
        found = list(blocks(file.read_text(encoding="utf-8")))
        if not any(not block.excuse for block in found):
            raise SystemExit(f"{file}: no block to run")
        with tempfile.TemporaryDirectory(prefix="readme-") as place:
            folder = Path(place)
            furnish(folder)
            for block in found:
                first = block.code.strip().partition("\n")[0][:80]
                if block.excuse:
                    print(f"{file}:{block.line}: not run ({block.excuse}): {first}", flush=True)
                    continue
                begin = time.monotonic()
                wrong = run(block, folder)
                failed += bool(wrong)
                print(f"{file}:{block.line}: {'FAILED' if wrong else 'ok'} ({time.monotonic() - begin:.1f} s): {first}", flush=True)
                if wrong:
                    print(f"{block.code}\n{wrong}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)

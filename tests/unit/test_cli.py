"""What the command line shows and how it reads its words."""

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from huashen import cli, config, registry, studio, terminal, weights
from huashen.cli import parts
from huashen.errors import InputError, UnreadableError


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Speak English, in a folder without a huashen.toml."""
    monkeypatch.setenv("HUASHEN_LANG", "en")
    monkeypatch.chdir(tmp_path)
    config.language.cache_clear()
    yield
    config.language.cache_clear()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command line; return the exit code and what it wrote."""
    code = cli.main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def commands() -> list[list[str]]:
    """Return every command's words."""
    root = typer.main.get_command(cli.app)
    found = [[]]
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        found += [[name], *([name, sub] for sub in getattr(command, "commands", {}))]
    return found


@pytest.mark.parametrize("words", commands())
def test_every_command_explains_itself_and_each_of_its_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: huashen " + " ".join([*words, ""]))
    for line in out.splitlines():
        if line.startswith("  -"):
            assert re.search(r"\S  +\S", line), f"no words for {line}"


def test_help_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    _, out, _ = run(capsys, "say", "--help")
    assert max(terminal.columns(line) for line in out.splitlines()) <= 72


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys) == run(capsys, "--help")
    assert run(capsys, "weights") == run(capsys, "weights", "--help")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sya", "x"], "no command 'sya' ('say'?); see: huashen --help"),
        (["say", "x", "--fase", "y"], "no option --fase (--face"),
        (["say", "x", "--seed"], "--seed needs a value"),
        (["say", "x", "--seed", "q"], "--seed must be a number; see: huashen say --help"),
        (["live", "--port", "99999"], "--port must be 65535 or less; see: huashen live --help"),
        (["serve", "--sessions", "0"], "--sessions must be 1 or more; see: huashen serve --help"),
        (["say", "x", "--still=1"], "--still takes no value"),
        (["say", "hello", "there"], "too many words: there; put a text with spaces in quotes; see: huashen say --help"),
        (["sync"], "SOUND is missing; see: huashen sync --help"),
        (["weights", "fetch"], "no command 'fetch'; see: huashen weights --help"),
    ],
)
def test_a_mistyped_line_gets_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"huashen: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--subtitles", "file"], "subtitles of recorded speech need its text"),
        (["--lang", "en"], "a language of recorded speech need"),
        (["--text", "x", "--text-file", "y"], "give either --text or --text-file"),
        (["--text-file", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["--text", ""], "the text has nothing to say"),
    ],
)
def test_sync_refuses_a_text_that_is_none(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "sync", "s.wav", "--face", "f.jpg", "-o", str(tmp_path / "a.mp4"), *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"huashen: {said}")
    assert err.count("\n") == 1


def test_an_unforeseen_error_gets_one_line_and_its_traceback_with_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(capability: str) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(registry, "table", broken)
    code, _, err = run(capsys, "engines")
    assert (code, err.count("\n")) == (1, 1)
    assert "RuntimeError: two lines" in err
    assert "--debug" in err
    code, _, err = run(capsys, "engines", "--debug")
    assert code == 1
    assert "Traceback" in err


def test_warnings_are_shown_as_one_line_each_and_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def table(capability: str) -> registry.Registry:
        logging.getLogger("huashen.face").warning("odd:\n  %s", "thing")
        return registry.Registry(capability, registry.Entry("a", "b:C", "MIT", ("x", "y")))

    monkeypatch.setattr(registry, "table", table)
    _, _, err = run(capsys, "engines")
    assert err == "huashen: odd: thing\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import huashen

    assert run(capsys, "--version") == (0, f"huashen {huashen.__version__}\n", "")


def test_engines_lists_every_engine_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "engines", "--json")
    rows = json.loads(out)
    assert [(r["capability"], r["name"]) for r in rows] == [(c, e.name) for c in registry.CAPABILITIES for e in registry.table(c).entries]
    assert sum(r["default"] for r in rows) == len(registry.CAPABILITIES)
    for row in rows:
        assert row["installed"] == (row["missing"] == [])
    _, out, _ = run(capsys, "engines")
    for row in rows:
        assert f"{row['name']} " in out
        assert row["licence"] in out


def test_weights_list_knows_every_card(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "weights", "list", "--json")
    assert {row["name"]: row["present"] for row in json.loads(out)} == {name: weights.present(name) for name in weights.CARDS}


def test_weights_verify_says_what_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    weights.folder().mkdir()
    (weights.folder() / weights.CARDS["astronaut"].file).write_bytes(b"not a picture")
    code, out, err = run(capsys, "weights", "verify")
    assert (code, out) == (2, "astronaut: wrong\n")
    assert "huashen weights get astronaut" in err


def test_unknown_weights_are_refused_and_the_known_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "weights", "get", "nothing")
    assert code == 2
    assert "face_landmark" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("value", "meant"), [("0", 0), ("2", 2), ("310,120", (310.0, 120.0)), (None, None)])
def test_which(value: str | None, meant: object) -> None:
    assert parts.as_which(value) == meant


@pytest.mark.parametrize("value", ["", "a", "1.5", "1,2,3", "1,nan", ","])
def test_which_refuses_nonsense(value: str) -> None:
    with pytest.raises(InputError, match="--which cannot be"):
        parts.as_which(value)


def test_box() -> None:
    assert parts.as_box("1,2,30,40.5") == (1, 2, 30, 40.5)
    for value in ("", "1,2,3", "1,2,3,inf", "a,b,c,d"):
        with pytest.raises(InputError, match="--box cannot be"):
            parts.as_box(value)


def test_text_comes_from_the_line_a_file_or_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_bytes(b"\xef\xbb\xbf" + "你好。\n".encode())
    assert parts.text_of("hi", None) == "hi"
    assert parts.text_of(None, file) == "你好。\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("一。\n二。\n".encode())))
    assert list(parts.text_of("-", None)) == ["一。\n", "二。\n"]
    for both in ((None, None), ("hi", file)):
        with pytest.raises(InputError, match="either a text"):
            parts.text_of(*both)


def test_a_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gbk.txt"
    file.write_bytes("你好，世界".encode("gbk"))
    with pytest.raises(UnreadableError, match=r"gbk\.txt is not UTF-8"):
        parts.text_of(None, file)


def test_huashen_toml_gives_defaults_and_the_line_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "huashen.toml").write_text('voice = "male"\nfps = 30\nface = "portrait.jpg"\n')
    (tmp_path / "huashen.toml").write_text('fps = "30000/1001"\nsize = 512\n')
    settings = config.settings()
    assert (settings.voice, settings.fps, settings.size) == ("male", "30000/1001", 512)
    assert settings.face == str(tmp_path / "home" / "portrait.jpg"), "a path is counted from the file that names it"
    given = {"voice": None, "fps": "24", "size": None, "speed": None}
    assert parts.chosen_of(given, settings) == {"voice": "male", "fps": "24", "size": 512}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("fps = ", "is not valid TOML"),
        ("fsp = 25", "unknown key 'fsp'; there are: face, tts, voice, lang, speed, size, fps, subtitles"),
        ("fps = true", "fps cannot be True; give a number"),
        ("voice = 3", "voice cannot be 3; give a text in quotes"),
        ("size = [512, 512]", "size cannot be"),
        ("fps = 0", "fps cannot be '0'"),
        ('size = "huge"', "size cannot be 'huge'"),
        ('subtitles = "yes"', "subtitles cannot be 'yes'"),
    ],
)
def test_a_bad_huashen_toml_is_named_with_its_key(content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "huashen.toml").write_text(content)
    code, _, err = run(capsys, "say", "hi", "--face", "example", "-o", "a.mp4")
    assert code == 2
    assert err.startswith("huashen: huashen.toml")
    assert said in err
    assert err.count("\n") == 1


def test_columns_counts_chinese_as_two() -> None:
    assert terminal.columns("化身 Huashen") == 12
    assert terminal.columns("e\u0301") == 1


def test_wrap_keeps_every_character_and_the_width() -> None:
    text = "输入一张脸和一段话，得到一个会说话的人：支持 .mp4、.mov、.webm 与 .gif。And a few English words as well."
    for width in range(24, 60):
        lines = terminal.wrap(text, width)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert all(line and line[0] not in "，。：、" for line in lines)
        assert all(terminal.columns(line) <= width + 2 for line in lines), "only a closing mark may hang out"


def test_table_lines_up() -> None:
    lines = terminal.table([["a", "能力", "x"], ["abc", "b", "y"]]).splitlines()
    assert [terminal.columns(line) for line in lines] == [12, 12]


@pytest.mark.parametrize(("seconds", "words"), [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1:00"), (185, "3:05"), (3723, "1:02:03")])
def test_span(seconds: float, words: str) -> None:
    assert terminal.span(seconds) == words


def test_progress_tells_how_long_it_will_take() -> None:
    progress = studio.Progress(frames=50, seconds=2.0, total=10.0, elapsed=1.0)
    assert progress.left == 4.0
    assert studio.Progress(50, 2.0, None, 1.0).left is None
    assert studio.Progress(1, 0.04, 10.0, 0.0).left is None


def test_the_meter_is_silent_when_asked_and_else_says_what_it_knows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 6.0, 6.1, 12.0, 0.0, 100.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(clock))
    meter = terminal.Meter("a.mp4")
    for done in (1, 2, 3):
        meter.show(studio.Progress(50 * done, 2.0 * done, 10.0, 1.0 * done))
    assert capsys.readouterr().err.splitlines() == [
        "a.mp4: 50 frames, 2.0 s of about 10.0 s, 4.0 s to go",
        "a.mp4: 150 frames, 6.0 s of about 10.0 s, 2.0 s to go",
    ]
    quiet = terminal.Meter("a.mp4", quiet=True)
    quiet.show(studio.Progress(50, 2.0, 10.0, 1.0))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["say", "--help"], ["--help"], ["weights", "--help"]])
def test_help_speaks_chinese(words: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "huashen", *words], capture_output=True, text=True, check=True, env={**os.environ, "HUASHEN_LANG": "zh"}
    )
    assert ran.stdout.startswith("用法：huashen")
    for line in ran.stdout.splitlines():
        assert not line.strip() or re.search("[\u4e00-\u9fff]", line), f"not in Chinese: {line}"


def test_a_mistyped_line_is_answered_in_chinese(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HUASHEN_LANG", "zh")
    config.language.cache_clear()
    for words, said in (
        (["sya"], "没有命令“sya”（'say'？）；请看：huashen --help"),
        (["sync"], "缺少 SOUND；请看：huashen sync --help"),
        (["say", "你", "好"], "多余的参数：好；含空格的文本请加引号；请看：huashen say --help"),
    ):
        assert run(capsys, *words) == (2, "", f"huashen: {said}\n")

"""Bad input gets one clear line and the right exit code, and leaves nothing behind."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huashen import cli, config, studio


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty folder to work in, in English."""
    monkeypatch.setenv("HUASHEN_LANG", "en")
    monkeypatch.chdir(tmp_path)
    config.language.cache_clear()
    yield tmp_path
    config.language.cache_clear()


@pytest.fixture
def portrait(place: Path, astronaut: Image.Image) -> str:
    """A picture with a face."""
    astronaut.save(place / "me.png")
    return "me.png"


def write_wave(path: Path, samples: np.ndarray, rate: int = 16000) -> str:
    """Write a sound file and return its name."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path.name


def refused(capsys: pytest.CaptureFixture[str], place: Path, *words: str) -> tuple[int, str]:
    """Run a line that cannot work; return its exit code and its one line, having seen that the folder is as it was."""
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    code = cli.main(list(words))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, f"more than one line: {err}"
    assert err.startswith("huashen: ")
    assert "Traceback" not in err
    assert "unforeseen" not in err
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before, "something was left behind"
    return code, err.removeprefix("huashen: ").strip()


SAY = ["say", "hi", "-o", "a.mp4", "--face"]


def test_no_such_picture(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    assert refused(capsys, place, *SAY, "nobody.jpg") == (2, "there is no file nobody.jpg; check the name")


def test_a_text_file_is_no_picture(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    (place / "notes.jpg").write_text("not a picture\n" * 100)
    code, said = refused(capsys, place, *SAY, "notes.jpg")
    assert code == 2
    assert "notes.jpg is not a picture" in said


def test_an_empty_file_is_no_picture(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    (place / "empty.png").touch()
    assert refused(capsys, place, *SAY, "empty.png")[0] == 2


def test_a_picture_without_a_face_is_named_and_a_box_offered(
    capsys: pytest.CaptureFixture[str], place: Path, astronaut: Image.Image
) -> None:
    Image.fromarray(np.linspace(0, 255, 300 * 400 * 3).reshape(300, 400, 3).astype(np.uint8)).save(place / "wall.png")
    code, said = refused(capsys, place, *SAY, "wall.png")
    assert code == 2
    assert "wall.png" in said
    assert "--box" in said


def test_a_face_that_is_not_there_cannot_be_chosen(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    code, said = refused(capsys, place, *SAY, portrait, "--which", "7")
    assert (code, "me.png" in said) == (2, True)


@pytest.mark.parametrize("box", ["0,0,9999,9999", "10,10,5,5"])
def test_a_box_outside_the_picture(box: str, capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    code, said = refused(capsys, place, *SAY, portrait, "--box", box)
    assert (code, "me.png" in said) == (2, True)


SYNC = ["--face", "me.png", "-o", "a.mp4"]


def test_no_such_sound(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    assert refused(capsys, place, "sync", "no.wav", *SYNC) == (2, "there is no file no.wav; check the name")


def test_a_sound_without_samples(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    code, said = refused(capsys, place, "sync", write_wave(place / "empty.wav", np.zeros(0)), *SYNC)
    assert (code, "empty.wav" in said) == (2, True)


@pytest.mark.parametrize("level", [0.0, 0.001])
def test_a_silent_sound(level: float, capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    noise = level * np.random.default_rng(1).uniform(-1, 1, 32000)
    code, said = refused(capsys, place, "sync", write_wave(place / "quiet.wav", noise), *SYNC)
    assert (code, said.startswith("quiet.wav is silent")) == (2, True)


def test_a_picture_is_no_sound(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    code, said = refused(capsys, place, "sync", portrait, *SYNC)
    assert (code, "me.png" in said) == (2, True)


@pytest.mark.parametrize("text", ["", "   \n\n", "😀🎉", "…!?。", "\u200b"])
def test_a_text_with_nothing_to_say(text: str, capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    code, said = refused(capsys, place, "say", text, *SYNC)
    assert (code, "nothing to say" in said) == (2, True)


def test_a_file_with_nothing_to_say(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    (place / "t.txt").write_text("\n😀\n")
    assert refused(capsys, place, "say", "--file", "t.txt", *SYNC)[0] == 2
    assert refused(capsys, place, "say", "--file", "missing.txt", *SYNC)[0] == 2
    assert refused(capsys, place, "say", "--file", ".", *SYNC)[0] == 2


def test_a_text_over_the_limit(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    (place / "long.txt").write_text("a" * (studio.MAX_CHARACTERS + 1))
    code, said = refused(capsys, place, "say", "--file", "long.txt", *SYNC)
    assert (code, "1,000,000" in said) == (2, True)


def test_bytes_that_are_no_text(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    code, said = refused(capsys, place, "say", "hi \udce4\udcbd there", *SYNC)
    assert (code, "Unicode" in said) == (2, True)


@pytest.mark.parametrize(
    ("option", "value", "listed"),
    [
        ("--lang", "xx", "zh"),
        ("--voice", "nobody", "female"),
        ("--tts", "nobody", "espeak"),
        ("--driver", "nobody", "visemes"),
        ("--engine", "nobody", "puppet"),
        ("--subtitles", "maybe", "burn"),
    ],
)
def test_unknown_names_are_refused_and_the_others_listed(
    option: str, value: str, listed: str, capsys: pytest.CaptureFixture[str], place: Path, portrait: str
) -> None:
    code, said = refused(capsys, place, "say", "hi", *SYNC, option, value)
    assert code == 2
    assert value in said
    assert listed in said


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--fps", v) for v in ("0", "-5", "1000", "nan", "inf", "x", "30/0", "", "1e-9")),
        *(("--size", v) for v in ("0", "-1", "3", "99999", "63x64", "64x5000", "x", "512x", "0p", "1e3", "")),
        *(("--speed", v) for v in ("0", "-1", "100", "nan", "inf", "fast", "")),
    ],
)
def test_absurd_numbers(option: str, value: str, capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    code, said = refused(capsys, place, "say", "hi", *SYNC, f"{option}={value}")
    assert code == 2
    assert option.strip("-") in said or "video of" in said


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("missing/a.mp4", "the folder missing does not exist; make it first"),
        ("a.xyz", ".mp4"),
        ("a", ".mp4"),
        (".mp4", ".mp4"),
        ("folder.mp4", "is a folder"),
        ("there.mp4", "there.mp4 exists; add -y"),
        ("me.gif", "is the input itself"),
        ("n" * 300 + ".mp4", "too long"),
    ],
)
def test_places_that_cannot_be_written(
    out: str, said: str, capsys: pytest.CaptureFixture[str], place: Path, astronaut: Image.Image
) -> None:
    (place / "folder.mp4").mkdir()
    (place / "there.mp4").touch()
    astronaut.resize((64, 64)).save(place / "me.gif")
    overwrite = ["-y"] if out == "me.gif" else []
    code, line = refused(capsys, place, "say", "hi", "--face", "me.gif", "-o", out, *overwrite)
    assert code == 4
    assert said in line


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--fps", "99", "10 to 30 frames a second, not 99"),
        ("--size", "2000", "128 to 1280 pixels"),
        ("--engine", "nonsense", "talking_head has no engine 'nonsense'"),
        ("--tts", "nonsense", "tts has no engine 'nonsense'"),
        ("--voice", "nonsense", "no language or voice 'nonsense'"),
    ],
)
def test_a_live_session_that_could_not_begin_is_told_before_the_page_opens(
    option: str, value: str, told: str, capsys: pytest.CaptureFixture[str], place: Path, portrait: str
) -> None:
    code, said = refused(capsys, place, "live", "--face", portrait, "--no-browser", "-q", option, value)
    assert code == 2
    assert told in said


def test_existing_subtitles_are_not_replaced_unasked(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    (place / "a.srt").write_text("mine")
    code, said = refused(capsys, place, "say", "hi", *SYNC, "--subtitles", "file")
    assert (code, said.startswith("a.srt exists")) == (4, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="wants an ordinary user: root may write everywhere")
def test_a_folder_without_the_right_to_write(capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    (place / "closed").mkdir(mode=0o500)
    assert refused(capsys, place, "say", "hi", "--face", portrait, "-o", "closed/a.mp4")[0] == 4


@pytest.mark.parametrize("words", [["say", "hi"], ["say", "hi", "-o", "a.mp4"], ["say", "hi", "--face", "me.png"], ["say", *SYNC]])
def test_what_is_not_said_is_asked_for(words: list[str], capsys: pytest.CaptureFixture[str], place: Path, portrait: str) -> None:
    code, said = refused(capsys, place, *words)
    assert (code, any(option in said for option in ("-o", "--face", "--file"))) == (2, True)


def long_run(place: Path, *words: str, out: str = "a.mp4", **options: object) -> subprocess.Popen[str]:
    """Start a line whose video would take minutes."""
    (place / "long.txt").write_text("This sentence is said again and again. " * 2000)
    line = [sys.executable, "-m", "huashen", "say", "--file", "long.txt", "--face", "me.png", "-o", out, "--size", "96", *words]
    return subprocess.Popen(line, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options)  # type: ignore[call-overload,no-any-return]


def wait_for_writing(place: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the video has begun to be written."""
    end = time.monotonic() + 60
    while not [*place.glob(".huashen-*"), *place.glob("*.part/unfinished.mkv")]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("out", ["a.mp4", "a.gif"])
def test_being_stopped_leaves_nothing(number: signal.Signals, code: int, out: str, place: Path, portrait: str) -> None:
    process = long_run(place, "--subtitles", "file", out=out)
    wait_for_writing(place, process)
    before = set(_children(process.pid))
    os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)  # a terminal sends Ctrl-C to the whole group
    _, err = process.communicate(timeout=20)
    assert process.returncode == code, err
    lines = [line for line in err.splitlines() if "frames" not in line]
    assert lines == ["huashen: stopped; nothing was written"]
    assert sorted(path.name for path in place.iterdir()) == ["long.txt", "me.png"]
    assert not [pid for pid in before if Path(f"/proc/{pid}").exists()], "a process was left behind"


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


@pytest.mark.parametrize("out", ["a.mp4", "a.webm", "a.gif"])
def test_a_disk_that_fills_up_leaves_nothing(out: str, place: Path, portrait: str) -> None:
    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing past the limit fails with EFBIG, as a full disk does with ENOSPC
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    process = long_run(place, out=out, preexec_fn=small)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4, err
    lines = [line for line in err.splitlines() if "frames" not in line]
    assert lines == [f"huashen: no room left on the disk while writing {out}; free some and run again"]
    assert sorted(path.name for path in place.iterdir()) == ["long.txt", "me.png"]


@pytest.mark.skipif(os.geteuid() != 0, reason="wants root to mount a small file system")
def test_a_full_file_system_leaves_nothing(place: Path, portrait: str) -> None:
    (place / "small").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "huashen-test", "small"], cwd=place, capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"wants the right to mount: {mounted.stderr.strip()}")
    try:
        process = long_run(place, out="small/a.mp4")
        _, err = process.communicate(timeout=120)
        assert process.returncode == 4, err
        assert "no room left on the disk while writing small/a.mp4" in err
        assert list((place / "small").iterdir()) == []
    finally:
        subprocess.run(["umount", "small"], cwd=place, check=True)


def test_odd_sizes_become_even(place: Path, astronaut: Image.Image, capsys: pytest.CaptureFixture[str]) -> None:
    astronaut.resize((201, 199)).save(place / "odd.png")
    assert cli.main(["say", "hi", "--face", "odd.png", "-o", "a.mp4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == [200, 198]


def test_a_reader_that_goes_away_is_no_error_worth_words(place: Path) -> None:
    line = f"{sys.executable} -m huashen voices --tts espeak | head -n 1"
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("female\n", "")

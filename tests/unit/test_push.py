"""Outputs of a channel and its play-list; a real RTMP server where Debian's nginx with its module is here."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from huashen import media
from huashen.errors import InputError, OutputError, UnreadableError
from huashen.server import playlist
from huashen.server.playlist import Entry, Playlist
from huashen.server.push import Condition, Output, outputs
from huashen.types import Audio, Frame

FPS, RATE, SIZE = Fraction(25), 22_050, (64, 48)
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


def frame(k: int) -> Frame:
    """White with a loud tone in every second half second, else black and silent: sound and picture can be compared."""
    loud = k // 12 % 2 == 1
    image = np.full((SIZE[1], SIZE[0], 3), 235 if loud else 16, np.uint8)
    t = np.arange(RATE // 25) / RATE
    return Frame(image, Audio((0.5 * loud * np.sin(2 * np.pi * 441 * t)).astype(np.float32), RATE), k)


def push(output: Output, count: int, start: int = 0) -> None:
    for k in range(start, start + count):
        output.put(frame(k))
        until = time.monotonic() + 60
        while len(output._frames) > 10 and time.monotonic() < until:
            time.sleep(0.002)


def until(output: Output, k: int, met: Callable[[Condition], bool]) -> int:
    """Push frames from k on, faster than they are shown, until a condition is met; return the next frame."""
    end = time.monotonic() + 60
    while not met(output.condition()):
        assert time.monotonic() < end, output.condition()
        output.put(frame(k))
        k += 1
        time.sleep(0.02)
    return k


def received(path: Path) -> tuple[list[float], list[float], np.ndarray, np.ndarray]:
    """Return (time of each picture, its brightness) and (times, loudness) of the sound in steps of 10 ms; times must rise."""
    shown, bright, heard, loud = [], [], [], []
    with av.open(str(path)) as container:
        for part in container.decode():
            if isinstance(part, av.VideoFrame):
                shown.append(float(part.time))
                bright.append(float(part.to_ndarray(format="gray").mean()))
            else:
                samples = part.to_ndarray().reshape(-1)
                step = part.sample_rate // 100
                for i in range(0, len(samples) - step, step):
                    heard.append(float(part.time) + i / part.sample_rate)
                    loud.append(float(np.sqrt(np.mean(samples[i : i + step] ** 2))))
    assert all(np.diff(shown) > 0)
    return shown, bright, np.array(heard), np.array(loud)


def skew(path: Path) -> float:
    """Return by how many seconds the sound comes after the picture: where both change."""
    shown, bright, heard, loud = received(path)
    light = [shown[k] for k in range(1, len(shown)) if (bright[k] > 100) != (bright[k - 1] > 100)]
    tone = [heard[k] for k in range(1, len(heard)) if (loud[k] > 0.1) != (loud[k - 1] > 0.1)]
    assert len(light) >= 3
    gaps = [min(tone, key=lambda t: abs(t - at)) - at for at in light]
    return float(np.median(gaps))


@pytest.mark.parametrize("ending", ["mp4", "mkv", "flv", "ts"])
def test_a_recording_holds_every_frame_in_time_with_its_sound(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    output = Output(str(path), SIZE, FPS, RATE, title="me")
    push(output, 100)
    output.end()
    assert output.condition().state == "ended"
    assert output.condition().frames == 100
    shown = received(path)[0]
    assert len(shown) == 100
    assert np.allclose(np.diff(shown), 0.04, atol=0.0015)
    assert abs(skew(path)) < 0.045
    if ending in ("mp4", "mkv"):
        assert media.provenance(path)["synthetic"] == "true"


def test_a_recording_that_is_cut_off_can_be_seen_up_to_its_last_key_picture(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    output = Output(str(path), SIZE, FPS, RATE)
    push(output, 220)
    until = time.monotonic() + 60
    while output.condition().frames < 220 and time.monotonic() < until:
        time.sleep(0.01)
    kept = tmp_path / "killed.mp4"
    shutil.copy(path, kept)  # what a kill would leave
    output.end()
    with av.open(str(kept)) as container:
        count = sum(1 for _ in container.decode(video=0))
    assert count >= 150


def test_missing_frames_leave_sound_and_picture_together(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    output = Output(str(path), SIZE, FPS, RATE)
    push(output, 60)
    push(output, 100, start=90)
    output.end()
    shown = received(path)[0]
    assert max(np.diff(shown)) == pytest.approx(31 * 0.04, abs=0.01)
    assert abs(skew(path)) < 0.045


def test_hls_keeps_a_window_and_deletes_what_is_older(tmp_path: Path) -> None:
    folder = tmp_path / "hls"
    output = Output(f"{folder}/", SIZE, FPS, RATE)
    push(output, 25 * 30)
    output.end()
    lines = (folder / "live.m3u8").read_text().splitlines()
    parts = [line for line in lines if line.endswith(".ts")]
    assert lines[0] == "#EXTM3U"
    assert len(parts) == 8
    assert parts[-1] == "part000014.ts"
    assert {path.name for path in folder.glob("*.ts")} >= set(parts)
    assert len(list(folder.glob("*.ts"))) <= 10
    assert abs(skew(folder / parts[0])) < 0.045


def test_a_server_that_does_not_answer_never_holds_up_the_session(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        output = Output(f"rtmp://127.0.0.1:{deaf.getsockname()[1]}/live/key", SIZE, FPS, RATE)
        for k in range(1000):  # returns although nothing is taken
            output.put(frame(k))
        assert len(output._frames) <= 5 * 25
        assert output.condition().frames == 0
        assert output.condition().state in ("connecting", "lost")
        output.end()
        assert not output._thread.is_alive()
        assert output.condition().state == "ended"


def test_a_server_that_is_not_there_is_tried_again_without_telling_the_key(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    output = Output(f"rtmp://127.0.0.1:{port}/live/secretkey", SIZE, FPS, RATE)
    k = 0
    until = time.monotonic() + 60
    while len(caplog.records) < 2 and time.monotonic() < until:
        output.put(frame(k))
        k += 1
        time.sleep(0.02)
    output.end()
    assert len(caplog.records) >= 2
    assert "secretkey" not in caplog.text + output.condition().error + output.condition().name
    assert f"127.0.0.1:{port}" in caplog.text


def test_what_cannot_be_pushed_to_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rtmp://"):
        Output("http://example.org/x", SIZE, FPS, RATE)
    with pytest.raises(OutputError, match=r"\.mp4"):
        Output(str(tmp_path / "out.avi"), SIZE, FPS, RATE)
    with pytest.raises(OutputError, match="no folder"):
        Output(str(tmp_path / "nowhere" / "out.mp4"), SIZE, FPS, RATE)
    before = threading.active_count()
    with pytest.raises(InputError):
        outputs([str(tmp_path / "a.mp4"), "http://example.org/x"], SIZE, FPS, RATE, title="")
    assert threading.active_count() == before


RELAY = """
import shutil, sys, time
come = sys.stdin.buffer
come.readline()
come.read(int(come.readline()))
time.sleep(1.5)
sys.stdout.buffer.write(b"+")
sys.stdout.buffer.flush()
with open(sys.argv[1], "wb") as file:
    shutil.copyfileobj(come, file)
"""
"""Takes what a relay takes, is slow to connect, and writes the stream to a file."""


def test_a_stream_begins_whole_when_a_connection_took_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "got.flv"
    monkeypatch.setattr("huashen.server.push._relay", lambda kind: [sys.executable, "-c", RELAY, str(path)])
    dice = np.random.default_rng(0)
    images = dice.integers(0, 256, (8, 240, 320, 3), np.uint8)  # noise: a second of it does not fit into a pipe
    silence = Audio(np.zeros(RATE // 25, np.float32), RATE)
    output = Output("rtmp://nowhere/live/key", (320, 240), FPS, RATE)
    k, waiting, end = 0, 0, time.monotonic() + 60
    while output.condition().frames < 50:
        assert time.monotonic() < end, output.condition()
        output.put(Frame(images[k % 8], silence, k))
        waiting = max(waiting, len(output._frames))
        k += 1
        time.sleep(0.02)
    output.end()
    assert output.condition().dropped == 0
    assert waiting < 25
    assert np.diff(received(path)[0]) == pytest.approx(0.04, abs=0.0015)


def test_pictures_that_wait_too_long_are_left_out_and_their_memory_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = RELAY.replace("time.sleep(1.5)", "").replace("shutil.copyfileobj(come, file)", "time.sleep(60)")
    monkeypatch.setattr("huashen.server.push._relay", lambda kind: [sys.executable, "-c", stuck, "/dev/null"])
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    output = Output("rtmp://nowhere/live/key", (320, 240), FPS, RATE)
    until(output, 0, lambda now: now.state == "running")
    for k in range(1000, 1300):
        output.put(Frame(noise, Audio(np.zeros(RATE // 25, np.float32), RATE), k))
    assert len(output._frames) == 125
    assert [one.image.size > 0 for one in output._frames] == [False] * 99 + [True] * 26
    assert sum(len(one.audio.samples) for one in output._frames) == 125 * RATE // 25
    assert output._relay is not None
    output._relay.kill()
    output.end()


# --- a real RTMP server ------------------------------------------------------------------------------------------------------------


class Nginx:
    """Debian's nginx with its RTMP module, on a free port, recording what comes."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = folder
        (folder / "got").mkdir()
        (folder / "got").chmod(0o777)
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;\n"
            f"load_module {MODULE};\nevents {{ worker_connections 64; }}\n"
            f"rtmp {{ server {{ listen 127.0.0.1:{self.port}; application live {{ live on; record all; record_path {folder}/got; "
            "record_unique on; } } }\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["/usr/sbin/nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("nginx does not answer")

    def stop(self, *, kill: bool = False) -> None:
        if self.process is not None:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait()
            self.process = None

    def recordings(self) -> list[Path]:
        return sorted((self.folder / "got").glob("*.flv"), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    if not MODULE.exists() or not Path("/usr/sbin/nginx").exists():
        pytest.skip("wants nginx with its RTMP module: apt install nginx libnginx-mod-rtmp")
    server = Nginx(tmp_path)
    server.start()
    yield server
    server.stop()


def test_rtmp_arrives_in_step_and_goes_on_after_the_server_was_killed(nginx: Nginx, caplog: pytest.LogCaptureFixture) -> None:
    output = Output(f"rtmp://127.0.0.1:{nginx.port}/live/key", SIZE, FPS, RATE)
    k = until(output, 0, lambda now: now.frames >= 150)
    nginx.stop(kill=True)
    k = until(output, k, lambda now: now.state == "lost")
    nginx.start()
    k = until(output, k, lambda now: now.connections == 2)
    begun = output.condition().frames
    until(output, k, lambda now: now.frames >= begun + 100)
    output.end()
    nginx.stop()
    first, second = nginx.recordings()
    assert np.diff(received(second)[0]) == pytest.approx(0.04, abs=0.0015)  # nothing is missing after the new connection either
    assert -0.1 < skew(first) < 0.045
    assert -0.1 < skew(second) < 0.045
    assert "key" not in caplog.text


@pytest.mark.parametrize("kind", ["srt", "rtsp"])
def test_srt_and_rtsp_arrive_in_step(kind: str, tmp_path: Path) -> None:
    """The receiver is ffmpeg, listening."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("wants the program ffmpeg, which listens")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = tmp_path / "got.mkv"
    listening = {"srt": [f"srt://127.0.0.1:{port}?mode=listener"], "rtsp": [f"rtsp://127.0.0.1:{port}/live"]}[kind]
    options = ["-rtsp_flags", "listen"] if kind == "rtsp" else []
    receiver = subprocess.Popen(
        ["ffmpeg", "-loglevel", "error", *options, "-i", *listening, "-c", "copy", "-t", "5", "-y", str(path)], stderr=subprocess.DEVNULL
    )
    try:
        output = Output(listening[0].removesuffix("?mode=listener"), SIZE, FPS, RATE)
        k, end = 0, time.monotonic() + 60
        while receiver.poll() is None and time.monotonic() < end:
            output.put(frame(k))
            k += 1
            time.sleep(0.025)
        output.end()
    finally:
        receiver.kill()
        receiver.wait()
    assert -0.1 < skew(path) < 0.045


# --- the play-list -----------------------------------------------------------------------------------------------------------------


def test_a_play_list_is_read_in_both_languages(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\ufeff# morning\nsay: Hello: you!\n\nclips/a.mp4\npause: 2.5\n说：你好。\n停：1\n", encoding="utf-8")
    clip = str(tmp_path / "clips/a.mp4")
    wanted = [("say", "Hello: you!", 2), ("clip", clip, 4), ("pause", "2.5", 5), ("say", "你好。", 6), ("pause", "1", 7)]
    assert playlist.read(path) == [Entry(*row) for row in wanted]  # type: ignore[arg-type]


def test_a_play_list_that_means_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    for text, error in (("", "no items"), ("pause: soon", "line 1"), ("say: hi\npause: -1", "line 2")):
        path.write_text(text)
        with pytest.raises(InputError, match=error):
            playlist.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableError, match="UTF-8"):
        playlist.read(path)
    with pytest.raises(UnreadableError):
        playlist.read(tmp_path / "none.txt")


class Line:
    """A session as far as a play-list sees it: what stands in the line is over when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.over = 0

    @property
    def waiting(self) -> int:
        return len(self.asked) - self.over

    def say(self, text: str) -> None:
        self.asked.append(text)

    def play(self, path: str) -> None:
        if not Path(path).exists():
            raise UnreadableError(f"{path} is not there")
        self.asked.append(path)


def wait(what: "object", seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:  # type: ignore[operator]
        time.sleep(0.01)
    assert what()  # type: ignore[operator]


def test_a_play_list_goes_round_two_ahead_passes_over_mistakes_and_heeds_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playlist, "LOOK", 0.005)
    path = tmp_path / "list.txt"
    path.write_text("say: one\nmissing.mp4\nsay: two\n")
    line = Line()
    played = Playlist(line, path)  # type: ignore[arg-type]
    played.begin()
    wait(lambda: line.asked == ["one", "two"])
    time.sleep(0.05)
    assert line.asked == ["one", "two"], "no more than two ahead"
    line.over = 2
    wait(lambda: line.asked == ["one", "two", "one", "two"])
    assert "line 2" in caplog.text
    assert "missing.mp4" in caplog.text
    path.write_text("say: new\n")
    line.over = 4
    wait(lambda: "new" in line.asked)
    path.write_text("pause: soon\n")
    line.over = len(line.asked)
    wait(lambda: "goes on as it was" in caplog.text)
    played.end()
    assert not any(thread.name == "play-list" for thread in threading.enumerate())

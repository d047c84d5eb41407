"""A video made in parts: stopped anywhere, it goes on, and comes out as if it had been made in one go."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from test_media import film, psnr, scene

from huashen import media, parts
from huashen.errors import InputError, OutputError
from huashen.types import Audio, Frame, Video

FPS = Fraction(30000, 1001)
RATE = 22050
SIZE = (128, 128)  # at 96×64 libx264 itself is not the same from run to run


def made(count: int, *, begin: int = 0, size: tuple[int, int] = SIZE, rate: int = RATE) -> Video:
    """A film with a tone that never repeats, from one of its frames on."""
    whole = film(count, FPS, size, rate)

    def sounding(frame: Frame) -> Frame:
        first = -(-(frame.index * rate * FPS.denominator) // FPS.numerator)
        n = np.arange(first, first + len(frame.audio.samples))
        return Frame(frame.image, Audio((0.4 * np.sin(n * n / 4e6) + 0.3 * np.sin(n / 9)).astype(np.float32), rate), frame.index)

    frames = map(sounding, islice(whole.frames, begin, None))
    return Video(frames, FPS, size, rate, count)


def write(
    goal: Path, count: int, *, stop: int | None = None, resume: bool = False, overwrite: bool = True, key: str = "k", rate: int = RATE
) -> int:
    """Make the film; return the frame it began at."""

    def on_frame(number: int) -> None:
        if number == stop:
            raise KeyboardInterrupt

    with parts.going_on(goal, key, resume=resume, overwrite=overwrite) as found:
        begun = found.frames
        found.write(made(count, begin=begun, rate=rate), title="t", engine="e", on_frame=on_frame)
    return begun


def packets(path: Path) -> list[tuple[str, int | None, int | None, bytes]]:
    with av.open(path) as container:
        return [(p.stream.type, p.pts, p.dts, bytes(p)) for p in container.demux() if p.size]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SECONDS", 1)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm"])
def test_two_goes_make_what_one_makes(tmp_path: Path, ending: str) -> None:
    one, two = tmp_path / f"one{ending}", tmp_path / f"two{ending}"
    assert write(one, 100) == 0
    begun = []
    for stop in (47, 50, 95):  # each time the part that is being written is lost, and no more
        with pytest.raises(KeyboardInterrupt) as caught:
            begun.append(write(two, 100, stop=stop, resume=True))
        assert "two" in "".join(caught.value.__notes__)
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"one{ending}", f"two{ending}.part"]
    assert write(two, 100, resume=True) == 90
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"one{ending}", f"two{ending}"]
    assert packets(one) == packets(two)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("rate", [RATE, 0])
def test_parts_are_joined_without_a_seam(tmp_path: Path, ending: str, rate: int) -> None:
    joined, plain = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    write(joined, 75, rate=rate)
    media.write_video(made(75, rate=rate), plain)
    a, b = media.read_video(joined), media.read_video(plain)
    assert (a.fps, a.size, a.rate) == (b.fps, b.size, b.rate)
    frames = list(zip(a.frames, b.frames, strict=True))
    assert len(frames) == 75
    for k, (ours, theirs) in enumerate(frames):
        assert psnr(ours.image, scene(SIZE, 3 * k)) > 33
        np.testing.assert_array_equal(ours.audio.samples, theirs.audio.samples)
    times = [p[1] for p in packets(joined) if p[0] == "video"]
    assert sorted(times) == sorted(p[1] for p in packets(plain) if p[0] == "video")
    assert all(dts is None or pts is None or dts <= pts for _, pts, dts, _ in packets(joined))
    assert media.provenance(joined)["engine"] == "e"


def test_killed_outright_it_goes_on(tmp_path: Path) -> None:
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_parts import *
        parts.SECONDS = 1
        with parts.going_on(Path({str(tmp_path / "a.mp4")!r}), "k", resume=False, overwrite=True) as found:
            found.write(made(100_000), title="t", engine="e", on_frame=lambda count: print(count, flush=True))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 70:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4.part"]
    shutil.copytree(tmp_path / "a.mp4.part", tmp_path / "half" / "a.mp4.part")
    begun = write(tmp_path / "a.mp4", 150, resume=True)
    assert begun >= 60
    assert begun % 30 == 0
    write(tmp_path / "one.mp4", 150)
    assert packets(tmp_path / "a.mp4") == packets(tmp_path / "one.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "half", "one.mp4"]
    # a part that is damaged is made again, with those after it
    damaged = tmp_path / "half" / "a.mp4.part" / "00000030-00000060.mkv"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    assert write(tmp_path / "half" / "a.mp4", 150, resume=True) == 30
    assert packets(tmp_path / "half" / "a.mp4") == packets(tmp_path / "one.mp4")


def stopped(tmp_path: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.mp4", 100, stop=70)
    return tmp_path / "a.mp4.part"


def test_what_was_made_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = stopped(tmp_path)
    before = sorted(folder.iterdir())
    with pytest.raises(InputError, match=r"a\.mp4\.part was made with other inputs or options"):
        write(tmp_path / "a.mp4", 100, resume=True, key="other")
    with pytest.raises(InputError, match="other inputs or options"):
        write(tmp_path / "a.mp4", 100, resume=True, rate=16000)
    assert sorted(folder.iterdir()) == before


def test_hours_of_work_are_not_thrown_away_unasked(tmp_path: Path) -> None:
    folder = stopped(tmp_path)
    with pytest.raises(OutputError, match=r"holds 2\.0 s of an unfinished video; add --resume"):
        write(tmp_path / "a.mp4", 100, overwrite=False)
    assert folder.is_dir()
    assert write(tmp_path / "a.mp4", 100) == 0
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_stopped_before_a_part_is_whole_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        write(tmp_path / "a.mp4", 100, stop=20)
    assert not getattr(caught.value, "__notes__", [])
    assert os.listdir(tmp_path) == []
    with pytest.raises(InputError, match="no frames"):
        write(tmp_path / "a.mp4", 0)
    assert os.listdir(tmp_path) == []


def test_stopped_while_joining_nothing_is_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(media, "join", stop)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "a.mp4", 60)
    assert write(tmp_path / "a.mp4", 60, resume=True) == 60
    assert len(list(media.read_video(tmp_path / "a.mp4").frames)) == 60


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    with parts.going_on(tmp_path / "a.mp4", "k", resume=False, overwrite=True) as found:
        with pytest.raises(OutputError, match=r"a\.mp4 is being written by another huashen"):
            write(tmp_path / "a.mp4", 30)
        found.write(made(40))
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_what_somebody_put_there_stays(tmp_path: Path) -> None:
    (tmp_path / "a.mp4.part").mkdir()
    (tmp_path / "a.mp4.part" / "notes.txt").write_text("mine")
    write(tmp_path / "a.mp4", 40)
    assert (tmp_path / "a.mp4.part" / "notes.txt").read_text() == "mine"

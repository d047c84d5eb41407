"""What is written comes back; what cannot be read is said in one line."""

import errno
import logging
import os
import signal
import struct
import subprocess
import sys
import textwrap
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pictures
from PIL import ImageCms

from huashen import media
from huashen.errors import EngineError, InputError, MissingPartError, NoSpeechError, OutputError, TooLargeError, UnreadableError
from huashen.flow import first_sample
from huashen.types import Audio, Frame, Image, Video

FILMS = (".mp4", ".mov", ".mkv", ".webm")


def scene(size: tuple[int, int], shift: int = 0) -> Image:
    """A smooth picture: every codec should keep it well."""
    x, y = np.meshgrid(np.arange(size[0]) + shift, np.arange(size[1]))
    return np.stack([128 + 100 * np.sin(x / 17), 128 + 100 * np.cos(y / 13), 128 + 80 * np.sin((x + y) / 29)], -1).astype(np.uint8)


def film(
    count: int = 20, fps: Fraction = Fraction(25), size: tuple[int, int] = (96, 64), rate: int = 16000, click: float | None = None
) -> Video:
    def frames() -> Iterator[Frame]:
        for k in range(count):
            begin, end = (first_sample(k, rate, fps), first_sample(k + 1, rate, fps)) if rate else (0, 0)
            samples = np.zeros(end - begin, np.float32)
            if click is not None and begin <= round(click * rate) < end:
                samples[round(click * rate) - begin] = 0.9
            yield Frame(scene(size, 3 * k), Audio(samples, rate), k)

    return Video(frames(), fps, size, rate, count)


def psnr(a: Image, b: Image) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


def wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """Write (n, channels) float sound as 16 bit."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def heard(path: Path, rate: int | None = None) -> np.ndarray:
    return np.concatenate([piece.samples for piece in media.read_audio(path, rate)])


# Video


@pytest.mark.parametrize("ending", FILMS)
@pytest.mark.parametrize("rate", [16000, 22050, 48000, 0])
def test_film_comes_back(tmp_path: Path, ending: str, rate: int) -> None:
    path = tmp_path / f"a{ending}"
    written = media.write_video(film(rate=rate, click=0.4), path, engine="puppet")
    assert (written.path, written.frames, written.size) == (path, 20, (96, 64))
    assert written.seconds == pytest.approx(0.8)
    assert os.listdir(tmp_path) == [path.name]
    video = media.read_video(path)
    frames = list(video.frames)
    assert (video.fps, video.size, len(frames), [f.index for f in frames]) == (25, (96, 64), 20, list(range(20)))
    for k, frame in enumerate(frames):
        assert psnr(frame.image, scene((96, 64), 3 * k)) > 33
    assert (video.rate > 0) == (rate > 0)
    if rate:
        for k, frame in enumerate(frames):
            assert len(frame.audio.samples) == first_sample(k + 1, video.rate, video.fps) - first_sample(k, video.rate, video.fps)
        sound = np.concatenate([f.audio.samples for f in frames])
        assert np.argmax(np.abs(sound)) / video.rate == pytest.approx(0.4, abs=0.001)  # coding delay is taken out
        alone = heard(path)
        assert np.argmax(np.abs(alone)) / video.rate == pytest.approx(0.4, abs=0.001)


def test_sound_of_any_rate_is_written(tmp_path: Path) -> None:
    for rate in (8000, 44100, 96000, 10007):
        media.write_video(film(5, rate=rate, click=0.1), tmp_path / "a.mp4")
        sound = heard(tmp_path / "a.mp4", 48000)
        assert np.argmax(np.abs(sound)) / 48000 == pytest.approx(0.1, abs=0.001)


def test_colours_are_bt709_in_limited_range_and_said_to_be(tmp_path: Path) -> None:
    red = np.full((32, 32, 3), (255, 0, 0), np.uint8)
    media.write_video(Video(iter([Frame(red, Audio(np.zeros(0, np.float32), 0), 0)]), Fraction(25), (32, 32), 0), tmp_path / "a.mp4")
    with av.open(tmp_path / "a.mp4") as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        planes = next(container.decode(video=0)).to_ndarray(format="yuv420p")
    # BT.709: Y = 16 + 219 · 0.2126, U = 128 − 224 · 0.2126 / 1.8556, V = 240
    assert np.abs(planes[0, 0].astype(int) - 63) <= 1
    assert np.abs(planes[32:40].astype(int) - 102).max() <= 2
    assert np.abs(planes[40:].astype(int) - 240).max() <= 2
    assert np.abs(next(media.read_video(tmp_path / "a.mp4").frames).image.astype(int) - red).max() <= 3


@pytest.mark.parametrize("ending", [*FILMS, ".gif"])
def test_odd_sizes_keep_every_pixel(tmp_path: Path, ending: str) -> None:
    written = media.write_video(film(3, size=(95, 63)), tmp_path / f"a{ending}")
    assert written.size == ((95, 63) if ending == ".gif" else (96, 64))
    frame = next(media.read_video(written.path).frames)
    assert frame.image.shape[:2] == written.size[::-1]
    assert psnr(frame.image[:63, :95], scene((95, 63))) > 30


@pytest.mark.parametrize(("fps", "kept"), [(Fraction(25), 12), (Fraction(10), 12), (Fraction(30), 6), (Fraction(60), 4)])
def test_gif_keeps_colours_and_time(tmp_path: Path, fps: Fraction, kept: int) -> None:
    media.write_video(film(12, fps), tmp_path / "a.gif")
    assert os.listdir(tmp_path) == ["a.gif"]
    with Pictures.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == kept
        lengths = []
        for k in range(kept):
            picture.seek(k)
            lengths.append(picture.info["duration"])
            step = 12 // kept
            assert psnr(np.asarray(picture.convert("RGB")), scene((96, 64), 3 * k * step)) > 28
        assert picture.info.get("loop") == 0
    assert sum(lengths) == pytest.approx(1000 * 12 / fps, abs=20)


def test_mp4_can_play_while_it_loads_and_says_what_it_is(tmp_path: Path) -> None:
    media.write_video(film(), tmp_path / "a.mp4", title="你好")
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(tmp_path / "a.mp4") as container:
        assert container.metadata["title"] == "你好"


@pytest.mark.parametrize("ending", media.VIDEO_ENDINGS)
def test_provenance_is_in_every_file(tmp_path: Path, ending: str) -> None:
    media.write_video(film(3), tmp_path / f"a{ending}", engine="espeak, puppet", metadata={"voice": "小明 {1}"})
    record = media.provenance(tmp_path / f"a{ending}")
    assert record["synthetic"] == "true"
    assert record["engine"] == "espeak, puppet"
    assert record["voice"] == "小明 {1}"
    assert record["generator"].startswith("Huashen ")
    assert record["digital_source_type"] == "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
    assert record["created"].endswith("Z")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_provenance_is_in_pictures_that_an_engine_made(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    media.write_image(path, scene((40, 30)))
    assert media.provenance(path) == {}
    media.write_image(path, scene((40, 30)), engine="pup<pet>")
    assert media.provenance(path)["engine"] == "pup<pet>"
    assert b"Iptc4xmpExt:DigitalSourceType" in path.read_bytes()
    assert psnr(media.read_image(path), scene((40, 30))) > 30


def test_xmp_of_an_mp4_is_a_box_of_its_own(tmp_path: Path) -> None:
    media.write_video(film(3), tmp_path / "a.mp4", engine="puppet")
    content, at, boxes = (tmp_path / "a.mp4").read_bytes(), 0, {}
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        boxes[kind] = content[at : at + length]
        at += length
    assert at == len(content)
    assert boxes[b"uuid"][8:24].hex() == "be7acfcb97a942e89c71999491e3afac"
    assert b"compositeSynthetic" in boxes[b"uuid"]


def test_unknown_endings_are_refused_before_any_work(tmp_path: Path) -> None:
    def frames() -> Iterator[Frame]:
        pytest.fail("work began")
        yield

    with pytest.raises(OutputError, match=r"\.mp4 \.mov \.mkv \.webm \.gif"):
        media.write_video(Video(frames(), Fraction(25), (96, 64), 0), tmp_path / "a.avi")
    with pytest.raises(OutputError, match="does not exist"):
        media.write_video(Video(frames(), Fraction(25), (96, 64), 0), tmp_path / "no" / "a.mp4")
    with pytest.raises(OutputError, match=r"\.png"):
        media.write_image(tmp_path / "a.xyz", scene((4, 4)))


@pytest.mark.parametrize("ending", media.VIDEO_ENDINGS)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_on_the_way_leaves_nothing(tmp_path: Path, ending: str, error: type[BaseException]) -> None:
    video = film(40)

    def frames() -> Iterator[Frame]:
        for frame in video.frames:
            if frame.index == 30:
                raise error
            yield frame

    with pytest.raises(error):
        media.write_video(Video(frames(), video.fps, video.size, video.rate), tmp_path / f"a{ending}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_a_video_without_frames_and_one_that_breaks_its_word(tmp_path: Path, ending: str) -> None:
    with pytest.raises(InputError, match="no frames"):
        media.write_video(film(0), tmp_path / f"a{ending}")
    wrong = Video(film(3).frames, Fraction(25), (64, 64), 16000)
    with pytest.raises(EngineError, match="64×64"):
        media.write_video(wrong, tmp_path / f"a{ending}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_a_full_disk_is_said_and_nothing_left(tmp_path: Path, ending: str) -> None:
    """The limit on a file's size stands in for the disk's end: writing fails in the same places."""
    script = f"""
        import resource, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_media import film, media
        from huashen.errors import OutputError
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            media.write_video(film(60, size=(320, 240)), {str(tmp_path / ("a" + ending))!r})
        except OutputError as error:
            print(error)
    """
    english = {**os.environ, "HUASHEN_LANG": "en"}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, env=english)
    assert done.returncode == 0, done.stderr
    assert "no room left on the disk while writing" in done.stdout
    assert os.listdir(tmp_path) == []


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    script = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_media import film, media
        media.write_video(film(100000), {str(tmp_path / "a.mp4")!r}, on_frame=lambda count: print("frame", flush=True))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(20):
        assert process.stdout.readline() == b"frame\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert os.listdir(tmp_path) == []


def test_writing_counts_its_frames(tmp_path: Path) -> None:
    seen: list[int] = []
    media.write_video(film(4), tmp_path / "a.mp4", on_frame=seen.append)
    assert seen == [1, 2, 3, 4]


def test_varying_frame_rate_becomes_constant_by_timestamps(tmp_path: Path) -> None:
    shown = [0, 40, 80, 200, 240, 400]  # ms; 25 fps with frames left out
    with av.open(tmp_path / "a.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for k, time in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * k, np.uint8), "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video = media.read_video(tmp_path / "a.mkv", fps=Fraction(25))
    got = [round(float(frame.image.mean()) / 40) for frame in video.frames]
    assert got == [0, 1, 2, 2, 2, 3, 4, 4, 4, 4, 5]
    half = media.read_video(tmp_path / "a.mkv", fps=Fraction(25, 2))
    assert [round(float(frame.image.mean()) / 40) for frame in half.frames] == [1, 2, 3, 4, 4, 5]
    assert media.read_video(tmp_path / "a.mkv").fps == 25  # the ticks the frames lie on, not their mean


def turn(path: Path, quarters: int) -> None:
    """Say in an MP4 that it is to be shown turned by quarters clockwise."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix of a version 0 track header: x' = a·x + c·y, y' = b·x + d·y
    a, b = [(0, 1), (-1, 0), (0, -1)][quarters - 1]
    struct.pack_into(">9i", content, at, a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_phones_rotation_is_applied(tmp_path: Path, quarters: int) -> None:
    media.write_video(film(2, rate=0), tmp_path / "a.mp4")
    turn(tmp_path / "a.mp4", quarters)
    video = media.read_video(tmp_path / "a.mp4")
    upright = np.rot90(scene((96, 64)), -quarters)
    assert video.size == upright.shape[1::-1] == media.probe(tmp_path / "a.mp4").size
    assert psnr(next(video.frames).image, upright) > 33

# Footage as phones, cameras and broadcasters make it


def encoded(
    path: Path, pictures: list[np.ndarray], *, codec: str = "libx264", pix_fmt: str = "yuv420p", given: str = "rgb24",
    options: dict[str, str] | None = None, tags: dict[str, int] | None = None, fields: str = "",
) -> Path:
    """Write pictures 25 a second, with tags of the stream (colorspace, color_primaries, color_trc, color_range) and an order of fields."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        planar = given.startswith("yuv")
        stream.height, stream.width = pictures[0].shape[1:] if planar else pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for k, picture in enumerate(pictures):
            frame = planes_as_frame(picture, given) if planar else av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), given)
            if given != pix_fmt:
                frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = k, Fraction(1, 25)
            if fields:
                graph = av.filter.Graph()
                source = graph.add("buffer", video_size=f"{frame.width}x{frame.height}", pix_fmt=pix_fmt, time_base="1/25")
                graph.link_nodes(source, graph.add("setfield", fields), graph.add("buffersink")).configure()
                graph.push(frame)
                frame = graph.vpull()
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def planes_as_frame(planes: np.ndarray, pix_fmt: str) -> av.VideoFrame:
    """Fill a frame of full-size planes (3, h, w)."""
    frame = av.VideoFrame(planes.shape[2], planes.shape[1], pix_fmt)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    return frame


def shown(path: Path) -> list[Image]:
    return [frame.image for frame in media.read_video(path).frames]


EXACT = {"preset": "ultrafast", "crf": "4"}


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_two_fields_become_one_moment(tmp_path: Path, order: str) -> None:
    moments = [scene((96, 64), 4 * k) for k in range(24)]  # fifty a second
    woven = []
    for k in range(12):
        first, second = (0, 1) if order == "tff" else (1, 0)
        picture = moments[2 * k].copy()
        picture[second::2] = moments[2 * k + 1][second::2]
        assert np.array_equal(picture[first::2], moments[2 * k][first::2])
        woven.append(picture)
    path = encoded(tmp_path / "a.mp4", woven, pix_fmt="yuv444p", options=EXACT | {"x264-params": "interlaced=1"}, fields=order)
    got = shown(path)
    assert len(got) == 12
    combed = min(psnr(woven[k], moments[2 * k]) for k in range(12))
    assert min(psnr(got[k], moments[2 * k]) for k in range(1, 11)) > combed + 8
    for begin in (0, 1, 5, 11):  # wherever it is entered, the same frames
        for k, picture in zip(range(begin, 12), media.read_images(path, begin, fps=Fraction(25)), strict=True):
            np.testing.assert_array_equal(picture, got[k])


def test_progressive_frames_among_fields_stay_as_they_are(tmp_path: Path) -> None:
    plain = [scene((96, 64), 4 * k) for k in range(10)]
    with av.open(encoded(tmp_path / "a.mp4", plain, options=EXACT)) as container:
        frames = list(container.decode(video=0))
    want = [frame.to_ndarray(format="yuv420p") for frame in frames]
    got = [frame.to_ndarray(format="yuv420p") for frame in media._flat_frames(frames)]
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_brought_to_an_ordinary_screen(
    tmp_path: Path, transfer: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """White of 203 nits, greys and BT.709's own red and skin, signalled as BT.2100, come out as on an ordinary screen."""
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # ITU-R BT.2087
    screen = np.array([[0.2, 0.2, 0.2], [0.5, 0.5, 0.5], [0.6, 0.42, 0.33], [0.6, 0.1, 0.1], [0.1, 0.1, 0.6]])
    nits = (screen**2.4) @ to_2020.T * 203
    if transfer == 16:  # SMPTE ST 2084
        power = (nits / 10_000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    else:  # BT.2100: undo the system's gamma, then the camera's curve
        luma = nits / 1000 @ np.array([0.2627, 0.6780, 0.0593])
        light = nits / 1000 * luma[:, None] ** (1 / 1.2 - 1)
        signal = np.where(light <= 1 / 12, np.sqrt(3 * light), 0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9)) + 0.55991073)
    bars = np.repeat(np.repeat(signal[None], 64, 0), 16, 1)
    kr, kb = 0.2627, 0.0593
    luma = bars @ np.array([kr, 1 - kr - kb, kb])
    planes = np.stack([luma * 876 + 64, (bars[..., 2] - luma) / (2 - 2 * kb) * 896 + 512, (bars[..., 0] - luma) / (2 - 2 * kr) * 896 + 512])
    path = encoded(tmp_path / "a.mkv", [np.rint(planes).astype(np.uint16)] * 3, codec="ffv1", pix_fmt="yuv444p10le", given="yuv444p10le",
                   tags={"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": 1})  # fmt: skip
    with caplog.at_level(logging.WARNING):
        got = shown(path)[-1][32, 8::16] / 255
    assert caplog.text.count("high dynamic range") == 1, name
    dark = (nits.max(1) < 90)[:, None] & np.ones(3, bool)
    np.testing.assert_allclose(got[dark], screen[dark], atol=0.012)  # below the knee nothing is bent
    assert (np.abs(got - screen) < 0.06).all()


def test_brightest_light_becomes_white_and_is_not_cut(tmp_path: Path) -> None:
    """Steps up to 1000 nits stay apart from each other."""
    steps = np.rint(np.linspace(0.30, 0.7518, 8) * 876 + 64)
    plane = np.repeat(np.repeat(steps[None], 64, 0), 12, 1)
    planes = np.stack([plane, np.full_like(plane, 512), np.full_like(plane, 512)]).astype(np.uint16)
    path = encoded(tmp_path / "a.mkv", [planes], codec="ffv1", pix_fmt="yuv444p10le", given="yuv444p10le",
                   tags={"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1})  # fmt: skip
    grey = shown(path)[0][32, 6::12, 1].astype(int)
    assert (np.diff(grey) >= 1).all()
    assert (np.diff(grey)[:5] >= 20).all()
    assert grey[-1] >= 252


def test_ten_bits_without_high_range_keep_their_levels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ramp = np.repeat(np.linspace(64, 940, 96).astype(np.uint16)[None], 64, 0)
    planes = np.stack([ramp, np.full_like(ramp, 512), np.full_like(ramp, 512)])
    path = encoded(tmp_path / "a.mkv", [planes], codec="ffv1", pix_fmt="yuv444p10le", given="yuv444p10le",
                   tags={"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1})  # fmt: skip
    with caplog.at_level(logging.WARNING):
        got = shown(path)[0][32, :, 1]
    assert caplog.text == ""
    assert np.abs(got - np.linspace(0, 255, 96)).max() <= 1.5


@pytest.mark.parametrize(("level", "code"), [("limited", 1), ("full", 2)])
def test_full_and_limited_range_are_told_apart(tmp_path: Path, level: str, code: int) -> None:
    low, high = (16, 235) if level == "limited" else (0, 255)
    ramp = np.repeat(np.linspace(low, high, 96).astype(np.uint8)[None], 64, 0)
    planes = np.stack([ramp, np.full_like(ramp, 128), np.full_like(ramp, 128)])
    path = encoded(tmp_path / "a.mkv", [planes], codec="ffv1", pix_fmt="yuv444p", given="yuv444p",
                   tags={"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": code})  # fmt: skip
    assert np.abs(shown(path)[0][32, :, 1] - np.linspace(0, 255, 96)).max() < 1.7  # rounded twice


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options=EXACT)
        stream.width, stream.height, stream.pix_fmt = 72, 64, "yuv444p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        frame = av.VideoFrame.from_ndarray(np.asarray(Pictures.fromarray(scene((96, 64))).resize((72, 64), 3)), "rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv444p")))
        container.mux(stream.encode(None))
    video = media.read_video(path)
    assert video.size == media.probe(path).size == (96, 64)
    assert psnr(next(video.frames).image, scene((96, 64))) > 33


@pytest.mark.parametrize("size", [(95, 63), (1, 1), (97, 64)])
def test_odd_sizes_are_read_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    path = encoded(tmp_path / "a.mkv", [scene(size)], codec="ffv1", pix_fmt="yuv444p")
    assert media.read_video(path).size == size
    assert psnr(shown(path)[0], scene(size)) > 40


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "ending"),
    [("qtrle", "argb", "mov"), ("png", "rgba", "mov"), ("prores_ks", "yuva444p10le", "mov"), ("ffv1", "yuva420p", "mkv")],
)
def test_what_is_transparent_lies_over_white(tmp_path: Path, codec: str, pix_fmt: str, ending: str) -> None:
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, :32], alpha[:, 32:64] = 255, 128
    picture = np.dstack([np.full((64, 96, 3), (200, 40, 40), np.uint8), alpha])
    got = shown(encoded(tmp_path / f"a.{ending}", [picture] * 2, codec=codec, pix_fmt=pix_fmt, given="rgba"))[0].astype(int)
    want = [(200, 40, 40), tuple(round(255 + (v - 255) * 128 / 255) for v in (200, 40, 40)), (255, 255, 255)]
    for x, colour in zip((16, 48, 80), want, strict=True):
        assert np.abs(got[32, x] - colour).max() <= 5


def test_a_moving_gif_is_a_video_over_white(tmp_path: Path) -> None:
    pages = []
    for k in range(5):
        page = Pictures.new("RGBA", (64, 48), (0, 0, 0, 0))
        page.paste((200, 40 * k, 40, 255), (8 * k, 8, 8 * k + 16, 40))
        pages.append(page)
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], duration=[100, 100, 300, 100, 100], disposal=2, loop=0)
    assert media.probe(tmp_path / "a.gif").kind == "video"
    video = media.read_video(tmp_path / "a.gif", fps=Fraction(10))
    got = [frame.image for frame in video.frames]
    order = [0, 1, 2, 2, 2, 3, 4]
    assert len(got) == len(order)
    for image, k in zip(got, order, strict=True):
        assert np.abs(image[20, 8 * k + 8].astype(int) - (200, 40 * k, 40)).max() <= 4
        assert (image[2, 2] == 255).all()
    for begin in (1, 4, 6):
        for k, image in enumerate(media.read_images(tmp_path / "a.gif", begin, fps=Fraction(10)), begin):
            np.testing.assert_array_equal(image, got[k])


def test_frames_larger_than_any_screen_are_scaled_down_and_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wide = encoded(tmp_path / "a.mkv", [scene((8192, 64))], codec="ffv1", pix_fmt="yuv444p")
    with caplog.at_level(logging.WARNING):
        video = media.read_video(wide)
    assert video.size == (4096, 32) == next(video.frames).image.shape[1::-1]
    assert "8192×64" in caplog.text or "8192" in caplog.text


def test_a_turned_phone_video_of_fields_and_high_range(tmp_path: Path) -> None:
    """What belongs together comes together: the display matrix survives the filters."""
    path = encoded(tmp_path / "a.mp4", [scene((96, 64), 4 * k) for k in range(4)], options=EXACT | {"x264-params": "tff=1"})
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    struct.pack_into(">9i", content, at, 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # a quarter turn clockwise
    path.write_bytes(content)
    video = media.read_video(path)
    assert video.size == (64, 96)
    for k, frame in enumerate(video.frames):
        assert psnr(frame.image, np.rot90(scene((96, 64), 4 * k), -1)) > 28


def test_memory_stays_flat(tmp_path: Path) -> None:
    import psutil

    process, sizes = psutil.Process(), []

    def note(count: int) -> None:
        if count in (400, 1600):
            sizes.append(process.memory_info().rss)

    media.write_video(film(1600, size=(64, 64)), tmp_path / "a.mp4", on_frame=note)
    for count, _ in enumerate(media.read_video(tmp_path / "a.mp4").frames, 1):
        note(count)
    assert len(sizes) == 4
    assert sizes[1] - sizes[0] < 4_000_000
    assert sizes[3] - sizes[2] < 4_000_000


# Sound


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_read_at_the_rate_asked_for(tmp_path: Path, rate: int, channels: int) -> None:
    time = np.arange(rate) / rate
    path = wav(tmp_path / "a.wav", np.repeat(0.5 * np.sin(2 * np.pi * 440 * time)[:, None], channels, 1), rate)
    for goal in (None, 16000):
        got = heard(path, goal)
        want = 0.5 * np.sin(2 * np.pi * 440 * np.arange(goal or rate) / (goal or rate))
        assert got.dtype == np.float32
        assert abs(len(got) - len(want)) <= 1
        middle = slice(200, min(len(got), len(want)) - 200)
        assert np.abs(got[middle] - want[middle]).max() < 2e-3
    assert media.probe(path) == media.Probe("sound", 1.0, (0, 0), Fraction(0), rate, channels)


def test_an_empty_channel_does_not_halve_the_sound(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(8000) / 5)
    path = wav(tmp_path / "a.wav", np.stack([0 * tone, tone], 1), 16000)
    assert np.abs(heard(path) - tone).max() < 1e-3


def test_channels_upside_down_do_not_cancel(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(8000) / 5)
    path = wav(tmp_path / "a.wav", np.stack([tone, -tone], 1), 16000)
    assert np.abs(np.abs(heard(path)) - np.abs(tone)).max() < 1e-3


def test_two_people_on_two_channels_are_both_heard(tmp_path: Path) -> None:
    left, right = np.zeros(8000), np.zeros(8000)
    left[:4000], right[4000:] = 0.5, 0.25
    got = heard(wav(tmp_path / "a.wav", np.stack([left, right], 1), 16000))
    assert np.abs(got - (left + right) / 2).max() < 1e-3


def test_a_sound_that_breaks_off_is_kept_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mp4"
    media.write_video(film(200, click=1.0), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    with caplog.at_level(logging.WARNING):
        sound = heard(path)
    assert np.argmax(np.abs(sound)) == pytest.approx(16000, abs=16)
    assert "breaks off" in caplog.text


@pytest.mark.parametrize("read", [media.read_audio, media.read_video, media.probe, media.read_image, media.provenance])
def test_what_cannot_be_read_is_said_with_its_name(tmp_path: Path, read: object) -> None:
    assert callable(read)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.jpg").write_text("this is no picture\n" * 50)
    (tmp_path / "lines.wav").write_text("[00:01] la la\n" * 50)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n/etc/passwd\n")
    media.write_image(tmp_path / "cut.png", scene((300, 300)))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:40])
    for name in ("none.mp4", "empty.mp4", "text.jpg", "lines.wav", "list.m3u8"):
        with pytest.raises(UnreadableError) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableError):
        read(tmp_path)


def test_sound_where_there_is_none(tmp_path: Path) -> None:
    media.write_video(film(3, rate=0), tmp_path / "a.mp4")
    with pytest.raises(UnreadableError, match=r"a\.mp4 has no sound"):
        media.read_audio(tmp_path / "a.mp4")
    with pytest.raises(NoSpeechError, match=r"a\.wav"):
        media.read_audio(wav(tmp_path / "a.wav", np.zeros((0, 1)), 16000))
    with pytest.raises(UnreadableError, match="no moving pictures"):
        media.read_video(wav(tmp_path / "b.wav", np.zeros((10, 1)), 16000))


def test_a_name_with_a_colon_or_a_pattern_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "http:a%03d 你好.mp4"
    media.write_video(film(3), path)
    assert media.probe(path).kind == "video"


# Pictures


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turn(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:20, :30] = (255, 0, 0)
    upright[20:, 30:] = (0, 0, 255)
    # EXIF 2.32, 4.6.4 A: where the stored row 0 and column 0 lie in the picture as seen
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright), 7: upright.transpose(1, 0, 2)[::-1, ::-1], 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Pictures.Exif()
    exif[0x0112] = orientation
    Pictures.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(media.read_image(tmp_path / "a.png"), upright)
    assert media.probe(tmp_path / "a.png").size == (60, 40)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = Pictures.fromarray(np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None], 32, 0))
    picture = grey.convert("RGB")
    if mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        picture = ImageCms.applyTransform(picture, transform)
    else:
        picture = picture.quantize(64) if mode == "P" else picture.convert(mode)
    ending = {"CMYK": "jpg", "YCbCr": "jpg", "LAB": "tif", "HSV": "png"}.get(mode, "png")
    (picture.convert("RGB") if mode == "HSV" else picture).save(tmp_path / f"a.{ending}", **({"quality": 98} if ending == "jpg" else {}))
    got = media.read_image(tmp_path / f"a.{ending}")
    assert got.shape == (32, 64, 3)
    assert got.flags.c_contiguous
    if mode != "1":
        assert np.abs(got.astype(int) - np.asarray(grey)[..., None]).max() <= 6


def test_sixteen_bits_keep_their_scale(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None], 8, 0)
    Pictures.fromarray(ramp).save(tmp_path / "grey.png")
    import cv2

    cv2.imwrite(str(tmp_path / "colour.png"), np.repeat(ramp[..., None], 3, 2))
    for name in ("grey.png", "colour.png"):
        assert np.abs(media.read_image(tmp_path / name).astype(float) - ramp[..., None] / 257).max() <= 1


def test_transparent_parts_lie_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, :2] = (200, 0, 0, 255)
    pixels[:, 2] = (200, 0, 0, 51)
    Pictures.fromarray(pixels).save(tmp_path / "a.png")
    got = media.read_image(tmp_path / "a.png")
    assert got[0].tolist() == [[200, 0, 0], [200, 0, 0], [244, 204, 204], [255, 255, 255]]
    Pictures.fromarray(pixels).quantize(4).save(tmp_path / "b.png")
    assert media.read_image(tmp_path / "b.png")[0, 3].min() >= 250


def test_colour_profiles_are_applied(tmp_path: Path) -> None:
    """A profile whose red and blue are exchanged turns one into the other."""
    colour = Pictures.new("RGB", (8, 8), (200, 60, 30))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    colour.save(tmp_path / "same.png", icc_profile=profile)
    assert np.abs(media.read_image(tmp_path / "same.png")[0, 0].astype(int) - (200, 60, 30)).max() <= 1
    exchanged = profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    colour.save(tmp_path / "other.png", icc_profile=exchanged)
    assert np.abs(media.read_image(tmp_path / "other.png")[0, 0].astype(int) - (30, 60, 200)).max() <= 2
    colour.convert("RGBA").save(tmp_path / "clear.png", icc_profile=exchanged)
    assert np.abs(media.read_image(tmp_path / "clear.png")[0, 0].astype(int) - (30, 60, 200)).max() <= 2
    colour.save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert media.read_image(tmp_path / "broken.png")[0, 0].tolist() == [200, 60, 30]


@pytest.mark.parametrize("ending", ["webp", "avif", "bmp", "gif", "tif", "jp2", "ppm"])
def test_other_formats_are_read(tmp_path: Path, ending: str) -> None:
    picture = Pictures.fromarray(scene((64, 48)))
    picture.save(tmp_path / f"a.{ending}")
    assert psnr(media.read_image(tmp_path / f"a.{ending}"), scene((64, 48))) > 25


def test_a_moving_picture_gives_its_first_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = (Pictures.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    with caplog.at_level(logging.INFO):
        assert media.read_image(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]
    assert "moves" in caplog.text


def test_a_large_picture_is_scaled_down_and_a_huge_one_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Pictures.new("L", (12_000, 6_000), 200).save(tmp_path / "large.png")
    with caplog.at_level(logging.INFO):
        got = media.read_image(tmp_path / "large.png", limit=1000)
    assert got.shape == (500, 1000, 3)
    assert "12000×6000" in caplog.text
    assert (got == 200).all()
    Pictures.new("1", (12_001, 4)).save(tmp_path / "long.png")
    with pytest.raises(TooLargeError, match=r"long\.png.*12001×4"):
        media.read_image(tmp_path / "long.png")
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0, 0xC92C7D2E)
    (tmp_path / "bomb.png").write_bytes(bomb + bytes(100))
    with pytest.raises(InputError, match=r"bomb\.png"):
        media.read_image(tmp_path / "bomb.png")


def test_a_broken_picture_is_said_to_be(tmp_path: Path) -> None:
    for ending in ("png", "jpg", "webp"):
        path = tmp_path / f"a.{ending}"
        rough = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
        media.write_image(path, rough)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UnreadableError, match=rf"a\.{ending}"):
            media.read_image(path)


def test_a_video_or_a_sound_in_place_of_a_picture(tmp_path: Path) -> None:
    media.write_video(film(3), tmp_path / "a.mp4")
    with pytest.raises(UnreadableError, match=r"a\.mp4 is a video"):
        media.read_image(tmp_path / "a.mp4")
    with pytest.raises(UnreadableError, match=r"a\.wav is sound"):
        media.read_image(wav(tmp_path / "a.wav", np.zeros((100, 1)), 16000))


def test_heic_without_its_reader_says_what_to_install(tmp_path: Path) -> None:
    try:
        import pillow_heif
    except ImportError:
        (tmp_path / "a.heic").write_bytes(struct.pack(">I4s4s", 24, b"ftyp", b"heic") + bytes(200))
        with pytest.raises(MissingPartError, match=r"huashen\[heic\]"):
            media.read_image(tmp_path / "a.heic")
    else:
        pillow_heif.from_pillow(Pictures.fromarray(scene((64, 64)))).save(tmp_path / "a.heic")
        assert psnr(media.read_image(tmp_path / "a.heic"), scene((64, 64))) > 30


def test_a_full_disk_error_of_ffmpeg_is_explained(tmp_path: Path) -> None:
    def frames() -> Iterator[Frame]:
        raise av.error.OSError(errno.ENOSPC, "No space left on device")
        yield

    with pytest.raises(OutputError, match="no room"):
        media.write_video(Video(frames(), Fraction(25), (96, 64), 0), tmp_path / "a.mp4")


@pytest.mark.real
def test_real_clips_are_read(real: Path) -> None:
    for name in ("w2l_test.mov", "style_Obama_clip1.mp4"):
        path = real / "clips" / name
        seen = media.probe(path)
        video = media.read_video(path)
        count = sum(1 for _, _ in zip(video.frames, range(40), strict=False))
        assert (count, video.size, video.fps) == (40, seen.size, seen.fps)


@pytest.mark.parametrize(("size", "quarters"), [((320, 240), 0), ((320, 240), 1), ((48, 40), 0)])
def test_parts_of_pictures_are_those_of_the_whole(tmp_path: Path, size: tuple[int, int], quarters: int) -> None:
    path = tmp_path / "a.mp4"
    media.write_video(film(12, size=size), path)
    if quarters:
        turn(path, quarters)
    video = media.read_video(path)
    width, height = video.size
    corners = [*((7 * k - 12, 9 * k - 20) for k in range(8)), (width - 9, height - 31), (width // 2, 0)]
    parts = list(media.read_parts(path, corners, (41, 30), fps=video.fps))
    assert len(parts) == len(corners)
    for (x, y), frame, part in zip(corners, video.frames, parts, strict=False):
        rows, columns = np.clip(np.arange(y, y + 30), 0, height - 1), np.clip(np.arange(x, x + 41), 0, width - 1)
        np.testing.assert_array_equal(part, frame.image[rows[:, None], columns])


def test_pictures_read_quickly_are_a_few_levels_off(tmp_path: Path) -> None:
    media.write_video(film(8, size=(320, 240)), tmp_path / "a.mp4")
    exact, quick = (list(media.read_images(tmp_path / "a.mp4", fps=Fraction(25), quick=quick)) for quick in (False, True))
    assert len(exact) == len(quick) == 8
    for a, b in zip(exact, quick, strict=True):
        assert psnr(a, b) > 34

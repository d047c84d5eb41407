"""The offline path: what goes in comes out, one frame at a time, and nothing is held."""

import json
import logging
import threading
import wave
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from huashen import config, media, registry, studio
from huashen.avatar import Avatar
from huashen.errors import InputError, NoSpeechError, OutputError, TooLargeError, UnknownEngineError
from huashen.registry import load
from huashen.types import Audio, Box, Face, Frame, Landmarks, Mark, Speech, Video

RATE = 8000


class Counting:
    """A voice that says each character for a tenth of a second, and counts the sentences it was asked for."""

    rate = RATE
    phones = True

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0) -> None:
        if voice not in (None, "soft"):
            raise UnknownEngineError(f"no voice {voice}")
        self.speed = speed
        self.asked: list[str] = []

    def speak(self, text: str) -> Iterator[Speech]:
        if not any(c.isalnum() for c in text):
            raise NoSpeechError("nothing")
        self.asked.append(text)
        length = len(text.strip())
        count = round(RATE * 0.1 * length / self.speed)
        marks = (Mark("word", text.strip(), 0.0, count / RATE, span=(0, length)),)
        yield Speech(Audio(np.full(count, 0.1, np.float32), RATE), marks, text, "en", aligned=True)


class Flat:
    """A head that shows the picture, and hands out the sound."""

    lookahead = 0.0

    def __init__(self, *, driver: object, fps: Fraction) -> None:
        self.fps = fps

    def animate(self, avatar: Avatar, speech: Iterable[Speech], *, begin: int = 0) -> Video:
        from huashen.flow import slices

        def frames() -> Iterator[Frame]:
            for index, audio in enumerate(slices((piece.audio for piece in speech), self.fps)):
                if index < begin:
                    continue
                yield Frame(avatar.image.copy(), audio, index)

        height, width = avatar.image.shape[:2]
        return Video(frames(), self.fps, (width, height), RATE)


@pytest.fixture
def voices(monkeypatch: pytest.MonkeyPatch) -> list[Counting]:
    """The fake engines in place of the real ones; the voices that were built."""
    monkeypatch.setenv("HUASHEN_LANG", "en")
    config.language.cache_clear()
    built: list[Counting] = []
    real = registry.load

    def load(capability: str, name: str | None = None, **options: object) -> object:
        if capability == "tts":
            built.append(Counting(**options))  # type: ignore[arg-type]
            return built[-1]
        if capability == "talking_head":
            return Flat(**options)  # type: ignore[arg-type]
        return real(capability, name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(registry, "load", load)
    return built


@pytest.fixture
def avatar() -> Avatar:
    """A grey square with a face in its middle."""
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = np.random.default_rng(0).uniform(20, 44, (478, 2))
    return Avatar(np.full((64, 64, 3), 128, np.uint8), Face(Box(20, 20, 44, 44), Landmarks(points), 1.0), name="grey")


def test_the_video_lasts_as_long_as_the_speech_and_carries_its_sound(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    result = studio.say("Hello.\nThere.", avatar, tmp_path / "a.mp4", fps=10)
    assert (result.frames, result.seconds, result.size, result.fps) == (12, 1.2, (64, 64), Fraction(10))
    assert result.engines == {"tts": "espeak", "audio2face": "visemes", "talking_head": "puppet"}
    sound = np.concatenate([piece.samples for piece in media.read_audio(result.path)])
    assert abs(len(sound) / media.probe(result.path).rate - 1.2) < 0.1
    assert np.median(sound) == pytest.approx(0.1, abs=0.01)


def test_the_file_says_that_it_is_synthetic_and_what_made_it(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    record = media.provenance(studio.say("Hello.", avatar, tmp_path / "a.mp4").path)
    assert record["synthetic"] == "true"
    assert record["engine"] == "espeak, visemes, puppet"


def test_text_is_drawn_as_it_is_spoken(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    drawn: list[int] = []
    ahead: list[int] = []

    def lines() -> Iterator[str]:
        for number in range(100):
            drawn.append(number)
            yield f"Line {number}.\n"

    studio.say(lines(), avatar, tmp_path / "a.mp4", progress=lambda p: ahead.append(len(drawn) - round(p.seconds / 0.8)))
    assert len(voices[0].asked) == len(drawn) == 100
    assert max(ahead) < 10, "the text was drawn far ahead of the video"


def test_progress_ends_at_the_whole_and_estimates_it_before(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    seen: list[studio.Progress] = []
    result = studio.say("Ten chars.\n" * 20, avatar, tmp_path / "a.mp4", progress=seen.append)
    assert [p.frames for p in seen] == list(range(1, result.frames + 1))
    assert seen[-1].seconds == seen[-1].total == result.seconds
    assert all(abs(p.total / result.seconds - 1) < 0.15 for p in seen if p.total is not None and p.seconds > 2)


def test_subtitle_files_stand_beside_the_video(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    result = studio.say("First words here.\nSecond words.", avatar, tmp_path / "a.mp4", subtitles="file")
    assert result.subtitles == (tmp_path / "a.srt", tmp_path / "a.vtt")
    assert result.subtitles[0].read_text().split("\n\n")[:2] == [
        "1\n00:00:00,000 --> 00:00:01,700\nFirst words here.",
        "2\n00:00:01,700 --> 00:00:03,200\nSecond words.",
    ]
    assert result.subtitles[1].read_text().startswith("WEBVTT")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.srt", "a.vtt"]


def test_burnt_subtitles_change_the_lower_part_of_the_picture_only(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    result = studio.say("Words.", avatar, tmp_path / "a.mp4", subtitles="burn", size=128)
    frame = list(media.read_video(result.path).frames)[3].image.astype(int)
    assert np.abs(frame[90:] - 128).max() > 60
    assert np.abs(frame[:64] - 128).max() < 12
    assert result.subtitles == ()


@pytest.mark.parametrize("when", [1, 20])
def test_an_interrupted_video_leaves_what_was_there(when: int, voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    goal = tmp_path / "a.mp4"
    goal.write_bytes(b"before")

    def stop(progress: studio.Progress) -> None:
        if progress.frames == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studio.say("A long text. " * 50, avatar, goal, subtitles="file", progress=stop)
    assert goal.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [goal]


def test_an_error_in_the_middle_of_the_text_leaves_nothing(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield from ["Good.\n"] * 30
        yield "a" * (studio.MAX_CHARACTERS + 1)

    with pytest.raises(TooLargeError, match="1,000,000 characters"):
        studio.say(lines(), avatar, tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_lines_without_words_are_passed_over(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    studio.say(["One.\n", "😀\n", "\n", "Two.\n"], avatar, tmp_path / "a.mp4")
    assert voices[0].asked == ["One.\n", "Two.\n"]


def test_a_warning_of_an_engine_is_in_the_result(
    voices: list[Counting], avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speak(self: Counting, text: str, spoken=Counting.speak) -> Iterator[Speech]:  # type: ignore[no-untyped-def]
        logging.getLogger("huashen.tts").warning("no voice for %s", "xx")
        return spoken(self, text)

    monkeypatch.setattr(Counting, "speak", speak)
    assert studio.say("One.", avatar, tmp_path / "a.mp4").warnings == ("no voice for xx",)


def test_a_warning_of_the_drawing_thread_is_in_the_result_and_one_of_another_is_not(
    voices: list[Counting], avatar: Avatar, tmp_path: Path
) -> None:
    logger = logging.getLogger("huashen.tts")

    def lines() -> Iterator[str]:
        yield "The first line is drawn at once.\n"
        logger.warning("late")
        other = threading.Thread(target=logger.warning, args=("elsewhere",))
        other.start()
        other.join()
        yield "The second is drawn later.\n"

    assert studio.say(lines(), avatar, tmp_path / "a.mp4").warnings == ("late",)


def test_recorded_sound_becomes_a_video_of_its_length(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "s.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(np.arange(RATE * 2) / 5)).astype("<i2").tobytes())
    seen: list[studio.Progress] = []
    result = studio.sync(tmp_path / "s.wav", avatar, tmp_path / "a.mp4", fps=25, progress=seen.append)
    assert (result.frames, result.seconds) == (50, 2.0)
    assert {p.total for p in seen} == {2.0}
    assert "tts" not in result.engines


def spoken_file(path: Path, text: str) -> Path:
    """Write what espeak says into a .wav."""
    said = [piece.audio for piece in load("tts", "espeak", lang="en").speak(text)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, said[0].rate, 0, "NONE", ""))
        file.writeframes((32000 * np.clip(np.concatenate([a.samples for a in said]), -1, 1)).astype("<i2").tobytes())
    return path


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fake renderer, everything else as it is."""
    monkeypatch.setenv("HUASHEN_LANG", "en")
    config.language.cache_clear()
    def loaded(capability: str, name: str | None = None, **options: object) -> object:
        return Flat(**options) if capability == "talking_head" else load(capability, name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(registry, "load", loaded)


KNOWN = "My mother bought a map of Paris from a small shop."


def test_a_known_text_of_a_recording_becomes_subtitles(flat: None, avatar: Avatar, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    sound = spoken_file(tmp_path / "s.wav", KNOWN)
    result = studio.sync(sound, avatar, tmp_path / "a.mp4", text=KNOWN, subtitles="file", fps=25)
    assert result.warnings == ()
    assert result.engines["audio2face"] == f"{studio.heard_by()}+text"
    shown = (tmp_path / "a.srt").read_text(encoding="utf-8")
    assert KNOWN in " ".join(line for line in shown.splitlines() if line and "-->" not in line and not line.isdigit())


def test_recorded_speech_is_heard_by_the_best_driver_whose_weights_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for present, driver in ((True, "hear-whisper"), (False, "hear-offline")):
        monkeypatch.setattr(studio.weights, "present", lambda name, present=present: present and name == "whisper_base")
        assert studio.heard_by() == driver


def test_a_text_that_is_not_said_gives_one_warning_and_no_subtitles(flat: None, avatar: Avatar, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    sound = spoken_file(tmp_path / "s.wav", KNOWN)
    other = "Seven yellow geese are sleeping under the old oak tree, while children are singing loud."
    result = studio.sync(sound, avatar, tmp_path / "a.mp4", text=other, subtitles="file", fps=25)
    assert len(result.warnings) == 1
    assert "does not match" in result.warnings[0]
    assert "-->" not in (tmp_path / "a.srt").read_text(encoding="utf-8")


@pytest.mark.parametrize("given", [{"subtitles": "file"}, {"subtitles": "burn"}, {"lang": "en"}, {"text": ""}, {"text": " ... "}])
def test_subtitles_need_a_text_with_words(given: dict[str, str], flat: None, avatar: Avatar, tmp_path: Path) -> None:
    sound = spoken_file(tmp_path / "s.wav", KNOWN)
    with pytest.raises(InputError, match="text"):
        studio.sync(sound, avatar, tmp_path / "a.mp4", **given)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("a.*"))


def test_what_is_wrong_shows_before_the_picture_is_read(voices: list[Counting], tmp_path: Path) -> None:
    for options, kind in (
        ({"voice": "loud"}, UnknownEngineError),
        ({"tts": "nobody"}, UnknownEngineError),
        ({"fps": 0}, InputError),
        ({"subtitles": "maybe"}, InputError),
    ):
        with pytest.raises(kind):
            studio.say("Hello.", tmp_path / "missing.jpg", tmp_path / "a.mp4", **options)  # type: ignore[arg-type]
    with pytest.raises(NoSpeechError):
        studio.say("...", tmp_path / "missing.jpg", tmp_path / "a.mp4")
    with pytest.raises(OutputError):
        studio.say("Hello.", tmp_path / "missing.jpg", tmp_path / "a.txt")


def test_the_input_is_never_replaced(voices: list[Counting], tmp_path: Path) -> None:
    (tmp_path / "me.gif").write_bytes(b"x")
    (tmp_path / "other.gif").symlink_to("me.gif")
    for out in ("me.gif", "other.gif"):
        with pytest.raises(OutputError, match="is the input itself"):
            studio.say("Hello.", tmp_path / "me.gif", tmp_path / out)


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (25, Fraction(25)), ("30", Fraction(30)), (29.97, Fraction(30000, 1001)), ("29.97", Fraction(30000, 1001)),
        ("30000/1001", Fraction(30000, 1001)), ("23.976", Fraction(24000, 1001)), ("59.94", Fraction(60000, 1001)),
        ("12.5", Fraction(25, 2)),
        (Fraction(24000, 1001), Fraction(24000, 1001)), (" 24 ", Fraction(24)), (1, Fraction(1)), (120, Fraction(120)),
    ],
)  # fmt: skip
def test_as_fps(value: Fraction | float | str, rate: Fraction) -> None:
    assert studio.as_fps(value) == rate


@pytest.mark.parametrize("value", [0, 0.5, 121, "x", "", "nan", float("inf"), "1/0", -25])
def test_as_fps_refuses(value: float | str) -> None:
    with pytest.raises(InputError, match="fps cannot be"):
        studio.as_fps(value)


@pytest.mark.parametrize(
    ("value", "own", "size"),
    [
        (None, (512, 512), (512, 512)), (None, (513, 511), (512, 510)), (None, (4000, 3000), (1920, 1440)), (None, (40, 40), (64, 64)),
        (512, (1024, 768), (512, 384)), ("512", (768, 1024), (384, 512)), ("720p", (1920, 1080), (1280, 720)),
        ("720P", (1080, 1920), (720, 1280)), ("1080p", (512, 512), (1080, 1080)), ("640x480", (9, 9), (640, 480)),
        ("641×481", (9, 9), (640, 480)),
    ],
)  # fmt: skip
def test_as_size(value: str | int | None, own: tuple[int, int], size: tuple[int, int]) -> None:
    assert studio.as_size(value, own) == size


@pytest.mark.parametrize(
    ("text", "paragraphs"),
    [
        ("One line", ["One line"]),
        ("A sentence that\nruns on. And\nanother.", ["A sentence that runs on. And another."]),
        ("One.\nTwo!\n", ["One.", "Two!"]),
        ("标题\n\n正文从这里\n开始。", ["标题", "正文从这里开始。"]),
        ("她说：“好。”\n然后走了", ["她说：“好。”", "然后走了"]),
        ("\n\n", []),
    ],
)
def test_paragraphs(text: str, paragraphs: list[str]) -> None:
    assert list(studio._paragraphs(text.splitlines())) == [f"{paragraph}\n" for paragraph in paragraphs]


def test_paragraphs_keep_every_word_of_a_text_without_ends() -> None:
    lines = [f"word{i}" for i in range(3000)]
    found = list(studio._paragraphs(lines))
    assert " ".join(found).split() == lines
    assert max(map(len, found)) < 2100


def test_the_real_engines_make_a_video_of_another_shape(tmp_path: Path, astronaut: Image.Image) -> None:
    astronaut.save(tmp_path / "me.png")
    result = studio.say("Hi, 你好。", tmp_path / "me.png", tmp_path / "a.mp4", size="96x128", subtitles="burn", still=True, speed=1.3)
    assert result.size == (96, 128)
    assert result.warnings == ()
    assert media.probe(result.path).size == (96, 128)
    frames = [frame.image.astype(int) for frame in media.read_video(result.path).frames]
    assert len(frames) == result.frames
    assert max(np.abs(frame - frames[0]).max() for frame in frames) > 30, "nothing moves"
    assert json.loads(json.dumps(result.engines)) == result.engines


def test_memory_does_not_grow_with_length(voices: list[Counting], avatar: Avatar, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    process = psutil.Process()
    resident: dict[int, int] = {}

    def note(progress: studio.Progress) -> None:
        if progress.frames % 500 == 0:
            resident[progress.frames] = process.memory_info().rss

    lines = (f"Sentence number {i} is said.\n" for i in range(200))
    result = studio.say(lines, avatar, tmp_path / "a.mp4", subtitles="file", fps=5, progress=note)
    assert result.seconds * RATE * 4 > 15e6, "the sound alone would show if it were held"
    assert resident[max(resident)] - resident[500] < 6e6

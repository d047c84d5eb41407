"""Stages and other backgrounds in a live session: the pictures go through them, and those that need later frames are refused."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from test_live import PATIENCE, RATE, Clock, Mask, N, Player, Voice, film, spoken

from huashen import backdrop, cli, live, media
from huashen.backdrop import Backdrop
from huashen.errors import InputError
from huashen.footage import Footage
from huashen.server.house import House, Seen
from huashen.server.room import _built
from huashen.types import Audio, Floats, Frame, Image, Motion, Style, Video
from synthetic import portrait


class Inverted:
    """Turns light and dark, at twice the size."""

    lookahead_frames = 0

    def __call__(self, video: Video) -> Video:
        width, height = video.size
        return replace(video, size=(2 * width, 2 * height), frames=self._turned(video.frames))

    def _turned(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield replace(frame, image=255 - frame.image.repeat(2, 0).repeat(2, 1))


class Later(Inverted):
    """Needs what is to come."""

    lookahead_frames = 3


def test_what_is_shown_has_gone_through_the_stages_and_is_in_time() -> None:
    text = "one two three four"
    shown = []
    for stages in ((), (Inverted(),)):
        clock = Clock()
        with live.Session(portrait((2, 2)), head=Mask(), voice=Voice(), clock=clock, patient=True, stages=stages) as session:
            assert session.size == ((4, 4) if stages else (2, 2))
            player = Player(session, clock)
            assert session.say(text).prepared(PATIENCE)
            while sum(sound.any() for sound in player.sound) < 18:
                player.run(1)
            session.hush()
            player.run(20)
            first = next(k for k, sound in enumerate(player.sound) if sound.any())
            shown.append(np.array(player.pictures[first:]))
            assert session.picture(len(player.sound) - 1).image.shape[:2] == session.size[::-1]
    assert shown[0].max() > 50
    assert shown[0][-1] == 0
    np.testing.assert_array_equal(shown[1], 255 - shown[0])
    assert len(spoken(text)) > 20 * N


def test_the_next_picture_is_drawn_while_one_goes_through_the_stages() -> None:
    drawn: list[int] = []
    both = threading.Condition()

    class Told(Mask):
        def _frames(self, motions: Iterator[Motion]) -> Iterator[Frame]:
            for frame in super()._frames(motions):
                with both:
                    drawn.append(frame.index)
                    both.notify_all()
                yield frame

    class Slow(Inverted):
        def _turned(self, frames: Iterator[Frame]) -> Iterator[Frame]:
            for frame in frames:
                with both:
                    assert both.wait_for(lambda: drawn[-1] > frame.index, 10)  # noqa: B023 - called at once
                yield frame

    clock = Clock()
    with live.Session(portrait((2, 2)), head=Told(), voice=Voice(), clock=clock, patient=True, stages=[Slow()]) as session:
        Player(session, clock).run(20)
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())


def test_a_clip_after_a_hush_and_words_after_the_clip_are_shown_where_there_are_stages() -> None:
    clock = Clock()
    with live.Session(portrait((2, 2)), head=Mask(), voice=Voice(), clock=clock, patient=True, stages=[Inverted()]) as session:
        player = Player(session, clock)
        assert session.say("one two three four").prepared(PATIENCE)
        player.run(15)
        session.hush()
        clip = session.play(film(30, 77))
        assert clip.prepared(PATIENCE)
        session.say("five six")
        player.run(60)
    assert player.pictures[15:].count(77) == 30
    after = player.pictures[player.pictures.index(77) + 30 :]
    assert min(after) < 200, "a mouth that speaks, light and dark turned"
    assert after[-1] == 255


def test_a_stage_that_needs_later_frames_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="'later' needs 3 frames"):
        live.Session(portrait((2, 2)), head=Mask(), stages=[Later()])
    assert cli.main(["live", "--stage", "steady", "--no-browser"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "steady" in line
    assert "cannot be live" in line


class Split:
    """The person is the left half."""

    def mask(self, image: Image) -> Floats:
        mask = np.zeros(image.shape[:2], np.float32)
        mask[:, : image.shape[1] // 2] = 1
        return mask


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backdrop.registry, "load", lambda capability, **options: Split())


def noise(count: int) -> list[Frame]:
    generator = np.random.default_rng(0)
    return [Frame(generator.integers(0, 256, (40, 60, 3), np.uint8), Audio(np.full(N, k, np.float32), RATE), 2 * k) for k in range(count)]


@pytest.mark.parametrize("name", ["studio", "green", "blur", "#203040", "original"])
def test_a_moving_person_stays_and_what_is_behind_changes(split: None, name: str) -> None:
    frames = noise(4)
    before = [frame.image.copy() for frame in frames]
    made = list(Backdrop(name)(Video(iter(frames), Fraction(25), (60, 40), RATE)).frames)
    for old, frame, new in zip(before, frames, made, strict=True):
        np.testing.assert_array_equal(frame.image, old)  # nothing given is written to
        assert new.audio is frame.audio
        assert new.index == frame.index
        np.testing.assert_array_equal(new.image[:, :30], old[:, :30])
        if name == "green":
            assert (new.image[:, 30:] == (0, 177, 64)).all()
        elif name == "original":
            np.testing.assert_array_equal(new.image, old)
        else:
            assert new.image[:, 30:].std() < 0.5 * old[:, 30:].std()


def test_a_session_of_a_clip_has_a_background_of_its_own(split: None, tmp_path: Path) -> None:
    clip = object.__new__(Footage)
    house = House([Seen("f0", "me", "me.mp4")])
    assert house.care(clip, "original") == []
    (stage,) = house.care(clip, "green")
    assert isinstance(stage, Backdrop)
    assert house.care(portrait((8, 8)), "green") == [], "a picture's is painted once"
    with pytest.raises(InputError, match="nowhere"):
        Backdrop("nowhere")


def test_a_session_moves_its_mouth_as_it_asks_as_the_house_does_or_as_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    own, hers, usual = Style(open=0.8), Style(open=1.2), Style(open=1.5)
    learned = {"anna": hers}
    built: list[Style | None] = []

    def head(*args: object, style: Style | None, **options: object) -> Mask:
        built.append(style)
        return Mask()

    monkeypatch.setattr("huashen.persons.as_style", lambda value, **_: value if isinstance(value, Style) else learned.pop(value))
    monkeypatch.setattr(import_module("huashen.live.build"), "head", head)
    monkeypatch.setattr("huashen.registry.load", lambda *args, **options: Voice())
    house = House([Seen("f0", "me", "me.jpg"), Seen("f1", "anna", "anna")])
    monkeypatch.setattr(house, "_make", lambda *args: replace(portrait((8, 8)), style=own))
    wishes: list[tuple[Style | None, dict[str, str]]] = [(None, {}), (usual, {}), (usual, {"style": "f1"}), (None, {"style": "f1"})]
    for given, wish in wishes:
        house.style = given
        _built(house, house.faces[0], wish, Fraction(25)).close()
    assert built == [own, usual, hers, hers]
    assert not learned, "once"


def test_a_size_that_cannot_be_live_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["live", "--face", "me.jpg", "--asr", "none", "--quiet", "--size", "99999"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "99999×99999" in line
    assert "128 to 1280" in line


def test_a_clip_for_a_gesture_is_looked_at_before_anything_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for word, told in (("wave", "write wave=FILE"), (f"wave={tmp_path / 'none.mp4'}", "none.mp4")):
        assert cli.main(["serve", "--gesture", word]) == 2
        assert told in capsys.readouterr().err
    from huashen.cli.serving import as_gesture

    path = tmp_path / "wave.mp4"
    frames = (Frame(np.zeros((16, 16, 3), np.uint8), Audio(np.zeros(0, np.float32), 0), k) for k in range(3))
    media.write_video(Video(frames, Fraction(25), (16, 16), 0), path)
    assert as_gesture(f"挥手={path}") == ("挥手", path)

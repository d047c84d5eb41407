"""Gestures that are clips: `[wave]` in a text shows the clip where it stands, and the face gives way and comes back without a jump."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_live import FPS, PATIENCE, RATE, Clock, Mask, N, Player, Voice, known, only, spoken

from huashen import live, media
from huashen.errors import UnreadableError
from huashen.live import events
from huashen.types import Audio, Frame, Video
from synthetic import portrait

FRAMES, BRIGHT = 20, 200
MELTED = 6  # frames in which the face gives way


@pytest.fixture(scope="module")
def wave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bright clip with a sound of its own: a tone, softer than any word."""
    path = tmp_path_factory.mktemp("clips") / "wave.mp4"
    tone = (0.2 * np.sin(2 * np.pi * 400 * np.arange(N) / RATE)).astype(np.float32)
    frames = (Frame(np.full((16, 16, 3), BRIGHT, np.uint8), Audio(tone, RATE), k) for k in range(FRAMES))
    media.write_video(Video(frames, FPS, (16, 16), RATE), path)
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock, wave: Path) -> Iterator[live.Session]:
    voice = Voice()
    with live.Session(portrait((2, 2)), head=Mask(), voice=voice, clock=clock, patient=True, clips={"wave": wave}) as made:
        made.voice = voice  # type: ignore[attr-defined]
        yield made


@pytest.fixture
def player(session: live.Session, clock: Clock) -> Player:
    return Player(session, clock)


def filmed(player: Player) -> list[int]:
    """Return the frames in which the clip is heard: words are at 1 and above, silence is 0."""
    loudest = [float(np.abs(sound).max()) for sound in player.sound]
    return [k for k, value in enumerate(loudest) if 0.05 < value < 0.5]


def test_a_gesture_that_is_a_clip_is_shown_where_it_stands_in_a_text(session: live.Session, player: Player) -> None:
    found = known(session)
    said = session.say("one two [wave], three four")
    assert said.prepared(PATIENCE)
    player.run(90)
    clip = filmed(player)
    assert clip == list(range(clip[0], clip[0] + FRAMES)), "whole, and in one go"
    words = [k for k, sound in enumerate(player.sound) if sound.max() >= 1]
    before, after = [k for k in words if k < clip[0]], [k for k in words if k > clip[0]]
    np.testing.assert_array_equal(np.concatenate([player.sound[k] for k in before]), spoken("one two,"))
    assert len(after) == len(before)
    assert set(words) == {*before, *after}
    assert before[-1] == clip[0] - 1
    assert after[0] == clip[-1] + 1
    assert said.heard() == "one two, three four"
    assert said.done
    assert [event.name for event in only(found, events.Gestured)] == ["wave"]  # type: ignore[attr-defined]
    assert only(found, events.Gestured)[0].at == pytest.approx(clip[0] / 25)
    (ended,) = only(found, events.Ended)
    assert isinstance(ended, events.Ended)
    assert ended.whole


def test_the_face_gives_way_to_the_clip_and_comes_back_without_a_jump(session: live.Session, player: Player) -> None:
    player.run(10)
    assert session.say("[wave]").prepared(PATIENCE)
    player.run(60)
    clip = filmed(player)
    shown = np.array(player.pictures)
    assert shown[clip[0] - 1] == 0
    assert abs(shown[clip[MELTED] : clip[-1]] - BRIGHT).max() < 12
    rise, fall = shown[clip[0] - 1 : clip[MELTED] + 1], shown[clip[-1] : clip[-1] + MELTED + 2]
    assert (np.diff(rise) >= 0).all()
    assert (np.diff(fall) <= 0).all()
    assert fall[-1] == 0
    assert np.abs(np.diff(shown)).max() < 1.3 * BRIGHT / (MELTED + 1), "no jump"


def test_a_clip_in_an_answer_that_comes_piece_by_piece_is_shown(session: live.Session, player: Player) -> None:
    said = session.say(iter(["Hello! [wa", "ve] I am", " Anna. 再见【挥", "手】"]))
    assert said.prepared(PATIENCE)
    player.run(130)
    assert session.voice.said == ["Hello! ", "I am Anna. ", "再见"]  # type: ignore[attr-defined]
    assert len(filmed(player)) == 2 * FRAMES
    assert said.done
    assert said.heard() == "Hello! I am Anna. 再见"
    assert player.pictures[-1] == 0


def test_hush_ends_a_clip_within_a_text_and_what_follows_it(session: live.Session, player: Player) -> None:
    player.run(5)
    said = session.say("one [wave] two three four")
    assert said.prepared(PATIENCE)
    while len(filmed(player)) < MELTED + 2:
        player.run(1)
    assert session.hush() == "one "
    count = len(player.sound)
    player.run(40)
    assert not np.concatenate(player.sound[count:])[round(0.015 * RATE) :].any()
    assert said.done
    assert player.pictures[-1] == 0
    assert player.pictures[count + MELTED + 1] == 0, "within 0.3 s"


def test_a_clip_within_a_text_rests_and_goes_on(session: live.Session, player: Player) -> None:
    said = session.say("one [wave] two")
    assert said.prepared(PATIENCE)
    while len(filmed(player)) < 8:
        player.run(1)
    session.pause()
    count = len(filmed(player))
    player.run(15)
    assert len(filmed(player)) in (count, count + 1), "at most what fades"
    session.resume()
    player.run(60)
    assert FRAMES <= len(filmed(player)) <= FRAMES + 1
    assert said.heard() == "one two"
    assert said.done


def test_a_gesture_without_a_clip_is_neither_done_nor_said(clock: Clock) -> None:
    with live.Session(portrait((2, 2)), head=Mask(), voice=Voice(), clock=clock, patient=True) as session:
        found = known(session)
        player = Player(session, clock)
        said = session.say("one [wave] two")
        assert said.prepared(PATIENCE)
        player.run(40)
        assert said.heard() == "one two"
        assert not only(found, events.Gestured)
        assert "wave" not in session.gestures()


def test_a_clip_may_take_the_place_of_a_gesture_and_stands_in_the_line_when_asked_for(clock: Clock, wave: Path) -> None:
    with live.Session(portrait((2, 2)), head=Mask(), voice=Voice(), clock=clock, patient=True, clips={"点头": wave}) as session:
        player = Player(session, clock)
        session.express("nod")
        player.run(40)
        assert len(filmed(player)) == FRAMES
        assert session.gestures().count("nod") == 1


def test_what_is_no_video_is_told_when_the_session_is_made(tmp_path: Path) -> None:
    (tmp_path / "wave.mp4").write_text("no video")
    with pytest.raises(UnreadableError, match=r"wave\.mp4"):
        live.Session(portrait((2, 2)), head=Mask(), voice=Voice(), clips={"wave": tmp_path / "wave.mp4"})

"""Live sessions: what is heard and shown, when, and what is taken back. Time is the tests' own: nothing here waits for a clock."""

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest

from huashen import live
from huashen.audio2face.visemes import Visemes
from huashen.avatar import Avatar
from huashen.errors import EngineError, InputError, NoSpeechError
from huashen.live import events
from huashen.live.build import head
from huashen.live.gestures import GESTURES, Unbracketed, directions
from huashen.live.items import AHEAD, Clip, Saying
from huashen.live.steering import KEPT, Steered
from huashen.tts.text import sentences
from huashen.types import ARKIT_INDEX, Audio, Cut, Floats, Frame, Mark, Motion, Speech, Video
from synthetic import portrait

RATE, FPS = 16000, Fraction(25)
N = 640  # samples of a frame
PHONES = ("m", "aɪ", "b", "uː", "s", "iː", "p", "ɑ")
PATIENCE = 60.0  # s until a test is given up


class Voice:
    """Says every word in 0.3 s: the sample k of the n-th sentence spoken is n + k / 10⁶, so that each can be told from all others."""

    rate = RATE
    phones = True

    def __init__(self, *, broken: str = "") -> None:
        self.said: list[str] = []
        self._broken = broken

    def speak(self, text: str) -> Iterator[Speech]:
        if self._broken and self._broken in text:
            raise EngineError("the voice broke")
        self.said.append(text)
        words = text.split()
        count = round(0.3 * RATE) * len(words)
        sound = np.float32(len(self.said)) + np.arange(count, dtype=np.float32) / 1e6
        marks: list[Mark] = [Mark("sentence", text.strip(), 0.0, 0.3 * len(words), span=(0, len(text)))]
        at = 0
        for i, word in enumerate(words):
            first = text.index(word, at)
            at = first + len(word)
            marks.append(Mark("word", word, 0.3 * i, 0.3 * i + 0.3, span=(first, at)))
            marks += [Mark("phone", PHONES[(3 * i + k) % 8], 0.3 * i + 0.1 * k, 0.3 * i + 0.1 * k + 0.1) for k in range(3)]
        yield Speech(Audio(sound, RATE), tuple(marks), text, "en", aligned=True)


class Mask:
    """A talking head that writes what it is told into the pixels: how far the mouth is open, and how far the head is turned."""

    lookahead = Visemes.lookahead

    def __init__(self, *, gate: threading.Semaphore | None = None, life: bool = False) -> None:
        self._driver = Steered(Visemes(life=life))
        self._gate = gate

    def animate(self, avatar: Avatar, speech: Iterable[Speech]) -> Video:
        return Video(self._frames(self._driver.drive(speech, FPS)), FPS, (2, 2), RATE)

    def _frames(self, motions: Iterator[Motion]) -> Iterator[Frame]:
        index = -1
        for motion in motions:
            index += 1 + motion.dropped
            if self._gate is not None:
                self._gate.acquire()
            image = np.zeros((2, 2, 3), np.uint8)
            image[0, 0] = round(250 * opened(motion))
            image[1, 1] = round(128 + 5 * float(motion.head[0]))
            yield Frame(image, motion.audio, index)


def opened(motion: Motion) -> float:
    jaw, close = (float(motion.weights[ARKIT_INDEX[name]]) for name in ("jawOpen", "mouthClose"))
    return jaw * (1 - close)


class Clock:
    """Stands still until it is told to go on; waiting for it is forbidden."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def wait(self, until: float) -> None:
        self.time = max(self.time, until)


class Player:
    """Takes a session's sound and pictures, one frame after the other, as a transport would, but no sooner than the voices are ready.

    The clock stands still, so a player that did not wait would be hours ahead of a voice's thread that the machine has not run for a while.
    """

    def __init__(self, session: live.Session, clock: Clock) -> None:
        self.session, self.clock = session, clock
        self.sound: list[Floats] = []
        self.pictures: list[int] = []
        session.start()

    def run(self, frames: int, *, settled: bool = True) -> Floats:
        """Take frames; return their sound. A text or a voice that hangs is not `settled`."""
        begin = len(self.sound)
        for index in range(begin, begin + frames):
            if settled:
                wait_until(lambda: caught_up(self.session))
            self.clock.wait(self.session.due(index))
            self.sound.append(self.session.sound(index).samples)
            assert len(self.sound[-1]) == N
            self.pictures.append(int(self.session.picture(index).image[0, 0, 0]))
        return np.concatenate(self.sound[begin:])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock) -> Iterator[live.Session]:
    """A session that shows every picture, however fast it is asked for them."""
    made = live.Session(portrait((64, 64)), head=Mask(), voice=Voice(), clock=clock, patient=True)
    yield made
    made.close()


@pytest.fixture
def player(session: live.Session, clock: Clock) -> Player:
    return Player(session, clock)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in left)


def spoken(text: str) -> Floats:
    """Return the sound of a text that a new voice says first."""
    return next(Voice().speak(text)).audio.samples


def known(session: live.Session) -> list[live.Event]:
    found: list[live.Event] = []
    session.subscribe(found.append)
    return found


def only(found: list[live.Event], kind: type[live.Event]) -> list[live.Event]:
    return [event for event in found if isinstance(event, kind)]


# --- the same as offline ------------------------------------------------------------------------------------------------------------


def test_what_is_said_live_is_what_is_rendered_offline() -> None:
    avatar, engine, text = portrait((64, 64)), head("puppet", driver="visemes", seed=2), "One two three. Four five six."
    voice = Voice()
    frames = list(engine.animate(avatar, (speech for part in sentences(text) for speech in voice.speak(part))).frames)
    with live.Session(avatar, head=engine, voice=Voice(), clock=live.Hurried(), patient=True) as session:
        said = session.say(text)
        assert said.prepared(PATIENCE)
        shown = list(islice(session.frames(), len(frames) + 25))
    for offline, now in zip(frames, shown, strict=False):
        np.testing.assert_array_equal(offline.audio.samples, now.audio.samples)
    for offline, now in zip(frames[:-8], shown, strict=False):  # the last 0.3 s end the file, and nothing ends here
        np.testing.assert_array_equal(offline.image, now.image)
    assert any(not np.array_equal(shown[0].image, frame.image) for frame in shown)


def test_a_face_that_speaks_from_idleness_moves_its_mouth_as_offline(session: live.Session, player: Player) -> None:
    text = "one two three four five"
    speech = [silence(1.6), *Voice().speak(text)]
    offline = [int(frame.image[0, 0, 0]) for frame in Mask().animate(portrait((64, 64)), speech).frames][40:]
    player.run(40)
    assert set(player.pictures) == {0}
    assert session.say(text).prepared(PATIENCE)
    player.run(60)
    first = next(i for i, sound in enumerate(player.sound) if sound.any())
    assert max(offline) > 50
    np.testing.assert_allclose(player.pictures[first : first + len(offline)], offline, atol=3)


# --- sound ---------------------------------------------------------------------------------------------------------------------------


def test_speech_begins_at_once_and_all_of_it_is_heard(session: live.Session, player: Player) -> None:
    player.run(30)
    said = session.say("one two three")
    assert said.prepared(PATIENCE)
    sound = player.run(60)
    heard = np.flatnonzero(sound)
    assert heard[0] <= 3 * N, "silence that the head has already heard is not waited for"
    np.testing.assert_array_equal(sound[heard[0] : heard[-1] + 1], spoken("one two three"))
    assert said.done
    assert said.wait(0)
    assert said.heard() == "one two three"


def test_sentences_and_sayings_follow_without_a_gap(session: live.Session, player: Player) -> None:
    sayings = [session.say("One two. Three four."), session.say(iter(["Fi", "ve s", "ix. Sev", "en"]))]
    assert all(saying.prepared(PATIENCE) for saying in sayings)
    sound = np.concatenate([player.run(10)] + [player.run(10) for _ in range(9)])
    numbers = np.floor(sound[sound > 0]).astype(int)
    assert numbers[0] > 0
    assert sorted(set(numbers)) == [1, 2, 3, 4]
    assert len(numbers) == 7 * round(0.3 * RATE)
    assert [saying.heard() for saying in sayings] == ["One two. Three four.", "Five six. Seven"]


def test_a_slow_picture_does_not_touch_the_sound(clock: Clock) -> None:
    gate = threading.Semaphore(0)
    with live.Session(portrait((64, 64)), head=Mask(gate=gate), voice=Voice(), clock=clock) as session:
        said = session.say("one two three four five six")
        assert said.prepared(PATIENCE)
        threading.Timer(0.0, gate.release).start()
        player = Player(session, clock)
        sound = player.run(50)  # no picture but the first is ever drawn
        np.testing.assert_array_equal(sound[: len(spoken("one two three four five six"))], spoken("one two three four five six"))
        assert said.done
        assert session.stats().late == 49
        for _ in range(100):
            gate.release()
    assert session.stats().pictures == 50


def test_a_picture_that_comes_after_late_ones_belongs_to_its_own_moment(clock: Clock) -> None:
    gate = threading.Semaphore(0)
    text = "one two three four five six seven"
    offline = [int(frame.image[0, 0, 0]) for frame in Mask().animate(portrait((64, 64)), Voice().speak(text)).frames]
    with live.Session(portrait((64, 64)), head=Mask(gate=gate), voice=Voice(), clock=clock) as session:
        assert session.say(text).prepared(PATIENCE)
        threading.Timer(0.0, gate.release).start()
        player = Player(session, clock)
        player.run(20)
        for _ in range(200):
            gate.release()
        right = 0
        for index in range(20, 50):
            wait_until(lambda: session._want > index)  # noqa: B023 - called at once
            player.run(1)
            right += abs(player.pictures[index] - offline[index]) <= 3
        assert right >= 20


def caught_up(session: live.Session) -> bool:
    """Return whether the first two in the line have got as far as they get before something of them is given out."""
    with session._lock:
        for item in islice(session._timeline.line, 2):
            if isinstance(item, Clip):
                if not item.ready():
                    return False
            elif isinstance(item, Saying) and not item._finished and sum(piece.taken == 0 for piece in item._pieces) < AHEAD:
                return False
    return True


def wait_until(true: Callable[[], bool]) -> None:
    """Let the other threads work."""
    event = threading.Event()
    for _ in range(round(PATIENCE / 0.002)):
        if true():
            return
        event.wait(0.002)
    raise AssertionError("it never came")


def test_a_caller_who_stops_taking_the_sound_loses_none(session: live.Session, player: Player, clock: Clock) -> None:
    assert session.say("one two three").prepared(PATIENCE)
    first = player.run(10)
    clock.time += 60.0
    rest = player.run(40)
    sound = np.trim_zeros(np.concatenate([first, rest]))
    np.testing.assert_array_equal(sound[: len(spoken("one two three"))], spoken("one two three"))
    assert session.due(50) - clock.now() == pytest.approx(1 / 25, abs=1e-6)
    assert session.stats().stalled == pytest.approx(60, abs=0.1)


# --- taking back ---------------------------------------------------------------------------------------------------------------------


def test_hush_silences_at_once_and_for_ever_and_shuts_the_mouth(session: live.Session, player: Player) -> None:
    found = known(session)
    said = session.say("One two three four. Five six seven eight.")
    later = session.say("nine")
    assert said.prepared(PATIENCE)
    player.run(22)
    assert max(player.pictures) > 50
    assert session.hush() == "One two"  # 0.88 s of 0.3 s each
    sound = player.run(100)
    fade = round(0.015 * RATE)
    assert np.abs(sound[0]) <= np.abs(player.sound[21][-1]) + 1e-3
    assert np.all(np.diff(np.abs(sound[:fade])) <= 1e-3), "it fades"
    assert not sound[fade:].any(), "nothing of it is ever heard later"
    assert max(player.pictures[26:]) == 0, "the mouth is shut 0.16 s later"
    assert said.done
    assert said.hushed
    assert later.hushed
    assert said.heard() == "One two"
    assert [(event.id, event.heard, event.whole) for event in only(found, events.Ended)] == [(1, "One two", False), (2, "", False)]
    assert [event.heard for event in only(found, events.Hushed)] == ["One two"]
    assert not session.speaking


def test_the_mouth_that_was_cut_off_closes_smoothly(session: live.Session, player: Player) -> None:
    assert session.say("one two three four five six seven").prepared(PATIENCE)
    while not player.pictures or player.pictures[-1] < 60:
        player.run(1)
    session.hush()
    begin = player.pictures[-1]
    player.run(5)
    closing = [begin, *player.pictures[-5:]]
    assert all(a >= b for a, b in pairwise(closing))
    assert max(a - b for a, b in pairwise(closing)) < 0.6 * begin


def test_the_mouth_shuts_as_smoothly_when_the_picture_after_hush_is_late(clock: Clock) -> None:
    gate = threading.Semaphore(0)
    with live.Session(portrait((64, 64)), head=Mask(gate=gate), voice=Voice(), clock=clock) as session:
        assert session.say("one two three four five six seven").prepared(PATIENCE)
        threading.Timer(0.0, gate.release).start()
        player = Player(session, clock)

        def drawn() -> None:
            index = len(player.pictures)
            gate.release()
            wait_until(lambda: session._want > index)
            player.run(1)

        while len(player.pictures) < 20 or player.pictures[-1] < 60:
            drawn()
        session.hush()
        player.run(2)  # the head is held up
        hushed = len(player.pictures)
        for _ in range(20):
            drawn()
        for _ in range(100):
            gate.release()
    closing = player.pictures[hushed - 1 :]
    assert closing[0] > 10
    assert all(a >= b for a, b in pairwise(closing)), "it does not open for words that the head has heard already"
    assert max(closing[5:]) == 0, "0.16 s after the head goes on"


def test_after_hush_something_else_is_said_and_nothing_of_the_former(session: live.Session, player: Player) -> None:
    assert session.say("One two three. Four five six.").prepared(PATIENCE)
    player.run(12)
    session.hush()
    voice_says = session.say("seven eight")
    assert voice_says.prepared(PATIENCE)
    sound = player.run(60)
    fade = round(0.015 * RATE)
    heard = np.flatnonzero(sound[fade:]) + fade
    assert heard[0] <= 3 * N
    assert set(np.floor(sound[heard]).astype(int)) == {3}
    assert len(heard) == 2 * round(0.3 * RATE)


def test_hush_does_not_wait_for_a_language_model_that_hangs(session: live.Session, player: Player) -> None:
    hangs, ends = threading.Event(), threading.Event()
    closed = []

    def answer() -> Iterator[str]:
        try:
            yield "One two. "
            yield "Three "
            hangs.set()
            ends.wait(PATIENCE)
            yield "Four. Five."
        finally:
            closed.append(True)

    said = session.say(answer())
    assert said.prepared(PATIENCE)
    assert hangs.wait(PATIENCE)
    player.run(3, settled=False)
    session.hush()
    again = session.say("six")
    assert again.prepared(PATIENCE)
    player.run(20)
    assert again.heard() == "six"
    ends.set()
    assert said.join(PATIENCE)
    assert closed == [True]
    assert not player.run(50).any()
    assert session._voice.said == ["One two. ", "six"]  # type: ignore[union-attr]


def test_hush_closes_a_text_that_can_be_closed_while_it_is_awaited(session: live.Session) -> None:
    class Stream:
        """A network stream: reading blocks until it is closed."""

        def __init__(self) -> None:
            self.closed = threading.Event()
            self.read = threading.Event()

        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            self.read.set()
            assert self.closed.wait(PATIENCE)
            raise ConnectionError("closed")

        def close(self) -> None:
            self.closed.set()

    stream = Stream()
    said = session.say(stream)
    assert stream.read.wait(PATIENCE)
    session.hush()
    assert said.join(PATIENCE)
    assert said.wait(0)  # what a cancelled text raises concerns nobody


def test_hush_tells_less_when_some_of_it_is_still_in_the_players_buffer(session: live.Session, player: Player) -> None:
    assert session.say("one two three four").prepared(PATIENCE)
    player.run(24)
    assert session.hush(unheard=0.4) == "one"


def test_hush_in_silence_says_nothing_and_changes_nothing(session: live.Session, player: Player) -> None:
    player.run(5)
    assert session.hush() == ""
    assert not player.run(30).any()
    assert set(player.pictures) == {0}


def test_a_cough_resumes_the_sentence_from_the_word_that_was_cut(session: live.Session, player: Player) -> None:
    found = known(session)
    said = session.say("one two three four")
    assert said.prepared(PATIENCE)
    first = player.run(19)  # 0.76 s: in the third word
    session.pause()
    quiet = player.run(40)
    assert not quiet[round(0.015 * RATE) :].any()
    assert player.pictures[-1] == 0
    assert said.heard() == "one two"
    assert not said.done
    session.resume()
    rest = player.run(40)
    begin = int(np.flatnonzero(rest)[0]) - 1  # it fades in from nothing
    assert begin <= 3 * N
    fade = round(0.015 * RATE)
    word = round(0.6 * RATE) - RATE // 100
    whole = spoken("one two three four")
    first = np.trim_zeros(first, "f")
    np.testing.assert_array_equal(first, whole[: len(first)])
    np.testing.assert_array_equal(rest[begin + fade :][: len(whole) - word - fade], whole[word + fade :])
    assert said.heard() == "one two three four"
    assert [type(event) for event in found if isinstance(event, events.Paused | events.Resumed)] == [events.Paused, events.Resumed]


def test_hush_ends_a_pause(session: live.Session, player: Player) -> None:
    session.say("one two three")
    player.run(10)
    session.pause()
    session.hush()
    session.resume()
    assert session.say("four").prepared(PATIENCE)
    assert set(np.floor(player.run(40)[round(0.015 * RATE) :]).astype(int)) == {0, 2}


# --- sound and clips from elsewhere ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 97, 640, 5000])
def test_sound_fed_bit_by_bit_is_heard_whole(session: live.Session, player: Player, size: int) -> None:
    sound = (0.1 + np.arange(16000) / 1e6).astype(np.float32)
    feed = session.feed()
    player.run(5)
    count = 0
    for begin in range(0, len(sound), size):
        feed.write(Audio(sound[begin : begin + size], RATE))
        while count * N < begin - 4000 and count < 20:
            player.run(1)
            count += 1
    feed.end()
    heard = np.concatenate([*player.sound, player.run(60)])
    np.testing.assert_array_equal(heard[heard > 0], sound)
    assert feed.done
    assert player.pictures[-1] == 0


def test_sound_that_comes_as_it_is_spoken_waits_for_its_mouth(session: live.Session, player: Player) -> None:
    sound = np.full(32000, 0.1, np.float32)
    feed = session.feed()
    for k in range(50):  # in real time
        feed.write(Audio(sound[k * N : (k + 1) * N], RATE))
        player.run(1)
    feed.end()
    player.run(40)
    heard = np.concatenate(player.sound)
    places = np.flatnonzero(heard)
    assert len(places) == len(sound)
    assert places[-1] - places[0] == len(sound) - 1, "no gap in it"
    assert places[0] <= 0.6 * RATE


def test_sound_of_another_rate_and_from_an_iterable_is_heard(session: live.Session, player: Player) -> None:
    t = np.arange(24000) / 48000
    pieces = (Audio(0.2 * np.sin(2 * np.pi * 300 * t[k : k + 1000]).astype(np.float32), 48000) for k in range(0, 24000, 1000))
    feed = session.feed(pieces)
    assert feed.prepared(PATIENCE)
    wait_until(lambda: feed._finished)
    sound = player.run(25)
    assert len(np.trim_zeros(sound)) == pytest.approx(0.5 * RATE, abs=20)
    spectrum = np.abs(np.fft.rfft(sound[3000:7000]))
    assert np.argmax(spectrum) * RATE / 4000 == pytest.approx(300, abs=5)


def film(frames: int, colour: int) -> Video:
    images = (np.full((2, 2, 3), colour, np.uint8) for _ in range(frames))
    sound = np.full(N, colour / 1000, np.float32)
    return Video((Frame(image, Audio(sound, RATE), k) for k, image in enumerate(images)), FPS, (2, 2), RATE)


def test_clips_and_texts_follow_without_a_gap(clock: Clock) -> None:
    with live.Session(portrait((2, 2)), head=Mask(), voice=Voice(), clock=clock, patient=True) as session:
        items: list[live.Item] = [session.play(film(30, 200)), session.play(film(7, 100)), session.say("one two")]
        items.append(session.play(film(9, 150)))
        for item in items[:2]:
            assert item.prepared(PATIENCE)
        player = Player(session, clock)
        wait_until(lambda: items[0].ready() and items[1].ready())  # type: ignore[attr-defined]
        player.run(110)
        kinds = [round(float(sound[0]), 3) for sound in player.sound]
        assert kinds[:37] == [0.2] * 30 + [0.1] * 7
        assert player.pictures[:37] == [200] * 30 + [100] * 7
        words = np.concatenate(player.sound[37:52])
        np.testing.assert_array_equal(words, spoken("one two"))
        last = kinds.index(0.15)
        assert last == 52
        assert kinds[last : last + 9] == [0.15] * 9
        assert player.pictures[last : last + 9] == [150] * 9
        assert not np.concatenate(player.sound[last + 9 :]).any()
        assert player.pictures[-1] == 0
        assert all(item.done for item in items)


def test_a_clip_is_shown_whole_at_the_sessions_size(clock: Clock) -> None:
    white = Video((Frame(np.full((30, 60, 3), 255, np.uint8), Audio(np.zeros(0, np.float32), 0), k) for k in range(5)), FPS, (60, 30), 0)
    with live.Session(portrait((64, 64)), head=head(), clock=clock, patient=True) as session:
        clip = session.play(white)
        wait_until(clip.ready)
        session.start()
        session.sound(0)
        image = session.picture(0).image
    assert image.shape == (64, 64, 3)
    assert not image[:15].any()
    assert image[17:47].min() == 255


def test_a_clip_that_has_been_shown_leaves_no_pictures_behind(session: live.Session, player: Player) -> None:
    session.play(film(200, 90))
    player.run(150)
    assert player.pictures[-1] == 90
    kept = sum(tick.frame is not None for tick in session._timeline._ticks)
    assert kept <= session._timeline.reach + 1


def test_a_clip_of_another_rate_is_refused(session: live.Session) -> None:
    with pytest.raises(InputError, match="frames a second"):
        session.play(replace(film(3, 10), fps=Fraction(30)))


def test_hush_ends_a_clip(session: live.Session, player: Player) -> None:
    clip = session.play(film(100, 200))
    wait_until(clip.ready)
    player.run(20)
    assert player.pictures[-1] == 200
    session.hush()
    sound = player.run(30)
    assert not sound[round(0.015 * RATE) :].any()
    assert set(player.pictures[20:]) == {0}
    assert clip.done


# --- gestures --------------------------------------------------------------------------------------------------------------------------


def test_stage_directions_are_done_and_not_said(session: live.Session, player: Player) -> None:
    found = known(session)
    said = session.say("one two [nod] three four [shrug] five")
    assert said.prepared(PATIENCE)
    player.run(60)
    assert said.heard() == "one two three four [shrug] five"
    (gesture,) = only(found, events.Gestured)
    (begin,) = only(found, events.Started)
    assert gesture == events.Gestured(pytest.approx(begin.at + 0.5, abs=0.01), "nod")


def test_a_gesture_moves_the_head_and_leaves_it_where_it_was(session: live.Session, clock: Clock) -> None:
    session.start()
    pitch = []
    for index in range(80):
        if index == 20:
            session.express("点头")
        session.sound(index)
        pitch.append(int(session.picture(index).image[1, 1, 0]))
    assert set(pitch[:20]) == {128}
    assert max(pitch) > 128 + 5 * 3
    assert max(abs(a - b) for a, b in pairwise(pitch)) < 5 * 1.5
    assert set(pitch[65:]) == {128}
    assert pitch.index(next(p for p in pitch if p > 130)) <= 26


def test_an_unknown_gesture_is_refused_by_name(session: live.Session) -> None:
    with pytest.raises(InputError, match="shrug"):
        session.express("shrug")


@pytest.mark.parametrize(
    ("text", "clean", "found"),
    [
        ("Hello [smile] there.", "Hello there.", [(6, "smile")]),
        ("[点头]好的。", "好的。", [(0, "nod")]),
        ("See [1] and [Smith 2020].", "See [1] and [Smith 2020].", []),
        ("Yes. 【微笑】", "Yes. ", [(5, "smile")]),
        ("a[nod]b [NODS] c", "ab c", [(1, "nod"), (3, "nod")]),
    ],
)
def test_directions_are_taken_out_of_a_text(text: str, clean: str, found: list[tuple[int, str]]) -> None:
    assert directions(text, GESTURES.__contains__) == (clean, found)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 200])
def test_what_is_shown_of_a_text_in_pieces_has_no_directions(size: int) -> None:
    text = "[smile] Hello [nod] there, [wave]see [1] and [a long note in brackets that is none]. 你好[微笑]！【点头】 a[0] = [x, y] [smile"
    shown = Unbracketed()
    said = "".join(shown.add(text[k : k + size]) for k in range(0, len(text), size)) + shown.rest()
    assert said == "Hello there, see [1] and [a long note in brackets that is none]. 你好！ a[0] = [x, y] [smile"


def test_every_gesture_begins_and_ends_in_nothing() -> None:
    for gesture in GESTURES.values():
        for time in (0.0, gesture.seconds):
            weights, turn = gesture.at(time)
            assert not weights.any()
            assert not turn.any()
        sizes = [gesture.at(gesture.seconds * k / 50) for k in range(51)]
        assert max(float(np.abs(turn).max()) for _, turn in sizes) < 12
        assert max(float(weights.max()) for weights, _ in sizes) <= 1
        assert any(weights.any() or turn.any() for weights, turn in sizes)


# --- steering --------------------------------------------------------------------------------------------------------------------------


def silence(seconds: float) -> Speech:
    return Speech(Audio(np.zeros(round(seconds * RATE), np.float32), RATE), aligned=True)


def test_a_driver_that_is_not_steered_moves_as_without_the_wheel() -> None:
    speech = [*Voice().speak("one two three"), silence(1.0)]
    for own, steered in zip(Visemes(seed=1).drive(speech, FPS), Steered(Visemes(seed=1)).drive(speech, FPS), strict=True):
        np.testing.assert_array_equal(own.weights, steered.weights)
        np.testing.assert_array_equal(own.head, steered.head)


def test_after_a_cut_the_motion_leaves_the_last_one_shown_smoothly_and_becomes_its_own() -> None:
    (speech,) = Voice().speak("one two three four five six")
    pieces = [replace(p, audio=Audio(np.clip(p.audio.samples, -0.3, 0.3), RATE)) for p in (speech,)]

    def stream(*, cut: bool) -> Iterator[Speech]:
        yield from pieces
        mark = Cut(60, 20) if cut else None
        yield replace(silence(0.04), cut=mark)
        yield silence(3.0)

    own = list(Steered(Visemes(seed=4)).drive(stream(cut=False), FPS))
    motions = Steered(Visemes(seed=4)).drive(stream(cut=True), FPS)
    shown = [next(motions) for _ in range(30)]
    rest = list(motions)
    at = next(i for i, motion in enumerate(rest) if motion.dropped)
    first = 30 + at + rest[at].dropped
    assert first == 60
    last = shown[20]
    for axis in range(3):
        assert abs(rest[at].head[axis] - last.head[axis]) < 0.6 * abs(own[first].head[axis] - last.head[axis]) + 0.2
    for k, motion in enumerate(rest[at:]):
        if k >= 10:
            np.testing.assert_array_equal(motion.weights, own[first + k].weights)
            np.testing.assert_array_equal(motion.head, own[first + k].head)
        assert motion.weights.min() >= 0
        assert motion.weights.max() <= 1


def test_a_steered_driver_keeps_a_bounded_past_however_often_it_is_cut_off() -> None:
    def stream() -> Iterator[Speech]:
        for k in range(40):
            yield replace(silence(1.2), cut=Cut(30 * k + 8, 30 * k - 9))

    given: list[weakref.ref[Motion]] = []
    kept = 0
    for motion in Steered(Visemes(life=False)).drive(stream(), FPS):
        given.append(weakref.ref(motion))
        kept = max(kept, sum(one() is not None for one in given))
    assert 400 < len(given) < 800  # of 1200: the others were dropped
    assert kept <= KEPT + 1


# --- events, errors, ends ---------------------------------------------------------------------------------------------------------------


def test_events_tell_what_happens_in_order_and_when(session: live.Session, player: Player) -> None:
    found = known(session)
    player.run(10)
    assert session.say("One two. Three.").prepared(PATIENCE)
    player.run(60)
    kinds = [type(event).__name__ for event in found]
    assert kinds == ["Started", "Seen", "Sentence", "Word", "Word", "Sentence", "Word", "Ended"] or kinds == [
        "Started", "Sentence", "Word", "Seen", "Word", "Sentence", "Word", "Ended",
    ]  # fmt: skip
    words = only(found, events.Word)
    begin = only(found, events.Started)[0].at
    assert [word.text for word in words] == ["One", "two.", "Three."]
    np.testing.assert_allclose([word.at - begin for word in words], [0.0, 0.3, 0.6], atol=1e-6)
    assert words[2].span == (0, 6)
    assert only(found, events.Ended)[0].heard == "One two. Three."


def test_a_listener_may_ask_for_something_and_may_leave(session: live.Session, player: Player) -> None:
    said = []

    def listen(event: live.Event) -> None:
        if isinstance(event, events.Ended) and not said:
            said.append(session.say("two"))
            leave()

    leave = session.subscribe(listen)
    session.say("one")
    player.run(20)
    assert said[0].prepared(PATIENCE)
    player.run(20)
    assert said[0].heard() == "two"


def test_a_voice_that_fails_ends_its_saying_and_nothing_else(clock: Clock) -> None:
    with live.Session(portrait((64, 64)), head=Mask(), voice=Voice(broken="Two"), clock=clock, patient=True) as session:
        found = known(session)
        bad, good = session.say("One. Two. Three."), session.say("four")
        assert bad.join(PATIENCE)
        assert good.prepared(PATIENCE)
        Player(session, clock).run(60)
        ended = only(found, events.Ended)
        assert [(event.id, event.heard, event.whole, event.error) for event in ended] == [
            (1, "One. ", False, "the voice broke"), (2, "four", True, ""),
        ]  # fmt: skip
        with pytest.raises(EngineError, match="the voice broke"):
            bad.wait(0)
        assert good.wait(0)


def test_a_text_with_nothing_to_say_is_over_at_once(session: live.Session, player: Player) -> None:
    said = session.say(" … ")
    after = session.say("one")
    assert said.prepared(PATIENCE)
    assert after.prepared(PATIENCE)
    player.run(25)
    assert said.wait(0)
    assert said.heard() == ""
    assert after.heard() == "one"


def test_what_the_head_refuses_is_raised_to_whoever_takes_pictures() -> None:
    class Refusing(Mask):
        def animate(self, avatar: Avatar, speech: Iterable[Speech]) -> Video:
            raise NoSpeechError("not this face")

    with live.Session(portrait((64, 64)), head=Refusing()) as session, pytest.raises(NoSpeechError, match="not this face"):
        next(session.frames())


def test_a_closed_session_says_nothing_more_and_its_iterators_end(session: live.Session) -> None:
    frames = session.frames()
    next(frames)
    session.say("one two three")
    session.close()
    session.close()
    assert list(frames) == []
    with pytest.raises(InputError, match="closed"):
        session.say("four")


def test_numbers_that_do_not_come_out_even_are_refused() -> None:
    with pytest.raises(InputError, match="44100 Hz"):
        live.Session(portrait((64, 64)), head=Mask(), fps=Fraction(24), rate=44100)
    assert live.Session(portrait((64, 64)), head=Mask(), voice=Voice(), fps=Fraction(30)).rate == 48000


def test_two_sessions_share_a_head_and_a_voice_and_nothing_else(clock: Clock) -> None:
    engine, voice = Mask(), Voice()
    sessions = [live.Session(portrait((64, 64)), head=engine, voice=voice, clock=clock, patient=True) for _ in range(2)]
    players = [Player(session, clock) for session in sessions]
    said = sessions[0].say("one two three")
    assert said.prepared(PATIENCE)
    sessions[1].hush()
    heard = [player.run(50) for player in players]
    assert heard[0].any()
    assert not heard[1].any()
    assert max(players[0].pictures) > 50
    assert max(players[1].pictures) == 0
    for session in sessions:
        session.close()


def test_nothing_piles_up_in_a_long_session(session: live.Session, player: Player) -> None:
    def held() -> int:
        return len(session._timeline._ticks) + len(session._places) + len(session._items) + len(session._ready) + len(session._events)

    sizes = []
    for k in range(60):
        said = session.say("one two three four")
        assert said.prepared(PATIENCE)
        player.run(9)
        if k % 3 == 0:
            session.hush()
        elif k % 3 == 1:
            session.express("smile")
            session.pause()
            player.run(3)
            session.resume()
            player.run(40)
        else:
            player.run(40)
        sizes.append(held())
    assert max(sizes[30:]) <= max(sizes[:30]) + 5
    assert max(sizes) < 250


def test_pictures_and_sounds_are_one_timeline(clock: Clock) -> None:
    with live.Session(portrait((64, 64)), head=Mask(), voice=Voice(), clock=live.Hurried(), patient=True) as session:
        assert session.say("one two three").prepared(PATIENCE)
        sounds = session.sounds()
        heard = [next(sounds).samples for _ in range(10)]
        np.testing.assert_array_equal(np.concatenate(heard), spoken("one two three")[: 10 * N])
        frames = session.frames()
        frame = next(frames)
        assert frame.index == 10
        np.testing.assert_array_equal(frame.audio.samples, spoken("one two three")[10 * N : 11 * N])
        picture = next(session.pictures())
        assert picture.index >= 10
        assert not picture.late

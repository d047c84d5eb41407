"""What every TalkingHead promises (`huashen.talking_head.TalkingHead`)."""

import gc
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import toy_wav2lip
from huashen.avatar import Avatar
from huashen.errors import NoSpeechError
from huashen.footage import Footage
from huashen.live.steering import Steered
from huashen.registry import load
from huashen.talking_head import TABLE, TalkingHead
from huashen.types import Audio, Cut, Frame, Image, Mark, Speech, Video
from synthetic import clip, portrait

Engine = partial[TalkingHead]
RATE = 16000
PHONES = ("m", "aɪ", "b", "uː", "s", "iː", "p", "ɑ")


@pytest.fixture(scope="module", params=TABLE.names())
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Build an engine; one whose weights have to be imported gets a small network in their place."""
    name = str(request.param)
    options: dict[str, object] = {}
    if name == "wav2lip":
        options["weights"] = toy_wav2lip.random(tmp_path_factory.mktemp("weights") / "toy.onnx")
    return partial(load, "talking_head", name, **options)


@pytest.fixture(scope="module")
def avatar(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Avatar | Footage:
    """A drawn face that nobody may write to: a picture, or a clip for an engine that takes none."""
    made = clip(tmp_path_factory.mktemp("clip"), (64, 72)) if engine.args == ("talking_head", "mouthbank") else portrait((64, 72))
    for array in arrays(made):
        array.setflags(write=False)
    return made


def arrays(avatar: Avatar | Footage) -> list[np.ndarray]:
    """Return what an avatar is made of."""
    if isinstance(avatar, Footage):
        return [avatar.points, avatar.corners]  # the mouths are read anew each time
    assert avatar.mask is not None
    return [avatar.image, avatar.mask, avatar.face.landmarks.points, avatar.face.head]


def first(avatar: Avatar | Footage) -> Image:
    """Return the picture a video of an avatar begins with, as it is before anything is said."""
    return next(avatar.images([0])) if isinstance(avatar, Footage) else avatar.image


def said(seconds: float, *, rate: int = RATE, seed: int = 0) -> Speech:
    """Return a buzz with a phone every 0.11 s."""
    count = round(seconds * rate)
    t = np.arange(count) / rate
    sound = 0.2 * np.sin(2 * np.pi * 130 * t) * np.clip(np.sin(2 * np.pi * 4.5 * t), 0, 1)
    sound += 1e-3 * np.random.default_rng(seed).standard_normal(count)
    times = np.arange(0.15, seconds - 0.2, 0.11)
    marks = tuple(Mark("phone", PHONES[i % len(PHONES)], float(a), float(a) + 0.11, stress=2 * (i % 4 == 1)) for i, a in enumerate(times))
    return Speech(Audio(sound.astype(np.float32), rate), marks, aligned=True)


def cut(speech: Speech, places: Iterable[int]) -> list[Speech]:
    """Return a speech in pieces that begin at these samples; a mark goes with the piece in which it starts."""
    rate = speech.audio.rate
    found = []
    for a, b in pairwise([0, *places, len(speech.audio.samples)]):
        marks = tuple(
            Mark(m.kind, m.text, m.start - a / rate, m.end - a / rate, m.stress) for m in speech.marks if a <= m.start * rate < b
        )
        found.append(Speech(Audio(speech.audio.samples[a:b], rate), marks, aligned=True))
    return found


def animated(
    engine: Engine, avatar: Avatar | Footage, speech: Iterable[Speech], *, fps: Fraction = Fraction(25), **options: object
) -> Video:
    video = engine(driver=load("audio2face"), fps=fps, **options).animate(avatar, speech)
    assert isinstance(video, Video)
    return video


def test_engine_is_a_talking_head_whose_lookahead_is_at_least_its_drivers(engine: Engine) -> None:
    driver = load("audio2face")
    head = engine(driver=driver)
    assert isinstance(head, TalkingHead)
    assert head.lookahead >= driver.lookahead


@pytest.mark.parametrize("begin", [1, 7, 19])
def test_work_that_was_stopped_goes_on_with_the_same_frames(engine: Engine, avatar: Avatar | Footage, begin: int) -> None:
    speech = said(0.83)
    whole = list(animated(engine, avatar, [speech]).frames)
    rest = engine(driver=load("audio2face"), fps=Fraction(25)).animate(avatar, cut(speech, [500, 7000]), begin=begin)
    for ours, theirs in zip(rest.frames, whole[begin:], strict=True):
        assert ours.index == theirs.index
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_array_equal(ours.audio.samples, theirs.audio.samples)


@pytest.mark.parametrize(("fps", "rate"), [(Fraction(25), 16000), (Fraction(30000, 1001), 22050)], ids=str)
def test_frames_carry_their_own_sound_and_all_of_it(engine: Engine, avatar: Avatar | Footage, fps: Fraction, rate: int) -> None:
    speech = said(0.83, rate=rate)
    video = animated(engine, avatar, cut(speech, [1000, 1001, 9000]), fps=fps)
    assert video.fps == fps
    assert video.rate == rate
    frames = list(video.frames)
    assert [f.index for f in frames] == list(range(len(frames)))
    assert video.length in (None, len(frames))
    samples = speech.audio.samples
    for frame in frames:
        begin, end = (-(-(frame.index + k) * rate * fps.denominator // fps.numerator) for k in (0, 1))
        own = np.zeros(end - begin, np.float32)
        own[: len(samples[begin:end])] = samples[begin:end]
        np.testing.assert_array_equal(frame.audio.samples, own)
        assert frame.audio.rate == rate
    assert (len(frames) - 1) * rate / fps < len(samples) <= len(frames) * rate / fps


def test_frames_are_fresh_arrays_of_the_stated_size(engine: Engine, avatar: Avatar | Footage) -> None:
    video = animated(engine, avatar, [said(0.6)])
    assert video.size == (64, 72)
    kept = []
    for frame in video.frames:
        assert frame.image.shape == (72, 64, 3)
        assert frame.image.dtype == np.uint8
        assert not any(np.shares_memory(frame.image, other) for other in (*arrays(avatar), *kept))
        kept.append(frame.image)
    assert any(not np.array_equal(kept[0], image) for image in kept[1:])


def test_what_is_written_into_a_frame_does_not_show_in_the_next(engine: Engine, avatar: Avatar | Footage) -> None:
    clean = [f.image for f in animated(engine, avatar, [said(0.5)]).frames]
    for frame, image in zip(animated(engine, avatar, [said(0.5)]).frames, clean, strict=True):
        np.testing.assert_array_equal(frame.image, image)
        frame.image[:] = 0


def test_a_size_of_another_shape_is_kept(engine: Engine, avatar: Avatar | Footage) -> None:
    video = animated(engine, avatar, [said(0.1)], size=(80, 66))
    assert video.size == (80, 66)
    assert next(video.frames).image.shape == (66, 80, 3)


def test_chunking_does_not_change_frames(engine: Engine, avatar: Avatar | Footage) -> None:
    speech = said(0.9)
    n = len(speech.audio.samples)
    whole = list(animated(engine, avatar, [speech]).frames)
    for places in ([1, 2, 3, 639, 640, 641], range(700, n, 700), sorted(np.random.default_rng(1).choice(n - 1, 9, replace=False) + 1)):
        pieces = list(animated(engine, avatar, cut(speech, places)).frames)
        assert len(pieces) == len(whole)
        for one, two in zip(whole, pieces, strict=True):
            np.testing.assert_array_equal(one.image, two.image)
            np.testing.assert_array_equal(one.audio.samples, two.audio.samples)


def test_a_frame_comes_as_soon_as_its_lookahead_has(engine: Engine, avatar: Avatar | Footage) -> None:
    head = engine(driver=load("audio2face"))
    if head.lookahead == float("inf"):
        pytest.skip("an engine that needs all the sound yields nothing early")
    read = 0

    def live() -> Iterator[Speech]:
        nonlocal read
        for piece in cut(said(1.2), range(160, 19200, 160)):  # 10 ms each
            read += len(piece.audio.samples)
            yield piece

    for frame in head.animate(avatar, live()).frames:
        needed = (frame.index + 1) / 25 + head.lookahead
        assert read <= min(19200, (needed + 0.011) * RATE)


def test_the_avatar_is_not_changed(engine: Engine, avatar: Avatar | Footage) -> None:
    given = avatar if isinstance(avatar, Footage) else portrait((64, 64), shut=False)
    before = [array.tobytes() for array in arrays(given)]
    assert sum(1 for _ in animated(engine, given, [said(0.4)]).frames) == 10
    assert [array.tobytes() for array in arrays(given)] == before


def test_two_streams_of_one_engine_do_not_meet(engine: Engine, avatar: Avatar | Footage) -> None:
    head = engine(driver=load("audio2face", seed=3))
    one, two = said(0.5, seed=1), cut(said(0.7, seed=2), [4000])[1]
    alone = [f.image for f in head.animate(avatar, [one]).frames]
    three, four = head.animate(avatar, [one]).frames, head.animate(avatar, [two]).frames
    together = [frame.image for frame, _ in zip(three, four, strict=False)]
    for a, b in zip(alone, together, strict=False):
        np.testing.assert_array_equal(a, b)


def test_memory_does_not_grow_with_length(engine: Engine, avatar: Avatar | Footage) -> None:
    speech = said(1.0)
    frames: Iterator[Frame] = animated(engine, avatar, (speech for _ in range(14))).frames

    def drawn(count: int) -> int:
        """Draw some frames and return what is held after them, bytes."""
        for _, _frame in zip(range(count), frames, strict=False):
            pass
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        drawn(75)
        before = drawn(75)
        after = drawn(150)
    finally:
        tracemalloc.stop()
    image = 72 * 64 * 3
    assert after - before < 10 * image, "150 frames left more behind than ten"


def test_a_cut_drops_what_was_not_shown_and_waits_for_nothing(engine: Engine, avatar: Avatar | Footage) -> None:
    head = engine(driver=Steered(load("audio2face")))
    ahead = round(head.lookahead * 25)
    pieces = [replace(piece, cut=None) for piece in cut(said(3.2), range(640, 51200, 640))]
    at, filler = 12, 7  # the frame after which it is cut, and silent frames that are heard and not shown
    given: list[int] = []
    before: list[int] = []

    def live() -> Iterator[Speech]:
        for piece in pieces[:40]:
            if frames and len(frames) == at + 1:
                break
            given.append(len(given))
            yield piece
        silence = Speech(Audio(np.zeros(640, np.float32), RATE), aligned=True)
        before.append(len(given) + filler)
        for k, piece in enumerate([*[silence] * filler, *pieces[40:70]]):
            yield replace(piece, cut=Cut(before[0], at)) if k == 0 else piece

    frames: list[Frame] = []
    for frame in head.animate(avatar, live()).frames:
        frames.append(frame)
    assert len(given) <= at + 1 + ahead + 2, "it hears no further ahead than it says"
    assert [frame.index for frame in frames] == [*range(at + 1), *range(before[0], before[0] + 30)]
    for frame, piece in zip(frames[at + 1 :], pieces[40:70], strict=True):
        np.testing.assert_array_equal(frame.audio.samples, piece.audio.samples)
    jumps = [float(np.abs(a.image.astype(np.float32) - b.image).mean()) for a, b in pairwise(frames)]
    assert jumps[at] <= 2.0 * max(jumps[:at] + jumps[at + 1 :]), "no jump where it was cut"


def test_no_sound_is_refused(engine: Engine, avatar: Avatar | Footage) -> None:
    with pytest.raises(NoSpeechError):
        animated(engine, avatar, [])


def test_the_face_lives_in_silence(engine: Engine, avatar: Avatar | Footage) -> None:
    silence = Speech(Audio(np.zeros(2 * RATE, np.float32), RATE), aligned=True)
    images = [f.image.astype(np.float32) for f in animated(engine, avatar, [silence]).frames]
    assert max(np.abs(image - first(avatar)).mean() for image in images) > 0.5

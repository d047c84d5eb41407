"""The mouth says what the marks say."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from huashen.audio2face.visemes import Visemes
from huashen.errors import HuashenError
from huashen.registry import load
from huashen.types import ARKIT_INDEX, Audio, Mark, Motion, Speech

FPS = [Fraction(12), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50), Fraction(60)]


def says(phones: str, *, each: float = 0.09, before: float = 0.5, after: float = 0.5, loud: float = 0.2, stress: int = 1) -> Speech:
    """Return speech of phones one after another; "name:0.2" lasts 0.2 s, "_" is a pause."""
    time, marks = before, []
    for phone in phones.split():
        name, _, length = phone.partition(":")
        seconds = float(length or each)
        if name != "_":
            marks.append(Mark("phone", name, time, time + seconds, stress))
        time += seconds
    t = np.arange(round((time + after) * 16000)) / 16000
    sound = np.where((t > before) & (t < time), loud * np.sin(2 * np.pi * 150 * t) * (1 + 0.5 * np.sin(2 * np.pi * 900 * t)), 0)
    return Speech(Audio(sound.astype(np.float32), 16000), tuple(marks), aligned=True)


def moved(speech: Speech | list[Speech], fps: Fraction | int = 100, **options: float) -> list[Motion]:
    return list(Visemes(life=False, **options).drive([speech] if isinstance(speech, Speech) else speech, Fraction(fps)))


def curve(motions: list[Motion], name: str) -> np.ndarray:
    return np.array([m.weights[ARKIT_INDEX[name]] for m in motions], np.float64)


def gap(motions: list[Motion]) -> np.ndarray:
    """Return the inner gap between the lips by the renderer's linear model, in distances between the outer eye corners."""
    closed = curve(motions, "mouthClose")
    upper = (curve(motions, "mouthUpperUpLeft") + curve(motions, "mouthUpperUpRight")) / 2
    lower = (curve(motions, "mouthLowerDownLeft") + curve(motions, "mouthLowerDownRight")) / 2
    found = 0.30 * curve(motions, "jawOpen") * (1 - closed) + 0.035 * upper + 0.045 * lower - 0.03 * curve(motions, "mouthPucker")
    return np.where(closed >= 1, 0.0, np.maximum(found, 0.0))


def width(motions: list[Motion]) -> np.ndarray:
    stretch = (curve(motions, "mouthStretchLeft") + curve(motions, "mouthStretchRight")) / 2
    smile = (curve(motions, "mouthSmileLeft") + curve(motions, "mouthSmileRight")) / 2
    return 0.13 * stretch + 0.10 * smile - 0.17 * curve(motions, "mouthPucker") - 0.10 * curve(motions, "mouthFunnel")


def closed_at(motions: list[Motion], fps: Fraction, mark: Mark) -> float:
    """Return the smallest gap in the frames that show the mark."""
    first, last = int(mark.start * fps), int(mark.end * fps)
    return float(gap(motions)[first : last + 1].min())


@pytest.mark.parametrize("fps", FPS, ids=str)
@pytest.mark.parametrize("each", [0.03, 0.05, 0.09])
def test_lips_meet_on_every_p_b_m_at_every_frame_rate(fps: Fraction, each: float) -> None:
    speech = says("ɑ p ɑ m ɑ b ɑ pʰ æ m iː b uː p s t ɑ m p ɑ _:0.4 b ɛ m", each=each, before=0.513)
    motions = moved(speech, fps)
    for mark in speech.marks:
        if mark.text[0] in "pbm":
            assert closed_at(motions, fps, mark) == 0.0, mark


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(60)], ids=str)
def test_lips_part_between_two_closures(fps: Fraction) -> None:
    speech = says("m ɑ m ɑ p ɑ p ɑ", each=0.1)
    values = gap(moved(speech, fps))
    for mark in speech.marks[1::2]:
        middle = int((mark.start + mark.end) / 2 * fps)
        assert values[middle - 1 : middle + 2].max() > 0.06


def test_f_and_v_bring_the_lower_lip_to_the_teeth() -> None:
    for phone in "fv":
        speech = says(f"ɑ:0.12 {phone}:0.1 ɑ:0.12")
        motions = moved(speech)
        middle = round((speech.marks[1].start + 0.05) * 100)
        assert curve(motions, "mouthRollLower")[middle] > 0.5
        assert curve(motions, "mouthUpperUpLeft")[middle] > 0.2
        assert gap(motions)[middle] < 0.05
        assert gap(motions)[middle - 12] > 0.1


@pytest.mark.parametrize(("vowel", "least"), [("ɑː", 0.17), ("æ", 0.15), ("ɔː", 0.11), ("ɛ", 0.12), ("ə", 0.1), ("iː", 0.06)])
def test_vowels_are_reached_between_consonants(vowel: str, least: float) -> None:
    speech = says(f"t:0.07 {vowel}:0.14 t:0.07")
    open_ = gap(moved(speech))
    alone = gap(moved(says(f"{vowel}:0.5")))
    begin, end = round(speech.marks[1].start * 100), round(speech.marks[1].end * 100)
    assert open_[begin:end].max() > 0.85 * alone.max()
    assert open_[begin:end].max() > least


def test_vowels_are_told_apart_by_gap_and_width() -> None:
    shape = {v: moved(says(f"t {v}:0.2 t")) for v in ("i", "y", "u", "ɑ", "o", "ɨ")}
    middle = 69
    gaps = {v: gap(m)[middle] for v, m in shape.items()}
    widths = {v: width(m)[middle] for v, m in shape.items()}
    assert gaps["ɑ"] > gaps["o"] > gaps["u"] > gaps["y"] > 0
    assert gaps["ɑ"] > 1.8 * gaps["i"]
    assert widths["i"] > 0.05 > widths["ɑ"] > -0.02 > widths["o"] > widths["u"] > -0.25
    assert widths["i"] > widths["ɨ"] > widths["u"]
    assert widths["y"] < -0.12


def test_diphthongs_move_from_one_vowel_to_the_other() -> None:
    speech = says("ɑu:0.25")
    motions = moved(speech)
    begin, end = round(0.5 * 100), round(0.75 * 100)
    assert np.argmax(gap(motions)[begin:end]) < 12
    assert np.argmax(curve(motions, "mouthPucker")[begin : end + 5]) > 14


def test_rounding_is_foreseen_through_consonants_but_not_further_than_0_2_s() -> None:
    speech = says("iː:0.2 s:0.07 t:0.07 ɹ:0.07 uː:0.2")
    early = says("iː:0.2 s:0.07 t:0.07 ɹ:0.07 iː:0.2")
    pucker = curve(moved(speech), "mouthPucker") - curve(moved(early), "mouthPucker")
    vowel = speech.marks[4].start
    core = vowel + 0.06
    assert pucker[round((vowel - 0.07) * 100)] > 0.1
    assert np.abs(pucker[: round((core - 0.2) * 100)]).max() < 0.03
    assert not np.abs(pucker[: round((core - 0.26) * 100)]).any()
    assert pucker[round((vowel + 0.1) * 100)] > 0.5


def test_hurry_makes_movements_smaller() -> None:
    sizes = [gap(moved(says("t ɑ t ɑ t ɑ t ɑ", each=each))).max() for each in (0.04, 0.07, 0.14)]
    assert sizes[0] < 0.85 * sizes[2]
    assert sizes == sorted(sizes)


def test_stress_and_loudness_make_movements_larger() -> None:
    assert gap(moved(says("t ɑ t", stress=2))).max() > 1.03 * gap(moved(says("t ɑ t", stress=0))).max()
    soft, loud = says("t ɑ:0.2 t _:0.3 t ɑ:0.2 t", after=0.5), None
    samples = soft.audio.samples.copy()
    samples[round(1.1 * 16000) :] *= 0.05
    loud = gap(moved(Speech(Audio(samples, 16000), soft.marks, aligned=True)))
    assert loud[110:].max() < 0.95 * loud[:100].max()


def test_amplitude_scales_the_opening_and_spares_closures() -> None:
    speech = says("ɑ p ɑ")
    half, full = moved(speech, amplitude=0.5), moved(speech)
    np.testing.assert_allclose(curve(half, "jawOpen"), 0.5 * curve(full, "jawOpen"), atol=1e-6)
    np.testing.assert_array_equal(curve(half, "mouthClose"), curve(full, "mouthClose"))


def test_mouth_closes_soon_after_the_last_sound_and_parts_shortly_before_the_first() -> None:
    motions = moved(says("h ɑ l ɑ:0.15", before=0.6, after=1.0))
    end = 0.6 + 3 * 0.09 + 0.15
    values = gap(motions)
    peak = values.max()
    after = values[round(end * 100) :]
    assert np.argmax(after < 0.15 * peak) <= 8  # 80 ms: two frames of 25 fps
    assert np.argmax(after < 0.15 * peak) >= 2  # not at once
    assert not after[20:].any()
    begin = np.flatnonzero(values > 0.01)[0] / 100
    assert 0.02 <= 0.6 - begin <= 0.13
    assert not values[:45].any()


def test_pauses_longer_than_0_3_s_close_the_mouth() -> None:
    motions = moved(says("ɑ t ɑ _:0.32 ɑ t ɑ"), 25)
    pause = gap(motions)[round(0.77 * 25) + 3 : round(1.09 * 25) - 3]
    assert pause.min() < 0.02 * gap(motions).max()


def test_curves_are_smooth_but_for_closures() -> None:
    motions = moved(says("h ɛ l oʊ w ɜː l d ɹ aɪ t s iː ʃ uː"), 200)
    for name in ("jawOpen", "mouthPucker", "mouthStretchLeft", "mouthUpperUpLeft", "mouthLowerDownRight", "mouthRollLower"):
        steps = np.diff(curve(motions, name))
        assert np.abs(steps).max() < 0.09, name
        assert np.abs(np.diff(steps)).max() < 0.045, name


def test_what_lies_beyond_the_lookahead_changes_nothing() -> None:
    # The same beginning, then different words: frames whose end and lookahead lie before the change are the same.
    one, two = says("t ɑ t ɑ t ɑ p ɑ m ɑ"), says("t ɑ t ɑ t ɑ uː w iː f")
    change = one.marks[6].start
    samples = two.audio.samples.copy()
    samples[round(change * 16000) :] *= -0.3
    two = Speech(Audio(samples, 16000), two.marks, aligned=True)
    fps = Fraction(50)
    driver = Visemes(seed=4)
    a, b = list(driver.drive([one], fps)), list(driver.drive([two], fps))
    n = int((change - driver.lookahead) * fps)
    assert n > 10
    for x, y in zip(a[:n], b[:n], strict=True):
        np.testing.assert_array_equal(x.weights, y.weights)
        np.testing.assert_array_equal(x.head, y.head)
    assert np.abs(a[n + 12].weights - b[n + 12].weights).max() > 0.01


def test_where_no_marks_tell_what_is_said_the_sound_does_and_the_change_is_smooth() -> None:
    t = np.arange(32000) / 16000
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 25)) * np.clip(np.sin(2 * np.pi * 4 * t), 0, 1)
    unmarked = Speech(Audio((0.1 * buzz).astype(np.float32), 16000))
    marked = says("ɑ:0.4 t ɑ:0.4", before=0.05, after=0.05)
    motions = moved([marked, unmarked, marked], 100)
    sound_only = list(load("audio2face", "signal", life=False).drive([marked, unmarked, marked], Fraction(100)))
    first = len(marked.audio.samples) / 160
    inside = slice(round(first) + 10, round(first + 200) - 10)
    np.testing.assert_allclose(curve(motions, "jawOpen")[inside], curve(sound_only, "jawOpen")[inside], atol=1e-6)
    assert np.abs(np.diff(curve(motions, "jawOpen"))).max() < 0.12
    assert gap(motions)[inside].max() > 0.05


def test_phones_without_the_promise_of_completeness_count_where_they_are() -> None:
    speech = says("p ɑ:0.2 p")
    partly = Speech(speech.audio, speech.marks, aligned=False)
    whole, some = gap(moved(speech)), gap(moved(partly))
    middle = round((speech.marks[1].start + 0.1) * 100)
    assert some[middle] == pytest.approx(whole[middle], abs=1e-6)
    assert some[round((speech.marks[2].start + 0.03) * 100)] == pytest.approx(0, abs=0.01)


def sentences() -> list[tuple[str, str]]:
    return [
        ("espeak", "My mother bought five big apples. Do you move the blue boat before Bob?"),
        ("espeak", "爸爸妈妈不怕麻烦，每天买苹果和面包。你好，我是数字人。"),
        ("flite", "Paul and Mary bumped into a very famous film maker in the park."),
    ]


@pytest.mark.parametrize(("voice", "text"), sentences())
def test_real_voices_close_the_lips_and_open_them_as_people_do(voice: str, text: str) -> None:
    try:
        spoken = list(load("tts", voice).speak(text))
    except (HuashenError, ModuleNotFoundError) as error:
        pytest.skip(f"wants the voice '{voice}': {error}")
    fps = Fraction(25)
    motions = moved(spoken, fps)
    values = gap(motions)
    offset, marks = 0.0, []
    for piece in spoken:
        marks += [
            Mark("phone", m.text, m.start + offset, m.end + offset) for m in piece.marks if m.kind == "phone" and m.text not in ("", "_")
        ]
        offset += piece.audio.seconds
    time = (np.arange(len(values)) + 0.5) / float(fps)
    talking = np.zeros(len(values), bool)
    for mark in marks:
        talking |= (time >= mark.start) & (time < mark.end)
    most = np.percentile(values[talking], 95)
    assert 0.13 < most < 0.25
    lips = [m for m in marks if m.text[0] in "pbm"]
    assert len(lips) >= 4
    for mark in lips:
        assert closed_at(motions, fps, mark) <= 0.15 * most, mark
    for one, two in pairwise(marks):
        if two.start - one.end > 0.3:
            assert values[(time > one.end + 0.08) & (time < two.start - 0.12)].max() < 0.15 * most


def test_sure_sounds_only_shut_the_lips_and_leave_the_rest_to_the_guess() -> None:
    from huashen.audio2face.learned import Hearing, network

    t = np.arange(3 * 16000) / 16000
    buzz = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 20))
    sound = (0.1 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))).astype(np.float32)

    def moved(*marks: Mark) -> np.ndarray:
        driver = Visemes(life=False, guess=lambda: Hearing(network()), sure_only=True)
        said = Speech(Audio(sound, 16000), marks, aligned=bool(marks))
        return np.stack([m.weights for m in driver.drive([said], Fraction(25))])

    plain = moved()
    told = moved(Mark("phone", "ɑ", 1.0, 1.5), Mark("phone", "m", 1.5, 1.6), Mark("phone", "ɑ", 1.6, 2.2))
    assert plain[37:40, ARKIT_INDEX["mouthClose"]].max() < 1.0
    assert told[37:40, ARKIT_INDEX["mouthClose"]].max() == 1.0
    np.testing.assert_array_equal(told[28:33], plain[28:33])  # how far the vowel opens is the guess's
    round_ = moved(Mark("phone", "u", 1.0, 1.5))
    assert round_[28:33, ARKIT_INDEX["mouthPucker"]].min() > plain[28:33, ARKIT_INDEX["mouthPucker"]].max() + 0.1

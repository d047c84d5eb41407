"""Cues are cut where people would cut them, lie where the words are, and can be read."""

import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huashen import subtitles
from huashen.errors import MissingPartError, OutputError
from huashen.flow import rechunk
from huashen.subtitles import Cue, burn, cues, wrap, write
from huashen.types import Audio, Frame, Mark, Speech, Video

RATE = 1000


def said(
    text: str, words: list[str], each: float = 0.3, lead: float = 0.1, tail: float = 0.3, pauses: dict[int, float] | None = None
) -> Speech:
    """A sentence with each of its words `each` seconds long, and a pause before some."""
    marks, at, place = [], lead, 0
    for number, word in enumerate(words):
        at += (pauses or {}).get(number, 0.0)
        place = text.index(word, place)
        marks.append(Mark("word", word, at, at + each, span=(place, place + len(word))))
        place, at = place + len(word), at + each
    return Speech(Audio(np.zeros(round((at + tail) * RATE), np.float32), RATE), tuple(marks), text, aligned=True)


def characters(text: str, **how: float) -> Speech:
    """Chinese marked by character, English by word, as espeak does."""
    words, run = [], ""
    for c in text + " ":
        if c.isalnum() and c.isascii():
            run += c
            continue
        words += [run] if run else []
        run = ""
        words += [c] if c.isalnum() else []
    return said(text, words, **how)  # type: ignore[arg-type]


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_a_short_sentence_is_one_cue_from_its_first_word_on() -> None:
    (cue,) = cues([characters("你好，我是数字人。")])
    assert cue == Cue(0.1, pytest.approx(0.1 + 7 * 0.3 + subtitles.LINGER), "你好，我是数字人")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("中华人民共和国的首都是北京，它有着三千多年的建城史。", ["中华人民共和国的首都是北京", "它有着三千多年的建城史"]),
        ("大家好，欢迎收看今天的节目，我是主持人小华。", None),
        ("“真的吗？”他问道：“那太好了！”", ["“真的吗？”", "他问道：“那太好了！”"]),
        ("我们用OpenAI的GPT4模型做了一个可以在普通电脑上运行的虚拟人", None),
    ],
)
def test_chinese_is_cut_at_punctuation_and_between_words(text: str, parts: list[str] | None) -> None:
    got = [cue.text for cue in cues([characters(text)])]
    if parts is not None:
        assert got == parts
    for line in got:
        assert width(line) <= subtitles.CHINESE_CELLS
        assert "\n" not in line
        assert line[0] not in "，。！？、；：”’）》」』】"
        assert line[-1] not in "“‘（《「『【"
    # only a last comma or stop is left out
    assert "".join(got).translate(str.maketrans("", "", "，。")) == text.translate(str.maketrans("", "", "，。"))
    for word in ("OpenAI", "GPT4", "欢迎", "节目", "普通", "电脑", "运行", "我们", "模型"):
        assert text.count(word) == sum(line.count(word) for line in got)


def test_marks_by_word_and_by_character_give_the_same_cues() -> None:
    text = "今天天气很好，我们一起去公园散步吧。"
    by_word = said(text, ["今天", "天气", "很好", "我们", "一起", "去", "公园", "散步", "吧"], each=0.4)
    by_clause = said(text, ["今天天气很好", "我们一起去公园散步吧"], each=2.0)
    whole = said(text, [text], each=4.0)
    wanted = [cue.text for cue in cues([characters(text)])]
    for speech in (by_word, by_clause, whole):
        assert [cue.text for cue in cues([speech])] == wanted


def test_english_is_two_lines_of_whole_words() -> None:
    text = "It runs on an ordinary computer with two cores, which nobody would have believed only a couple of years ago, I think."
    words = [word.strip(",.") for word in text.split()]
    got = list(cues([said(text, words)]))
    assert " ".join(cue.text for cue in got).split() == text.split()
    assert len(got) >= 2
    for cue in got:
        lines = cue.text.split("\n")
        assert len(lines) <= 2
        assert max(map(len, lines)) <= subtitles.LATIN_CELLS
        assert lines[0].split()[-1].lower() not in {"a", "an", "the", "of"}


def test_abbreviations_numbers_and_contractions_stay_whole() -> None:
    text = "Dr. Smith paid $3.50 for GPT-4, didn't he?"
    (cue,) = cues([said(text, ["Dr", "Smith", "paid", "$3.50", "GPT-4", "didn't", "he"])])
    assert cue.text == text


def test_sentences_of_two_languages_are_cues_of_their_own() -> None:
    got = [cue.text for cue in cues([characters("他说：“太好了！”Hello there. 谢谢你。")])]
    assert got == ["他说：“太好了！”", "Hello there.", "谢谢你"]


def test_a_long_silence_ends_a_cue() -> None:
    got = list(cues([said("一二三四五六", list("一二三四五六"), pauses={3: 2.0})]))
    assert [cue.text for cue in got] == ["一二三", "四五六"]
    assert got[0].end < got[1].start


def test_gaps_are_closed_and_short_cues_stay() -> None:
    first, second, third = cues([characters("好。", tail=0.1), characters("走吧！", tail=3.0), characters("到了。")])
    assert first.end == second.start  # closed
    assert second.end - second.start >= subtitles.SHORTEST
    assert second.end < third.start - subtitles.GAP
    assert third.end - third.start == pytest.approx(subtitles.SHORTEST)


def test_speech_without_word_marks_is_shown_for_as_long_as_it_lasts() -> None:
    (cue,) = cues([Speech(Audio(np.zeros(2 * RATE, np.float32), RATE), (), "Good morning.")])
    assert (cue.start, cue.text) == (0.0, "Good morning.")
    assert cue.end == pytest.approx(2.0 + subtitles.LINGER)
    assert list(cues([Speech(Audio(np.zeros(RATE, np.float32), RATE))])) == []
    assert list(cues([Speech(Audio(np.zeros(RATE, np.float32), RATE), (), "……")])) == []


def test_a_cue_comes_once_the_next_one_is_known() -> None:
    asked = []

    def speech() -> Iterator[Speech]:
        for k in range(5):
            asked.append(k)
            yield characters("你好吗？")

    track = cues(speech())
    next(track)
    assert asked == [0, 1, 2]


def test_text_without_sentence_ends_does_not_pile_up() -> None:
    asked = []

    def speech() -> Iterator[Speech]:
        for k in range(200):
            asked.append(k)
            yield characters("天地玄黄宇宙洪荒", lead=0, tail=0)

    track = cues(speech())
    assert next(track).start == 0
    assert len(asked) < 40
    rest = list(track)
    assert all(a.end <= b.start for a, b in pairwise(rest))
    assert max(cue.end - cue.start for cue in rest) <= subtitles.LONGEST + subtitles.GAP + subtitles.LINGER


PARTS = ["你好，", "我是数字人。", "hello ", "world. ", "GPT-4", "（真的吗？）", "一二三四五六七八九", "it's ", "，", "\n", "2024年", "! "]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=4), st.sampled_from([0.05, 0.2, 0.7, 2.5]))
def test_cues_do_not_depend_on_chunks_and_hold_the_text_in_order(texts: list[str], seconds: float) -> None:
    speech = [characters(text) for text in texts]
    whole = list(cues(speech))
    assert list(cues(rechunk(speech, seconds))) == whole
    letters = [c for text in texts for c in text if c.isalnum()]
    assert [c for cue in whole for c in cue.text if c.isalnum()] == letters
    assert all(cue.end > cue.start for cue in whole)
    assert all(a.end <= b.start for a, b in pairwise(whole))


def test_wrap_breaks_into_lines_alike_in_length() -> None:
    assert wrap("short", 42) == "short"
    assert wrap("one two three four five six", 14) == "one two three\nfour five six"
    assert wrap("你好世界", 4) == "你好\n世界"
    assert wrap("Donaudampfschifffahrt is long", 10) == "Donaudampfschifffahrt\nis long"


def test_srt_and_vtt(tmp_path: Path) -> None:
    track = [Cue(0.0, 1.5, "你好"), Cue(3661.0015, 3662.9999, "a < b &\nc")]
    write(iter(track), tmp_path / "a.srt")
    assert (tmp_path / "a.srt").read_text("utf-8") == (
        "1\n00:00:00,000 --> 00:00:01,500\n你好\n\n2\n01:01:01,002 --> 01:01:03,000\na < b &\nc\n\n"
    )
    write(track, tmp_path / "a.vtt")
    assert (tmp_path / "a.vtt").read_text("utf-8") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n你好\n\n01:01:01.002 --> 01:01:03.000\na &lt; b &amp;\nc\n\n"
    )
    with pytest.raises(OutputError, match=r"\.srt \.vtt"):
        write(track, tmp_path / "a.ass")


def grey(count: int, size: tuple[int, int], fps: int = 5) -> Video:
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    return Video((Frame(image, Audio(np.zeros(0, np.float32), 0), k) for k in range(count)), Fraction(fps), size, 0)


@pytest.mark.parametrize("size", [(512, 512), (640, 360), (360, 640), (64, 64)])
def test_burnt_text_is_inside_readable_and_only_in_its_time(size: tuple[int, int]) -> None:
    video = grey(10, size)
    shown = [frame.image for frame in burn(video, [Cue(0.4, 1.2, "你好，我是数字人。Hello")]).frames]
    for k, image in enumerate(shown):
        assert bool((image != 128).any()) == (2 <= k < 6)
    changed = np.argwhere((shown[3] != 128).any(-1))
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    assert top > size[1] * (0.4 if min(size) > 64 else 0.1)  # ten pixels is the smallest text
    assert bottom < size[1] * 0.98
    assert abs(left + right - size[0]) <= 4  # in the middle
    assert left > size[0] * 0.02
    if size != (64, 64):
        assert shown[3].max() >= 250
        assert shown[3].min() <= 10
        assert np.count_nonzero(shown[3].min(-1) > 200) > 100


def test_burning_leaves_the_given_pictures_alone() -> None:
    image = np.full((100, 100, 3), 128, np.uint8)
    video = Video(iter([Frame(image, Audio(np.zeros(0, np.float32), 0), 0)]), Fraction(5), (100, 100), 0)
    assert next(burn(video, [Cue(0, 1, "好")]).frames).image.min() < 50
    assert (image == 128).all()


def test_a_word_longer_than_the_picture_is_made_smaller() -> None:
    image = next(burn(grey(1, (200, 100)), [Cue(0, 1, "W" * 30)]).frames).image
    columns = np.flatnonzero((image != 128).any((0, 2)))
    assert columns[0] > 0
    assert columns[-1] < 199


def test_the_font_has_the_characters_of_both_scripts() -> None:
    """OpenCV draws a question mark for what a font lacks."""
    def drawn(text: str) -> bytes:
        return next(burn(grey(1, (200, 100)), [Cue(0, 1, text)]).frames).image.tobytes()

    unknown = drawn("?")
    assert all(drawn(c) != unknown for c in "的一是龘囍，。「」éßЖΩあ한")


def test_an_opencv_without_a_font_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.delattr(cv2, "FontFace")
    with pytest.raises(MissingPartError, match="opencv-python-headless>=5"):
        burn(grey(1, (64, 64)), [])

"""Text before it is spoken."""

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huashen.tts.text import Spoken, clean, expand, guess, hanzi, runs, sayable, sentences


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("你好", "zh"), ("Hello world", "en"), ("こんにちは、世界", "ja"), ("안녕하세요", "ko"),
        ("Привет, мир", "ru"), ("Привіт, їжак", "uk"),
        ("Bonjour, je suis un humain numérique.", "fr"), ("Hallo, wie geht es dir?", "de"), ("Hola, ¿cómo estás?", "es"),
        ("Olá, como você está?", "pt"), ("Ciao, come stai? Sono felice.", "it"),
        ("Cześć, jak się masz?", "pl"), ("Merhaba, nasılsın?", "tr"),
        ("Xin chào bạn", "vi"), ("مرحبا", "ar"), ("سلام، چطوری؟ پدر", "fa"), ("שלום", "he"),
        ("Γειά σου", "el"), ("नमस्ते", "hi"), ("สวัสดี", "th"),
        ("我用 Python 写代码", "zh"), ("Please send me 微信 messages about the meeting tomorrow", "en"),
        ("A naïve café in the city", "en"),
        ("123", "en"), ("", "en"), ("😀", "en"),
    ],
)  # fmt: skip
def test_language_is_guessed_by_script_then_by_letters_and_words(text: str, lang: str) -> None:
    assert guess(text) == lang


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("你好，我是数字人。今天天气不错！", ["你好，我是数字人。", "今天天气不错！"]),
        ("“真的吗？”他问。", ["“真的吗？”", "他问。"]),
        ("Dr. Smith paid $3.50. He left.", ["Dr. Smith paid $3.50. ", "He left."]),
        ("J. R. R. Tolkien lived in the U.K. for long.", ["J. R. R. Tolkien lived in the U.K. for long."]),
        ('"Really?" he said. "Yes!"', ['"Really?" he said. ', '"Yes!"']),
        ("Come at 5 p.m. or so. Come at 5 p.m. We wait.", ["Come at 5 p.m. or so. ", "Come at 5 p.m. ", "We wait."]),
        ("It is 3.14, e.g. pi. See example.com. Yes", ["It is 3.14, e.g. pi. ", "See example.com. ", "Yes"]),
        ("No. No. 5 is alive.", ["No. ", "No. 5 is alive."]),
        ("1. First\n2. Second", ["1. First\n", "2. Second"]),
        ("# Title\n\nText", ["# Title\n\n", "Text"]),
        ("wrapped\nline", ["wrapped\nline"]),
        ("Yes! 😀 Fine...", ["Yes! 😀 ", "Fine..."]),
        ("他说OK.然后走了。", ["他说OK.", "然后走了。"]),
        ("Wait... what?", ["Wait... what?"]),
        ("😀。！", ["😀。！"]),
        ("", []),
    ],
)
def test_sentences(text: str, cut: list[str]) -> None:
    assert [*sentences(text)] == cut


def test_a_long_sentence_is_cut_at_a_comma_and_never_inside_a_number() -> None:
    chinese = "我们今天要说的是一件很长很长的事情，" * 12 + "完了。"
    cut = [*sentences(chinese, limit=100)]
    assert "".join(cut) == chinese
    assert all(piece.endswith(("，", "。")) for piece in cut)
    assert max(len(piece) for piece in cut) <= 50
    english = "costs 1,234,567 dollars and " * 20
    assert all((not piece[-1].isdigit() and not piece[0].isdigit()) or piece[-1] == " " for piece in sentences(english, limit=80))
    assert max(len(piece) for piece in sentences("啊" * 1000)) <= 101


@given(st.text(alphabet="ab Z。.,，!?\n\"'“”😀1你好*#-é", max_size=80), st.integers(1, 40), st.integers(0, 1000))
def test_how_text_comes_in_chunks_does_not_change_the_sentences(text: str, limit: int, seed: int) -> None:
    cuts = sorted(random.Random(seed).choices(range(len(text) + 1), k=5))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = [*sentences(text, limit=limit)]
    assert [*sentences(pieces, limit=limit)] == whole
    assert [*sentences(list(text), limit=limit)] == whole
    assert "".join(whole) == text
    if any(c.isalnum() for c in text):
        assert all(any(c.isalnum() for c in piece) for piece in whole)


def test_a_sentence_comes_before_the_next_is_complete() -> None:
    def letters() -> Iterator[str]:
        yield from "你好。我还"
        raise AssertionError("read too far")

    stream = sentences(letters())
    assert next(stream) == "你好。"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("我用 Python 写代码", ["zh:我用 ", "en:Python ", "zh:写代码"]),
        ("3个apple", ["zh:3个", "en:apple"]),
        ("A股涨了3.5%", ["en:A", "zh:股涨了3.5%"]),
        ("微信(WeChat)支付", ["zh:微信", "en:(WeChat)", "zh:支付"]),
        ("2024年用 iPhone15。", ["zh:2024年用 ", "en:iPhone15。"]),
        ("Python，Java", ["en:Python，Java"]),
        ("He said “你好” to me", ["en:He said", "zh: “你好” ", "en:to me"]),
        ("2024", ["en:2024"]),
        ("气温25°C左右", ["zh:气温25°C左右"]),
        ("говорит Apple", ["ru:говорит ", "en:Apple"]),
    ],
)
def test_runs(text: str, found: list[str]) -> None:
    assert [f"{run.lang}:{text[run.start : run.end]}" for run in runs(text)] == found


def test_the_language_asked_for_is_kept_for_its_own_script() -> None:
    assert [(r.lang, r.start, r.end) for r in runs("Paris 2024", "fr")] == [("fr", 0, 10)]
    assert [r.lang for r in runs("你好 ok", "zh-HK")] == ["zh-HK", "en"]
    assert [r.lang for r in runs("東京 です", "ja")] == ["ja"]


@given(st.text(alphabet="ab你好,，。 13.$(“”)яд한", max_size=40), st.sampled_from(["", "zh", "en", "ja", "ru"]))
def test_runs_cover_the_text(text: str, lang: str) -> None:
    found = runs(text, lang)
    assert found[0].start == 0
    assert found[-1].end == len(text)
    assert all(a.end == b.start for a, b in pairwise(found))
    assert all(run.end > run.start for run in found) or not text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**bold** and _it_ and `code`", "bold and it and code "),
        ("see [the link](http://x.y/z) ![pic](a.png)", "see the link pic"),
        ("go to https://www.example.com/a/b?c=1#d.", "go to example dot com. "),
        ("mail a.b@c.com", "mail a dot b at c dot com"),
        ("# Title", "Title"),
        ("- item", "item"),
        ("hi 😀👍🏽 there", "hi there"),
        ("ＡＢＣ１２ ①", "ABC12 1"),
        ("a<br>b", "ab"),
        ("2 < 3", "2 3"),
        ("snake_case", "snake case"),
        ("你好\n世界", "你好 世界"),
    ],
)
def test_what_cannot_be_said_is_taken_out(text: str, said: str) -> None:
    assert clean(text).text == said


def test_nothing_to_say_is_seen() -> None:
    assert not any(sayable(text) for text in ("", "  \n", "😀👍", "。！？…", "***", "---", "```", "<br>", '"" ( )'))
    assert all(sayable(text) for text in ("a", "你", "7", "**x**", "http://a.b"))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("0", "零"), ("10", "十"), ("12", "十二"), ("20", "二十"), ("105", "一百零五"), ("110", "一百一十"), ("1010", "一千零一十"),
        ("10000", "一万"), ("10500", "一万零五百"), ("100000000", "一亿"), ("1,234,567", "一百二十三万四千五百六十七"),
        ("-3.5", "负三点五"),
        ("0.05", "零点零五"), ("123456789", "一亿二千三百四十五万六千七百八十九"), ("2000000000001", "二万亿零一"),
        ("1200000000000", "一万二千亿"),
        ("007", "零零七"),
        ("12345678901234567", "一二三四五六七八九零一二三四五六七"),
    ],
)  # fmt: skip
def test_chinese_numbers(number: str, said: str) -> None:
    assert hanzi(number) == said


@given(st.integers(0, 10**16 - 1))
def test_a_chinese_number_reads_back(value: int) -> None:
    digits = {d: i for i, d in enumerate("零一二三四五六七八九")}
    units = {"十": 10, "百": 100, "千": 1000}

    def small(text: str) -> int:
        total, digit = 0, 0
        for c in text:
            if c in units:
                total += (digit or 1) * units[c]
                digit = 0
            else:
                digit = digits[c]
        return total + digit

    def read(text: str) -> int:
        for unit, size in (("亿", 10**8), ("万", 10**4)):
            if unit in text:
                head, _, tail = text.rpartition(unit)
                return read(head) * size + read(tail)
        return small(text)

    assert read(hanzi(str(value))) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2024年3月5日", "二零二四年三月五日"), ("2024-03-05", "二零二四年三月五日"), ("20年前", "二十年前"), ("10:30", "十点三十分"),
        ("8:00", "八点"),
        ("9:05", "九点零五分"), ("3.5%", "百分之三点五"), ("-5℃", "零下五摄氏度"), ("¥1,200", "一千二百元"), ("$5万", "五万美元"),
        ("电话13812345678", "电话一三八一二三四五六七八"), ("3-5天", "三到五天"), ("2个人", "两个人"), ("12个", "十二个"),
        ("第2个", "第二个"), ("3/4", "四分之三"),
        ("1+1=2", "一加一等于二"), ("二〇二四", "二零二四"),
    ],
)  # fmt: skip
def test_chinese_numbers_dates_and_money(text: str, said: str) -> None:
    assert expand(clean(text), "zh").text == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$3.50", "3 dollars 50 cents"), ("$1", "1 dollar"), ("£2.01", "2 pounds 1 penny"), ("$3 million", "3 million dollars"),
        ("€1,000", "1,000 euros"),
        ("2024-03-05", "March 5, 2024"), ("pages 3-5", "pages 3 to 5"), ("No. 5", "number 5"),
        ("Dr. Who", "Dr Who"), ("¥20", "20 yuan"),
    ],
)  # fmt: skip
def test_english_dates_and_money(text: str, said: str) -> None:
    assert expand(clean(text), "en").text == said


@given(st.text(alphabet="a1你 $.5%-:3/*_[]()<>h😀é\n２", max_size=40), st.sampled_from(["zh", "en", "fr"]))
def test_every_spoken_character_knows_where_it_comes_from(text: str, lang: str) -> None:
    spoken = expand(clean(text), lang)
    assert len(spoken.text) == len(spoken.spans)
    assert all(0 <= a < b <= len(text) for a, b in spoken.spans)
    starts = [a for a, _ in spoken.spans]
    assert starts == sorted(starts)


def test_spans_point_at_the_written_words() -> None:
    text = "He paid $3.50 on **Monday**"
    spoken = expand(clean(text), "en")
    place = spoken.text.index("dollars")
    assert text[slice(*spoken.spans[place])] == "$3.50"
    place = spoken.text.index("Monday")
    assert text[spoken.spans[place][0] : spoken.spans[place + 5][1]] == "Monday"
    assert Spoken.of("ab").spans == ((0, 1), (1, 2))

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
        ("电话13812345678", "电话幺三八幺二三四五六七八"), ("3-5天", "三到五天"), ("2个人", "两个人"), ("12个", "十二个"),
        ("第2个", "第二个"), ("3/4", "四分之三"),
        ("1+1=2", "一加一等于二"), ("二〇二四", "二零二四"),
        ("2025年11月25日", "二零二五年十一月二十五日"), ("￥3.5", "三点五元"), ("10%", "百分之十"), ("第1", "第一"),
        ("3:30", "三点三十分"),
        ("2:00", "两点"), ("23:59:07", "二十三点五十九分七秒"), ("10:00-12:00", "十点到十二点"), ("16:9", "十六比九"), ("3:2", "三比二"),
        ("2024-2025年", "二零二四到二零二五年"), ("90年代", "九十年代"), ("1990年代", "一九九零年代"), ("80后", "八零后"),
        ("20年后", "二十年后"),
        ("+86 138 0013 8000", "八六幺三八零零幺三八零零零"), ("电话：021-6543-2100", "电话：零二幺六五四三二幺零零"),
        ("010-12345678", "零幺零幺二三四五六七八"), ("400-800-1234", "四零零八零零幺二三四"), ("拨打110", "拨打幺幺零"),
        ("尾号8888", "尾号八八八八"),
        ("打3.5折", "打三点五折"), ("电话费100元", "电话费一百元"),
        ("60km/h", "六十公里每小时"), ("5kg", "五公斤"), ("20㎡", "二十平方米"), ("3m²", "三平方米"), ("1.75m", "一点七五米"),
        ("30°", "三十度"),
        ("10~20元", "十到二十元"), ("￥10-20", "十到二十元"), ("5元/斤", "五元每斤"), ("10%-20%", "百分之十到百分之二十"),
        ("2×3", "二乘三"),
        ("5.1.2版", "五点一点二版"), ("IP 192.168.1.1", "IP 一九二点一六八点一点一"), ("No.1", "第一"), ("½杯", "二分之一杯"),
        ("1,000,000", "一百万"), ("1.5亿", "一点五亿"), ("x²", "x的平方"), ("-3", "负三"), ("$99.99", "九十九点九九美元"),
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
        ("$1.00", "1 dollar"), ("$0.01", "1 cent"), ("$5-10", "5 to 10 dollars"), ("$1,234.56", "1234 dollars 56 cents"),
        ("£2.99", "2 pounds 99 pence"),
        ("$1.2 million", "1.2 million dollars"), ("11/25/2025", "November 25, 2025"), ("1990-1995", "1990 to 1995"),
        ("10:30-11:00", "10:30 to 11:00"),
        ("the 90s", "the nineties"), ("the 1980s", "the 19 eighties"), ("in 2010s", "in 20 tens"), ("555-1234", "5 5 5, 1 2 3 4"),
        ("+1 (415) 555-2671", "1, 4 1 5, 5 5 5, 2 6 7 1"), ("1-800-555-1234", "1, 8 0 0, 5 5 5, 1 2 3 4"), ("call 911", "call 9 1 1"),
        ("192.168.1.1", "1 9 2 point 1 6 8 point 1 point 1"), ("5 km", "5 kilometers"), ("1 km", "1 kilometer"),
        ("60 km/h", "60 kilometers per hour"),
        ("100 m²", "100 square meters"), ("1 m²", "1 square meter"), ("5kg", "5 kilograms"), ("25°C", "25 degrees Celsius"),
        ("77°F", "77 degrees Fahrenheit"), ("2 GB", "2 gigabytes"), ("70%–80%", "70% to 80%"), ("24/7", "24 7"), ("1/2", "one half"),
        ("3/4 cup", "three quarters cup"), ("½ cup", "one half cup"), ("10 x 20", "10 by 20"), ("3 × 4", "3 times 4"),
        ("2+2=4", "2 plus 2 equals 4"),
        ("A & B", "A and B"), ("e.g. this", "for example, this"), ("i.e. that", "that is, that"), ("GPT-4", "GPT-4"), ("-5", "-5"),
        ("3.14", "3.14"),
        ("p. 5", "p. 5"), ("3rd", "3rd"),
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


def test_a_unit_is_said_in_the_language_of_its_number() -> None:
    text = "全程100km，限速60km/h，他用 GPT-4。"
    assert [(run.lang, text[run.start : run.end]) for run in runs(text, "zh")] == [
        ("zh", "全程100km，限速60km/h，他用 "), ("en", "GPT-4。"),
    ]  # fmt: skip

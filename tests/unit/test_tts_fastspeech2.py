"""The Mandarin voice: how its text is spelled, and whether its marks stand where the sound is."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.contract.test_tts import check, level, marks

import huashen
from huashen.errors import InputError, NoSpeechError, UnknownEngineError
from huashen.tts.text import Spoken, expand

pytest.importorskip("pypinyin", reason="wants pypinyin: pip install 'huashen[zh]'")
from huashen.tts import fastspeech2


@pytest.fixture(scope="module")
def voice(weight: Callable[[str], Path]) -> Any:
    weight("fastspeech2_zh")
    return huashen.load("tts", "fastspeech2")


def spelled(text: str) -> str:
    return " ".join(
        f"{s.initial}{s.final}".replace("^", "") for clause in fastspeech2.clauses(expand(Spoken.of(text), "zh").text) for s in clause
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("银行行长", "in2 hang2 hang2 zhang3"), ("重庆很重要", "chong2 qing4 hen3 zhong4 iao4"), ("长大", "zhang3 da4"),
        ("音乐快乐", "in1 ve4 kuai4 le4"), ("你好", "ni2 hao3"), ("不对", "bu2 duei4"), ("一个", "i2 ge4"), ("第一名", "di4 i1 ming2"),
        ("资源，知识", "zii1 van2 zhiii1 shiii2"), ("女儿绿", "nv3 er2 lv4"), ("学习", "xve2 xi2"), ("云", "vn2"), ("嗯", "en2"),
        ("2025年", "er4 ling2 er4 u3 nian2"), ("哟㐀我", "iou1 qiou1 uo3"),
    ],
)  # fmt: skip
def test_characters_are_spelled_as_they_are_read(text: str, wanted: str) -> None:
    assert spelled(text) == wanted


@pytest.mark.parametrize("text", [
    "你好，我是数字人。今天天气很好！", "2024年3月5日10:30，气温25℃，涨了3.5%，一共¥1,200。", "我用 Python 写代码，它在 GitHub 上。再见",
    "好", "床前明月光，疑是地上霜，举头望明月，低头思故乡" * 4 + "。",
])  # fmt: skip
def test_keeps_the_promises_of_a_voice(voice: Any, text: str) -> None:
    check(text, list(voice.speak(text)), voice.rate)


def test_closures_are_silent_and_vowels_sound(voice: Any) -> None:
    vowels, closures = [], []
    for speech in voice.speak("爸爸不怕跑步，他大哥打开白布袋。她的背包被泼皮破坏，不必怕。"):
        for before, mark, after in zip(row := marks(speech, "phone"), row[1:], row[2:], strict=False):
            if mark.text in ("ɑ", "ai", "ɤ", "ei"):
                vowels.append(level(speech, mark.start, mark.end))
            if mark.text[0] in "pt" and mark.text[:2] not in ("ts", "tɕ", "tʂ") and before.text[-1] in "ɑuiɤ" and after.text[0] in "ɑuiɤ":
                closures.append(min(level(speech, at, at + 0.01) for at in np.arange(mark.start, mark.end - 0.005, 0.005)))
    assert len(closures) >= 12
    assert np.median(vowels) > -25
    assert np.mean(np.array(closures) < np.median(vowels) - 15) > 0.9


def test_every_consonant_has_its_time(voice: Any) -> None:
    speech = next(voice.speak("请问租一辆自行车一个星期要多少钱？"))
    row = marks(speech, "phone")
    consonants = [mark.text for mark in row if mark.text in fastspeech2.INITIALS.values()]
    assert consonants == ["tɕʰ", "n", "ts", "l", "ts", "ɕ", "tʂʰ", "k", "ɕ", "tɕʰ", "t", "ʂ", "tɕʰ", "n"]
    assert all(0.02 < mark.end - mark.start < 0.4 for mark in row)
    assert sum(b.start - a.end for a, b in pairwise(row)) < 0.05 * speech.audio.seconds


def test_the_same_text_gives_the_same_sound_and_speed_is_heeded(voice: Any) -> None:
    said = [next(voice.speak("今天天气很好。")).audio for _ in range(2)]
    assert np.array_equal(said[0].samples, said[1].samples)
    quick = next(huashen.load("tts", "fastspeech2", speed=1.5).speak("今天天气很好。")).audio
    assert 1.3 < said[0].seconds / quick.seconds < 1.7


def test_pace_and_level_are_natural_and_other_words_are_as_loud(voice: Any) -> None:
    text = "我们店每天早上九点开门，学生凭证件可以打八折。从机场坐地铁到市中心大约四十分钟。"
    said = list(voice.speak(text))
    assert 3.5 < sum(c.isalpha() for c in text) / sum(s.audio.seconds for s in said) < 5.5
    mixed = next(voice.speak("请打开 computer screen settings 这个文件夹看一看。"))
    english = next(m for m in marks(mixed, "word") if m.text == "computer")
    last = next(m for m in marks(mixed, "word") if m.text == "settings")
    assert abs(level(mixed, english.start, last.end) - level(mixed, last.end + 0.1, marks(mixed, "phone")[-1].end)) < 4
    gaps = [b.start - a.end for a, b in pairwise(marks(mixed, "word"))]
    assert max(gaps) < 0.16


def test_what_it_cannot_do_is_told() -> None:
    with pytest.raises(UnknownEngineError, match="female"):
        huashen.load("tts", "fastspeech2", voice="male")
    with pytest.raises(UnknownEngineError, match="Mandarin"):
        huashen.load("tts", "fastspeech2", lang="fr")
    with pytest.raises(InputError, match="speed"):
        huashen.load("tts", "fastspeech2", speed=9.0)


def test_nothing_to_say_is_an_error(voice: Any) -> None:
    with pytest.raises(NoSpeechError):
        voice.speak("……")

"""eSpeak NG in its own process."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

import huashen
from huashen.errors import EngineError, InputError, UnknownEngineError
from huashen.tts import espeak
from huashen.tts.espeak import Espeak
from huashen.types import Speech


@pytest.fixture(scope="module")
def engine() -> Iterator[Espeak]:
    pytest.importorskip("espeakng_loader")
    made = Espeak()
    yield made
    made.close()


def phones(speech: Speech) -> str:
    return " ".join(mark.text for mark in speech.marks if mark.kind == "phone")


def words(speech: Speech) -> list[str]:
    return [mark.text for mark in speech.marks if mark.kind == "word"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("你好，我是数字人。", "n i x ɑu w o ʂ ɨ ʂ u ts ɨ ʐ ə n"),
        ("中国", "tʂ ʊ ŋ k w o"),
        ("去学院", "tɕʰ y ɕ ɥ ɛ j ɥ æ n"),
        ("三十", "s a n ʂ ɨ"),
        ("Four people.", "f ɔː ɹ p iː p ə l"),
        ("Cheese judge.", "tʃ iː z dʒ ʌ dʒ"),
    ],
)
def test_phones_are_ipa_segments(engine: Espeak, text: str, said: str) -> None:
    assert phones(next(engine.speak(text))) == said


def test_chinese_words_numbers_and_runs_point_into_the_text(engine: Espeak) -> None:
    speech = next(engine.speak("我在2024年用 iPhone 15 写了**代码**。"))
    assert words(speech) == ["我", "在", "2024", "年", "用", "iPhone", "15", "写", "了", "代码"]
    assert "aɪ" in phones(speech)
    assert speech.lang == "zh"


def test_stress_is_on_vowels_only(engine: Espeak) -> None:
    speech = next(engine.speak("Tomorrow we develop the photography of giraffes."))
    stressed = [mark.text for mark in speech.marks if mark.stress == 2]
    assert stressed == ["ɑː", "ɛ", "ɑː", "æ"]


def test_the_language_is_chosen_by_tag_and_accent() -> None:
    british, american = Espeak(voice="en-gb+m3"), Espeak(lang="en")
    assert "ɒ" in phones(next(british.speak("hot dog")))
    assert "ɑː" in phones(next(american.speak("hot dog")))
    assert "ʁ" in phones(next(Espeak(lang="fr-FR").speak("rue")))
    assert phones(next(Espeak(lang="zh-CN").speak("7"))) == "tɕʰ i"
    assert phones(next(Espeak(lang="zh-HK").speak("我"))).startswith("ŋ")
    assert next(Espeak(lang="pt_BR").speak("olá")).lang == "pt_BR"


def test_unknown_names_list_others() -> None:
    for options in ({"voice": "nobody"}, {"voice": "en+nobody"}, {"voice": "xx+f3"}, {"lang": "tlh"}):
        with pytest.raises(UnknownEngineError, match=r"female, male.*voices\(\)"):
            Espeak(**options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pitch"):
        Espeak(pitch=3)


def test_kanji_are_refused_because_they_would_be_read_as_chinese_letter(engine: Espeak) -> None:
    with pytest.raises(InputError, match="東"):
        engine.speak("東京です")
    assert phones(next(engine.speak("こんにちは")))


def test_pitch_moves_the_pitch() -> None:
    def period(pitch: float) -> int:
        sound = next(Espeak(pitch=pitch, lang="en").speak("ah ah ah ah ah")).audio.samples
        spectrum = np.abs(np.fft.rfft(sound, 1 << 17)) ** 2
        likeness = np.fft.irfft(spectrum)
        return 55 + int(np.argmax(likeness[55:400]))

    assert period(0.7) > 1.25 * period(1.0) > 1.5 * period(1.6)


def test_all_languages_speak(engine: Espeak) -> None:
    assert len(engine._languages) > 120
    for language in ("cmn", "yue", "en-gb", "fr-fr", "ja", "ko", "de", "es", "ru", "ar", "hi", "th", "vi"):
        assert next(Espeak(lang=language).speak("1 2 3")).audio.seconds > 0.5


def test_two_threads_with_different_languages(engine: Espeak) -> None:
    texts = {"zh": "你好，我是数字人。" * 8, "en": "Hello, how are you today? " * 8}
    alone = {lang: [speech.audio.samples for speech in engine.speak(text)] for lang, text in texts.items()}
    heard: dict[str, list[np.ndarray]] = {}

    def listen(lang: str) -> None:
        heard[lang] = [speech.audio.samples for speech in engine.speak(texts[lang])]

    threads = [threading.Thread(target=listen, args=(lang,)) for lang in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for lang in texts:
        assert all(np.array_equal(a, b) for a, b in zip(alone[lang], heard[lang], strict=True))


def test_a_killed_program_is_started_again() -> None:
    engine = Espeak()
    stream = engine.speak("Hello there. " * 3)
    first = next(stream).audio.samples
    process = engine._worker._process
    assert process is not None
    process.kill()
    process.wait()
    assert np.array_equal(next(stream).audio.samples, first)
    assert engine._worker._process is not process
    engine.close()


def test_a_program_that_dies_every_time_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Espeak()
    engine.close()
    started = []

    def broken(*_: object, **pipes: object) -> subprocess.Popen[bytes]:
        started.append(real([sys.executable, "-c", ""], **pipes))  # type: ignore[call-overload]
        return started[-1]  # type: ignore[no-any-return]

    real = subprocess.Popen
    monkeypatch.setattr(espeak.subprocess, "Popen", broken)
    with pytest.raises(EngineError, match="died twice"):
        next(engine.speak("Hello"))
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_a_program_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Espeak()
    engine.close()
    real = subprocess.Popen
    monkeypatch.setattr(espeak, "PATIENCE", 0.2)
    monkeypatch.setattr(
        espeak.subprocess, "Popen", lambda *_, **pipes: real([sys.executable, "-c", "import time; time.sleep(60)"], **pipes)
    )
    begun = time.monotonic()
    with pytest.raises(EngineError, match="died twice"):
        next(engine.speak("Hello"))
    assert time.monotonic() - begun < 10


def test_no_process_is_left(tmp_path: Path) -> None:
    engine = Espeak()
    assert engine._worker._process is not None
    child = psutil.Process(engine._worker._process.pid)
    engine.close()
    assert not child.is_running()
    second = Espeak()
    assert second._worker._process is not None
    child = psutil.Process(second._worker._process.pid)
    del second
    assert not child.is_running()
    code = "from huashen.tts.espeak import Espeak; e = Espeak(); next(e.speak('hi')); print(e._worker._process.pid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert not psutil.pid_exists(int(done.stdout))
    assert not done.stderr


def test_a_caller_that_is_killed_takes_the_program_with_it() -> None:
    code = "from huashen.tts.espeak import Espeak; e = Espeak(); print(e._worker._process.pid, flush=True); "
    code += "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(5)


def test_a_folder_with_a_very_long_name_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = pytest.importorskip("espeakng_loader")
    folder = tmp_path / ("x" * 120) / ("化身" * 20)
    folder.mkdir(parents=True)
    os.symlink(loader.get_data_path(), folder / "espeak-ng-data")
    os.symlink(loader.get_library_path(), folder / "libespeak-ng.so")
    monkeypatch.setattr(loader, "get_data_path", lambda: str(folder / "espeak-ng-data"))
    monkeypatch.setattr(loader, "get_library_path", lambda: str(folder / "libespeak-ng.so"))
    assert next(Espeak().speak("你好")).audio.seconds > 0.5


def test_the_library_is_not_loaded_into_the_caller() -> None:
    code = "from huashen.tts.espeak import Espeak; next(Espeak().speak('hi')); print('libespeak' in open('/proc/self/maps').read())"
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc/self/maps")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_languages_follow_each_other_without_a_stop() -> None:
    """Where Chinese and English meet without a comma, no more is silent than a stop's closure and a breath."""
    speech = next(huashen.load("tts", "espeak", lang="zh").speak("请打开 Settings 里的 Wi-Fi 看看这个 app 很 cool 吧。"))
    words = [mark for mark in speech.marks if mark.kind == "word"]
    gaps = [b.start - a.end for a, b in pairwise(words) if a.text.isascii() != b.text.isascii()]
    assert len(gaps) == 8
    assert max(gaps) < 0.13
    assert np.median(gaps) < 0.08

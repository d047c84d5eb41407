"""What every voice promises that comes from a service, against local servers that follow the published protocols."""

import importlib
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from tests.tts_servers import Services, wav

import huashen
from huashen.errors import EngineError, HuashenError, InputError, MissingPartError, NoSpeechError
from huashen.registry import missing, table
from huashen.tts import Voice, cloned

SERVICES = ("openai", "elevenlabs", "cosyvoice", "gpt_sovits", "paddlespeech", "edge", "gtts")
WITH_WORDS = ("elevenlabs", "edge")
TEXTS = ("Hello there. The **quick** brown fox costs $3.50 😀!", "你好，我是数字人。今天天气很好！", "A")


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    served = Services()
    yield served
    served.close()


def take_in(folder: Path, **more: str) -> Path:
    """Take in a recording of 4 s under the name anna; return the file it was made of."""
    source = folder / "me.wav"
    source.write_bytes(wav((0.2 * np.sin(np.arange(4 * 22_050) / 20)).astype(np.float32)))
    cloned.add("anna", str(source), {"kind": "self"}, **more)
    return source


@pytest.fixture
def engine(request: pytest.FixtureRequest, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    return made(request.param, services, monkeypatch, tmp_path)


def made(name: str, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return the engine, which asks the local servers."""
    if lacking := missing(table("tts").get(name)):
        pytest.skip(f"the tts engine {name} needs {', '.join(lacking)}")
    services.asked.clear()
    services.broken = None
    services.mute = False
    base = services.url + ("/v1" if name == "openai" else "")
    options: dict[str, Any] = {"base_url": base} if name not in ("edge", "gtts") else {}
    if name == "openai":
        options["key"] = "sk-secret-1234"
    if name == "elevenlabs":
        options["key"] = "el-secret-1234"
    if name == "gpt_sovits":
        monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
        take_in(tmp_path)
        options["voice"] = "anna"
    if name == "edge":
        import edge_tts.communicate

        monkeypatch.setattr(edge_tts.communicate, "WSS_URL", f"{services.url.replace('http', 'ws')}/edge?x=1")
    if name == "gtts":
        import gtts.tts

        monkeypatch.setattr(gtts.tts, "_translate_url", lambda tld="com", path="": f"{services.url}/{path}")
    return huashen.load("tts", name, **options)


each = pytest.mark.parametrize("engine", SERVICES, indirect=True)


@each
def test_is_a_voice_without_phones(engine: Any) -> None:
    assert isinstance(engine, Voice)
    assert engine.phones is False


@each
@pytest.mark.parametrize("text", TEXTS)
def test_promises(engine: Any, text: str) -> None:
    said = list(engine.speak(text))
    assert "".join(speech.text for speech in said) == text
    for speech in said:
        samples, rate = speech.audio.samples, speech.audio.rate
        assert rate == engine.rate
        assert samples.dtype == np.float32
        assert np.abs(samples).max() <= 10 ** (-1 / 20)
        assert not speech.aligned
        assert not [mark for mark in speech.marks if mark.kind == "phone"]
        (whole,) = [mark for mark in speech.marks if mark.kind == "sentence"]
        assert whole.text == speech.text[slice(*whole.span)] == speech.text.strip()
        quiet = samples[round((whole.end + 0.05) * rate) :]
        assert 0.1 <= len(quiet) / rate <= 0.6
        assert np.abs(quiet).max() < 0.003
        words = [mark for mark in speech.marks if mark.kind == "word"]
        assert all(speech.text[slice(*mark.span)] == mark.text for mark in words)
        assert all(0 <= mark.start < mark.end <= speech.audio.seconds for mark in words)
        assert all(a.end <= b.start + 1e-6 and a.span[1] <= b.span[0] for a, b in pairwise(words))
    samples = np.concatenate([speech.audio.samples for speech in said])
    loud = samples[np.abs(samples) > 0.01].astype(np.float64)
    assert -25 < 10 * np.log10(np.mean(loud**2)) < -15


@each
def test_words_stand_where_they_are_spoken(engine: Any, services: Services) -> None:
    """The truth is what the server spoke, shifted by the silence that the engine took from its beginning."""
    text = "Bob put seven big maps upon the table."
    speech = next(engine.speak(text))
    words = [mark for mark in speech.marks if mark.kind == "word"]
    if engine.__class__.__name__.lower() not in ("elevenlabs", "edge"):
        assert not words
        return
    assert [mark.text for mark in words] == ["Bob", "put", "seven", "big", "maps", "upon", "the", "table"]
    _, truth = services.spoken(text)
    shifts = [mark.start - true.start for mark, true in zip(words, truth, strict=True)]
    assert max(shifts) - min(shifts) < 0.02
    level = [float(np.sqrt(np.mean(speech.audio.samples[round(m.start * 24000) : round(m.end * 24000)] ** 2))) for m in words]
    assert min(level) > 0.01


@each
def test_nothing_to_say_is_an_error_and_nothing_is_asked(engine: Any, services: Services) -> None:
    for text in ("", " \n", "。！", "😀"):
        with pytest.raises(NoSpeechError):
            engine.speak(text)
    assert not services.asked


@each
def test_sentences_are_asked_for_one_at_a_time(engine: Any, services: Services) -> None:
    stream = engine.speak("One sentence. " * 500)
    next(stream)
    assert len(services.asked) == 1


@each
def test_what_is_left_off_is_not_asked_for(engine: Any, services: Services) -> None:
    stream = engine.speak("One sentence. " * 50)
    next(stream)
    stream.close()
    assert len(services.asked) == 1
    assert [speech.text for speech in engine.speak("And again.")] == ["And again."]


@pytest.mark.parametrize("engine", ["openai", "elevenlabs"], indirect=True)
def test_a_busy_service_is_asked_again(engine: Any, services: Services) -> None:
    answers = [429, 503]

    def busy() -> web.Response:
        status = answers.pop()
        services.broken = busy if answers else None
        return web.Response(status=status, headers={"Retry-After": "0"})

    services.broken = busy
    assert next(engine.speak("Hello.")).audio.seconds > 0.3
    assert len(services.asked) == 3


@each
@pytest.mark.filterwarnings("ignore")  # a connection that breaks leaves warnings of the libraries
def test_failures_are_told_in_one_line_without_the_key(engine: Any, services: Services) -> None:
    eleven = type(engine).__name__ == "ElevenLabs"
    own = "el-secret" if eleven else "sk-secret"
    answers = [
        lambda: web.Response(status=401, text='{"error": {"message": "bad key %s-secret-1234"}}' % ("el" if eleven else "sk")),
        lambda: web.Response(status=429, text="too many", headers={"Retry-After": "0"}),
        lambda: web.Response(status=503, text="overloaded", headers={"Retry-After": "0"}),
        lambda: web.Response(body=b"RIFF\x00\x00garbage", content_type="text/plain"),
        lambda: web.Response(text="<html>this is a proxy</html>"),
    ]
    for answer in answers:
        services.broken = answer
        with pytest.raises(EngineError) as caught:
            next(engine.speak("Hello."))
        assert "\n" not in str(caught.value)
        assert own not in str(caught.value) or type(engine).__name__ not in ("OpenAISpeech", "ElevenLabs")


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.filterwarnings("ignore")  # a connection that breaks leaves warnings of the libraries
def test_a_service_that_does_not_answer_is_given_up(
    name: str, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.import_module(table("tts").get(name).target.split(":")[0]), "PATIENCE", 1.0)
    engine = made(name, services, monkeypatch, tmp_path)
    services.mute = True
    begun = time.monotonic()
    with pytest.raises(EngineError) as caught:
        next(engine.speak("Hello."))
    assert time.monotonic() - begun < 10
    assert "\n" not in str(caught.value)
    assert len(services.asked) == 1  # not asked again: nobody waits that long


@pytest.mark.parametrize("name", ["openai", "cosyvoice", "paddlespeech"])
def test_a_server_that_is_not_there_is_named(name: str) -> None:
    engine = huashen.load("tts", name, base_url="http://127.0.0.1:9")
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9"):
        next(engine.speak("Hello."))
    with pytest.raises(InputError, match="address"):
        huashen.load("tts", name, base_url="nonsense")


@pytest.mark.parametrize("engine", ["openai"], indirect=True)
def test_openai_is_asked_as_its_protocol_says(engine: Any, services: Services) -> None:
    next(engine.speak("Hello there."))
    (asked,) = services.asked
    assert asked["headers"]["Authorization"] == "Bearer sk-secret-1234"
    wanted = {"model": "gpt-4o-mini-tts", "voice": "nova", "input": "Hello there.", "response_format": "wav", "speed": 1.0}
    assert {name: asked[name] for name in wanted} == wanted


@pytest.mark.parametrize("engine", ["edge"], indirect=True)
def test_edge_picks_the_voice_of_the_language(engine: Any, services: Services) -> None:
    next(engine.speak("你好，世界。"))
    next(engine.speak("Hello, world."))
    assert ["XiaoxiaoNeural" in asked["voice"] for asked in services.asked] == [True, False]
    assert services.asked[0]["config"]["context"]["synthesis"]["audio"]["metadataoptions"]["wordBoundaryEnabled"] == "true"


@pytest.mark.parametrize(("text", "path"), [("", "/inference_cross_lingual"), ("what I say", "/inference_zero_shot")])
def test_cosyvoice_takes_on_a_voice_that_was_taken_in(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, path: str
) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    take_in(tmp_path, text=text)
    services.broken = None
    services.asked.clear()
    engine = huashen.load("tts", "cosyvoice", base_url=services.url, voice="anna")
    assert "anna" in engine.voices()
    next(engine.speak("你好。"))
    assert services.asked[0]["path"] == path
    assert services.asked[0]["prompt_wav"] == cloned.find("anna").path.read_bytes()
    assert services.asked[0].get("prompt_text", "") == text


def test_gpt_sovits_is_told_where_the_recording_lies(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    take_in(tmp_path, text="hello", lang="en", there="/srv/anna.wav")
    services.broken = None
    services.asked.clear()
    next(huashen.load("tts", "gpt_sovits", base_url=services.url, voice="anna").speak("你好。"))
    assert [services.asked[0][key] for key in ("ref_audio_path", "prompt_text", "prompt_lang")] == ["/srv/anna.wav", "hello", "en"]


@pytest.mark.parametrize("name", ["cosyvoice", "gpt_sovits"])
def test_no_voice_is_cloned_without_consent(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    source = take_in(tmp_path)
    with pytest.raises(InputError, match="voices add"):
        huashen.load("tts", name, voice=str(source))
    for wrong, consent in (("bob", {}), ("no/way", {"kind": "self"}), ("anna", {"kind": "self"})):
        with pytest.raises(InputError):
            cloned.add(wrong, str(source), consent)
    assert cloned.names() == ["anna"]
    source.write_bytes(wav(np.zeros(22_050, np.float32)))
    with pytest.raises(InputError, match="3 to 30 s"):
        cloned.add("short", str(source), {"kind": "self"})
    cloned.remove("anna")
    with pytest.raises(InputError, match="consent"):
        huashen.load("tts", name, voice="anna.wav")


def test_paddlespeech_reports_what_the_server_says(services: Services) -> None:
    services.broken = lambda: web.Response(text=json.dumps({"success": False, "code": 500, "message": {"description": "no such speaker"}}))
    with pytest.raises(EngineError, match="no such speaker"):
        next(huashen.load("tts", "paddlespeech", base_url=services.url).speak("你好。"))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    with pytest.raises(MissingPartError, match="ELEVENLABS_API_KEY"):
        huashen.load("tts", "elevenlabs")
    with pytest.raises(InputError, match="--voice"):
        huashen.load("tts", "gpt_sovits")
    with pytest.raises(HuashenError, match="speed"):
        huashen.load("tts", "openai", speed=9.0)

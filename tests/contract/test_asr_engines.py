"""What every recogniser promises (the docstrings of `huashen.asr`), each run through its real library.

faster-whisper hears with Whisper base itself; sherpa-onnx with tiny models of our own making, to which four tones are words; the
service of transcriptions is a local server that follows the published protocol.
"""

import io
import json
import threading
import wave
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

import huashen
import toy_sherpa
from huashen.asr import RATE, Recognizer
from huashen.asr.ears import Ears
from huashen.errors import EngineError, HuashenError, InputError, MissingWeightsError, UnreadableError
from huashen.registry import missing, table
from huashen.types import Audio, Floats, Transcript

ENGINES = ("pocketsphinx", "faster-whisper", "sherpa-onnx zipformer", "sherpa-onnx sense-voice", "openai")
QUESTION = "How much does it cost?"
WORDS = "hello bob好"


class Service(ThreadingHTTPServer):
    """Transcribes everything as `WORDS`; `status` and `wait` spoil its answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.asked: list[tuple[str, str, bytes]] = []
        self.statuses: list[int] = []
        self.body = json.dumps({
            "text": WORDS, "language": "chinese",
            "words": [{"word": "hello", "start": 0.1, "end": 0.5}, {"word": "bob", "start": 0.6, "end": 1.0}],
        }).encode()  # fmt: skip


class Reply(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers.get("Authorization", ""), content))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        body = self.server.body if status == 200 else b'{"error": {"message": "no, key sk-secret-1 is refused"}}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address(service: Service) -> str:
    return f"http://127.0.0.1:{service.server_port}/v1"


@pytest.fixture(scope="module")
def spoken() -> Floats:
    said = list(huashen.load("tts", "espeak").speak(QUESTION))
    return np.asarray(soxr.resample(np.concatenate([p.audio.samples for p in said]), said[0].audio.rate, RATE), np.float32)


@pytest.fixture(scope="module", params=ENGINES)
def heard(
    request: pytest.FixtureRequest, service: Service, tmp_path_factory: Any, weight: Callable[[str], Path], spoken: Floats
) -> tuple[Recognizer, Floats, str]:
    """An engine, sound that it understands, and what it must understand."""
    name, _, kind = request.param.partition(" ")
    if lacking := missing(table("asr").get(name)):
        pytest.skip(f"the asr engine {name} needs {', '.join(lacking)}")
    options: dict[str, Any] = {}
    if name == "sherpa-onnx":
        pytest.importorskip("onnx", reason="wants onnx, which writes the tiny models")
        make = toy_sherpa.zipformer if kind == "zipformer" else toy_sherpa.sense_voice
        options = {"model": make(tmp_path_factory.mktemp(kind))}
    elif name == "faster-whisper":
        weight("whisper_base")
        options = {"lang": "en"}
    elif name == "openai":
        options = {"base_url": address(service), "key": "sk-secret-1", "lang": "zh-CN"}
    engine: Recognizer = huashen.load("asr", name, **options)
    if name in ("sherpa-onnx", "openai"):
        return engine, toy_sherpa.sound("", "▁hello", "▁bo", "b", "好", ""), WORDS
    return engine, spoken, "much does it"


def hear(engine: Recognizer, sound: Floats, step: int = 4000) -> Transcript:
    utterance = engine.begin()
    for start in range(0, len(sound), step):
        utterance.feed(sound[start : start + step])
    return utterance.finish()


def test_understands_and_says_when(heard: tuple[Recognizer, Floats, str]) -> None:
    engine, sound, wanted = heard
    assert isinstance(engine, Recognizer)
    found = hear(engine, sound)
    assert wanted in found.text
    assert found.final
    assert found.marks
    for mark in found.marks:
        assert found.text[slice(*mark.span)] == mark.text
        assert 0 <= mark.start <= mark.end <= len(sound) / RATE + 0.1
    assert all(a.end <= b.start + 0.05 and a.span[1] <= b.span[0] for a, b in pairwise(found.marks))


def test_how_sound_is_cut_changes_nothing_and_two_at_once_do_not_disturb(heard: tuple[Recognizer, Floats, str]) -> None:
    engine, sound, _ = heard
    first, second, left = engine.begin(), engine.begin(), engine.begin()
    for start in range(0, len(sound), 1111):
        first.feed(sound[start : start + 1111])
        left.feed(sound[start : start + 1111])
    for start in range(0, len(sound), 16_000):
        second.feed(sound[start : start + 16_000])
    left.close()
    left.close()
    assert first.finish() == second.finish()


def test_silence_is_nothing(heard: tuple[Recognizer, Floats, str]) -> None:
    engine, _, _ = heard
    assert hear(engine, np.zeros(RATE, np.float32)).text == ""
    assert engine.begin().finish().text == ""


def test_a_turn_ends_with_the_words(heard: tuple[Recognizer, Floats, str]) -> None:
    engine, sound, wanted = heard

    class Level:
        def hear(self, piece: Floats) -> float:
            return float(np.sqrt(np.mean(piece**2)) > 0.01)

    ears = Ears(engine, silence=0.7, voice=Level())
    heard_too = np.concatenate([np.zeros(RATE // 2, np.float32), sound, np.zeros(RATE, np.float32)])
    events = [event for k in range(0, len(heard_too), 320) for event in ears.feed(Audio(heard_too[k : k + 320], RATE))]
    kinds = [event.kind for event in events]
    assert kinds[:2] == ["stir", "speech_started"]
    assert kinds[-1] == "final"
    assert set(kinds[2:-1]) <= {"partial"}
    assert events[-1].transcript is not None
    assert wanted in events[-1].transcript.text
    if getattr(engine, "streaming", False) or engine.__class__.__name__ == "PocketSphinx":
        assert "partial" in kinds


def test_chinese_is_understood_in_simplified_characters(weight: Callable[[str], Path]) -> None:
    for name in ("faster_whisper", "pypinyin"):
        pytest.importorskip(name)
    weight("whisper_base")
    weight("fastspeech2_zh")
    text = "请问租一辆自行车一个星期要多少钱？"
    said = next(huashen.load("tts", "fastspeech2").speak(text)).audio
    sound = np.asarray(soxr.resample(said.samples, said.rate, RATE), np.float32)
    found = hear(huashen.load("asr", "faster-whisper"), sound)
    assert found.lang == "zh"
    assert len(set(text) & set(found.text)) >= 10, found.text  # of 16; which homophone it takes may differ between processors
    assert not set(found.text) & set("請問輛車錢")
    assert all(mark.text for mark in found.marks)


def test_whisper_tells_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: Callable[[str], Path]) -> None:
    pytest.importorskip("faster_whisper", reason="wants faster-whisper: pip install 'huashen[whisper]'")
    (tmp_path / "model.bin").write_bytes(b"not a model")
    with pytest.raises(MissingWeightsError, match="converter") as caught:
        huashen.load("asr", "faster-whisper", model=str(tmp_path))
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("HUASHEN_OFFLINE", "1")
    with pytest.raises(MissingWeightsError, match="nowhere/at-all"):
        huashen.load("asr", "faster-whisper", model="nowhere/at-all")
    monkeypatch.delenv("HUASHEN_OFFLINE")
    weight("whisper_base")
    with pytest.raises(InputError, match="'xx'"):
        huashen.load("asr", "faster-whisper", lang="xx")


def test_sherpa_tells_what_is_wrong(tmp_path: Path) -> None:
    for name in ("sherpa_onnx", "onnx"):
        pytest.importorskip(name)
    with pytest.raises(InputError, match="model="):
        huashen.load("asr", "sherpa-onnx")
    with pytest.raises(MissingWeightsError, match="releases"):
        huashen.load("asr", "sherpa-onnx", model=tmp_path / "nowhere")
    folder = toy_sherpa.zipformer(tmp_path / "z")
    (folder / "joiner-epoch-1.onnx").rename(folder / "joiner")
    with pytest.raises(MissingWeightsError, match="joiner"):
        huashen.load("asr", "sherpa-onnx", model=folder)
    (folder / "joiner").rename(folder / "joiner-epoch-1.onnx")
    tokens = (folder / "tokens.txt").read_text(encoding="utf-8")
    (folder / "tokens.txt").write_text(tokens + "a line that ends the whole process\n", encoding="utf-8")
    with pytest.raises(UnreadableError, match="line 6"):
        huashen.load("asr", "sherpa-onnx", model=folder)
    (folder / "tokens.txt").write_text(tokens, encoding="utf-8")
    (folder / "encoder-epoch-1.onnx").write_bytes((folder / "decoder-epoch-1.onnx").read_bytes())
    with pytest.raises(EngineError, match="decode_chunk_len"):
        huashen.load("asr", "sherpa-onnx", model=folder)
    (folder / "encoder-epoch-1.onnx").write_bytes(b"not a network")
    with pytest.raises(UnreadableError, match="encoder"):
        huashen.load("asr", "sherpa-onnx", model=folder)
    with pytest.raises(InputError, match="'fr'"):
        huashen.load("asr", "sherpa-onnx", model=toy_sherpa.sense_voice(tmp_path / "s"), lang="fr")


def test_the_service_is_asked_as_its_protocol_says(service: Service) -> None:
    service.asked.clear()
    engine = huashen.load("asr", "openai", base_url=address(service), key="sk-secret-1", lang="zh-CN", model="sense-voice")
    sound = toy_sherpa.sound("▁hello")
    assert hear(engine, sound).text == WORDS
    ((path, authorization, content),) = service.asked
    assert path == "/v1/audio/transcriptions"
    assert authorization == "Bearer sk-secret-1"
    fields = {}
    for part in content.split(b"\r\n--"):
        if b'name="' in part:
            fields[part.split(b'name="')[1].split(b'"')[0].decode()] = part.split(b"\r\n\r\n", 1)[1]
    assert {name: value.strip() for name, value in fields.items() if name != "file"} == {
        "model": b"sense-voice", "language": b"zh", "response_format": b"json",
    }  # fmt: skip
    with wave.open(io.BytesIO(fields["file"])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.getnframes() == len(sound)


def test_failures_of_the_service_are_one_line_without_the_key(service: Service) -> None:
    engine = huashen.load("asr", "openai", base_url=address(service), key="sk-secret-1")
    sound = toy_sherpa.sound("▁hello")
    service.statuses = [429, 503]
    assert hear(engine, sound).text == WORDS  # tried again
    bodies = {401: "key", 404: "model's name", 400: "options"}
    for status, wanted in bodies.items():
        service.statuses = [status]
        with pytest.raises(EngineError, match=wanted) as caught:
            hear(engine, sound)
        assert "\n" not in str(caught.value)
        assert "sk-secret-1" not in str(caught.value)
    whole = service.body
    try:
        for body in (b"<html>", b"[]", b'{"other": 1}'):
            service.body = body
            with pytest.raises(EngineError):
                hear(engine, sound)
    finally:
        service.body = whole
    with pytest.raises(HuashenError, match=r"127\.0\.0\.1:9"):
        hear(huashen.load("asr", "openai", base_url="http://127.0.0.1:9/v1", retries=0), sound)

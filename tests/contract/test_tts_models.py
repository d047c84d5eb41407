"""Voices whose models the user brings, with tiny models of our own making: tones, but in and out as the real ones have it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import huashen
from huashen.errors import EngineError, HuashenError, MissingWeightsError, NoSpeechError, UnknownEngineError, UnreadableError
from huashen.registry import missing, table
from huashen.tts import Voice

pytest.importorskip("onnx", reason="wants onnx, which writes the tiny models")
PER_TOKEN = 1200
"""Samples a token: 50 ms at 24 kHz."""


def tones(
    path: Path, tokens: str, inputs: list[tuple[str, int, list[Any]]], shape: list[int], metadata: dict[str, str] | None = None
) -> None:
    """Write a network that hums PER_TOKEN samples for each token, higher for greater ones; other inputs are taken and not used."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    ramp = np.linspace(0, 2 * np.pi * 8, PER_TOKEN, dtype=np.float32)[None, None]
    constants = {"ramp": ramp, "two": np.array([2], np.int64), "shape": np.array(shape, np.int64), "loud": np.array(0.3, np.float32),
                 "scale": np.array(0.02, np.float32), "one": np.array(1, np.float32)}  # fmt: skip
    nodes = [
        helper.make_node("Cast", [tokens], ["f"], to=TensorProto.FLOAT), helper.make_node("Mul", ["f", "scale"], ["m"]),
        helper.make_node("Add", ["m", "one"], ["a"]), helper.make_node("Unsqueeze", ["a", "two"], ["u"]),
        helper.make_node("Mul", ["u", "ramp"], ["r"]), helper.make_node("Sin", ["r"], ["s"]), helper.make_node("Mul", ["s", "loud"], ["q"]),
        helper.make_node("Reshape", ["q", "shape"], ["audio"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "tones", [helper.make_tensor_value_info(name, kind, size) for name, kind, size in inputs],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [None] * len(shape))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for name, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, value
    onnx.save(model, str(path))


def piper(home: Path) -> None:
    from onnx import TensorProto

    folder = home / "voices" / "piper"
    folder.mkdir(parents=True)
    kinds = [("input", TensorProto.INT64, [1, None]), ("input_lengths", TensorProto.INT64, [1]), ("scales", TensorProto.FLOAT, [3])]
    tones(folder / "en_US-tiny.onnx", "input", kinds, [1, 1, 1, -1])
    signs = "_^$ !',-.:;?abcdefhijklmnopqrstuvwxyzæðŋɐɑɒɔəɚɛɜɡɪɹɾʃʊʌʒˈˌːθᵻ"
    config = {
        "audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "phoneme_type": "espeak", "num_symbols": 256, "num_speakers": 1,
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_id_map": {sign: [k] for k, sign in enumerate(signs)},
    }  # fmt: skip
    (folder / "en_US-tiny.onnx.json").write_text(json.dumps(config))


def kokoro(home: Path) -> None:
    from onnx import TensorProto

    folder = home / "voices" / "kokoro"
    folder.mkdir(parents=True)
    kinds = [("tokens", TensorProto.INT64, [1, None]), ("style", TensorProto.FLOAT, [1, 256]), ("speed", TensorProto.FLOAT, [1])]
    tones(folder / "kokoro-v1.0.onnx", "tokens", kinds, [-1])
    styles = {name: np.zeros((510, 1, 256), np.float32) for name in ("af_heart", "am_adam", "zf_xiaobei", "zm_yunxi")}
    with (folder / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **styles)


def sherpa(home: Path) -> None:
    from onnx import TensorProto

    folder = home / "voices" / "sherpa" / "vits-tiny"
    folder.mkdir(parents=True)
    one = [1]
    kinds = [("x", TensorProto.INT64, [1, None]), ("x_length", TensorProto.INT64, one), ("noise_scale", TensorProto.FLOAT, one),
             ("length_scale", TensorProto.FLOAT, one), ("noise_scale_w", TensorProto.FLOAT, one)]  # fmt: skip
    about = {"model_type": "vits", "comment": "tiny", "language": "English", "voice": "en-us", "add_blank": "0", "n_speakers": "0",
             "sample_rate": "22050"}  # fmt: skip
    tones(folder / "model.onnx", "x", kinds, [1, 1, -1], about)
    letters = "_ abcdefghijklmnopqrstuvwxyz,.!?"
    (folder / "tokens.txt").write_text("".join(f"{letter} {k}\n" for k, letter in enumerate(letters)))
    said = ("hello", "there", "bob", "put", "maps", "one", "two", "a", "sentence")
    (folder / "lexicon.txt").write_text("".join(f"{word} {' '.join(word)}\n" for word in said))


MAKERS: dict[str, Callable[[Path], None]] = {"piper": piper, "kokoro": kokoro, "sherpa": sherpa}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HUASHEN_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(params=list(MAKERS))
def name(request: pytest.FixtureRequest) -> str:
    if lacking := missing(table("tts").get(request.param)):
        pytest.skip(f"the tts engine {request.param} needs {', '.join(lacking)}")
    return str(request.param)


def test_speaks_and_keeps_its_promises(name: str, home: Path) -> None:
    MAKERS[name](home)
    engine: Any = huashen.load("tts", name)
    assert isinstance(engine, Voice)
    assert engine.phones is False
    text = "Hello there. Bob put maps!"
    said = list(engine.speak(text))
    assert "".join(speech.text for speech in said) == text
    for speech in said:
        assert speech.audio.rate == engine.rate == 24_000
        assert not speech.aligned
        assert 0.5 < speech.audio.seconds < 4
        assert 0.05 < float(np.sqrt(np.mean(speech.audio.samples**2))) < 0.3
    again = list(engine.speak(text))
    assert all(np.array_equal(a.audio.samples, b.audio.samples) for a, b in zip(said, again, strict=True))
    with pytest.raises(NoSpeechError):
        engine.speak("…")
    stream = engine.speak("One sentence. " * 500)
    assert next(stream).text == "One sentence. "


def test_a_voice_that_is_not_here_is_named_with_its_place(name: str, home: Path) -> None:
    with pytest.raises(MissingWeightsError, match="voices") as caught:
        huashen.load("tts", name)
    assert "https://" in str(caught.value)
    assert str(home) in str(caught.value)
    MAKERS[name](home)
    with pytest.raises((MissingWeightsError, UnknownEngineError)):
        huashen.load("tts", name, voice="nobody")
    with pytest.raises(HuashenError, match="speed"):
        huashen.load("tts", name, speed=9.0)


def test_a_broken_model_is_told_in_one_line(name: str, home: Path) -> None:
    if name == "sherpa":
        return  # sherpa-onnx ends the process where a model cannot be read: nothing can be told then
    MAKERS[name](home)
    for path in (home / "voices" / name).rglob("*.onnx"):
        path.write_bytes(b"not a network")
    with pytest.raises((EngineError, UnreadableError)) as caught:
        huashen.load("tts", name)
    assert "\n" not in str(caught.value)


def test_kokoro_picks_the_voice_of_the_language(home: Path) -> None:
    if missing(table("tts").get("kokoro")):
        pytest.skip("the tts engine kokoro needs kokoro_onnx")
    kokoro(home)
    engine: Any = huashen.load("tts", "kokoro", voice="male")
    assert [engine._named(lang) for lang in ("en", "zh", "zh-CN", "en-US")] == ["am_adam", "zm_yunxi", "zm_yunxi", "am_adam"]
    assert engine.voices() == ["female", "male", "af_heart", "am_adam", "zf_xiaobei", "zm_yunxi"]
    with pytest.raises(UnknownEngineError, match="fr"):
        engine._named("fr")

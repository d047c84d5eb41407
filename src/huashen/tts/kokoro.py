"""Kokoro-82M by onnxruntime: English, Chinese and six more languages in one small model; the user brings its two files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from huashen import config
from huashen.device import onnx
from huashen.errors import EngineError, MissingWeightsError, UnknownEngineError
from huashen.tts.remote import Said, speak, speed_within
from huashen.types import Speech
from huashen.words import tr

FILES = ("kokoro-v1.0.onnx", "voices-v1.0.bin")
LANGUAGES = {"a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "cmn"}
"""What the first letter of a voice's name says, as eSpeak NG calls it, which spells the words."""


class Kokoro:
    """Speaks with Kokoro.

    Args:
        voice: such as "af_heart" or "zm_yunxi" (language, f or m, name), "female", "male"; by the text's language without.
        lang: of the text; guessed without.
        speed: 0.5 to 2.
        model, styles: the files; without them `FILES` in HUASHEN_HOME/voices/kokoro.

    Raises:
        MissingWeightsError: a file is not here; the text says where it belongs.
        UnknownEngineError: no such voice.
        InputError: speed out of range.

    Source: https://github.com/thewh1teagle/kokoro-onnx (MIT), weights hexgrad/Kokoro-82M (Apache-2.0)
    """

    rate = 24_000
    phones = False

    def __init__(
        self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, model: str | None = None, styles: str | None = None
    ) -> None:
        import kokoro_onnx

        self._speed = speed_within(speed)
        self._lang = lang or ""
        paths = [Path(given) if given else folder() / name for given, name in zip((model, styles), FILES, strict=True)]
        for path in paths:
            if not path.is_file():
                raise MissingWeightsError(tr(
                    f"{path.name} is not in {path.parent}; get it from https://github.com/thewh1teagle/kokoro-onnx/releases",
                    f"{path.parent} 中没有 {path.name}；请从 https://github.com/thewh1teagle/kokoro-onnx/releases 下载后放入",
                ))  # fmt: skip
        try:
            self._model: Any = kokoro_onnx.Kokoro.from_session(onnx(paths[0]), str(paths[1]))
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(tr(f"{paths[0]} is no Kokoro model: {error}", f"{paths[0]} 不是 Kokoro 模型：{error}")) from error
        self._names: list[str] = sorted(self._model.get_voices())
        self._voice = voice or "female"
        if self._voice not in ("female", "male", *self._names):
            have = ", ".join(self.voices()[:12])
            raise UnknownEngineError(
                tr(f"kokoro has no voice '{voice}'; there are: {have} …", f"kokoro 没有嗓音“{voice}”；可用的有：{have} …")
            )

    def voices(self) -> list[str]:
        """Return all that `voice` may be."""
        return ["female", "male", *self._names]

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            UnknownEngineError: it is in a language for which there is no voice.
        """
        return speak(text, self._lang, self._say, speed=self._speed, expand=True)

    def _say(self, sentence: str, lang: str) -> Said:
        name = self._named(lang.lower())
        samples, rate = self._model.create(sentence, voice=name, speed=self._speed, lang=LANGUAGES.get(name[0], "en-us"))
        return Said(np.asarray(samples, np.float32), int(rate))

    def _named(self, lang: str) -> str:
        """Return the voice that speaks a language."""
        if self._voice not in ("female", "male"):
            return self._voice
        wanted = "zh" if lang.startswith(("zh", "cmn")) else lang
        for letter, tag in LANGUAGES.items():
            if (tag == "cmn" and wanted == "zh") or tag.startswith(wanted.split("-")[0]):
                for name in self._names:
                    if name.startswith(letter + self._voice[0]):
                        return name
        raise UnknownEngineError(tr(f"kokoro has no {self._voice} voice for '{lang}'", f"kokoro 没有“{lang}”的{self._voice}嗓音"))


def folder() -> Path:
    """Return where Kokoro's files lie."""
    return config.home() / "voices" / "kokoro"

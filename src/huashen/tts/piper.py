"""Piper: natural voices in thirty languages that run on a processor many times faster than real time; the user brings the voice's files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from huashen import config, weights
from huashen.device import onnx
from huashen.errors import EngineError, InputError, MissingWeightsError
from huashen.tts.remote import Said, speak, speed_within
from huashen.types import Speech
from huashen.words import tr


class Piper:
    """Speaks with a Piper voice, NAME.onnx and NAME.onnx.json.

    Args:
        voice: a voice's name in HUASHEN_HOME/voices/piper or among the fetched weights, or the path of its .onnx file; the first that is
            there without.
        lang: only noted: a voice has one language.
        speed: 0.5 to 2.
        speaker: number of the speaker, of voices that have several.

    Raises:
        MissingWeightsError: the voice is not here; the text says where it belongs.
        InputError: speed or speaker cannot be used.

    Source: https://github.com/OHF-Voice/piper1-gpl; its package is GPL-3.0-or-later and therefore an extra of its own
    """

    rate = 24_000
    phones = False

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, speaker: int = 0) -> None:
        from piper import PiperConfig, PiperVoice

        self._speed = speed_within(speed)
        path = _found(voice, self.voices())
        try:
            told = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
            self._voice: Any = PiperVoice(session=onnx(path), config=PiperConfig.from_dict(told))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineError(
                tr(
                    f"{path} is no Piper voice ({type(error).__name__}); its .onnx.json must lie beside it",
                    f"{path} 不是 Piper 嗓音（{type(error).__name__}）；对应的 .onnx.json 须放在一起",
                )
            ) from error
        count = self._voice.config.num_speakers
        if not 0 <= speaker < max(1, count):
            raise InputError(
                tr(f"that voice has {count} speakers, from 0; not {speaker}", f"该嗓音有 {count} 位说话人（从 0 起），没有 {speaker}")
            )
        self._speaker = speaker if count > 1 else None
        self._lang = lang or str(self._voice.config.espeak_voice or "").split("-")[0]

    @staticmethod
    def voices() -> list[str]:
        """Return the names of the voices that are here."""
        return sorted({path.stem for place in _folders() for path in place.glob("*.onnx")})

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
        """
        return speak(text, self._lang, self._say, speed=self._speed, expand=True)

    def _say(self, sentence: str, lang: str) -> Said:
        from piper import SynthesisConfig

        scale = (self._voice.config.length_scale or 1.0) / self._speed
        # no noise: the same text gives the same sound
        options = SynthesisConfig(speaker_id=self._speaker, length_scale=scale, noise_scale=0.0, noise_w_scale=0.0)
        chunks = list(self._voice.synthesize(sentence, options))
        if not chunks:
            return Said(np.zeros(0, np.float32), self.rate)
        return Said(np.concatenate([chunk.audio_float_array for chunk in chunks]).astype(np.float32), int(chunks[0].sample_rate))


def folder() -> Path:
    """Return where Piper's voices lie."""
    return config.home() / "voices" / "piper"


def _folders() -> tuple[Path, Path]:
    """Return where voices are looked for: what the user laid there, and what was fetched."""
    return folder(), weights.folder() / "piper"


def _found(voice: str | None, names: list[str]) -> Path:
    if voice and voice.endswith(".onnx") and Path(voice).is_file():
        return Path(voice)
    if voice in names or (voice is None and names):
        return next(path for place in _folders() if (path := place / f"{voice or names[0]}.onnx").is_file())
    have = ", ".join(names) or tr("none yet", "暂无")
    wanted = voice or "NAME"
    raise MissingWeightsError(tr(
        f"the Piper voice {wanted}.onnx is not in {folder()} (there: {have}); run 'huashen weights get piper_joe' for an English one, or "
        "put the .onnx and .onnx.json of one from https://huggingface.co/rhasspy/piper-voices there",
        f"{folder()} 中没有 Piper 嗓音 {wanted}.onnx（已有：{have}）；英语可运行 huashen weights get piper_joe，"
        "或从 https://huggingface.co/rhasspy/piper-voices 下载 .onnx 和 .onnx.json 放入",
    ))  # fmt: skip

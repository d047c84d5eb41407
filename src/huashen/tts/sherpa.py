"""Voices that sherpa-onnx runs - VITS (Piper's and MeloTTS's too), Matcha, Kokoro - in the folders its project releases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from huashen import config
from huashen.errors import EngineError, InputError, MissingWeightsError
from huashen.tts.remote import Said, speak, speed_within
from huashen.types import Speech
from huashen.words import tr


class Sherpa:
    """Speaks with a model folder of sherpa-onnx.

    Args:
        voice: a folder's name in HUASHEN_HOME/voices/sherpa, or its path; the first that is there without.
        lang: only noted: a model has its languages.
        speed: 0.5 to 2.
        speaker: number of the speaker, of models that have several.
        threads: processor threads.

    Raises:
        MissingWeightsError: there is no such folder; the text says where it belongs.
        EngineError: it holds no model of a known kind.
        InputError: speed or speaker cannot be used.

    Source: https://k2-fsa.github.io/sherpa/onnx/tts (Apache-2.0; each model has a licence of its own)
    """

    rate = 24_000
    phones = False

    def __init__(
        self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, speaker: int = 0, threads: int = 2
    ) -> None:
        import sherpa_onnx

        self._speed = speed_within(speed)
        self._lang = lang or ""
        path = _found(voice, self.voices())
        options = sherpa_onnx.OfflineTtsConfig(
            model=_model(path, threads), rule_fsts=",".join(str(file) for file in sorted(path.glob("*.fst"))), max_num_sentences=1
        )
        if not options.validate():
            raise EngineError(tr(f"{path} lacks a file of its model", f"{path} 缺少模型文件"))
        self._model: Any = sherpa_onnx.OfflineTts(options)
        count = max(1, self._model.num_speakers)
        if not 0 <= speaker < count:
            raise InputError(
                tr(f"that model has {count} speakers, from 0; not {speaker}", f"该模型有 {count} 位说话人（从 0 起），没有 {speaker}")
            )
        self._speaker = speaker

    @staticmethod
    def voices() -> list[str]:
        """Return the names of the folders that are here."""
        here = folder()
        return sorted(path.name for path in here.iterdir() if (path / "tokens.txt").is_file()) if here.is_dir() else []

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
        """
        return speak(text, self._lang, self._say, speed=self._speed, expand=True)

    def _say(self, sentence: str, lang: str) -> Said:
        made = self._model.generate(sentence, sid=self._speaker, speed=self._speed)
        return Said(np.asarray(made.samples, np.float32), int(made.sample_rate) or self.rate)


def folder() -> Path:
    """Return where sherpa-onnx's models lie, a folder each."""
    return config.home() / "voices" / "sherpa"


def _found(voice: str | None, names: list[str]) -> Path:
    if voice and (Path(voice) / "tokens.txt").is_file():
        return Path(voice)
    if voice in names or (voice is None and names):
        return folder() / (voice or names[0])
    have = ", ".join(names) or tr("none yet", "暂无")
    wanted = voice or "MODEL"
    raise MissingWeightsError(tr(
        f"there is no model {wanted} in {folder()} (there: {have}); unpack one from "
        "https://github.com/k2-fsa/sherpa-onnx/releases/tag/tts-models there",
        f"{folder()} 中没有模型 {wanted}（已有：{have}）；"
                "请从 https://github.com/k2-fsa/sherpa-onnx/releases/tag/tts-models 下载并解压到该处",
    ))  # fmt: skip


def _model(path: Path, threads: int) -> Any:
    """Return the description of the model in a folder: its files tell what it is."""
    import sherpa_onnx

    tokens = str(path / "tokens.txt")
    nets = sorted(path.glob("*.onnx"), key=lambda file: (file.name.endswith("int8.onnx"), file.name))
    vocoders = [*(file for file in nets if file.name.startswith(("vocos", "hifigan"))), *sorted(path.parent.glob("vocos*.onnx"))]
    acoustic = [file for file in nets if file not in vocoders]
    if not acoustic:
        raise EngineError(tr(f"{path} holds no .onnx model", f"{path} 中没有 .onnx 模型"))
    data = str(path / "espeak-ng-data") if (path / "espeak-ng-data").is_dir() else ""
    dictionary = str(path / "dict") if (path / "dict").is_dir() else ""
    lexicon = ",".join(str(file) for file in sorted(path.glob("lexicon*.txt")))
    common = {"tokens": tokens, "lexicon": lexicon, "data_dir": data, "dict_dir": dictionary}
    model = str(acoustic[0])
    if (path / "voices.bin").is_file():
        kokoro = sherpa_onnx.OfflineTtsKokoroModelConfig(model=model, voices=str(path / "voices.bin"), **common)
        return sherpa_onnx.OfflineTtsModelConfig(kokoro=kokoro, num_threads=threads)
    if vocoders:
        matcha = sherpa_onnx.OfflineTtsMatchaModelConfig(acoustic_model=model, vocoder=str(vocoders[0]), **common)
        return sherpa_onnx.OfflineTtsModelConfig(matcha=matcha, num_threads=threads)
    vits = sherpa_onnx.OfflineTtsVitsModelConfig(model=model, **common)
    return sherpa_onnx.OfflineTtsModelConfig(vits=vits, num_threads=threads)

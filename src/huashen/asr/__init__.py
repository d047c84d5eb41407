"""Speech heard: words from sound, as they are spoken."""

from typing import Protocol, runtime_checkable

from huashen.registry import Entry, Registry
from huashen.types import Floats, Transcript

RATE = 16000
"""Samples a second that every engine is fed with, Hz."""


@runtime_checkable
class Utterance(Protocol):
    """One stretch of speech being heard, from its first sound to its last; used by one thread at a time."""

    def feed(self, samples: Floats) -> str:
        """Hear some more; return what is understood so far, "" while nothing is or where the engine only tells at the end.

        Args:
            samples: (n,) float32 at `RATE`; how they are cut does not change the final words.
        """
        ...

    def pause(self) -> None:
        """Hear that the speaker has fallen silent: what is fed until `resume` or `finish` holds no words."""
        ...

    def resume(self) -> None:
        """Hear that he speaks on."""
        ...

    def finish(self) -> Transcript:
        """Return what was said, with a mark for each word where the engine knows the times (seconds from the first sample fed).

        Raises:
            EngineError: a service failed.
        """
        ...

    def close(self) -> None:
        """Forget it; nothing is recognised. Does nothing after `finish`."""
        ...


@runtime_checkable
class Recognizer(Protocol):
    """Understands speech.

    Promises: utterances begun at the same time do not disturb each other; the same sound gives the same words; silence gives an empty text.
    """

    lang: str
    """BCP 47 tag of what it understands; "" where it finds that out by itself."""

    def begin(self) -> Utterance:
        """Begin to hear an utterance."""
        ...


TABLE = Registry(
    "asr",
    Entry(
        name="pocketsphinx", target="huashen.asr.pocketsphinx:PocketSphinx", licence="BSD-2-Clause",
        about=("CMU PocketSphinx: English, small, always there, words while they are spoken; simple sentences only",
               "CMU PocketSphinx：英语，小巧、随时可用，边说边出字；适合简单句子"),
        modules=("pocketsphinx",), source="https://github.com/cmusphinx/pocketsphinx 5",
    ),
    Entry(
        name="sherpa-onnx", target="huashen.asr.sherpa:Sherpa", licence="Apache-2.0 / the model's own",
        about=("sherpa-onnx: SenseVoice (Chinese, English, Cantonese, Japanese, Korean) or a streaming zipformer; needs a model's folder",
               "sherpa-onnx：SenseVoice（中、英、粤、日、韩）或流式 zipformer；需给出模型文件夹"),
        extra="sherpa", modules=("sherpa_onnx",), source="https://github.com/k2-fsa/sherpa-onnx",
    ),
    Entry(
        name="faster-whisper", target="huashen.asr.whisper:Whisper", licence="MIT / MIT",
        about=("Whisper through CTranslate2: Chinese, English, about a hundred languages; the base model (148 MB) is fetched once",
               "Whisper（CTranslate2 推理）：中文、英语等约一百种语言；首次使用时获取 base 模型（148 MB）"),
        extra="whisper", modules=("faster_whisper",), source="https://github.com/SYSTRAN/faster-whisper",
    ),
    Entry(
        name="openai", target="huashen.asr.openai:OpenAI", licence="Apache-2.0 / the service's own",
        about=("Any server that speaks OpenAI's protocol for transcriptions; needs its address and model",
               "任何兼容 OpenAI 语音转写协议的服务；需给出地址和模型名"),
        modules=("httpx",), source="https://platform.openai.com/docs/api-reference/audio",
    ),
)  # fmt: skip

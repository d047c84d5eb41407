"""A CosyVoice server (FunAudioLLM): natural Chinese, and voices cloned from a few seconds."""

from collections.abc import Iterator

from huashen import config
from huashen.errors import EngineError, InputError
from huashen.service import Service
from huashen.tts import cloned
from huashen.tts.remote import PATIENCE, Said, pcm, speak, speed_within
from huashen.types import Speech
from huashen.words import tr

VOICES = ("中文女", "中文男", "英文女", "英文男", "日语男", "粤语女", "韩语女")
"""Speakers of CosyVoice-300M-SFT."""


class CosyVoice:
    """Speaks through the server in CosyVoice's runtime/python/fastapi: a built-in speaker, or a voice cloned from a recording.

    Args:
        voice: a speaker's name, "female" or "male"; or a voice that was taken in by `huashen voices add`, with who agreed to it.
        lang: of the text; picks the speaker for "female" and "male".
        speed: only 1: the published server has no other.
        base_url: without it `HUASHEN_TTS_URL`, or http://127.0.0.1:50000.
        sample_rate: Hz of what the server sends: 22050 for CosyVoice-300M, 24000 for CosyVoice2 and later.

    Raises:
        InputError: speed or address cannot be used, or a file is named of whose speaker nobody knows whether they agreed.

    Source: https://github.com/FunAudioLLM/CosyVoice runtime/python/fastapi
    """

    rate = 24_000
    phones = False

    def __init__(
        self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, base_url: str | None = None,
        sample_rate: int = 22_050,
    ) -> None:  # fmt: skip
        speed_within(speed, 1.0, 1.0)
        self._voice = voice or "female"
        self._lang = lang or ""
        self._own = sample_rate
        if not 8000 <= sample_rate <= 48000:
            raise InputError(
                tr(f"sample_rate cannot be {sample_rate}; it is 22050 or 24000", f"sample_rate 不能是 {sample_rate}；应为 22050 或 24000")
            )
        self._service = Service(base_url or config.speech_url() or "http://127.0.0.1:50000", timeout=PATIENCE)
        self._recording: bytes | None = None
        self._prompt = ""
        if self._voice in cloned.names() or self._voice.lower().endswith((".wav", ".mp3", ".m4a", ".flac")):
            recording = cloned.find(self._voice)
            self._recording, self._prompt = recording.path.read_bytes(), recording.text

    def voices(self) -> list[str]:
        """Return the built-in speakers and the voices that were taken in."""
        return ["female", "male", *VOICES, *cloned.names()]

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            EngineError: while reading: the server failed.
        """
        return speak(text, self._lang, self._say)

    def _say(self, sentence: str, lang: str) -> Said:
        form = {"tts_text": sentence}
        if self._recording is None:
            tongue = {"en": "英文"}.get(lang.split("-")[0], "中文")
            speaker = {"female": tongue + "女", "male": tongue + "男"}.get(self._voice, self._voice)
            answer = self._service.send("/inference_sft", data={**form, "spk_id": speaker})
        else:
            recording = {"prompt_wav": ("prompt.wav", self._recording, "audio/wav")}
            if self._prompt:
                answer = self._service.send("/inference_zero_shot", data={**form, "prompt_text": self._prompt}, files=recording)
            else:
                answer = self._service.send("/inference_cross_lingual", data=form, files=recording)
        kind = answer.headers.get("content-type", "")
        if kind.startswith(("text/", "application/json")):  # bare samples have no mark by which they could be told from anything else
            raise EngineError(tr(f"{self._service.shown} answered {kind}, not sound", f"{self._service.shown} 返回的是 {kind}，不是声音"))
        return Said(pcm(answer.content), self._own)

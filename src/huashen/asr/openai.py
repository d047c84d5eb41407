"""Any server that speaks OpenAI's protocol for transcriptions."""

import io
import wave
from typing import Any

import numpy as np

from huashen import config
from huashen.asr import RATE
from huashen.asr.whole import Whole
from huashen.errors import EngineError
from huashen.service import Service
from huashen.types import Floats, Mark, Transcript
from huashen.words import tr

BASE_URL = "https://api.openai.com/v1"


class OpenAI:
    """A recogniser behind `POST /audio/transcriptions`.

    Args:
        base_url: the service's address up to and including /v1; without it `OPENAI_BASE_URL`, else OpenAI's own.
        model: the model's name, as the service knows it.
        key: the service's key; without it `OPENAI_API_KEY`.
        lang: ISO 639-1, such as "zh"; found out from the sound without it.
        timeout: longest silence of the service in seconds.
        retries: further tries after 429, 5xx or a failed connection.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        model: str = "whisper-1",
        key: str | None = None,
        lang: str = "",
        timeout: float = 30.0,
        retries: int = 2,
    ) -> None:
        self.lang = lang
        self._model = model
        self.service = Service(
            base_url or config.service_url() or BASE_URL, config.service_key() if key is None else key, timeout=timeout, retries=retries
        )

    def begin(self) -> Whole:
        """Begin to hear an utterance."""
        return Whole(self._hear, early=False)

    def _hear(self, sound: Floats) -> Transcript:
        fields = {"model": self._model, "response_format": "json"}
        if self.lang:
            fields["language"] = self.lang.split("-")[0]
        answer = self.service.post("/audio/transcriptions", data=fields, files={"file": ("speech.wav", _wav(sound), "audio/wav")})
        text = answer.get("text") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise EngineError(tr(
                f"{self.service.shown} answered without a text; check that it offers transcriptions",
                f"{self.service.shown} 的回答中没有文本；请确认该服务提供语音转写",
            ))  # fmt: skip
        return Transcript(text.strip(), str(answer.get("language") or self.lang), tuple(_marks(answer, text.strip())))


def _marks(answer: dict[str, Any], text: str) -> list[Mark]:
    """Return the words' marks of an answer that has them (`verbose_json`)."""
    marks: list[Mark] = []
    at = 0
    for word in answer.get("words") or ():
        plain = str(word.get("word", "")).strip()
        found = text.find(plain, at) if plain else -1
        if found >= 0:
            at = found + len(plain)
            marks.append(Mark("word", plain, float(word["start"]), float(word["end"]), span=(found, at)))
    return marks


def _wav(sound: Floats) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(sound * 32767, -32768, 32767).astype("<i2").tobytes())
    return buffer.getvalue()

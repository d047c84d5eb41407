"""A PaddleSpeech server: Baidu's Chinese voices."""

import base64
import binascii
from collections.abc import Iterator

from huashen import config
from huashen.errors import EngineError, UnknownEngineError
from huashen.service import Service
from huashen.tts.remote import PATIENCE, Said, decoded, speak, speed_within
from huashen.types import Speech
from huashen.words import tr


class PaddleSpeech:
    """Speaks through POST /paddlespeech/tts.

    Args:
        voice: a speaker's number, "0" to "999"; "female" is 0.
        lang: only noted: a server has the language of its model.
        speed: 0.5 to 2.
        base_url: without it `HUASHEN_TTS_URL`, or http://127.0.0.1:8090.

    Raises:
        UnknownEngineError: the voice is no number.
        InputError: speed or address cannot be used.

    Source: https://github.com/PaddlePaddle/PaddleSpeech docs, "Server REST API"
    """

    rate = 24_000
    phones = False

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, base_url: str | None = None) -> None:
        number = "0" if voice in (None, "female") else str(voice)
        if not number.isdigit() or len(number) > 3:
            raise UnknownEngineError(tr(
                f"paddlespeech has no voice '{voice}'; give a speaker's number such as 0",
                    f"paddlespeech 没有嗓音“{voice}”；请给出说话人编号，例如 0"
            ))  # fmt: skip
        self._speaker = int(number)
        self._lang = lang or ""
        self._speed = speed_within(speed)
        self._service = Service(base_url or config.speech_url() or "http://127.0.0.1:8090", timeout=PATIENCE)

    def voices(self) -> list[str]:
        """Return the name known without asking; any speaker's number will do."""
        return ["female"]

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            EngineError: while reading: the server failed.
        """
        return speak(text, self._lang, self._say, speed=self._speed)

    def _say(self, sentence: str, lang: str) -> Said:
        body = {"text": sentence, "spk_id": self._speaker, "speed": self._speed, "volume": 1.0, "sample_rate": 0}
        answer = self._service.send("/paddlespeech/tts", json=body)
        try:
            value = answer.json()
            if not value["success"]:
                said = str(value.get("message"))[:200]
                raise EngineError(tr(f"PaddleSpeech reports: {said}", f"PaddleSpeech 报告：{said}"))
            contents = base64.b64decode(value["result"]["audio"], validate=True)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise EngineError(tr(
                f"{self._service.shown} answered something that is not PaddleSpeech's protocol",
                    f"{self._service.shown} 的回答不符合 PaddleSpeech 协议"
            )) from error  # fmt: skip
        return Said(*decoded(contents, self._service.shown))

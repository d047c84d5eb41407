"""ElevenLabs, with the times of its characters."""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from huashen import config
from huashen.errors import EngineError, MissingPartError
from huashen.service import Service
from huashen.tts.remote import PATIENCE, Said, decoded, speak, speed_within
from huashen.types import Speech
from huashen.words import tr

VOICES = {"female": "21m00Tcm4TlvDq8ikWAM", "male": "pNInz6obpgDQGcFmaJgB"}
"""Rachel and Adam, two of the voices every account has."""


class ElevenLabs:
    """Speaks through POST /v1/text-to-speech/{voice}/with-timestamps.

    Args:
        voice: a voice's id; "female" and "male" are known too.
        lang: ISO 639-1 code, enforced where the model allows it.
        speed: 0.7 to 1.2, as the service has it.
        key: without it `ELEVENLABS_API_KEY`.
        base_url: without it the service's own.
        model: such as "eleven_multilingual_v2", "eleven_flash_v2_5".

    Raises:
        MissingPartError: there is no key.
        InputError: speed cannot be used.

    Source: https://elevenlabs.io/docs/api-reference/text-to-speech/convert-with-timestamps
    """

    rate = 24_000
    phones = False

    def __init__(
        self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, key: str | None = None,
        base_url: str | None = None, model: str = "eleven_multilingual_v2",
    ) -> None:  # fmt: skip
        self._speed = speed_within(speed, 0.7, 1.2)
        token = config.elevenlabs_key() if key is None else key
        if not token:
            raise MissingPartError(tr(
                "ElevenLabs wants a key: set ELEVENLABS_API_KEY", "ElevenLabs 需要密钥：请设置环境变量 ELEVENLABS_API_KEY"
            ))  # fmt: skip
        self._voice = VOICES.get(voice or "female", voice or "")
        self._lang = lang or ""
        self._model = model
        url = base_url or config.speech_url() or "https://api.elevenlabs.io"
        self._service = Service(url, token, header="xi-api-key", timeout=PATIENCE)

    def voices(self) -> list[str]:
        """Return the names known without asking; any voice's id will do."""
        return list(VOICES)

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence, with word marks.

        Raises:
            NoSpeechError: there is nothing in it to say.
            EngineError: while reading: the service failed.
        """
        return speak(text, self._lang, self._say, speed=self._speed)

    def _say(self, sentence: str, lang: str) -> Said:
        body: dict[str, Any] = {"text": sentence, "model_id": self._model, "voice_settings": {"speed": self._speed}}
        if self._lang and "multilingual_v2" not in self._model:
            body["language_code"] = self._lang.split("-")[0]
        path = f"/v1/text-to-speech/{self._voice}/with-timestamps"
        answer = self._service.send(path, json=body, params={"output_format": "mp3_44100_128"})
        try:
            value = answer.json()
            contents = base64.b64decode(value["audio_base64"], validate=True)
            told = value.get("alignment") or {}
            rows = (told.get("characters", []), told.get("character_start_times_seconds", []), told.get("character_end_times_seconds", []))
            times = tuple((str(c), float(a), float(b)) for c, a, b in zip(*rows, strict=True))
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise EngineError(tr(
                f"{self._service.shown} answered something that is not ElevenLabs' protocol",
                    f"{self._service.shown} 的回答不符合 ElevenLabs 协议"
            )) from error  # fmt: skip
        samples, rate = decoded(contents, self._service.shown)
        return Said(samples, rate, times)

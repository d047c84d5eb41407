"""Any server that speaks OpenAI's protocol for speech: OpenAI itself, and many that run at home (Kokoro, Fish Speech, XTTS, LocalAI …)."""

from collections.abc import Iterator

from huashen import config
from huashen.service import Service
from huashen.tts.remote import PATIENCE, Said, decoded, speak, speed_within
from huashen.types import Speech

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse")
"""OpenAI's own; other servers have others."""


class OpenAISpeech:
    """Speaks through POST {base}/audio/speech.

    Args:
        voice: one of the server's; "female" (nova) and "male" (onyx) are known too.
        lang: what the text is in; only noted, the service finds out by itself.
        speed: 0.25 to 4.
        base_url: without it `HUASHEN_TTS_URL`, `OPENAI_BASE_URL`, or OpenAI's.
        key: without it `OPENAI_API_KEY`.
        model: such as "gpt-4o-mini-tts", "tts-1", "kokoro".

    Raises:
        InputError: speed or address cannot be used.

    Source: https://platform.openai.com/docs/api-reference/audio/createSpeech
    """

    rate = 24_000
    phones = False

    def __init__(
        self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, base_url: str | None = None, key: str | None = None,
        model: str = "gpt-4o-mini-tts",
    ) -> None:  # fmt: skip
        self._speed = speed_within(speed, 0.25, 4)
        self._voice = {"female": "nova", "male": "onyx", None: "nova"}.get(voice, voice)
        self._lang = lang or ""
        self._model = model
        url = base_url or config.speech_url() or config.service_url() or "https://api.openai.com/v1"
        token = config.service_key() if key is None else key
        self._service = Service(url, token, timeout=PATIENCE)

    def voices(self) -> list[str]:
        """Return OpenAI's voices; another server's are its own."""
        return ["female", "male", *VOICES]

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            EngineError: while reading: the service failed.
        """
        return speak(text, self._lang, self._say, speed=self._speed)

    def _say(self, sentence: str, lang: str) -> Said:
        body = {"model": self._model, "voice": self._voice, "input": sentence, "response_format": "wav", "speed": self._speed}
        return Said(*decoded(self._service.send("/audio/speech", json=body).content, self._service.shown))

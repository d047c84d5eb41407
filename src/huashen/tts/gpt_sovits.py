"""A GPT-SoVITS server: voices cloned from a few seconds, Chinese, English, Japanese, Korean, Cantonese."""

from collections.abc import Iterator

from huashen import config
from huashen.errors import InputError
from huashen.service import Service
from huashen.tts import cloned
from huashen.tts.remote import PATIENCE, Said, decoded, speak, speed_within
from huashen.types import Speech
from huashen.words import tr

LANGUAGES = {"zh": "zh", "cmn": "zh", "en": "en", "ja": "ja", "ko": "ko", "yue": "yue"}


class GptSovits:
    """Speaks through the server's api_v2, POST /tts.

    Args:
        voice: a voice that was taken in by `huashen voices add`, with who agreed to it; of 3 to 10 s.
        lang: of the text; guessed by the server without.
        speed: 0.5 to 2.
        base_url: without it `HUASHEN_TTS_URL`, or http://127.0.0.1:9880.

    Raises:
        InputError: no recording, or speed or address cannot be used.

    Source: https://github.com/RVC-Boss/GPT-SoVITS api_v2.py
    """

    rate = 24_000
    phones = False

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, base_url: str | None = None) -> None:
        if not voice:
            raise InputError(tr(
                "gpt_sovits takes on the voice of a recording; take one in: huashen voices add NAME FILE --consent …, then --voice NAME",
                "gpt_sovits 使用录音的声音；请先登记：huashen voices add 名字 文件 --consent …，再用 --voice 名字",
            ))  # fmt: skip
        self._voice = cloned.find(voice)
        self._lang = lang or ""
        self._speed = speed_within(speed)
        self._service = Service(base_url or config.speech_url() or "http://127.0.0.1:9880", timeout=PATIENCE)

    def voices(self) -> list[str]:
        """Return the voices that were taken in."""
        return cloned.names()

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            EngineError: while reading: the server failed.
        """
        return speak(text, self._lang, self._say, speed=self._speed)

    def _say(self, sentence: str, lang: str) -> Said:
        body = {
            "text": sentence, "text_lang": LANGUAGES.get(self._lang.split("-")[0].lower(), "auto"), 
            "ref_audio_path": self._voice.there or str(self._voice.path), "prompt_text": self._voice.text,
            "prompt_lang": LANGUAGES.get(self._voice.lang.split("-")[0].lower(), "zh"), "speed_factor": self._speed, "media_type": "wav",
            "streaming_mode": False, "text_split_method": "cut0",
        }  # fmt: skip
        return Said(*decoded(self._service.send("/tts", json=body).content, self._service.shown))

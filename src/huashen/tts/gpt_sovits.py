"""A GPT-SoVITS server: voices cloned from a few seconds, Chinese, English, Japanese, Korean, Cantonese."""

from collections.abc import Iterator

from huashen import config
from huashen.errors import InputError
from huashen.tts.remote import Said, Server, decoded, speak, speed_within
from huashen.types import Speech
from huashen.words import tr

LANGUAGES = {"zh": "zh", "cmn": "zh", "en": "en", "ja": "ja", "ko": "ko", "yue": "yue"}


class GptSovits:
    """Speaks through the server's api_v2, POST /tts.

    Args:
        voice: the reference recording (3 to 10 s), a path on the server's machine. Only of someone who agreed.
        lang: of the text; guessed by the server without.
        speed: 0.5 to 2.
        base_url: without it `HUASHEN_TTS_URL`, or http://127.0.0.1:9880.
        prompt_text: what is said in the recording.
        prompt_lang: what language that is in.

    Raises:
        InputError: no recording, or speed or address cannot be used.

    Source: https://github.com/RVC-Boss/GPT-SoVITS api_v2.py
    """

    rate = 24_000
    phones = False

    def __init__(
        self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, base_url: str | None = None, prompt_text: str = "",
        prompt_lang: str = "zh",
    ) -> None:  # fmt: skip
        if not voice:
            raise InputError(tr(
                "gpt_sovits takes on the voice of a recording: name it with --voice, as a path on the server's machine",
                "gpt_sovits 使用参考录音的声音：请用 --voice 指明录音（服务器上的路径）",
            ))  # fmt: skip
        self._voice = voice
        self._lang = lang or ""
        self._speed = speed_within(speed)
        self._prompt, self._prompt_lang = prompt_text, prompt_lang
        self._server = Server("GPT-SoVITS", base_url or config.speech_url() or "http://127.0.0.1:9880")

    def voices(self) -> list[str]:
        """Return nothing: a voice is a recording on the server's machine."""
        return []

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            EngineError: while reading: the server failed.
        """
        return speak(text, self._lang, self._say, speed=self._speed)

    def _say(self, sentence: str, lang: str) -> Said:
        body = {
            "text": sentence, "text_lang": LANGUAGES.get(self._lang.split("-")[0].lower(), "auto"), "ref_audio_path": self._voice,
            "prompt_text": self._prompt, "prompt_lang": self._prompt_lang, "speed_factor": self._speed, "media_type": "wav",
            "streaming_mode": False, "text_split_method": "cut0",
        }  # fmt: skip
        return Said(*decoded(self._server.post("/tts", json=body).content, self._server.shown))

"""Google Translate's voice, through the package gTTS: one voice a language, online."""

from collections.abc import Iterator

from huashen.errors import EngineError, UnknownEngineError
from huashen.tts.remote import PATIENCE, Said, decoded, speak, speed_within
from huashen.types import Speech
from huashen.words import tr

CODES = {"zh": "zh-CN", "zh-hant": "zh-TW", "yue": "yue"}
"""The service's codes where they are not the language's own."""


class Gtts:
    """Speaks with Google Translate's voice.

    Args:
        voice: only "female" (there is one voice a language), or None.
        lang: of the text; guessed without.
        speed: 0.5 or 1, as the service has it: below 0.75 is slow.

    Raises:
        UnknownEngineError: another voice.
        InputError: speed out of range.

    Source: https://github.com/pndurette/gTTS
    """

    rate = 24_000
    phones = False

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0) -> None:
        if voice not in (None, "female"):
            raise UnknownEngineError(tr(f"gtts has no voice '{voice}'; there is: female", f"gtts 没有嗓音“{voice}”；可用的有：female"))
        self._lang = lang or ""
        self._slow = speed_within(speed, 0.5, 1.0) < 0.75

    def voices(self) -> list[str]:
        """Return the one there is."""
        return ["female"]

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            EngineError: while reading: the service cannot be reached or refuses.
        """
        return speak(text, self._lang, self._say)

    def _say(self, sentence: str, lang: str) -> Said:
        import gtts
        import requests

        code = CODES.get(lang.lower(), CODES.get(lang.lower().split("-")[0], lang))
        try:
            contents = b"".join(gtts.gTTS(sentence, lang=code, slow=self._slow, lang_check=False, timeout=PATIENCE).stream())
        except (gtts.gTTSError, requests.RequestException, AssertionError) as error:
            raise EngineError(tr(
                f"Google's voice cannot be reached ({type(error).__name__}); it needs the internet: use the engine 'espeak' without it",
                f"无法使用 Google 在线语音（{type(error).__name__}）；它需要联网，离线请改用引擎“espeak”",
            )) from error  # fmt: skip
        return Said(*decoded(contents, "Google"))

"""Microsoft Edge's online voices, through the package edge-tts: free, in many languages, with the times of words."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from huashen.errors import EngineError
from huashen.tts import text as texts
from huashen.tts.remote import PATIENCE, Said, decoded, speak, speed_within
from huashen.types import Speech
from huashen.words import tr

VOICES = {
    "zh": ("zh-CN-XiaoxiaoNeural", "zh-CN-YunxiNeural"), "en": ("en-US-AriaNeural", "en-US-GuyNeural"),
    "yue": ("zh-HK-HiuMaanNeural", "zh-HK-WanLungNeural"), "ja": ("ja-JP-NanamiNeural", "ja-JP-KeitaNeural"),
    "ko": ("ko-KR-SunHiNeural", "ko-KR-InJoonNeural"), "de": ("de-DE-KatjaNeural", "de-DE-ConradNeural"),
    "fr": ("fr-FR-DeniseNeural", "fr-FR-HenriNeural"), "es": ("es-ES-ElviraNeural", "es-ES-AlvaroNeural"),
    "ru": ("ru-RU-SvetlanaNeural", "ru-RU-DmitryNeural"), "it": ("it-IT-ElsaNeural", "it-IT-DiegoNeural"),
    "pt": ("pt-BR-FranciscaNeural", "pt-BR-AntonioNeural"),
}  # fmt: skip
"""Female and male voice of a language."""
TICKS = 10_000_000
"""A second, in the service's units."""


class Edge:
    """Speaks with Edge's online voices.

    Args:
        voice: "female" (default), "male", or a voice's name such as "zh-CN-YunxiNeural".
        lang: of the text; guessed without.
        speed: 0.5 to 2.

    Raises:
        InputError: speed out of range.

    Source: https://github.com/rany2/edge-tts
    """

    rate = 24_000
    phones = False

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0) -> None:
        self._voice = voice or "female"
        self._lang = lang or ""
        self._speed = speed_within(speed)

    def voices(self) -> list[str]:
        """Return the names known without asking; the service has some hundreds more."""
        return ["female", "male", *(name for pair in VOICES.values() for name in pair)]

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence, with word marks.

        Raises:
            NoSpeechError: there is nothing in it to say.
            EngineError: while reading: the service cannot be reached or refuses.
        """
        return speak(text, self._lang, self._say, speed=self._speed)

    def _say(self, sentence: str, lang: str) -> Said:
        import aiohttp
        import edge_tts

        which = {"female": 0, "male": 1}.get(self._voice)
        name = self._voice if which is None else VOICES.get((lang or texts.guess(sentence)).split("-")[0], VOICES["en"])[which]
        rate = f"{round((self._speed - 1) * 100):+d}%"
        sound = bytearray()
        times: list[tuple[str, float, float]] = []
        asked = edge_tts.Communicate(sentence, name, rate=rate, boundary="WordBoundary", connect_timeout=5, receive_timeout=round(PATIENCE))

        async def collect() -> None:
            async for chunk in asked.stream():
                if chunk["type"] == "audio":
                    sound.extend(chunk["data"])
                elif chunk["type"] == "WordBoundary":
                    begin = chunk["offset"] / TICKS
                    times.append((chunk["text"], begin, begin + chunk["duration"] / TICKS))

        try:
            # a thread of its own: whoever calls may be in an event loop; the package's stream_sync waits for ever after an error (7.3.1)
            with ThreadPoolExecutor(1) as beside:
                beside.submit(asyncio.run, collect()).result()
        except (edge_tts.exceptions.EdgeTTSException, aiohttp.ClientError, OSError, ValueError) as error:
            raise EngineError(tr(
                f"Edge's voices cannot be reached ({type(error).__name__}); they need the internet: use the engine 'espeak' without it",
                f"无法使用 Edge 在线语音（{type(error).__name__}）；它需要联网，离线请改用引擎“espeak”",
            )) from error  # fmt: skip
        samples, own = decoded(bytes(sound), "Edge")
        return Said(samples, own, tuple(times))

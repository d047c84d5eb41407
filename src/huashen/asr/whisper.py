"""Whisper, run by faster-whisper: the base model, which the weight store fetches, or a larger one of the user's."""

import threading
from pathlib import Path
from typing import Any

from huashen import config, weights
from huashen.asr import RATE
from huashen.asr.whole import Whole
from huashen.errors import EngineError, InputError, MissingWeightsError
from huashen.types import Floats, Mark, Transcript
from huashen.words import tr

PROMPT = {"zh": "以下是普通话的句子。", "yue": "以下係廣東話嘅句子。"}
"""What the model is told to have heard before: without it Mandarin comes in traditional characters as often as not, and without stops."""
PACE = 12
"""Tokens a second of speech at most: a model that loses itself repeats one for ever."""


class Whisper:
    """A recogniser of about a hundred languages.

    Args:
        model: the folder of a model converted for CTranslate2, or a name such as "small", which faster-whisper fetches once; Whisper base
            without it.
        lang: "zh", "en", …; found out from the sound without it, which costs time and errs where little is said.
        device: "cpu", "cuda" or "auto".
        compute: CTranslate2's compute type; "int8" is the fastest on a CPU.
        beam: width of the search; 1 is fastest.

    Raises:
        MissingWeightsError: the model is neither here nor can be fetched.
        InputError: Whisper does not know the language.
    """

    def __init__(self, *, model: str = "", lang: str = "", device: str = "auto", compute: str = "int8", beam: int = 1) -> None:
        from faster_whisper import WhisperModel

        self.lang = lang
        self._beam = beam
        known = Path(model).expanduser() if model else weights.path("whisper_base").parent
        try:
            self._model: Any = WhisperModel(
                str(known) if known.is_dir() else model, device=device, compute_type=compute, local_files_only=config.offline()
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise MissingWeightsError(tr(
                f"no Whisper model at '{known}' ({reason}); give the folder of one converted with ct2-transformers-converter",
                f"“{known}”处没有 Whisper 模型（{reason}）；请给出用 ct2-transformers-converter 转换的模型文件夹",
            )) from error  # fmt: skip
        spoken = self._model.supported_languages
        if lang and lang.split("-")[0] not in spoken:
            raise InputError(tr(
                f"this Whisper model does not know the language '{lang}'; it knows {', '.join(spoken[:12])} …",
                f"该 Whisper 模型不懂语言“{lang}”；它懂 {'、'.join(spoken[:12])} 等",
            ))  # fmt: skip
        self._turn = threading.Lock()

    def begin(self) -> Whole:
        """Begin to hear an utterance."""
        return Whole(self._hear)

    def _hear(self, sound: Floats) -> Transcript:
        with self._turn:  # one at a time: two would only share the cores
            try:
                lang = self.lang.split("-")[0]
                segments, found = self._transcribe(sound, lang)
                if not lang and found.language in PROMPT:
                    segments, found = self._transcribe(sound, str(found.language))
                said = list(segments)
            except (RuntimeError, ValueError) as error:
                raise EngineError(tr(f"faster-whisper failed ({error})", f"faster-whisper 出错（{error}）")) from error
        words = [(word.word, float(word.start), float(word.end)) for segment in said for word in segment.words or ()]
        text = "".join(segment.text for segment in said).strip()
        return Transcript(text, str(found.language), placed(text, words))

    def _transcribe(self, sound: Floats, lang: str) -> tuple[Any, Any]:
        return self._model.transcribe(  # type: ignore[no-any-return]
            sound, language=lang or None, beam_size=self._beam, word_timestamps=True, condition_on_previous_text=False,
            initial_prompt=PROMPT.get(lang), temperature=0.0, max_new_tokens=8 + round(PACE * min(30, len(sound) / RATE)),
        )  # fmt: skip


def placed(text: str, words: list[tuple[str, float, float]]) -> tuple[Mark, ...]:
    """Return marks for words with their times, each found in the text behind the one before; those that are not in it are left out."""
    marks = []
    at = 0
    for word, start, end in words:
        plain = word.strip()
        found = text.find(plain, at) if plain else -1
        if found >= 0:
            marks.append(Mark("word", plain, start, max(end, start), span=(found, found + len(plain))))
            at = found + len(plain)
    return tuple(marks)

"""Whisper, run by faster-whisper; the model is a folder of the user's, or one that faster-whisper knows and fetches itself."""

import threading
from pathlib import Path
from typing import Any

from huashen import config
from huashen.asr.whole import Whole
from huashen.errors import EngineError, MissingWeightsError
from huashen.types import Floats, Mark, Transcript
from huashen.words import tr


class Whisper:
    """A recogniser of about a hundred languages.

    Args:
        model: the folder of a model converted for CTranslate2, or a name such as "small", which faster-whisper fetches once.
        lang: "zh", "en", …; found out from the sound without it.
        device: "cpu", "cuda" or "auto".
        compute: CTranslate2's compute type; "int8" is the fastest on a CPU.
        beam: width of the search; 1 is fastest.

    Raises:
        MissingWeightsError: the model is neither here nor can be fetched.
    """

    def __init__(self, *, model: str = "small", lang: str = "", device: str = "auto", compute: str = "int8", beam: int = 1) -> None:
        from faster_whisper import WhisperModel

        self.lang = lang
        self._beam = beam
        known = Path(model).expanduser()
        try:
            self._model: Any = WhisperModel(
                str(known) if known.is_dir() else model, device=device, compute_type=compute, local_files_only=config.offline()
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise MissingWeightsError(tr(
                f"no Whisper model at '{model}' ({reason}); give the folder of one converted with ct2-transformers-converter",
                f"“{model}”处没有 Whisper 模型（{reason}）；请给出用 ct2-transformers-converter 转换的模型文件夹",
            )) from error  # fmt: skip
        self._turn = threading.Lock()

    def begin(self) -> Whole:
        """Begin to hear an utterance."""
        return Whole(self._hear)

    def _hear(self, sound: Floats) -> Transcript:
        with self._turn:  # one at a time: two would only share the cores
            try:
                segments, found = self._model.transcribe(
                    sound,
                    language=self.lang.split("-")[0] or None,
                    beam_size=self._beam,
                    word_timestamps=True,
                    condition_on_previous_text=False,
                )
                said = list(segments)
            except RuntimeError as error:
                raise EngineError(tr(f"faster-whisper failed ({error})", f"faster-whisper 出错（{error}）")) from error
        words = [(word.word, float(word.start), float(word.end)) for segment in said for word in segment.words or ()]
        text = "".join(segment.text for segment in said).strip()
        return Transcript(text, str(found.language), placed(text, words))


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

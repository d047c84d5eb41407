"""English by CMU PocketSphinx, whose wheel carries its acoustic model, dictionary and language model."""

import threading
from typing import Any

import numpy as np

from huashen.asr import RATE
from huashen.errors import UnknownEngineError
from huashen.types import Floats, Mark, Transcript
from huashen.words import tr

_CMN = "41.00,-5.29,-0.12,5.09,2.48,-4.07,-1.37,-1.78,-5.08,-2.05,-6.45,-1.42,1.17"
"""Cepstral means the model was trained with: each utterance starts from them, so that what was heard before changes nothing."""
_IDLE = 2
"""Decoders kept for the next utterance; each holds about 60 MB."""


class PocketSphinx:
    """A recogniser of English.

    Args:
        lang: "en"; there is no other.

    Raises:
        UnknownEngineError: another language is asked for.
    """

    lang = "en"

    def __init__(self, *, lang: str = "en") -> None:
        if lang.split("-")[0].lower() != "en":
            raise UnknownEngineError(tr(
                f"pocketsphinx understands English only, not '{lang}'; use sherpa-onnx, faster-whisper or openai",
                f"pocketsphinx 只懂英语，不懂“{lang}”；请使用 sherpa-onnx、faster-whisper 或 openai",
            ))  # fmt: skip
        self._idle: list[Any] = [self._made()]  # loading takes most of a second, which the first speaker shall not wait
        self._lock = threading.Lock()

    @staticmethod
    def _made() -> Any:
        from pocketsphinx import Decoder

        # the second pass would come after the last word and take half a second; the beams are narrowed to two thirds of the work
        return Decoder(samprate=RATE, loglevel="FATAL", fwdflat=False, maxhmmpf=5000, maxwpf=10, cmninit=_CMN)

    def begin(self) -> "_Heard":
        """Begin to hear an utterance."""
        with self._lock:
            decoder = self._idle.pop() if self._idle else None
        return _Heard(self, decoder or self._made())

    def _back(self, decoder: Any) -> None:
        with self._lock:
            if len(self._idle) < _IDLE:
                self._idle.append(decoder)


class _Heard:
    def __init__(self, owner: PocketSphinx, decoder: Any) -> None:
        self._owner = owner
        self._decoder: Any = decoder
        self._rest = np.zeros(0, np.int16)
        decoder.set_cmn(_CMN)
        decoder.start_utt()

    def feed(self, samples: Floats) -> str:
        """Hear some more."""
        self._rest = np.concatenate([self._rest, np.clip(samples * 32767.0, -32768, 32767).astype(np.int16)])
        whole = len(self._rest) // 512 * 512  # pieces of one length: how sound is cut does not change the words
        for start in range(0, whole, 512):
            self._decoder.process_raw(self._rest[start : start + 512].tobytes(), False, False)
        self._rest = self._rest[whole:]
        return _words(self._decoder)

    def pause(self) -> None:
        """Do nothing: it understands while one speaks."""

    def resume(self) -> None:
        """Do nothing."""

    def finish(self) -> Transcript:
        """Return what was said."""
        decoder = self._decoder
        if len(self._rest):
            decoder.process_raw(self._rest.tobytes(), False, False)
        decoder.end_utt()
        text = _words(decoder)
        marks: list[Mark] = []
        at = 0
        for segment in decoder.seg() or ():
            word = _plain(segment.word)
            if word and text:
                at = text.index(word, at)
                marks.append(Mark("word", word, segment.start_frame / 100, (segment.end_frame + 1) / 100, span=(at, at + len(word))))
                at += len(word)
        self._release()
        return Transcript(text, "en", tuple(marks))

    def close(self) -> None:
        """Forget it."""
        if self._decoder is not None:
            self._decoder.end_utt()
            self._release()

    def _release(self) -> None:
        self._owner._back(self._decoder)
        self._decoder = None


def _plain(word: str) -> str:
    """Return a word without the number of its pronunciation; "" for noises and pauses."""
    return "" if word[0] in "<[" else word.split("(")[0]


def _words(decoder: Any) -> str:
    hypothesis = decoder.hyp()
    return str(hypothesis.hypstr).strip() if hypothesis is not None else ""

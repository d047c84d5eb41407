"""Speech from text, with marks that say when each phone and word is spoken."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from huashen.registry import Entry, Registry
from huashen.types import Speech


@runtime_checkable
class Voice(Protocol):
    """Speaks a text.

    Promises: one Speech a sentence, as soon as it is ready; every Speech has sound, all of one rate, `aligned` is true and
    phone marks lie in order without overlap inside the sound; word marks' spans point into that Speech's `text`; the texts
    joined hold everything that was asked for; the same text gives the same sound; a text with nothing to say raises NoSpeechError.
    """

    rate: int
    """Samples a second of the sound."""

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
        """
        ...


TABLE = Registry(
    "tts",
    Entry(
        name="espeak", target="huashen.tts.espeak:Espeak", licence="GPL-3.0-or-later",
        about=("eSpeak NG: over a hundred languages, small and always there; runs in a process of its own",
               "eSpeak NG：百余种语言，小巧、随时可用；在独立进程中运行"),
        modules=("espeakng_loader",), source="https://github.com/espeak-ng/espeak-ng 1.52",
    ),
    Entry(
        name="flite", target="huashen.tts.flite:Flite", licence="BSD-4-Clause-like (CMU Flite)",
        about=("CMU Flite: better English, where the program is installed", "CMU Flite：更自然的英语，需系统已安装"),
        programs=("flite",), source="http://www.festvox.org/flite/ 2.2",
    ),
)  # fmt: skip

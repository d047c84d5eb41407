"""What Whisper misses when it looks at less than 30 s of sound: words (characters in Chinese) wrong, and processor time.

    python benchmarks/window.py [--questions 40]

The questions of tests/questions/dev, spoken by Flite (English) and FastSpeech 2 (Chinese), 0.4 s of near silence behind each. Whisper base
looks at 30 s whatever was said; cut, it looks at what was said and a few seconds more.
"""

import argparse
import csv
import re
import time
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import soxr

import huashen
from huashen.asr import RATE
from huashen.asr.whisper import Whisper

QUESTIONS = Path(__file__).parents[1] / "tests" / "questions" / "dev"
WINDOWS = (None, 15, 4)
"""Seconds beyond what was said; None: all of the 30."""
WHOLE = 3000
"""Steps of a hundredth of a second in 30."""


def asked(lang: str, count: int) -> list[str]:
    """Return questions of a language, every fourth of all."""
    found: list[str] = []
    for path in sorted(QUESTIONS.glob(f"{lang}-*/questions.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found += [row["question"] for row in csv.DictReader(file)]
    return found[::4][:count]


def units(text: str, lang: str) -> list[str]:
    """Return what is counted: words, or characters."""
    return re.sub(r"[^a-z0-9' ]", "", text.lower().replace("-", " ")).split() if lang == "en" else re.findall(r"[\u3400-\u9fff0-9]", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=40)
    given = parser.parse_args()
    for lang, name in (("en", "flite"), ("zh", "fastspeech2")):
        voice, whisper = huashen.load("tts", name), Whisper(lang=lang)
        model: Any = whisper._model
        encode = model.encode
        wrong, spent, whole = dict.fromkeys(WINDOWS, 0), dict.fromkeys(WINDOWS, 0.0), 0
        for text in asked(lang, given.questions):
            said = list(voice.speak(text))
            sound = soxr.resample(np.concatenate([part.audio.samples for part in said]), said[0].audio.rate, RATE)
            sound = np.concatenate([sound, np.zeros(round(0.4 * RATE))])
            sound = (sound + 3e-4 * np.random.default_rng(0).normal(size=len(sound))).astype(np.float32)
            wanted = units(text, lang)
            whole += len(wanted)
            for more in WINDOWS:
                steps = WHOLE if more is None else min(WHOLE, 2 * round(50 * (len(sound) / RATE + more)))
                model.encode = lambda heard, steps=steps, encode=encode: encode(np.ascontiguousarray(heard[..., :steps]))
                begun = time.process_time()
                got = units(whisper._hear(sound).text, lang)
                spent[more] += time.process_time() - begun
                alike = sum(part.size for part in SequenceMatcher(None, wanted, got, autojunk=False).get_matching_blocks())
                wrong[more] += max(len(wanted), len(got)) - alike
        for more in WINDOWS:
            shown = "30 s" if more is None else f"what was said and {more} s"
            print(f"{lang} {shown}: {wrong[more]} of {whole} wrong, {spent[more] / given.questions:.2f} s of a core a question", flush=True)


if __name__ == "__main__":
    main()

"""What voices share that come from elsewhere - a service, a model without phone times: sentences, loudness, word marks, one rate.

These voices do not tell their phones, so their speech is not `aligned`: the face is moved by a driver that hears.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from huashen.errors import EngineError, InputError, NoSpeechError
from huashen.tts import text as texts
from huashen.tts.loudness import LEVEL, limit, loudness
from huashen.types import Audio, Floats, Mark, Speech
from huashen.words import tr

RATE = 24_000
"""Hz of what comes out, whatever comes in: most of these voices' own."""
LEAD, PAUSE, SHORT_PAUSE = 0.05, 0.30, 0.15
"""Seconds of silence before a sentence, after it, and after one that was cut at a comma."""
FLOOR = 10 ** (-45 / 20)
"""What is below this at either end (-45 dB of the loudest) is silence."""
PATIENCE = 20.0
"""Longest silence of a service in seconds; in a talk nobody waits longer."""
LOUDEST = 8.0
"""The most by which a voice is amplified."""


@dataclass(frozen=True)
class Said:
    """One sentence as it came."""

    samples: Floats
    """(n,) of any level."""
    rate: int
    times: tuple[tuple[str, float, float], ...] = ()
    """Stretches of the text that was sent, in order, each with its first and last second; empty where the service does not tell."""


def speak(text: str, lang: str, say: Callable[[str, str], Said], *, speed: float = 1.0, expand: bool = False) -> Iterator[Speech]:
    """Speak a text sentence by sentence, each when it is asked for.

    Args:
        text: what to say.
        lang: of all of it; guessed from the text when empty.
        say: speaks a cleaned sentence in a language.
        speed: shortens the pauses.
        expand: write out numbers, dates and money first, for models that do not know how these are read.

    Raises:
        NoSpeechError: there is nothing in it to say.
    """
    if not texts.sayable(text):
        raise NoSpeechError(tr("there is nothing to say in the text; give it a word", "文本中没有可说的内容；请至少写一个词"))
    return _sentences(text, lang or texts.guess(text), say, speed, expand)


def _sentences(text: str, lang: str, say: Callable[[str, str], Said], speed: float, expand: bool) -> Iterator[Speech]:
    gain = 0.0
    for sentence in texts.sentences(text):
        spoken = texts.expand(texts.clean(sentence), lang) if expand else texts.clean(sentence)
        said = say(spoken.text.strip(), lang)
        samples, first = _trimmed(resampled(said.samples, said.rate, RATE))
        if not len(samples):
            raise EngineError(
                tr(f"the voice gave no sound for '{sentence.strip()[:40]}'", f"语音引擎没有为“{sentence.strip()[:40]}”返回声音")
            )
        # one factor for the whole text, from its first sentence: a whispered word stays quieter than a loud one
        gain = gain or min(LOUDEST, LEVEL / max(loudness(samples, RATE), 1e-4))
        whole = re.search(r"[,，、;；:：]\W*$", sentence) is None
        lead, tail = np.zeros(round(LEAD * RATE), np.float32), np.zeros(round((PAUSE if whole else SHORT_PAUSE) / speed * RATE), np.float32)
        sound = np.concatenate([lead, limit(samples * np.float32(gain)), tail])
        shift, last = LEAD - first, (len(lead) + len(samples)) / RATE
        body = sentence.strip()
        begin = sentence.index(body)
        marks = [Mark("sentence", body, LEAD, last, span=(begin, begin + len(body)))]
        marks += words(sentence, spoken, [(part, a + shift, b + shift) for part, a, b in said.times], last)
        yield Speech(Audio(sound, RATE), tuple(marks), sentence, lang)


def words(sentence: str, spoken: texts.Spoken, times: Sequence[tuple[str, float, float]], last: float) -> list[Mark]:
    """Return marks of the written words, from times of stretches of what was spoken.

    Args:
        sentence: as written.
        spoken: as it was sent, and where each character came from.
        times: stretches in order - words, syllables, characters; one that is not found in the text is passed over.
        last: end of the sound in seconds.
    """
    owner: list[tuple[float, float] | None] = [None] * len(spoken.text)
    at = 0
    for part, begin, end in times:
        found = spoken.text.find(part, at) if part.strip() else -1
        if found < 0 or found > at + 40:
            continue
        at = found + len(part)
        owner[found:at] = [(begin, end)] * len(part)
    marks: list[Mark] = []
    done = 0.0
    for match in re.finditer(r"[\u3400-\u9fff]|[^\s\u3400-\u9fff]+", spoken.text):
        inside = [k for k in range(*match.span()) if spoken.text[k].isalnum()]
        known = [time for k in inside if (time := owner[k]) is not None]
        if not known:
            continue
        span = (spoken.spans[inside[0]][0], spoken.spans[inside[-1]][1])
        begin, end = max(known[0][0], done, 0.0), min(known[-1][1], last)
        if marks and span[0] < marks[-1].span[1]:  # several spoken words for one written
            old = marks.pop()
            span, begin = (old.span[0], max(span[1], old.span[1])), old.start
        if end - begin > 1e-3:
            marks.append(Mark("word", sentence[slice(*span)], begin, end, span=span))
            done = end
    return marks


def speed_within(speed: float, low: float = 0.5, high: float = 2.0) -> float:
    """Return a speed, having checked it.

    Raises:
        InputError: it is out of range.
    """
    if not low <= speed <= high:
        raise InputError(tr(f"speed is {speed}; it must be from {low:g} to {high:g}", f"speed 为 {speed}；应在 {low:g} 到 {high:g} 之间"))
    return speed


def decoded(contents: bytes, source: str) -> tuple[Floats, int]:
    """Return the samples of a sound file and their rate, whatever its format.

    Raises:
        EngineError: it is no sound.
    """
    import av

    pieces: list[Floats] = []
    try:
        with av.open(io.BytesIO(contents), "r") as container:
            stream = container.streams.audio[0]
            rate = stream.rate
            resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
            for frame in container.decode(stream):
                pieces += [part.to_ndarray().reshape(-1).astype(np.float32) for part in resampler.resample(frame)]
            pieces += [part.to_ndarray().reshape(-1).astype(np.float32) for part in resampler.resample(None)]
    except (av.FFmpegError, IndexError) as error:
        raise EngineError(tr(
            f"{source} answered something that is no sound ({contents[:40]!r})", f"{source} 返回的不是声音（{contents[:40]!r}）"
        )) from error  # fmt: skip
    return np.concatenate(pieces or [np.zeros(0, np.float32)]).astype(np.float32), int(rate)


def pcm(contents: bytes) -> Floats:
    """Return 16 bit little-endian samples as floats."""
    return np.frombuffer(contents[: len(contents) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768)


def resampled(samples: Floats, rate: int, wanted: int) -> Floats:
    """Return sound at another rate."""
    import soxr

    return samples if rate == wanted else np.asarray(soxr.resample(samples, rate, wanted), np.float32)


def _trimmed(samples: Floats) -> tuple[Floats, float]:
    """Return sound without the silence at its ends, and the second at which what is left began."""
    top = float(np.abs(samples).max()) if len(samples) else 0.0
    if top < 1e-4:
        return np.zeros(0, np.float32), 0.0
    loud = np.flatnonzero(np.abs(samples) > top * FLOOR)
    edge = round(0.01 * RATE)
    begin, end = max(0, int(loud[0]) - edge), min(len(samples), int(loud[-1]) + 1 + 3 * edge)
    kept = samples[begin:end].copy()
    ramp = np.linspace(0, 1, min(edge // 2, len(kept)), dtype=np.float32)
    kept[: len(ramp)] *= ramp
    kept[len(kept) - len(ramp) :] *= ramp[::-1]
    return kept, begin / RATE

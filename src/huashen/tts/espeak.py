"""eSpeak NG through a process of its own: always there, over a hundred languages, sample-exact phone and word marks.

A sentence is cut into runs of one language; each run is spoken by that language's voice with one and the same variant and matched
pitch, so mixed Chinese and English sounds like one person.

Phones are IPA, one segment a mark; a diphthong, an affricate or an aspirated stop is one mark. Complete inventory:

- Mandarin (cmn), measured over the 20,992 characters of the block U+4E00: see `MANDARIN`, the table that makes IPA of what the
  library calls IPA there.
- English (en-us, en-gb), measured over 90,000 words: see `benchmarks/tts.py --phones`, which prints them for any language.
"""

import json
import math
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from huashen.errors import EngineError, InputError, NoSpeechError, UnknownEngineError
from huashen.tts import text as texts
from huashen.tts.espeak_worker import read, write
from huashen.types import Audio, Floats, Mark, Speech
from huashen.words import tr

RATE = 22050
LEVEL = 0.1
"""-20 dBFS: root mean square of the voiced sound."""
CEILING = 0.89
"""-1 dBFS: no sample is above."""
PAUSE, SHORT_PAUSE, LEAD, RUN_GAP = 0.30, 0.15, 0.05, 0.04
"""Seconds of silence after a sentence, after a sentence cut at a comma, before one, and between two languages."""
PATIENCE = 30.0
"""Seconds a sentence may take; it usually takes 10 ms."""

VARIANTS = {"female": "f5", "male": "m3"}
"""What `voice="female"` and "male" mean; chosen by spectrum and pitch, see docs/voices.md."""
VOICES = {
    "zh": "cmn", "zh-hk": "yue", "zh-mo": "yue", "en": "en-us", "fr": "fr-fr", "no": "nb", "nn": "nb", "iw": "he", "in": "id",
    "en-au": "en-gb", "en-nz": "en-gb", "en-ie": "en-gb", "en-in": "en-gb", "en-za": "en-gb",
}  # fmt: skip
"""Languages that the library knows by another name."""
SPEEDS = {"en": 145, "cmn": 185}
"""The library's words a minute for a natural pace: English 155-160 words, Mandarin 4.3 syllables a second (`benchmarks/tts.py`)."""
SPEED = 155
PITCHES = {"cmn": 1.07}
"""Factor that brings a language's median pitch to that of English with the same variant."""

MANDARIN = {
    "s.": "ʂ", "ts.": "tʂ", "ts.h": "tʂʰ", "tsh": "tsʰ", "tɕh": "tɕʰ", "ph": "pʰ", "th": "tʰ", "kh": "kʰ", "χ": "x",
    "i.": "ɨ", "i̪": "ɨ", "o-": "ɤ", "onɡ": "ʊŋ",
}  # fmt: skip
_STOPS = ("p", "t", "k", "b", "d", "ɡ", "q", "ʔ", "c", "ɟ", "ʈ", "ɖ")


@dataclass(frozen=True)
class _Said:
    """A stretch of sound at full level, without silence around it, and its marks in samples."""

    samples: Floats
    phones: list[tuple[int, int, str, int]]
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
            self.close()
            raise
        finally:
            alarm.cancel()
        if header is None or sound is None:
            self.close()
            return None
        return json.loads(header), sound

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
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
        """End the process; the next question starts a new one."""
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
        lang: BCP 47 tag of the text's main language; guessed for each sentence when None. Words in another script are spoken in
            their own language.
        speed: 0.5 to 2, 1 being a natural pace.
        pitch: 0.5 to 2, 1 being the voice's own.

    Raises:
        UnknownEngineError: no such voice or language.
        InputError: speed or pitch out of range.
    """

    rate = RATE

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0, pitch: float = 1.0) -> None:
        for name, value in (("speed", speed), ("pitch", pitch)):
            if not 0.5 <= value <= 2:
                raise InputError(tr(f"{name} is {value}; it must be between 0.5 and 2", f"{name} 为 {value}；应在 0.5 到 2 之间"))
        self._speed = speed
        self._pitch = pitch
        self._worker = _Worker()
        listed = self._worker.ask({"list": True})[0]
        self._languages: list[str] = list(dict.fromkeys(code for code, _, _ in listed["voices"]))
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
            EngineError: eSpeak NG fails.
        """
        if not texts.sayable(text):
            raise NoSpeechError(tr("there is nothing to say in the text; give it a word", "文本中没有可说的内容；请至少写一个词"))
        return self._speak(text)

    def _speak(self, text: str) -> Iterator[Speech]:
        for sentence in texts.sentences(text):
            yield self._sentence(sentence)

    def _sentence(self, sentence: str) -> Speech:
        spoken = texts.clean(sentence)
        runs = texts.runs(spoken.text, self._lang)
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
        marks.append(Mark("sentence", body, LEAD, at / RATE, span=(first, first + len(body))))
        marks.sort(key=lambda mark: (mark.start, ("sentence", "word", "phone").index(mark.kind)))
        longest = max(runs, key=lambda run: sum(c.isalnum() for c in spoken.text[run.start : run.end]))
        return Speech(Audio(samples, RATE), tuple(marks), sentence, self._lang or longest.lang, aligned=True)

    def _run(self, part: texts.Spoken, lang: str, *, last: bool) -> _Said:
        voice = self._voice(lang)
        written = part.text if last else re.sub(r"[\s.。]*$", ",", part.text)  # not the fall of an ending in the middle of a sentence
        answer, sound = self._ask(voice, written)
        said = _trim(answer, _floats(sound), part)
        return replace(said, samples=_limit(said.samples * self._gain(voice)))

    def _ask(self, voice: str, text: str) -> tuple[dict[str, Any], bytes]:
        language = voice.split("+")[0]
        primary = language.split("-")[0]
        pitch = 50 + 50 * math.log2(self._pitch * PITCHES.get(primary, 1.0))
        return self._worker.ask({
            "voice": voice, "text": text, "rate": min(max(round(SPEEDS.get(primary, SPEED) * self._speed), 80), 450),
            "pitch": min(max(round(pitch), 0), 99), "range": 50,
        })  # fmt: skip

    def _gain(self, voice: str) -> float:
        """Return the factor that brings a voice to `LEVEL`: measured once on the numbers, which every language can say."""
        if voice not in self._gains:
            sound = _floats(self._ask(voice, "1 2 3 4 5 6 7 8 9 10 11 12")[1])
            loud = sound[np.abs(sound) > 0.01]
            self._gains[voice] = LEVEL / float(np.sqrt(np.mean(loud**2))) if len(loud) else 1.0
        return self._gains[voice]

    def _voice(self, lang: str) -> str:
        primary = lang.split("-")[0].lower()
        language = self._accents.get("zh" if primary == "cmn" else primary) or self._find(lang)
        return language + (f"+{self._variant}" if self._variant else "")

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


def _trim(answer: dict[str, Any], sound: Floats, part: texts.Spoken) -> _Said:
    """Cut the silence off both ends and make marks of the events."""
    heard = np.flatnonzero(np.abs(sound) > 0.003)
    if not len(heard):
        return _Said(np.zeros(0, np.float32), [], [])
    begin = max(int(heard[0]) - RATE // 100, 0)
    end = min(int(heard[-1]) + RATE // 50, len(sound))
    samples = sound[begin:end]
    phones = _phones(answer["phones"], samples, begin)
    return _Said(samples, phones, _words(answer["words"], phones, part, begin))


def _phones(events: list[tuple[int, str]], samples: Floats, begin: int) -> list[tuple[int, int, str, int]]:
    phones: list[tuple[int, int, str, int]] = []
    for i, (sample, name) in enumerate(events):
        name = re.sub(r"\(.*?\)", "", name)
        stress = 2 if "ˈ" in name else 1 if "ˌ" in name else 0
        name = re.sub(r"[ˈˌ˥˦˧˨˩0-9_]", "", name)
        name = MANDARIN.get(name, name)
        start = min(max(sample - begin, 0), len(samples))
        end = min(max((events[i + 1][0] if i + 1 < len(events) else begin + len(samples)) - begin, 0), len(samples))
        if not name or end <= start:
            continue
        if name.startswith(_STOPS):  # the library counts a stop from its release; its closure is the silence before it
            quiet = samples[max(start - RATE // 8, 0) : start]
            loud = np.flatnonzero(np.abs(quiet) > 0.004)
            closure = start - (len(quiet) - 1 - int(loud[-1]) if len(loud) else len(quiet))
            if phones and closure < start:
                a, b, previous, accent = phones[-1]
                if b > closure > a:
                    phones[-1] = (a, closure, previous, accent)
                start = max(closure, phones[-1][1])
        phones.append((start, end, name, stress))
    return phones


def _words(
    events: list[tuple[int, int]], phones: list[tuple[int, int, str, int]], part: texts.Spoken, begin: int
) -> list[tuple[int, int, int, int]]:
    """Return (first sample, past sample, first character, past character) of each written word."""
    words: list[tuple[int, int, int, int]] = []
    length = len(part.text)
    places = sorted({min(max(place, 0), length) for _, place in events})
    for i, (sample, place) in enumerate(events):
        until = events[i + 1][0] - begin if i + 1 < len(events) else 1 << 60
        said = [p for p in phones if sample - begin - RATE // 50 <= (p[0] + p[1]) / 2 < until]
        border = next((p for p in places if p > place), length)
        inside = [k for k in range(max(place, 0), min(border, length)) if part.text[k].isalnum()]
        if not said:
            continue
        if not inside:
            if words:
                words[-1] = (words[-1][0], max(words[-1][1], said[-1][1]), *words[-1][2:])
            continue
        first, past = part.spans[inside[0]][0], part.spans[inside[-1]][1]
        if words and (first < words[-1][3] or _one_word(part, words[-1][3], first)):
            words[-1] = (words[-1][0], max(words[-1][1], said[-1][1]), min(words[-1][2], first), max(words[-1][3], past))
        else:
            words.append((max(said[0][0], words[-1][1] if words else 0), said[-1][1], first, past))
    return words


def _one_word(part: texts.Spoken, past: int, first: int) -> bool:
    """Return whether the characters around a border belong to one written word: no space between, and no Chinese."""
    around = [k for k, (a, b) in enumerate(part.spans) if a < first + 1 and b > past - 1]
    piece = part.text[around[0] : around[-1] + 1] if around else " "
    return not any(c.isspace() or texts.script(c) in ("zh", "ja", "th") or c in "，。、；：！？—" for c in piece)


def _limit(samples: Floats) -> Floats:
    """Bend what is above -3 dBFS so that nothing passes `CEILING`."""
    knee = 0.7
    size = np.abs(samples)
    bent = knee + (CEILING - knee) * np.tanh((size - knee) / (CEILING - knee))
    return np.where(size > knee, np.sign(samples) * bent, samples).astype(np.float32)



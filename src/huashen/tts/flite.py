"""CMU Flite, where the program is installed: English that sounds more human than eSpeak NG's.

The program prints each phone with the time it ends. It prints neither which phones make up which word nor stress. Words are found
by letting it spell each written word alone and aligning those phones with the sentence's; stress is put on the vowel of a word
that has most energy (function words have none).

Phones are IPA; the complete inventory is `IPA`. A diphthong or an affricate is one mark.
"""

import re
import subprocess
import tempfile
import unicodedata
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from huashen.errors import EngineError, InputError, NoSpeechError, UnknownEngineError
from huashen.tts import text as texts
from huashen.tts.loudness import LEVEL, limit, loudness
from huashen.types import Audio, Floats, Mark, Speech
from huashen.words import tr

PAUSE, SHORT_PAUSE, LEAD = 0.30, 0.15, 0.05
"""Seconds of silence after a sentence, after a sentence cut at a comma, and before one."""
PATIENCE = 60.0
"""Seconds the program may take over one sentence; it usually takes a tenth."""
STRETCH = {"slt": 1.2, "rms": 1.1, "awb": 1.1}
"""Factor on all durations for a natural pace (155-160 words a minute, `benchmarks/tts.py`)."""
VOICES = {"female": "slt", "male": "rms"}
"""What `voice="female"` and "male" mean."""

IPA = {
    "aa": "ɑː", "ae": "æ", "ah": "ʌ", "ao": "ɔː", "aw": "aʊ", "ax": "ə", "axr": "ɚ", "ay": "aɪ", "b": "b", "ch": "tʃ", "d": "d", "dh": "ð",
    "dx": "ɾ", "eh": "ɛ", "el": "l", "em": "m", "en": "n", "er": "ɚ", "ey": "eɪ", "f": "f", "g": "ɡ", "hh": "h", "hv": "h", "ih": "ɪ",
    "iy": "iː", "jh": "dʒ", "k": "k", "l": "l", "m": "m", "n": "n", "ng": "ŋ", "nx": "n", "ow": "oʊ", "oy": "ɔɪ", "p": "p", "r": "ɹ",
    "s": "s", "sh": "ʃ", "t": "t", "th": "θ", "uh": "ʊ", "uw": "uː", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ",
}  # fmt: skip
"""Flite's names of phones (the radio set) and the IPA segment of each; pau, ssil and h# are pauses."""
VOWELS = frozenset(("aa", "ae", "ah", "ao", "aw", "axr", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw"))
FUNCTION_WORDS = frozenset((
    "a", "an", "the", "and", "or", "but", "of", "to", "in", "on", "at", "for", "from", "by", "with", "as", "is", "am", "are", "was",
    "were", "be", "i", "you", "he", "she", "it", "we", "they", "me", "him", "her", "us", "them", "my", "your", "his", "its", "our", "their",
    "that", "this", "i'm", "it's", "can", "will", "would", "do", "does", "has", "have", "had", "not", "so", "if", "than",
))  # fmt: skip
_Phone = tuple[int, int, str]


class Flite:
    """Speaks English with CMU Flite.

    Args:
        voice: "female" (slt, the default), "male" (rms), or a name from `voices()`.
        lang: "en" or None; None refuses a text that is clearly in another language.
        speed: 0.5 to 2, 1 being a natural pace.

    Raises:
        UnknownEngineError: no such voice, or a language other than English.
        InputError: speed out of range.
        EngineError: the program fails.
    """

    phones = True

    def __init__(self, *, voice: str | None = None, lang: str | None = None, speed: float = 1.0) -> None:
        if not 0.5 <= speed <= 2:
            raise InputError(tr(f"speed is {speed}; it must be between 0.5 and 2", f"speed 为 {speed}；应在 0.5 到 2 之间"))
        if lang and lang.lower().split("-")[0] != "en":
            raise _foreign(lang)
        self._forced = bool(lang)
        self._names = [name for name in _listed() if "time" not in name]  # awb_time only tells the time
        self._voice = VOICES.get((voice or "female").lower(), voice or "")
        if self._voice not in self._names:
            have = ", ".join(self.voices())
            raise UnknownEngineError(tr(f"flite has no voice '{voice}'; there are: {have}", f"flite 没有嗓音“{voice}”；可用的有：{have}"))
        self._speed = speed
        sound, self.rate, _ = self._synthesise("One, two, three, four, five, six, seven, eight, nine, ten.")
        self._gain = LEVEL / max(loudness(sound, self.rate), 1e-3)

    def voices(self) -> list[str]:
        """Return all that `voice` may be."""
        return [name for name, means in VOICES.items() if means in self._names] + self._names

    def speak(self, text: str) -> Iterator[Speech]:
        """Speak a text, sentence by sentence.

        Raises:
            NoSpeechError: there is nothing in it to say.
            UnknownEngineError: it is not English.
            EngineError: the program fails.
        """
        if not texts.sayable(text):
            raise NoSpeechError(tr("there is nothing to say in the text; give it a word", "文本中没有可说的内容；请至少写一个词"))
        foreign = [found for c in text if (found := texts.script(c)) not in ("", "latin")]
        if foreign:
            raise _foreign(foreign[0])
        if not self._forced and (lang := texts.guess(text)) != "en":
            raise _foreign(lang)
        return (self._sentence(sentence) for sentence in texts.sentences(text))

    def _sentence(self, sentence: str) -> Speech:
        part = texts.expand(texts.clean(sentence), "en")
        part = part.replace(re.compile(r"[^\x00-\x7f]"), lambda match: _ascii(match.group()))
        sound, rate, phones = self._synthesise(part.text)
        lead = round(LEAD * rate)
        begin = max(phones[0][0] - lead, 0) if phones else 0
        end = phones[-1][1] if phones else 0
        samples = limit(sound[begin:end] * self._gain)
        fade = min(lead, len(samples), phones[0][0] - begin if phones else 0)
        samples[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        whole = re.search(r"[.!?…\n][\W_]*$", sentence) is not None or not re.search(r"[,;:]\W*$", sentence)
        silence = np.zeros(round((PAUSE if whole else SHORT_PAUSE) / self._speed * rate), np.float32)
        words = self._words(part, phones)
        stressed = _stressed(sound, words, phones, sentence)
        marks = [
            Mark("phone", IPA.get(name, name), (a - begin) / rate, (b - begin) / rate, 2 if i in stressed else 0)
            for i, (a, b, name) in enumerate(phones)
        ]
        for (a, b), (i, j) in words:
            marks.append(Mark("word", sentence[a:b], (phones[i][0] - begin) / rate, (phones[j - 1][1] - begin) / rate, span=(a, b)))
        body = sentence.strip()
        first = sentence.index(body)
        start = (phones[0][0] - begin) / rate if phones else 0.0
        marks.append(Mark("sentence", body, start, (end - begin) / rate, span=(first, first + len(body))))
        marks.sort(key=lambda mark: (mark.start, ("sentence", "word", "phone").index(mark.kind)))
        return Speech(Audio(np.concatenate([samples, silence]), rate), tuple(marks), sentence, "en", aligned=True)

    def _synthesise(self, text: str) -> tuple[Floats, int, list[_Phone]]:
        """Return the sound, its rate, and (first sample, past sample, phone) without pauses."""
        stretch = STRETCH.get(self._voice, 1.0) / self._speed
        with tempfile.TemporaryDirectory(prefix="huashen-") as folder:
            heard = Path(folder) / "sound.wav"
            printed = _flite(["-voice", self._voice, "--setf", f"duration_stretch={stretch:.4f}", "-psdur"], text, heard)
            try:
                with wave.open(str(heard), "rb") as file:
                    rate = file.getframerate()
                    sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / np.float32(32768)
            except (OSError, EOFError, wave.Error) as error:
                raise EngineError(tr("flite wrote no sound; is its voice installed?", "flite 没有输出声音；嗓音是否已安装？")) from error
        phones: list[_Phone] = []
        offset = 0.0
        for line in printed.splitlines():  # one utterance a line, its times from its own beginning
            begin = 0.0
            for name, time in re.findall(r"(\S+):([\d.]+)", line):
                first, past = round((offset + begin) * rate), min(round((offset + float(time)) * rate), len(sound))
                begin = float(time)
                if name not in ("pau", "ssil", "h#") and past > first:
                    phones.append((first, past, name))
            offset += begin
        return sound, rate, phones

    def _words(self, part: texts.Spoken, phones: list[_Phone]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Return (span in the sentence, range of phones) for each written word."""
        found = [m.span() for m in re.finditer(r"\S+", part.text) if any(c.isalnum() for c in m.group())]
        bare = [re.sub(r"^[^\w$]+|[^\w%]+$", "", part.text[a:b]) for a, b in found]
        spelled = self._spell("\n\n".join(bare))
        if len(spelled) != len(bare):  # one of them was taken for two sentences
            spelled = [[name for line in self._spell(word) for name in line] for word in bare]
        owner = _align([name for _, _, name in phones], spelled)
        words: list[tuple[tuple[int, int], tuple[int, int]]] = []
        for k, (a, b) in enumerate(found):
            mine = [i for i, who in enumerate(owner) if who == k]
            inside = [j for j in range(a, b) if part.text[j].isalnum()]
            if not mine:
                continue
            span = (part.spans[inside[0]][0], part.spans[inside[-1]][1])
            if words and span[0] < words[-1][0][1]:  # several spoken words for one written: $3.50
                words[-1] = ((words[-1][0][0], max(words[-1][0][1], span[1])), (words[-1][1][0], mine[-1] + 1))
            else:
                words.append((span, (mine[0], mine[-1] + 1)))
        return words

    def _spell(self, text: str) -> list[list[str]]:
        """Return the phones of each paragraph of a text, without pauses."""
        voice = "kal" if "kal" in self._names else self._voice  # the fastest; all English voices share one lexicon
        printed = _flite(["-voice", voice, "-ps"], text, None)
        return [[name for name in line.split() if name not in ("pau", "ssil", "h#")] for line in printed.splitlines() if line.strip()]


def _foreign(lang: str) -> UnknownEngineError:
    return UnknownEngineError(tr(
        f"flite speaks English only, not '{lang}'; use the engine 'espeak', or lang='en' if the text is English",
        f"flite 只会说英语，不会“{lang}”；请改用引擎“espeak”，若文本确为英语请指定 lang='en'",
    ))  # fmt: skip


def _listed() -> list[str]:
    printed = _flite(["-lv"], "", None)
    return printed.partition(":")[2].split()


def _flite(options: list[str], text: str, sound: Path | None) -> str:
    """Run the program on a text and return what it prints."""
    with tempfile.TemporaryDirectory(prefix="huashen-") as folder:
        source = Path(folder) / "text.txt"
        source.write_text(text + "\n", encoding="ascii", errors="ignore")
        command = ["flite", *options] + ([] if options == ["-lv"] else ["-f", str(source), "-o", str(sound) if sound else "none"])
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise EngineError(tr(
                f"flite took longer than {PATIENCE:.0f} s over one sentence; shorten it",
                f"flite 处理一句话超过 {PATIENCE:.0f} 秒；请缩短该句",
            )) from error  # fmt: skip
        except OSError as error:
            raise EngineError(tr(f"flite cannot be started: {error}", f"无法启动 flite：{error}")) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise EngineError(tr(f"flite failed ({done.returncode}): {said[-1:]}", f"flite 出错（{done.returncode}）：{said[-1:]}"))
    return done.stdout.decode("ascii", "replace")


def _ascii(character: str) -> str:
    """Return what Flite reads for a letter or sign it does not know."""
    known = {"’": "'", "‘": "'", "“": '"', "”": '"', "–": " - ", "—": " - ", "…": "...", "ß": "ss", "æ": "ae", "ø": "o", "œ": "oe"}
    plain = known.get(character) or unicodedata.normalize("NFKD", character)
    return "".join(c for c in plain if c.isascii()) or " "


def _align(heard: list[str], spelled: list[list[str]]) -> list[int]:
    """Return for each heard phone the word it belongs to, by the cheapest alignment with the words' own phones.

    Another vowel for a vowel costs little (weak forms: the, a, to), anything else as much as leaving one out.
    """
    told = [(name, k) for k, names in enumerate(spelled) for name in names]
    n, m = len(heard), len(told)
    cost = np.zeros((n + 1, m + 1))
    cost[:, 0], cost[0] = np.arange(n + 1), np.arange(m + 1)
    swap = [[_unlike(a, b) for b, _ in told] for a in heard]
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            cost[i, j] = min(cost[i - 1, j - 1] + swap[i - 1][j - 1], cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    owner = [0] * n
    i, j = n, m
    while i > 0:
        if j > 0 and cost[i, j] == cost[i - 1, j - 1] + swap[i - 1][j - 1]:
            i, j = i - 1, j - 1
            owner[i] = told[j][1]
        elif j > 0 and cost[i, j] == cost[i, j - 1] + 1:
            j -= 1
        else:
            i -= 1
            owner[i] = told[max(j - 1, 0)][1] if told else 0
    return owner


def _unlike(a: str, b: str) -> float:
    if a == b:
        return 0
    return 0.4 if (a in VOWELS or a == "ax") and (b in VOWELS or b == "ax") else 1.5


def _stressed(sound: Floats, words: list[tuple[tuple[int, int], tuple[int, int]]], phones: list[_Phone], sentence: str) -> set[int]:
    """Return which phones carry the stress of their word."""
    stressed = set()
    for (a, b), (i, j) in words:
        vowels = [k for k in range(i, j) if phones[k][2] in VOWELS]
        if vowels and sentence[a:b].lower().replace("’", "'") not in FUNCTION_WORDS:
            stressed.add(max(vowels, key=lambda k: float(np.sum(sound[phones[k][0] : phones[k][1]] ** 2))))
    return stressed

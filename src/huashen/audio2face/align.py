"""Where in a recording each sound of a known text is said.

A voice says the text for itself (`huashen.tts`); of what it gives, only the phones and words are used, not the sound. Their chain, with a
pause allowed between any two words, is fitted to the recording by the hidden Markov models of an English recogniser, window by window,
so that an hour needs the memory of half a minute. Phones of other languages take the English ones nearest to them: where one sound ends and
the next begins hardly depends on the language, and the lips of p, b and m not at all.

Whether the text is what is said is tested against the same sounds backwards: they have the same length, loudness and speaker, so a
text that fits no better than that is another text.

Source: forced alignment as in CMU PocketSphinx 5 (BSD), with its acoustic model.
"""

import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from huashen.errors import MissingPartError
from huashen.types import Audio, Floats, Mark, Speech
from huashen.words import tr

logger = logging.getLogger(__name__)

RATE = 16000
"""Samples a second that the models were trained on."""
WINDOW = 20.0
"""Seconds that are fitted at once."""
MARGIN = 3.0
"""Seconds at a window's end that are fitted again with the next: the words there lack what follows."""
SURE = 0.55
"""By how much the text must fit better than the same sounds backwards, in nats a frame of 10 ms."""
LOST = 3
"""Windows without a match after which the rest of the text is given up."""
FASTEST = 30.0
"""Phones a second that nobody exceeds."""

_SHIFT = 0.008  # s: the middle of an analysis window lies so far behind the frame that it is counted for
_PAUSE = "_SIL"
_BEAMS = (1e-40, 1e-80)
_ENTRIES = 60  # words of which each may be the first once the thread was lost

# The phones of the model. Sounds that English lacks take the nearest; rounded front vowels the back ones, for the lips' sake.
_DIPHTHONGS = {
    "aɪ": "AY", "ai": "AY", "eɪ": "EY", "ei": "EY", "ɔɪ": "OY", "aʊ": "AW", "ɑu": "AW", "au": "AW", "oʊ": "OW", "ou": "OW", "əʊ": "OW",
    "tʃ": "CH", "dʒ": "JH", "tʂ": "JH", "tʂʰ": "CH", "tɕ": "JH", "tɕʰ": "CH", "dʑ": "JH",
}  # fmt: skip
_NAMES = {
    letter: name
    for name, letters in (
        ("IY", "i"), ("IH", "ɪɨyʏ"), ("UW", "uʉ"), ("UH", "ʊɯᵿ"), ("EY", "e"), ("EH", "ɛ"), ("ER", "ɚɝøœɵɞ"), ("AH", "əʌɐɤɘɜᵻ"),
        ("OW", "o"), ("AO", "ɔ"), ("AE", "æ"), ("AA", "aɑɒɶ"),
        ("P", "pɸ"), ("B", "bɓβʙ"), ("T", "tʈʔ"), ("D", "dɖɗɾɽ"), ("K", "kqc"), ("G", "ɡgɠɢɟʄ"), ("M", "mɱ"), ("N", "nɳɲ"), ("NG", "ŋɴ"),
        ("F", "f"), ("V", "vʋ"), ("TH", "θ"), ("DH", "ð"), ("S", "sɬ"), ("Z", "zɮ"), ("SH", "ʃʂɕç"), ("ZH", "ʒʑ"), ("HH", "hɦxχħɣʁʕʜ"),
        ("L", "lɫɭʎʟ"), ("R", "rɹɻʐʀ"), ("Y", "jʝɥ"), ("W", "wʍɰ"),
    )
    for letter in letters
}  # fmt: skip
_PLAIN = {"p": "B", "t": "D", "k": "G"}
"""Stops of languages that tell p from pʰ: without breath they sound like the English voiced ones."""


def check() -> None:
    """Make sure that texts can be aligned here.

    Raises:
        MissingPartError: the recogniser is not installed.
    """
    _recogniser()


def _recogniser() -> Any:
    try:
        import pocketsphinx
    except ImportError as error:
        raise MissingPartError(tr(
            "aligning a text to a recording needs PocketSphinx; pip install pocketsphinx",
            "把文本与录音对齐需要 PocketSphinx；请 pip install pocketsphinx",
        )) from error  # fmt: skip
    return pocketsphinx


@dataclass(frozen=True)
class _Word:
    """A word of the text and what it is made of."""

    text: str
    span: tuple[int, int]
    """First and past character in the piece."""
    piece: int
    """Number of the sentence."""
    phones: tuple[Mark, ...]
    sounds: tuple[tuple[str, ...], ...]
    """For each phone the model's."""


@dataclass(frozen=True)
class _Fit:
    """A window's words with their times in it."""

    words: list[tuple[_Word, list[tuple[float, float]]]]
    """Each with begin and end of every phone, seconds from the window's beginning."""
    better: float
    """By how much the text fits better than backwards, nats a frame."""
    quiet: bool
    """Whether it is a pause and nothing else."""


class Told:
    """The text that is still to be found: words as they are needed, and the sentences they stand in."""

    def __init__(self, spoken: Iterable[Speech]) -> None:
        self._spoken = iter(spoken)
        self._texts: dict[int, Speech] = {}
        self._held: list[_Word] = []
        self._count = 0
        self.done = 0
        """Words found."""

    def ahead(self, count: int) -> list[_Word]:
        """Return the next words, fewer at the end."""
        while len(self._held) < count:
            piece = next(self._spoken, None)
            if piece is None:
                break
            self._texts[self._count] = piece
            self._held += _words(piece, self._count)
            self._count += 1
        return self._held[:count]

    def take(self, count: int, *, found: bool) -> None:
        """Count words as found, or pass over them."""
        del self._held[:count]
        self.done += count if found else 0

    def left(self) -> int:
        """Return how many words were not found; reads the text to its end."""
        return len(self.ahead(1 << 40))

    def cut(self, words: list[_Word]) -> tuple[str, list[tuple[int, int]], str]:
        """Return the text from the first of some words to the next that is still to be found, their places in it, and the language."""
        text, places = "", []
        begin, base = words[0].span[0], 0
        for i, word in enumerate(words):
            if i and word.piece != words[i - 1].piece:
                text += self._texts[words[i - 1].piece].text[begin:]
                begin, base = 0, len(text)
                if text and not text[-1].isspace():
                    text, base = text + " ", base + 1
            places.append((base + word.span[0] - begin, base + word.span[1] - begin))
        last = words[-1]
        whole = self._texts[last.piece]
        following = self._held[0] if self._held and self._held[0].piece == last.piece else None
        text += whole.text[begin : following.span[0] if following else None]
        for number in [n for n in self._texts if n < last.piece]:
            del self._texts[number]
        return text, places, whole.lang


def align(sound: Iterable[Audio], spoken: Iterable[Speech], *, warn: Callable[[str], None] = logger.warning) -> Iterator[Speech]:
    """Yield a recording with the marks of what is said in it, in pieces of up to 20 s; without marks where the text does not match.

    Args:
        sound: the recording in pieces of one rate.
        spoken: the text as a voice says it; only marks, texts and languages are used.
        warn: called at most once, at the end, with what did not match.

    Raises:
        MissingPartError: the recogniser is not installed.
    """
    _recogniser()
    told = Told(spoken)
    pieces = iter(sound)
    held: Floats = np.zeros(0, np.float32)
    rate, first, lost = 0, 0, 0
    unmatched: list[tuple[float, float]] = []
    ended = False
    while True:
        while not ended and (rate == 0 or len(held) < WINDOW * rate):
            piece = next(pieces, None)
            if piece is None:
                ended = True
            else:
                rate = piece.rate
                held = np.concatenate([held, np.asarray(piece.samples, np.float32)])
        if not len(held):
            break
        size = min(len(held), round(WINDOW * rate))
        final = ended and size == len(held)
        window = held[:size]
        words = told.ahead(int(WINDOW * FASTEST / 3)) if lost < LOST else []
        fit = _fit(window, rate, words, lost=lost > 0) if words else None
        if fit is not None and (fit.better >= SURE or fit.quiet):
            kept, cut = _kept(fit, size / rate, final=final)
            at = size if final else max(1, min(size, round(cut * rate)))
            passed = words.index(kept[0][0]) if kept else 0
            told.take(passed, found=False)
            told.take(len(kept), found=True)
            yield _told(window[:at], rate, told, kept)
            lost = 0 if kept else lost
        else:
            if words or lost >= LOST:
                lost += 1
                unmatched.append((first / rate, (first + size) / rate))
            at = size
            yield Speech(Audio(window[:at].copy(), rate))
        held, first = held[at:].copy(), first + at
        if final:
            break
    _say(told, unmatched, warn)


def _say(told: Told, unmatched: list[tuple[float, float]], warn: Callable[[str], None]) -> None:
    left = told.left()
    if not told.done:
        warn(tr("the text does not match the sound; the sound alone moves the mouth", "文本与声音不符；只由声音驱动口型"))
    elif unmatched:
        seconds = sum(end - begin for begin, end in unmatched)
        begin = _clock(unmatched[0][0])
        warn(tr(
            f"the text does not match {seconds:.0f} s of the sound, from {begin} on; there the sound alone moves the mouth",
            f"从 {begin} 起，文本与 {seconds:.0f} 秒的声音不符；该处只由声音驱动口型",
        ))  # fmt: skip
    elif left > max(3, told.done // 10):
        warn(tr(f"the sound ends {left} words before the text does", f"声音结束时，文本还有 {left} 个词没有说"))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _words(piece: Speech, number: int) -> list[_Word]:
    """Return a sentence's words, each with the phones that lie in it."""
    found = []
    phones = [mark for mark in piece.marks if mark.kind == "phone" and mark.text.strip("_ ")]
    for word in (mark for mark in piece.marks if mark.kind == "word"):
        own = tuple(p for p in phones if word.start - 1e-6 <= (p.start + p.end) / 2 < word.end + 1e-6)
        sounds = tuple(sounds_of(p.text, piece.lang) for p in own)
        if any(sounds):
            found.append(_Word(word.text, word.span, number, own, sounds))
    return found


def sounds_of(ipa: str, lang: str = "") -> tuple[str, ...]:
    """Return the model's phones for one of IPA: English ones in ARPAbet, the nearest for what English lacks."""
    plain = unicodedata.normalize("NFD", ipa).replace("ː", "").replace("͡", "")
    whole = _DIPHTHONGS.get(plain)
    if whole:
        return (whole,)
    if lang.startswith(("zh", "cmn", "yue")) and plain[:1] in _PLAIN and "ʰ" not in plain:
        plain = plain[1:]
        first: tuple[str, ...] = (_PLAIN[unicodedata.normalize("NFD", ipa)[0]],)
    else:
        first = ()
    found = first + tuple(_NAMES[letter] for letter in plain if letter in _NAMES)
    return found if found or not re.search(r"[^\W_]", plain) else ("AH",)


def _fit(window: Floats, rate: int, words: list[_Word], *, lost: bool) -> _Fit | None:
    """Fit the beginning of a text to a window; None where not even that can be done."""
    pcm = _pcm(window, rate)
    found = _decode(pcm, words, entries=_ENTRIES if lost else 1)
    if found is None:
        return None
    times, score, frames, speech = found
    used = sorted({i for i, _ in times})
    placed = []
    for i in used:
        own = [times.get((i, j)) for j in range(len(words[i].phones))]
        if any(span is None and words[i].sounds[j] for j, span in enumerate(own)):
            continue  # cut off by the window's end
        spans: list[tuple[float, float]] = []
        for span in own:
            last = spans[-1][1] if spans else 0.0
            spans.append(span if span is not None else (last, last))
        placed.append((words[i], spans))
    if not placed:
        return _Fit([], 0.0, quiet=speech < 0.1 and score / frames > -2.0)
    back = [_backwards(word) for word, _ in reversed(placed)]
    control = _decode(pcm, back, entries=1)
    better = score / frames - (control[1] / control[2] if control else -6.0)
    return _Fit(placed, better, quiet=False)


def _backwards(word: _Word) -> _Word:
    return replace(word, phones=word.phones[::-1], sounds=tuple(sounds[::-1] for sounds in word.sounds[::-1]))


def _pcm(window: Floats, rate: int) -> bytes:
    """Return 16-bit samples at the model's rate and an even level, with a trace of noise."""
    import soxr

    sound = window if rate == RATE else np.asarray(soxr.resample(window, rate, RATE), np.float32)
    level = float(np.percentile(np.abs(sound), 99.5)) if len(sound) else 0.0
    # Without the noise, digital silence, which no microphone gives and the models never met, draws the whole chain into the wrong place.
    noise = np.random.default_rng(0).normal(0, 3e-3, len(sound))
    even = sound * (0.5 / level) + noise if level > 1e-4 else sound + noise
    return bytes((np.clip(even, -1, 1) * 32767).astype("<i2").tobytes())


_Times = dict[tuple[int, int], tuple[float, float]]


def _decode(pcm: bytes, words: list[_Word], *, entries: int) -> tuple[_Times, float, int, float] | None:
    """Find the best way through the chain of phones; it may end anywhere in it.

    Args:
        pcm: the sound.
        words: what is said, or more.
        entries: how many words may be the first.

    Returns:
        Begin and end in seconds of phone j of word i; the logarithm of the likelihood beside that of the best model in every frame;
        frames; the share of speech.
    """
    sphinx = _recogniser()
    for beam in _BEAMS:
        # A fresh one: what it has adapted to in one window makes the next one worse.
        decoder = sphinx.Decoder(
            samprate=RATE, loglevel="FATAL", lm=None, dict=os.devnull,
            beam=beam, wbeam=beam, pbeam=beam, fsgusefiller=False, lw=1.0,
        )  # fmt: skip
        places = _grammar(decoder, words, entries)
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        if decoder.hyp() is not None:
            return _read(list(decoder.seg()), places)
    return None


def _grammar(decoder: Any, words: list[_Word], entries: int) -> dict[str, tuple[int, int]]:
    """Give a decoder the chain of phones as a grammar; return for each of its names the word and the phone in it."""
    places: dict[str, tuple[int, int]] = {}
    decoder.add_word(_PAUSE, "SIL", update=False)
    ways: list[tuple[Any, ...]] = [(0, 1, 0.3, _PAUSE), (0, 1, 0.7)]
    state, inside, heads = 1, [], []
    for i, word in enumerate(words):
        if i < entries:
            heads.append(state)
        for j, sounds in enumerate(word.sounds):
            for sound in sounds:
                name = f"{sound}_{len(places)}"
                places[name] = (i, j)
                decoder.add_word(name, sound, update=False)
                ways.append((state, state + 1, 1.0, name))
                state += 1
                inside.append(state)
        ways += [(state, state + 1, 0.2, _PAUSE), (state, state + 1, 0.8)]
        state += 1
        inside.append(state)
    ways += [(1, head, 1e-4) for head in heads[1:]]
    ways += [(1, state + 1, 1e-4), *((s, state + 1, 1e-3) for s in inside)]
    decoder.add_word("_END", "SIL", update=True)
    decoder.add_fsg("text", decoder.create_fsg("text", 0, state + 1, ways))
    decoder.activate_search("text")
    return places


def _read(segments: list[Any], places: dict[str, tuple[int, int]]) -> tuple[_Times, float, int, float]:
    times: _Times = {}
    score, frames, spoken = 0.0, 0, 0
    for segment in segments:
        if segment.word.startswith("<"):
            continue
        length = segment.end_frame - segment.start_frame + 1
        score += float(np.log(max(segment.ascore, 1e-300)))
        frames += length
        place = places.get(segment.word)
        if place is None:
            continue
        spoken += length
        begin, end = segment.start_frame / 100 + _SHIFT, (segment.end_frame + 1) / 100 + _SHIFT
        times[place] = (times[place][0] if place in times else begin, end)
    return times, score, max(1, frames), spoken / max(1, frames)


def _kept(fit: _Fit, seconds: float, *, final: bool) -> tuple[list[tuple[_Word, list[tuple[float, float]]]], float]:
    """Return the words of a window that are settled, and where to cut: in its longest late pause, else after the last of them."""
    if final:
        return fit.words, seconds
    settled = [k for k, (_, spans) in enumerate(fit.words) if spans[-1][1] < seconds - MARGIN]
    if not settled:
        return [], max(seconds - MARGIN, seconds / 2)
    best, cut, longest = settled[-1] + 1, 0.0, -1.0
    for k in settled:
        end = fit.words[k][1][-1][1]
        after = fit.words[k + 1][1][0][0] if k + 1 < len(fit.words) else seconds - MARGIN
        pause = max(0.0, after - end)
        if (end > seconds / 2 or k == settled[-1]) and pause >= longest:
            best, cut, longest = k + 1, end + pause / 2, pause
    return fit.words[:best], cut


def _told(samples: Floats, rate: int, told: Told, kept: list[tuple[_Word, list[tuple[float, float]]]]) -> Speech:
    """Return a piece of sound with its marks."""
    audio = Audio(samples.copy(), rate)
    if not kept:
        return Speech(audio, aligned=True)
    text, places, lang = told.cut([word for word, _ in kept])
    marks: list[Mark] = []
    for (word, spans), place in zip(kept, places, strict=True):
        marks.append(Mark("word", word.text, spans[0][0], spans[-1][1], span=place))
        marks += [replace(p, start=a, end=b) for p, (a, b) in zip(word.phones, spans, strict=True) if b > a]
    # A mark starts within its own piece.
    last = np.nextafter(audio.seconds, 0.0)
    marks = [mark if mark.start < last else replace(mark, start=float(last), end=max(mark.end, audio.seconds)) for mark in marks]
    return Speech(audio, tuple(marks), text, lang, aligned=True)

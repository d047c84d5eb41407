"""Finding the passage that answers a question, in Chinese and English.

A question is taken apart into units: in English the stems of its words without those that say nothing, in Chinese words. A unit is found
in a passage as it is, or, for a little less, by another word of the same concept (`concepts.txt`: price, cost, how much, 费用, 多少钱 …).
Passages that hold an amount, a time, an address or a telephone number count as speaking of price, time, address and contact.
Each passage gets a BM25 score over fields, joined, where the network of sentence embeddings is there (`meaning`), by how near it is in
meaning. The best are read together with the question (`rerank`), where there is a network for their language, and in English, where that
is not certain, once more (`deep`). How sure we are is a logistic function of how much of the question the best passage covers, how near
it is, how well it answers, and how far ahead.
"""

import bisect
import functools
import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from huashen.chat.documents import Passage

K1, B = 1.2, 0.5
"""BM25's saturation and length normalisation; B below the usual 0.75: passages are short by construction."""
FIELDS = {"question": 2.0, "heading": 1.6, "file": 0.8, "text": 1.0}
"""What an occurrence counts in each part of a passage."""
BY_CONCEPT = 0.6
"""What a unit that is found by its concept counts beside one found as it is."""

BY_PART = 0.4
"""What a Chinese word counts whose characters are found apart."""
UNKNOWN = 0.8
"""What a unit counts that occurs nowhere, beside one that occurs once."""
VAGUE = 0.5
"""What a vague unit counts."""
WEAK = 0.3
"""What a unit counts that says little by itself."""


_WORD = re.compile(r"[a-z0-9]+(?:[.'’\-][a-z0-9]+)*|[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_MONEY = re.compile(r"[$€£¥￥]\s?\d|\d\s?(?:元|块|美元|欧元|dollars?|euros?|pounds?|cents?|yuan)\b|\d\s?元|\d折")
_CLOCK = re.compile(
    r"\d{1,2}[:：]\d\d|\b\d{1,2}\s?(?:a\.?m|p\.?m)\b|\b(?:noon|midnight)\b|\d\s?点|[一二三四五六七八九十两]点(?![儿击心评])"
    r"|o'clock", re.IGNORECASE)  # fmt: skip
_SPAN = re.compile(r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|twelve|thirty|sixty|ninety)"
                   r"[\s-](?:minute|hour|day|week|month|year)s?\b"
                   r"|[\d一二两三四五六七八九十百半]+\s?(?:分钟|个?小时|天|周|个月|年)(?!级)", re.IGNORECASE)  # fmt: skip
_PHONE = re.compile(r"(?<!\d)(?:\+?\d[\d\s-]{6,}\d)(?!\d)|[\w.+-]+@[\w-]+\.\w+")
_STREET = re.compile(r"\b\d+\s+(?:[A-Z]\w+\s+)+(?:Street|Road|Lane|Avenue|Square|Way|Drive|Quay|Row)\b|[路街道巷]\s?\d+\s?号|\d+\s?号楼")
_LENGTH = re.compile(r"\b\d+(?:\.\d+)?\s?(?:km|kilomet\w+|miles?|met(?:er|re)s?)\b|[\d.]+\s?(?:公里|千米|米)", re.IGNORECASE)
_AGE = re.compile(r"years?[ -]old|\baged?\b|\bunder \d|\bover \d|岁|年龄|\d周岁")
_COUNT = re.compile(r"\d|[一二两三四五六七八九十百千]\s?[个人位名张次条节辆间]|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve)\b")
_SIGNS = (
    ("#age", _AGE),
    ("#number", _COUNT),
    ("#price", _MONEY),
    ("#time", _CLOCK),
    ("#duration", _SPAN),
    ("#contact", _PHONE),
    ("#address", _STREET),
    ("#distance", _LENGTH),
)
"""What in a text says that it tells a price, a time …"""


@functools.cache
def _kinds() -> dict[str, frozenset[str]]:
    """Return words by what they are worth.

    "silent" ones say nothing; "vague" ones may be in any question, so that their absence proves nothing; Chinese words that ask for
    something ("asking") stand for a concept, and stand in questions themselves, not in answers.
    """
    kinds: dict[str, list[str]] = {}
    for line in resources.files("huashen").joinpath("chat/question_words.txt").read_text("utf-8").splitlines():
        kind, _, words = line.partition(": ")
        if line[0] != "#":
            kinds.setdefault(kind, []).extend(words.split())
    return {kind: frozenset(words) for kind, words in kinds.items()}


@functools.cache
def _stemmer() -> "_Stemmer":
    return _Stemmer()


class _Stemmer:
    def __init__(self) -> None:
        import snowballstemmer

        self._inner = snowballstemmer.stemmer("english")
        self._known: dict[str, str] = {}

    def stem(self, word: str) -> str:
        found = self._known.get(word)
        if found is None:
            if len(self._known) > 100_000:
                self._known.clear()
            found = self._known[word] = str(self._inner.stemWord(word.removesuffix("'s").removesuffix("’s")))
        return found


@dataclass(frozen=True)
class _Concepts:
    words: dict[str, tuple[str, ...]]
    """Stem, or stems joined with "_", or a Chinese word: the concepts it belongs to."""
    longest: int
    """Words in a row of the longest English entry."""
    chinese: frozenset[str]
    """All Chinese words that are known: concepts', stop words, and frequent ones."""


@functools.cache
def _concepts() -> _Concepts:
    words: dict[str, tuple[str, ...]] = {}
    stem = _stemmer().stem
    longest = 1
    here = resources.files("huashen")
    for line in here.joinpath("chat/concepts.txt").read_text("utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        english, _, chinese = line.partition("|")
        name = "#" + english.split()[0]
        for entry in english.split():
            parts = [stem(part) for part in entry.split("_")]
            longest = max(longest, len(parts))
            key = "_".join(parts)
            words[key] = (*words.get(key, ()), name)
        for entry in chinese.split():
            words[entry] = (*words.get(entry, ()), name)
    frequent = [word for line in here.joinpath("zh_words.txt").read_text("utf-8").splitlines() if line[0] != "#" for word in line.split()]
    known = frozenset([*frequent, *(word for word in (*_kinds()["silent"], *words) if _is_chinese(word[0]))])
    return _Concepts(words, longest, known)


def _is_chinese(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff"


@dataclass(frozen=True)
class Unit:
    """A part of a question that an answer should speak of."""

    terms: tuple[str, ...]
    """What a passage must hold to contain it as it is: a stem, or the pairs of characters of a Chinese word."""
    concepts: tuple[str, ...]
    """What else will do."""
    weak: bool = False
    """Whether it says little by itself."""
    vague: bool = False
    """Whether its absence proves nothing."""


def _folded(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower().replace("’", "'"))


def _pairs(word: str) -> tuple[str, ...]:
    return tuple(word[i : i + 2] for i in range(len(word) - 1)) or (word,)


def units(question: str) -> list[Unit]:
    """Take a question apart into what an answer should speak of, each once; "how much does it cost" asks once for a price."""
    concepts = _concepts()
    stem = _stemmer().stem
    kinds = _kinds()
    found: dict[tuple[str, ...], Unit] = {}
    english: list[str] = []

    def close() -> None:
        for unit in _english_units(english, concepts, stem):
            found.setdefault(unit.terms, unit)
        english.clear()

    for word in _folded(question):
        if not _is_chinese(word[0]):
            english += word.split("-") if "-" in word and stem(word) not in concepts.words else [word]
            continue
        close()
        for part in segmented(word):
            if part not in _kinds()["silent"] or part in concepts.words:
                weak = (len(part) == 1 and part not in concepts.words) or part in kinds["silent"]
                spelled = (f"?{part}",) if part in kinds["asking"] else _pairs(part)
                unit = Unit(spelled, concepts.words.get(part, ()), weak=weak, vague=part in kinds["vague"])
                found.setdefault(unit.terms, unit)
    close()
    merged: dict[tuple[str, ...], Unit] = {}
    for unit in found.values():
        key = unit.concepts or unit.terms
        other = merged.get(key)
        if other is None or (other.weak and not unit.weak) or other.terms[0][0] == "?":
            merged[key] = unit
    return list(merged.values())


def _english_units(words: list[str], concepts: _Concepts, stem: Callable[[str], str]) -> Iterable[Unit]:
    stems = [stem(word) for word in words]
    kinds = _kinds()
    i = 0
    while i < len(words):
        for count in range(min(concepts.longest, len(words) - i), 1, -1):
            joined = "_".join(stems[i : i + count])
            if joined in concepts.words:
                said = all(word not in _kinds()["silent"] for word in words[i : i + count])  # "credit card", not "call it off"
                found = concepts.words[joined]
                yield Unit(tuple(stems[i : i + count]) if said else (f"?{joined}",), found, weak="#allow" in found)
                i += count
                break
        else:
            if words[i] not in _kinds()["silent"]:
                vague = words[i] in kinds["vague"] or stems[i] in kinds["vague"]
                yield Unit((stems[i],), concepts.words.get(stems[i], ()), vague=vague)
            elif words[i] in ("when", "where"):
                yield Unit((f"?{words[i]}",), ("#time",) if words[i] == "when" else ("#address",), vague=True)
            i += 1


def segmented(run: str) -> list[str]:
    """Cut a run of Chinese characters into words: as few as possible, unknown single characters counting double."""
    known = _concepts().chinese
    best: list[tuple[float, int]] = [(0.0, 0)] + [(math.inf, 0)] * len(run)
    for end in range(1, len(run) + 1):
        for start in range(max(0, end - 6), end):
            word = run[start:end]
            if word in known:
                cost = 1.0
            elif len(word) == 1:
                cost = 1.6
            else:
                continue
            if best[start][0] + cost < best[end][0]:
                best[end] = (best[start][0] + cost, start)
    cuts = []
    at = len(run)
    while at:
        cuts.append((best[at][1], at))
        at = best[at][1]
    words: list[str] = []
    loose = ""
    for start, end in reversed(cuts):
        word = run[start:end]
        if word in known:
            words += [loose] if loose else []
            words.append(word)
            loose = ""
        else:
            loose += word
    return words + ([loose] if loose else [])


def terms(text: str) -> Counter[str]:
    """Return what a text holds and how often: stems, Chinese characters and pairs of them, and concepts (with "#")."""
    concepts = _concepts()
    stem = _stemmer().stem
    counts: Counter[str] = Counter()
    row: list[str] = []
    for word in _folded(text):
        if _is_chinese(word[0]):
            counts.update(word)
            counts.update(_pairs(word) if len(word) > 1 else ())
            for start in range(len(word)):
                for end in range(start + 2, min(len(word), start + 6) + 1):
                    counts.update(concepts.words.get(word[start:end], ()))
            for part in segmented(word):
                if len(part) == 1:
                    counts.update(concepts.words.get(part, ()))
        else:
            row += word.split("-") if "-" in word and stem(word) not in concepts.words else [word]
    stems = [stem(word) for word in row]
    counts.update(stems)
    for i in range(len(stems)):
        for count in range(1, concepts.longest + 1):
            if i + count <= len(stems):
                counts.update(concepts.words.get("_".join(stems[i : i + count]), ()))
    for name, sign in _SIGNS:
        if sign.search(text):
            counts[name] += 1
            counts[f"!{name[1:]}"] += 1
    return counts


@dataclass(frozen=True)
class Hit:
    """A passage that may answer a question."""

    passage: Passage
    score: float
    """BM25, comparable within one question only."""
    sure: float
    """How sure it is that the passage answers the question, 0 to 1."""
    features: tuple[float, ...]
    """What `sure` was computed from."""
    by: str
    """What found it: "words" alone, "reading" the best that words found, or "meaning" too, or that and a "deep" reading."""


@dataclass
class _Evidence:
    """What speaks for a passage."""

    literal: float = 0.0
    alike: float = 0.0
    both: float = 0.0
    part: float = 0.0
    covered: float = 0.0
    exact: float = 0.0
    strong: int = 0
    together: int = 0
    last: int = -9
    kind: float = 0.0
    ranks: tuple[float, ...] = ()
    """What the order is computed from."""
    score: float = 0.0

    def ranking(self, whole: float, strongest: int, highest: float, norm: float) -> tuple[float, ...]:
        """Return what the order is computed from."""
        return (
            self.literal / highest, self.alike / highest, self.both / highest, self.part / highest, self.covered / whole,
            self.exact / whole,
            self.strong / strongest, self.together / strongest, self.kind, norm,
        )  # fmt: skip


@dataclass
class _Weighed:
    """What was found out about a question."""

    evidence: dict[int, _Evidence]
    asked: int
    whole: float
    strongest: int
    unknown: float
    how: bool
    near: "tuple[NDArray[np.float32], NDArray[np.float32]] | None"


CANDIDATES = 30
"""Passages that are looked at for being near in meaning, as a whole or word by word."""
RANK = (3.71, 6.42, 1.67, 16.30, 1.95, 0.54, -0.59, 0.93, 0.77, -0.39)
RANK_NEAR = (2.41, 2.95, 0.02, 8.41, 1.63, -0.99, -1.04, -0.28, -0.05, 0.61, 20.70, 25.65)


RANK_READ, RANK_READ_NEAR, RANK_READ_DEEP = 2.38, 0.78, 1.30
"""What counts how well a passage answers, when it is read with the question, beside its score so far, by what found it."""
READ = 6
"""Passages that are read together with the question, the best so far, if they are short enough."""
TWICE, SURE = 2, 3.0
"""So many of them are read by the deeper reader, too, the best so far; but for where one of them all answers as well as this."""
AT_ONCE, ENOUGH = 2, 2.0
"""So many of them are read first where meaning is known too; where one of these answers as well as this, the others are left: less time,
and shares of right answers within half of one in a hundred of those when all are read (docs/chat.md)."""


class Meant(Protocol):
    """What is known of what passages mean (see `huashen.chat.meaning`)."""

    def near(self, question: str) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Return how near each passage is to a question in meaning, as a whole and word by word; None where that is not known."""

    def answers(self, question: str, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Return how well some passages answer it, in the order given, as many as could be read; 0: as likely as that none does."""

    def deeper(self, question: str, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Return the same as told by the deeper reader, where `by` is "deep"."""

    def by(self, question: str) -> str:
        """Return by what passages that were read are found: "reading", "meaning" or "deep" (see `Hit.by`)."""


class Index:
    """Passages, ready to be searched.

    Args:
        passages: in any order; equal scores keep it.
        meant: what they mean; without it only words count.
    """

    def __init__(self, passages: Sequence[Passage], meant: Meant | None = None) -> None:
        self.passages = tuple(passages)
        self.meant = meant if self.passages else None
        """What they mean; None: only words count."""
        self._postings: dict[str, list[tuple[int, float]]] = {}
        lengths = []
        for number, passage in enumerate(self.passages):
            name = passage.file.rsplit(".", 1)[0]
            parts = {"question": passage.question, "heading": passage.heading, "file": re.sub(r"[_/\-]", " ", name), "text": passage.text}
            counts: dict[str, float] = {}
            for field, text in parts.items():
                if text and not (field == "heading" and passage.question and passage.heading.endswith(passage.question)):
                    for term, count in terms(text).items():
                        counts[term] = counts.get(term, 0.0) + FIELDS[field] * count
            for term, weight in counts.items():
                self._postings.setdefault(term, []).append((number, weight))
            lengths.append(len(passage.text) + 0.5 * len(passage.question) if passage.text else 1)
        self._holding = {term: {number for number, _ in postings} for term, postings in self._postings.items() if term[0] == "!"}
        self._vocabulary = sorted(term for term in self._postings if term[0] not in "#!" and term.isascii())
        mean = sum(lengths) / max(1, len(lengths))
        self._norms = [K1 * (1 - B + B * length / mean) for length in lengths]

    def _idf(self, count: int) -> float:
        return math.log(1 + (len(self.passages) - count + 0.5) / (count + 0.5))

    def _found(self, unit: Unit) -> tuple[dict[int, float], float, dict[int, tuple[float, float]]]:
        """Return where a unit stands as it is, with its weight; how rare it is; where its concepts stand, with rarity and weight."""
        literal: dict[int, float] = {}
        for position, term in enumerate(unit.terms):
            here = dict(self._postings.get(term, ()))
            literal = here if not position else {number: min(weight, here[number]) for number, weight in literal.items() if number in here}
        alike: dict[int, tuple[float, float]] = {}
        for name in unit.concepts:
            postings = self._postings.get(name, ())
            rarity = BY_CONCEPT * self._idf(len(postings))
            for number, weight in postings:
                alike[number] = max((rarity, weight), alike.get(number, (0.0, 0.0)))
        rare = self._idf(len(literal)) if literal else 0.0
        if literal and unit.concepts:  # "bike" where others say "bicycle" is no rare thing in a shop full of bicycles
            rare = 0.6 * rare + 0.4 * self._idf(max(len(self._postings.get(name, ())) for name in unit.concepts))
        first = unit.terms[0]
        if not literal and len(unit.terms) == 1 and len(first) >= 4 and first.isascii() and first.isalpha():
            longer = self._vocabulary[bisect.bisect_left(self._vocabulary, unit.terms[0]) :]
            for term in itertools.takewhile(lambda term: term.startswith(unit.terms[0]), longer):  # "river" in "Riverside"
                for number, weight in self._postings[term]:
                    alike[number] = max((BY_CONCEPT * self._idf(len(self._postings[term])), weight), alike.get(number, (0.0, 0.0)))
        return literal, rare, alike

    def weigh(self, question: str) -> "_Weighed":
        """Return what speaks for each passage that anything speaks for."""
        asked = units(question)
        kinds = {f"!{name[1:]}" for unit in asked for name in unit.concepts if unit.terms[0][0] == "?"} & self._postings.keys()
        evidence: dict[int, _Evidence] = {}
        whole, unknown = 0.0, 0
        for place, unit in enumerate(asked):
            literal, rare, alike = self._found(unit)
            parts = {} if literal or alike else self._partly(unit)
            loose = BY_PART * self._idf(len(parts)) if parts else 0.0
            how = unit.terms[0][0] == "?"  # how it is asked, not what about
            trust = WEAK if unit.weak or (how and not alike) else VAGUE if unit.vague else 1.0
            widest = max((rarity for rarity, _ in alike.values()), default=0.0)
            weight = trust * (max(rare, widest) if literal or alike else UNKNOWN * self._idf(0))
            whole += weight
            unknown += not (literal or alike or unit.weak or unit.vague or how)
            for number in literal.keys() | alike.keys() | parts.keys():
                found = evidence.setdefault(number, _Evidence())
                norm = self._norms[number]
                rarity, often = alike.get(number, (0.0, 0.0))
                here = literal.get(number, 0.0)
                own = rare * here * (K1 + 1) / (here + norm)
                other = rarity * often * (K1 + 1) / (often + norm)
                part = loose * parts.get(number, 0.0)
                found.literal += trust * own
                found.alike += trust * (other if not here else 0.0)
                found.both += trust * min(own, other)
                found.part += trust * part
                found.covered += min(weight, trust * max(rare if here else 0.0, rarity, part))
                found.exact += weight if here else 0.0
                if not unit.weak and not unit.vague and (here or often):
                    found.strong += 1
                    found.together += place - found.last == 1
                    found.last = place
        strongest = max(1, sum(not unit.weak and not unit.vague for unit in asked))
        highest = self._idf(0)
        near = self.meant.near(question) if self.meant else None
        if near is not None:
            for values in near:
                for number in np.argsort(-values, kind="stable")[:CANDIDATES].tolist():
                    evidence.setdefault(number, _Evidence())
        for number, found in evidence.items():
            found.kind = float(any(number in self._holding[kind] for kind in kinds))
            found.ranks = found.ranking(whole or 1.0, strongest, highest, self._norms[number])
            if near is not None:
                found.ranks += (float(near[0][number]), float(near[1][number]))
            found.score = sum(weight * value for weight, value in zip(RANK if near is None else RANK_NEAR, found.ranks, strict=True))
        return _Weighed(evidence, len(asked), whole, strongest, unknown / strongest, bool(kinds), near)

    def search(self, question: str, *, count: int = 5) -> list[Hit]:
        """Return the passages that fit best, the best first; none where nothing speaks for any."""
        found = self.weigh(question)
        evidence = found.evidence
        best = sorted(evidence, key=lambda number: (-evidence[number].score, number))[: max(count, READ)]
        scores = [evidence[number].score for number in best]
        read: list[float] = []
        by = "words"
        if self.meant and best:  # the best ones are read once more, together with the question
            first = READ if found.near is None else AT_ONCE
            read = self.meant.answers(question, best[:first]).tolist()
            if len(read) == first < READ and max(read) < ENOUGH and best[first:]:
                read += self.meant.answers(question, best[first:READ]).tolist()
            by = self.meant.by(question) if found.near is not None or read else by
            trust = {"deep": RANK_READ_DEEP, "meaning": RANK_READ_NEAR}.get(by, RANK_READ)
            order = _ordered(scores, read, trust)
            if by == "deep" and max(read) < SURE:
                deeper = self.meant.deeper(question, [best[place] for place in order[:TWICE]])
                for place, value in zip(order, deeper.tolist(), strict=False):
                    read[place] = (read[place] + value) / 2
                order = _ordered(scores, read, trust)
            best, scores = [best[place] for place in order], [scores[place] for place in order]
            read = [read[place] for place in order[: len(read)]]
        chinese = any(map(_is_chinese, question))
        hits = []
        for place, number in enumerate(best[:count]):
            here = evidence[number]
            features: tuple[float, ...] = (
                here.covered / found.whole if found.whole else 0.0,
                here.exact / found.whole if found.whole else 0.0,
                (here.literal + here.alike) / max(1, found.asked) / self._idf(0),
                here.strong / found.strongest,
                found.unknown,
                _ahead(scores, place, 2.0),
                min(here.strong, 4) / 4,
                here.kind - found.how,
            )
            if found.near is not None:
                features += _standing(found.near, number)
            if found.near is not None or read:
                features += (read[place], _chance(read, place), _ahead(read, place, 4.0)) if place < len(read) else NOT_READ
                features += (math.log(1 + len(self.passages[number].text)), math.log(len(self.passages)))
            if found.near is not None:
                features += (float(chinese),)
            hits.append(Hit(self.passages[number], here.score, sure(features, by), features, by))
        return hits

    def _partly(self, unit: Unit) -> dict[int, float]:
        """Return the passages that hold some characters of a Chinese word that is nowhere as a whole, with their share of it."""
        word = unit.terms[0] + "".join(term[1:] for term in unit.terms[1:])
        if not _is_chinese(word[0]) or len(word) < 2:
            return {}
        shares: dict[int, float] = {}
        for character in word:
            if character not in _kinds()["silent"]:
                for number, _ in self._postings.get(character, ()):
                    shares[number] = shares.get(number, 0.0) + 1 / len(word)
        return shares


def _ordered(scores: Sequence[float], read: Sequence[float], trust: float) -> list[int]:
    """Return the places of passages, those that were read first, the best of them first."""
    final = [score + trust * value for score, value in zip(scores, read, strict=False)]
    return sorted(range(len(read)), key=lambda place: -final[place]) + list(range(len(read), len(scores)))


def _standing(near: tuple[NDArray[np.float32], NDArray[np.float32]], number: int) -> tuple[float, ...]:
    """Return how near a passage is, and how far it stands out from the others."""
    values = []
    for all_of_them in near:
        here = float(all_of_them[number])
        values += [here, (here - float(all_of_them.mean())) / (float(all_of_them.std()) + 0.02)]
    return tuple(values)


def _ahead(values: Sequence[float], place: int, most: float) -> float:
    """Return how far one of some values is ahead of the best other one, `most` at most."""
    others = [value for other, value in enumerate(values) if other != place]
    return max(-most, min(most, values[place] - max(others))) if others else most


def _chance(read: Sequence[float], place: int) -> float:
    """Return the logarithm of the chance that this one of what was read answers, and neither another nor none does."""
    highest = max(0.0, *read)
    return read[place] - highest - math.log(math.exp(-highest) + sum(math.exp(value - highest) for value in read))


NOT_READ = (-10.0, -10.0, -4.0)
"""What counts as having been read in a passage that was not."""

WEIGHTS = (1.55, 0.26, 0.21, 0.50, 0.65, 0.77, 2.78, 0.00)
BIAS = -3.25
WEIGHTS_READ = (-0.49, 0.25, 3.01, 1.10, -1.67, 0.34, 0.40, 0.50, 0.31, 0.16, 0.44, -0.09, 0.26)
BIAS_READ = -4.04
WEIGHTS_NEAR = (1.32, -1.15, 3.86, 0.06, 0.20, 0.25, -0.34, 0.39, 1.51, 0.55, 2.68, 0.28, 0.30, 0.20, 0.14, 0.21, -0.16, 0.41)
BIAS_NEAR = -6.95
WEIGHTS_DEEP = (1.37, -0.45, 3.14, 0.18, 0.51, 0.32, -0.73, 0.99, 3.25, 0.39, -1.26, 0.19, 0.36, 0.50, 0.09, 0.09, -0.97, 0.00)
BIAS_DEEP = -0.87
JUDGED = {
    "words": (WEIGHTS, BIAS), "reading": (WEIGHTS_READ, BIAS_READ), "meaning": (WEIGHTS_NEAR, BIAS_NEAR), "deep": (WEIGHTS_DEEP, BIAS_DEEP),
}  # fmt: skip
"""How sure one is, by what found it."""


def sure(features: Sequence[float], by: str) -> float:
    """Return the probability that a passage answers a question (logistic regression; see docs/chat.md for what it was fitted on)."""
    weights, bias = JUDGED[by]
    return 1 / (1 + math.exp(-(bias + sum(w * f for w, f in zip(weights, features, strict=True)))))

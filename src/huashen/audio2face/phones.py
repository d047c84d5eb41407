"""What the mouth aims at for every sound of the International Phonetic Alphabet.

A mark's text is taken apart into segments; each segment's features (height, backness and rounding of a vowel; place and manner of a
consonant) say where the jaw and the lips want to be and how much they insist. Letters outside the chart count as a schwa that
insists on nothing, so any language moves the mouth.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from huashen.types import ARKIT, ARKIT_INDEX, HEAD, Floats, Style

CHANNELS: tuple[str, ...] = (
    "jaw", "upper", "lower",         # jawOpen, mouthUpperUp*, mouthLowerDown*
    "pucker", "funnel",              # mouthPucker, mouthFunnel
    "stretch", "smile", "dimple",    # mouthStretch*, mouthSmile*, mouthDimple*
    "tuck", "roll", "press",         # mouthRollLower, mouthRollUpper, mouthPress*
    "tongue", "puff",                # tongueOut, cheekPuff
)  # fmt: skip
"""The articulators, in the order of `Aim.pose`, each in [0, 1]."""

_AT = {name: i for i, name in enumerate(CHANNELS)}


@dataclass(frozen=True)
class Aim:
    """What the mouth aims at during a part of a phone."""

    pose: Floats
    """(13,) the articulators' targets, in the order of `CHANNELS`."""
    grip: Floats
    """(13,) how much each target insists against its neighbours: 0 not at all, 1 as a vowel does."""
    seal: float
    """How far the lips close: 1 for p b m (nothing gets between them), less for other lip sounds."""
    kind: str
    """"vowel", "stop", "nasal", "other" or "breath": breath has no target of its own."""
    share: tuple[float, float]
    """From where to where in the phone, in [0, 1]."""


# Vowels: how open (0 close, 1 open), how far back (0 front, 1 back), rounded or not. Source: the IPA chart, 2020 revision.
_VOWELS: dict[str, tuple[float, float, bool]] = {
    "i": (0.0, 0.0, False), "y": (0.0, 0.0, True), "ɨ": (0.0, 0.5, False), "ʉ": (0.0, 0.5, True),
    "ɯ": (0.0, 1.0, False), "u": (0.0, 1.0, True),
    "ɪ": (0.2, 0.2, False), "ʏ": (0.2, 0.2, True), "ʊ": (0.2, 0.8, True), "ᵻ": (0.2, 0.5, False), "ᵿ": (0.2, 0.6, True),
    "e": (0.35, 0.0, False), "ø": (0.35, 0.0, True), "ɘ": (0.35, 0.5, False), "ɵ": (0.35, 0.5, True),
    "ɤ": (0.4, 1.0, False), "o": (0.4, 1.0, True), "ə": (0.42, 0.5, False), "ɚ": (0.38, 0.5, False), "ɝ": (0.4, 0.5, False),
    "ɛ": (0.65, 0.0, False), "œ": (0.65, 0.0, True), "ɜ": (0.6, 0.5, False), "ɞ": (0.65, 0.5, True),
    "ʌ": (0.68, 1.0, False), "ɔ": (0.65, 1.0, True), "æ": (0.88, 0.1, False), "ɐ": (0.75, 0.5, False),
    "a": (1.0, 0.3, False), "ɶ": (1.0, 0.0, True), "ɑ": (1.0, 1.0, False), "ɒ": (0.85, 1.0, True),
}  # fmt: skip

# Consonants by place; within a place the manner matters only where `_MANNERS` says so.
_PLACES: dict[str, str] = {
    "bilabial": "pbmɸβʙʘɓ",
    "labiodental": "fvɱʋⱱ",
    "dental": "θð",
    "sibilant": "szɬɮ",
    "alveolar": "tdnɾlɫɗǀǁɺrǃ",
    "postalveolar": "ʃʒ",
    "retroflex": "ʂʐɻʈɖɳɽɭ",
    "approximant": "ɹ",
    "palatal": "jɕʑçʝcɟɲʎʄǂ",
    "velar": "kɡŋxɣɰɠʟɧ",
    "uvular": "qɢɴχʁʀʛħʕʜʢʡ",
    "glottal": "hɦʔ",
    "rounded": "wʍ",
    "front-rounded": "ɥ",
}
_PLACE = {letter: place for place, letters in _PLACES.items() for letter in letters}

# What each place wants, and how much it insists: (jaw, lips, rounding, spreading, inner lips and tongue). Lip and jaw positions after
# the viseme descriptions in Cohen and Massaro 1993 and Edwards et al., JALI, 2016; sizes tuned to the gaps measured on real speakers.
_AIMS: dict[str, tuple[dict[str, float], tuple[float, float, float, float, float]]] = {
    "bilabial": ({"jaw": 0.16, "press": 0.3, "tuck": 0.12, "roll": 0.1}, (0.45, 0.5, 0.05, 0.05, 2.0)),
    "labiodental": ({"jaw": 0.15, "upper": 0.34, "tuck": 0.62}, (0.6, 2.0, 0.05, 0.1, 2.0)),
    "dental": ({"jaw": 0.2, "upper": 0.14, "lower": 0.28, "tongue": 0.4, "stretch": 0.1}, (0.6, 0.6, 0.15, 0.3, 1.0)),
    "sibilant": ({"jaw": 0.1, "upper": 0.18, "lower": 0.38, "stretch": 0.3, "dimple": 0.06}, (0.6, 0.7, 0.2, 0.5, 0.5)),
    "alveolar": ({"jaw": 0.18, "upper": 0.12, "lower": 0.28, "stretch": 0.12}, (0.32, 0.3, 0.08, 0.15, 0.4)),
    "postalveolar": ({"jaw": 0.13, "upper": 0.3, "lower": 0.36, "funnel": 0.6, "pucker": 0.22}, (0.6, 0.8, 0.9, 0.4, 0.5)),
    "retroflex": ({"jaw": 0.14, "upper": 0.22, "lower": 0.34, "funnel": 0.36, "pucker": 0.1}, (0.52, 0.6, 0.5, 0.3, 0.5)),
    "approximant": ({"jaw": 0.2, "upper": 0.14, "lower": 0.22, "funnel": 0.34, "pucker": 0.28}, (0.45, 0.5, 0.7, 0.3, 0.4)),
    "palatal": ({"jaw": 0.14, "upper": 0.14, "lower": 0.28, "stretch": 0.3, "smile": 0.16}, (0.48, 0.4, 0.2, 0.6, 0.4)),
    "velar": ({"jaw": 0.24, "upper": 0.08, "lower": 0.16}, (0.25, 0.12, 0.04, 0.06, 0.2)),
    "uvular": ({"jaw": 0.32, "upper": 0.08, "lower": 0.18}, (0.25, 0.12, 0.04, 0.06, 0.2)),
    "glottal": ({"jaw": 0.25}, (0.04, 0.03, 0.02, 0.02, 0.1)),
    "rounded": ({"jaw": 0.2, "pucker": 0.8, "funnel": 0.28}, (0.6, 0.8, 1.2, 0.8, 0.5)),
    "front-rounded": ({"jaw": 0.18, "pucker": 0.9, "funnel": 0.2}, (0.6, 0.8, 1.2, 0.8, 0.5)),
    "unknown": ({"jaw": 0.22, "upper": 0.06, "lower": 0.14}, (0.15, 0.15, 0.05, 0.05, 0.2)),
}
_GROUPS = {
    0: ("jaw",), 1: ("upper", "lower"), 2: ("pucker", "funnel"), 3: ("stretch", "smile", "dimple"),
    4: ("tuck", "roll", "press", "tongue", "puff"),
}  # fmt: skip
_NASALS = "mɱnɳɲŋɴ"
_STOPS = "pbtdʈɖcɟkɡqɢʔɓɗʄɠʛ"
_LATERALS = "lɫɭʎʟɬɮɺ"
# Apical vowels of Mandarin (zi ci si, zhi chi shi ri): the consonant's tongue and lips held with voice.
_APICAL = {"ɿ": "dental", "ʅ": "retroflex"}


def aims(ipa: str) -> tuple[Aim, ...]:
    """Return what the mouth aims at during a phone, in order; empty for a pause.

    Args:
        ipa: a mark's text: one IPA segment, an affricate, a diphthong or a longer final; stress, tone and length signs are allowed, and
            so are eSpeak NG's own spellings for Mandarin ("s." for ʂ, "o-" for ɤ, "i." and "i̪" for the vowels of shi and si, "ph" for pʰ).
    """
    return _aims(ipa)


@lru_cache(maxsize=4096)
def _aims(ipa: str) -> tuple[Aim, ...]:
    segments = _segments(ipa)
    lengths = [_length(i, segments) for i in range(len(segments))]
    total = sum(lengths)
    found = []
    begin = 0.0
    for (letter, marks), length in zip(segments, lengths, strict=True):
        found.append(_aim(letter, marks, (begin / total, (begin + length) / total)))
        begin += length
    return tuple(found)


def _segments(ipa: str) -> list[tuple[str, str]]:
    """Return the letters of a phone, each with the signs that belong to it."""
    if ipa.startswith("(") or ipa.strip("_ |‖.-:") == "":  # eSpeak NG announces a change of language as "(en)"
        return []
    found: list[tuple[str, str]] = []
    for sign in unicodedata.normalize("NFD", ipa):
        if sign == "g":
            sign = "ɡ"
        if sign == "ʰ":
            sign = "h"
        if sign in _VOWELS or sign in _PLACE or sign in _APICAL:
            found.append((sign, ""))
        elif found and sign not in "ˈˌ'":
            found[-1] = (found[-1][0], found[-1][1] + sign)
        elif unicodedata.category(sign) in ("Ll", "Lo", "Lu"):
            found.append((sign, ""))
    return [(_respelt(letter, marks), marks) for letter, marks in found]


def _respelt(letter: str, marks: str) -> str:
    """Return the IPA letter that eSpeak NG's spelling for Mandarin means."""
    if "." in marks:
        letter = {"s": "ʂ", "z": "ʐ", "i": "ʅ", "t": "ʈ", "r": "ɻ"}.get(letter, letter)
    if "̪" in marks:  # combining bridge below
        letter = {"i": "ɿ"}.get(letter, letter)
    if "-" in marks:
        letter = {"o": "ɤ"}.get(letter, letter)
    if "̩" in marks:  # combining vertical line below: a consonant that carries the syllable
        letter = {"ɹ": "ɿ", "z": "ɿ", "ɻ": "ʅ", "ʐ": "ʅ"}.get(letter, letter)
    return letter


def _length(i: int, segments: list[tuple[str, str]]) -> float:
    """Return how long the i-th segment of a phone lasts beside the others."""
    letter, marks = segments[i]
    if letter in _VOWELS:
        after = segments[i + 1][0] if i + 1 < len(segments) else ""
        # A close vowel before an opener one is a glide (ia, ua, üe, uei); a long one takes its time.
        glide = after in _VOWELS and _VOWELS[letter][0] < _VOWELS[after][0] - 0.1
        return 0.5 if glide else 1.4 if "ː" in marks else 1.0
    return 1.0 if letter in _APICAL else 0.6


def _aim(letter: str, marks: str, share: tuple[float, float]) -> Aim:
    if letter in _VOWELS:
        pose, grips = _vowel(*_VOWELS[letter])
        if "˞" in marks or letter in "ɚɝ":
            pose["funnel"] = max(pose.get("funnel", 0.0), 0.26)
            pose["pucker"] = max(pose.get("pucker", 0.0), 0.14)
        kind, seal = "vowel", 0.0
    elif letter in _APICAL:
        pose = dict(_AIMS["retroflex" if letter == "ʅ" else "sibilant"][0])
        pose["jaw"] = 0.15
        pose["funnel"] = 0.18 if letter == "ʅ" else 0.0
        grips, kind, seal = (0.9, 0.9, 0.6, 0.8, 0.3), "vowel", 0.0
    else:
        place = _PLACE.get(letter, "unknown")
        pose, grips = dict(_AIMS[place][0]), _AIMS[place][1]
        kind = "nasal" if letter in _NASALS else "stop" if letter in _STOPS else "breath" if place == "glottal" else "other"
        seal = 0.0
        if place == "bilabial":
            seal = 0.85 if letter in "ɸβ" else 1.0
            pose["puff"] = 0.14 if letter == "p" else 0.08 if letter == "b" else 0.0
        elif place == "labiodental":
            seal = 0.8
        elif letter in _LATERALS:
            pose["tongue"], pose["jaw"] = 0.12, 0.24
        if "ʷ" in marks:
            pose["pucker"], grips = 0.6, (grips[0], grips[1], 1.0, grips[3], grips[4])
        if "ʲ" in marks:
            pose["stretch"] = max(pose.get("stretch", 0.0), 0.25)
    values = np.zeros(len(CHANNELS), np.float32)
    for name, value in pose.items():
        values[_AT[name]] = value
    grip = np.zeros(len(CHANNELS), np.float32)
    for group, names in _GROUPS.items():
        for name in names:
            grip[_AT[name]] = grips[group]
    if letter in _LATERALS:
        grip[_AT["tongue"]] = 1.0
    values.setflags(write=False)
    grip.setflags(write=False)
    return Aim(values, grip, seal, kind, share)


def _vowel(open_: float, back: float, rounded: bool) -> tuple[dict[str, float], tuple[float, float, float, float, float]]:
    """Return the targets of a vowel from its place in the chart."""
    close = 1 - open_
    if rounded:
        # Close vowels purse the lips, open ones only narrow them; a front one keeps the jaw higher than a back one.
        pose = {
            "jaw": 0.2 + 0.36 * open_ + 0.03 * back, "upper": 0.04 + 0.1 * open_, "lower": 0.06 + 0.24 * open_,
            "pucker": 0.92 * close**1.1, "funnel": 0.3 + 0.3 * open_ * close,
        }  # fmt: skip
        return pose, (1.0, 1.0, 1.25, 1.0, 0.4)
    front = 1 - back
    pose = {
        "jaw": 0.24 + 0.34 * open_**0.75, "upper": 0.12 + 0.16 * open_ + 0.06 * front, "lower": 0.2 + 0.34 * open_,
        "stretch": front * (0.36 * close + 0.12), "smile": 0.26 * front * close, "dimple": 0.08 * front * close,
    }  # fmt: skip
    return pose, (1.0, 1.0, 0.55, 0.8, 0.4)


def blend(
    mouth: NDArray[np.float64], amplitude: float, own: tuple[Floats, Floats] | None, lopsided: float, style: Style | None = None
) -> tuple[Floats, Floats]:
    """Return a face's weights and head pose from the mouth's channels and the face's own life.

    Args:
        mouth: (14,) the channels and, last, how closed the lips are.
        amplitude: factor on how far the mouth opens.
        own: (52,) and (6,) of the living face; None for a mask.
        lopsided: how much more the left side does than the right.
        style: how this person's mouth moves; the average one without.
    """
    mouth = mouth if style is None else styled(mouth, style)
    weights = np.zeros(len(ARKIT)) if own is None else own[0].astype(np.float64)
    head = np.zeros(len(HEAD), np.float32) if own is None else own[1]
    for name, shape in _SHAPES.items():
        value = float(mouth[_AT[name]]) * (amplitude if name in ("jaw", "upper", "lower") else 1.0)
        if shape in ARKIT_INDEX:
            weights[ARKIT_INDEX[shape]] += value
        else:
            weights[ARKIT_INDEX[shape + "Left"]] += value * (1 + lopsided)
            weights[ARKIT_INDEX[shape + "Right"]] += value * (1 - lopsided)
    weights[ARKIT_INDEX["mouthClose"]] = mouth[-1]
    return np.clip(weights, 0.0, 1.0).astype(np.float32), head


def styled(mouth: NDArray[np.float64], style: Style) -> NDArray[np.float64]:
    """Return the channels as a person of a style moves them; closures stay as they are."""
    found = mouth.copy()
    for names, factor in (
        (("jaw", "upper", "lower"), style.open),
        (("stretch", "smile", "dimple"), style.wide),
        (("pucker", "funnel"), style.rounded),
    ):
        found[[_AT[name] for name in names]] *= factor
    found[_AT["jaw"]] = np.hypot(found[_AT["jaw"]], style.parted / 0.30)  # as parted as it is in a pause, or as far as speech opens it
    return found


_SHAPES = {
    "jaw": "jawOpen", "upper": "mouthUpperUp", "lower": "mouthLowerDown", "pucker": "mouthPucker", "funnel": "mouthFunnel",
    "stretch": "mouthStretch", "smile": "mouthSmile", "dimple": "mouthDimple", "tuck": "mouthRollLower", "roll": "mouthRollUpper",
    "press": "mouthPress", "tongue": "tongueOut", "puff": "cheekPuff",
}  # fmt: skip

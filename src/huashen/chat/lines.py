"""From the pieces of an answer to what is spoken and what is acted: sentences, and stage directions such as [smile].

A voice says each line as it comes; the directions say at which character of it a gesture begins.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from huashen.tts.text import sentences

DIRECTIONS: dict[str, tuple[str, ...]] = {
    "smile": ("smiles", "smiling", "微笑", "笑"),
    "laugh": ("laughs", "laughing", "大笑", "哈哈"),
    "nod": ("nods", "nodding", "点头"),
    "shake": ("shakes head", "shake head", "shaking head", "摇头"),
    "wave": ("waves", "waving", "挥手", "招手"),
    "think": ("thinks", "thinking", "思考", "沉思"),
    "sad": ("sadly", "frown", "frowns", "难过", "悲伤", "皱眉"),
    "surprised": ("surprise", "gasps", "惊讶", "吃惊"),
    "wink": ("winks", "winking", "眨眼"),
    "bow": ("bows", "bowing", "鞠躬"),
    "point": ("points", "pointing", "指"),
    "shrug": ("shrugs", "shrugging", "耸肩"),
    "neutral": ("calm", "平静"),
}
"""Directions that are known without being told, and other ways to write them."""

_LONGEST = 24
"""Characters of a direction between its brackets."""
_MARK = re.compile(r"\[([^\[\]\n]{1,24})\](?!\()|【([^【】\n]{1,24})】|(?<![*\w])\*([A-Za-z][A-Za-z ]{1,22})\*(?!\*)")
_NOTE = re.compile(r"\^?\d{1,3}(?:\s*[,-]\s*\d{1,3})*|来源\s*\d*|source\s*\d*", re.IGNORECASE)
"""Numbers of sources, which models put in brackets: shown nowhere, said nowhere."""


@dataclass(frozen=True)
class Direction:
    """A gesture or expression."""

    name: str
    at: int
    """Character of the line at which it begins."""


@dataclass(frozen=True)
class Line:
    """A sentence to say and what to act meanwhile. `text` is empty where there is only something to act."""

    text: str
    directions: tuple[Direction, ...] = ()


def lines(pieces: Iterable[str], *, names: Iterable[str] = ()) -> Iterator[Line]:
    """Cut an answer into lines, each as soon as it is certain. How the answer is cut into pieces does not change them.

    Code blocks are left out, numbers of sources too; markdown and addresses are the voices' business, who say them as people do.

    Args:
        pieces: the answer as it comes.
        names: further directions, such as the names of an avatar's clips; what is in brackets and not known is spoken.
    """
    known = {spelling: name for name, others in DIRECTIONS.items() for spelling in (name, *others)}
    known |= {name.lower(): name for name in names}
    waiting: list[tuple[str, int]] = []  # directions by their place in the spoken text
    done = 0

    def text() -> Iterator[str]:
        count = 0
        for part in _parts(without_code(pieces), known):
            if isinstance(part, Direction):
                waiting.append((part.name, count))
            else:
                count += len(part)
                yield part

    for sentence in sentences(text()):
        past = done + len(sentence)
        lead = len(sentence) - len(sentence.lstrip())
        said = sentence.strip()
        # one right behind the sentence belongs to it only if it stands in front of its last signs; else it opens the next
        mine = [(name, at) for name, at in waiting if at < past]
        waiting = [entry for entry in waiting if entry[1] >= past]
        done = past
        directions = tuple(Direction(name, min(max(0, at - (past - len(sentence)) - lead), len(said))) for name, at in mine)
        if said or directions:
            yield Line(said, directions)
    if waiting:
        yield Line("", tuple(Direction(name, 0) for name, _ in waiting))


def _parts(pieces: Iterable[str], known: dict[str, str]) -> Iterator[str | Direction]:
    """Yield text and directions in order, holding back only what may still become one."""
    held = ""
    for piece in pieces:
        held += piece
        ready = _certain(held)
        yield from _split(held[:ready], known)
        held = held[ready:]
    yield from _split(held, known)


def _certain(text: str) -> int:
    """Return how much of a text cannot be part of a direction that is still coming."""
    for opening, closing in (("[", "]"), ("【", "】"), ("*", "*")):
        at = text.rfind(opening)
        if at < 0 or "\n" in text[at:]:
            continue
        if opening == "*":
            at = _open_star(text)
            if at < 0:
                continue
            return at
        inside = text[at + 1 :]
        if closing not in inside:
            if len(inside) <= _LONGEST:
                return at
        elif inside.endswith("]"):  # a link's address may follow
            return at
    return len(text)


def _open_star(text: str) -> int:
    """Return where a single star opens that is not closed yet, -1 where none does."""
    at = max(text.rfind("\n") + 1, len(text) - 2 * _LONGEST)
    found = -1
    for match in re.finditer(r"\*+", text[at:]):
        if match.group() == "*":
            found = at + match.start() if found < 0 else -1
            if found < 0 and at + match.end() == len(text):
                return text.rfind("*", 0, at + match.start())  # whether a second star follows is not known
        elif at + match.end() == len(text):
            return at + match.start()
    return found if found >= 0 and len(text) - found <= _LONGEST else -1


def _split(text: str, known: dict[str, str]) -> Iterator[str | Direction]:
    done = 0
    for match in _MARK.finditer(text):
        word = next(group for group in match.groups() if group)
        name = known.get(" ".join(word.lower().split()))
        starred = match.group(3) is not None
        if name is None and (starred or not _NOTE.fullmatch(word.strip())):
            continue
        before = text[done : match.start()]
        if before:
            yield before
        done = match.end()
        if name is not None:
            yield Direction(name, 0)
            if text[done : done + 1] == " " and (not before or before[-1].isspace()):
                done += 1  # one space is enough where the direction stood between two
    if text[done:]:
        yield text[done:]


def without_code(pieces: Iterable[str]) -> Iterator[str]:
    """Leave out fenced code blocks (``` to ```): nobody wants them read aloud."""
    held, inside = "", False
    for piece in pieces:
        held += piece
        while True:
            fence = held.find("```")
            if fence < 0:
                keep = len(held) - len(held.rstrip("`"))
                if not inside and len(held) > keep:
                    yield held[: len(held) - keep]
                held = held[len(held) - keep :]
                break
            if not inside and held[:fence]:
                yield held[:fence]
            elif inside:
                yield "\n"
            held, inside = held[fence + 3 :], not inside
    if held and not inside:
        yield held

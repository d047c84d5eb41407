"""Subtitles from speech: cues cut where people would cut them, SRT and VTT files, and text laid over a video."""

import html
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huashen.errors import MissingPartError, OutputError
from huashen.files import replacing
from huashen.media import PathLike
from huashen.types import Frame, Image, Mark, Speech, Video
from huashen.words import tr


@dataclass(frozen=True)
class Cue:
    """What is shown from when to when."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    text: str
    """One line, or several separated by newlines."""


# Limits after Netflix's timed text style guides (English: two lines of 42; 7 s at most), with one line of up to 18 characters in
# Chinese, as short videos have it. Widths are in cells: a Chinese character has two, a Latin letter one.
CHINESE_CELLS = 36
"""Longest line of Chinese; a cue is one line."""
LATIN_CELLS = 42
"""Longest line of other scripts; a cue is up to two lines."""
LONGEST = 7.0
"""Seconds a cue may last."""
SHORTEST = 1.0
"""Seconds a cue stays when the next one leaves it the time."""
LINGER = 0.2
"""Seconds a cue stays after its last word when the next one leaves it the time."""
GAP = 0.5
"""Seconds: a shorter gap between cues is closed, because a text that blinks disturbs."""
PAUSE = 0.9
"""Seconds of silence that end a cue."""
WINDOW = 120
"""Atoms looked at together in a text without sentence ends."""

_OPENERS = "“‘（(《〈「『【[{<〔"
_CLOSERS = "”’）)》〉」』】]}>〕\"'"
_STRONG = "。！？!?；;…"
_WEAK = "，,：:—–"
_CLINGING = "的了着过吗呢吧啊呀们地得么嘛之者个年月日号点分秒元块岁%％℃"
"""Characters that belong to what stands before them."""
_LEANING = {
    *("a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "with", "from", "and", "or", "but", "not", "no"),
    *("my", "your", "his", "her", "its", "our", "their", "is", "are", "was", "were", "that", "which", "who"),
    *"在从把被对向和与跟比让给将以为是不很最这那一第每各",
}
"""Words that belong to what stands after them."""


# Cutting


@dataclass
class _Atom:
    """The smallest piece that is never cut: a Chinese character or a word, with the punctuation and space that cling to it."""

    text: str
    start: float
    end: float
    first: int
    """Index of the mark its beginning belongs to; the same as the one before when a mark spans several atoms."""
    last: int


def cues(speech: Iterable[Speech]) -> Iterator[Cue]:
    """Cut speech into cues by its word marks, each as soon as the one after it is known.

    Cuts lie at sentence ends, then at commas and pauses, then between words, so that the parts are of similar length; never before a
    closing punctuation mark or a clinging particle, never inside an English word. A cue lasts at most 7 s and, where the next one
    leaves it the time, at least 1 s; gaps under 0.5 s are closed. How the speech is cut into chunks does not matter.

    Args:
        speech: with marks of words, one for each word or for each character; a piece with text and none is shown whole.
    """
    held: Cue | None = None
    for cue in _raw(speech):
        if held is not None:
            yield _placed(held, cue.start)
        held = cue
    if held is not None:
        yield _placed(held, float("inf"))


def _placed(cue: Cue, following: float) -> Cue:
    """Return a cue with the time it is shown, in whole milliseconds, the next one's start given."""
    end = max(cue.end + LINGER, cue.start + SHORTEST)
    return Cue(round(cue.start, 3), round(following if following - end < GAP else end, 3), cue.text)


def _raw(speech: Iterable[Speech]) -> Iterator[Cue]:
    """Yield cues that last exactly as long as their words."""
    text = ""
    marks: list[Mark] = []  # times from the beginning of the stream, spans in `text`
    offset = 0.0
    for piece in speech:
        if text[-1:].isalnum() and piece.text[:1].isalnum() and not (_wide(text[-1]) or _wide(piece.text[0])):
            text += " "
        for mark in _words(piece):
            begin, end = mark.span
            marks.append(replace(mark, start=mark.start + offset, end=mark.end + offset, span=(begin + len(text), end + len(text))))
        text += piece.text
        offset += piece.audio.seconds
        atoms = _atoms(text, marks)
        while (whole := _sentence(atoms)) or len(atoms) > WINDOW:
            parts = _cut(atoms[: whole or WINDOW])
            if not whole:
                parts = parts[:-1] or parts  # what follows may belong to the last
            yield from (_cue(part) for part in parts)
            used = sum(len(part) for part in parts)
            length = sum(len(atom.text) for atom in atoms[:used])
            text = text[length:]
            marks = [replace(m, span=(m.span[0] - length, m.span[1] - length)) for m in marks if m.span[1] > length]
            atoms = _atoms(text, marks)
    yield from (_cue(part) for part in _cut(_atoms(text, marks)))


def _words(piece: Speech) -> list[Mark]:
    """Return the marks of a piece's words in order; one for the whole text where there are none."""
    words = sorted((m for m in piece.marks if m.kind == "word" and m.span[1] > m.span[0]), key=lambda m: m.span)
    if words or not any(c.isalnum() for c in piece.text):
        return words
    return [Mark("word", piece.text, 0.0, piece.audio.seconds, span=(0, len(piece.text)))]


def _atoms(text: str, marks: Sequence[Mark]) -> list[_Atom]:
    """Return a text's atoms with their times; one that no mark touches goes with its neighbour."""
    atoms: list[_Atom] = []
    waiting = ""
    position = current = 0
    for piece in _pieces(text):
        begin, end = position, position + len(piece)
        position = end
        while current < len(marks) and marks[current].span[1] <= begin:
            current += 1
        touching = [k for k in range(current, len(marks)) if marks[k].span[0] < end] if current < len(marks) else []
        if not touching:
            if atoms:
                atoms[-1].text += piece
            else:
                waiting += piece
            continue
        first, last = touching[0], touching[-1]
        atoms.append(_Atom(waiting + piece, _time(marks[first], begin), _time(marks[last], end), first, last))
        waiting = ""
    return atoms


def _time(mark: Mark, index: int) -> float:
    """Return when a character of a mark's span is spoken, taking all to last equally long."""
    begin, end = mark.span
    return mark.start + (mark.end - mark.start) * min(max((index - begin) / (end - begin), 0.0), 1.0)


def _pieces(text: str) -> Iterator[str]:
    """Yield a text's characters in groups that are never cut."""
    group = before = ""
    for c in text:
        opening = all(o in _OPENERS or o.isspace() for o in group)
        if c.isspace():
            fresh = False
        elif c in _OPENERS or (_wide(c) and c.isalnum()):
            fresh = True
        elif c.isalnum() or unicodedata.category(c) == "Sc" or c in "#@&+~":
            fresh = before.isspace() or before in tuple("”）》〉」』】〕…") or (before != "" and _wide(before))
        else:
            fresh = before.isspace() and c not in _CLOSERS + _STRONG + _WEAK + "、.-"
        if fresh and not opening:
            yield group
            group = ""
        group += c
        before = c
    if group:
        yield group


def _wide(c: str) -> bool:
    """Return whether a character takes two cells."""
    return unicodedata.east_asian_width(c) in "WF"


def _cells(text: str) -> int:
    """Return the width of a text in cells."""
    return sum(2 if _wide(c) else 1 for c in text if not unicodedata.combining(c))


def _sentence(atoms: Sequence[_Atom]) -> int:
    """Return how many atoms make up the first sentence, 0 while its end is not known."""
    for count in range(1, len(atoms)):
        if _border(atoms[count - 1], atoms[count]) == 0:
            return count
    return 0


def _chinese(text: str) -> bool:
    """Return whether a text reads as Chinese, Japanese or Korean, English words in it allowed."""
    letters = [c for c in text if c.isalpha()]
    return 4 * sum(map(_wide, letters)) >= len(letters)


def _cut(atoms: Sequence[_Atom]) -> list[Sequence[_Atom]]:
    """Cut atoms into cues."""
    cells, lines = (CHINESE_CELLS, 1) if _chinese("".join(atom.text for atom in atoms)) else (LATIN_CELLS, 2)
    parts: list[Sequence[_Atom]] = []
    begin = 0
    for k in range(1, len(atoms) + 1):
        if k == len(atoms) or atoms[k].start - atoms[k - 1].end > PAUSE or _border(atoms[k - 1], atoms[k]) == 0:
            parts += _best(atoms[begin:k], cells, lines, 3)
            begin = k
    return parts


def _best(atoms: Sequence[_Atom], cells: int, lines: int, each: float) -> list[Sequence[_Atom]]:
    """Cut atoms into parts of at most so many lines of so many cells with the least cost: few, alike in length, at good places.

    Args:
        atoms: what to cut.
        cells: longest line.
        lines: lines of a part.
        each: cost of a part; the cost of a cut is that of `_border`, that of an empty part 10.
    """
    costs, origins = [0.0], [0]
    for end in range(1, len(atoms) + 1):
        least, origin = float("inf"), end - 1
        for begin in range(end - 1, -1, -1):
            part = atoms[begin:end]
            if begin < end - 1 and (_lines(part, cells) > lines or part[-1].end - part[0].start > LONGEST):
                break
            width = _cells("".join(atom.text for atom in part).strip())
            cost = costs[begin] + each + 10 * max(0.0, 1 - width / (cells * lines)) ** 2
            if begin:
                cost += _border(atoms[begin - 1], atoms[begin])
            if cost < least:
                least, origin = cost, begin
        costs.append(least)
        origins.append(origin)
    parts: list[Sequence[_Atom]] = []
    end = len(atoms)
    while end:
        parts.append(atoms[origins[end] : end])
        end = origins[end]
    return parts[::-1]


def _lines(atoms: Sequence[_Atom], cells: int) -> int:
    """Return how many lines atoms take when each is filled before the next; a last comma or stop may stand over."""
    lines, width = 1, 0
    for k, atom in enumerate(atoms):
        own = _cells(atom.text.rstrip(" 。，、；：") if k == len(atoms) - 1 else atom.text.rstrip())
        if width and width + own > cells:
            lines, width = lines + 1, 0
        width += _cells(atom.text)
    return lines


def _border(left: _Atom, right: _Atom) -> float:
    """Return how bad a cut between two atoms is; 0 at the end of a sentence."""
    tail, head = left.text.rstrip().rstrip(_CLOSERS), right.text.lstrip(_OPENERS)[:1]
    last = tail[-1:]
    if last in tuple(_STRONG) or (tail.endswith(".") and left.text[-1:].isspace() and len(tail) > 4) or "\n" in left.text:
        return 0
    if last in tuple(_WEAK) or last == ".":
        return 1
    cost = 3.0 if last == "、" or left.text[-1:].isspace() else 4.0
    if head in tuple(_CLINGING) or tail.lower() in _LEANING or last in _LEANING:
        cost += 6
    if last + head in _words_zh() or (last.isdigit() and _wide(head)):
        cost += 8
    if left.last == right.first:
        cost += 8
    if right.start - left.end > 0.2:
        cost -= 2
    return cost


@lru_cache(maxsize=1)
def _words_zh() -> frozenset[str]:
    """Return frequent Chinese words of two characters, which are not to be cut."""
    lines = resources.files("huashen").joinpath("zh_words.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines[1:] for word in line.split())


def _cue(atoms: Sequence[_Atom]) -> Cue:
    """Return the cue of some atoms: one line of Chinese without its last comma or stop, or up to two of another script."""
    text = " ".join("".join(atom.text for atom in atoms).split())
    if _chinese(text):
        text = text.rstrip("。，、；：,;: ") or text
    else:
        text = wrap(text, LATIN_CELLS)
    return Cue(atoms[0].start, atoms[-1].end, text)


def wrap(text: str, cells: int) -> str:
    """Break a text into lines of at most `cells`, alike in length, at good places; a longer word stands alone."""
    atoms = [_Atom(piece, 0.0, 0.0, k, k) for k, piece in enumerate(_pieces(" ".join(text.split())))]
    if _cells(text.strip()) <= cells:
        return " ".join(text.split())
    return "\n".join("".join(atom.text for atom in part).strip() for part in _best(atoms, cells, 1, 50))


# Files


def write(cues: Iterable[Cue], path: PathLike) -> None:
    """Write cues as SubRip (.srt) or WebVTT (.vtt), by the file's ending.

    Raises:
        OutputError: unknown ending, no room, no right.
    """
    ending = Path(path).suffix.lower()
    if ending not in (".srt", ".vtt"):
        raise OutputError(tr(f"{path}: unknown ending; use one of .srt .vtt", f"{path}：未知的文件后缀；可用：.srt .vtt"))
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        if ending == ".vtt":
            file.write("WEBVTT\n\n")
        for number, cue in enumerate(cues, 1):
            start, end = _clock(cue.start), _clock(cue.end)
            if ending == ".srt":
                file.write(f"{number}\n{start.replace('.', ',')} --> {end.replace('.', ',')}\n{cue.text}\n\n")
            else:
                file.write(f"{start} --> {end}\n{html.escape(cue.text, quote=False)}\n\n")


def _clock(seconds: float) -> str:
    milliseconds = max(0, round(seconds * 1000))
    return f"{milliseconds // 3_600_000:02}:{milliseconds // 60_000 % 60:02}:{milliseconds // 1000 % 60:02}.{milliseconds % 1000:03}"


# Laying over pictures


def burn(video: Video, cues: Iterable[Cue]) -> Video:
    """Lay subtitles over a video: white with a dark outline, near the lower edge, at most 18 Chinese characters wide.

    The font is the one in OpenCV, WenQuanYi Micro Hei: Chinese, Japanese, Korean, Latin, Greek, Cyrillic.

    Args:
        video: any size; a line of text takes a twentieth of its height.
        cues: in order, read as the video reaches them.

    Raises:
        MissingPartError: the installed OpenCV is older than 5 and has no font.
    """
    face = _face()

    def frames() -> Iterator[Frame]:
        track = iter(cues)
        cue: Cue | None = Cue(-1.0, -1.0, "")
        label: _Label | None = None
        for frame in video.frames:
            middle = float((frame.index + 0.5) / video.fps)
            while cue is not None and cue.end <= middle:
                cue, label = next(track, None), None
            if cue is None or cue.start > middle:
                yield frame
                continue
            label = label or _label(cue.text, video.size, face)
            yield replace(frame, image=label.over(frame.image))

    return replace(video, frames=frames())


def _face() -> Any:
    """Return OpenCV's font."""
    import cv2

    if not hasattr(cv2, "FontFace"):
        raise MissingPartError(tr(
            "subtitles in the picture need OpenCV 5; pip install -U 'opencv-python-headless>=5'",
            "将字幕写入画面需要 OpenCV 5；请 pip install -U 'opencv-python-headless>=5'",
        ))  # fmt: skip
    return cv2.FontFace("uni")


@dataclass(frozen=True)
class _Label:
    """Text ready to be laid over a picture."""

    top: int
    left: int
    keep: NDArray[np.uint16]
    """(h, w, 1) share of the picture below, of 256."""
    add: NDArray[np.uint16]
    """(h, w, 1) light of the text, times 256."""

    def over(self, image: Image) -> Image:
        """Return a copy of a picture with the text over it."""
        height, width = self.keep.shape[:2]
        mixed = image.copy()
        part = mixed[self.top : self.top + height, self.left : self.left + width]
        part[...] = (part * self.keep + self.add) >> 8
        return mixed


def _label(text: str, size: tuple[int, int], face: Any) -> _Label:
    """Draw a text for pictures of a size."""
    import cv2

    width, height = size
    pixels = max(10, int(min(0.052 * height, 0.9 * width / (CHINESE_CELLS / 2))))
    lines, cells = text.split("\n"), max(2, int(0.9 * width / pixels * 2))
    if any(_cells(line) > cells for line in lines):
        lines = wrap(text, cells).split("\n")
    widest = max(_extent(line, face, pixels) for line in lines)
    pixels = max(2, min(pixels, int(pixels * 0.94 * width / widest)))  # a word longer than a line
    pitch = round(1.35 * pixels)
    edge = max(1, round(0.09 * pixels))
    tall = pitch * len(lines) + 4 * edge
    white = np.zeros((tall, width, 3), np.uint8)
    for number, line in enumerate(lines):
        strip = np.zeros_like(white)
        base = tall - 2 * edge - round(0.3 * pixels) - pitch * (len(lines) - 1 - number)
        cv2.putText(strip, line, (2, base), (255, 255, 255), face, pixels)
        inked = np.flatnonzero(strip.max((0, 2)))
        if len(inked):  # centred by what is seen: a comma of full width is mostly empty
            white = np.maximum(white, np.roll(strip, (width - int(inked[0]) - int(inked[-1])) // 2, 1))
    ink = white[..., 0].astype(np.float32) / 255
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge + 1, 2 * edge + 1))
    shade = np.maximum(cv2.GaussianBlur(cv2.dilate(ink, disc), (0, 0), 0.5 * edge), ink)
    columns = np.flatnonzero(shade.max(0) > 0)
    left, right = (int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 1)
    margin = round(height * (0.16 if height > 1.5 * width else 0.05))  # players of tall videos cover the lowest part
    top = max(0, height - margin - tall)
    shade, ink = shade[: height - top, left:right, None], ink[: height - top, left:right, None]
    return _Label(top, left, np.round((1 - shade) * 256).astype(np.uint16), np.round(ink * 255 * 256).astype(np.uint16))


def _extent(line: str, face: Any, pixels: int) -> int:
    """Return how wide a line is, pixels, at least 1."""
    import cv2

    return max(1, int(cv2.getTextSize((1 << 15, 1 << 10), line, (0, 512), face, pixels)[2]))

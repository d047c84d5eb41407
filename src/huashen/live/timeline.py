"""The session's score: which sound belongs to which frame, decided when it is needed and revocable until it has been given out."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from huashen.live.items import Film, Item, Piece
from huashen.types import Audio, Floats, Frame, Speech


@dataclass
class Tick:
    """One frame's place on the timeline."""

    position: int
    spans: list[tuple[Item, Piece, int, int]] = field(default_factory=list)
    """What of which piece is heard, samples."""
    fed: list[Speech] = field(default_factory=list)
    """What the talking head is given; nothing for a clip's frame."""
    sound: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    """What is given out."""
    film: Film | None = None
    """What is shown in the person's place."""
    frame: Frame | None = None
    """The film's, until it has been shown."""
    owner: Item | None = None
    """In which the film stands."""
    ends: list[Item] = field(default_factory=list)
    """What is over once this has been given out."""
    cut: bool = False
    """Whether the frames asked for before it are dropped if they were not shown."""
    filler: int = 0
    """Silent frames that the head hears before it, not shown: a mouth that was cut off is closed then."""

    fades: bool = False
    """Whether what was cut off fades in it."""

    @property
    def idle(self) -> bool:
        """Whether nothing is heard or shown of anything that was asked for."""
        return not self.spans and self.film is None and not self.fades


class Timeline:
    """The line of what is to be said and shown, and the ticks made of it. The session's lock guards it.

    Args:
        rate: samples a second.
        samples: samples of a frame.
        reach: frames that are asked for ahead of those given out.
    """

    def __init__(self, rate: int, samples: int, reach: int) -> None:
        self.rate = rate
        self.reach = reach
        self.given = -1
        """The last position whose sound was given out."""
        self.samples = samples
        self.line: deque[Item] = deque()
        self.paused = False
        self._ticks: deque[Tick] = deque()
        self._first = 0  # the position of the first tick kept
        self._shown = 0  # the position from which on pictures are kept
        self._passed: list[Item] = []  # what is over once the next tick has been given out
        self._cut: int | None = None  # the filler of the next tick made, if that begins anew

    @property
    def end(self) -> int:
        """The position of the first tick not yet made."""
        return self._first + len(self._ticks)

    def tick(self, position: int) -> Tick:
        """Return a tick, made now if it is to come."""
        while position >= self.end:
            self._ticks.append(self._made(self.end))
        return self._ticks[position - self._first]

    def has(self, position: int) -> bool:
        """Return whether a tick is still kept."""
        return position >= self._first

    def forget(self, position: int) -> None:
        """Drop what lies before a position."""
        while self._ticks and self._first < position:
            self._ticks.popleft()
            self._first += 1

    def shown(self, position: int) -> None:
        """Let go of the pictures of films before a position; their sound may still be asked for."""
        for k in range(max(self._shown, self._first), min(position, self.end)):
            self._ticks[k - self._first].frame = None
        self._shown = max(self._shown, position)

    def lead(self, position: int) -> float:
        """Return how many seconds of sound past a position are asked for before more can come."""
        return (self.given + 1 + self.reach - position) * self.samples / self.rate

    def starving(self) -> bool:
        """Return whether a film is next that is read too slowly."""
        piece = self.line[0].peek() if self.line and not self.paused else None
        return isinstance(piece, Film) and not piece.ready()

    def pass_over(self) -> None:
        """Take what is over from the head of the line."""
        while self.line and self.line[0].over():
            self._passed.append(self.line.popleft())

    def clear(self) -> None:
        """Forget the line."""
        self.line.clear()
        self._passed.clear()

    def idle_from(self, position: int) -> int:
        """Return from where on, at that position or later, nothing but silence has been decided."""
        found = self.end
        while found > position and self._ticks[found - 1 - self._first].idle:
            found -= 1
        return max(found, position)

    def revoke(self, position: int, *, filler: int = 0) -> list[Tick]:
        """Take back what was decided from a position on: it stands in the line again, and what follows begins anew.

        Returns:
            The ticks taken back.
        """
        gone: list[Tick] = []
        while self._passed:
            self.line.appendleft(self._passed.pop())
        while self.end > position:
            tick = self._ticks.pop()
            gone.append(tick)
            for item in reversed(tick.ends):
                if item not in self.line:
                    self.line.appendleft(item)
            if tick.film is not None and tick.frame is not None:
                tick.film.back(tick.frame)
            for _, piece, begin, _ in reversed(tick.spans):
                piece.taken = min(piece.taken, begin)
            if tick.cut:
                filler = max(filler, tick.filler)
        self._cut = max(self._cut or 0, filler)
        return gone[::-1]

    def heard_but(self, given: int, samples: int) -> dict[int, int]:
        """Return how many samples of each piece (by `id`) lie in the last so many samples before a position's end."""
        found: dict[int, int] = {}
        while samples > 0 and given >= self._first:
            for _, piece, begin, end in reversed(self._ticks[given - self._first].spans):
                found[id(piece)] = found.get(id(piece), 0) + min(samples, end - begin)
            samples -= self.samples
            given -= 1
        return found

    def _made(self, position: int) -> Tick:
        tick = Tick(position, cut=self._cut is not None, filler=self._cut or 0)
        self._cut = None
        self.pass_over()
        need = self.samples
        parts: list[Floats] = []
        while need and self.line and not self.paused:
            item = self.line[0]
            if item.over():
                self.pass_over()
                continue
            piece = item.peek() if tick.spans or item.may(self.lead(position)) else None
            if piece is None:
                break
            if isinstance(piece, Film):
                if not tick.fed and (piece.running or piece.ready()):
                    tick.film, tick.frame, tick.owner = piece, piece.take(), item
                    tick.sound = tick.frame.audio.samples
                    self.pass_over()
                    tick.ends, self._passed = self._passed, []
                    return tick
                break
            count = min(need, piece.size - piece.taken)
            part = piece.part(piece.taken, piece.taken + count)
            tick.spans.append((item, piece, piece.taken, piece.taken + count))
            tick.fed.append(part)
            parts.append(part.audio.samples)
            piece.taken += count
            need -= count
        if need:
            quiet = np.zeros(need, np.float32)
            tick.fed.append(Speech(Audio(quiet, self.rate), aligned=True))
            parts.append(quiet)
        self.pass_over()
        tick.ends, self._passed = self._passed, []
        tick.sound = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return tick

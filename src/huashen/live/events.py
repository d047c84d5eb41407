"""What a session tells those who listen to it. Times are seconds on the session's timeline: 0 is its first sample."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something happened."""

    at: float
    """Seconds on the session's timeline."""


@dataclass(frozen=True)
class Started(Event):
    """The first sound of what was asked for has been given out."""

    id: int
    """Of the `Saying`, `Feed` or `Clip`."""
    after: float
    """Seconds by the clock since it was asked for."""


@dataclass(frozen=True)
class Seen(Event):
    """The first picture of it has been given out."""

    id: int
    after: float
    """Seconds by the clock since it was asked for."""


@dataclass(frozen=True)
class Sentence(Event):
    """A sentence begins: a caption."""

    id: int
    text: str
    until: float
    """When it ends, on the timeline."""


@dataclass(frozen=True)
class Word(Event):
    """A word begins. Told when its frame is given out, so up to a frame before or after `at`."""

    id: int
    text: str
    span: tuple[int, int]
    """First and one-past-last character in the text of its sentence."""
    until: float


@dataclass(frozen=True)
class Gestured(Event):
    """A gesture begins."""

    name: str


@dataclass(frozen=True)
class Ended(Event):
    """It is over: all of it has been given out, or it was taken back, or it failed."""

    id: int
    heard: str
    """The text that was heard; empty for sound and clips."""
    whole: bool
    """Whether all of it was heard."""
    error: str = ""
    """Why it failed, in the user's language."""


@dataclass(frozen=True)
class Hushed(Event):
    """Everything was taken back."""

    heard: str
    """What had been heard of the text that was being said."""


@dataclass(frozen=True)
class Paused(Event):
    """The sound waits in the middle of what is being said."""


@dataclass(frozen=True)
class Resumed(Event):
    """It goes on."""


@dataclass(frozen=True)
class Late(Event):
    """A picture was not ready in time, and the one before was shown again."""

    index: int

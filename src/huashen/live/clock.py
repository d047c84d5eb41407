"""The clock a session runs against."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits for it; a session's own may be any that runs forwards."""

    def now(self) -> float:
        """Return seconds since some beginning."""
        ...

    def wait(self, until: float) -> None:
        """Return at that time, at once if it has passed."""
        ...


class Monotonic:
    """The machine's own clock."""

    def now(self) -> float:
        """Return seconds since some beginning."""
        return time.monotonic()

    def wait(self, until: float) -> None:
        """Return at that time, at once if it has passed."""
        left = until - time.monotonic()
        if left > 0:
            time.sleep(left)


class Hurried:
    """A clock that never waits: a session runs as fast as it can draw (`Session(patient=True)`), its time being its own sound's."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """Return the latest time anybody waited for."""
        return self._now

    def wait(self, until: float) -> None:
        """Let that time have come."""
        self._now = max(self._now, until)

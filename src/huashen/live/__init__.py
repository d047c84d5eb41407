"""Live sessions: the engines that make files, against the clock.

    with live.build("me.jpg") as session:
        session.say("你好")
        for frame in session.frames():
            ...

docs/live.md tells how a session is used and what it promises.
"""

from huashen.live.build import build
from huashen.live.clock import Clock, Hurried, Monotonic
from huashen.live.events import Ended, Event, Gestured, Hushed, Late, Paused, Resumed, Seen, Sentence, Started, Word
from huashen.live.items import Clip, Feed, Item, Saying
from huashen.live.session import Picture, Session, Stats
from huashen.live.steering import Steered

__all__ = [
    "Clip", "Clock", "Ended", "Event", "Feed", "Gestured", "Hurried", "Hushed", "Item", "Late", "Monotonic", "Paused", "Picture",
    "Resumed", "Saying", "Seen", "Sentence", "Session", "Started", "Stats", "Steered", "Word", "build",
]  # fmt: skip

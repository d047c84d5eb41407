"""Live sessions: what is heard and shown, when, and what is taken back."""

import threading

import numpy as np

from huashen import live
from huashen.live.build import head
from huashen.types import Audio
from synthetic import portrait


def test_a_session_shows_and_sounds_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    sound = Audio(0.1 * np.sin(np.arange(24000) / 8).astype(np.float32), 48000)
    with live.Session(portrait((64, 64)), head=head(), clock=live.Hurried(), patient=True) as session:
        session.feed(sound)
        heard = [frame.audio.samples for frame, _ in zip(session.frames(), range(20), strict=False)]
    np.testing.assert_array_equal(np.concatenate(heard)[:24000], sound.samples)
    assert set(threading.enumerate()) == before

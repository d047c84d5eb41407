"""The mouth from the sound alone, in any language."""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from huashen.audio2face.life import Life
from huashen.audio2face.listen import REACH, Listener
from huashen.audio2face.phones import blend
from huashen.audio2face.stream import moments
from huashen.types import Motion, Speech, Style


class Signal:
    """Moves the face by how the voice sounds; heeds no marks.

    Args:
        still: keep head and gaze (almost) still; blinks stay.
        seed: which person's blinks, glances and sway.
        amplitude: size of the mouth's movements, 1 for natural speech; 0 to 2.
        life: whether there is anything besides the mouth.
        style: how this person's mouth moves; an average one without.
    """

    lookahead = REACH

    def __init__(
        self, *, still: bool = False, seed: int = 0, amplitude: float = 1.0, life: bool = True, style: Style | None = None
    ) -> None:
        self._still = still
        self._seed = seed
        self._amplitude = amplitude
        self._lively = life
        self._style = style

    def drive(self, speech: Iterable[Speech], fps: Fraction) -> Iterator[Motion]:
        """Yield one Motion a frame; see `Driver`."""
        listener = Listener()
        life = Life(still=self._still, seed=self._seed)
        for moment in moments(speech, fps, self.lookahead, lambda piece, first: listener.hear(piece.audio)):
            for time, strength in listener.beats(moment.end):
                life.beat(time, strength)
            for time in listener.pauses(moment.end):
                life.pause(time)
            own = life.at(moment.middle, left=moment.left) if self._lively else None
            yield Motion(*blend(listener.mouth(moment.middle), self._amplitude, own, life.lopsided, self._style), moment.audio)
            listener.forget(moment.begin)

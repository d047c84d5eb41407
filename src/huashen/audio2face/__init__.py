"""Motion of the face from speech."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol, runtime_checkable

from huashen.registry import Entry, Registry
from huashen.types import Motion, Speech


@runtime_checkable
class Driver(Protocol):
    """Moves a face to speech.

    Promises: frame k carries samples [k, k+1)·rate/fps of the joined sound; the last frame is filled up with silence, so the
    frames hold all the sound; how the sound is cut into chunks does not change the motion; a frame is yielded as soon as sound
    up to its end + `lookahead` has come; in silence the lips are closed and the face lives on; the same input gives the same motion.
    """

    lookahead: float
    """Seconds of sound past a frame's own that it needs; infinite: offline only."""

    def drive(self, speech: Iterable[Speech], fps: Fraction) -> Iterator[Motion]:
        """Yield one Motion a frame. All speech has one rate.

        Raises:
            InputError: the pieces have different rates.
        """
        ...


TABLE = Registry(
    "audio2face",
    Entry(
        name="visemes", target="huashen.audio2face.visemes:Visemes", licence="Apache-2.0",
        about=("From phone marks, with co-articulation; from the sound where there are no marks",
               "由音素标注驱动，含协同发音；无标注处由声音驱动"),
        source="Cohen and Massaro, Modeling Coarticulation in Synthetic Visual Speech, 1993",
    ),
    Entry(
        name="signal", target="huashen.audio2face.signal:Signal", licence="Apache-2.0",
        about=("From the sound alone: loudness and spectrum, any language", "只由声音驱动：响度与频谱，任何语言"),
    ),
    Entry(
        name="hear", target="huashen.audio2face.learned:Hear", licence="Apache-2.0", modules=("onnxruntime",),
        about=("From the sound alone, by a network that learned from talking people, any language",
               "只由声音驱动：由真人说话学得的网络，任何语言"),
        source="trained by huashen.train.audio2face, docs/models/audio2face.md",
    ),
    Entry(
        name="hear-offline", target="huashen.audio2face.learned:HearOffline", licence="Apache-2.0", modules=("onnxruntime",),
        about=("The same by a network that looks 0.48 s ahead, for files: nearer to the mouth, too late for live talk",
               "同上，网络向前看 0.48 秒，用于文件：更贴近真实口型，不适合直播"),
        source="trained by huashen.train.audio2face, docs/models/audio2face.md",
    ),
    Entry(
        name="hear-whisper", target="huashen.audio2face.whispered:HearWhisper", licence="Apache-2.0 / MIT", modules=("onnxruntime",),
        weights=("whisper_base",),
        about=("From what Whisper's encoder hears, for files: much nearer to the mouth; five seconds late, 148 MB fetched once",
               "由 Whisper 编码器所听驱动，用于文件：明显更贴近真实口型；延迟五秒，首次使用时获取权重（148 MB）"),
        source="trained by huashen.train.whispered, docs/models/audio2face.md",
    ),
)  # fmt: skip

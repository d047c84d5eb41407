"""A talking person from a picture or a clip and speech."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from huashen.avatar import Avatar
from huashen.footage import Footage
from huashen.registry import Entry, Registry
from huashen.types import Speech, Video


@runtime_checkable
class TalkingHead(Protocol):
    """Makes an avatar speak: a picture, a clip, or either; it refuses the other kind by an InputError.

    Promises: frame k of the video carries samples [k, k+1)·rate/fps of the joined sound; every frame has the same size and is a
    fresh array; how the speech is cut into chunks does not change the frames; memory does not grow with length; the avatar is not changed.
    Work that was stopped goes on: the video from frame `begin` on is the rest of the whole video, and what comes before is not drawn.
    """

    lookahead: float
    """Seconds of sound past a frame's own that it needs; infinite: offline only."""

    def animate(self, avatar: Avatar | Footage, speech: Iterable[Speech], *, begin: int = 0) -> Video:
        """Return the video, rendered as it is read, from frame `begin` on (which there must be)."""
        ...


TABLE = Registry(
    "talking_head",
    Entry(
        name="puppet", target="huashen.talking_head.puppet:Puppet", licence="Apache-2.0",
        about=("One picture to a talking person by smooth warping, no weights of its own",
               "一张图片变成会说话的人：平滑形变，无需专门权重"),
    ),
    Entry(
        name="wav2lip", target="huashen.talking_head.wav2lip:Wav2Lip", licence="Apache-2.0 / research, non-commercial",
        about=("The published network draws the mouth, from sound alone; its weights have to be imported",
               "由已发表的网络只凭声音绘制口型；权重需自行导入"),
        extra="wav2lip", modules=("onnxruntime",), weights=("wav2lip_gan", "wav2lip"),
        source="Prajwal et al., ACM Multimedia 2020; https://github.com/Rudrabha/Wav2Lip",
    ),
    Entry(
        name="mouthbank", target="huashen.talking_head.mouthbank:Mouthbank", licence="Apache-2.0",
        about=("A clip of a person speaks anew with that person's own mouths, no weights of its own",
               "让视频中的人用自己的口型说新的话，无需专门权重"),
        source="Bregler et al., Video Rewrite, SIGGRAPH 1997; Suwajanakorn et al., Synthesizing Obama, 2017",
    ),
)  # fmt: skip

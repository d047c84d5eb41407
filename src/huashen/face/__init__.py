"""Finding faces: boxes, 478 landmarks with irises, head pose."""

from typing import Protocol, runtime_checkable

from huashen.registry import Entry, Registry
from huashen.types import Face, Image


@runtime_checkable
class FaceFinder(Protocol):
    """Finds the faces of a picture.

    Promises: faces come largest first; a picture without one gives an empty list; the picture is not changed; the same
    picture gives the same faces; points are in the picture's own pixels whatever its size.
    """

    def find(self, image: Image) -> list[Face]:
        """Return the faces in a picture, the largest first."""
        ...


TABLE = Registry(
    "face",
    Entry(
        name="mediapipe", target="huashen.face.mediapipe:MediaPipe", licence="Apache-2.0",
        about=("MediaPipe's detectors and 478-point mesh with refined lips and eyes, run by LiteRT",
               "MediaPipe 的检测与 478 点网格（细化唇、眼），由 LiteRT 运行"),
        modules=("ai_edge_litert",), weights=("face_detection_short_range", "face_detection_full_range", "face_landmark_with_attention"),
        source="https://github.com/google-ai-edge/mediapipe 0.10.21",
    ),
)  # fmt: skip

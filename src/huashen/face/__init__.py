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
        about=("MediaPipe's detector, 468-point mesh and irises, run by LiteRT", "MediaPipe 的检测、468 点网格与虹膜模型，由 LiteRT 运行"),
        modules=("ai_edge_litert",), weights=("face_detection_short_range", "face_detection_full_range", "face_landmark", "iris_landmark"),
        source="https://github.com/google-ai-edge/mediapipe 0.10.21",
    ),
)  # fmt: skip

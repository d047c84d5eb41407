"""A prepared identity: the picture, its face and what separates the person from the background."""

from dataclasses import dataclass
from pathlib import Path

from huashen.types import Face, Image


@dataclass(frozen=True)
class Avatar:
    """A person who can be made to speak."""

    image: Image
    """(h, w, 3) uint8 RGB."""
    face: Face
    """The face that speaks."""
    others: tuple[Face, ...] = ()
    """The other faces of the picture."""
    name: str = ""
    source: Path | None = None

"""A prepared identity: the picture, its face and what separates the person from the background."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from huashen.errors import InputError, NoFaceError
from huashen.registry import load
from huashen.types import Box, Face, Floats, Image, Landmarks, Style
from huashen.words import tr


@dataclass(frozen=True)
class Avatar:
    """A person who can be made to speak."""

    image: Image
    """(h, w, 3) uint8 RGB."""
    face: Face
    """The face that speaks."""
    mask: Floats | None = None
    """(h, w) float32, the share of the person in each pixel; None where the person cannot be told from the background."""
    name: str = ""
    source: Path | None = None
    style: Style | None = None
    """How this person's mouth moves; None: nobody knows."""

    def fitted(self, size: tuple[int, int]) -> "Avatar":
        """Return the avatar at another size (width, height), cut round the face where the shape differs."""
        import cv2

        height, width = self.image.shape[:2]
        if (width, height) == size:
            return self
        scale = max(size[0] / width, size[1] / height)
        part = (size[0] / scale, size[1] / scale)
        middle = self.face.landmarks.points[:468, :2].mean(0)
        # A face sits well a little above the middle.
        x0 = float(np.clip(middle[0] - part[0] / 2, 0, width - part[0]))
        y0 = float(np.clip(middle[1] - part[1] * 0.46, 0, height - part[1]))
        matrix = np.array([[scale, 0, -x0 * scale + (scale - 1) / 2], [0, scale, -y0 * scale + (scale - 1) / 2]])
        if scale < 1:
            cut = self.image[int(y0) : int(np.ceil(y0 + part[1])), int(x0) : int(np.ceil(x0 + part[0]))]
            image = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
        else:
            image = cv2.warpAffine(self.image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        mask = None if self.mask is None else cv2.warpAffine(self.mask, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        points = self.face.landmarks.points * np.float32(scale)
        points[:, :2] = self.face.landmarks.points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        old = self.face.box
        box = Box(*(float(v) for p in ((old.x0, old.y0), (old.x1, old.y1)) for v in matrix[:, :2] @ p + matrix[:, 2]))
        face = replace(self.face, landmarks=Landmarks(points.astype(np.float32)), box=box)
        return replace(self, image=np.asarray(image, np.uint8), face=face, mask=None if mask is None else np.asarray(mask, np.float32))


def from_image(
    image: Image,
    *,
    which: int | tuple[float, float] | Path | None = None,
    box: tuple[float, float, float, float] | None = None,
    name: str = "",
    source: Path | None = None,
) -> Avatar:
    """Prepare the person in a picture.

    Args:
        image: (h, w, 3) uint8 RGB.
        which: the face that shall speak: its index, the largest being 0; a point x, y in pixels on or near it; or a picture of the one
            meant.
        box: x0, y0, x1, y1 in pixels: look for the face there only.
        name: what to call the avatar.
        source: the file the picture came from, for messages.

    Raises:
        NoFaceError: no face was found.
        InputError: `which` or `box` does not fit the picture, or who is meant is not sure.
    """
    shown = str(source) if source else tr("the picture", "图片")
    height, width = image.shape[:2]
    faces = _faces(image, box, shown)
    if not faces:
        where = tr("in that box", "在指定方框内") if box else tr(f"in {shown}", f"在 {shown} 中")
        raise NoFaceError(tr(
            f"no face found {where} ({width}x{height}); use a picture in which the face is larger and seen from the front, "
            "or say where it is with --box x0,y0,x1,y1",
            f"{where}没有找到人脸（{width}x{height}）；请换一张正面、人脸更大的图片，或用 --box x0,y0,x1,y1 指明位置",
        ))  # fmt: skip
    if which is None:
        face = faces[0]
    elif isinstance(which, int):
        if not 0 <= which < len(faces):
            raise InputError(tr(
                f"{shown} has {len(faces)} face(s), so --which goes from 0 to {len(faces) - 1}; {which} was given",
                f"{shown} 中有 {len(faces)} 张人脸，--which 可取 0 到 {len(faces) - 1}；给出的是 {which}",
            ))  # fmt: skip
        face = faces[which]
    elif isinstance(which, Path):
        from huashen.face.likeness import pick

        face = pick(image, faces, which, shown)
    else:
        face = min(faces, key=lambda f: float(np.hypot((f.box.x0 + f.box.x1) / 2 - which[0], (f.box.y0 + f.box.y1) / 2 - which[1])))
    return Avatar(image, face, _mask(image, face), name, source)


def _faces(image: Image, box: tuple[float, float, float, float] | None, shown: str) -> list[Face]:
    finder = load("face")
    if box is None:
        return list(finder.find(image))
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(v) for v in box)
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height and min(x1 - x0, y1 - y0) >= 16):
        raise InputError(tr(
            f"the box {x0},{y0},{x1},{y1} does not lie in {shown}, which is {width}x{height}, or is smaller than 16 pixels",
            f"方框 {x0},{y0},{x1},{y1} 不在 {shown}（{width}x{height}）之内，或小于 16 像素",
        ))  # fmt: skip
    found = []
    for face in finder.find(np.ascontiguousarray(image[y0:y1, x0:x1])):
        moved = face.landmarks.points + np.array([x0, y0, 0], np.float32)
        old = face.box
        found.append(replace(face, landmarks=Landmarks(moved), box=Box(old.x0 + x0, old.y0 + y0, old.x1 + x0, old.y1 + y0)))
    return found


def _mask(image: Image, face: Face) -> Floats | None:
    """Tell the person from the background; None where the answer cannot be trusted."""
    matting = load("matting")
    mask: Floats = matting.mask(image)
    if _trusted(mask, face):
        return mask
    # Among several people, or far from the lens, a look at this one alone may tell more.
    points = face.landmarks.points[:468, :2]
    middle, reach = points.mean(0), 1.9 * float(np.ptp(points, axis=0).max())
    x0, y0 = np.maximum(middle - reach, 0).astype(int)
    x1, y1 = np.minimum(middle + reach, image.shape[1::-1]).astype(int)
    alone = np.zeros_like(mask)
    alone[y0:y1, x0:x1] = matting.mask(np.ascontiguousarray(image[y0:y1, x0:x1]))
    return alone if _trusted(alone, face) else None


def _trusted(mask: Floats, face: Face) -> bool:
    """Return whether a mask holds the face and leaves some background."""
    import cv2

    hull = cv2.convexHull(face.landmarks.points[:468, :2].round().astype(np.int32))
    inside = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(inside, hull, 1)
    return bool(mask[inside > 0].mean() >= 0.85 and mask.mean() <= 0.97)

"""Draw a sheet of faces making basic mouth shapes, to look at.

    python examples/contact_sheet.py FOLDER_OR_PICTURE … -o sheet.png [--size 256] [--crop]
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw

from huashen.avatar import Avatar, from_image
from huashen.media import read_image
from huashen.talking_head.rig import Rig
from huashen.types import ARKIT_INDEX, Floats

POSES: dict[str, tuple[dict[str, float], dict[int, float]]] = {
    "closed": ({}, {}),
    "a": ({"jawOpen": 0.72, "mouthStretchLeft": 0.1, "mouthStretchRight": 0.1, "mouthUpperUp": 0.2, "mouthLowerDown": 0.3}, {}),
    "i": ({"jawOpen": 0.18, "mouthStretch": 0.6, "mouthSmile": 0.25, "mouthUpperUp": 0.3, "mouthLowerDown": 0.5}, {}),
    "u": ({"jawOpen": 0.22, "mouthPucker": 0.75, "mouthFunnel": 0.2}, {}),
    "o": ({"jawOpen": 0.48, "mouthFunnel": 0.6, "mouthPucker": 0.3}, {}),
    "f": ({"jawOpen": 0.12, "mouthRollLower": 0.7, "mouthUpperUp": 0.45, "mouthClose": 0.35}, {}),
    "m": ({"jawOpen": 0.15, "mouthClose": 1.0, "mouthPress": 0.4, "mouthRollLower": 0.2, "mouthRollUpper": 0.2}, {}),
    "half blink": ({"eyeBlink": 0.5}, {}),
    "blink": ({"eyeBlink": 1.0}, {}),
    "look, brows": ({"eyeLookOutLeft": 0.6, "eyeLookInRight": 0.6, "browInnerUp": 0.8, "browOuterUp": 0.8}, {}),
    "head left": ({"jawOpen": 0.3}, {1: -8.0, 2: -2.0}),
    "head right": ({"jawOpen": 0.3}, {1: 8.0, 2: 3.0, 0: 4.0}),
}


def weights(values: dict[str, float]) -> Floats:
    """Return (52,) weights; a name without a side sets both."""
    out = np.zeros(52, np.float32)
    for name, value in values.items():
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in ARKIT_INDEX:
                out[ARKIT_INDEX[full]] = value
    return out


def row(avatar: Avatar, size: int, crop: bool) -> np.ndarray:
    """Draw all poses of one avatar side by side."""
    rig = Rig(avatar)
    cells = []
    for values, turn in POSES.values():
        head = np.zeros(6, np.float32)
        for index, degrees in turn.items():
            head[index] = degrees
        image = rig.draw(weights(values), head)
        if crop:
            middle, unit = avatar.face.landmarks.points[:468, :2].mean(0), rig.face.unit
            x0, y0 = np.maximum(middle - 1.35 * unit, 0).astype(int)
            image = image[y0 : int(middle[1] + 1.45 * unit), x0 : int(middle[0] + 1.35 * unit)]
        shape = (size, round(size * image.shape[0] / image.shape[1]))
        cells.append(np.asarray(Picture.fromarray(image).resize(shape, Picture.Resampling.LANCZOS)))
    return np.hstack(cells)


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("sheet.png"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--crop", action="store_true", help="show the face only")
    chosen = parser.parse_args()
    files = [f for p in chosen.pictures for f in (sorted(p.iterdir()) if p.is_dir() else [p])]
    rows = [row(from_image(read_image(f), source=f), chosen.size, chosen.crop) for f in files]
    sheet = np.vstack([np.zeros((18, rows[0].shape[1], 3), np.uint8), *rows])
    picture = Picture.fromarray(sheet)
    for i, name in enumerate(POSES):
        ImageDraw.Draw(picture).text((i * chosen.size + 4, 3), name, fill=(255, 255, 255))
    picture.save(chosen.out)


if __name__ == "__main__":
    main()

"""Measure mouthbank on real clips: the last third of each is spoken again with the mouths of the first two thirds.

    python benchmarks/mouthbank.py CLIP... [--seconds 12] [--controls] [--sheet sheet.png]

Twice: driven by the true gap and width of the mouth, and by the clip's own sound; with --controls also by silence (motion shall be near 0)
and by the sound of the clip named next (r shall be near 0). The clip's frames and its head stay the same, so each frame made can be
compared with the real one. Printed per clip:

- psnr: of the rectangle round the lips, dB, median over frames;
- motion: standard deviation of the gap, made over real;
- r: correlation of the gap made with the real one; r driver: of the driver's curve with the real one, for the sound;
- flicker: mean change from frame to frame in that rectangle, made over real;
- sharp: variance of the Laplacian there, made over real;
- shut: 90th percentile of the gap, in distances between the outer eye corners;
- ms: processor time a frame, without reading or writing a file.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from huashen.face.track import track
from huashen.footage import Footage, prepare
from huashen.media import read_audio
from huashen.registry import load
from huashen.talking_head.bank import Bank
from huashen.talking_head.mouthbank import redrawn
from huashen.types import Audio, Floats, Frame, Motion, Speech

Wanted = list[tuple[Motion, float, float]]


class Held(Footage):
    """A clip that runs once, from a frame on."""

    def order(self, fps: Fraction) -> Iterator[int]:
        """Yield the clip's frames and no other."""
        return iter(range(len(self)))


def truth(bank: Bank, begin: int, end: int) -> Wanted:
    """Return what the mouth really does."""
    still = Motion(np.zeros(52, np.float32), np.zeros(6, np.float32), Audio(np.zeros(0, np.float32), 0))
    gap, width = np.nan_to_num(bank.gap, nan=0.0), np.nan_to_num(bank.width, nan=0.5)
    return [(still, float(gap[k]), float(width[k])) for k in range(begin, end)]


def heard(bank: Bank, path: Path, begin: int, end: int) -> Wanted:
    """Return what a driver makes of the clip's own sound."""
    return driven(bank, read_audio(path), begin, end)


def driven(bank: Bank, sound: Iterable[Audio], begin: int, end: int) -> Wanted:
    """Return what a driver makes of a sound."""
    motions = load("audio2face", "hear", still=True).drive((Speech(audio) for audio in sound), bank.footage.fps)
    return [(motion, *bank.wanted(motion)) for motion in islice(motions, begin, end)]


def lips(footage: Footage, image: np.ndarray, k: int) -> np.ndarray:
    """Return the rectangle round the lips."""
    points = footage.points[k, :, :2]
    x, y = points[[61, 291]].mean(0)
    unit = float(np.linalg.norm(points[33] - points[263]))
    x0, y0 = max(0, round(x - 0.45 * unit)), max(0, round(y - 0.28 * unit))
    return image[y0 : round(y + 0.40 * unit), x0 : round(x + 0.45 * unit)].astype(np.float32)


def measured(footage: Footage, made: list[Frame], real: list[np.ndarray], begin: int) -> dict[str, float]:
    """Compare frames with the real ones."""
    gaps = []
    for face in track(frame.image for frame in made):
        points: Floats = np.full((478, 3), np.nan, np.float32) if face is None else face.landmarks.points
        gaps.append(float(np.linalg.norm(points[13] - points[14]) / np.linalg.norm(points[33] - points[263])))
    own = footage.points[begin : begin + len(made)]
    true = np.linalg.norm(own[:, 13] - own[:, 14], axis=1) / np.linalg.norm(own[:, 33] - own[:, 263], axis=1)
    gap = np.array(gaps)
    both = np.isfinite(gap) & np.isfinite(true)
    pairs = [(lips(footage, made[i].image, begin + i), lips(footage, real[i], begin + i)) for i in np.flatnonzero(both)]
    error = [np.mean((a - b) ** 2) for a, b in pairs]
    changes = []
    for i in range(1, len(made)):
        if both[i]:
            x = [lips(footage, image, begin + i) for image in (made[i].image, made[i - 1].image, real[i], real[i - 1])]
            changes.append((np.abs(x[0] - x[1]).mean(), np.abs(x[2] - x[3]).mean()))
    sharp = [[cv2.Laplacian(np.ascontiguousarray(x.mean(2)), cv2.CV_32F).var() for x in pair] for pair in pairs]
    return {
        "psnr": float(np.median(10 * np.log10(255**2 / np.maximum(error, 1e-6)))),
        "motion": float(gap[both].std() / true[both].std()),
        "shut": float(np.percentile(gap[both], 90)),
        "r": float(np.corrcoef(gap[both], true[both])[0, 1]),
        "flicker": float(np.divide(*np.mean(changes, axis=0))),
        "sharp": float(np.divide(*np.mean(sharp, axis=0))),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=12.0, help="of the last third")
    parser.add_argument("--sheet", type=Path, help="a picture of real and made mouths")
    parser.add_argument("--controls", action="store_true", help="silence and another's sound as well")
    given = parser.parse_args()
    rows = []
    for path, other in zip(given.clips, [*given.clips[1:], given.clips[0]], strict=True):
        clip = prepare(path)
        footage = Held(**{name: getattr(clip, name) for name in clip.__dataclass_fields__})
        begin = 2 * len(footage) // 3
        end = min(len(footage), begin + round(given.seconds * footage.fps))
        bank = Bank(footage, until=begin)
        real = list(footage.images(range(begin, end)))
        ways = {"true curve": truth(bank, begin, end), "own sound": heard(bank, path, begin, end)}
        if given.controls:
            ways["silence"] = driven(bank, [Audio(np.zeros(16000 * end // int(footage.fps) + 16000, np.float32), 16000)], begin, end)
            ways["another's"] = heard(bank, other, 0, end - begin)
        for way, wanted in ways.items():
            start = time.process_time()
            made = list(redrawn(bank, wanted, footage.fps, begin=begin))
            spent = time.process_time() - start
            found = measured(footage, made, real[: len(made)], begin)
            if way == "own sound":
                curve = np.array([gap for _, gap, _ in wanted])
                seen = np.isfinite(bank.gap[begin : begin + len(curve)])
                found["r driver"] = float(np.corrcoef(curve[seen], bank.gap[begin : begin + len(curve)][seen])[0, 1])
            found["ms"] = 1000 * spent / len(made)
            print(f"{path.name:20} {way:11}", *(f"{name} {value:.2f}" for name, value in found.items()), flush=True)
            shown = [i for i in range(4, len(made), max(1, len(made) // 10)) if clip.seen()[begin + i]][:10]
            for images in ((real[i] for i in shown), (made[i].image for i in shown)):
                cells = [cv2.resize(lips(footage, image, begin + i), (160, 120)) for image, i in zip(images, shown, strict=True)]
                rows.append(np.hstack(cells + [np.zeros((120, 160, 3), np.float32)] * (10 - len(cells))))
    if given.sheet:
        Image.fromarray(np.clip(np.vstack(rows), 0, 255).astype(np.uint8)).save(given.sheet)


if __name__ == "__main__":
    main()

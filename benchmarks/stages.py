"""Measure aftercare on real clips: noise and trembling of known size are added, and a box is pasted in another light.

    python benchmarks/stages.py CLIP... [--seconds 3]

Printed per clip:

- noise: PSNR against the clip before and after `denoise`, sharpness after it over the clip's own, for three strengths;
- shake: how far the face strays from the mean of the frames beside it, pixels: in the clip, shaken by 1.5 pixels, after `steady`;
- sharp: sharpness after `unsharp` over the clip's own; rim: the largest step out of the range of a pixel's neighbours, grey levels;
- seam: mean error of a box enlarged from 96 pixels in another light, before and after `blend`, grey levels;
- ms: processor time a frame of each stage on the whole picture (blend: on the box).
"""

import argparse
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from huashen import media
from huashen.face.track import track
from huashen.registry import load
from huashen.types import Audio, Frame, Image, Patch, Video

SILENCE = Audio(np.zeros(0, np.float32), 0)
spent: dict[str, list[float]] = {}


def through(name: str, images: list[Image], patches: list[Patch] | None = None, **options: float) -> list[Image]:
    """Return what a stage makes of pictures, and note how long it took."""
    frames = (Frame(image, SILENCE, k, patches[k] if patches else None) for k, image in enumerate(images))
    begin = time.process_time()
    size = images[0].shape[1::-1]
    out = [frame.image for frame in load("stages", name, **options)(Video(frames, Fraction(25), (size[0], size[1]), 0)).frames]
    spent.setdefault(name, []).append(1000 * (time.process_time() - begin) / len(images))
    return out


def psnr(made: list[Image], real: list[Image]) -> float:
    return float(np.mean([10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))) for a, b in zip(made, real, strict=True)]))


def sharpness(images: list[Image]) -> float:
    return float(np.mean([cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std() for image in images]))


def stray(images: list[Image]) -> float:
    """Return how far the face strays from the mean of the frames beside it, pixels."""
    faces = [face for face in track(iter(images), steady=0) if face is not None]
    points = np.array([face.landmarks.points[[33, 263, 1, 168], :2].mean(0) for face in faces])
    return float(np.sqrt(((points[2:] / 2 - points[1:-1] + points[:-2] / 2) ** 2).sum(1).mean()))


def rim(made: Image, image: Image) -> float:
    """Return how far a pixel lies outside the range of its neighbours before, grey levels."""
    near = np.ones((3, 3), np.uint8)
    new, grey = cv2.cvtColor(made, cv2.COLOR_RGB2GRAY).astype(int), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return float(max((new - cv2.dilate(grey, near)).max(), (cv2.erode(grey, near).astype(int) - new).max()))


def pasted(image: Image) -> tuple[Image, Patch]:
    """Return a picture with a box in its middle enlarged from 96 pixels and lit otherwise."""
    height, width = image.shape[:2]
    rows, columns = slice(height // 4, 3 * height // 4), slice(width // 3, 2 * width // 3)
    before = image[rows, columns].copy()
    size = before.shape[1::-1]
    made = cv2.resize(cv2.resize(before, (96, 96), interpolation=cv2.INTER_AREA), size).astype(np.float32)
    made = made * np.array([1.08, 0.97, 0.9], np.float32) + np.linspace(-15, 15, size[0], dtype=np.float32)[None, :, None]
    out = image.copy()
    out[rows, columns] = np.clip(np.rint(made), 0, 255).astype(np.uint8)
    return out, Patch(np.ones(before.shape[:2], np.float32), before, (columns.start, rows.start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    for path in given.clips:
        dice = np.random.default_rng(0)
        spent.clear()
        video = media.read_video(path)
        clean = [frame.image for frame in islice(video.frames, round(given.seconds * video.fps))]
        (width, height), own = video.size, sharpness(clean)
        print(f"{path.name}, {width}×{height}, {len(clean)} frames")
        for sigma in (3, 6, 10):
            noisy = [np.clip(np.rint(image + dice.normal(0, sigma, image.shape)), 0, 255).astype(np.uint8) for image in clean]
            quiet = through("denoise", noisy)
            print(f"  noise {sigma:2}: {psnr(noisy, clean):5.2f} → {psnr(quiet, clean):5.2f} dB, sharp {sharpness(quiet) / own:.2f}")
        print(f"  noise  0: {sum(np.array_equal(a, b) for a, b in zip(through('denoise', clean), clean, strict=True))} frames bit for bit")
        moves = dice.normal(0, 1.5, (len(clean), 2))
        ways = [np.array([[1, 0, x], [0, 1, y]]) for x, y in moves]
        shaken = [
            np.asarray(cv2.warpAffine(image, way, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)
            for image, way in zip(clean, ways, strict=True)
        ]
        print(f"  shake: {stray(clean):.2f}, {stray(shaken):.2f} → {stray(through('steady', shaken)):.2f} pixels")
        sharp = through("unsharp", clean)
        print(f"  sharp: {sharpness(sharp) / own:.2f}, rim {max(map(rim, sharp, clean)):.0f}")
        made, patches = zip(*map(pasted, clean), strict=True)
        box = patches[0]
        spot = slice(box.corner[1], box.corner[1] + box.mask.shape[0]), slice(box.corner[0], box.corner[0] + box.mask.shape[1])
        wrong, right = (
            np.mean([np.abs(a[spot].astype(int) - b[spot]).mean() for a, b in zip(images, clean, strict=True)])
            for images in (made, through("blend", list(made), list(patches)))
        )
        print(f"  seam: {wrong:.1f} → {right:.1f}")
        print("  ms: " + ", ".join(f"{name} {max(times):.1f}" for name, times in spent.items()), flush=True)


if __name__ == "__main__":
    main()

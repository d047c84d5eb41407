"""Face landmarks: agreement with the MediaPipe package, speed, and what the tracker's smoothing does.

    python benchmarks/face.py [--mediapipe-python /path/to/python] [--real ../shared/real] [--parity tests/parity/face_mediapipe.npz]

Without a second Python that has `mediapipe==0.10.21` the comparison is left out; without the real material only the example portrait
is looked at. `--parity` writes the package's numbers for the example portrait to a file, for the tests.
"""

import argparse
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from huashen import device, weights
from huashen.face.mediapipe import MediaPipe, region_of
from huashen.face.track import track

THEIRS = """
import json, sys, time
import numpy as np
import mediapipe
from mediapipe.python.solutions.face_mesh import FaceMesh
pictures, out = json.loads(sys.argv[1]), {}
for name, path in pictures.items():
    image = np.load(path)
    scale = (image.shape[1], image.shape[0], image.shape[1])
    for kind, still, refined, rounds in (
        ("plain", True, False, 1), ("plain video", False, False, 3), ("refined", True, True, 1), ("refined video", False, True, 3),
    ):
        with FaceMesh(static_image_mode=still, refine_landmarks=refined, max_num_faces=1) as mesh:
            for _ in range(rounds):
                found = mesh.process(image).multi_face_landmarks
            if found:
                out[f"{name} {kind}"] = np.array([(p.x, p.y, p.z) for p in found[0].landmark], np.float32) * np.float32(scale)
            began = time.perf_counter()
            for _ in range(30):
                mesh.process(image)
            out[f"{name} {kind} ms"] = (time.perf_counter() - began) / 30 * 1e3
np.savez(sys.argv[2], version=mediapipe.__version__, **out)
"""


def pictures(real: Path) -> dict[str, NDArray[np.uint8]]:
    """Return the pictures to look at, by name."""
    paths = [weights.path("astronaut"), *sorted((real / "faces").glob("*"))]
    return {path.name: np.asarray(Image.open(path).convert("RGB")) for path in paths}


def theirs(python: str | None, images: dict[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
    """Return what the MediaPipe package finds, run by another Python; nothing without one."""
    if not python:
        print("no --mediapipe-python: without comparison\n")
        return {}
    with tempfile.TemporaryDirectory() as place:
        files = {name: f"{place}/{i}.npy" for i, name in enumerate(images)}
        for name, image in images.items():
            np.save(files[name], image)
        subprocess.run([python, "-c", THEIRS, json.dumps(files), f"{place}/out.npz"], check=True, stderr=subprocess.DEVNULL)
        with np.load(f"{place}/out.npz") as found:
            return dict(found)


def apart(ours: NDArray[np.float32], other: NDArray[np.float32] | None) -> str:
    """Return mean and largest distance of points in the plane, in thousandths of the outer eye corners' distance."""
    if other is None:
        return "-"
    eyes = np.linalg.norm(other[33, :2] - other[263, :2])
    distance = np.linalg.norm(ours[: len(other), :2] - other[:, :2], axis=1) / eyes * 1000
    return f"{distance.mean():.2f} / {distance.max():.2f}"


def timed(call: object, rounds: int = 30) -> float:
    """Return milliseconds a call."""
    assert callable(call)
    call()
    began = time.perf_counter()
    for _ in range(rounds):
        call()
    return (time.perf_counter() - began) / rounds * 1e3


def frames(path: Path, limit: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the first pictures of a clip."""
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == limit:
                return
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def gap(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lips' inner gap of (n, 478, 3) points in distances between the outer eye corners."""
    eyes = np.linalg.norm(points[:, 33, :2] - points[:, 263, :2], axis=1)
    return np.asarray(np.linalg.norm(points[:, 13, :2] - points[:, 14, :2], axis=1) / eyes, np.float32)


def lag(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """Return by how many frames a curve comes after another (peak of their correlation, between frames by a parabola)."""
    shifts = range(-3, 4)
    inner = slice(4, -4)
    match = [np.corrcoef(before[inner], np.roll(after, -shift)[inner])[0, 1] for shift in shifts]
    best = int(np.clip(np.argmax(match), 1, 5))
    left, middle, right = match[best - 1 : best + 2]
    return shifts[best] + 0.5 * (left - right) / (left - 2 * middle + right)


def grainy(image: NDArray[np.uint8], count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield a still picture with fresh grain (standard deviation 4 of 255) every time."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mediapipe-python")
    parser.add_argument("--real", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "real")
    parser.add_argument("--parity", type=Path)
    parser.add_argument("--frames", type=int, default=150)
    given = parser.parse_args()

    print(f"{platform.processor() or platform.machine()}, {device.threads()} threads, Python {platform.python_version()}\n")
    images = pictures(given.real)
    other = theirs(given.mediapipe_python, images)
    plain = MediaPipe(passes=1, attention=False)
    one, two, three = (MediaPipe(passes=n) for n in (1, 2, 3))

    print("Distance from the package's points, mean / largest, in 1/1000 of the eye distance; milliseconds for a picture")
    heads = "".join(f"{head:>16}" for head in ("plain", "refined", "refined video"))
    print(f"{'picture':18}{'size':>12}{'faces':>6}{heads}{'find ms':>9}{'theirs':>8}{'follow ms':>11}{'theirs':>8}")
    for name, image in images.items():
        faces = two.find(image)
        region = region_of(faces[0].landmarks.points)
        found = [apart(engine.find(image)[0].landmarks.points, other.get(f"{name} {kind}"))
                 for engine, kind in ((plain, "plain"), (one, "refined"), (three, "refined video"))]  # fmt: skip
        row = [
            f"{name:18}{image.shape[1]:>6} ×{image.shape[0]:>4}{len(faces):>6}{''.join(f'{text:>16}' for text in found)}",
            f"{timed(lambda image=image: one.find(image)):>9.1f}{float(other.get(f'{name} refined ms', np.nan)):>8.1f}",
            f"{timed(lambda image=image, region=region: two.fit(image, region, passes=1)):>11.1f}",
            f"{float(other.get(f'{name} refined video ms', np.nan)):>8.1f}",
        ]
        print("".join(row))
    if given.parity and other:
        np.savez_compressed(
            given.parity,
            origin=f"mediapipe {other['version']}, FaceMesh on scikit-image's astronaut.png; pixels; by benchmarks/face.py --parity",
            **{kind.replace(" ", "_"): other[f"astronaut.png {kind}"] for kind in ("plain", "plain video", "refined", "refined video")},
        )

    print("\nSmoothing: a still picture with grain, jitter of points between frames, 1/1000 of the eye distance")
    for name in list(images)[:6]:
        row = f"{name:18}"
        for steady in (0.0, 0.002):
            points = np.stack([f.landmarks.points for f in track(grainy(images[name], 40), finder=two, steady=steady) if f])
            eyes = np.linalg.norm(points[0, 33, :2] - points[0, 263, :2])
            row += f"{'raw' if not steady else 'steady':>10} {np.sqrt((np.diff(points[..., :2], axis=0) ** 2).mean()) / eyes * 1000:6.3f}"
        print(row)

    clips = [p for p in sorted((given.real / "clips").glob("*")) if p.suffix in (".mp4", ".mov")][::6]
    print("\nSmoothing on talking clips: the mouth gap's range (5th to 95th percentile) that is kept, its delay, and the speed")
    for clip in clips:
        raw = list(track(frames(clip, given.frames), finder=two, steady=0))
        began = time.perf_counter()
        smooth = list(track(frames(clip, given.frames), finder=two))
        seconds = time.perf_counter() - began
        both = [(a.landmarks.points, b.landmarks.points) for a, b in zip(raw, smooth, strict=True) if a and b]
        before, after = (gap(np.stack(side)) for side in zip(*both, strict=True))
        kept = np.subtract(*np.percentile(after, (95, 5))) / np.subtract(*np.percentile(before, (95, 5)))
        speed = len(smooth) / seconds
        print(f"{clip.name:32} kept {kept:.3f}  delay {lag(before, after):+.3f} frames  {speed:6.1f} frames/s with decoding")


if __name__ == "__main__":
    main()

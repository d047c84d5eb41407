"""How much longer Wav2Lip's whole way takes than its network and the encoder alone.

    python benchmarks/wav2lip.py                    # 6 s of a 512×512 clip: box fixed, found in every frame, one picture
    python benchmarks/wav2lip.py --seconds 20 --size 1280x720
    python benchmarks/wav2lip.py --weights wav2lip_gan.pth
    python benchmarks/wav2lip.py --relatives        # the network and its relatives alone, against each other

Weights are random unless a file is given: the speed is the same. The clip is the example portrait, gliding and breathing, read from a file.
Each row is measured in one run: the network alone (onnxruntime, inputs of the same shape), the encoding of the frames that came out, and
the whole: reading, finding the face, mel, network, pasting, encoding. Their ratio is what counts, by the clock and, where other work shares
the machine, in processor time; the promise is 1.3 with a fixed box, 1.6 with the face followed from frame to frame.
"""

import argparse
import itertools
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np

from huashen import avatar, device, media, weights
from huashen.face.track import track
from huashen.flow import prefetch
from huashen.nets.wav2lip import Generator, Layout, save_onnx
from huashen.registry import load
from huashen.talking_head.wav2lip import Shot, Wav2Lip
from huashen.types import Audio, Frame, Image, Speech, Video

FPS = Fraction(25)
RATE = 16000


def glide(size: tuple[int, int], seconds: float) -> Iterator[Image]:
    """Yield the example portrait, swaying and breathing."""
    width, height = size
    source = media.read_image(weights.path("astronaut"))
    scale = max(width / source.shape[1], height / source.shape[0]) * 1.06
    for k in range(round(seconds * FPS)):
        t = k / float(FPS)
        grown = scale * (1 + 0.01 * np.sin(1.3 * t))
        x = 225 + 5 * np.sin(0.9 * t)
        y = min(256.0, height / 2 / grown + 6) + 3 * np.sin(1.7 * t)
        matrix = np.array([[grown, 0, width / 2 - grown * x], [0, grown, height / 2 - grown * y]])
        yield np.asarray(cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def voice(seconds: float) -> Audio:
    """Return a buzz in syllables: speech everywhere, so that no frame is spared."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 15)) * (0.06 + 0.04 * np.sin(2 * np.pi * 4 * t))
    return Audio(sound.astype(np.float32), RATE)


def timed(work: Callable[[], object]) -> np.ndarray:
    """Return how long something takes: (2,) by the clock and of the processors, seconds."""
    begin = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - begin[0], time.process_time() - begin[1]])


def row(name: str, video: Video, network: Path, file: Path, *, batch: int) -> None:
    """Print what the whole takes, and what its network and its encoding take alone."""
    kept: list[Frame] = []

    def noted() -> Iterator[Frame]:
        for frame in video.frames:
            kept.append(frame)
            yield frame

    whole = timed(lambda: media.write_video(replace(video, frames=noted()), file))
    session = device.onnx(network)
    dice = np.random.default_rng(0)
    given = {"mel": dice.random((batch, 1, 80, 16), np.float32), "face": dice.random((batch, 6, 96, 96), np.float32)}
    session.run(None, given)
    drawing = timed(lambda: [session.run(None, given) for _ in range(-(-len(kept) // batch))])
    encoding = timed(lambda: media.write_video(replace(video, frames=iter(kept)), file))
    count = len(kept)
    ratio = whole / (drawing + encoding)
    print(
        f"{name:30} {count:5} frames  whole {1000 * whole[0] / count:6.1f} ms   network {1000 * drawing[0] / count:6.1f}   "
        f"encoding {1000 * encoding[0] / count:5.1f}   ratio {ratio[0]:5.2f} by the clock, {ratio[1]:5.2f} of the processors",
        flush=True,
    )


def relatives(folder: Path) -> None:
    """Print what the network and its relatives take for a frame, each next to the published one."""
    kinds = {"28 times smaller": Layout.published(factor=4, residual=False)}
    kinds |= {f"{side} pixels": Layout.published(side) for side in (128, 192, 256, 384)}
    dice = np.random.default_rng(0)
    runs: dict[str, Callable[[], object]] = {}
    for name, layout in {"published": Layout.published(), **kinds}.items():
        file = folder / "relative.onnx"
        save_onnx(Generator(layout).eval(), file)
        given = {"mel": dice.random((1, 1, 80, 16), np.float32), "face": dice.random((1, 6, layout.size, layout.size), np.float32)}
        runs[name] = partial(device.onnx(file).run, None, given)
        runs[name]()
    for name in kinds:
        pairs = [(timed(runs["published"])[1], timed(runs[name])[1]) for _ in range(8)]
        own, other = np.median(pairs, axis=0)
        print(f"{name:20} {1000 * other:7.1f} ms of a processor a frame, published {1000 * own:6.1f}, ratio {other / own:6.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--weights", help="a checkpoint or an ONNX file; random ones without")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--relatives", action="store_true", help="the networks alone")
    given = parser.parse_args()
    width, height = (int(part) for part in given.size.split("x"))
    size = width, height
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, {given.size}, {given.seconds:g} s, batch {given.batch}"
    )
    with tempfile.TemporaryDirectory() as folder:
        if given.relatives:
            relatives(Path(folder))
            return
        network = Path(given.weights) if given.weights else Path(folder) / "random.onnx"
        if not given.weights:
            save_onnx(Generator(Layout.published()).eval(), network)
        sound, clip = voice(given.seconds), Path(folder) / "clip.mp4"
        silence = Audio(np.zeros(RATE // 25, np.float32), RATE)
        media.write_video(Video((Frame(image, silence, k) for k, image in enumerate(glide(size, given.seconds))), FPS, size, RATE), clip)
        first = next(glide(size, 1))
        found = avatar.from_image(first)
        corners = found.face.box
        box = (int(corners.y0), int(corners.y1), int(corners.x0), int(corners.x1))

        def read() -> Iterator[Image]:
            return (frame.image for frame in media.read_video(clip).frames)

        def fixed() -> Iterator[Shot]:
            return (Shot(image, None) for image in read())

        def followed() -> Iterator[Shot]:
            images, seen = itertools.tee(read())
            yield from prefetch((Shot(image, face) for image, face in zip(images, track(seen), strict=True)), 4)

        def film(engine: Wav2Lip, shots: Iterable[Shot]) -> Video:
            return Video(engine.redub(shots, [Speech(sound)]), FPS, size, RATE)

        ways: dict[str, Callable[[], Video]] = {}
        plain = Wav2Lip(weights=network, paste="plain", box=box, batch=given.batch)
        blend = Wav2Lip(weights=network, batch=given.batch)
        boxed = Wav2Lip(weights=network, box=box, batch=given.batch)
        alive = Wav2Lip(weights=network, batch=given.batch, driver=load("audio2face", "signal"))
        ways["clip, fixed box, plain"] = lambda: film(plain, fixed())
        ways["clip, fixed box, blended"] = lambda: film(boxed, fixed())
        ways["clip, face followed, blended"] = lambda: film(blend, followed())
        ways["one picture, standing still"] = lambda: film(blend, repeat(Shot(first, found.face)))
        ways["one picture, alive"] = lambda: alive.animate(found, [Speech(sound)])
        for name, make in ways.items():
            row(name, make(), network, Path(folder) / "out.mp4", batch=given.batch)


if __name__ == "__main__":
    main()

"""What re-lipping leaves alone: frames without the face, and what surrounds the face, through the whole writer.

    python benchmarks/untouched.py CLIP… [--seconds 12]

A clip is made to say something else and written as `huashen sync` writes it; its own frames alone are written by the same encoder at the
same settings. Both are read again and compared with the clip. What the file with the new mouth is further from the clip than the other
(mean squared error less the encoder's own) is what we changed, as PSNR. Frames are taken by their number; the time stamps of both files
are compared as they stand. The last column shows that the comparison sees something: how far the faces are from the clip's.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from render import spoken

from huashen import footage, media, studio
from huashen.footage import Footage
from huashen.types import Audio, Frame, Image, Video

GOAL = 45.0
"""dB."""
GROWN = 0.6
"""By how much of its size the box of a face's points is grown on every side, to leave out all that may change."""


@dataclass(frozen=True)
class Left:
    """What a file with a new mouth left alone."""

    frames: int
    """Of the clip."""
    written: int
    """Of the file."""
    faceless: int
    """Frames without the face."""
    in_time: bool
    """Whether both files have the same time stamps."""
    away: float
    """PSNR of what was changed in the frames without the face, dB: the worst frame's."""
    around: float
    """The same outside the face in the other frames."""
    encoder: float
    """PSNR of the encoder's own loss, dB: the median."""
    mouth: float
    """PSNR of the face's box: what the new mouth changed, dB, the median."""


def shares(image: Image, own: Image, points: np.ndarray) -> tuple[float, float]:
    """Return the mean squared differences of two pictures outside and inside the grown box of a face."""
    square = (image.astype(np.float32) - own).__pow__(2).mean(2)
    low, high = points[:468, :2].min(0), points[:468, :2].max(0)
    margin = GROWN * (high - low)
    (x0, y0), (x1, y1) = np.maximum(low - margin, 0).astype(int), (high + margin).astype(int) + 1
    near = square[y0:y1, x0:x1]
    outside = square.size - near.size
    return (float(square.sum() - near.sum()) / outside if outside > 0.02 * square.size else float("nan")), float(near.mean())


def decibels(square: float) -> float:
    """Return PSNR; nothing changed counts as 99 dB."""
    return float(min(99.0, 10 * np.log10(255**2 / max(square, 1e-9))))


def stamps(path: Path) -> list[Fraction]:
    """Return when each picture of a file is shown."""
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return sorted(Fraction(p.pts or 0) * Fraction(p.time_base or 0) for p in packets)


def compare(made: Path, plain: Path, clip: Footage) -> Left:
    """Compare a file with a new mouth, and one of the same frames without, with the clip they are of."""
    seen = clip.seen()
    away, around, encoder, mouth = [], [], [], []
    written = 0
    theirs, ours, source = (media.read_images(path, fps=clip.fps) for path in (plain, made, clip.path))
    for k, (one, other, own) in enumerate(zip(ours, theirs, source, strict=True)):
        written += 1
        if not seen[k]:
            loss = [float(((image.astype(np.float32) - own) ** 2).mean()) for image in (one, other)]
            away.append(loss[0] - loss[1])
            encoder.append(loss[1])
            continue
        (far, near), (usual, _) = shares(one, own, clip.points[k]), shares(other, own, clip.points[k])
        if np.isfinite(far):
            around.append(far - usual)
            encoder.append(usual)
        mouth.append(near)
    return Left(
        len(clip), written, len(away), stamps(made) == stamps(plain), decibels(max(away, default=0.0)), decibels(max(around, default=0.0)),
        decibels(float(np.median(encoder))) if encoder else 99.0, decibels(float(np.median(mouth))) if mouth else 99.0,
    )  # fmt: skip


def written(clip: Footage, sound: Path, folder: Path) -> Left:
    """Make a clip speak, write its own frames too, and compare."""
    made, plain = folder / "made.mp4", folder / "plain.mp4"
    studio.sync(sound, clip, made, size=f"{clip.size[0]}x{clip.size[1]}", end="live")
    silent = Audio(np.zeros(0, np.float32), 0)

    def alone() -> Iterator[Frame]:
        for index, image in enumerate(media.read_images(clip.path, fps=clip.fps)):
            yield Frame(image, silent, index)

    size = clip.size[0] - clip.size[0] % 2, clip.size[1] - clip.size[1] % 2
    media.write_video(Video(alone(), clip.fps, size, 0), plain)
    return compare(made, plain, clip)


def main() -> int:
    """Print a table; return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each clip's beginning")
    given = parser.parse_args()
    print("| clip | frames, written | without the face | time stamps | changed there | changed around the face | encoder's own | face |")
    print("|---|---|---|---|---|---|---|---|")
    missed = False
    for path in given.clips:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            cut, sound = folder / f"{path.stem}.mp4", folder / "speech.wav"
            video = media.read_video(path)
            count = round(given.seconds * video.fps)
            size = video.size[0] - video.size[0] % 2, video.size[1] - video.size[1] % 2
            silent = Audio(np.zeros(0, np.float32), 0)
            frames = (Frame(f.image[: size[1], : size[0]], silent, f.index) for f in itertools.islice(video.frames, count))
            media.write_video(Video(frames, video.fps, size, 0), cut, crf=8)
            speech = spoken(max(2.0, given.seconds - 2)).audio
            with av.open(sound, "w") as container:
                stream = container.add_stream("pcm_f32le", rate=speech.rate, layout="mono")
                piece = av.AudioFrame.from_ndarray(speech.samples[None], "flt", "mono")
                piece.rate, piece.pts, piece.time_base = speech.rate, 0, Fraction(1, speech.rate)
                container.mux([*stream.encode(piece), *stream.encode(None)])
            found = written(footage.prepare(cut, folder=folder / "kept"), sound, folder)
        good = found.frames == found.written and found.in_time and min(found.away, found.around) >= GOAL
        missed |= not good
        print(f"| {path.stem} | {found.frames}, {found.written} | {found.faceless} | {'the same' if found.in_time else 'OTHERS'} | "
              f"{found.away:.1f} dB | {found.around:.1f} dB | {found.encoder:.1f} dB | {found.mouth:.1f} dB |", flush=True)  # fmt: skip
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

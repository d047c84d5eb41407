"""Fit the filter that guesses the mouth from the sound (`huashen.audio2face.estimate`) to clips of talking people.

    python -m huashen.train.estimate CLIP... --speaker obama --speaker andrew -o src/huashen/audio2face/estimate.npz

Ridge regression from an ear's band levels to the gap between the lips and the width of the mouth, both measured by the landmark model.
Sound and picture of a published clip are often some frames apart, so each clip is moved to where a filter fitted to the others agrees
with it best. Prints, for speakers left out of the fit, the correlation with what was measured, and with another clip's sound.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.audio2face.ear import BANDS, TICKS, Ear
from huashen.face.track import track
from huashen.media import read_video
from huashen.types import Image

_REACH, _STEP, _ROUND = 9, 3, 3  # ticks: farthest tap, between taps, half width of the smoothing before it
_RIDGE = 300.0
_OFFSETS = np.arange(-6, 7) * 4  # ticks a clip may be moved by

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Clip:
    """A talking person, measured."""

    name: str
    heard: Array
    """(ticks, BANDS + 1), smoothed."""
    time: Array
    """(frames,) seconds of the frames with a face."""
    mouth: Array
    """(frames, 2): gap in shares of the clip's 95th percentile, width in tenths of the distance between the outer eye corners."""


def measure(path: Path, seconds: float) -> Clip | None:
    """Return a clip's sound and mouth; None without sound or when there is too seldom a face.

    Args:
        path: a video with sound.
        seconds: where to stop.
    """
    video = read_video(path, rate=16000)
    ear = Ear(16000)
    heard: list[Array] = []
    frames = []

    def images() -> Iterator[Image]:
        for frame in video.frames:
            if frame.index >= seconds * video.fps:
                return
            heard.extend(ear.hear(frame.audio.samples))
            frames.append(frame.index)
            yield frame.image

    rows = []
    for face in track(images()):
        if face is None:
            rows.append((np.nan, np.nan))
            continue
        points = face.landmarks.points.astype(np.float64)
        eyes = np.linalg.norm(points[33] - points[263])
        rows.append((float(np.linalg.norm(points[13] - points[14]) / eyes), float(np.linalg.norm(points[61] - points[291]) / eyes)))
    mouth = np.array(rows)
    time = (np.array(frames) + 0.5) / float(video.fps)
    if not heard or np.mean(np.isfinite(mouth[:, 0])) < 0.9:
        return None
    levels = np.array(heard)
    kernel = np.hanning(2 * _ROUND + 3)[1:-1]
    smooth = np.stack([np.convolve(levels[:, b], kernel / kernel.sum(), "same") for b in range(BANDS + 1)], 1)
    good = np.isfinite(mouth[:, 0]) & (time > 0.15) & (time < len(levels) / TICKS - 0.2)
    mouth = mouth[good]
    mouth = np.stack([mouth[:, 0] / np.percentile(mouth[:, 0], 95), 10 * (mouth[:, 1] - np.median(mouth[:, 1]))], 1)
    return Clip(path.stem, smooth, time[good], mouth)


def inputs(clip: Clip, offset: int) -> Array:
    """Return what the taps see at every frame, (frames, taps * (BANDS + 1)), the sound moved by `offset` ticks."""
    place = clip.time * TICKS + offset
    ticks = np.arange(len(clip.heard))
    columns = [np.interp(place + lag, ticks, clip.heard[:, b]) for lag in range(-_REACH, _REACH + 1, _STEP) for b in range(BANDS + 1)]
    return np.stack(columns, 1)


def fit(clips: list[Clip], offsets: dict[str, int]) -> Array:
    """Return the filter, (taps * (BANDS + 1), 2)."""
    left: Array = _RIDGE * np.eye(len(range(-_REACH, _REACH + 1, _STEP)) * (BANDS + 1))
    right: Array = np.zeros((len(left), 2))
    for clip in clips:
        x = inputs(clip, offsets[clip.name])
        x = x - x.mean(0)
        left = left + x.T @ x
        right = right + x.T @ (clip.mouth - clip.mouth.mean(0))
    return np.asarray(np.linalg.solve(left, right), np.float64)


def agreement(clip: Clip, heard: Clip, offset: int, taps: Array) -> Array:
    """Return the correlations (gap, width) of a clip's mouth with the guess from `heard`'s sound."""
    guess = inputs(heard, offset) @ taps
    n = min(len(guess), len(clip.mouth))
    return np.array([np.corrcoef(guess[:n, i], clip.mouth[:n, i])[0, 1] for i in range(2)])


def main() -> None:
    """Fit and store the filter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--speaker", action="append", default=[], help="clips with this in their names show the same person")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each clip")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    clips = [clip for path in given.clips if (clip := measure(path, given.seconds)) is not None]
    speakers = {c.name: next((s for s in given.speaker if s.lower() in c.name.lower()), c.name) for c in clips}
    others = {c.name: [o for o in clips if speakers[o.name] != speakers[c.name]] for c in clips}
    offsets = {clip.name: 0 for clip in clips}
    for _ in range(3):
        moved = {}
        for clip in clips:
            taps = fit(others[clip.name], offsets)
            scores = [agreement(clip, clip, int(o), taps).sum() - abs(int(o)) * 0.003 for o in _OFFSETS]
            moved[clip.name] = int(_OFFSETS[int(np.argmax(scores))])
        offsets = moved
    own, foreign = [], []
    for i, clip in enumerate(clips):
        taps = fit(others[clip.name], offsets)
        own.append(agreement(clip, clip, offsets[clip.name], taps))
        foreign += [agreement(clip, o, offsets[o.name], taps) for o in others[clip.name][i % 4 :: 4]]
        sys.stdout.write(f"{clip.name}\t{offsets[clip.name] / TICKS:+.2f} s\tgap {own[-1][0]:.2f}\twidth {own[-1][1]:.2f}\n")
    sys.stdout.write(f"speakers left out: gap {np.mean(own, 0)[0]:.3f}, width {np.mean(own, 0)[1]:.3f}; ")
    sys.stdout.write(f"another clip's sound: gap {np.mean(foreign, 0)[0]:.3f}, width {np.mean(foreign, 0)[1]:.3f}\n")
    taps = fit(clips, offsets)
    guesses = [inputs(clip, offsets[clip.name]) @ taps for clip in clips]
    # Smoothing and taps in one: (2, 2 * (_REACH + _ROUND) + 1, BANDS + 1).
    kernel = np.hanning(2 * _ROUND + 3)[1:-1]
    whole = np.zeros((2, 2 * (_REACH + _ROUND) + 1, BANDS + 1))
    for i, at in enumerate(taps.T.reshape(2, -1, BANDS + 1).transpose(1, 0, 2)):
        whole[:, i * _STEP : i * _STEP + 2 * _ROUND + 1] += at[:, None] * (kernel / kernel.sum())[:, None]
    np.savez_compressed(
        given.out,
        taps=whole.astype(np.float32),
        mean=np.mean([g.mean(0) for g in guesses], 0).astype(np.float32),
        spread=np.mean([g.std(0) for g in guesses], 0).astype(np.float32),
    )


if __name__ == "__main__":
    main()

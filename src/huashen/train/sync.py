"""Fit the filter that tells whether a mouth moves as its sound does (`huashen.ops.sync`) to clips of talking people.

    python -m huashen.train.sync CLIP... --speaker obama --speaker andrew -o src/huashen/ops/sync.npz

Ridge regression from the sound's bands to the mouth's curves and their rates of change. Sound and picture of published clips are often
some frames apart, so each clip is moved to where a filter fitted to other speakers agrees with it best; the median clip stays where it
is. Then windows of every length, with their own and with another clip's sound, tell how far an agreement can be trusted: logistic
regression gives the probability that an offset is right within 80 ms. Every number printed is for speakers left out of the fit.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huashen.face.track import track
from huashen.media import read_video
from huashen.ops import sync
from huashen.ops.mesh import frame_of
from huashen.types import Floats, Image

Array = NDArray[np.float64]

RIDGE = 3000.0
LENGTHS = (2.0, 3.0, 5.0, 8.0, 15.0)
"""Seconds of the windows that are tried."""
NEAR = 0.08
"""Seconds within which an offset is right."""
_MOST = 400.0  # frames of one clip that count fully: a long clip is still one speaker


@dataclass(frozen=True)
class Clip:
    """A talking person, measured."""

    name: str
    speaker: str
    bands: Floats
    """(ticks, BANDS) dB."""
    time: Array
    """(frames,) seconds."""
    mouth: Array
    """(frames, 3) in the order of `sync.CHANNELS`, NaN without a face."""


def measure(path: Path, speaker: str) -> Clip | None:
    """Return a clip's sound and mouth; None without sound or when there is too seldom a face."""
    video = read_video(path, rate=sync.RATE)
    if not video.rate:
        return None
    ear = sync.Bands()
    bands: list[Floats] = []

    def images() -> Iterator[Image]:
        for frame in video.frames:
            bands.append(ear.hear(frame.audio.samples))
            yield frame.image

    rows = []
    for face in track(images(), steady=0):
        if face is None:
            rows.append((np.nan,) * 3)
        else:
            points = face.landmarks.points
            rows.append(sync.mouth(frame_of(points).local(points)))
    found = np.array(rows)
    if np.isfinite(found[:, 0]).mean() < 0.9:
        return None
    time = np.asarray((np.arange(len(found)) + 0.5) / float(video.fps), np.float64)
    return Clip(path.stem, speaker, np.concatenate(bands), time, found)


def inputs(heard: Array, place: Array) -> Array:
    """Return what the filter hears at some ticks, (n, len(TAPS) · BANDS)."""
    reach = int(sync.TAPS[-1])
    padded = np.pad(heard, ((reach, reach), (0, 0)), mode="edge")
    at = np.clip(np.rint(place).astype(int), 0, len(heard) - 1) + reach
    return np.concatenate([padded[at + lag] for lag in sync.TAPS], 1)


def fit(clips: list[Clip], offsets: dict[str, float]) -> Array:
    """Return the filter, (len(TAPS), BANDS, 6), fitted to clips moved by their offsets, in seconds."""
    left: Array = RIDGE * np.eye(len(sync.TAPS) * sync.BANDS)
    right: Array = np.zeros((len(left), 2 * len(sync.CHANNELS)))
    for clip in clips:
        moves, known = sync.curves(clip.time, clip.mouth)
        place = (clip.time + offsets[clip.name]) * sync.TICKS
        known = known & (place >= 0) & (place < len(clip.bands))
        x, y = inputs(sync.levels(clip.bands), place)[known], moves[known]
        weight = min(1.0, _MOST / len(x))
        x = x - x.mean(0)
        left = left + weight * x.T @ x
        right = right + weight * x.T @ (y - y.mean(0))
    return np.asarray(np.linalg.solve(left, right).reshape(len(sync.TAPS), sync.BANDS, -1))


@dataclass(frozen=True)
class Trial:
    """One window with a sound, and what was found."""

    seconds: float
    own: bool
    """Whether it was its own sound."""
    error: float
    """Seconds from the right offset; infinite with another clip's sound."""
    traits: Array
    agreement: float


def trials(clips: list[Clip], offsets: dict[str, float], filters: dict[str, Array], *, seed: int = 0) -> Iterator[Trial]:
    """Look at windows of all clips, each with its own sound moved by up to 0.4 s, and with another speaker's."""
    random = np.random.default_rng(seed)
    for clip in clips:
        others = [c for c in clips if c.speaker != clip.speaker]
        for seconds in LENGTHS:
            frames = int(seconds / (clip.time[1] - clip.time[0]))
            for begin in range(0, len(clip.time) - frames + 1, max(1, frames // 2)):
                time = clip.time[begin : begin + frames]
                mouth = clip.mouth[begin : begin + frames]
                start = time[0]
                shift = float(random.uniform(-0.4, 0.4))
                for own in (True, False):
                    source = clip if own else others[random.integers(len(others))]
                    # sound from shift before the window's own: then it comes `shift` after the mouth
                    first = round((start - shift + offsets[clip.name]) * sync.TICKS) if own else int(random.integers(len(source.bands)))
                    length = round(seconds * sync.TICKS)
                    if first < 0 or first + length > len(source.bands):
                        continue
                    heard = sync.levels(source.bands[first : first + length])
                    found = sync.match(heard, time - start, mouth, taps=filters[clip.speaker])
                    if found is None:
                        continue
                    right = start + offsets[clip.name] - first / sync.TICKS
                    yield Trial(seconds, own, abs(found.offset - right) if own else np.inf, found.traits, found.agreement)


def logistic(tried: list[Trial]) -> Array:
    """Return the weights of a logistic regression of being right on the traits; every length and outcome counts alike (Newton's method)."""
    traits, right = np.array([t.traits for t in tried]), np.array([t.error < NEAR for t in tried])
    cells = [(t.seconds, t.error < NEAR) for t in tried]
    share = np.array([100 / cells.count(cell) for cell in cells])
    weights: Array = np.zeros(traits.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-np.clip(traits @ weights, -30, 30)))
        slope = traits.T @ (share * (right - chance)) - 1e-2 * weights
        bend = (traits * (share * chance * (1 - chance))[:, None]).T @ traits + 1e-2 * np.eye(len(weights))
        weights = weights + np.linalg.solve(bend, slope)
    return weights


def report(tried: list[Trial], weights: Array) -> Iterator[str]:
    """Yield a line for every length: errors with the own sound, how often an offset is told (`sync.SURE`) with that and another's."""
    for seconds in LENGTHS:
        own = [t for t in tried if t.seconds == seconds and t.own]
        foreign = [t for t in tried if t.seconds == seconds and not t.own]
        if not own or not foreign:
            continue
        errors = 1000 * np.array([t.error for t in own])
        told, wrongly = (np.array([t.traits @ weights for t in some]) > np.log(sync.SURE / (1 - sync.SURE)) for some in (own, foreign))
        among = errors[told] if told.any() else np.array([np.nan])
        yield (
            f"{seconds:.0f} s: {len(own)} windows, error median {np.median(errors):.0f} ms, "
            f"90th percentile {np.percentile(errors, 90):.0f} ms, over 80 ms {np.mean(errors > 80):.3f}; told {told.mean():.2f}, "
            f"of these 90th percentile {np.percentile(among, 90):.0f} ms, over 80 ms {np.mean(among > 80):.3f}; "
            f"another's sound: told {wrongly.mean():.3f}, "
            f"agreement {np.mean([t.agreement for t in foreign]):.2f} (own {np.mean([t.agreement for t in own]):.2f})\n"
        )


def main() -> None:
    """Fit and store the filter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--speaker", action="append", default=[], help="clips with this in their names show the same person")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    names = {path: next((s for s in given.speaker if s.lower() in path.stem.lower()), path.stem) for path in given.clips}
    store([clip for path in given.clips if (clip := measure(path, names[path])) is not None], given.out)


def store(clips: list[Clip], out: Path) -> None:
    """Fit the filter to clips, print how well it does on speakers left out, and store it."""
    offsets = {clip.name: 0.0 for clip in clips}
    filters: dict[str, Array] = {}
    kept = clips
    for _ in range(3):
        filters = {s: fit([c for c in kept if c.speaker != s], offsets) for s in {c.speaker for c in clips}}
        found = {c.name: sync.match(sync.levels(c.bands), c.time, c.mouth, taps=filters[c.speaker]) for c in clips}
        sure = {name: m.offset for name, m in found.items() if m is not None and m.chance > 3.5}
        middle = float(np.median(list(sure.values())))
        kept = [c for c in clips if c.name in sure]
        offsets = {name: offset - middle for name, offset in sure.items()}
    for clip in clips:
        if (match := found[clip.name]) is not None:
            left = "" if clip in kept else "\tleft out"
            numbers = f"agreement {match.agreement:.2f}\tgap {match.gap:.2f}\tchance {match.chance:.1f}"
            sys.stdout.write(f"{clip.name}\t{1000 * match.offset:+.0f} ms\t{numbers}{left}\n")
    tried = list(trials(kept, offsets, filters))
    weights = logistic(tried)
    sys.stdout.writelines(report(tried, weights))
    np.savez_compressed(out, taps=fit(kept, offsets).astype(np.float32), sure=weights)
    speakers, minutes = len({c.speaker for c in kept}), sum(len(c.bands) for c in kept) / 60 / sync.TICKS
    sys.stdout.write(f"fitted to {len(kept)} clips of {speakers} speakers, {minutes:.1f} minutes\n")


if __name__ == "__main__":
    main()

"""Whether a style learned from one half of a clip makes the other half more like the person, and another's style less.

    python benchmarks/style.py CLIP... --work FOLDER

Each clip's first half gives a style; the driver that hears then moves a mouth to the sound of the second half without it, with it, and with
the style of every other clip. Motion is the standard deviation over the real one's; distances are means, each curve's own mean taken off,
in thousandths of the distance between the outer corners of the eyes. The sound is first moved to where the two agree best.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np

from huashen.audio2face.learned import Hear
from huashen.audio2face.style import fit, lips
from huashen.ops import sync
from huashen.train.clips import RATE, Watched, watch
from huashen.types import Audio, Speech, Style

FPS = 50


def late(clip: Watched) -> float:
    """Return the seconds by which the sound comes after the mouth, where that is sure."""
    heard = sync.levels(sync.Bands().hear(clip.sound))
    found = sync.match(heard, clip.time, clip.mouth[:, :3])
    return found.offset if found is not None and found.confidence > sync.SURE else 0.0


def drawn(sound: np.ndarray, style: Style | None) -> tuple[np.ndarray, np.ndarray]:
    """Return gap and width that the driver gives to a sound."""
    frames = Hear(life=False, style=style).drive([Speech(Audio(sound, RATE))], Fraction(FPS))
    return lips(np.array([frame.weights for frame in frames], np.float64))


def held(clip: Watched, delay: float, style: Style | None) -> np.ndarray:
    """Return gap and width motion, gap and width distance, and both correlations of the second half."""
    middle = clip.time[len(clip.time) // 2]
    first = round(middle * RATE)
    curves = drawn(clip.sound[first:], style)
    time = clip.time + delay - middle
    known = np.isfinite(clip.mouth[:, 0]) & (time > 0) & (time < len(curves[0]) / FPS)
    rows = []
    for curve, real in zip(curves, clip.mouth[known, :2].T, strict=True):
        mine = np.interp(time[known], (np.arange(len(curve)) + 0.5) / FPS, curve)
        rows.append((mine.std() / real.std(), 1e3 * np.abs(mine - mine.mean() - real + real.mean()).mean(), np.corrcoef(mine, real)[0, 1]))
    return np.array(rows).T.ravel()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="keeps what was measured of the clips")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each clip")
    given = parser.parse_args()
    clips = [watch(path, given.work, seconds=given.seconds) for path in given.clips]
    delays = [late(clip) for clip in clips]
    styles: list[Style | None] = []
    for clip, delay in zip(clips, delays, strict=True):
        half = len(clip.time) // 2
        sound = clip.sound[: round(clip.time[half] * RATE)]
        styles.append(fit([Audio(sound, RATE)], clip.time[:half] + delay, clip.mouth[:half, 0], clip.mouth[:half, 1]))
    print(f"{'clip':22} {'style: open, wide, rounded, parted':36} {'without':>31} {'own style':>31} {'others':>31}")
    rows = []
    for i, (clip, delay, style) in enumerate(zip(clips, delays, styles, strict=True)):
        if style is None:
            print(f"{clip.name:22} no style: too little speech, or the mouth does not follow it", flush=True)
            continue
        others = [held(clip, delay, other) for k, other in enumerate(styles) if k != i and other is not None]
        plain, own = held(clip, delay, None), held(clip, delay, style)
        far = np.mean(others, 0)
        off = [np.abs(np.log(np.atleast_2d(one)[:, :2])).mean(0) for one in (plain, own, np.array(others))]
        rows.append([[*wrong, *one[2:]] for wrong, one in zip(off, (plain, own, far), strict=True)])
        words = f"{style.open:.2f} {style.wide:.2f} {style.rounded:.2f} {style.parted:.3f}"
        cells = [f"{v[0]:5.2f} {v[1]:5.2f} {v[2]:6.1f} {v[3]:6.1f} {v[4]:5.2f}" for v in (plain, own, far)]
        print(f"{clip.name:22} {words:36} " + " ".join(f"{cell:>31}" for cell in cells), flush=True)
    mean = np.mean(rows, 0)
    print("columns: motion of gap and width; distance of gap and width; correlation of the gap")
    for words, row in zip(("without", "own style", "others' styles"), mean, strict=True):
        off = f"gap {np.exp(row[0]):.2f}, width {np.exp(row[1]):.2f}"
        print(f"{words:15} motion off by a factor of {off}; distance {row[2]:.1f}, {row[3]:.1f}; correlation {row[4]:.3f}, {row[5]:.3f}")


if __name__ == "__main__":
    main()

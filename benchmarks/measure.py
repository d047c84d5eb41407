"""What `huashen measure` says of clips, and how far it can be trusted: sound moved by known amounts, and sound of other clips.

    python benchmarks/measure.py CLIP...

The clips are looked at once; then their sound is moved by −10 to +10 frames, whole and in windows of several lengths, and the offset
found is compared with the one found for the whole clip unmoved; and every clip is given another's sound. The shipped filter may have
been fitted to some of the clips; `python -m huashen.train.sync` prints the same for speakers left out of the fit.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import huashen
from huashen.measurement import Measurement
from huashen.ops import sync

LENGTHS = (3, 5, 8, 15)
MOVES = range(-10, 11, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    clips = []
    for path in parser.parse_args().clips:
        begin, busy = time.perf_counter(), time.process_time()
        found = huashen.measure(path)
        print(line(found, time.perf_counter() - begin, time.process_time() - busy), flush=True)
        if found.sync is not None:
            clips.append(found)
    print()
    for seconds in LENGTHS:
        print(moved(clips, seconds), flush=True)
    foreign = [match for i, clip in enumerate(clips) if (match := given(clip, clips[(i + 1) % len(clips)])) is not None]
    told = np.mean([m.confidence >= sync.SURE for m in foreign])
    own = np.mean([clip.sync.agreement for clip in clips if clip.sync is not None])
    print(
        f"another clip's sound: an offset is told for {told:.2f}; agreement {np.mean([m.agreement for m in foreign]):.2f} (own {own:.2f})"
    )


def line(found: Measurement, seconds: float, busy: float) -> str:
    """Return what was found of a clip in one line."""
    cells = [
        found.path.stem,
        f"{found.seconds:.0f} s",
        f"{found.size[0]}x{found.size[1]}",
        f"in {seconds:.1f} s ({busy:.1f} s of one core)",
    ]
    if found.sync is not None:
        offset = "none" if found.sync.offset_ms is None else f"{found.sync.offset_ms:+.0f} ms"
        cells += [offset, f"sure {found.sync.confidence:.2f}", f"gap {found.sync.correlation:.2f}"]
    look = found.picture
    cells += [
        f"{name} {value:.2f}"
        for name, value in (
            ("sharp", look.sharpness),
            ("flicker", look.flicker_face),
            ("outside", look.flicker_outside),
            ("jitter", look.jitter),
            ("drift", look.identity_drift),
        )
        if value is not None
    ]
    if found.silence is not None and found.silence.gap is not None:
        cells.append(f"silent gap {found.silence.gap:.3f} of {found.silence.speaking_gap_p95:.3f}")
    return "\t".join(cells)


def moved(clips: list[Measurement], seconds: int) -> str:
    """Return how far off the offsets of windows are, their sound moved."""
    errors, told = [], []
    for clip in clips:
        curves = clip.curves
        whole = curves.match
        if whole is None or whole.confidence < 0.9:
            continue
        mouth = np.stack([curves.gap, curves.width, curves.protrusion], 1)
        frames = round(seconds * float(clip.fps))
        for begin in range(0, len(mouth) - frames + 1, frames):
            for move in MOVES:
                late = move / float(clip.fps)
                start = curves.time[begin]
                first = round((start - late) * sync.TICKS)
                if abs(whole.offset + late) > sync.REACH or first < 0 or first + seconds * sync.TICKS > len(curves.bands):
                    continue
                heard = sync.levels(curves.bands[first : first + seconds * sync.TICKS])
                match = sync.match(heard, curves.time[begin : begin + frames] - start, mouth[begin : begin + frames])
                if match is not None:
                    right = whole.offset + start - first / sync.TICKS
                    errors.append(1000 * abs(match.offset - right))
                    told.append(match.confidence >= sync.SURE)
    if not errors:
        return f"{seconds} s: no clip is long enough"
    sure = np.array(errors)[np.array(told)]
    return (
        f"{seconds} s: {len(errors)} windows, error median {np.median(errors):.0f} ms, 90th percentile {np.percentile(errors, 90):.0f} ms; "
        f"told {np.mean(told):.2f}, of these 90th percentile {np.percentile(sure, 90) if len(sure) else np.nan:.0f} ms"
    )


def given(clip: Measurement, other: Measurement) -> sync.Match | None:
    """Return how a clip's mouth fits another's sound."""
    curves = clip.curves
    heard = sync.levels(other.curves.bands[: len(curves.bands)])
    return sync.match(heard, curves.time, np.stack([curves.gap, curves.width, curves.protrusion], 1))


if __name__ == "__main__":
    main()

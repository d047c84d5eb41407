"""Whether one sees where a clip turns round: what happens there against what usually happens from frame to frame.

    python benchmarks/seam.py CLIP…

Speech longer than a clip runs it there and back. At a turn a step is gone twice, to and fro: its size, and how much the motion changes
(the second difference), are put against the median and 95th percentile, for the bridge of the nose in distances between the eyes, and
for the whole picture (96×54, grey levels).
"""

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from huashen import footage, media


def usual(values: np.ndarray) -> str:
    """Return the median and the 95th percentile."""
    return f"{np.nanmedian(values):.4f} / {np.nanpercentile(values, 95):.4f}"


def main() -> None:
    """Print two lines a turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    for path in parser.parse_args().clips:
        clip = footage.prepare(path)
        eyes = float(np.nanmedian(np.linalg.norm(clip.points[:, 33] - clip.points[:, 263], axis=1)))
        nose = np.asarray(clip.points[:, 6, :2]) / eyes
        read = media.read_images(path, fps=clip.fps, quick=True)
        small = np.stack([cv2.resize(image, (96, 54), interpolation=cv2.INTER_AREA).astype(np.float32).mean(2) for image in read])
        steps = np.linalg.norm(np.diff(nose, axis=0), axis=1), np.abs(np.diff(small, axis=0)).mean((1, 2))
        changes = np.linalg.norm(np.diff(nose, 2, axis=0), axis=1), np.abs(np.diff(small, 2, axis=0)).mean((1, 2))
        print(f"{path.stem}: {len(clip)} frames; usual step of the head {usual(steps[0])}, its change {usual(changes[0])}; "
              f"of the picture {usual(steps[1])}, {usual(changes[1])}")  # fmt: skip
        order = list(islice(clip.order(clip.fps), 3 * len(clip)))
        for before, here, after in list(zip(order, order[1:], order[2:], strict=False)):
            if before == after:
                head, picture = np.linalg.norm(nose[here] - nose[before]), np.abs(small[here] - small[before]).mean()
                print(f"  turn at {here}: head {head:.4f}, change {2 * head:.4f}; picture {picture:.4f}, change {2 * picture:.4f}")


if __name__ == "__main__":
    main()

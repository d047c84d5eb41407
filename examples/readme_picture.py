"""Make the moving picture at the top of the READMEs: the example portrait, close up.

    python examples/readme_picture.py -o docs/images/demo.gif
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image as Picture

import huashen
from huashen import avatar, media, weights


def main() -> None:
    """Make it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/images/demo.gif"))
    chosen = parser.parse_args()
    portrait = media.read_image(weights.path("astronaut"))
    close = Picture.fromarray(portrait[0:270, 90:360]).resize((360, 360), Picture.Resampling.LANCZOS)
    person = avatar.from_image(np.asarray(close), name="astronaut")
    made = huashen.say("你好，我是化身。Hello, I am Huashen.", person, chosen.out, fps="12.5", subtitles="burn", seed=3)
    print(made.path, made.frames, "frames", chosen.out.stat().st_size // 1024, "kB")


if __name__ == "__main__":
    main()
